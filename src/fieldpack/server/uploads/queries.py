"""SQL of uploads, their stored spans and blobs.

Locks are taken in the order of the whole server: study, submission, upload.
"""

from __future__ import annotations

from dataclasses import astuple
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.uploads.rows import (
    CountedRow,
    FileRow,
    HolderRow,
    OpenerRow,
    OwnedUploadRow,
    RemovableRow,
    StoredSpanRow,
    UploadRow,
    WholeUpload,
)

# whether the answers and files of a submission may still change: until its participant hands it in or it is returned,
# whatever status a researcher or the end of time gives it before
OPEN = "(s.activated_counter IS NULL AND s.response <> 'deleted' AND s.status <> 'RETURNED')"
# of submissions `s`: whose token was given
OPENED_BY = """
    JOIN participant_tokens k ON k.submission_id = s.id
    WHERE k.token_sha256 = %(token)s AND (%(before)s::timestamptz IS NULL OR k.created_at < %(before)s)
      AND s.response <> 'deleted'
"""
FINISHING_SECONDS = 6

FIND = f"""
    SELECT u.id, u.submission_id, s.study_id, s.collection_id, s.collection_version, u.instruction_id,
           u.file_name, u.metadata, u.length_bytes, u.offset_bytes, u.crc32, u.content_type, u.blob_id,
           b.sha256, u.failure, {OPEN} AS open,
           coalesce(u.finishing_at > now() - make_interval(secs => {FINISHING_SECONDS}), false) AS finishing
    FROM uploads u JOIN submissions s ON s.id = u.submission_id LEFT JOIN blobs b ON b.id = u.blob_id
"""


async def add_study_bytes(connection: Connection, study_id: UUID, size_bytes: int, cap_bytes: int) -> bool:
    """Count bytes against a study; False, and nothing counted, when they would pass its cap. Locks the study."""
    cursor = await connection.execute(
        "UPDATE studies SET upload_bytes = upload_bytes + %(n)s"
        " WHERE id = %(id)s AND upload_bytes + %(n)s <= %(cap)s RETURNING id",
        {"id": study_id, "n": size_bytes, "cap": cap_bytes},
    )
    return await cursor.fetchone() is not None


async def add_submission_bytes(
    connection: Connection, submission_id: UUID, size_bytes: int, cap_bytes: int
) -> bool:
    """Count bytes against a submission; False, and nothing counted, when they would pass its cap. Locks the
    submission; the caller has locked the study."""
    cursor = await connection.execute(
        "UPDATE submissions SET upload_bytes = upload_bytes + %(n)s"
        " WHERE id = %(id)s AND upload_bytes + %(n)s <= %(cap)s RETURNING id",
        {"id": submission_id, "n": size_bytes, "cap": cap_bytes},
    )
    return await cursor.fetchone() is not None


async def count_bytes(connection: Connection, submission_id: UUID) -> CountedRow:
    """Bytes that are counted against a submission and its study; none when it was erased."""
    cursor = await connection.cursor(row_factory=class_row(CountedRow)).execute(
        """
        SELECT s.upload_bytes AS of_submission, t.upload_bytes AS of_study
        FROM submissions s JOIN studies t ON t.id = s.study_id WHERE s.id = %s
        """,
        [submission_id],
    )
    return await cursor.fetchone() or CountedRow(0, 0)


async def lock_submission(connection: Connection, submission_id: UUID) -> HolderRow | None:
    """A submission that was not erased, locked until commit (`FOR NO KEY UPDATE`)."""
    return await (await ask_lock(connection, submission_id)).fetchone()


async def ask_lock(connection: Connection, submission_id: UUID) -> AsyncCursor[HolderRow]:
    """The same, asked for: in a pipeline the row comes once it is fetched. Locks the submission until commit."""
    return await connection.cursor(row_factory=class_row(HolderRow)).execute(
        f"SELECT s.id, s.study_id, s.collection_id, s.collection_version, {OPEN} AS open FROM submissions s"
        " WHERE s.id = %s AND s.response <> 'deleted' FOR NO KEY UPDATE",
        [submission_id],
    )


async def count_uploads(connection: Connection, submission_id: UUID, instruction_id: UUID) -> int:
    """Uploads of an instruction, finished or not; failed ones don't count."""
    cursor = await connection.execute(
        "SELECT count(*) AS count FROM uploads"
        " WHERE submission_id = %s AND instruction_id = %s AND failure IS NULL",
        [submission_id, instruction_id],
    )
    row = await cursor.fetchone()
    return row["count"] if row else 0


async def insert_upload(connection: Connection, upload: UploadRow, writer: UUID, key: str | None) -> None:
    """An upload that begins now, and whom it lets write. The submission must be locked: no other one takes the key."""
    await connection.execute(
        "INSERT INTO uploads (id, submission_id, instruction_id, file_name, metadata, length_bytes, writer, key)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            upload.id,
            upload.submission_id,
            upload.instruction_id,
            upload.file_name,
            upload.metadata,
            upload.length_bytes,
            writer,
            key,
        ],
    )


async def insert_whole(
    connection: Connection,
    opener: OpenerRow,
    upload: WholeUpload,
    *,
    most_files: int,
    submission_cap_bytes: int,
    study_cap_bytes: int,
) -> bool:
    """An upload that is complete, and its blob, by one transaction that is sent in one go. False, and nothing written,
    unless the token opens the submission, its files may change, the key is new, and neither files nor bytes are too
    many.

    Locks the study and the submission; what it then decides by is read after that.

    Args:
        connection: of `Database.statements`.
    """
    async with connection.pipeline():
        await connection.execute(
            "SELECT FROM studies t JOIN submissions s ON s.study_id = t.id WHERE s.id = %s"
            " FOR NO KEY UPDATE OF t, s",  # locked in this order
            [opener.id],
        )
        cursor = await connection.execute(
            f"""
            WITH held AS (
                SELECT s.id, s.study_id FROM studies t JOIN submissions s ON s.study_id = t.id {OPENED_BY}
                  AND s.id = %(submission)s AND {OPEN}
                  AND s.upload_bytes + %(length)s <= %(cap)s AND t.upload_bytes + %(length)s <= %(study_cap)s
                  AND NOT EXISTS (SELECT FROM uploads u WHERE u.submission_id = s.id AND u.key = %(key)s)
                  AND (SELECT count(*) FROM uploads u WHERE u.submission_id = s.id
                       AND u.instruction_id = %(instruction)s AND u.failure IS NULL) < %(most)s
            ), kept AS (
                INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type)
                SELECT %(id)s, %(length)s, %(crc32)s, %(sha256)s, %(type)s FROM held
            ), of_study AS (
                UPDATE studies t SET upload_bytes = t.upload_bytes + %(length)s FROM held WHERE t.id = held.study_id
            ), of_submission AS (
                UPDATE submissions s SET upload_bytes = s.upload_bytes + %(length)s FROM held WHERE s.id = held.id
            )
            INSERT INTO uploads (id, submission_id, instruction_id, file_name, metadata, length_bytes, offset_bytes,
                                 crc32, content_type, blob_id, completed_at, key)
            SELECT %(id)s, held.id, %(instruction)s, %(name)s, %(metadata)s, %(length)s, %(length)s,
                   %(crc32)s, %(type)s, %(id)s, now(), %(key)s FROM held
            RETURNING id
            """,
            {
                "token": opener.token_sha256,
                "before": opener.made_before,
                "submission": opener.id,
                "cap": submission_cap_bytes,
                "study_cap": study_cap_bytes,
                "most": most_files,
                "id": upload.id,
                "instruction": upload.instruction_id,
                "name": upload.file_name,
                "metadata": upload.metadata,
                "key": upload.key,
                "length": upload.length_bytes,
                "crc32": upload.crc32,
                "sha256": upload.sha256,
                "type": upload.content_type,
            },
        )
    return await cursor.fetchone() is not None


async def find_by_key(connection: Connection, submission_id: UUID, key: str) -> UploadRow | None:
    """The upload that a client's key names."""
    cursor = await connection.cursor(row_factory=class_row(UploadRow)).execute(
        f"{FIND} WHERE u.submission_id = %s AND u.key = %s", [submission_id, key]
    )
    return await cursor.fetchone()


async def find_upload(
    connection: Connection, submission_id: UUID, upload_id: UUID, *, lock: bool = False
) -> UploadRow | None:
    """An upload; with `lock` its row is locked until commit, but not its submission's."""
    cursor = await connection.cursor(row_factory=class_row(UploadRow)).execute(
        f"{FIND} WHERE u.id = %s AND u.submission_id = %s {'FOR NO KEY UPDATE OF u' if lock else ''}",
        [upload_id, submission_id],
    )
    return await cursor.fetchone()


async def set_writer(connection: Connection, upload_id: UUID, writer: UUID) -> None:
    """Make a request the one that may write. The caller has locked the upload."""
    await connection.execute(
        "UPDATE uploads SET writer = %s, updated_at = now() WHERE id = %s", [writer, upload_id]
    )


async def is_writer(connection: Connection, upload_id: UUID, writer: UUID) -> bool:
    """Whether this request may still write: there is no newer one, and files may still change."""
    cursor = await connection.execute(
        f"SELECT 1 FROM uploads u JOIN submissions s ON s.id = u.submission_id"
        f" WHERE u.id = %s AND u.writer = %s AND u.blob_id IS NULL AND u.failure IS NULL AND {OPEN}",
        [upload_id, writer],
    )
    return await cursor.fetchone() is not None


async def move_offset(
    connection: Connection,
    upload_id: UUID,
    writer: UUID,
    offset_bytes: int,
    crc32: int,
    content_type: str | None,
) -> bool:
    """Move the offset; False when this request may not write any more. Locks the upload."""
    cursor = await connection.execute(
        f"""
        UPDATE uploads u SET offset_bytes = %s, crc32 = %s, content_type = coalesce(%s, content_type),
                             updated_at = now()
        FROM submissions s
        WHERE u.id = %s AND u.writer = %s AND s.id = u.submission_id
          AND u.blob_id IS NULL AND u.failure IS NULL AND {OPEN}
        RETURNING u.id
        """,
        [offset_bytes, crc32, content_type, upload_id, writer],
    )
    return await cursor.fetchone() is not None


async def insert_spans(connection: Connection, upload_id: UUID, spans: list[StoredSpanRow]) -> None:
    """Record spans of an upload and the objects that hold them. The caller has locked the upload."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO upload_chunks (upload_id, offset_bytes, size_bytes, key) VALUES (%s, %s, %s, %s)",
            [(upload_id, *astuple(span)) for span in spans],
        )


async def list_spans(connection: Connection, upload_id: UUID) -> list[StoredSpanRow]:
    """The stored spans of an upload, in order."""
    cursor = await connection.cursor(row_factory=class_row(StoredSpanRow)).execute(
        "SELECT offset_bytes, size_bytes, key FROM upload_chunks WHERE upload_id = %s ORDER BY offset_bytes",
        [upload_id],
    )
    return await cursor.fetchall()


async def delete_spans(connection: Connection, upload_id: UUID) -> list[str]:
    """Delete the rows of an upload's stored spans; the keys of their objects."""
    cursor = await connection.execute(
        "DELETE FROM upload_chunks WHERE upload_id = %s RETURNING key", [upload_id]
    )
    return [row["key"] for row in await cursor.fetchall()]


async def show_finishing(connection: Connection, upload_id: UUID, writer: UUID) -> None:
    """Note that the upload is being completed now."""
    await connection.execute(
        "UPDATE uploads SET finishing_at = now() WHERE id = %s AND writer = %s", [upload_id, writer]
    )


async def complete_upload(
    connection: Connection,
    upload_id: UUID,
    writer: UUID,
    blob_id: UUID,
    crc32: int,
    sha256: bytes,
    content_type: str,
) -> bool:
    """Record the blob; False when this request may not write any more.

    The caller has locked the submission; locks the upload.
    """
    cursor = await connection.execute(
        f"""
        WITH mine AS (
            SELECT u.id, u.length_bytes FROM uploads u JOIN submissions s ON s.id = u.submission_id
            WHERE u.id = %(upload)s AND u.writer = %(writer)s AND u.blob_id IS NULL AND u.failure IS NULL AND {OPEN}
            FOR NO KEY UPDATE OF u
        ), kept AS (
            INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type)
            SELECT %(blob)s, length_bytes, %(crc32)s, %(sha256)s, %(type)s FROM mine
        )
        UPDATE uploads u SET blob_id = %(blob)s, completed_at = now(), updated_at = now(),
                             offset_bytes = u.length_bytes, crc32 = %(crc32)s, content_type = %(type)s,
                             writer = NULL, finishing_at = NULL
        FROM mine WHERE u.id = mine.id
        """,
        {
            "upload": upload_id,
            "writer": writer,
            "blob": blob_id,
            "crc32": crc32,
            "sha256": sha256,
            "type": content_type,
        },
    )
    return cursor.rowcount == 1


async def set_failed(connection: Connection, upload_id: UUID, writer: UUID, reason: str) -> bool:
    """Fail an upload and forget its offset, and what its client said of it; False when this request may not write any
    more. Locks the upload."""
    cursor = await connection.execute(
        """
        UPDATE uploads SET failure = %s, writer = NULL, finishing_at = NULL, offset_bytes = 0, crc32 = 0,
                           metadata = NULL, updated_at = now()
        WHERE id = %s AND writer = %s AND blob_id IS NULL AND failure IS NULL RETURNING id
        """,
        [reason, upload_id, writer],
    )
    return await cursor.fetchone() is not None


async def remove_failed(connection: Connection, submission_id: UUID, kept: int) -> None:
    """Remove the rows of failed uploads of a submission, of which nothing is stored, but for the last `kept`. The
    caller has locked the submission."""
    await connection.execute(
        """
        DELETE FROM uploads WHERE id IN (
            SELECT id FROM uploads WHERE submission_id = %s AND failure IS NOT NULL
            ORDER BY updated_at DESC, id OFFSET %s)
        """,
        [submission_id, kept],
    )


async def list_files(connection: Connection, submission_id: UUID) -> list[FileRow]:
    """Finished and unfinished uploads, in the order they were begun; failed ones are left out."""
    return await (await ask_files(connection, submission_id)).fetchall()


async def ask_files(connection: Connection, submission_id: UUID) -> AsyncCursor[FileRow]:
    """The same, asked for: in a pipeline the rows come once they are fetched."""
    return await connection.cursor(row_factory=class_row(FileRow)).execute(
        """
        SELECT u.id, u.instruction_id, u.file_name, u.content_type, u.length_bytes AS size_bytes,
               encode(b.sha256, 'hex') AS sha256,
               CASE WHEN u.blob_id IS NULL THEN 'uploading' ELSE 'complete' END AS status,
               u.offset_bytes AS "offset", u.created_at
        FROM uploads u LEFT JOIN blobs b ON b.id = u.blob_id
        WHERE u.submission_id = %s AND u.failure IS NULL AND u.replaced_at IS NULL ORDER BY u.created_at, u.id
        """,
        [submission_id],
    )


async def list_removable(
    connection: Connection, submission_id: UUID, upload_ids: list[UUID] | None = None
) -> list[RemovableRow]:
    """Uploads of a submission (all, or these) with what is stored of each. They are locked until commit, in the
    order of their ids; the caller has locked study and submission."""
    cursor = await connection.cursor(row_factory=class_row(RemovableRow)).execute(
        """
        SELECT u.id, u.length_bytes, u.failure, u.blob_id,
               ARRAY(SELECT c.key FROM upload_chunks c WHERE c.upload_id = u.id) AS span_keys
        FROM uploads u WHERE u.submission_id = %(submission)s
          AND (%(ids)s::uuid[] IS NULL OR u.id = ANY(%(ids)s)) ORDER BY u.id FOR UPDATE
        """,
        {"submission": submission_id, "ids": upload_ids},
    )
    return await cursor.fetchall()


async def delete_uploads(connection: Connection, upload_ids: list[UUID], blob_ids: list[UUID]) -> None:
    """Delete the rows of uploads and blobs. The caller has locked the uploads."""
    await connection.execute("DELETE FROM uploads WHERE id = ANY(%s)", [upload_ids])
    await connection.execute("DELETE FROM blobs WHERE id = ANY(%s)", [blob_ids])


async def subtract_bytes(
    connection: Connection, study_id: UUID, submission_id: UUID, size_bytes: int
) -> None:
    """Subtract bytes from what is counted against a study and a submission; locks both, in this order."""
    await connection.execute(
        "UPDATE studies SET upload_bytes = greatest(upload_bytes - %s, 0) WHERE id = %s",
        [size_bytes, study_id],
    )
    await connection.execute(
        "UPDATE submissions SET upload_bytes = greatest(upload_bytes - %s, 0) WHERE id = %s",
        [size_bytes, submission_id],
    )


async def lock_study(connection: Connection, study_id: UUID) -> None:
    """Lock a study until commit; taken before its submissions and their uploads."""
    await connection.execute("SELECT 1 FROM studies WHERE id = %s FOR NO KEY UPDATE", [study_id])


ABANDONED = """
    FROM uploads u JOIN submissions s ON s.id = u.submission_id
    WHERE u.blob_id IS NULL
      AND (u.updated_at < now() - make_interval(secs => %(days)s * 86400)
           OR (s.status = 'RETURNED' AND u.updated_at < now() - interval '1 hour'))
"""


async def list_abandoned(connection: Connection, days: float, limit: int) -> list[OwnedUploadRow]:
    """Abandoned uploads, not locked: without a byte for `days`, or of a submission that was returned."""
    cursor = await connection.cursor(row_factory=class_row(OwnedUploadRow)).execute(
        f"SELECT u.id, u.submission_id, s.study_id {ABANDONED} ORDER BY u.updated_at LIMIT %(limit)s",
        {"days": days, "limit": limit},
    )
    return await cursor.fetchall()


async def is_abandoned(connection: Connection, upload_id: UUID, days: float) -> bool:
    """Whether an upload is still abandoned; if so, it is locked until commit."""
    cursor = await connection.execute(
        f"SELECT 1 {ABANDONED} AND u.id = %(id)s FOR UPDATE OF u", {"days": days, "id": upload_id}
    )
    return await cursor.fetchone() is not None


async def list_known_keys(connection: Connection, keys: list[str]) -> set[str]:
    """Which of these keys are of stored spans of an upload."""
    cursor = await connection.execute("SELECT key FROM upload_chunks WHERE key = ANY(%s)", [keys])
    return {row["key"] for row in await cursor.fetchall()}


async def list_known_uploads(connection: Connection, ids: list[UUID]) -> set[UUID]:
    """Which of these are uploads, blobs, or requests that are writing one, at all."""
    cursor = await connection.execute(
        "SELECT id FROM uploads WHERE id = ANY(%(ids)s)"
        " UNION ALL SELECT id FROM blobs WHERE id = ANY(%(ids)s)"
        " UNION ALL SELECT writer FROM uploads WHERE blob_id IS NULL AND writer = ANY(%(ids)s)",
        {"ids": ids},
    )
    return {row["id"] for row in await cursor.fetchall()}


async def list_known_builds(connection: Connection, ids: list[UUID]) -> set[str]:
    """The current build of each of these exports, as `<export>/<build>`."""
    cursor = await connection.execute(
        "SELECT concat(id, '/', build) AS build FROM exports WHERE id = ANY(%s)", [ids]
    )
    return {row["build"] for row in await cursor.fetchall()}
