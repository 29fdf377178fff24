"""`fieldpack workspace members`: who has which role in a workspace, or on one collection of it."""

from __future__ import annotations

from typing import Annotated

import typer

from fieldpack.cli.completion import WorkspaceId, complete_collection
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir, load

__all__ = ["members_app"]

_EXAMPLES = """\b
Roles: owner, editor (collections and studies), reviewer (responses, approve and reject), analyst (exports),
viewer (counts; nothing of a person). docs/roles.md has all of it.

\b
Examples:
  fieldpack workspace members list WORKSPACE_ID
  fieldpack workspace members add WORKSPACE_ID ada@example.org --role reviewer
  fieldpack workspace members add WORKSPACE_ID bo@example.org --role analyst --collection COLLECTION_ID
  fieldpack workspace members role WORKSPACE_ID ada@example.org editor
  fieldpack workspace members remove WORKSPACE_ID ada@example.org
"""

members_app = make_app(help="Say who may do what in a workspace.", epilog=_EXAMPLES)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address of the researcher.")]
Collection = Annotated[
    str | None,
    typer.Option(
        metavar="COLLECTION_ID",
        help="On this collection alone, in place of the role in the workspace.",
        autocompletion=complete_collection,
    ),
]


@list_command(
    members_app,
    "list",
    ("email", "name", "role", "created_at", "researcher_id"),
    empty="Nobody has a role here.",
)
def list_members(
    workspace_id: WorkspaceId, collection: Collection = None, data_dir: DataDir = None
) -> list[dict[str, object]]:
    """List who has a role in a workspace, or on one collection."""
    from fieldpack.server.db.pool import Connection
    from fieldpack.server.run import membership
    from fieldpack.server.run.administration import administer

    async def work(connection: Connection) -> list[dict[str, object]]:
        return await membership.list_members(
            connection, await membership.find_members(connection, workspace_id, collection)
        )

    return administer(load(data_dir), work)


@members_app.command("add")
def add_member(
    workspace_id: WorkspaceId,
    email: Email,
    role: Annotated[str, typer.Option(help="Their role: owner, editor, reviewer, analyst or viewer.")],
    collection: Collection = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Give somebody a role. Who is new here is made a researcher; `fieldpack open --researcher EMAIL` signs them in."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.db.pool import Connection
    from fieldpack.server.run import membership
    from fieldpack.server.run.administration import administer

    given = membership.parse_role(role)

    async def work(connection: Connection) -> dict[str, object]:
        of = await membership.find_members(connection, workspace_id, collection)
        return await membership.add_member(connection, of, email, given)

    added = administer(load(data_dir), work)
    if json:
        print_json(added)
    else:
        print_text(f"{added['email']} is {added['role']} now.")


@members_app.command("role")
def change_role(
    workspace_id: WorkspaceId,
    email: Email,
    role: Annotated[
        str,
        typer.Argument(metavar="ROLE", help="Their new role: owner, editor, reviewer, analyst or viewer."),
    ],
    collection: Collection = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Give somebody another role, from their next request on. The last owner of a workspace stays one."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.db.pool import Connection
    from fieldpack.server.run import membership
    from fieldpack.server.run.administration import administer

    given = membership.parse_role(role)

    async def work(connection: Connection) -> dict[str, object]:
        of = await membership.find_members(connection, workspace_id, collection)
        return await membership.change_role(connection, of, email, given)

    changed = administer(load(data_dir), work)
    if json:
        print_json(changed)
    else:
        print_text(f"{changed['email']} is {changed['role']} now.")


@members_app.command("remove")
def remove_member(
    workspace_id: WorkspaceId,
    email: Email,
    collection: Collection = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Take somebody's role away, from their next request on, with those on the workspace's collections."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.db.pool import Connection
    from fieldpack.server.run import membership
    from fieldpack.server.run.administration import administer

    async def work(connection: Connection) -> None:
        of = await membership.find_members(connection, workspace_id, collection)
        await membership.remove_member(connection, of, email)

    administer(load(data_dir), work)
    if json:
        print_json({"email": email, "removed": True})
    else:
        print_text(f"{email} has no role here any more.")
