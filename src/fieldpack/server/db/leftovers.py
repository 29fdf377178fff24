"""Files of tables that PostgreSQL has forgotten, removed: for the embedded database.

A statement that writes a table anew, `VACUUM FULL` above all, writes another file and drops the old one at its end. If
the server dies in between, recovery knows nothing of the new file and leaves it where it is, for ever, with all rows
that were written to it. Neither its start nor a file's times tell such files from others, since recovery writes anew.

A file of a database's folder belongs to nobody if its number is no relation's, seen by a look at the catalog *after*
every transaction has ended that ran when the folder was listed: what these made, the catalog knows by then, or they
have removed it themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from fieldpack.files import sync_folder
from fieldpack.text import say_count

__all__ = ["Removed", "remove_leftovers"]

Blocking = psycopg.Connection[Any]

# Names of a relation's files (PostgreSQL's `relpath.h`, `md.c`): its number, a fork but the main one, and from the
# second GiB on the number of the segment. Files of temporary tables (`t3_16384`) are removed by PostgreSQL itself.
_NAME = re.compile(r"([1-9][0-9]*)(?:_(fsm|vm|init))?(?:\.([1-9][0-9]*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed: paths below the cluster's folder, and how many bytes they had."""

    paths: list[str] = field(default_factory=list)
    size_bytes: int = 0


def remove_leftovers(connection: Blocking, data: Path, pause: Callable[[str], None]) -> Removed:
    """Remove files of no relation from the folders of all databases that take connections.

    Args:
        connection: in autocommit, of a superuser.
        data: the cluster's folder, which we may write to.
        pause: waits a moment for the reason given; raises to give up.

    Raises:
        psycopg.Error: the database does not answer.
        OSError: a file can't be removed.
    """
    # Files of dropped tables go at a checkpoint. What recovery wrote to a forgotten one is on disk after it, and
    # nothing more comes. All on one connection: it does not outlive a crash, after which this would not hold.
    connection.execute("CHECKPOINT")
    found: dict[str, dict[Path, int]] = {}
    databases = connection.execute(
        "SELECT oid, datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid"
    ).fetchall()
    for oid, name in databases:
        listed = [path for folder in _find_folders(data, oid) for path in list_relation_files(folder)]
        if unknown := _keep_unknown(connection, name, listed):
            found[name] = _measure(unknown)
    if not found:
        return Removed()
    _await_ends(connection, _list_running(connection), pause)
    _await_ends(
        connection, _list_prepared(connection), pause
    )  # one of those may have been prepared, not ended
    removed = Removed()
    for name, sizes in found.items():
        connection.execute("CHECKPOINT")  # for files that transactions dropped meanwhile
        now = _measure(_keep_unknown(connection, name, list(sizes)))
        # One emptied since belongs to a transaction that has just dropped it: it keeps the number until a checkpoint.
        unknown = [path for path, size in now.items() if size or not sizes.get(path)]
        size_bytes = _remove(unknown)
        removed = Removed(
            [*removed.paths, *(str(path.relative_to(data)) for path in unknown)],
            removed.size_bytes + size_bytes,
        )
    return removed


def list_relation_files(folder: Path) -> list[Path]:
    """The files in `folder` that are named as a relation's; those of its main fork last, its first segment at the very
    end: PostgreSQL gives a number to another relation only when that one is not there.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            parts = _NAME.fullmatch(entry.name)
            if parts and entry.is_file(follow_symlinks=False):
                found.append((parts[2] is None, parts[3] is None, entry.name))
    return [folder / name for *_, name in sorted(found)]


def _find_folders(data: Path, oid: int) -> list[Path]:
    """Where relations of the database `oid` are: in the cluster's folder, and in tablespaces of its version."""
    version = (data / "PG_VERSION").read_text().strip()
    places = [data / "base" / str(oid), *data.glob(f"pg_tblspc/*/PG_{version}_*/{oid}")]
    return [folder for folder in places if folder.is_dir()]


def _keep_unknown(connection: Blocking, database: str, paths: list[Path]) -> list[Path]:
    """Those of `paths` whose number no relation of `database` has, whatever its kind and wherever it is."""
    if not paths:
        return []
    with psycopg.connect(connection.info.dsn, dbname=database, autocommit=True) as asked:
        known = {
            row[0]
            for row in asked.execute(
                "SELECT DISTINCT pg_relation_filenode(oid)::bigint FROM pg_class"
                " WHERE pg_relation_filenode(oid) IS NOT NULL"
            )
        }
    return [path for path in paths if _number_of(path) not in known]


def _measure(paths: list[Path]) -> dict[Path, int]:
    """The sizes of those that are there."""
    sizes = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            sizes[path] = path.stat().st_size
    return sizes


def _number_of(path: Path) -> int:
    parts = _NAME.fullmatch(path.name)
    assert parts is not None
    return int(parts[1])


def _list_running(connection: Blocking) -> set[str]:
    """The transactions that run in any database, prepared ones too, by what each of them holds until its end."""
    running = connection.execute(
        "SELECT virtualtransaction FROM pg_locks"
        " WHERE locktype = 'virtualxid' AND mode = 'ExclusiveLock' AND granted AND pid <> pg_backend_pid()"
    )
    return {row[0] for row in running} | _list_prepared(connection)


def _list_prepared(connection: Blocking) -> set[str]:
    return {row[0] for row in connection.execute("SELECT 'prepared ' || transaction FROM pg_prepared_xacts")}


def _await_ends(connection: Blocking, transactions: set[str], pause: Callable[[str], None]) -> None:
    while left := transactions & _list_running(connection):
        pause(f"still running: {say_count(len(left), 'transaction')} that began earlier")


def _remove(paths: list[Path]) -> int:
    """Remove `paths`, durably; how many bytes they had."""
    size_bytes = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size_bytes += path.stat().st_size
            os.truncate(path, 0)  # whoever has it open keeps nothing of it
            path.unlink()
    for folder in {path.parent for path in paths}:
        sync_folder(folder)
    return size_bytes
