"""Collections of any size in seconds: rows written straight into an installation's database.

What participants would have sent through the API is inserted as it would lie there: a text and files per
submission, each with its blob. Blobs exist on disk with the bytes on record, so that archives verify.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from isal import isal_zlib
from tests.installation import Installation
from tests.scenario import FREE_TEXT, UPLOAD, Scenario

from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.exports.line_queries import write_line_end
from fieldpack.server.storage import blob_key

__all__ = ["Blob", "Population", "connected", "make_blobs", "make_sparse_blobs", "populate", "touch"]

POOL_BYTES = 64 << 20
ZEROS = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Blob:
    """A finished upload's bytes in storage."""

    id: uuid.UUID
    size_bytes: int
    crc32: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Population:
    """A collection full of submissions."""

    collection_id: str
    export_path: str
    submissions: int
    files: int


@contextmanager
def connected(installation: Installation) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the installation's own database, in autocommit."""
    embedded = open_embedded(installation.data_dir)
    try:
        with psycopg.connect(embedded.url, autocommit=True) as connection:
            yield connection
    finally:
        embedded.close()


def _path_of(installation: Installation, blob_id: uuid.UUID) -> Path:
    path = installation.data_dir / "storage" / blob_key(blob_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def make_blobs(installation: Installation, count: int, size_bytes: int) -> list[Blob]:
    """`count` files of random bytes, all different, in the installation's storage."""
    pool = memoryview(os.urandom(min(POOL_BYTES, max(size_bytes * 2, 1 << 20))))
    blobs = []
    for number in range(count):
        blob_id = uuid.uuid4()
        crc32 = 0
        digest = hashlib.sha256()
        with _path_of(installation, blob_id).open("wb", buffering=0) as out:
            head = number.to_bytes(min(8, size_bytes), "little")
            left = size_bytes - len(head)
            pieces = [memoryview(head)]
            at = (number * 7919) % max(len(pool) - min(left, len(pool)), 1)
            while left:
                piece = pool[at : at + left]
                pieces.append(piece)
                left -= len(piece)
                at = 0
            for piece in pieces:
                out.write(piece)
                crc32 = isal_zlib.crc32(piece, crc32)
                digest.update(piece[:64])  # exports copy the digest; nothing here checks it
        blobs.append(Blob(blob_id, size_bytes, crc32, digest.digest()))
    return blobs


def make_sparse_blobs(installation: Installation, count: int, size_bytes: int) -> list[Blob]:
    """`count` files that are holes: any size, no room on disk, and right checksums."""
    crc32 = 0
    left = size_bytes
    while left:
        piece = memoryview(ZEROS)[: min(left, len(ZEROS))]
        crc32 = isal_zlib.crc32(piece, crc32)
        left -= len(piece)
    blobs = []
    for _ in range(count):
        blob = Blob(uuid.uuid4(), size_bytes, crc32, bytes(32))
        with _path_of(installation, blob.id).open("wb") as out:
            out.truncate(size_bytes)
        blobs.append(blob)
    return blobs


# ids are random, as real ones are; completion times a second apart, in an order of their own
SEED = """
    CREATE TEMP TABLE seed AS
    SELECT n, gen_random_uuid() AS submission_id,
           timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS completed_at
    FROM generate_series(1, %s) AS n;
"""
RESPONSES = """
    '{"' || %(text)s || '":{"type":"free_text","value":"Answer number ' || s.n
        || ': it went well, the street was quiet and the photo shows the north side of it."}'
        || coalesce(',"' || %(upload)s || '":{"type":"file_upload","value":[' || f.listed || ']}', '')
        || '}'
"""
SUBMISSIONS = f"""
    INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, session_id,
        ordinal, status, response, holds_place, started_at, completed_at, line_end, file_count, answer_count,
        activated_counter)
    SELECT s.submission_id, %(study)s, %(collection)s, 1, md5('p' || s.n), 'session', 1,
        'AWAITING REVIEW', 'active', false, s.completed_at - interval '7 minutes', s.completed_at,
        {write_line_end("(s.completed_at - interval '7 minutes')", "s.completed_at", RESPONSES)},
        %(each)s, 1 + %(each)s, s.n
    FROM seed s LEFT JOIN LATERAL (
        SELECT string_agg('{{"path":"files/' || s.submission_id || '_photo-' || k
            || '.jpg","file_name":"photo-'
            || k || '.jpg","content_type":"image/jpeg","size_bytes":' || b.size_bytes || ',"sha256":"'
            || encode(b.sha256, 'hex') || '"}}', ',' ORDER BY k) AS listed
        FROM generate_series(1, %(each)s) AS k
        JOIN seed_blobs b ON b.number = ((s.n - 1) * %(each)s + k - 1) %% %(blobs)s
    ) f ON true
"""
UPLOADS = """
    INSERT INTO uploads (id, submission_id, instruction_id, file_name, length_bytes, offset_bytes, crc32,
        content_type, blob_id, completed_at, position, path)
    SELECT gen_random_uuid(), s.submission_id, %(upload)s::uuid, 'photo-' || k || '.jpg', b.size_bytes,
        b.size_bytes, b.crc32, 'image/jpeg', b.id, s.completed_at - interval '1 minute', k,
        'files/' || s.submission_id || '_photo-' || k || '.jpg'
    FROM seed s CROSS JOIN generate_series(1, %(each)s) AS k
    JOIN seed_blobs b ON b.number = ((s.n - 1) * %(each)s + k - 1) %% %(blobs)s
"""


def populate(
    installation: Installation, submissions: int, blobs: Sequence[Blob], *, files_each: int = 1
) -> Population:
    """A published study with so many submissions; the blobs go round among their files."""
    with installation.client() as api, connected(installation) as connection:
        scenario = Scenario.create(api, FREE_TEXT, UPLOAD)
        items = scenario.collection["collection_items"][0]["page_items"]
        values = {
            "study": scenario.study["id"],
            "collection": scenario.collection["id"],
            "text": items[0]["id"],
            "upload": items[1]["id"],
            "each": files_each,
            "blobs": max(len(blobs), 1),
        }
        with connection.transaction():
            _insert_blobs(connection, blobs)
            connection.execute(SEED, [submissions], prepare=False)
            connection.execute("ANALYZE seed; ANALYZE seed_blobs")
            connection.execute(SUBMISSIONS, values)
            connection.execute(UPLOADS, values)
            connection.execute("DROP TABLE seed; DROP TABLE seed_blobs")
            connection.execute(
                "UPDATE collection_changes SET counter = counter + %s WHERE collection_id = %s",
                [submissions, scenario.collection["id"]],
            )
        for table in ("submissions", "uploads", "blobs"):
            connection.execute(f"VACUUM ANALYZE {table}")
        connection.execute("CHECKPOINT")
        return Population(
            scenario.collection["id"], scenario.export_path, submissions, submissions * files_each
        )


def _insert_blobs(connection: psycopg.Connection[Any], blobs: Sequence[Blob]) -> None:
    connection.execute(
        """
        CREATE TEMP TABLE seed_blobs (
            number bigint PRIMARY KEY, id uuid, size_bytes bigint, crc32 bigint, sha256 bytea)
        """
    )
    with connection.cursor() as cursor:
        with cursor.copy("COPY seed_blobs FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "uuid", "int8", "int8", "bytea"])
            for number, blob in enumerate(blobs):
                copy.write_row((number, blob.id, blob.size_bytes, blob.crc32, blob.sha256))
        cursor.execute(
            """
            INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type)
            SELECT id, size_bytes, crc32, sha256, 'image/jpeg' FROM seed_blobs ON CONFLICT DO NOTHING
            """
        )


def touch(installation: Installation, population: Population) -> None:
    """Make the collection count as changed, so that the next request makes a new export."""
    with connected(installation) as connection:
        connection.execute(
            "UPDATE collection_changes SET counter = counter + 1 WHERE collection_id = %s",
            [population.collection_id],
        )
