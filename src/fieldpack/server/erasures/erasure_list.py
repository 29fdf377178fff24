"""The list of erased submissions, kept outside the database: what a restore of an older backup must not bring back.

It holds random ids and times, nothing of a person. It is kept as one object for each erasure in storage, below
`erasures/`; in the file that `FIELDPACK_ERASURE_LIST` names, if it names one; and beside the backups that were made
into a folder, where that can be reached. The first two have an erasure before it is answered, the last within seconds.

A file has a line for each, `<submission id> <time>`, is only ever appended to, and may name one twice.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from fieldpack.errors import StorageFull, StorageUnavailable, UsageError
from fieldpack.files import sync_file, sync_folder, wait_for_lock, write_all
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures import queries
from fieldpack.server.erasures.rows import ErasureRow
from fieldpack.server.storage import Storage
from fieldpack.text import make_plain

__all__ = [
    "ERASURES_PREFIX",
    "append_erasures",
    "keep_erasure",
    "list_erasures",
    "read_erased",
    "read_erasures",
    "read_stored_erasures",
]

ERASURES_PREFIX = "erasures/"
BATCH = 500
PUTS_AT_ONCE = 16
BESIDE_SECONDS = 5.0
_TIME = "%Y%m%dT%H%M%SZ"
_ID = re.compile(
    r"(?<![\w-])([0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12})(?![\w-])(?:\s+(\d{4}-\S+))?"
)
_HEAD = re.compile(r"[^\d]*id\b[^\d]*", re.IGNORECASE)  # of a column
_CUT_SHORT = re.compile(
    r"[0-9a-fA-F-]{0,35}\x00*"
)  # zeros are what file systems leave of what was not flushed
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


async def keep_erasure(context: Context, submission_id: UUID) -> None:
    """List an erasure that was just committed, before anyone is told of it.

    A full disk keeps nobody from erasing: then workers list it as soon as there is room.

    Raises:
        StorageError: it can't be listed right now; workers try again until it is.
    """
    try:
        async with context.database.transaction() as connection:
            await _store(context, connection, await queries.take_erasures(connection, 1, submission_id))
    except StorageFull as error:
        log.warning("erasures.unlisted", submission_id=str(submission_id), error=str(error))


async def list_erasures(context: Context) -> int:
    """List every erasure that isn't yet, everywhere; how many there were.

    Raises:
        StorageError: as `keep_erasure`. A list beside backups that can't be reached is passed over: the next
            backup brings it up to date.
    """
    listed = 0
    while True:
        async with context.database.transaction() as connection:
            rows = await queries.take_erasures(connection, BATCH)
            if not rows:
                return listed
            await _store(context, connection, rows)
            entries = {row.submission_id: row.erased_at for row in rows}
            for path in await queries.list_paths(connection):
                try:  # a mount that hangs must not keep the worker
                    appending = asyncio.to_thread(_append_if_there, Path(path), entries)
                    await asyncio.wait_for(appending, BESIDE_SECONDS)
                except (OSError, TimeoutError) as error:
                    log.warning("erasures.unlisted", path=path, error=str(error))
            await queries.delete_erasures(connection, list(entries))
            listed += len(rows)


async def _store(context: Context, connection: Connection, rows: list[ErasureRow]) -> None:
    new = {row.submission_id: row.erased_at for row in rows if not row.stored}
    if not new:
        return
    if context.settings.erasure_list is not None:
        try:
            await asyncio.to_thread(append_erasures, context.settings.erasure_list, new)
        except OSError as error:
            raise StorageUnavailable(
                f"The erasure list {context.settings.erasure_list} can't be written: {error.strerror}."
            ) from error
    slots = asyncio.Semaphore(PUTS_AT_ONCE)

    async def put(submission_id: UUID, erased_at: datetime) -> None:
        async with slots:
            line = _line(submission_id, erased_at)
            await context.storage.put(_key(submission_id, erased_at), line.encode())

    await asyncio.gather(*(put(*entry) for entry in new.items()))
    await queries.set_stored(connection, list(new))


def _key(submission_id: UUID, erased_at: datetime) -> str:
    """Time and id in the name, so that a listing says everything."""
    return f"{ERASURES_PREFIX}{erased_at.astimezone(UTC):{_TIME}}-{submission_id}"


def _line(submission_id: UUID, erased_at: datetime) -> str:
    return f"{submission_id} {erased_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n"


def _append_if_there(path: Path, erasures: dict[UUID, datetime]) -> None:
    if path.parent.is_dir():
        append_erasures(path, erasures)


def append_erasures(path: Path, erasures: dict[UUID, datetime]) -> None:
    """Add to a list those that it lacks; durable when this returns.

    Raises:
        OSError: the file can't be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: at worst a line is there twice
            wait_for_lock(descriptor)
        with open(descriptor, "r+b", closefd=False, buffering=0) as file:
            content = file.read()
            text, encoding = _decode(content)
            known, _ = parse_erasures(text)
            new = [_line(*entry) for entry in erasures.items() if entry[0] not in known]
            if not new:
                return
            # A line that was cut short by a crash ends here.
            start = "" if not text or text.endswith("\n") else "\n"
            write_all(descriptor, (start + "".join(new)).encode(encoding))
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def read_erasures(path: Path, *, is_ours: bool) -> dict[UUID, datetime]:
    """What a list names: each id in it, whatever else its lines have; what follows a `#` is a comment.

    Args:
        is_ours: a server wrote it, so that a beginning of an id is a line that was cut short before anybody was told.

    Raises:
        OSError: it can't be read.
        UsageError: a line names nobody, so that somebody would come back whom it was to name.
    """
    found, strange = parse_erasures(_decode(path.read_bytes())[0])
    for number, line in strange:
        if not (is_ours and _CUT_SHORT.fullmatch(line)):
            raise UsageError(
                f"Line {number} of the erasure list {path} names no submission: {make_plain(line[:80])!r}. Each line "
                "is the id of one; correct it, or put a # in front of what is a comment."
            )
    return found


def parse_erasures(text: str) -> tuple[dict[UUID, datetime], list[tuple[int, str]]]:
    """The ids of a list with their times, and its lines, with their numbers, that have no id and are no comment."""
    found: dict[UUID, datetime] = {}
    strange = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        ids = list(_ID.finditer(said))
        for match in ids:
            found[UUID(match[1])] = _parse_time(match[2])
        if said and not ids and not (number == 1 and _HEAD.fullmatch(said)):
            strange.append((number, said))
    return found, strange


def _decode(content: bytes) -> tuple[str, str]:
    """Text as editors and spreadsheets save it, UTF-8 or UTF-16 that says so; and how more of it is encoded."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            return content[2:].decode(encoding, errors="replace"), encoding
    return content.decode("utf-8-sig", errors="replace"), "utf-8"


def _parse_time(text: str | None) -> datetime:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return _EPOCH
    return at if at.tzinfo else at.replace(tzinfo=UTC)


async def read_stored_erasures(storage: Storage) -> dict[UUID, datetime]:
    """What the list in storage names."""
    found: dict[UUID, datetime] = {}
    async for page in storage.iter_objects(ERASURES_PREFIX):
        for entry in page:
            time, _, identifier = entry.key.removeprefix(ERASURES_PREFIX).partition("-")
            with contextlib.suppress(ValueError):
                found[UUID(identifier)] = datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    return found


async def read_erased(context: Context) -> set[bytes]:
    """Everybody who was erased here, by the bytes of their ids: also those whose collection was deleted, of whom the
    database knows nothing any more."""
    async with context.database.transaction() as connection:
        on_their_way = await queries.list_unlisted(connection)
    # Afterwards, or somebody on the way into storage would be seen in neither.
    stored = await read_stored_erasures(context.storage)
    return {submission_id.bytes for submission_id in (*on_their_way, *stored)}
