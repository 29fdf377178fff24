"""Who may start a study: what its targeting says about a participant's id, earlier studies and groups."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from fieldpack.server.db.pool import Connection
from fieldpack.server.groups.queries import list_groups_of
from fieldpack.server.problems import NOT_ADMITTED, Problem
from fieldpack.server.studies import queries as study_queries
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.studies.targeting import Targeting, leave_out, read_targeting
from fieldpack.server.submissions import queries
from fieldpack.server.values.participant_ids import MAX_GIVEN, normalise_participant_id

__all__ = ["NOT_ADMITTED_DETAIL", "forget_listed", "is_admitted", "require_admitted"]

NOT_ADMITTED_DETAIL = (
    "This study is not open to this participant: the researcher has chosen who may take part."
)


def _normalise(participant_ids: Iterable[str]) -> set[str]:
    """The ids of a list in the form in which participants' ids are stored. Ids that are too long to be one are left
    out."""
    return {normalise_participant_id(each) for each in participant_ids if len(each) <= MAX_GIVEN}


async def is_admitted(connection: Connection, study: StudyRow, participant_id: str) -> bool:
    """Whether a study's targeting lets this participant start. The id may be as it was sent."""
    targeting = read_targeting(study.fields, study.known_studies, study.known_groups)
    own = normalise_participant_id(participant_id)
    if any(own not in _normalise(allowed) for allowed in targeting.allowed):
        return False
    if own in _normalise(targeting.blocked):
        return False
    if not await _is_in_groups(connection, targeting, own):
        return False
    asked = {UUID(each) for each in targeting.blocked_studies}
    asked |= {UUID(each) for studies in targeting.allowed_studies for each in studies}
    done = (
        {str(each) for each in await queries.list_taken_part(connection, list(asked), own)}
        if asked
        else set()
    )
    return done.isdisjoint(targeting.blocked_studies) and all(
        not done.isdisjoint(studies) for studies in targeting.allowed_studies
    )


async def forget_listed(connection: Connection, workspace_id: UUID, participant_id: str) -> None:
    """Take a participant out of the lists of ids of a workspace's studies, unless they have a submission there that is
    not erased."""
    for study in await study_queries.list_naming(connection, workspace_id, participant_id):
        fields = leave_out(study.fields, lambda each: participant_id in _normalise([each]))
        if fields is not None:
            await study_queries.set_fields(connection, study.id, fields)


async def _is_in_groups(connection: Connection, targeting: Targeting, participant_id: str) -> bool:
    """Whether a participant is in a group of each list that admits, and in none of those that block."""
    asked = {UUID(each) for each in targeting.blocked_groups}
    asked |= {UUID(each) for groups in targeting.allowed_groups for each in groups}
    found = (
        {str(each) for each in await list_groups_of(connection, list(asked), participant_id)}
        if asked
        else set()
    )
    return found.isdisjoint(targeting.blocked_groups) and all(
        not found.isdisjoint(groups) for groups in targeting.allowed_groups
    )


async def require_admitted(connection: Connection, study: StudyRow, participant_id: str) -> None:
    """Refuse a participant whom the study's targeting excludes.

    Raises:
        Problem: 403.
    """
    if not await is_admitted(connection, study, participant_id):
        raise Problem(NOT_ADMITTED, NOT_ADMITTED_DETAIL)
