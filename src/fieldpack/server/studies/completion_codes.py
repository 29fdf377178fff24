"""Which completion code a submission is handled by, and what the code's actions do.

A code belongs to an actor. Participants are given those of actor `participant` and never see the others, which
researchers enter in a `COMPLETE` transition. The fields are those of the hosted service's studies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fieldpack.server.values.uuids import is_uuid

__all__ = [
    "ENFORCED_ACTIONS",
    "GROUP_ACTIONS",
    "PARTICIPANT",
    "RESEARCHER",
    "Handling",
    "code_given",
    "find_participant_code",
    "find_researcher_code",
    "handle",
]

PARTICIPANT = "participant"
RESEARCHER = "researcher"
COMPLETED = "COMPLETED"
ADD, REMOVE = "ADD_TO_PARTICIPANT_GROUP", "REMOVE_FROM_PARTICIPANT_GROUP"
GROUP_ACTIONS = (ADD, REMOVE)
ENFORCED_ACTIONS = ("AUTOMATICALLY_APPROVE", "MANUALLY_REVIEW", "REQUEST_RETURN", *GROUP_ACTIONS)

Code = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Handling:
    """What a code does to a submission that it completes.

    Attributes:
        status: `APPROVED` or `AWAITING REVIEW`.
        return_reasons: why the participant is asked to return it; None when they are not asked.
        groups: the groups that the participant is added to (True) or removed from (False), in this order.
    """

    status: str = "AWAITING REVIEW"
    return_reasons: tuple[str, ...] | None = None
    groups: tuple[tuple[bool, UUID], ...] = ()


def _of_actor(codes: Sequence[Code], actor: str) -> list[Code]:
    """The codes of an actor. Codes that were stored before there were actors are the participants'."""
    return [code for code in codes if code.get("actor", PARTICIPANT) == actor]


def find_participant_code(codes: Sequence[Code]) -> Code | None:
    """The code that participants are given: the one of type COMPLETED, else the first of theirs."""
    own = _of_actor(codes, PARTICIPANT)
    return next((code for code in own if code.get("code_type") == COMPLETED), own[0] if own else None)


def find_researcher_code(codes: Sequence[Code], text: str | None) -> Code | None:
    """The researchers' code with this text; None without one."""
    return next((code for code in _of_actor(codes, RESEARCHER) if text and code["code"] == text), None)


def code_given(codes: Sequence[Code], started_with: str | None) -> tuple[str | None, Code | None]:
    """The completion code that a participant gets, and the code of the study that handles the submission.

    The text is the one that was valid when they started, whatever the study says now, unless it is a researchers' code:
    participants never see those.
    """
    own = _of_actor(codes, PARTICIPANT)
    kept = next((code for code in own if started_with and code["code"] == started_with), None)
    if kept is not None:
        return started_with, kept
    now = find_participant_code(codes)
    if started_with and find_researcher_code(codes, started_with) is None:
        return started_with, now
    return (now["code"] if now else None), now


def handle(code: Code | None) -> Handling:
    """Carry out the actions of a code; those not known here change nothing."""
    actions = code.get("actions", []) if code else []
    names = [action.get("action") for action in actions]
    reasons = [
        str(action["return_reason"])
        for action in actions
        if action.get("action") == "REQUEST_RETURN" and action.get("return_reason")
    ]
    return Handling(
        "APPROVED" if "AUTOMATICALLY_APPROVE" in names else "AWAITING REVIEW",
        tuple(reasons) if "REQUEST_RETURN" in names else None,
        tuple(
            (action["action"] == ADD, UUID(group))
            for action in actions
            if action.get("action") in GROUP_ACTIONS
            and is_uuid(group := str(action.get("participant_group")))
        ),
    )
