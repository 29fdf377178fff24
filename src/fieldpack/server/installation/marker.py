"""An installation is a database and a storage that belong together. Each knows the other, so that none starts alone.

The database has an id; storage has it too, in the object `installation.json`. A server starts only where they agree.
Where the database is empty and the storage is not, its database is missing, and a new one is not made in its place.

Both also count generations, a little after one another. A storage ahead of its database tells that the database was
taken back to an earlier time, by whatever means: files of the time between have no rows then, and are not swept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import structlog
from psycopg.rows import dict_row

from fieldpack.errors import BlobMissing, ConfigError
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures.erasure_list import ERASURES_PREFIX
from fieldpack.server.installation import queries
from fieldpack.server.storage import PREFIXES, Storage, open_storage
from fieldpack.server.uploads.known import list_known

__all__ = [
    "MARKER",
    "Marker",
    "claim_storage",
    "explain_unfinished",
    "find_marker",
    "has_objects",
    "put_marker",
    "raise_generation",
    "require_vacant",
]

MARKER = "installation.json"
LARGEST_MARKER = 1 << 16

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Marker:
    """What storage knows of the installation that it is of.

    Attributes:
        installation: its id; empty while a backup of one that had none is being restored.
        restoring: the hash of the manifest that is being restored here, None when there is no such thing.
        erasing: that restore erases who was erased since, or has: the database's files are to be cleared of them.
    """

    installation: str
    generation: int = 0
    restoring: str | None = None
    erasing: bool = False

    def encode(self) -> bytes:
        """The marker as JSON."""
        content = {
            "installation": self.installation,
            "generation": self.generation,
            "restoring": self.restoring,
            "erasing": self.erasing,
        }
        return orjson.dumps(content) + b"\n"


async def find_marker(storage: Storage) -> Marker | None:
    """The marker, None where there is none.

    Raises:
        ConfigError: there is one that can't be read.
    """
    try:
        size = await storage.size(MARKER)
        if size > LARGEST_MARKER:
            raise ValueError
        found: dict[str, Any] = orjson.loads(await storage.read_range(MARKER, 0, size))
        return Marker(
            str(found["installation"]),
            int(found["generation"]),
            found.get("restoring"),
            bool(found.get("erasing")),
        )
    except BlobMissing:
        return None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ConfigError(
            f"The object {MARKER} in storage, which says whose files these are, is damaged: put it back from a "
            "copy, or remove it if the database in use is surely the one that knows these files."
        ) from None


async def put_marker(storage: Storage, marker: Marker) -> None:
    """Replace the marker."""
    await storage.put(MARKER, marker.encode())


async def has_objects(storage: Storage) -> bool:
    """Whether anything of participants' or exports is stored."""
    for prefix in (*PREFIXES, ERASURES_PREFIX):
        async for page in storage.iter_objects(prefix):
            if page:
                return True
    return False


async def require_vacant(settings: Settings) -> None:
    """Before a new database is made: nothing may be stored that belongs to another, lost or not.

    Raises:
        ConfigError: something is, or a restore was begun.
    """
    folder = settings.storage_folder
    if folder is not None and not folder.is_dir():
        return  # without creating the folder
    storage = open_storage(settings)
    try:
        marker = await find_marker(storage)
        if marker is not None and marker.restoring:
            raise explain_unfinished(settings)
        if marker is not None or await has_objects(storage):
            raise ConfigError(
                f"The database is empty, but {_name(settings)} holds files: the database that knows them is missing, "
                "and a new one is not made in its place. Check FIELDPACK_DATABASE_URL and --data-dir; if the "
                "database is lost, `fieldpack restore` brings it back from a backup (see docs/operations.md); a "
                "new installation needs an empty place."
            )
    finally:
        storage.close()


async def claim_storage(settings: Settings, url: str) -> None:
    """Make sure that database and storage belong together, and note in both that they were seen to.

    Raises:
        ConfigError: they don't; or a restore into them was begun and not finished.
        StorageError: storage does not answer.
    """
    storage = open_storage(settings)
    try:
        async with await psycopg.AsyncConnection.connect(
            url, row_factory=dict_row, autocommit=True
        ) as connection:

            @asynccontextmanager
            async def begin() -> AsyncIterator[Connection]:
                async with connection.transaction():
                    yield connection

            await raise_generation(settings, storage, begin)
    finally:
        storage.close()


async def raise_generation(
    settings: Settings, storage: Storage, begin: Callable[[], AbstractAsyncContextManager[Connection]]
) -> None:
    """`claim_storage`, for those who have a storage and a database (`begin` begins a transaction)."""
    async with begin() as connection:
        row = await queries.lock_installation(connection)
        marker = await find_marker(storage)
        if marker is None:
            await _require_known(settings, storage, connection)
        elif marker.restoring:
            raise explain_unfinished(settings)
        elif marker.installation != str(row.id):
            raise ConfigError(
                f"{_name(settings)} holds the files of installation {marker.installation}, but the database is of "
                f"installation {row.id}: check FIELDPACK_DATABASE_URL, FIELDPACK_STORAGE_URL and --data-dir. Two "
                "installations never share a place for files."
            )
        elif marker.generation > row.generation:
            await queries.set_restored(connection)
            log.warning("database.taken_back", generation=row.generation, ahead=marker.generation)
        seen = marker.generation if marker is not None else 0
        await queries.set_generation(connection, max(seen, row.generation) + 1)
    # After the commit, so that storage is never ahead of a database that was not taken back.
    async with begin() as connection:
        row = await queries.lock_installation(connection)
        await put_marker(storage, Marker(str(row.id), row.generation))


async def _require_known(settings: Settings, storage: Storage, connection: Connection) -> None:
    """Without a marker, as in installations older than those: the files must be some that the database knows."""
    found = False
    for prefix in PREFIXES:
        async for page in storage.iter_objects(prefix):
            found = True
            if await list_known(connection, prefix, [entry.key for entry in page]):
                return
    if found:
        raise ConfigError(
            f"{_name(settings)} holds files, and the database knows none of them: they belong to another "
            "database. Check FIELDPACK_DATABASE_URL, FIELDPACK_STORAGE_URL and --data-dir; if the database is lost, "
            "`fieldpack restore` brings it back from a backup (see docs/operations.md)."
        )


def _name(settings: Settings) -> str:
    return f"The storage {settings.resolved_storage_url}"


def explain_unfinished(settings: Settings) -> ConfigError:
    """What is to be done where a restore was begun."""
    return ConfigError(
        f"A restore into {settings.resolved_storage_url} was begun and has not come to its end: run the same "
        "`fieldpack restore` again, which goes on where it broke off."
    )
