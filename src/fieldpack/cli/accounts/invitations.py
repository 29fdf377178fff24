"""`fieldpack workspace invite` and `invitations`: links that make whoever follows one a member."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fieldpack.cli.completion import WorkspaceId, complete_collection, complete_workspace
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir, load

__all__ = ["invitations_app", "invite"]

invitations_app = make_app(help="List invitations to a workspace, and withdraw them.")


def invite(
    workspace_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[WORKSPACE_ID]",
            help="Id of the workspace; the only one without it.",
            autocompletion=complete_workspace,
        ),
    ] = None,
    role: Annotated[
        str, typer.Option(help="The role: owner, editor, reviewer, analyst or viewer.")
    ] = "viewer",
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="COLLECTION_ID",
            help="The role is on this collection alone.",
            autocompletion=complete_collection,
        ),
    ] = None,
    email: Annotated[str | None, typer.Option(help="Only for who has this address.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="Days that the link is good, or its last day; a week without it.")
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a link that makes whoever follows it a member. It works once, and is shown this once."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.run import inviting
    from fieldpack.server.run.membership import parse_role

    made = inviting.invite(
        load(data_dir), workspace_id, parse_role(role), collection=collection, email=email, expires=expires
    )
    if json:
        print_json(made)
        return
    print_text(made["url"])
    typer.echo(f"For one {made['role']}, until {made['expires_at']}. It is not shown again.", err=True)


@list_command(
    invitations_app,
    "list",
    ("id", "role", "status", "email", "accepted_by", "expires_at"),
    empty="There are no invitations.",
)
def list_invitations(
    workspace_id: WorkspaceId,
    data_dir: DataDir = None,
) -> list[dict[str, Any]]:
    """List invitations to a workspace, newest first."""
    from fieldpack.server.run import inviting
    from fieldpack.server.run.administration import administer, parse_workspace

    identifier = parse_workspace(workspace_id)
    assert identifier is not None
    return administer(load(data_dir), lambda connection: inviting.list_invitations(connection, identifier))


@invitations_app.command("revoke")
def revoke_invitation(
    invitation_id: Annotated[
        str,
        typer.Argument(metavar="INVITATION_ID", help="Id of the invitation, as `invitations list` shows it."),
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Let nobody follow a link any more."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.run import inviting
    from fieldpack.server.run.administration import administer

    administer(load(data_dir), lambda connection: inviting.revoke_invitation(connection, invitation_id))
    if json:
        print_json({"id": invitation_id, "revoked": True})
    else:
        print_text(f"Invitation {invitation_id} is withdrawn.")
