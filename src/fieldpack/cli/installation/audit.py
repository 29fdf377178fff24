"""`fieldpack audit`: who did or saw what, whether the record of it is whole, and a copy of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir

__all__ = ["register"]

_COLUMNS = (
    "at",
    "actor",
    "action",
    "object",
    "collection_id",
    "address",
    "credential",
    "details",
    "position",
)
_EXAMPLES = """\b
Examples:
  fieldpack audit list --since 2026-11-01 --actor ada@example.org
  fieldpack audit list --object SUBMISSION_ID     who saw or changed one participant's data
  fieldpack audit list --action file.read --csv > who-saw-files.csv
  fieldpack audit verify                          nothing was changed, removed or reordered
  fieldpack audit export -o audit.jsonl           for a copy elsewhere, or a check by another program
"""

audit_app = make_app(help="List, verify and export the audit log.", epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(audit_app, name="audit")


def _flatten(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as one row of text: a person by what is known of them, else by the subject's id."""
    actor, about = entry["actor"], entry["object"]
    credential = entry["credential"]
    named = about["submission_id"] or about["id"] or about["subject_id"]
    return {
        **entry,
        "actor": actor["email"] or " ".join(filter(None, (actor["type"], actor["subject_id"]))),
        "object": " ".join(filter(None, (about["type"], named))),
        "credential": f"{credential['type']} {credential['id'] or ''}".strip() if credential else None,
        "details": ", ".join(f"{name} {value}" for name, value in entry["details"].items()),
    }


@list_command(audit_app, "list", _COLUMNS, empty="There are no such entries.", flatten=_flatten)
def list_entries(
    since: Annotated[
        str | None, typer.Option(help="From this day or time on (UTC unless it says so).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or time.")] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            help="Who: an e-mail address, a researcher's or subject's id, or `researcher`, `participant`, `link`,"
            " `operator`."
        ),
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="What, or how it begins: `file.read`, `submission.`, …")
    ] = None,
    object: Annotated[
        str | None,
        typer.Option(help="About what: the id of a submission, file, study, collection, … or of a subject."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="The newest so many.")] = 200,
    data_dir: DataDir = None,
) -> list[dict[str, Any]]:
    """List who did or saw what, newest first."""
    from fieldpack.server.config import load_settings
    from fieldpack.server.run.auditing import list_log, parse_wanted

    wanted = parse_wanted(since=since, until=until, actor=actor, action=action, object=object)
    return list_log(load_settings(data_dir=data_dir), wanted, limit)


@audit_app.command("verify")
def verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="A file of checkpoints kept elsewhere. Repeatable."),
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Check that no entry was changed, removed or moved since it was written.

    Every entry's hash is made anew, along the whole chain, and the checkpoints in storage are held against it. What
    was written within the last second and is not in the chain yet is reported apart. Exit code 1 when something is
    wrong. The last line names the end of the chain: kept elsewhere, it proves later that nothing was cut off.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.config import load_settings
    from fieldpack.server.run.auditing import verify_log
    from fieldpack.text import say_count

    verdict = verify_log(load_settings(data_dir=data_dir), checkpoint or [])
    if json:
        print_json(verdict.as_dict())
    else:
        for finding in verdict.findings:
            print_text(finding.sentence)
        print_text(
            f"{say_count(verdict.sealed, 'entry', 'entries')} in the chain, "
            f"{say_count(verdict.checkpoints, 'checkpoint')} held against it: "
            + ("all as they were written." if verdict.is_whole else "NOT as they were written.")
        )
        if verdict.lost_by_restore:
            print_text(
                f"{say_count(verdict.lost_by_restore, 'checkpoint')} of before the last restore: what they name was"
                " not in the backup that was restored."
            )
        if verdict.unsealed:
            print_text(
                f"{say_count(verdict.unsealed, 'entry', 'entries')} not in the chain yet, the oldest of"
                f" {verdict.unsealed_since}; a running server or worker seals them every second."
            )
        print_text(f"The chain ends at position {verdict.last_position} with {verdict.last_hash}.")
    if not verdict.is_whole:
        raise typer.Exit(1)


@audit_app.command("export")
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output without it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Write the whole chain as lines of JSON, from which any program can verify it (docs/security.md)."""
    from fieldpack.cli.output import print_note
    from fieldpack.errors import FieldpackError
    from fieldpack.files import replace_file
    from fieldpack.server.config import load_settings
    from fieldpack.server.run.auditing import export_log
    from fieldpack.text import say_count

    settings = load_settings(data_dir=data_dir)
    if output is None:
        count = export_log(settings, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    else:
        if os.path.lexists(output) and not force:
            raise FieldpackError(f"{output} is there already; --force overwrites it.")
        with replace_file(output) as draft, draft.open("xb") as file:
            count = export_log(settings, file.write)
    print_note(f"{say_count(count, 'entry', 'entries')} written.")
