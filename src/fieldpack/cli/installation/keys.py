"""`fieldpack keys`: the keys that sign download links, researchers' cookies and participants' personal links."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir, load

__all__ = ["register"]

_COLUMNS = ("purpose", "key_id", "signs", "created_at", "retired_at", "expires_at")
_EXAMPLES = """\b
Examples:
  fieldpack keys rotate          new keys; what the old ones signed stays good until its time is over
  fieldpack keys rotate --now    end every download link, personal link and researcher's session at once
"""

keys_app = make_app(help="List and change the keys that sign links and cookies.", epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(keys_app, name="keys")


@list_command(
    keys_app, "list", _COLUMNS, empty="There are no keys yet; they are made when they are first needed."
)
def list_keys(data_dir: DataDir = None) -> list[dict[str, Any]]:
    """List the keys by name, and until when each is good. Their secrets are never shown."""
    from fieldpack.server.run.administration import administer, list_keys

    return administer(load(data_dir), list_keys)


@keys_app.command("rotate")
def rotate_keys(
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="End every download link, personal link and researcher's session at once."
        ),
    ] = False,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make new keys, which sign from now on in every process.

    What the old keys signed stays good until its time is over, at most a link's or a session's life. With --now
    it is refused at once: researchers sign in again, and downloads and participants who come by personal links need
    fresh ones. Whoever takes part notices nothing.
    """
    from fieldpack.cli.output import print_json, print_table
    from fieldpack.server.run.administration import rotate_keys

    rows = rotate_keys(load(data_dir), now=now)
    if json:
        print_json(rows)
    else:
        print_table(rows, _COLUMNS, empty="")
