"""SQL of corrections. Where something is written the caller has locked the collection's counter and the submission."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.archive.records import dump_json
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.line_queries import write_line_end
from fieldpack.server.submissions.corrections.rows import (
    CorrectionRow,
    LineRow,
    NewCorrection,
    NewFile,
    ReplacedRow,
)

_CORRECTION: LiteralString = """
    SELECT c.id, c.submission_id, c.instruction_id, c.version, c.before, c.after, c.before_files, c.after_files,
           c.reason, c.created_at, c.created_by AS author_id,
           coalesce(nullif(trim(concat(r.first_name, ' ', r.last_name)), ''), r.email) AS author
    FROM corrections c JOIN researchers r ON r.id = c.created_by
"""


def _as_json(value: dict[str, Any] | None) -> Json | None:
    # on one line, as it is to stand in history.jsonl
    return None if value is None else Json(value, dumps=dump_json)


async def list_corrections(connection: Connection, submission_id: UUID) -> list[CorrectionRow]:
    """The corrections of a submission, oldest first."""
    cursor = await connection.cursor(row_factory=class_row(CorrectionRow)).execute(
        f"{_CORRECTION} WHERE c.submission_id = %s ORDER BY c.created_at, c.id", [submission_id]
    )
    return await cursor.fetchall()


async def get_correction(connection: Connection, correction_id: UUID) -> CorrectionRow:
    """A correction that is there."""
    cursor = await connection.cursor(row_factory=class_row(CorrectionRow)).execute(
        f"{_CORRECTION} WHERE c.id = %s", [correction_id]
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def find_version(connection: Connection, submission_id: UUID, instruction_id: UUID) -> int:
    """The version of an answer: 1 until it is corrected."""
    cursor = await connection.execute(
        "SELECT coalesce(max(version), 1) AS version FROM corrections"
        " WHERE submission_id = %s AND instruction_id = %s",
        [submission_id, instruction_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    version: int = row["version"]
    return version


async def get_line(connection: Connection, submission_id: UUID) -> LineRow:
    """What is stored of the line of an active response."""
    cursor = await connection.cursor(row_factory=class_row(LineRow)).execute(
        "SELECT line_end, clock_timestamp() AS now FROM submissions WHERE id = %s", [submission_id]
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def insert_correction(connection: Connection, made: NewCorrection) -> None:
    """Record a correction."""
    await connection.execute(
        """
        INSERT INTO corrections (id, submission_id, instruction_id, version, before, after, before_files, after_files,
                                 reason, created_at, created_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            made.id,
            made.submission_id,
            made.instruction_id,
            made.version,
            _as_json(made.before),
            _as_json(made.after),
            made.before_files,
            made.after_files,
            made.reason,
            made.created_at,
            made.author_id,
        ],
    )


async def set_line(
    connection: Connection,
    submission_id: UUID,
    *,
    at: datetime,
    responses: str,
    rest: str,
    answer_count: int,
    file_count: int,
) -> None:
    """Write the line of a response anew.

    Args:
        at: when it was corrected.
        responses: the JSON of `responses` in the archive.
        rest: fields that follow it, each after a comma.
    """
    line_end = write_line_end(
        "started_at",
        "completed_at",
        "%(responses)s::text",
        edited_at="%(at)s::timestamptz",
        rest="%(rest)s::text",
    )
    await connection.execute(
        f"""
        UPDATE submissions SET edited_at = %(at)s, line_end = {line_end}, answer_count = %(answer_count)s,
               file_count = %(file_count)s
        WHERE id = %(id)s
        """,
        {
            "id": submission_id,
            "at": at,
            "responses": responses,
            "rest": rest,
            "answer_count": answer_count,
            "file_count": file_count,
        },
    )


# files


async def find_replaceable(connection: Connection, submission_id: UUID, file_key: UUID) -> ReplacedRow | None:
    """A file of a response: one that is in archives now, or was."""
    cursor = await connection.cursor(row_factory=class_row(ReplacedRow)).execute(
        "SELECT id, instruction_id, position, path FROM uploads"
        " WHERE id = %s AND submission_id = %s AND (position IS NOT NULL OR replaced_at IS NOT NULL)",
        [file_key, submission_id],
    )
    return await cursor.fetchone()


async def list_file_keys(connection: Connection, submission_id: UUID, instruction_id: UUID) -> list[UUID]:
    """The uploads of a question that are in archives now, in their order."""
    cursor = await connection.execute(
        "SELECT id FROM uploads WHERE submission_id = %s AND instruction_id = %s AND position IS NOT NULL"
        " ORDER BY position",
        [submission_id, instruction_id],
    )
    return [row["id"] for row in await cursor.fetchall()]


async def exchange_upload(
    connection: Connection, submission_id: UUID, old: ReplacedRow, new: NewFile, path: str, at: datetime
) -> None:
    """Put a stored file on record in the place of another, which keeps its row and its blob.

    Args:
        path: its member name.
        at: when this is done.
    """
    await connection.execute(
        "UPDATE uploads SET replaced_at = %s, position = NULL, path = NULL WHERE id = %s", [at, old.id]
    )
    await connection.execute(
        "INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type) VALUES (%s, %s, %s, %s, %s)",
        [new.id, new.size_bytes, new.crc32, new.sha256, new.content_type],
    )
    await connection.execute(
        """
        INSERT INTO uploads (id, submission_id, instruction_id, file_name, length_bytes, offset_bytes, crc32,
                             content_type, blob_id, created_at, updated_at, completed_at, position, path)
        VALUES (%(id)s, %(submission)s, %(instruction)s, %(name)s, %(size)s, %(size)s, %(crc32)s,
                %(type)s, %(id)s, %(at)s, %(at)s, %(at)s, %(position)s, %(path)s)
        """,
        {
            "id": new.id,
            "submission": submission_id,
            "instruction": old.instruction_id,
            "name": new.file_name,
            "size": new.size_bytes,
            "crc32": new.crc32,
            "type": new.content_type,
            "at": at,
            "position": old.position,
            "path": path,
        },
    )
