"""`fieldpack collection check`: a collection's file checked without a server, by its rules and for likely mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.options import AsJson
from fieldpack.errors import TemplateError

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack collection check survey.yaml
  fieldpack collection check survey.yaml --json | jq .problems
"""


def register(root: typer.Typer) -> None:
    """Add `check`."""
    root.command(epilog=_EXAMPLES)(check)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON file; - is standard input.")],
    json: AsJson = False,
) -> None:
    """Check a collection's file, without a server.

    Names the line of everything a server would refuse (exit 2), the pictures beside the file too, and warns of
    questions nobody can answer, of fields that would be ignored, and of pictures on other hosts. Says of every
    accepted file type how content will be held against it.
    """
    from fieldpack.cli.collections.files.doubts import find_doubts
    from fieldpack.cli.collections.files.rules import check_collection
    from fieldpack.cli.collections.pictures import find_strangers, read_pictures
    from fieldpack.cli.collections.template import read_template, split_path
    from fieldpack.cli.file_types import list_file_types, say_file_types
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.text import say_count

    template = read_template(file)
    pictures = read_pictures(template)
    findings = pictures.findings + check_collection(pictures.body)
    if not any(finding.is_error for finding in findings):
        findings += find_doubts(pictures.body, template.written) + find_strangers(pictures.body)
    findings.sort(key=lambda finding: template.find_line(finding.path))
    errors = [finding for finding in findings if finding.is_error]
    if json:
        print_json(
            {
                "file": template.shown,
                "ok": not errors,
                "problems": [
                    {
                        "level": "error" if finding.is_error else "warning",
                        "line": template.find_line(finding.path),
                        "path": ".".join(map(str, finding.path)),
                        "place": split_path(finding.path)[0],
                        "message": finding.message,
                    }
                    for finding in findings
                ],
                "file_types": [] if errors else list_file_types(template.body),
            }
        )
        if errors:
            raise typer.Exit(2)
        return
    for finding in findings:
        if not finding.is_error:
            place = split_path(finding.path)[0]
            where = f"{template.locate(finding.path)}: warning"
            print_text(
                f"{where}: {place}: {finding.message}" if place else f"{where}: {finding.message}", err=True
            )
    if errors:
        raise TemplateError([template.say(finding.path, finding.message) for finding in errors])
    pages = template.body["collection_items"]
    items = sum(len(page["page_items"]) for page in pages)
    print_text(f"{template.shown}: OK, {say_count(len(pages), 'page')}, {say_count(items, 'item')}.")
    say_file_types(template.body)
