"""Commands of `fieldpack submission` for reviewing with others: decisions that can be undone, and who reviews what."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldpack.cli.completion import CollectionId
from fieldpack.cli.inputs import read_filter
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError

if TYPE_CHECKING:
    from fieldpack.client.review.routes import HeldAction

__all__ = ["register"]

_ACTIONS: tuple[HeldAction, ...] = ("APPROVE", "REJECT", "REQUEST_RETURN")
_COLUMNS = ("id", "action", "count", "submission_id", "author", "due_at")
_REVIEWERS = ("id", "name", "email", "assigned", "waiting")
_APPROVED = (
    "participant_id",
    "amount",
    "currency",
    "submission_id",
    "study_id",
    "study",
    "status",
    "completed_at",
)

Action = Annotated[str, typer.Option("-a", "--action", help=f"One of {', '.join(_ACTIONS)}.")]
Message = Annotated[
    str | None, typer.Option("-m", "--message", help="What the participant is told; all but APPROVE need it.")
]
Category = Annotated[
    str | None, typer.Option("-R", "--rejection-category", help="Why it is rejected, such as LOW_EFFORT.")
]
Filter = Annotated[
    str,
    typer.Option(
        "-F",
        "--filter",
        metavar="QUERY",
        help="Which submissions: what stands behind the ? in the address of the page that shows them, or all of it.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("decide")(decide)
    app.command("decide-all")(decide_all)
    list_command(
        app,
        "decisions",
        _COLUMNS,
        empty="No decision is held on submissions of this collection.",
        flatten=_flatten,
    )(list_decisions)
    app.command("undo")(undo)
    list_command(app, "reviewers", _REVIEWERS, empty="Nobody may review submissions of this collection.")(
        list_reviewers
    )
    app.command("assign")(assign)
    app.command("unassign")(unassign)
    list_command(app, "approved", _APPROVED, empty="Nobody was approved.")(list_approved)


def _flatten(decision: Any) -> dict[str, Any]:
    return {**decision, "author": decision["by"]["name"]}


def _read_action(action: str, message: str | None, category: str | None) -> HeldAction:
    wanted = next((each for each in _ACTIONS if each == action.upper().replace("-", "_")), None)
    if wanted is None:
        raise UsageError(f"--action must be one of {', '.join(_ACTIONS)}.")
    if wanted == "REJECT" and not (message and category):
        raise UsageError("A rejection needs -m MESSAGE and -R CATEGORY: the participant is told why.")
    if wanted == "REQUEST_RETURN" and not message:
        raise UsageError("Asking for a return needs -m MESSAGE: the participant is told why.")
    return wanted


def decide(
    submission_id: Annotated[str, typer.Argument(metavar="SUBMISSION_ID", help="Id of the submission.")],
    action: Action,
    message: Message = None,
    category: Category = None,
    json: AsJson = False,
) -> None:
    """Decide on a submission, with 10 seconds to undo it.

    The server makes the decision after 10 seconds, also when this machine is switched off, unless it is undone
    (`fieldpack submission undo`) or the submission's state changes. `approve`, `reject` and `transition` decide at
    once.
    """
    from fieldpack.cli.output import print_one
    from fieldpack.client import Client

    wanted = _read_action(action, message, category)
    with Client() as client:
        held = client.hold_decision(submission_id, wanted, message=message, rejection_category=category)
    print_one(_flatten(held), _COLUMNS, json=json)


def decide_all(
    collection_id: CollectionId,
    action: Action,
    filter: Filter = "",
    message: Message = None,
    category: Category = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Decide on all submissions of a collection that wait for a review, or those of them that a filter lets through.

    Says how many they are, and asks. Submissions on which somebody is deciding are left out. The decision can be undone
    for 10 seconds.
    """
    from fieldpack.cli.output import print_one, print_text
    from fieldpack.client import Client
    from fieldpack.text import say_count

    wanted, narrowed = _read_action(action, message, category), read_filter(filter)
    with Client() as client:
        count = client.count_reviewable(collection_id, **narrowed)
        if not count:
            print_text("Nothing that the filter lets through waits for a review.")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    f"{say_count(count, 'submission')} would be decided on, and there is no terminal to ask at:"
                    " give --yes."
                )
            typer.confirm(f"{wanted}: {say_count(count, 'submission')}?", abort=True, err=True)
        held = client.hold_decisions(
            collection_id, wanted, count, message=message, rejection_category=category, **narrowed
        )
    print_one(_flatten(held), _COLUMNS, json=json)


def list_decisions(collection_id: CollectionId) -> list[dict[str, Any]]:
    """List the decisions on submissions of a collection that are held, and by whom."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_decisions(collection_id)


def undo(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION_ID", help="Id of the decision.")],
) -> None:
    """Undo your decision, as long as it has not been made."""
    from fieldpack.cli.output import print_text
    from fieldpack.client import Client

    with Client() as client:
        client.undo_decision(decision_id)
    print_text(f"Undid the decision {decision_id}.")


def list_reviewers(collection_id: CollectionId) -> list[dict[str, Any]]:
    """List those to whom submissions of a collection can be assigned, and how many are."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_reviewers(collection_id)


def assign(
    collection_id: CollectionId,
    to: Annotated[str, typer.Option("--to", metavar="REVIEWER", help="E-mail address or id; `me` is you.")],
    share: Annotated[
        float, typer.Option(min=0, max=100, metavar="PERCENT", help="Of all that the filter lets through.")
    ] = 100,
    filter: Filter = "",
) -> None:
    """Assign a share of a collection's submissions to a reviewer.

    What is assigned to somebody already stays theirs: 50 percent for one and 50 for another is all of it.
    """
    from fieldpack.cli.output import print_text
    from fieldpack.client import Client
    from fieldpack.text import say_count

    if not share:
        raise UsageError("--share must be more than 0.")
    with Client() as client:
        count = client.assign_submissions(collection_id, to, share=share, **read_filter(filter))
    print_text(f"Assigned {say_count(count, 'submission')} to {to}.")


def unassign(collection_id: CollectionId, filter: Filter = "") -> None:
    """Assign a collection's submissions, or those that a filter lets through, to nobody."""
    from fieldpack.cli.output import print_text
    from fieldpack.client import Client
    from fieldpack.text import say_count

    with Client() as client:
        count = client.unassign_submissions(collection_id, **read_filter(filter))
    print_text(f"Assigned {say_count(count, 'submission')} to nobody.")


def list_approved(collection_id: CollectionId, filter: Filter = "") -> list[dict[str, Any]]:
    """List who was approved, with amounts, for those who pay participants."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_approved(collection_id, **read_filter(filter))
