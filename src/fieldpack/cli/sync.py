"""`fieldpack collection sync`: a folder that is kept equal to a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack collection sync COLLECTION_ID data/
  watch -n 600 fieldpack collection sync COLLECTION_ID data/
"""


def register(root: typer.Typer) -> None:
    """Add `sync`."""
    root.command(epilog=_EXAMPLES)(sync)


def sync(
    collection_id: Annotated[str, typer.Argument(metavar="COLLECTION_ID", help="Id of the collection.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to keep equal; made if missing.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Keep a folder equal to a collection.

    The folder is an extracted archive. What is new or changed is fetched, what was erased is removed.
    Run it again at any time, also after an interruption: a run without news costs nothing.
    """
    from dataclasses import asdict

    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client
    from fieldpack.client.progress import format_bytes, show_progress
    from fieldpack.client.sync import sync_collection

    with Client() as client:
        try:
            with show_progress() as tell:
                done = sync_collection(client, collection_id, folder, on_progress=tell)
        except KeyboardInterrupt:
            typer.echo("fieldpack: Stopped: run the same command again to go on.", err=True)
            raise typer.Exit(130) from None
    if json:
        print_json({"folder": str(folder), **asdict(done)})
        return
    print_text(
        f"{folder}: {done.fetched:,} fetched, {done.removed:,} removed, {done.unchanged:,} unchanged; "
        f"{format_bytes(done.transferred_bytes)} transferred."
    )
