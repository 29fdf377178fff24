"""SQL of lists of submissions, and of how many there are in each status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.queries import FIND
from fieldpack.server.submissions.rows import SubmissionRow

__all__ = ["FLAGS", "ORDERINGS", "SHORT_ORDERINGS", "Narrowed", "count_by_status", "list_of_study"]

# what a list of submissions can be sorted by; rewards are the same within a study, and addresses are not stored
ORDERINGS = {
    "started_at": "s.started_at",
    "completed_at": "s.completed_at",
    "status": 's.status COLLATE "C"',
    "ip": "NULL::text",
    "time_taken": "extract(epoch FROM coalesce(s.completed_at - s.started_at, interval '0'))",
    "participant_id": 's.participant_id COLLATE "C"',
    "study_code": 's.study_code COLLATE "C"',
    "reward": "coalesce((t.fields->>'reward')::numeric, 0)",
}
# what `GET /submissions`, whose study is a parameter, can be sorted by; the names are the hosted service's
SHORT_ORDERINGS = {
    "started_at": "s.started_at",
    "submission_reward": ORDERINGS["reward"],
    "study_name": 't.name COLLATE "C"',
}
COMPLETED = "s.completed_at IS NOT NULL"
# what a submission is or is not
FLAGS = {
    "completed": COMPLETED,
    "returned": "s.status = 'RETURNED'",
    "awaiting_review": "s.status = 'AWAITING REVIEW'",
    "approved": "s.status = 'APPROVED'",
    "active": "s.status = 'ACTIVE'",
    "timeout": "s.status = 'TIMED-OUT'",
    "rejected": "s.status = 'REJECTED'",
    "screened_out": "s.status = 'SCREENED OUT'",
    "completeoractive": f"({COMPLETED} OR s.status = 'ACTIVE')",
}


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A filter of a study's submissions. All conditions that are given must hold.

    Attributes:
        statuses: one of these; None for any.
        flags: by name of `FLAGS`: whether it holds or does not.
        submitted_from: completed at or after this.
        submitted_before: completed before this.
    """

    statuses: list[str] | None = None
    flags: Mapping[str, bool] = field(default_factory=dict)
    submitted_from: datetime | None = None
    submitted_before: datetime | None = None


async def list_of_study(
    connection: Connection,
    study_id: UUID,
    narrowed: Narrowed,
    ordering: list[str],
    limit: int,
    offset: int,
) -> tuple[list[SubmissionRow], int]:
    """The submissions of a study, in the order of `ordering` (SQL), then of their start; and how many there are."""
    values = {
        "study": study_id,
        "statuses": narrowed.statuses,
        "from": narrowed.submitted_from,
        "before": narrowed.submitted_before,
        "limit": limit,
        "offset": offset,
    }
    flags = "".join(
        f" AND ({FLAGS[name]})" if wanted else f" AND NOT ({FLAGS[name]})"
        for name, wanted in narrowed.flags.items()
    )
    condition = f"""
        WHERE s.study_id = %(study)s AND s.response <> 'deleted'
          AND (%(statuses)s::text[] IS NULL OR s.status = ANY(%(statuses)s))
          AND (%(from)s::timestamptz IS NULL OR s.completed_at >= %(from)s)
          AND (%(before)s::timestamptz IS NULL OR s.completed_at < %(before)s){flags}
    """
    order = ", ".join([*ordering, "s.started_at", "s.id"])
    cursor = await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"{FIND} {condition} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s", values
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count FROM submissions s {condition}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def count_by_status(connection: Connection, study_id: UUID) -> dict[str, int]:
    """How many submissions of a study are in each status that any is in."""
    cursor = await connection.execute(
        "SELECT status, count(*) AS count FROM submissions WHERE study_id = %s AND response <> 'deleted'"
        " AND NOT test GROUP BY status",
        [study_id],
    )
    return {row["status"]: row["count"] for row in await cursor.fetchall()}
