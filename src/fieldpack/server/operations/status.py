"""How an installation does, in words and figures: what runs, what it takes, and what somebody has to look at."""

from __future__ import annotations

import asyncio
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fieldpack import __version__
from fieldpack.errors import StorageError, StorageFull
from fieldpack.server.config import QUEUE_NAMES
from fieldpack.server.context import Context
from fieldpack.server.hooks.queries import find_backlog
from fieldpack.server.operations import administration_queries as queries
from fieldpack.server.operations import health_queries
from fieldpack.server.operations.rows import DatabaseRow, HealthRow, JobsRow, StoredRow, TableRow
from fieldpack.server.storage import LocalStorage
from fieldpack.text import say_bytes

__all__ = ["Disk", "Finding", "Status", "describe_status", "read_status", "say_finding"]

PROBE_SECONDS = 3.0
OVERDUE_SECONDS = 120.0
BACKLOG_SECONDS = 3600.0
MOST_TABLES = 12
State = Literal["well", "look", "trouble"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the installation: that it is well, or that somebody has to look at it.

    Attributes:
        code: which, of `SENTENCES`.
        values: what the sentence of it says.
    """

    code: str
    state: State
    values: dict[str, int | str]


SENTENCES = {
    "database": "The database answers.",
    "storage": "Storage takes and gives files.",
    "storage_full": "Storage is full: what needs room is refused until there is some.",
    "storage_silent": "Storage does not answer: {reason}",
    "disk": "{free} are free on the disk of the data folder.",
    "disk_low": "Only {free} are free on the disk of the data folder: what needs room is refused.",
    "workers": "{count} worker processes are at work.",
    "no_workers": "No worker is at work: exports, small pictures and webhooks wait. Start `fieldpack worker`.",
    "queue": "Jobs are taken up at once.",
    "queue_late": "A job has been waiting for {seconds} s: start another worker, or see what the log says.",
    "failed": "No job has failed.",
    "failed_jobs": "{count} jobs failed and are not tried again by themselves.",
    "failed_exports": "{count} exports failed in the last 30 days.",
    "erased": "What was erased is gone from storage, and listed for restores.",
    "garbage": "{count} stored objects that were thrown away are not deleted yet.",
    "unlisted": "{count} erasures are in no list outside the database yet.",
    "scrub": "What was erased is still in the database's files: {reason}",
    "hooks": "Webhooks are sent.",
    "hooks_late": "{count} events wait to be sent to webhooks, the oldest since {seconds} s.",
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder's disk."""

    kind: str  # `data` or `storage`
    size_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """All of it.

    Attributes:
        findings: those to look at first.
        disks: none where the storage is a bucket.
    """

    findings: list[Finding]
    versions: dict[str, str]
    database: DatabaseRow
    tables: list[TableRow]
    stored: list[StoredRow]
    disks: list[Disk]
    jobs: list[JobsRow]


async def read_status(context: Context) -> Status:
    """Look at everything now.

    Raises:
        psycopg.Error, PoolTimeout: the database does not answer.
    """
    probing = asyncio.create_task(_probe_storage(context))
    async with context.database.transaction() as connection:
        database = await queries.read_database(connection)
        tables = await queries.list_tables(connection, MOST_TABLES)
        stored = await queries.list_stored(connection)
        health = await queries.read_health(connection)
        backlog = await find_backlog(connection)
        scrubs = await health_queries.list_waiting_scrubs(connection)
        jobs = await health_queries.count_jobs(connection, QUEUE_NAMES)
    findings = [Finding("database", "well", {}), await probing, *_look_at(health)]
    findings.append(_look_at_disk(context))
    findings += [Finding("scrub", "look", {"reason": reason}) for reason in scrubs]
    late = backlog.age_seconds > BACKLOG_SECONDS
    values: dict[str, int | str] = {"count": backlog.count, "seconds": round(backlog.age_seconds)}
    findings.append(Finding("hooks_late", "look", values) if late else Finding("hooks", "well", {}))
    order = ("trouble", "look", "well")
    findings.sort(key=lambda each: order.index(each.state))
    return Status(
        findings,
        {
            "fieldpack": __version__,
            "python": platform.python_version(),
            "postgresql": database.version,
            "schema": database.schema,
            "system": platform.platform(terse=True),
        },
        database,
        tables,
        stored,
        await asyncio.to_thread(_list_disks, context),
        jobs,
    )


async def _probe_storage(context: Context) -> Finding:
    try:
        await asyncio.wait_for(context.storage.probe(), PROBE_SECONDS)
    except StorageFull:
        return Finding("storage_full", "trouble", {})
    except (StorageError, TimeoutError) as error:
        reason = str(error) or f"no answer within {PROBE_SECONDS:g} s"
        return Finding("storage_silent", "trouble", {"reason": reason})
    return Finding("storage", "well", {})


def _look_at(health: HealthRow) -> list[Finding]:
    def counted(code: str, count: int, state: State = "look") -> Finding:
        return Finding(code, state, {"count": count})

    late = round(health.overdue_seconds)
    found = [
        counted("workers", health.workers, "well")
        if health.workers
        else Finding("no_workers", "trouble", {}),
        Finding("queue_late", "look", {"seconds": late})
        if late > OVERDUE_SECONDS
        else Finding("queue", "well", {}),
    ]
    failures = [
        counted(code, count)
        for code, count in (("failed_jobs", health.failed_jobs), ("failed_exports", health.failed_exports))
        if count
    ]
    leftovers = [
        counted(code, count)
        for code, count in (("garbage", health.garbage), ("unlisted", health.unlisted))
        if count
    ]
    return [
        *found,
        *(failures or [Finding("failed", "well", {})]),
        *(leftovers or [Finding("erased", "well", {})]),
    ]


def _look_at_disk(context: Context) -> Finding:
    free = say_bytes(context.reserve.free_bytes())
    if context.reserve.is_low():
        return Finding("disk_low", "trouble", {"free": free})
    return Finding("disk", "well", {"free": free})


def _list_disks(context: Context) -> list[Disk]:
    folders = {"data": context.settings.data_dir}
    if isinstance(context.storage, LocalStorage):
        folders["storage"] = context.storage.root
    found = []
    for kind, folder in folders.items():
        usage = shutil.disk_usage(folder)
        found.append(Disk(kind, usage.total, usage.free))
    return found


def say_finding(finding: Finding) -> str:
    """A finding as a sentence."""
    return SENTENCES[finding.code].format(**finding.values)


def describe_status(status: Status) -> dict[str, Any]:
    """All of it as the API and the command line answer it."""
    return {
        "state": next((each.state for each in status.findings), "well"),
        "findings": [
            {"code": each.code, "state": each.state, "text": say_finding(each), **each.values}
            for each in status.findings
        ],
        "versions": status.versions,
        "database": {
            "size_bytes": status.database.size_bytes,
            "tables": [_describe(each, ("name", "size_bytes", "rows")) for each in status.tables],
        },
        "storage": [_describe(each, ("kind", "objects", "size_bytes")) for each in status.stored],
        "disks": [_describe(each, ("kind", "size_bytes", "free_bytes")) for each in status.disks],
        "jobs": [_describe(each, ("queue", "status", "count", "age_seconds")) for each in status.jobs],
    }


def _describe(row: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
