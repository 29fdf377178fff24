"""`fieldpack status`, `jobs` and `operator`: how the installation does, what failed, and who may look after it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir, Limit, Offset, load
from fieldpack.errors import UsageError

__all__ = ["register"]

jobs_app = make_app(help="List jobs that failed, and have them tried again.")
operator_app = make_app(
    help="Say who may look after the installation in the browser: sizes, jobs, sweeps. It opens no workspace."
)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address of the researcher.")]


def register(root: typer.Typer) -> None:
    """Add the command and the groups."""
    root.command("status")(show_status)
    root.add_typer(jobs_app, name="jobs")
    root.add_typer(operator_app, name="operator")


def show_status(data_dir: DataDir = None, json: AsJson = False) -> None:
    """Say how the installation does: what somebody has to look at, versions, and what it takes. Changes nothing.

    The exit code is 1 when something is in trouble, so that a script can watch it.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.run.administration import read_installation
    from fieldpack.text import say_bytes, say_count

    status = read_installation(load(data_dir))
    if json:
        print_json(status)
    else:
        for finding in status["findings"]:
            mark = {"well": "ok     ", "look": "look   ", "trouble": "TROUBLE"}[finding["state"]]
            print_text(f"{mark}  {finding['text']}")
        print_text()
        for name, version in status["versions"].items():
            print_text(f"{name:<11}  {version}")
        for disk in status["disks"]:
            print_text(
                f"{disk['kind'] + ' disk':<11}  {say_bytes(disk['free_bytes'])} free of {say_bytes(disk['size_bytes'])}"
            )
        print_text(f"{'database':<11}  {say_bytes(status['database']['size_bytes'])}")
        for stored in status["storage"]:
            print_text(
                f"{stored['kind']:<11}  {say_bytes(stored['size_bytes'])}, {say_count(stored['objects'], 'file')}"
            )
    if status["state"] == "trouble":
        raise typer.Exit(1)


@list_command(
    jobs_app, "list", ("id", "task", "queue", "attempts", "failed_at", "reason"), empty="No job has failed."
)
def list_jobs(limit: Limit = None, offset: Offset = 0, data_dir: DataDir = None) -> list[dict[str, Any]]:
    """List jobs that failed and are not tried again by themselves, newest first, and why."""
    from fieldpack.server.db.pool import Connection
    from fieldpack.server.operations.administration import describe_job, list_failed_jobs
    from fieldpack.server.run.administration import administer

    async def work(connection: Connection) -> list[dict[str, Any]]:
        rows, _ = await list_failed_jobs(connection, None, limit or 1000, offset)
        return [describe_job(row) for row in rows]

    return administer(load(data_dir), work)


@jobs_app.command("retry")
def retry_job(
    job_id: Annotated[
        str, typer.Argument(metavar="JOB_ID", help="Number of the job, as `jobs list` shows it.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Have a failed job tried again, by a worker that runs now or later."""
    from fieldpack.cli.output import print_text
    from fieldpack.server.db.pool import Connection
    from fieldpack.server.operations.administration import retry_job
    from fieldpack.server.run.administration import administer
    from fieldpack.server.values.whole_numbers import read_whole

    number = read_whole(job_id)
    if number is None:
        raise UsageError(f"{job_id!r} is not a job's number; `fieldpack jobs list` shows them.")

    async def work(connection: Connection) -> None:
        await retry_job(connection, None, number)

    administer(load(data_dir), work)
    print_text(f"The job {number} is tried again.")


@list_command(
    operator_app, "list", ("email", "name", "created_at", "researcher_id"), empty="Nobody is an operator."
)
def list_operators(data_dir: DataDir = None) -> list[dict[str, Any]]:
    """List who may look after the installation."""
    from fieldpack.server.accounts.operators.service import describe_operators
    from fieldpack.server.run.administration import administer

    return administer(load(data_dir), describe_operators)


@operator_app.command("add")
def add_operator(email: Email, data_dir: DataDir = None) -> None:
    """Let a researcher look after the installation."""
    from fieldpack.cli.output import print_text
    from fieldpack.server.accounts.operators.service import add_operator
    from fieldpack.server.run.administration import administer

    added = administer(load(data_dir), lambda connection: add_operator(connection, email))
    print_text(f"{email} is an operator{' now' if added else ' already'}.")


@operator_app.command("remove")
def remove_operator(email: Email, data_dir: DataDir = None) -> None:
    """Let a researcher look after the installation no more. What they may do in workspaces stays."""
    from fieldpack.cli.output import print_text
    from fieldpack.server.accounts.operators.service import remove_operator
    from fieldpack.server.run.administration import administer

    removed = administer(load(data_dir), lambda connection: remove_operator(connection, email))
    print_text(f"{email} {'is no operator any more' if removed else 'was no operator'}.")
