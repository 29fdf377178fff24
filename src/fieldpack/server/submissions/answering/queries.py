"""SQL of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.rows import AnswerRow, Key, SavedRow
from fieldpack.server.uploads.queries import OPEN, OPENED_BY
from fieldpack.server.uploads.rows import HolderRow


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
        INSERT INTO answers AS a (submission_id, instruction_id, value)
        SELECT %s, unnest(%s::uuid[]), unnest(%s::json[])
        ON CONFLICT (submission_id, instruction_id) DO UPDATE
            SET value = excluded.value, revision = a.revision + 1, updated_at = now()
        RETURNING {columns_of(SavedRow, "a")}
        """,
        [submission_id, list(values), [Json(value) for value in values.values()]],
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
        SELECT s.id FROM submissions s {OPENED_BY} AND s.id = %(submission)s AND {OPEN} FOR NO KEY UPDATE OF s
    )
"""
_INSERT_HELD = f"""
    {_HELD_OPEN}
    INSERT INTO answers AS a (submission_id, instruction_id, value)
    SELECT held.id, %(instruction)s, %(value)s FROM held
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
    connection: Connection,
    submission_id: UUID,
    key: Key,
    instruction_id: UUID,
    value: dict[str, Any],
    seen: int | None,
) -> SavedRow | None:
    """Save one answer by one statement, a transaction of its own; None, and nothing saved, unless the token opens the
    submission, its answers may change, and the saved one is the one that was seen. Locks the submission.

    Args:
        seen: the revision that must still be saved; 0 for none, None for any.
    """
    statement = _OVER_ANY if seen is None else _OVER_ONE if seen else _OVER_NONE
    cursor = await connection.cursor(row_factory=class_row(SavedRow)).execute(
        statement,
        {
            "token": key.token_sha256,
            "before": key.made_before,
            "submission": submission_id,
            "instruction": instruction_id,
            "value": Json(value),
            "seen": seen,
        },
    )
    return await cursor.fetchone()


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
    """Delete the answers to these instructions. The caller has locked the submission."""
    if instruction_ids:
        await connection.execute(
            "DELETE FROM answers WHERE submission_id = %s AND instruction_id = ANY(%s)",
            [submission_id, instruction_ids],
        )
