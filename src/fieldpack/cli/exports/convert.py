"""`fieldpack collection convert`: an export as a table or a report, made by the server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.completion import CollectionId, complete_study
from fieldpack.cli.options import AsJson

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack collection convert COLLECTION_ID --to csv
  fieldpack collection convert COLLECTION_ID --to sav -o answers.sav
  fieldpack collection convert COLLECTION_ID --to report --export EXPORT_ID
"""


class _Format(StrEnum):
    csv = "csv"
    xlsx = "xlsx"
    sav = "sav"
    dta = "dta"
    parquet = "parquet"
    codebook = "codebook"
    report = "report"


def register(root: typer.Typer) -> None:
    """Add `convert`."""
    root.command(epilog=_EXAMPLES)(convert)


def convert(
    collection_id: CollectionId,
    to: Annotated[_Format, typer.Option("--to", help="What to make of it.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="File to write, or a folder to put it in."),
    ] = None,
    export_id: Annotated[
        str | None,
        typer.Option(
            "--export", metavar="EXPORT_ID", help="An export that there is; else one of everything."
        ),
    ] = None,
    study_id: Annotated[
        str | None,
        typer.Option(
            "--study-id", metavar="ID", help="Only responses of this study.", autocompletion=complete_study
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the server's file of this format instead of bringing it.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait for the server."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Have the server convert an export, and download the file.

    It is what `fieldpack convert` makes of the archive, `--codebook` and `inspect --html` for codebook and report,
    without bringing the archive here. Works with a fieldpack server; for others use those commands.
    """
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.client import Client
    from fieldpack.client.export import collect_filter
    from fieldpack.client.progress import show_progress
    from fieldpack.client.sync.exports import OwnExports
    from fieldpack.errors import UsageError
    from fieldpack.text import say_bytes

    if export_id is not None and study_id is not None:
        raise UsageError("Give --export or --study-id: an export that there is can't be narrowed.")
    if delete and export_id is None:
        raise UsageError("Say which export's file to delete: --export EXPORT_ID.")
    with Client() as client:
        if delete:
            client.delete_conversion(collection_id, export_id or "", to.value)
            print_text(f"Deleted the {to.value} of export {export_id}.")
            return
        with show_progress() as tell:
            exports = OwnExports(client, collection_id)
            if export_id is None:
                narrowed = collect_filter(study_id, None, None)
                export_id = exports.request(narrowed, timeout=timeout, on_progress=tell).export_id or ""
            record = client.wait_export(collection_id, export_id, timeout=timeout, progress=tell)
            path, answer = client.download_conversion(
                collection_id, record, to.value, output, force=force, timeout=timeout, on_progress=tell
            )
            if not json:  # which tells the link
                exports.clear()
    for warning in answer.get("warnings") or []:
        print_note(warning)
    if json:
        print_json({**answer, "path": str(path)})
    else:
        print_text(f"{path}: {say_bytes(path.stat().st_size)}")
