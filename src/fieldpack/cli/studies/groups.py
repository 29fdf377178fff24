"""`fieldpack project`, which groups studies, `fieldpack participant`, which groups participants, and `whoami`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import GroupId, ProjectId
from fieldpack.cli.inputs import read_ids
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import cut, list_command
from fieldpack.cli.options import AnyWorkspace, AsJson, Limit, Offset, Workspace
from fieldpack.cli.output import print_json, print_one, print_text
from fieldpack.errors import UsageError

__all__ = ["register"]

project_app = make_app(help="Group studies in projects.")
participant_app = make_app(help="Group participants, whom studies then admit or leave out.")

Participants = Annotated[
    list[str] | None, typer.Option("-p", "--participant-id", help="Id; may be given several times.")
]


def register(root: typer.Typer) -> None:
    """Add the groups and `whoami`."""
    root.add_typer(project_app, name="project")
    root.add_typer(participant_app, name="participant")
    root.command("whoami")(show_researcher)


def show_researcher(json: AsJson = False) -> None:
    """Show whose token is used."""
    from fieldpack.client import Client

    with Client() as client:
        print_one(client.get_me(), ("id", "email", "name"), json=json)


@list_command(project_app, "list", ("id", "title", "description"), empty="There is no project yet.")
def list_projects(workspace: Workspace, limit: Limit = None, offset: Offset = 0) -> list[dict[str, Any]]:
    """List the projects of a workspace."""
    from fieldpack.client import Client

    with Client() as client:
        return cut(client.list_projects(workspace), limit, offset)


@project_app.command("view")
def view_project(
    project_id: ProjectId,
    web: Annotated[bool, typer.Option("-W", "--web", help="Open its page in the browser.")] = False,
    json: AsJson = False,
) -> None:
    """Show a project."""
    from fieldpack.client import Client

    with Client() as client:
        found = client.get_project(project_id)
        if web:
            webbrowser.open(f"{client.base_url}/workbench/projects/{project_id}")
            return
    print_one(found, ("id", "title", "description", "workspace", "owner"), json=json)


@project_app.command("create")
def create_project(
    title: Annotated[str, typer.Option("-t", "--title", help="Its title.")],
    workspace: Workspace,
    description: Annotated[str, typer.Option("-d", "--description", help="What it is about.")] = "",
    json: AsJson = False,
) -> None:
    """Make a project."""
    from fieldpack.client import Client

    with Client() as client:
        print_one(client.create_project(workspace, title, description), ("id", "title"), json=json)


@list_command(
    participant_app,
    "list",
    ("id", "name", "participant_count", "description"),
    empty="There is no group yet.",
)
def list_groups(
    workspace: AnyWorkspace = None, limit: Limit = None, offset: Offset = 0
) -> list[dict[str, Any]]:
    """List participant groups."""
    from fieldpack.client import Client

    with Client() as client:
        return cut(client.list_participant_groups(workspace), limit, offset)


@list_command(
    participant_app, "view", ("participant_id", "datetime_created"), empty="Nobody is in this group."
)
def view_group(group_id: GroupId) -> list[dict[str, Any]]:
    """List who is in a group."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_group_participants(group_id)


@participant_app.command("create")
def create_group(
    name: Annotated[str, typer.Option("-N", "--name", help="Its name.")],
    workspace: Workspace,
    description: Annotated[str, typer.Option("-d", "--description", help="What it is for.")] = "",
    participant_ids: Participants = None,
    json: AsJson = False,
) -> None:
    """Make a group."""
    from fieldpack.client import Client

    with Client() as client:
        made = client.create_participant_group(
            workspace, name, description=description, participant_ids=participant_ids or []
        )
    print_one(made, ("id", "name", "participant_count"), json=json)


@participant_app.command("remove")
def remove_participants(
    group_id: GroupId,
    participant_ids: Participants = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="File with an id on each line.")] = None,
    json: AsJson = False,
) -> None:
    """Take participants out of a group."""
    from fieldpack.client import Client

    ids = [*(participant_ids or []), *(read_ids(file) if file else [])]
    if not ids:
        raise UsageError("Name participants by -p or -f.")
    with Client() as client:
        left = client.remove_group_participants(group_id, ids)
    if json:
        print_json(left)
    else:
        print_text(f"Took out {len(ids):,}.")
