"""`fieldpack study` and `fieldpack studies`."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import StudyId, complete_project
from fieldpack.cli.inputs import read_object
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson
from fieldpack.cli.output import print_json, print_one, print_text
from fieldpack.cli.studies import links
from fieldpack.errors import UsageError
from fieldpack.text import say_count

__all__ = ["register"]

_COLUMNS = ("id", "name", "status", "places_taken", "total_available_places", "date_created")
_EMPTY = "There is no such study; `fieldpack study create` makes one."
_MAIN = (
    *("id", "name", "internal_name", "status", "places_taken", "total_available_places"),
    *(
        "maximum_allowed_time",
        "reward",
        "project",
        "data_collection_id",
        "external_study_url",
        "date_created",
    ),
)
_ACTIONS = ("PUBLISH", "PAUSE", "START", "STOP", "SCHEDULE_PUBLISH", "CANCEL_PUBLISH")
_EXAMPLES = """\b
Examples:
  fieldpack study list --status active --fields id,name,places_taken
  fieldpack study create -t study.yaml --publish
  fieldpack study pause STUDY_ID
  fieldpack study increase-places STUDY_ID -p 500
  fieldpack study links STUDY_ID ada grace
"""

app = make_app(help="List, make and run studies.", epilog=_EXAMPLES)
links.register(app)

Template = Annotated[
    Path, typer.Option("-t", "--template", "--template-path", help="YAML or JSON file; - is standard input.")
]
Silent = Annotated[bool, typer.Option("-s", "--silent", help="Print nothing.")]
Status = Annotated[
    str,
    typer.Option("-s", "--status", help="all, or a status such as active, unpublished, paused, completed."),
]
Project = Annotated[
    str | None,
    typer.Option("-p", "--project", help="Only those of this project.", autocompletion=complete_project),
]


def register(root: typer.Typer) -> None:
    """Add the group, and its list under the plural."""
    root.add_typer(app, name="study")
    list_command(root, "studies", _COLUMNS, empty=_EMPTY)(list_studies)


@list_command(app, "list", _COLUMNS, empty=_EMPTY)
def list_studies(status: Status = "all", project: Project = None) -> list[dict[str, Any]]:
    """List studies, newest first."""
    from fieldpack.client import Client

    wanted = None if status.lower() == "all" else status.upper().replace("_", " ")
    with Client() as client:
        return client.list_studies(wanted, project_id=project)


@app.command("view")
def view_study(
    study_id: StudyId,
    web: Annotated[bool, typer.Option("-W", "--web", help="Open its page in the browser.")] = False,
    json: AsJson = False,
) -> None:
    """Show a study."""
    from fieldpack.client import Client

    with Client() as client:
        found = client.get_study(study_id)
        if web:
            webbrowser.open(f"{client.base_url}/workbench/studies/{study_id}")
            return
    print_one(found, _MAIN, json=json)


@app.command("create")
def create_study(
    template: Template,
    publish: Annotated[bool, typer.Option("-p", "--publish", help="Publish it at once.")] = False,
    silent: Silent = False,
    json: AsJson = False,
) -> None:
    """Make a study from a file."""
    from fieldpack.client import Client

    with Client() as client:
        made = client.create_study(read_object(template))
        if publish:
            made = client.transition_study(made["id"], "PUBLISH")
    _show(made, silent=silent, json=json)


@app.command("update")
def update_study(study_id: StudyId, template: Template, silent: Silent = False, json: AsJson = False) -> None:
    """Change what a file says of a study; the rest stays."""
    from fieldpack.client import Client

    with Client() as client:
        _show(client.update_study(study_id, read_object(template)), silent=silent, json=json)


def _show(study: dict[str, Any], *, silent: bool, json: bool = False) -> None:
    if not silent:
        print_one(study, _MAIN, json=json)


@app.command("transition")
def transition_study(
    study_id: StudyId,
    action: Annotated[str, typer.Option("-a", "--action", help=f"One of {', '.join(_ACTIONS)}.")],
    publish_at: Annotated[
        str | None, typer.Option(help="When to publish, for SCHEDULE_PUBLISH: 2026-01-31T09:30:00Z.")
    ] = None,
    silent: Silent = False,
    json: AsJson = False,
) -> None:
    """Move a study one step on."""
    _transition(study_id, action, publish_at=publish_at, silent=silent, json=json)


def _transition(
    study_id: str, action: str, *, publish_at: str | None = None, silent: bool = False, json: bool = False
) -> None:
    from fieldpack.client import Client

    wanted = action.upper()
    if wanted not in _ACTIONS:
        raise UsageError(f"--action must be one of {', '.join(_ACTIONS)}.")
    with Client() as client:
        changed = client.transition_study(study_id, wanted, publish_at=publish_at)  # type: ignore[arg-type]  # one of _ACTIONS
    _show(changed, silent=silent, json=json)


@app.command("pause")
def pause_study(study_id: StudyId, json: AsJson = False) -> None:
    """Let nobody new start; who has started goes on."""
    _transition(study_id, "PAUSE", json=json)


@app.command("start")
def start_study(study_id: StudyId, json: AsJson = False) -> None:
    """Open a paused study again."""
    _transition(study_id, "START", json=json)


@app.command("stop")
def stop_study(study_id: StudyId, json: AsJson = False) -> None:
    """End a study."""
    _transition(study_id, "STOP", json=json)


@app.command("increase-places")
def increase_places(
    study_id: StudyId,
    places: Annotated[
        int, typer.Option("-p", "--places", min=1, help="How many places there are to be in all.")
    ],
    json: AsJson = False,
) -> None:
    """Give a study more places."""
    from fieldpack.client import Client

    with Client() as client:
        before = client.get_study(study_id)["total_available_places"]
        if before is not None and places <= before:
            raise UsageError(
                f"The study has {say_count(before, 'place')} already; --places says how many there are to be."
            )
        print_one(client.update_study(study_id, {"total_available_places": places}), _MAIN, json=json)


@app.command("duplicate")
def duplicate_study(
    study_id: StudyId,
    keep_participants: Annotated[
        bool, typer.Option("--admit-previous", help="Let those take part who took part before.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Copy a study as a draft for new participants, and print the id of the copy."""
    from fieldpack.client import Client

    with Client() as client:
        made = client.clone_study(study_id, block_previous_participants=not keep_participants)
    if json:
        print_json(made)
    else:
        print_text(made["id"])


@app.command("test")
def make_trial(
    study_id: StudyId,
    erase: Annotated[
        bool, typer.Option("--erase", help="Erase what was collected by such links, instead.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Print a link for trying a study; what it collects counts nowhere."""
    from fieldpack.client import Client

    with Client() as client:
        if erase:
            erased = client.erase_tests(study_id)
            if json:
                print_json({"erased": erased})
            else:
                print_text(f"Erased {say_count(erased, 'test submission')}.")
            return
        made = client.test_study(study_id)
    print_one(made, ("study_id", "study_url"), json=json)


def _as_object(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`{"APPROVED": 12, …}`, as the API answers."""
    return {row["status"]: row["count"] for row in rows}


@list_command(app, "submission-counts", ("status", "count"), empty="There is none.", in_json=_as_object)
def count_submissions(study_id: StudyId) -> list[dict[str, Any]]:
    """Count a study's submissions by status."""
    from fieldpack.client import Client

    with Client() as client:
        counts = client.get_submission_counts(study_id)
    return [{"status": status, "count": count} for status, count in counts.items()]


@app.command("delete")
def delete_study(study_id: StudyId) -> None:
    """Delete a draft."""
    from fieldpack.client import Client

    with Client() as client:
        client.delete_study(study_id)
    print_text(f"Deleted the study {study_id}.")
