"""Copies of studies: another to publish, and one to try it out."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.studies import queries
from fieldpack.server.studies.references import require_references
from fieldpack.server.studies.resuming import SECURED
from fieldpack.server.studies.rows import StudyColumns, StudyRow
from fieldpack.server.studies.service import columns_of, get_study, with_fields
from fieldpack.server.studies.targeting import BLOCKED_STUDIES

__all__ = ["clone_study", "make_trial", "trial_url"]

COPY = " copy"
MAX_NAME = 2_000


def _columns(row: StudyRow, caller: Caller, fields: dict[str, Any]) -> StudyColumns:
    """Those of a copy that the caller makes, with these fields. It allows as much time as the study does."""
    columns = with_fields(columns_of(row), fields)
    return replace(columns, created_by=caller.id, maximum_allowed_time=row.maximum_allowed_time)


def _with_blocked(filters: list[Any], study_id: UUID) -> list[Any]:
    """These filters, and one that excludes who took part in this study, besides the studies that are excluded
    already."""
    added: list[Any] = []
    blocked = [str(study_id)]
    for filter in filters:
        if isinstance(filter, dict) and filter.get("filter_id") == BLOCKED_STUDIES:
            blocked = [*(filter.get("selected_values") or []), *blocked]
        else:
            added.append(filter)
    return [*added, {"filter_id": BLOCKED_STUDIES, "selected_values": list(dict.fromkeys(blocked))}]


async def clone_study(
    connection: Connection, caller: Caller, study_id: UUID, *, block_previous: bool
) -> StudyRow:
    """Make a new, unpublished study that is as this one is now.

    Args:
        block_previous: exclude who took part in this one, and in those that it excludes.

    Raises:
        Problem: 404; 403.
    """
    row = await get_study(connection, caller, study_id, Action.STUDY_WRITE)
    internal = str(row.fields.get("internal_name", row.name))
    fields = {**row.fields, "internal_name": internal[: MAX_NAME - len(COPY)] + COPY}
    if block_previous:
        fields["filters"] = _with_blocked(fields.get("filters", []), study_id)
    clone_id = uuid4()
    await queries.insert_study(connection, clone_id, _columns(row, caller, fields))
    await write_entry(connection, caller.actor, "study.create", study_id=clone_id)
    clone = await get_study(connection, caller, clone_id)
    await require_references(connection, caller, clone, row)
    return clone


async def make_trial(connection: Connection, caller: Caller, study_id: UUID) -> StudyRow:
    """Make the one copy of a study for trying it, or bring it up to the study as it is now; open to whoever has its
    link.

    Its submissions are marked as tests. The trial of a trial is that trial itself. One that was paused or stopped is
    opened again.

    Raises:
        Problem: 404; 403.
    """
    row = await get_study(connection, caller, study_id, Action.STUDY_WRITE, lock=True)
    if row.test:
        if row.status != "ACTIVE":
            await _open_trial(connection, caller, study_id)
        return await get_study(connection, caller, study_id)
    fields = {name: value for name, value in row.fields.items() if name not in ("filters", SECURED)}
    columns = replace(
        _columns(row, caller, fields),
        max_submissions_per_participant=-1,
        max_concurrent_submissions=-1,
        resume="link",
    )
    trial_id = await queries.find_trial(connection, study_id)
    if trial_id is None:
        trial_id = uuid4()
        await queries.insert_study(connection, trial_id, columns, test_of=study_id)
    else:
        await queries.update_study(connection, trial_id, columns)
    await _open_trial(connection, caller, trial_id)
    return await get_study(connection, caller, trial_id)


async def _open_trial(connection: Connection, caller: Caller, trial_id: UUID) -> None:
    closed = ["UNPUBLISHED", "PAUSED", "AWAITING REVIEW", "COMPLETED"]
    await queries.transition_study(connection, trial_id, closed, "ACTIVE")
    await write_entry(connection, caller.actor, "study.create", study_id=trial_id, step="test")


def trial_url(origin: str, trial_id: UUID) -> str:
    """A link that starts a trial under a new participant id, and resumes it when it is opened again."""
    return (
        f"{origin}/participate/{trial_id}?PROLIFIC_PID=test-{secrets.token_hex(8)}"
        f"&STUDY_ID={trial_id}&SESSION_ID={secrets.token_hex(16)}"
    )
