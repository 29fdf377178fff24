"""`fieldpack project`, which groups studies, `fieldpack participant`, which groups participants, and `whoami`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.completion import complete_workspace
from fieldpack.cli.lazy import make_app
from fieldpack.cli.studies.options import (
    AsCsv,
    AsJson,
    AsTable,
    Fields,
    Layout,
    print_one,
    print_rows,
    read_ids,
)
from fieldpack.errors import UsageError

__all__ = ["register"]

project_app = make_app(help="Group studies in projects.")
participant_app = make_app(help="Group participants, whom studies then admit or leave out.")

Workspace = Annotated[
    str, typer.Option("-w", "--workspace", help="Workspace id.", autocompletion=complete_workspace)
]
AnyWorkspace = Annotated[
    str | None, typer.Option("-w", "--workspace", help="Workspace id.", autocompletion=complete_workspace)
]
Participants = Annotated[
    list[str] | None, typer.Option("-p", "--participant-id", help="Id; may be given several times.")
]
GroupId = Annotated[str, typer.Argument(metavar="GROUP_ID", help="Id of the group.")]


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


@project_app.command("list")
def list_projects(
    workspace: Workspace,
    json: AsJson = False,
    csv: AsCsv = False,
    table: AsTable = False,
    fields: Fields = None,
) -> None:
    """List the projects of a workspace."""
    from fieldpack.client import Client

    with Client() as client:
        rows = client.list_projects(workspace)
    layout = Layout(json, csv, table, fields)
    print_rows(rows, ("id", "title", "description"), layout, empty="There is no project yet.")


@project_app.command("view")
def view_project(
    project_id: Annotated[str, typer.Argument(metavar="PROJECT_ID", help="Id of the project.")],
    json: AsJson = False,
) -> None:
    """Show a project."""
    from fieldpack.client import Client

    with Client() as client:
        print_one(
            client.get_project(project_id), ("id", "title", "description", "workspace", "owner"), json=json
        )


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


@participant_app.command("list")
def list_groups(
    workspace: AnyWorkspace = None,
    json: AsJson = False,
    csv: AsCsv = False,
    table: AsTable = False,
    fields: Fields = None,
) -> None:
    """List participant groups."""
    from fieldpack.client import Client

    with Client() as client:
        rows = client.list_participant_groups(workspace)
    columns = ("id", "name", "participant_count", "description")
    print_rows(rows, columns, Layout(json, csv, table, fields), empty="There is no group yet.")


@participant_app.command("view")
def view_group(
    group_id: GroupId, json: AsJson = False, csv: AsCsv = False, table: AsTable = False, fields: Fields = None
) -> None:
    """List who is in a group."""
    from fieldpack.client import Client

    with Client() as client:
        rows = client.list_group_participants(group_id)
    columns = ("participant_id", "datetime_created")
    print_rows(rows, columns, Layout(json, csv, table, fields), empty="Nobody is in this group.")


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
    from fieldpack.cli.output import print_json, print_text
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
