"""`fieldpack serve` and `worker` run a server; `demo` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.options import DataDir

__all__ = ["register"]


_SERVE_EXAMPLES = """\b
Examples:
  fieldpack serve                         everything, for this machine
  fieldpack serve --host 0.0.0.0 --tls    for other machines too, over HTTPS
  fieldpack serve --public-url https://data.example.org
                                          behind a proxy that is reached there
"""


def register(root: typer.Typer) -> None:
    """Add the commands that need the server extra."""
    root.command(epilog=_SERVE_EXAMPLES)(serve)
    root.command()(worker)
    root.command()(demo)


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
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Number of web processes.", show_default="one a processor, 8 at most"
        ),
    ] = None,
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
            help="Take jobs from this queue only: exports, parts, maintenance, hooks or thumbnails. Repeatable; all by"
            " default"
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
