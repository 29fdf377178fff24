"""What PostgreSQL keeps on disk of rows that are gone, removed: for the embedded database, after an erasure.

A deleted row stays in its table's file, and in the write-ahead log, until something happens to write over it.
So the tables that hold what participants gave are written anew, statistics drawn from them too, the log so far is cut
off, and files that PostgreSQL forgot in a crash are removed (`leftovers.py`). The order matters: rows that a snapshot
can still see would be copied, so these are waited for.

It locks a table for as long as writing it takes, and gives up rather than hold up others: do it again later.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from fieldpack.server.db.leftovers import Removed, remove_leftovers

__all__ = ["NoRoom", "Postponed", "Scrubbed", "clear_leftovers", "scrub"]

TABLES = (
    "submissions",
    "answer_values",
    "answers",
    "corrections",
    "notes",
    "uploads",
    "blobs",
    "thumbnails",
    "thumbnail_files",
    "participant_tokens",
    "audit_subjects",
    "participant_group_members",
    "studies",
    "hook_attempts",
    "import_ids",
    "decisions",
)
STATISTICS = (
    "pg_catalog.pg_statistic"  # common values and histograms of columns, names of participants included
)
LARGEST_BYTES = 256 << 20
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.1
LOCK_PAUSE_SECONDS = 1.0
SMALL_BYTES = 2 << 20  # so much is written in any case
SPARE_BYTES = 32 << 20  # log, and what others write meanwhile

Blocking = psycopg.Connection[Any]


class Postponed(Exception):
    """It can't be done now, for a reason that passes."""


class NoRoom(Postponed):
    """The disk has no room for a second copy of a table; what could be done without was done."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a scrub did.

    Attributes:
        too_large: tables that were not written anew.
        leftovers: files that a crash had left.
    """

    too_large: list[str]
    leftovers: Removed


def scrub(
    connection: Blocking, data: Path, stop: threading.Event, *, largest_bytes: int = LARGEST_BYTES
) -> Scrubbed:
    """Remove from disk what was deleted before this call.

    Args:
        connection: in autocommit, of a superuser, used for nothing else afterwards.
        data: the cluster's folder, which we may write to.
        stop: set when the process is to end.
        largest_bytes: a table that is larger, indexes included, is not locked for as long as writing it takes: its
            space is made free for reuse, and keeps the bytes until then.

    Raises:
        NoRoom: a table can't be written anew.
        Postponed: others read or hold a table for too long, or `stop` was set. Doing it again does no harm.
        psycopg.Error: the database does not answer, or its disk is full.
        OSError: a file can't be removed.
    """
    # Whoever comes after a waiting lock waits too: not for long. Autovacuum makes way after deadlock_timeout.
    connection.execute("SET lock_timeout = '500ms'")
    connection.execute("SET deadlock_timeout = '100ms'")
    _await_snapshots(connection, stop)
    left = _find_without_room(connection, data)
    for table in TABLES:
        if table not in left:
            _run(connection, f"ANALYZE {table}", stop)
            _forget_statistics(connection, table)
    _await_snapshots(connection, stop)
    large = []
    for table in (*TABLES, STATISTICS):
        if table in left:
            continue
        if _size_of(connection, table) > largest_bytes:
            large.append(table)
            _run(connection, f"VACUUM {table}", stop)
        else:
            _run(connection, f"VACUUM (FULL) {table}", stop)
            # and note that everybody may see all of it: lists are read from indexes alone where that is known
            _run(connection, f"VACUUM {table}", stop)
    # The checkpoint that comes next deletes the old tables' files, and the log up to the segment that it begins in.
    connection.execute("SELECT pg_switch_wal()")
    removed = clear_leftovers(connection, data, stop)
    if left:
        table = max(left, key=lambda name: left[name])
        raise NoRoom(
            f"writing the table {table} anew takes {_to_mb(left[table])} MB of disk, and "
            f"{_to_mb(_free_bytes(data))} MB are free"
        )
    return Scrubbed(large, removed)


def clear_leftovers(connection: Blocking, data: Path, stop: threading.Event) -> Removed:
    """The last step of `scrub` alone, with the same arguments and errors."""
    return remove_leftovers(connection, data, partial(_pause, stop, _start_waiting(), PAUSE_SECONDS))


def _start_waiting() -> float:
    """Until when one wait may last. Each has its own: earlier waits, and writing tables, take their time too."""
    return time.monotonic() + PATIENCE_SECONDS


def _await_snapshots(connection: Blocking, stop: threading.Event) -> None:
    """Wait until no transaction sees, or may yet commit, what is older than now."""
    deadline = _start_waiting()
    row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    older = """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND greatest(age(backend_xid), age(backend_xmin)) > age(%s::xid8::xid) LIMIT 1
        """
    while connection.execute(older, row).fetchone() is not None:
        _pause(stop, deadline, PAUSE_SECONDS, "a transaction that began earlier still runs")


def _find_without_room(connection: Blocking, data: Path) -> dict[str, int]:
    """The tables that can't be written anew for want of room, and how many bytes of it each takes.

    There is a second copy for a while; and the log of changes may hold every page that is only looked at, since looking
    marks rows. A log that fills the disk would stop the server.
    """
    if _free_bytes(data) < SPARE_BYTES + 2 * sum(_size_of(connection, table) for table in TABLES):
        connection.execute("CHECKPOINT")  # old log goes
    needed = {table: SPARE_BYTES + 2 * _size_of(connection, table) for table in (*TABLES, STATISTICS)}
    free_bytes = _free_bytes(data)
    return {
        table: size_bytes
        for table, size_bytes in needed.items()
        if size_bytes > SPARE_BYTES + SMALL_BYTES and size_bytes > free_bytes
    }


def _forget_statistics(connection: Blocking, table: str) -> None:
    """Clear the statistics of a table that is empty now: ANALYZE leaves those that it had."""
    if connection.execute(f"SELECT FROM {table} LIMIT 1").fetchone() is None:
        connection.execute(
            """
            SELECT pg_clear_attribute_stats(schemaname::text, tablename::text, attname::text, inherited)
            FROM pg_stats WHERE schemaname = 'public' AND tablename = %s
            """,
            [table],
        )


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _to_mb(size_bytes: int) -> int:
    return -(-size_bytes // 10**6)


def _size_of(connection: Blocking, table: str) -> int:
    row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone()
    return row[0] if row else 0


def _run(connection: Blocking, statement: str, stop: threading.Event) -> None:
    deadline = _start_waiting()
    while True:
        if stop.is_set():
            raise Postponed("this process ends")
        try:
            connection.execute(statement)
            return
        except psycopg.errors.LockNotAvailable:
            _pause(stop, deadline, LOCK_PAUSE_SECONDS, f"{statement}: the table is in use")


def _pause(stop: threading.Event, deadline: float, seconds: float, reason: str) -> None:
    if time.monotonic() > deadline:
        raise Postponed(reason)
    if stop.wait(seconds):
        raise Postponed("this process ends")
