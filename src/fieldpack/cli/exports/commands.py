"""`fieldpack collection exports`, also as `collection export list|download|delete`: the exports that a server keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldpack.cli.completion import CollectionId
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson

if TYPE_CHECKING:
    from fieldpack.client import ExportRecord

__all__ = ["register"]

_COLUMNS = ("export_id", "status", "created_at", "submission_count", "file_count", "size_bytes", "filter")
_EXAMPLES = """\b
Examples:
  fieldpack collection export list COLLECTION_ID
  fieldpack collection export download COLLECTION_ID EXPORT_ID -o data/
  fieldpack collection export delete COLLECTION_ID EXPORT_ID
"""

ExportId = Annotated[str, typer.Argument(metavar="EXPORT_ID", help="Id of the export.")]

app = make_app(help="List, download and delete the exports that a server keeps.", epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(app, name="exports")


@list_command(app, "list", _COLUMNS, empty="This collection has no export.")
def list_exports(collection_id: CollectionId) -> list[dict[str, Any]]:
    """List the exports of a collection, newest first."""
    from fieldpack.client import Client

    with Client() as client:
        return [_describe(export) for export in client.list_exports(collection_id)]


def _describe(export: ExportRecord) -> dict[str, Any]:
    return {
        **export.raw,
        "export_id": export.export_id,
        "status": export.status,
        "created_at": export.created_at,
        "submission_count": export.submission_count,
        "file_count": export.file_count,
        "size_bytes": export.size_bytes,
        "filter": export.filter or None,
    }


@app.command("download")
def download_export(
    collection_id: CollectionId,
    export_id: ExportId,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="PATH", help="File to write, or a folder to put it in."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    json: AsJson = False,
) -> None:
    """Download an export that there is, and check it; one that is being made is waited for."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client
    from fieldpack.text import say_bytes

    with Client() as client:
        path: Path = client.download_export(collection_id, export_id, output, force=force, progress=True)
    size = path.stat().st_size
    if json:
        print_json({"path": str(path), "size_bytes": size, "export_id": export_id})
    else:
        print_text(f"{path}: {say_bytes(size)}")


@app.command("delete")
def delete_export(collection_id: CollectionId, export_id: ExportId) -> None:
    """Delete an export; links to it stop working. What participants gave stays."""
    from fieldpack.cli.output import print_text
    from fieldpack.client import Client

    with Client() as client:
        client.delete_export(collection_id, export_id)
    print_text(f"Deleted export {export_id}.")
