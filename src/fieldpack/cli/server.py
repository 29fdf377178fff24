"""`fieldpack serve` and `worker` run a server; `token` and `workspace` administer it; `demo` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldpack.cli.lazy import make_app

if TYPE_CHECKING:
    from fieldpack.server.db.pool import Connection

__all__ = ["register"]

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the database, files and keys [FIELDPACK_DATA_DIR]."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_SERVE_EXAMPLES = """\b
Examples:
  fieldpack serve                         everything, for this machine
  fieldpack serve --host 0.0.0.0 --tls    for other machines too, over HTTPS
  fieldpack serve --public-url https://data.example.org
                                          behind a proxy that is reached there
"""
_TOKEN_EXAMPLES = """\b
Examples:
  fieldpack token create --name laptop
  fieldpack token create --name ada --researcher ada@example.org --workspace WORKSPACE_ID
  export PROLIFIC_TOKEN=$(fieldpack token create --name script)
"""
_WORKSPACE_EXAMPLES = """\b
Examples:
  fieldpack workspace create --title "Field team"
  fieldpack workspace features WORKSPACE_ID --collections off
"""

token_app = make_app(help="Create, list and revoke API tokens.", epilog=_TOKEN_EXAMPLES)
workspace_app = make_app(
    help="Create and list workspaces, switch their features.", epilog=_WORKSPACE_EXAMPLES
)


def register(root: typer.Typer) -> None:
    """Add the commands that need the server extra."""
    root.command(epilog=_SERVE_EXAMPLES)(serve)
    root.command()(worker)
    root.command()(demo)
    root.add_typer(token_app, name="token")
    root.add_typer(workspace_app, name="workspace")


def serve(
    data_dir: DataDir = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve HTTPS, with a certificate authority made on first use.")
    ] = False,
    public_url: Annotated[
        str | None, typer.Option(help="Origin that links begin with, behind a proxy [FIELDPACK_PUBLIC_URL].")
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Run no export jobs here; `fieldpack worker` does, elsewhere.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of web processes.")] = 1,
    researcher: Annotated[
        str | None,
        typer.Option(help="E-mail of whom the sign-in link printed at a terminal is for, of several."),
    ] = None,
) -> None:
    """Run the server: API, pages and export jobs.

    Without settings everything is in one folder: an embedded PostgreSQL, the files, and the token of the
    first researcher, printed once and stored for the command line on this machine. FIELDPACK_DATABASE_URL and
    FIELDPACK_STORAGE_URL point to a PostgreSQL and a bucket instead. Where there is no installation yet, one is
    made. At a terminal it prints a link that signs a researcher in, once; `fieldpack open` makes another.
    """
    from fieldpack.server.config import load_settings
    from fieldpack.server.run.serve import serve_until_stopped

    settings = load_settings(data_dir=data_dir, public_url=public_url)
    serve_until_stopped(
        settings, host=host, port=port, tls=tls, worker=not no_worker, web=workers, researcher=researcher
    )


def worker(
    data_dir: DataDir = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Jobs at a time [FIELDPACK_WORKER_CONCURRENCY]."),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            help="Take jobs from this queue only: exports, parts or maintenance. Repeatable; all by default"
            " [FIELDPACK_WORKER_QUEUES]."
        ),
    ] = None,
) -> None:
    """Run export jobs, for a server in another process or on another machine.

    Any number of workers share one PostgreSQL and one storage. SIGTERM ends a worker cleanly: another takes
    up what it was doing. Every queue needs a worker somewhere.
    """
    from fieldpack.server.config import load_settings
    from fieldpack.server.run.serve import work_until_stopped

    work_until_stopped(
        load_settings(
            data_dir=data_dir,
            worker_concurrency=concurrency,
            worker_queues=",".join(queue) if queue else None,
        )
    )


def demo(
    submissions: Annotated[
        int, typer.Option("-n", "--submissions", min=1, help="Submissions to make.")
    ] = 200,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Keep everything here; without it, only the archive is kept."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the demo's server; 0 takes a free one.")
    ] = 0,
    keep_running: Annotated[
        bool | None,
        typer.Option(
            "--keep-running/--no-keep-running",
            help="Leave the server up afterwards, until Ctrl-C. Without either: at a terminal.",
        ),
    ] = None,
) -> None:
    """Show the whole of it: a server, a collection, participants with photos, an export, a table.

    Nothing is mocked: participants answer and upload through the public routes, the archive comes through the
    command line, and pandas opens it. At a terminal the server then stays up, with links to look at. In the end,
    or when it is stopped, everything but the archive is cleared away, unless a folder was named.
    """
    from fieldpack.demo.demonstration import run_demo

    run_demo(submissions, folder, port=port, keep_running=keep_running)


def _settings(data_dir: Path | None) -> Any:
    from fieldpack.server.config import load_settings

    return load_settings(data_dir=data_dir)


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="What to know it by.")],
    workspace: Annotated[str | None, typer.Option(help="Workspace id; the first one without it.")] = None,
    researcher: Annotated[
        str | None, typer.Option(help="E-mail of the researcher, made if new; the first one without it.")
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a token. It is shown this once; only a hash of it is stored.

    Where a data folder or database is named that holds no installation yet, one is made.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.accounts import service
    from fieldpack.server.installation.opening import is_named
    from fieldpack.server.run import administration

    workspace_id = administration.parse_workspace(workspace)
    settings = _settings(data_dir)
    made = administration.administer(
        settings,
        lambda connection: service.create_token(connection, name, workspace_id, researcher),
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


@token_app.command("list")
def list_tokens(data_dir: DataDir = None, json: AsJson = False) -> None:
    """List all tokens.

    Whose they are, when each was last used, and whether it was revoked.
    """
    from fieldpack.cli.output import print_json, print_table
    from fieldpack.server.run import administration

    rows = administration.administer(_settings(data_dir), administration.list_tokens)
    if json:
        print_json(rows)
    else:
        columns = ("token_id", "name", "researcher", "created_at", "last_used_at", "revoked_at")
        print_table(rows, columns, empty="There are no tokens.")


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
        _settings(data_dir), lambda connection: administration.revoke_token(connection, token_id)
    )
    if json:
        print_json({"token_id": token_id, "revoked": True})
    else:
        print_text(f"Token {token_id} is revoked.")


@workspace_app.command("list")
def list_workspaces(data_dir: DataDir = None, json: AsJson = False) -> None:
    """List the workspaces of this installation."""
    from fieldpack.cli.output import print_json, print_table
    from fieldpack.server.run import administration

    rows = administration.administer(_settings(data_dir), administration.list_workspaces)
    if json:
        print_json(rows)
    else:
        print_table(rows, ("id", "title", "collections", "created_at"), empty="There are no workspaces.")


@workspace_app.command("create")
def create_workspace(
    title: Annotated[str, typer.Option(help="Its title.")],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a workspace; the first researcher becomes its member.

    Where a data folder or database is named that holds no installation yet, one is made.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.installation.opening import is_named
    from fieldpack.server.run import administration

    settings = _settings(data_dir)
    made = administration.administer(
        settings,
        lambda connection: administration.create_workspace(connection, title),
        may_create=is_named(settings),
    )
    if json:
        print_json(made)
    else:
        print_text(f"Created workspace {made['id']}: {made['title']}.")


@workspace_app.command("features")
def switch_features(
    workspace_id: Annotated[str, typer.Argument(metavar="WORKSPACE_ID", help="Id of the workspace.")],
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

    administration.administer(_settings(data_dir), switch)
    changed = {"collections": collections, "export_dialect": export_dialect}
    if json:
        print_json({"id": workspace_id, **{name: value for name, value in changed.items() if value}})
        return
    if collections is not None:
        print_text(f"Collections are {collections} in workspace {workspace_id}.")
    if export_dialect is not None:
        print_text(f"Exports in workspace {workspace_id} are requested as in {export_dialect}.")
