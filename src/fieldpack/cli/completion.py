"""What the shell offers after Tab where a command takes an id: the server's ids, with names beside them.

A shell waits for it while somebody types, so it has a time limit, and never prints a message.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fieldpack.client import Client

__all__ = [
    "CollectionId",
    "GroupId",
    "ProjectId",
    "StudyId",
    "SubscriptionId",
    "WorkspaceId",
    "complete_collection",
    "complete_project",
    "complete_study",
    "complete_subscription",
    "complete_workspace",
]

LONGEST_WAIT = 1.0
"""Seconds that a person waits for what may be offered."""

Offers = list[tuple[str, str]]

_ID = re.compile(r"[A-Za-z0-9_.-]+")
# What Typer writes for zsh is evaluated there, and it does not mask all that stands in a name. So of ASCII only what
# means nothing to any shell, within quotes or without, reaches one.
_NOT_IN_LABELS = re.compile(r"[\x00-\x7f](?<![A-Za-z0-9_.,/@+-])")
_LONGEST_LABEL = 60


def complete_collection(incomplete: str) -> Offers:
    """Ids of collections that begin with what is typed, newest first, with their names."""
    return _offer(_of_each_workspace(lambda client, id: client.list_collections(id)), incomplete, "name")


def complete_workspace(incomplete: str) -> Offers:
    """Ids of workspaces that begin with what is typed, with their titles."""
    return _offer(lambda client: client.list_workspaces(), incomplete, "title")


def complete_study(incomplete: str) -> Offers:
    """Ids of studies that begin with what is typed, with their names."""
    return _offer(lambda client: client.list_studies(), incomplete, "name")


def complete_project(incomplete: str) -> Offers:
    """Ids of projects that begin with what is typed, with their titles."""
    return _offer(_of_each_workspace(lambda client, id: client.list_projects(id)), incomplete, "title")


def complete_group(incomplete: str) -> Offers:
    """Ids of participant groups that begin with what is typed, with their names."""
    return _offer(lambda client: client.list_participant_groups(), incomplete, "name")


def complete_subscription(incomplete: str) -> Offers:
    """Ids of subscriptions to events that begin with what is typed, with where they are sent."""

    def ask(client: Client) -> Iterable[dict[str, Any]]:
        yield from client.list_hooks()
        yield from client.list_hooks(is_enabled=False)

    return _offer(ask, incomplete, "target_url")


def _of_each_workspace(
    ask: Callable[[Client, str], Iterable[dict[str, Any]]],
) -> Callable[[Client], Iterable[dict[str, Any]]]:
    """What each workspace has, one after the other."""

    def ask_all(client: Client) -> Iterable[dict[str, Any]]:
        for workspace in client.list_workspaces():
            yield from ask(client, str(workspace["id"]))

    return ask_all


def _offer(ask: Callable[[Client], Iterable[dict[str, Any]]], incomplete: str, label: str) -> Offers:
    found: Offers = []

    def run() -> None:
        # No server, no token, no right to see it: then there is nothing to offer.
        try:
            from fieldpack.client import Client

            with warnings.catch_warnings(), Client(timeout=LONGEST_WAIT, retries=0) as client:
                warnings.simplefilter("ignore")
                for thing in ask(client):
                    identifier = str(thing["id"])
                    if identifier.startswith(incomplete) and _ID.fullmatch(identifier):
                        found.append((identifier, _make_label(thing.get(label))))
        except Exception:
            return

    # in a thread that is not waited for to its end: a socket's timeout does not limit the total of several requests
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONGEST_WAIT)
    return list(found)


def _make_label(name: Any) -> str:
    """A name as a shell may show it beside an id: it comes from others, and no shell may act on it."""
    from fieldpack.text import make_line

    return make_line(_NOT_IN_LABELS.sub(" ", str(name or "")))[:_LONGEST_LABEL]


CollectionId = Annotated[
    str,
    typer.Argument(metavar="COLLECTION_ID", help="Id of the collection.", autocompletion=complete_collection),
]

StudyId = Annotated[
    str, typer.Argument(metavar="STUDY_ID", help="Id of the study.", autocompletion=complete_study)
]

WorkspaceId = Annotated[
    str,
    typer.Argument(metavar="WORKSPACE_ID", help="Id of the workspace.", autocompletion=complete_workspace),
]

ProjectId = Annotated[
    str, typer.Argument(metavar="PROJECT_ID", help="Id of the project.", autocompletion=complete_project)
]

GroupId = Annotated[
    str, typer.Argument(metavar="GROUP_ID", help="Id of the group.", autocompletion=complete_group)
]

SubscriptionId = Annotated[
    str,
    typer.Argument(
        metavar="SUBSCRIPTION_ID", help="Id of the subscription.", autocompletion=complete_subscription
    ),
]
