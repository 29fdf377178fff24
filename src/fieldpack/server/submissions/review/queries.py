"""SQL of decisions that are held.

Locks are taken in the order decision, counter, submission, row of `decided_submissions`, because the trigger that drops
what is held runs when a submission is locked already. Who has locked a submission first ends a decision only where no
other has locked that: whoever has is about to end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.review.rows import AheadRow, DecisionRow, DueRow, PendingRow, RightRow
from fieldpack.server.submissions.review.rules import Decided

_AUTHOR: LiteralString = "coalesce(nullif(trim(concat(r.first_name, ' ', r.last_name)), ''), r.email)"
_LEFT: LiteralString = "greatest(0, extract(epoch FROM d.due_at - now()))::float8"
_DECISION: LiteralString = f"""
    SELECT d.id, d.collection_id, d.step, d.count, alone.id AS submission_id, alone.participant_id,
           d.made_by AS author_id, {_AUTHOR} AS author, d.held_at, d.due_at, {_LEFT} AS seconds_left, d.ended_at,
           d.outcome, d.made
    FROM decisions d JOIN researchers r ON r.id = d.made_by
    LEFT JOIN LATERAL (
        SELECT s.id, s.participant_id FROM decided_submissions h JOIN submissions s ON s.id = h.submission_id
        WHERE h.decision_id = d.id LIMIT 1
    ) AS alone ON d.count = 1
"""


async def insert_decision(
    connection: Connection,
    id: UUID,
    collection_id: UUID,
    step: Decided,
    review: dict[str, Any] | None,
    right: RightRow,
    submission_ids: Sequence[UUID],
    hold_seconds: float,
) -> None:
    """Store a decision on these submissions, which the caller has locked and found to be held by nobody."""
    await connection.execute(
        """
        INSERT INTO decisions (id, collection_id, step, review, made_by, token_id, session_id, is_session, cap, address,
                               count, due_at)
        VALUES (%(id)s, %(collection)s, %(step)s, %(review)s, %(by)s, %(token)s, %(session)s, %(is_session)s, %(cap)s,
                %(address)s, cardinality(%(submissions)s::uuid[]), now() + make_interval(secs => %(hold)s))
        """,
        {
            "id": id,
            "collection": collection_id,
            "step": step,
            "review": Json(review) if review else None,
            "by": right.researcher_id,
            "token": right.token_id,
            "session": right.session_id,
            "is_session": right.is_session,
            "cap": right.cap,
            "address": right.address,
            "submissions": list(submission_ids),
            "hold": hold_seconds,
        },
    )
    await connection.execute(
        "INSERT INTO decided_submissions (decision_id, submission_id) SELECT %s, unnest(%s::uuid[])",
        [id, list(submission_ids)],
    )


async def take_back(connection: Connection, researcher_id: UUID, submission_ids: Sequence[UUID]) -> None:
    """What a researcher had decided on these submissions before is held no more; a decision that is left without any
    has been undone. The caller has locked the submissions."""
    await connection.execute(
        """
        WITH taken AS (
            DELETE FROM decided_submissions h USING decisions d
            WHERE d.id = h.decision_id AND d.made_by = %(researcher)s AND h.submission_id = ANY(%(submissions)s)
              AND NOT h.dropped
            RETURNING h.decision_id, h.submission_id
        )
        UPDATE decisions SET ended_at = now(), outcome = 'undone', review = NULL
        WHERE id IN (
            SELECT d.id FROM decisions d
            WHERE d.id IN (SELECT decision_id FROM taken) AND d.ended_at IS NULL AND NOT EXISTS (
                SELECT FROM decided_submissions h WHERE h.decision_id = d.id
                  AND NOT EXISTS (SELECT FROM taken t
                                  WHERE (t.decision_id, t.submission_id) = (h.decision_id, h.submission_id)))
            FOR UPDATE SKIP LOCKED)
        """,
        {"researcher": researcher_id, "submissions": list(submission_ids)},
    )


async def find_decision(
    connection: Connection, decision_id: UUID, *, lock: bool = False
) -> DecisionRow | None:
    """One decision; with `lock` its row is locked until commit, so that nobody makes it meanwhile."""
    locking = "FOR UPDATE OF d" if lock else ""
    cursor = await connection.cursor(row_factory=class_row(DecisionRow)).execute(
        f"{_DECISION} WHERE d.id = %s {locking}", [decision_id]
    )
    return await cursor.fetchone()


async def list_held(
    connection: Connection, collection_id: UUID, researcher_id: UUID | None = None
) -> list[DecisionRow]:
    """The decisions on submissions of a collection that are held, newest first; of one researcher if given."""
    cursor = await connection.cursor(row_factory=class_row(DecisionRow)).execute(
        f"""
        {_DECISION} WHERE d.collection_id = %(collection)s AND d.ended_at IS NULL
          AND (%(researcher)s::uuid IS NULL OR d.made_by = %(researcher)s)
        ORDER BY d.held_at DESC, d.id
        """,
        {"collection": collection_id, "researcher": researcher_id},
    )
    return await cursor.fetchall()


async def list_pending(connection: Connection, submission_ids: Sequence[UUID]) -> list[PendingRow]:
    """Those of these submissions on which a decision is held."""
    cursor = await connection.cursor(row_factory=class_row(PendingRow)).execute(
        f"""
        SELECT h.submission_id, d.id AS decision_id, d.step, d.made_by AS author_id, {_AUTHOR} AS author, d.due_at,
               {_LEFT} AS seconds_left
        FROM decided_submissions h JOIN decisions d ON d.id = h.decision_id JOIN researchers r ON r.id = d.made_by
        WHERE h.submission_id = ANY(%s) AND NOT h.dropped ORDER BY h.submission_id
        """,
        [list(submission_ids)],
    )
    return await cursor.fetchall()


async def claim_due(connection: Connection, passed_over: Sequence[UUID]) -> DueRow | None:
    """The decision that has been due for longest, locked until commit; None when none is due, or another worker is at
    all that are.

    Args:
        passed_over: decisions that are left for later.
    """
    cursor = await connection.cursor(row_factory=class_row(DueRow)).execute(
        """
        SELECT d.id, d.collection_id, d.step, d.review, r.id AS researcher_id, r.email, r.first_name, r.last_name,
               d.token_id, d.session_id, d.is_session, d.cap, d.address
        FROM decisions d JOIN researchers r ON r.id = d.made_by
        WHERE d.ended_at IS NULL AND d.due_at <= now() AND d.id <> ALL(%s)
        ORDER BY d.due_at, d.id LIMIT 1 FOR UPDATE OF d SKIP LOCKED
        """,
        [list(passed_over)],
    )
    return await cursor.fetchone()


async def look_ahead(connection: Connection) -> AheadRow:
    """Whether a decision is to be made, and when the next one will be."""
    cursor = await connection.cursor(row_factory=class_row(AheadRow)).execute(
        """
        SELECT coalesce(bool_or(due_at <= now()), false) AS is_any_due,
               extract(epoch FROM min(due_at) FILTER (WHERE due_at > now()) - now())::float8 AS seconds
        FROM decisions WHERE ended_at IS NULL
        """
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_submissions(connection: Connection, decision_id: UUID) -> list[UUID]:
    """The submissions of a decision that is held, those included that are dropped."""
    cursor = await connection.execute(
        "SELECT submission_id FROM decided_submissions WHERE decision_id = %s", [decision_id]
    )
    return [row["submission_id"] for row in await cursor.fetchall()]


async def take_submissions(connection: Connection, decision_id: UUID) -> set[UUID]:
    """Remove what is held by a decision; the submissions whose state has not changed since. The caller has locked the
    decision and, to make it, the submissions."""
    cursor = await connection.execute(
        "DELETE FROM decided_submissions WHERE decision_id = %s RETURNING submission_id, dropped",
        [decision_id],
    )
    return {row["submission_id"] for row in await cursor.fetchall() if not row["dropped"]}


async def end_decision(connection: Connection, decision_id: UUID, outcome: str, made: int = 0) -> None:
    """Store what became of a decision, and forget what was said with it. The caller has locked it."""
    await connection.execute(
        "UPDATE decisions SET ended_at = now(), outcome = %s, made = %s, review = NULL WHERE id = %s",
        [outcome, made, decision_id],
    )


async def remove_ended(connection: Connection, days: float) -> int:
    """Forget decisions that ended longer ago than this; how many."""
    cursor = await connection.execute(
        "DELETE FROM decisions WHERE ended_at < now() - make_interval(secs => %s)", [days * 86400]
    )
    return cursor.rowcount


async def remove_erased(connection: Connection, submission_id: UUID) -> None:
    """Forget what was decided on a submission that is erased, and what was said of it alone. The caller has locked the
    submission."""
    await connection.execute(
        """
        WITH gone AS (DELETE FROM decided_submissions WHERE submission_id = %(id)s RETURNING decision_id)
        UPDATE decisions SET ended_at = now(), outcome = 'dropped', review = NULL
        WHERE id IN (
            SELECT d.id FROM decisions d JOIN gone ON gone.decision_id = d.id
            WHERE d.count = 1 AND d.ended_at IS NULL FOR UPDATE OF d SKIP LOCKED)
        """,
        {"id": submission_id},
    )
