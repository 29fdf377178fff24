"""`fieldpack token`: API tokens of an installation, made, listed, changed for others and ended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fieldpack.cli.completion import complete_workspace
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir, load

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack token create --name laptop
  fieldpack token create --name ada --researcher ada@example.org --workspace WORKSPACE_ID
  fieldpack token create --name nightly --role analyst --expires 90
  fieldpack token rotate TOKEN_ID --overlap 48
  export PROLIFIC_TOKEN=$(fieldpack token create --name script)
"""

token_app = make_app(help="Create, list, rotate and revoke API tokens.", epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(token_app, name="token")


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="What to know it by.")],
    workspace: Annotated[
        str | None,
        typer.Option(help="Workspace id; the first one without it.", autocompletion=complete_workspace),
    ] = None,
    researcher: Annotated[
        str | None, typer.Option(help="E-mail of the researcher, made if new; the first one without it.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            help="What it allows at most, and what a new member is: owner, editor, reviewer, analyst or viewer."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS|DATE",
            help="How long it is good: days, or the last day, such as 2027-03-31 (UTC). Without it, for ever.",
        ),
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a token. It is shown this once; only a hash of it is stored.

    It allows what its researcher may at the time of each request, and with --role no more than that role.
    Where a data folder or database is named that holds no installation yet, one is made.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.accounts.tokens import service
    from fieldpack.server.installation.opening import is_named
    from fieldpack.server.run import administration
    from fieldpack.server.run.membership import parse_role

    workspace_id = administration.parse_workspace(workspace)
    at_most = parse_role(role) if role is not None else None
    expires_at = service.parse_expiry(expires) if expires is not None else None
    settings = load(data_dir)
    made = administration.administer(
        settings,
        lambda connection: service.create_token(
            connection, name, workspace_id, researcher, role=at_most, expires_at=expires_at
        ),
        may_create=is_named(settings),
    )
    if json:
        print_json(
            {
                "token": made.token,
                "token_id": str(made.token_id),
                "researcher_id": str(made.researcher_id),
                "workspace_id": str(made.workspace_id),
            }
        )
        return
    print_text(made.token)
    typer.echo(f"Token {made.token_id} of workspace {made.workspace_id}. It is not shown again.", err=True)


@list_command(
    token_app,
    "list",
    (
        "token_id",
        "name",
        "researcher",
        "role",
        "created_at",
        "expires_at",
        "last_used_at",
        "last_used_address",
        "revoked_at",
    ),
    empty="There are no tokens.",
)
def list_tokens(data_dir: DataDir = None) -> list[dict[str, Any]]:
    """List all tokens.

    Whose they are, what they allow at most, when and from where each was last used, until when it is good, and whether
    it was revoked.
    """
    from fieldpack.server.run import administration

    return administration.administer(load(data_dir), administration.list_tokens)


@token_app.command("revoke")
def revoke_token(
    token_id: Annotated[
        str, typer.Argument(metavar="TOKEN_ID", help="Id of the token, as `token list` shows it.")
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """End a token at once."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.run import administration

    administration.administer(
        load(data_dir), lambda connection: administration.revoke_token(connection, token_id)
    )
    if json:
        print_json({"token_id": token_id, "revoked": True})
    else:
        print_text(f"Token {token_id} is revoked.")


@token_app.command("rotate")
def rotate_token(
    token_id: Annotated[
        str, typer.Argument(metavar="TOKEN_ID", help="Id of the token, as `token list` shows it.")
    ],
    overlap: Annotated[
        float,
        typer.Option(
            min=0, max=87600, metavar="HOURS", help="How long the old token stays good beside the new one."
        ),
    ] = 24,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a token in place of one: of the same name, role and length of life.

    It is shown this once. The old one stays good for --overlap hours, so that nothing stops while scripts are given the
    new one; with 0 it ends at once.
    """
    from datetime import timedelta

    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.run import administration

    made, until = administration.administer(
        load(data_dir),
        lambda connection: administration.rotate_token(connection, token_id, timedelta(hours=overlap)),
    )
    ends = until.isoformat().replace("+00:00", "Z")
    if json:
        print_json(
            {
                "token": made.token,
                "token_id": str(made.token_id),
                "researcher_id": str(made.researcher_id),
                "replaces": token_id,
                "replaced_expires_at": ends,
            }
        )
        return
    print_text(made.token)
    typer.echo(f"Token {made.token_id}, not shown again. Token {token_id} is good until {ends}.", err=True)
