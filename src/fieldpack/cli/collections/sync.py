"""`fieldpack collection sync`: a folder that is kept equal to a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.completion import CollectionId
from fieldpack.cli.options import AsJson
from fieldpack.errors import FieldpackError

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
    collection_id: CollectionId,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to keep equal; made if missing.")],
    no_limit: Annotated[
        bool,
        typer.Option(
            "--no-limit", help="Unpack to as much as it claims, and whatever room the disk says it has."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Keep a folder equal to a collection.

    The folder is an extracted archive. What is new or changed is fetched, what was erased is removed.
    Run it again at any time, also after an interruption: a run without news costs nothing.

    Files that it did not bring, and those that were changed since, are left as they are. Where one is in the
    way it is named, the rest is brought, and the exit code is 1.
    """
    from dataclasses import asdict

    from fieldpack.cli.output import print_conflicts, print_json, print_left_out, print_note, print_text
    from fieldpack.client import Client
    from fieldpack.client.progress import show_progress
    from fieldpack.client.sync import sync_collection
    from fieldpack.reading.source import NO_LIMITS
    from fieldpack.text import say_bytes, say_count

    with Client() as client:
        try:
            with show_progress() as tell:
                done = sync_collection(
                    client,
                    collection_id,
                    folder,
                    limits=NO_LIMITS if no_limit else None,
                    on_progress=tell,
                )
        except KeyboardInterrupt:
            print_note("Stopped: run the same command again to go on.")
            raise typer.Exit(130) from None
    if json:
        print_json({"folder": str(folder), **asdict(done)})
    else:
        print_text(
            f"{folder}: {done.fetched:,} fetched, {done.removed:,} removed, {done.unchanged:,} unchanged; "
            f"{say_bytes(done.transferred_bytes)} transferred."
        )
    print_left_out(done.ignored)
    print_conflicts(done.conflicts)
    if done.conflicts:
        count = len(done.conflicts)
        raise FieldpackError(
            f"{folder} is not equal to the collection: {say_count(count, 'thing')} in it "
            f"{'is' if count == 1 else 'are'} not what was brought. Move {'it' if count == 1 else 'them'} away "
            "and run it again."
        )
