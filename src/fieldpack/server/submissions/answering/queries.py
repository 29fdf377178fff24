"""SQL of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.errors import SerializationFailure
from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.server.collections.queries import RAISE_COUNTER
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.line_queries import write_line_end
from fieldpack.server.submissions.rows import AnswerRow, FilePlace, HeldAnswer, Key, SavedRow, SubmissionRow
from fieldpack.server.uploads.queries import OPEN, OPENED_BY
from fieldpack.server.uploads.rows import HolderRow


def _first_revision(submission: str, instruction_id: str) -> str:
    """SQL of the revision of an answer that there is none of: past those of one that was cleared, whose senders may
    still name them."""
    return f"coalesce(({submission}.cleared_revisions ->> ({instruction_id})::text)::int, 0) + 1"


async def list_answers(
    connection: Connection, submission_id: UUID, instruction_ids: list[UUID] | None = None
) -> list[AnswerRow]:
    """The saved answers, of all instructions or of these, in the order they were first given."""
    return await (await ask_answers(connection, submission_id, instruction_ids)).fetchall()


async def ask_answers(
    connection: Connection, submission_id: UUID, instruction_ids: list[UUID] | None = None
) -> AsyncCursor[AnswerRow]:
    """The same, asked for: in a pipeline the rows come once they are fetched."""
    return await connection.cursor(row_factory=class_row(AnswerRow)).execute(
        f"""
        SELECT {columns_of(AnswerRow, "a")} FROM answers a WHERE submission_id = %(submission)s
          AND (%(ids)s::uuid[] IS NULL OR instruction_id = ANY(%(ids)s)) ORDER BY created_at, instruction_id
        """,
        {"submission": submission_id, "ids": instruction_ids},
    )


async def ask_save(
    connection: Connection, submission_id: UUID, values: Mapping[UUID, dict[str, Any]]
) -> AsyncCursor[SavedRow]:
    """Save answers, over earlier ones: what became of them comes once it is fetched. The submission must be locked."""
    return await connection.cursor(row_factory=class_row(SavedRow)).execute(
        f"""
        INSERT INTO answers AS a (submission_id, instruction_id, value, revision)
        SELECT s.id, g.id, g.value, {_first_revision("s", "g.id")}
        FROM submissions s CROSS JOIN unnest(%s::uuid[], %s::json[]) AS g (id, value) WHERE s.id = %s
        ON CONFLICT (submission_id, instruction_id) DO UPDATE
            SET value = excluded.value, revision = a.revision + 1, updated_at = now()
        RETURNING {columns_of(SavedRow, "a")}
        """,
        [list(values), [Json(value) for value in values.values()], submission_id],
    )


async def ask_held(connection: Connection, submission_id: UUID, key: Key) -> AsyncCursor[HolderRow]:
    """Ask for a submission, locked until commit, if the token opens it: the row comes once it is fetched."""
    return await connection.cursor(row_factory=class_row(HolderRow)).execute(
        f"SELECT s.id, s.study_id, s.collection_id, s.collection_version, {OPEN} AS open"
        f" FROM submissions s {OPENED_BY} AND s.id = %(submission)s FOR NO KEY UPDATE OF s",
        {"token": key.token_sha256, "before": key.made_before, "submission": submission_id},
    )


# of the answers of a submission whose token was given, while they may change
_HELD_OPEN = f"""
    WITH held AS (
        SELECT s.id, s.cleared_revisions FROM submissions s {OPENED_BY} AND s.id = %(submission)s AND {OPEN}
        FOR NO KEY UPDATE OF s
    )"""
_INSERT_HELD = f"""
    {_HELD_OPEN}
    INSERT INTO answers AS a (submission_id, instruction_id, value, revision)
    SELECT held.id, %(instruction)s, %(value)s, {_first_revision("held", "%(instruction)s")} FROM held
    ON CONFLICT (submission_id, instruction_id)
"""
_OVER_ANY = f"""
    {_INSERT_HELD} DO UPDATE SET value = excluded.value, revision = a.revision + 1, updated_at = now()
    RETURNING {columns_of(SavedRow, "a")}
"""
_OVER_NONE = f"{_INSERT_HELD} DO NOTHING RETURNING {columns_of(SavedRow, 'a')}"
_OVER_ONE = f"""
    {_HELD_OPEN}
    UPDATE answers a SET value = %(value)s, revision = a.revision + 1, updated_at = now() FROM held
    WHERE a.submission_id = held.id AND a.instruction_id = %(instruction)s AND a.revision = %(seen)s
    RETURNING {columns_of(SavedRow, "a")}
"""


async def save_held_answer(
    connection: Connection, submission_id: UUID, key: Key, answer: HeldAnswer
) -> SavedRow | None:
    """Save one answer by one statement, a transaction of its own; None, and nothing saved, unless the token opens the
    submission, its answers may change, and the saved one is the one that was seen. Locks the submission.
    """
    seen = answer.seen
    statement = _OVER_ANY if seen is None else _OVER_ONE if seen else _OVER_NONE
    cursor = await connection.cursor(row_factory=class_row(SavedRow)).execute(
        statement,
        {
            "token": key.token_sha256,
            "before": key.made_before,
            "submission": submission_id,
            "instruction": answer.instruction_id,
            "value": Json(answer.value),
            "seen": seen,
        },
    )
    return await cursor.fetchone()


_INSERT_ALL = f"""
    {_HELD_OPEN}, given AS (
        SELECT held.id AS held_id, g.id, g.value, g.seen, {_first_revision("held", "g.id")} AS first
        FROM held CROSS JOIN unnest(%(ids)s::uuid[], %(values)s::json[], %(seen)s::int[]) AS g (id, value, seen)
    ), saved AS (
        INSERT INTO answers AS a (submission_id, instruction_id, value, revision)
        SELECT g.held_id, g.id, g.value, g.first FROM given g
        ON CONFLICT (submission_id, instruction_id)
            DO UPDATE SET value = excluded.value, revision = a.revision + 1, updated_at = now()
        RETURNING {columns_of(SavedRow, "a")}
    )
    SELECT {columns_of(SavedRow, "a")} FROM saved a JOIN given g ON g.id = a.instruction_id
    WHERE CASE WHEN g.seen IS NULL OR g.seen = 0 AND a.revision = g.first THEN true
               WHEN g.seen >= g.first AND a.revision = g.seen + 1 THEN true
               ELSE require(false) END
"""


async def save_held_answers(
    connection: Connection, submission_id: UUID, key: Key, answers: list[HeldAnswer]
) -> list[SavedRow]:
    """Save several answers by one statement, all or none; none in the cases in which `save_held_answer` saves nothing.

    Locks the submission.
    """
    values = {
        "token": key.token_sha256,
        "before": key.made_before,
        "submission": submission_id,
        "ids": [answer.instruction_id for answer in answers],
        "values": [Json(answer.value) for answer in answers],
        "seen": [answer.seen for answer in answers],
    }
    try:
        cursor = await connection.cursor(row_factory=class_row(SavedRow)).execute(_INSERT_ALL, values)
    except SerializationFailure:  # another revision is there than was seen
        return []
    return await cursor.fetchall()


async def count_bytes(connection: Connection, submission_id: UUID, but_for: list[UUID]) -> int:
    """Bytes of JSON of the saved answers, those to some instructions left out."""
    cursor = await connection.execute(
        "SELECT coalesce(sum(octet_length(value::text)), 0)::bigint AS bytes FROM answers"
        " WHERE submission_id = %s AND instruction_id <> ALL(%s)",
        [submission_id, but_for],
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row["bytes"])


async def replace_answers(
    connection: Connection, submission_id: UUID, values: dict[str, dict[str, Any]]
) -> None:
    """Other values for answers that are there, by instruction id; they are the same answers, of the same time."""
    if values:
        await connection.execute(
            """
            UPDATE answers SET value = given.value
            FROM (SELECT key::uuid AS id, value FROM json_each(%s)) AS given
            WHERE submission_id = %s AND instruction_id = given.id
            """,
            [Json(values), submission_id],
        )


async def clear_answers(connection: Connection, submission_id: UUID, instruction_ids: list[UUID]) -> None:
    """Delete the answers to these instructions, but not how far their revisions went. The caller has locked the
    submission."""
    if instruction_ids:
        await connection.execute(
            """
            WITH gone AS (
                DELETE FROM answers a WHERE a.submission_id = %(submission)s AND a.instruction_id = ANY(%(ids)s)
                RETURNING a.instruction_id, a.revision
            )
            UPDATE submissions s SET cleared_revisions = coalesce(s.cleared_revisions, '{}') || g.revisions
            FROM (SELECT jsonb_object_agg(gone.instruction_id, gone.revision) AS revisions FROM gone) g
            WHERE s.id = %(submission)s AND g.revisions IS NOT NULL
            """,
            {"submission": submission_id, "ids": instruction_ids},
        )


async def raise_and_lock(connection: Connection, collection_id: UUID, submission_id: UUID) -> None:
    """Raise the collection's counter of changes, then lock the submission until commit; see `raise_counter`."""
    await connection.execute(
        f"WITH raised AS ({RAISE_COUNTER}) SELECT FROM raised r JOIN submissions s ON s.collection_id = r.collection_id"
        " WHERE s.id = %(submission)s FOR NO KEY UPDATE OF s",
        {"collection": collection_id, "submission": submission_id},
    )


_SET_SUBMITTED = f"""
    WITH placed AS (
        UPDATE uploads u SET position = p.position, path = p.path
        FROM unnest(%(placed)s::uuid[], %(positions)s::int[], %(paths)s::text[]) AS p (id, position, path)
        WHERE u.id = p.id
    )
    UPDATE submissions s SET status = %(status)s, response = 'active', completed_at = now(),
           line_end = {write_line_end("started_at", "now()", "%(responses)s::text")},
           file_count = cardinality(%(placed)s::uuid[]), answer_count = %(answer_count)s,
           activated_counter = c.counter,
           deactivated_counter = CASE WHEN s.test THEN c.counter END,
           entered_code = coalesce(s.entered_code, %(entered_code)s)
    FROM collection_changes c WHERE s.id = %(id)s AND c.collection_id = s.collection_id AND require(
        s.status = %(seen_status)s AND s.response = %(seen_response)s
        AND ARRAY(SELECT a.id FROM answers a WHERE a.submission_id = s.id ORDER BY a.id) = %(answers)s::uuid[]
        AND (SELECT coalesce(sum(a.revision), 0) FROM answers a WHERE a.submission_id = s.id) = %(revisions)s
        AND ARRAY(SELECT u.id FROM uploads u WHERE u.submission_id = s.id AND u.failure IS NULL ORDER BY u.id)
            = %(files)s::uuid[])
"""


async def set_submitted(
    connection: Connection,
    seen: SubmissionRow,
    answers: list[AnswerRow],
    file_ids: list[UUID],
    *,
    status: str,
    responses: str,
    answer_count: int,
    places: list[FilePlace],
    entered_code: str | None,
) -> None:
    """Make a response active, and store where each of its files stands in the archive. By statements before, the caller
    has raised the collection's counter and locked the submission, in this order.

    Args:
        seen, answers, file_ids: what was judged, and must still be all there is.
        responses: the JSON of `responses` in the archive.

    Raises:
        psycopg.errors.SerializationFailure: it is not what there is; the transaction can't go on.
    """
    await connection.execute(
        _SET_SUBMITTED,
        {
            "id": seen.id,
            "seen_status": seen.status,
            "seen_response": seen.response,
            "answers": sorted(answer.id for answer in answers),
            "revisions": sum(answer.revision for answer in answers),
            "files": sorted(file_ids),
            "status": status,
            "responses": responses,
            "answer_count": answer_count,
            "placed": [place.upload_id for place in places],
            "positions": [place.position for place in places],
            "paths": [place.path for place in places],
            "entered_code": entered_code,
        },
    )
