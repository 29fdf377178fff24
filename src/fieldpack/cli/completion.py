"""What the shell offers after Tab where a command takes an id: the server's ids, with names beside them.

A shell waits for it while somebody types, so it has a time limit, and never prints a message.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fieldpack.client import Client

__all__ = ["CollectionId", "StudyId", "complete_collection", "complete_study", "complete_workspace"]

LONGEST_WAIT = 1.0
"""Seconds that a person waits for what may be offered."""

Offers = list[tuple[str, str]]


def complete_collection(incomplete: str) -> Offers:
    """Ids of collections that begin with what is typed, newest first, with their names."""
    return _offer(_list_collections, incomplete, "name")


def complete_workspace(incomplete: str) -> Offers:
    """Ids of workspaces that begin with what is typed, with their titles."""
    return _offer(lambda client: client.list_workspaces(), incomplete, "title")


def complete_study(incomplete: str) -> Offers:
    """Ids of studies that begin with what is typed, with their names."""
    return _offer(lambda client: client.list_studies(), incomplete, "name")


def _list_collections(client: Client) -> Iterable[dict[str, Any]]:
    for workspace in client.list_workspaces():
        yield from client.list_collections(str(workspace["id"]))


def _offer(ask: Callable[[Client], Iterable[dict[str, Any]]], incomplete: str, label: str) -> Offers:
    from fieldpack.text import make_plain

    found: Offers = []

    def run() -> None:
        # No server, no token, no right to see it: then there is nothing to offer.
        try:
            from fieldpack.client import Client

            with warnings.catch_warnings(), Client(timeout=LONGEST_WAIT, retries=0) as client:
                warnings.simplefilter("ignore")
                for thing in ask(client):
                    identifier = make_plain(str(thing["id"]))
                    if identifier.startswith(incomplete) and " " not in identifier:
                        found.append((identifier, make_plain(str(thing.get(label) or ""))[:60]))
        except Exception:
            return

    # in a thread that is not waited for to its end: a socket's timeout does not limit the total of several requests
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONGEST_WAIT)
    return list(found)


CollectionId = Annotated[
    str,
    typer.Argument(metavar="COLLECTION_ID", help="Id of the collection.", autocompletion=complete_collection),
]

StudyId = Annotated[
    str, typer.Argument(metavar="STUDY_ID", help="Id of the study.", autocompletion=complete_study)
]
