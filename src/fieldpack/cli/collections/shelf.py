"""`fieldpack collection archive`, `unarchive`, `duplicate` and `delete`: put aside, copied, ended."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fieldpack.cli.completion import CollectionId
from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack collection delete COLLECTION_ID
  fieldpack collection delete COLLECTION_ID --name "Receipts, pilot"
"""


def register(root: typer.Typer) -> None:
    """Add the four."""
    root.command()(archive)
    root.command()(unarchive)
    root.command()(duplicate)
    root.command(epilog=_EXAMPLES)(delete)


def archive(collection_id: CollectionId, json: AsJson = False) -> None:
    """Put a collection aside, out of lists.

    Nothing else follows: its studies go on, its links and exports stay good. `list --archived` shows it.
    """
    _shelve(collection_id, json=json, is_archived=True)


def unarchive(collection_id: CollectionId, json: AsJson = False) -> None:
    """Put a collection back into lists."""
    _shelve(collection_id, json=json, is_archived=False)


def _shelve(collection_id: str, *, json: bool, is_archived: bool) -> None:
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        found = client.archive_collection(collection_id, is_archived)
    if json:
        print_json(found)
    else:
        print_text(f"{'Archived' if is_archived else 'Back in lists'}: {found['id']}: {found['name']}.")


def duplicate(
    collection_id: CollectionId,
    name: Annotated[
        str | None, typer.Option("-n", "--name", help="Name of the copy; the old one with (copy).")
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a new collection that asks the same.

    It is made in the same workspace. Its pages and questions have ids of their own; studies and answers are not copied.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        made = client.duplicate_collection(collection_id, name)
    if json:
        print_json(made)
    else:
        print_text(f"Created collection {made['id']}: {made['name']}.")


def delete(
    collection_id: CollectionId,
    name: Annotated[
        str | None,
        typer.Option("-n", "--name", help="Name of the collection, instead of typing it when asked."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Delete a collection with all that participants gave to it.

    Answers, files, studies and exports go with it, and links stop working. Its name has to be typed. It
    cannot be undone.
    """
    from fieldpack.cli.collections.data import erase_submissions, list_submissions
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client
    from fieldpack.text import make_plain, say_count

    with Client() as client:
        wanted = str(client.get_collection(collection_id).get("name"))
        submissions = list_submissions(client, collection_id)
        if name is None:
            if not sys.stdin.isatty():
                raise UsageError(
                    "Deleting asks for the name, and there is no terminal to ask at: give --name."
                )
            held = say_count(len(submissions), "submission")
            name = typer.prompt(
                f"This deletes {make_plain(wanted)!r} with {held}, all answers, files, studies and exports, for good.\n"
                "Type the name of the collection to go on",
                err=True,
            )
        if name.strip() != wanted.strip():
            raise UsageError(f"The name of this collection is {make_plain(wanted)!r}: nothing was deleted.")
        erase_submissions(client, submissions)
        client.delete_collection(collection_id, name)
    if json:
        print_json({"collection_id": collection_id, "erased_submissions": len(submissions)})
    else:
        print_text(f"Deleted {wanted} with {say_count(len(submissions), 'submission')}.")
