"""The rules of a submission's history: what happened; and who did it, for those who may read the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import find_allowed, is_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import Wanted, list_entries, write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.erasure import list_holding
from fieldpack.server.exports.rows import ReachableRow
from fieldpack.server.responses.history import queries
from fieldpack.server.responses.history.rows import ChangeRow
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.service import get_submission

__all__ = ["History", "describe_history", "read_history"]

MOST = 200


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a submission.

    Attributes:
        row: the submission.
        changes: of its state, oldest first, as far back as the log of changes goes.
        entries: of the audit log, newest first, as the API answers them; None for who may not read it.
        exports: those that hold it, newest first; None for who may not see exports.
    """

    row: SubmissionRow
    changes: list[ChangeRow]
    entries: list[dict[str, Any]] | None
    exports: list[ReachableRow] | None


async def read_history(connection: Connection, caller: Caller, submission_id: UUID) -> History:
    """What happened to a submission.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    row = await get_submission(connection, caller, submission_id, Action.RESPONSES_READ)
    changes = await queries.list_changes(connection, submission_id, MOST)
    entries = None
    if await is_allowed(connection, caller, Action.AUDIT_READ, row.workspace_id):
        entries, _ = await list_entries(
            connection, row.workspace_id, Wanted(object_id=submission_id), MOST, 0
        )
    exports = None
    if await find_allowed(connection, caller, Action.EXPORTS_READ, [row.collection_id]):
        exports = await list_holding(connection, row.collection_id, [submission_id])
    await write_entry(connection, caller.actor, "submission.read", submission_id=submission_id)
    return History(row, changes, entries, exports)


def describe_history(history: History) -> dict[str, Any]:
    """The same as the API answers it."""
    described: dict[str, Any] = {
        "submission_id": history.row.id,
        "collection_id": history.row.collection_id,
        "changes": [_describe_change(each) for each in history.changes],
    }
    if history.entries is not None:
        described["audit"] = history.entries
    if history.exports is not None:
        described["exports"] = [
            {"export_id": each.id, "created_at": each.created_at, "status": each.status}
            for each in history.exports
        ]
    return described


def _describe_change(change: ChangeRow) -> dict[str, datetime | str | bool]:
    return {
        "at": change.at,
        "type": change.type,
        "status": change.status,
        "response": change.response,
        "test": change.test,
    }
