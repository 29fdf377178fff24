"""Decisions in forms, and what pages say of those that are held: notices that undo them, and what is pending."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.datastructures import FormData

from fieldpack.server.accounts.service import Caller
from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.assignments.rows import ReviewerRow
from fieldpack.server.submissions.review import service
from fieldpack.server.submissions.review.rows import DecisionRow, PendingRow
from fieldpack.server.submissions.review.rules import Decided
from fieldpack.server.submissions.schemas import HeldDecision
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.workbench.views import link_to

__all__ = ["DECISIONS", "Notice", "list_notices", "names_of", "read_decision", "say_missing", "say_pending"]

DECISIONS = {"approve": "APPROVE", "reject": "REJECT", "return": "REQUEST_RETURN"}  # by the buttons of forms

MOST_NOTICES = 3
ONE: dict[Decided, str] = {
    "APPROVE": message("held.approve"),
    "REJECT": message("held.reject"),
    "REQUEST_RETURN": message("held.return"),
}
MANY: dict[Decided, str] = {
    "APPROVE": message("held.approve_many"),
    "REJECT": message("held.reject_many"),
    "REQUEST_RETURN": message("held.return_many"),
}
PENDING: dict[Decided, str] = {
    "APPROVE": message("pending.approve"),
    "REJECT": message("pending.reject"),
    "REQUEST_RETURN": message("pending.return"),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A decision of one's own that is held.

    Attributes:
        decision_id: which.
        text: what will happen.
        seconds: until then, from the moment that the page was made.
        whole: the same as a whole number that people read.
        undo: where the form that undoes it goes.
        place: which page comes after that: `gallery`, `responses`, or '' for the submission, if it is of one.
    """

    decision_id: UUID
    text: str
    seconds: float
    whole: int
    undo: str
    place: str


async def list_notices(
    connection: Connection,
    caller: Caller,
    collection_id: UUID,
    catalogue: Catalogue,
    parameters: Sequence[tuple[str, str]],
    place: str = "",
) -> list[Notice]:
    """The caller's own decisions on a collection's submissions that are held, the newest first."""
    held = [
        row
        for row in await service.list_held(connection, caller, collection_id)
        if row.author_id == caller.id
    ]
    undo = link_to(f"/workbench/collections/{collection_id}/undo", parameters)
    return [
        Notice(row.id, _say(row, catalogue), row.seconds_left, math.ceil(row.seconds_left), undo, place)
        for row in held[:MOST_NOTICES]
    ]


def _say(row: DecisionRow, catalogue: Catalogue) -> str:
    if row.participant_id is not None:
        return catalogue.text(ONE[row.step], name=row.participant_id)
    return catalogue.text(MANY[row.step], count=row.count)


def say_pending(row: PendingRow | None, catalogue: Catalogue) -> str | None:
    """What is about to happen to a submission, and by whom; None for nothing."""
    return catalogue.text(PENDING[row.step], author=row.author) if row is not None else None


def names_of(reviewers: Sequence[ReviewerRow]) -> dict[str, str]:
    """The names of reviewers by id."""
    return {str(row.id): row.name for row in reviewers}


def read_decision(form: FormData) -> HeldDecision:
    """The decision of a form whose button is one of `DECISIONS`.

    Raises:
        pydantic.ValidationError: the reason or the message that it needs is missing.
    """
    action = DECISIONS[text_of(form, "go")]
    # what stands in the fields of a rejection is no part of an approval
    said = {"message": text_of(form, "message").strip()} if action != "APPROVE" else {}
    reason = {"rejection_category": text_of(form, "category")} if action == "REJECT" else {}
    return HeldDecision.model_validate({"action": action, **said, **reason})


def say_missing(form: FormData, catalogue: Catalogue) -> str:
    """What a decision needs that a form has not."""
    if text_of(form, "go") == "return":
        return catalogue.text("response.needs_message")
    return catalogue.text("response.needs_reason")
