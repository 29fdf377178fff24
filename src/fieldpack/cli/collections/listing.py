"""`fieldpack collection list`: the collections of a workspace, and which workspace is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fieldpack.cli.completion import complete_workspace
from fieldpack.cli.lists import cut, list_command
from fieldpack.cli.options import Limit, Offset
from fieldpack.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from fieldpack.client import Client

__all__ = ["find_workspace", "make_row", "register"]

State = Literal["open", "paused", "ended", "draft"]


def register(root: typer.Typer) -> None:
    """Add `list`."""
    list_command(
        root,
        "list",
        ("id", "name", "pages", "items", "created_at", "last_modified_at"),
        empty="There are no such collections in this workspace.",
        flatten=make_row,
        in_csv=("id", "name", "item_count", "created_at", "last_modified_at"),
    )(list_collections)


def make_row(collection: Mapping[str, Any]) -> dict[str, Any]:
    """A collection as tables show it: the API's `item_count` counts its pages."""
    pages = collection.get("collection_items")
    row = {**collection, "pages": collection.get("item_count")}
    if isinstance(pages, list):
        row |= {"pages": len(pages), "items": sum(len(page.get("page_items") or ()) for page in pages)}
    return row


def list_collections(
    workspace: Annotated[
        str | None,
        typer.Option(
            "-w",
            "--workspace",
            help="Workspace id; your first one without it.",
            autocompletion=complete_workspace,
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Only those whose name or description holds this, or whose id it is.")
    ] = None,
    state: Annotated[
        State | None, typer.Option(help="Only those whose studies are open, paused, all ended, or drafts.")
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you made.")] = False,
    review: Annotated[
        bool, typer.Option("--review", help="Only those with submissions that wait for a review.")
    ] = False,
    archived: Annotated[bool, typer.Option("--archived", help="Those that were put aside instead.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Those that were put aside too.")] = False,
    sort: Annotated[
        Literal["created", "activity"],
        typer.Option(help="Newest first, or those where something happened last."),
    ] = "created",
    limit: Limit = None,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """List the collections of a workspace."""
    from fieldpack.client import Client

    if archived and everything:
        raise UsageError("Use either --archived or --all, not both.")
    with Client() as client:
        found = client.list_collections(
            workspace or find_workspace(client),
            search=search,
            state=state,
            mine=mine,
            review=review,
            archived="all" if everything else "yes" if archived else None,
            sort=None if sort == "created" else sort,
        )
    return cut(found, limit, offset)


def find_workspace(client: Client) -> str:
    """The id of the researcher's first workspace.

    Raises:
        ConfigError: there is none.
    """
    workspaces = client.list_workspaces()
    if not workspaces:
        raise ConfigError("You are in no workspace: create one (`fieldpack workspace create --title T`).")
    if len(workspaces) > 1:
        from fieldpack.cli.output import print_note

        first = workspaces[0]
        print_note(f"using workspace {first['id']}, the first of {len(workspaces)}; -w takes another.")
    return str(workspaces[0]["id"])
