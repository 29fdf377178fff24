"""`fieldpack import`: an archive, of this server or of the hosted service, becomes a collection here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldpack.cli.completion import complete_workspace
from fieldpack.cli.lists import AsCsv, AsTable, Fields, show_list
from fieldpack.cli.options import AsJson, DataDir
from fieldpack.cli.output import ProgressLine, print_json, print_note, print_text
from fieldpack.errors import UsageError
from fieldpack.text import say_bytes, say_count

if TYPE_CHECKING:
    from fieldpack.server.config import Settings
    from fieldpack.server.imports.service import Imported

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack import ARCHIVE.zip --dry-run          look at all of it, and say what would be made
  fieldpack import ARCHIVE.zip                    into the only workspace there is
  fieldpack import ARCHIVE.zip --workspace ID --researcher ada@example.org
  fieldpack import FOLDER                         an archive that was extracted, or is kept equal by `sync`
  fieldpack import --list                         imports that broke off
  fieldpack import --discard ID                   remove what one of them has made
"""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("import", epilog=_EXAMPLES)(import_archive)


def import_archive(
    archive: Annotated[
        str | None,
        typer.Argument(metavar="[ARCHIVE]", help="A .zip, an extracted folder, or an http(s) link."),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace",
            "-w",
            metavar="ID",
            help="Where the collection goes; the only one there is.",
            autocompletion=complete_workspace,
        ),
    ] = None,
    researcher: Annotated[
        str | None,
        typer.Option(
            "--researcher", metavar="EMAIL", help="Whose collection it is; the workspace's first owner's."
        ),
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="Where ids that had to be made anew are listed, as .csv or .json; a file in the current folder.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look at the archive, and say what would be made.")
    ] = False,
    unfinished: Annotated[bool, typer.Option("--list", help="List imports that broke off.")] = False,
    discard: Annotated[
        str | None,
        typer.Option("--discard", metavar="ID", help="Remove what an import that broke off has made."),
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
    csv: AsCsv = False,
    table: AsTable = False,
    fields: Fields = None,
    no_limit: Annotated[
        bool,
        typer.Option(
            "--no-limit", help="Unpack to as much as it claims, and whatever room the disk says it has."
        ),
    ] = False,
) -> None:
    """Move an archive in: a new collection with its questions, submissions and files.

    It works on the server's own database and storage, whether or not the server runs, and takes what this server or the
    hosted service has exported. Everything is checked: each line, each name, each file's size, CRC-32 and SHA-256.
    The collection is seen once all of it is there, and not before.

    Ids are kept where they have the form of ours and nothing here has them; others are made anew and listed
    (--map). Files are as they were. Submissions are marked as imported, and cause no webhook.

    Run it again after a break: it goes on where it was. An archive that is here already is not imported into the same
    workspace twice. Submissions that were erased here stay erased.
    """
    from fieldpack.server.config import load_settings
    from fieldpack.server.machine.logs import configure_logs

    if sum((archive is not None, unfinished, discard is not None)) != 1:
        raise UsageError("Name an archive, or give --list or --discard ID.")
    if (csv or table or fields) and not unfinished:
        raise UsageError("--csv, --table and --fields go with --list.")
    settings = load_settings(data_dir=data_dir)
    configure_logs(settings, process="import")  # to standard error: nothing but the result on standard output
    if unfinished:
        _list(settings, json=json, csv=csv, table=table, fields=fields)
    elif discard is not None:
        _discard(settings, discard, json)
    elif archive is not None:
        _import(settings, archive, workspace, researcher, map_file, dry_run, json, no_limit)


def _list(settings: Settings, *, json: bool, csv: bool, table: bool, fields: str | None) -> None:
    from dataclasses import asdict

    from fieldpack.archive.records import format_time
    from fieldpack.server.run.importing import list_imports

    show_list(
        lambda: [asdict(row) for row in list_imports(settings)],
        ("id", "name", "workspace_id", "submissions", "updated_at"),
        empty="No import is unfinished.",
        flatten=lambda row: {**row, "updated_at": format_time(row["updated_at"])},
        json=json,
        csv=csv,
        table=table,
        fields=fields,
    )


def _discard(settings: Settings, identifier: str, as_json: bool) -> None:
    from fieldpack.server.run.importing import discard_import

    removed = discard_import(settings, identifier)
    if as_json:
        print_json({"discarded": identifier, "submissions": removed})
    else:
        print_text(f"Removed what import {identifier} had made: {say_count(removed, 'submission')}.")


def _import(
    settings: Settings,
    source: str,
    workspace: str | None,
    researcher: str | None,
    map_file: Path | None,
    dry_run: bool,
    as_json: bool,
    no_limit: bool,
) -> None:
    from fieldpack.export import open_export
    from fieldpack.reading.source import NO_LIMITS
    from fieldpack.server.run.administration import parse_workspace
    from fieldpack.server.run.importing import import_archive as move_in

    if map_file is not None and map_file.suffix.lower() not in (".csv", ".json"):
        raise UsageError("--map writes a .csv or a .json: name the file so.")
    workspace_id = parse_workspace(workspace)
    tell = ProgressLine(lambda count: f"{count:,}")
    with open_export(source, limits=NO_LIMITS if no_limit else None) as archive:
        try:
            done, path = move_in(
                settings, archive, workspace_id, researcher, tell, dry_run=dry_run, map_file=map_file
            )
        finally:
            tell.end()
    for note in done.notes:
        print_note(note)
    if as_json:
        print_json(_describe(done, dry_run, path))
    else:
        _say(done, dry_run, path)


def _describe(done: Imported, dry_run: bool, path: Path | None) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "import_id": str(done.import_id),
        "collection_id": str(done.collection_id),
        "workspace_id": str(done.workspace_id),
        "study_ids": [str(each) for each in done.study_ids],
        "name": done.name,
        "was_there": done.was_there,
        "submissions": done.submissions,
        "files": done.files,
        "file_bytes": done.file_bytes,
        "erased": done.erased,
        "renamed": dict(done.renamed),
        "map": str(path) if path else None,
        "notes": done.notes,
    }


def _say(done: Imported, dry_run: bool, path: Path | None) -> None:
    files = f"{say_count(done.files, 'file')} ({say_bytes(done.file_bytes)})"
    what = f"{say_count(done.submissions, 'submission')}, {files}"
    if done.was_there:
        print_text(
            f"Nothing to do: this archive is here already, as collection {done.collection_id}: {what}."
        )
    elif dry_run:
        print_text(f"Would import {done.name!r} as collection {done.collection_id}: {what}.")
    else:
        print_text(f"Imported {done.name!r} as collection {done.collection_id}: {what}.")
    if done.erased:
        print_text(f"Left out: {say_count(done.erased, 'submission')} that were erased here.")
    if done.renamed:
        counts = ", ".join(
            say_count(count, kind) if kind != "study" else say_count(count, "study", "studies")
            for kind, count in done.renamed.items()
        )
        verb = "would get" if dry_run else "got"
        print_text(f"New ids, because theirs are not free or of another form, {verb}: {counts}.")
    if path is not None:
        print_text(f"Which id became which: {path}")
