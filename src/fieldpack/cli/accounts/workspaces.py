"""`fieldpack workspace`: workspaces of an installation, their features and members."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldpack.cli.accounts.invitations import invitations_app, invite
from fieldpack.cli.accounts.members import members_app
from fieldpack.cli.completion import WorkspaceId, complete_workspace
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import cut, list_command
from fieldpack.cli.options import AsJson, DataDir, Limit, Offset, load

if TYPE_CHECKING:
    from fieldpack.server.db.pool import Connection

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack workspace create --title "Field team"
  fieldpack workspace members add WORKSPACE_ID ada@example.org --role reviewer
  fieldpack workspace invite --role reviewer --email bo@example.org
  fieldpack workspace features WORKSPACE_ID --collections off
"""

workspace_app = make_app(
    help="Create and list workspaces, say who is in them, switch their features.", epilog=_EXAMPLES
)
workspace_app.add_typer(members_app, name="members")
workspace_app.add_typer(invitations_app, name="invitations")
workspace_app.command("invite")(invite)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(workspace_app, name="workspace")


def _is_elsewhere(data_dir: Path | None) -> bool:
    """Whether the workspaces of the server that PROLIFIC_TOKEN is for are meant: no installation is here or named."""
    named = ("FIELDPACK_DATA_DIR", "FIELDPACK_DATABASE_URL")
    return bool(
        os.environ.get("PROLIFIC_TOKEN")
        and data_dir is None
        and not any(os.environ.get(name) for name in named)
        and not Path("fieldpack-data").exists()
    )


@list_command(
    workspace_app, "list", ("id", "title", "collections", "created_at"), empty="There are no workspaces."
)
def list_workspaces(
    limit: Limit = None, offset: Offset = 0, data_dir: DataDir = None
) -> list[dict[str, Any]]:
    """List the workspaces of this installation.

    Where there is none, but PROLIFIC_TOKEN is set: those of the server that it is for.
    """
    if _is_elsewhere(data_dir):
        from fieldpack.client import Client

        with Client() as client:
            rows = client.list_workspaces()
    else:
        from fieldpack.server.run import administration

        rows = administration.administer(load(data_dir), administration.list_workspaces)
    return cut(rows, limit, offset)


@workspace_app.command("create")
def create_workspace(
    title: Annotated[str, typer.Option("-t", "--title", help="Its title.")],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a workspace; the first researcher becomes its owner.

    Where a data folder or database is named that holds no installation yet, one is made. Where there is none, but
    PROLIFIC_TOKEN is set, it is made on the server that it is for, and its owner is whose token that is.
    """
    from fieldpack.cli.output import print_json, print_text

    if _is_elsewhere(data_dir):
        from fieldpack.client import Client

        with Client() as client:
            made = client.create_workspace(title)
    else:
        from fieldpack.server.installation.opening import is_named
        from fieldpack.server.run import administration

        settings = load(data_dir)
        made = administration.administer(
            settings,
            lambda connection: administration.create_workspace(connection, title),
            may_create=is_named(settings),
        )
    if json:
        print_json(made)
    else:
        print_text(f"Created workspace {made['id']}: {made['title']}.")


@workspace_app.command("balance")
def show_balance(
    workspace_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[WORKSPACE_ID]",
            help="Id of the workspace; your first one without it.",
            autocompletion=complete_workspace,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Show what a workspace has to spend on the server that the token is for; fieldpack pays nobody, and says zero."""
    from fieldpack.cli.collections.listing import find_workspace
    from fieldpack.cli.output import print_one
    from fieldpack.client import Client

    with Client() as client:
        found = client.get_balance(workspace_id or find_workspace(client))
    print_one(found, ("currency_code", "total_balance", "available_balance"), json=json)


@workspace_app.command("features")
def switch_features(
    workspace_id: WorkspaceId,
    collections: Annotated[
        str | None, typer.Option(help="`on` or `off`: whether Collections are available.")
    ] = None,
    export_dialect: Annotated[
        str | None,
        typer.Option(
            help="`seed`: a recent export is answered again; `2026-11`: each request makes one, 10 are kept."
        ),
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Switch features of a workspace. With Collections off, its collections answer 404."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.errors import UsageError
    from fieldpack.server.run import administration

    if collections not in ("on", "off", None):
        raise UsageError("--collections takes on or off.")
    if export_dialect not in ("seed", "2026-11", None):
        raise UsageError("--export-dialect takes seed or 2026-11.")
    if collections is None and export_dialect is None:
        raise UsageError("Give --collections or --export-dialect.")
    identifier = administration.parse_workspace(workspace_id)
    assert identifier is not None

    async def switch(connection: Connection) -> None:
        if collections is not None:
            await administration.switch_collections(connection, identifier, collections == "on")
        if export_dialect is not None:
            await administration.switch_export_dialect(connection, identifier, export_dialect)

    administration.administer(load(data_dir), switch)
    changed = {"collections": collections, "export_dialect": export_dialect}
    if json:
        print_json({"id": workspace_id, **{name: value for name, value in changed.items() if value}})
        return
    if collections is not None:
        print_text(f"Collections are {collections} in workspace {workspace_id}.")
    if export_dialect is not None:
        print_text(f"Exports in workspace {workspace_id} are requested as in {export_dialect}.")
