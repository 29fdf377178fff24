"""The export job: one snapshot of the rows becomes deflated members and an index; files stay untouched.

Everything streams: lines as PostgreSQL makes them, deflated as they come, the index page by page. Memory does
not grow with the collection. The job runs in a thread; deflating and waiting for rows leave the interpreter to others.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import zlib
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
import psycopg
import structlog
from isal import isal_zlib

from fieldpack.archive.layout import DEFLATED, IndexWriter
from fieldpack.archive.members import COLLECTION, HISTORY, README, RESPONSES
from fieldpack.archive.readme import render_readme
from fieldpack.archive.records import format_time
from fieldpack.server.collections.shapes import SCHEMA_VERSION
from fieldpack.server.context import Context
from fieldpack.server.exports import transitions
from fieldpack.server.exports.build import job_queries as queries
from fieldpack.server.exports.build.ends import Incomplete, Interrupted, Superseded, WornOut
from fieldpack.server.exports.build.instructions import describe_instructions
from fieldpack.server.exports.keys import INDEX, head_id, stored_key
from fieldpack.server.exports.rows import BuildRow, ClaimedRow, CountedRow, Facts, SnapshotRow
from fieldpack.server.storage import Buffer

__all__ = ["build_export", "work_folder"]

BEAT_SECONDS = 0.5
MOST_ATTEMPTS = 40
BATCH_BYTES = 1 << 20
DEFLATE_LEVEL = 2
log = structlog.get_logger()
Batch = TypeVar("Batch")


class Deflated(NamedTuple):
    """A deflated member on disk."""

    name: str
    path: Path
    size_bytes: int
    compressed_bytes: int
    crc32: int
    stored_crc32: int


def work_folder(context: Context, export: BuildRow) -> Path:
    """Where a job keeps what it is making, on this machine; each build has its own."""
    return context.settings.data_dir / "tmp" / "exports" / f"{export.id}-{export.build}"


class Heartbeat:
    """Stores the progress of a build, and checks that it was not superseded, at most twice a second."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        export: BuildRow,
        stop: threading.Event,
        share: float,
    ) -> None:
        self._connection = connection
        self._share = share
        self._export = export
        self._stop = stop
        self._last = time.monotonic()

    def beat(self, progress: float, *, now: bool = False) -> None:
        """Store the progress (0 to 1); `now` skips the wait of half a second.

        Raises:
            Interrupted: the worker is stopping.
            Superseded: the export has another build.
        """
        if self._stop.is_set():
            raise Interrupted
        if now or time.monotonic() - self._last >= BEAT_SECONDS:
            if not queries.report_progress(
                self._connection, self._export.id, self._export.build, progress * self._share
            ):
                raise Superseded
            self._last = time.monotonic()


def build_export(context: Context, export_id: UUID, stop: threading.Event) -> None:
    """Make the export complete, as often as it takes when something is erased meanwhile.

    Does nothing more when another worker took it over. Blocks: use a thread.

    Raises:
        Interrupted: `stop` was set.
        OSError, StorageError, psycopg.Error: a fault that may pass; the export is still generating.
        Incomplete: something is missing; trying again won't help.
    """
    with context.database.connect() as connection:
        export = transitions.claim(connection, export_id)
        if export is not None and export.attempts > MOST_ATTEMPTS:
            raise WornOut(f"{MOST_ATTEMPTS} workers died of it or gave it up.")
        while export is not None and not _build(context, connection, export, stop):
            export = transitions.claim(connection, export_id, again=export)
            log.info("export.superseded", export_id=str(export_id), again=export is not None)


def _build(
    context: Context, connection: psycopg.Connection[Any], export: ClaimedRow, stop: threading.Event
) -> bool:
    """Whether this build came to its end; False when it was shut out."""
    folder = work_folder(context, export)
    folder.mkdir(parents=True)
    _clear_earlier(folder)
    try:
        done = _build_once(context, connection, export, folder, stop)
    except Interrupted:
        raise
    except Superseded:
        done = False
    except Exception:
        # A worker that has claimed the export has removed our folder, so that this error may come from that; the
        # export must not fail for it. An error of the current build is real.
        if queries.is_to_start_over(connection, export):
            raise
        done = False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done:
        log.info("export.built", delivery=export.delivery, attempts=export.attempts)
    return done


def _clear_earlier(folder: Path) -> None:
    """Remove files of earlier builds of the export whose worker was killed: they may hold erased answers."""
    export_id = folder.name[:36]
    for other in folder.parent.glob(f"{export_id}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _build_once(
    context: Context,
    connection: psycopg.Connection[Any],
    export: ClaimedRow,
    folder: Path,
    stop: threading.Event,
) -> bool:
    """Whether this build completed the export, or has handed it on to the jobs of its parts."""
    from fieldpack.server.exports.build.parts import (  # which reads archives, as downloads do
        INDEX_SHARE,
        begin_object,
    )

    stored = export.delivery == "store"
    heartbeat = Heartbeat(connection, export, stop, INDEX_SHARE if stored else 1.0)
    with contextlib.closing(context.database.connect()) as reader:
        queries.begin_snapshot(reader)
        facts, members = _write(reader, export, folder, heartbeat)
    heartbeat.beat(0.99, now=True)
    for member in members:
        context.storage.put_file_blocking(stored_key(export.id, export.build, member.name), member.path)
    context.storage.put_file_blocking(stored_key(export.id, export.build, INDEX), folder / INDEX)
    if stored:
        done = begin_object(context, connection, export, facts)
    else:
        done = transitions.complete(connection, export, facts, context.settings)
    if not done:
        names = [*(member.name for member in members), INDEX]
        context.storage.delete_blocking([stored_key(export.id, export.build, name) for name in names])
    return done


def _write(
    reader: psycopg.Connection[Any], export: ClaimedRow, folder: Path, heartbeat: Heartbeat
) -> tuple[Facts, list[Deflated]]:
    """Write the stored members and the index from one snapshot; the facts of the archive."""
    snapshot = queries.read_snapshot(reader, export.collection_id)
    selection = queries.select_exported(export.collection_id, export.filter)
    counted = queries.count_selected(reader, selection)
    corrections = counted.corrections if export.with_history else 0
    total = counted.submissions + counted.files + corrections
    described = _describe(reader, export, snapshot, counted)
    lines = _watched(queries.iter_lines(reader, selection), counted.submissions, total, 0, heartbeat)
    members = [
        _deflate(folder, RESPONSES, lines),
        _deflate(folder, COLLECTION, [orjson.dumps(described, option=orjson.OPT_INDENT_2) + b"\n"]),
        _deflate(folder, README, [render_readme(described).encode()]),
    ]
    if export.with_history:
        rows = queries.iter_corrections(reader, selection)
        members.append(
            _deflate(folder, HISTORY, _watched(rows, corrections, total, counted.submissions, heartbeat))
        )
    modified_at = int(snapshot.snapshot_at.timestamp())
    with (folder / INDEX).open("wb", buffering=BATCH_BYTES) as out:
        writer = IndexWriter(out)
        for member in members:
            writer.add(
                member.name,
                method=DEFLATED,
                compressed_bytes=member.compressed_bytes,
                size_bytes=member.size_bytes,
                crc32=member.crc32,
                modified_at=modified_at,
                blob=head_id(export.build, member.name, member.stored_crc32),
            )
        files = _watched(
            queries.iter_files(reader, selection), counted.files, total, total - counted.files, heartbeat
        )
        writer.add_all(chain.from_iterable(files))
        summary = writer.finish()
    facts = Facts(
        snapshot_at=snapshot.snapshot_at,
        snapshot_counter=snapshot.counter,
        submission_count=counted.submissions,
        file_count=counted.files,
        size_bytes=summary.size_bytes,
        index_bytes=summary.index_bytes,
        etag=summary.etag,
    )
    return facts, members


def _watched(
    batches: Generator[tuple[int, Batch], None, None],
    expected: int,
    total: int,
    before: int,
    heartbeat: Heartbeat,
) -> Iterator[Batch]:
    """What is in `batches`, with a heartbeat for each, and an error unless there are as many rows as expected."""
    number = 0
    with contextlib.closing(batches):  # which ends the query here and now, in this thread
        for count, batch in batches:
            number += count
            heartbeat.beat(0.98 * (before + number) / max(total, 1))
            yield batch
    if number != expected:
        raise Incomplete(f"{expected} rows were counted, but {number} found.")


def _deflate(folder: Path, name: str, batches: Iterable[Buffer]) -> Deflated:
    """Deflate `batches` into a file (raw deflate, as a ZIP member holds it), a thread beside their making."""
    path = folder / name
    compressor = isal_zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = crc32 = compressed = stored_crc32 = 0

    def take(batch: Buffer) -> None:
        nonlocal size, crc32
        size += len(batch)
        crc32 = isal_zlib.crc32(batch, crc32)
        write(compressor.compress(batch))

    def write(data: bytes) -> None:
        nonlocal compressed, stored_crc32
        stored_crc32 = isal_zlib.crc32(data, stored_crc32)
        compressed += out.write(data)

    # the file is buffered: a raw one may take less than it is given
    with path.open("wb") as out, ThreadPoolExecutor(1, thread_name_prefix="deflate") as thread:
        taking: Future[None] | None = None
        for batch in batches:
            if taking is not None:
                taking.result()  # one at work and one that waits: memory stays the same
            taking = thread.submit(take, batch)
        if taking is not None:
            taking.result()
        write(compressor.flush())
    return Deflated(name, path, size, compressed, crc32, stored_crc32)


def _describe(
    reader: psycopg.Connection[Any],
    export: ClaimedRow,
    snapshot: SnapshotRow,
    counted: CountedRow,
) -> dict[str, Any]:
    """collection.json: metadata, and every instruction there ever was, numbered as the API numbers it."""
    rows = queries.list_instructions(reader, export.collection_id)
    instructions = describe_instructions(
        snapshot.body, rows, queries.iter_options(reader, export.collection_id)
    )
    return {
        "id": str(snapshot.id),
        "name": snapshot.name,
        "description": snapshot.description,
        "workspace_id": str(snapshot.workspace_id),
        "schema_version": SCHEMA_VERSION,
        "created_at": format_time(snapshot.created_at),
        "task_details": snapshot.body["task_details"],
        "export": {
            "id": str(export.id),
            "created_at": format_time(export.created_at),
            "snapshot_at": format_time(snapshot.snapshot_at),
            "filter": export.filter or None,
            "submission_count": counted.submissions,
            "file_count": counted.files,
            **({"correction_count": counted.corrections} if export.with_history else {}),
        },
        "instructions": instructions,
    }
