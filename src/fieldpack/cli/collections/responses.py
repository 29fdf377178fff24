"""`fieldpack collection responses`, and the options by which it and `export` say which responses are meant."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fieldpack.cli.completion import CollectionId, complete_study
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import Limit

__all__ = [
    "Files",
    "Longer",
    "Participant",
    "Search",
    "Shorter",
    "State",
    "Study",
    "Submission",
    "Where",
    "gather",
    "register",
]

State = Annotated[
    list[str] | None, typer.Option("--state", help='Only those in this state, such as "AWAITING REVIEW".')
]
Study = Annotated[
    list[str] | None, typer.Option("--study", help="Only of this study.", autocompletion=complete_study)
]
Submission = Annotated[list[str] | None, typer.Option("--submission", help="Only this one.")]
Participant = Annotated[str | None, typer.Option(help="Only of this participant.")]
Files = Annotated[str | None, typer.Option("--files", metavar="yes|no", help="With files, or without.")]
Shorter = Annotated[str | None, typer.Option(metavar="LENGTH", help="Took at most so long: 90s, 10m, 2h.")]
Longer = Annotated[str | None, typer.Option(metavar="LENGTH", help="Took at least so long.")]
Search = Annotated[
    str | None, typer.Option(help="Words that the answers hold: 'sunny -rain \"quiet street\"'.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="On an answer: QUESTION:is:VALUE, QUESTION:contains:TEXT, QUESTION:between:LOW,HIGH, QUESTION:answered,"
        " QUESTION:missing, QUESTION:left (not submitted, and this was answered last).",
    ),
]
_COLUMNS = ("submission_id", "participant_id", "status", "started_at", "completed_at", "time_taken", "notes")


def register(root: typer.Typer) -> None:
    """Add `responses`."""
    list_command(root, "responses", _COLUMNS, empty="There is no such response.")(responses)


def gather(**given: Any) -> dict[str, Any]:
    """The options that were given, by the names that the API has for them."""
    return {name: value for name, value in given.items() if value not in (None, "", [])}


def responses(
    collection_id: CollectionId,
    state: State = None,
    study: Study = None,
    submission: Submission = None,
    participant: Participant = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Completed, or else started, at or after it (UTC).")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="TIME", help="The same before it; a day is meant with its hours.")
    ] = None,
    files: Files = None,
    note: Annotated[
        str | None, typer.Option("--note", metavar="yes|no", help="With researchers' notes, or without.")
    ] = None,
    pending: Annotated[
        str | None,
        typer.Option("--pending", metavar="yes|no", help="With a decision that is held, or without."),
    ] = None,
    assigned: Annotated[
        str | None,
        typer.Option("--assigned", metavar="ID|nobody", help="Assigned to this reviewer, or to nobody."),
    ] = None,
    shorter: Shorter = None,
    longer: Longer = None,
    search: Search = None,
    where: Where = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="completed, started, duration, state, participant or a question's id; a - before it turns it round.",
        ),
    ] = None,
    limit: Limit = None,
) -> list[dict[str, Any]]:
    """List the responses of a collection: filtered, sorted, with all answers in JSON.

    All of what is given holds; of an option that is given several times, any. The page of responses shows the command
    for what it shows.
    """
    from fieldpack.client import Client

    narrowed = gather(
        state=state,
        study=study,
        submission=submission,
        participant=participant,
        since=since,
        before=before,
        files=files,
        note=note,
        pending=pending,
        assigned=assigned,
        shorter=shorter,
        longer=longer,
        search=search,
        where=where,
        sort=sort,
    )
    with Client() as client:
        return client.list_responses(collection_id, limit=limit, **narrowed)
