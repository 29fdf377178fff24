"""What a study asks about besides its own collection, and whether who writes that may see it themselves.

Whether somebody is admitted to a study tells whoever tries it if that participant took part in an earlier study, or is
in a group. So who makes a study ask about these must be allowed to see the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import find_allowed_studies, is_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FORBIDDEN, Problem
from fieldpack.server.studies.completion_codes import GROUP_ACTIONS
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.studies.targeting import read_targeting

__all__ = ["require_references"]


@dataclass(frozen=True, slots=True)
class _References:
    """Ids that a study names and that are known here."""

    studies: frozenset[str]  # earlier studies that its filters ask about
    groups: frozenset[str]  # participant groups that its filters ask about
    changed_groups: frozenset[str]  # participant groups that its completion codes change


def _references_of(row: StudyRow) -> _References:
    targeting = read_targeting(row.fields, row.known_studies, row.known_groups)
    changed = {
        str(action.get("participant_group")).lower()
        for code in row.fields.get("completion_codes", [])
        for action in code.get("actions", [])
        if action.get("action") in GROUP_ACTIONS
    }
    return _References(
        frozenset(targeting.blocked_studies).union(*targeting.allowed_studies),
        frozenset(targeting.blocked_groups).union(*targeting.allowed_groups),
        frozenset(changed & set(row.known_groups)),
    )


async def require_references(
    connection: Connection, caller: Caller, row: StudyRow, before: StudyRow | None = None
) -> None:
    """Refuse a study that asks about what its writer may not see, or changes groups that they may not change.

    What it named before is not looked at: whoever put that in might.

    Args:
        row: the study as it was just written.
        before: as it was, or the study that it is a copy of; None for a new one.

    Raises:
        Problem: 403.
    """
    new = _references_of(row)
    old = _References(frozenset(), frozenset(), frozenset())
    if before is not None and before.workspace_id == row.workspace_id:
        old = _references_of(before)
    studies = {UUID(each) for each in new.studies - old.studies}
    seen = await find_allowed_studies(connection, caller, Action.SUBMISSIONS_READ, studies)
    for study_id in sorted(studies - seen):
        raise _refusal(f"who took part in the study {study_id}", Action.SUBMISSIONS_READ)
    for groups, action, what in (
        (new.groups - old.groups, Action.GROUPS_READ, "who is in participant groups"),
        (
            new.changed_groups - old.changed_groups,
            Action.GROUPS_WRITE,
            "or change who is in participant groups",
        ),
    ):
        if groups and not await is_allowed(connection, caller, action, row.workspace_id):
            raise _refusal(what, action)


def _refusal(what: str, action: Action) -> Problem:
    return Problem(
        FORBIDDEN,
        f"You may not see {what}, and a study that names them would tell you ({action}):"
        " somebody who may can put that into this study.",
    )
