"""Making a backup: one snapshot of the database, a dump of it, and every file that its rows name.

First the rows, then the files: a file that a row of the snapshot names was there then, and never changes. It is missing
only if its row went since, by an erasure mostly (noted, and no fault), or if storage lost it (noted, and said aloud).
What the files of others hold is left out: uploads under way, exports under way, archives stored in a bucket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from fieldpack import __version__
from fieldpack.archive.members import HEADS, LEADING
from fieldpack.errors import BackupError, BlobMissing, FieldpackError
from fieldpack.server.audit.checkpoints import Checkpoint, make_checkpoint, read_checkpoints
from fieldpack.server.backup import queries
from fieldpack.server.backup.folder import BackupFolder, FolderDestination, Pruned
from fieldpack.server.backup.format import (
    BLOBS,
    DUMP,
    EXPORTS,
    Absent,
    Entry,
    FileFacts,
    Head,
    Manifest,
    iter_entries,
    write_entries,
)
from fieldpack.server.backup.objects import Tell
from fieldpack.server.backup.rows import StoredExportRow
from fieldpack.server.backup.stream import StreamDestination
from fieldpack.server.config import Settings
from fieldpack.server.db.connecting import explain_failed
from fieldpack.server.db.dumps import Programs, find_dump_programs
from fieldpack.server.db.migrate import require_known_schema
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures import queries as erasure_queries
from fieldpack.server.erasures.erasure_list import read_stored_erasures
from fieldpack.server.exports.keys import INDEX, stored_key
from fieldpack.server.installation.marker import require_vacant
from fieldpack.server.installation.opening import reach_database
from fieldpack.server.installation.restores import require_restored
from fieldpack.server.run.administration import CREDENTIALS
from fieldpack.server.storage import LocalStorage, Storage, blob_key, open_storage

__all__ = ["Made", "back_up_to_folder", "back_up_to_stream"]

BATCH = 1000
TLS_FOLDER = "tls"
CHANGED = "The database was brought to another version while the backup began: begin it again."


class Destination(Protocol):
    """Where a backup goes: a folder, or a stream."""

    name: str
    scratch: Path

    def begin(self, head: Head) -> None:
        """Take down which backup this is, and of what.

        Raises:
            UsageError: the place is for another installation's.
        """

    def add_dump(self, name: str, chunks: Iterable[bytes]) -> FileFacts:
        """Write the dump of the database; its size and SHA-256."""

    def add_file(self, name: str, path: Path) -> FileFacts:
        """Write another file; its size and SHA-256."""

    def copy_objects(self, storage: Storage, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str | None]]:
        """Copy objects out of storage; for each its entry, and `gone` or `damaged` where it could not be copied."""

    def finish(self, manifest: Manifest, erasures: dict[UUID, datetime]) -> None:
        """Write manifest and erasures: from then on the backup counts."""

    def close(self) -> None:
        """Release everything; a backup that is not finished is removed."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, what was removed for it, and what is worth knowing, as sentences."""

    manifest: Manifest
    pruned: Pruned = field(default_factory=lambda: Pruned([], 0, 0))
    notes: list[str] = field(default_factory=list)


def back_up_to_folder(
    settings: Settings, root: Path, *, keys: bool, keep: int | None, keep_days: float | None, tell: Tell
) -> Made:
    """Add a backup to a folder, then remove old ones.

    Raises:
        FieldpackError, OSError: none was made; says why.
    """
    folder = BackupFolder(root)
    with _open_installation(settings) as (url, storage):
        stored = storage.root if isinstance(storage, LocalStorage) else None
        folder.begin(stored, settings.data_dir)
        with folder.locked():
            destination = FolderDestination(folder)
            try:
                manifest = _run(
                    settings, url, storage, destination, keys=keys, erasure_list=folder.erasures, tell=tell
                )
            except OSError as error:
                raise BackupError(
                    f"No backup was made in {folder.root}: {error.strerror or error}."
                ) from error
            try:
                return Made(manifest, folder.prune(keep, keep_days), destination.notes)
            except BackupError as error:
                raise BackupError(
                    f"The backup {manifest.name} was made, and is whole; but no old one was removed: {error}"
                ) from error


def back_up_to_stream(settings: Settings, out: IO[bytes], *, keys: bool, tell: Tell) -> Made:
    """Write a whole backup to a stream.

    Raises:
        FieldpackError, OSError: none was made, and the stream lacks its end; says why.
    """
    with _open_installation(settings) as (url, storage):
        destination = StreamDestination(out)
        try:
            return Made(_run(settings, url, storage, destination, keys=keys, erasure_list=None, tell=tell))
        except BrokenPipeError as error:
            raise BackupError(
                "The backup is not whole: what it was written to has closed its input before the end."
            ) from error


@contextmanager
def _open_installation(settings: Settings) -> Iterator[tuple[str, Storage]]:
    """The database's URL and the storage; the database first, as opening storage makes its folder."""
    url, embedded = reach_database(settings)
    try:
        require_restored(settings, url)
        storage = open_storage(settings)
        try:
            yield url, storage
        finally:
            storage.close()
    finally:
        if embedded is not None:
            embedded.close()


def _run(
    settings: Settings,
    url: str,
    storage: Storage,
    destination: Destination,
    *,
    keys: bool,
    erasure_list: Path | None,
    tell: Tell,
) -> Manifest:
    try:
        return asyncio.run(_Making(settings, storage, destination, url, keys, erasure_list, tell).run())
    except psycopg.OperationalError as error:
        raise explain_failed(error, is_embedded=settings.database_url is None) from error
    finally:
        destination.close()


@dataclass
class _Making:
    """One backup while it is made."""

    settings: Settings
    storage: Storage
    destination: Destination
    url: str
    keys: bool
    erasure_list: Path | None
    tell: Tell
    files: list[FileFacts] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    objects: int = 0
    object_bytes: int = 0

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        async with await psycopg.AsyncConnection.connect(
            self.url, row_factory=dict_row, options="-c timezone=UTC"
        ) as connection:
            yield connection

    async def run(self) -> Manifest:
        async with self._connect() as connection:
            schema = await queries.find_schema(connection)
            if schema is None:
                await require_vacant(self.settings)
                raise FieldpackError("There is nothing to back up: the database is empty.")
            require_known_schema(schema, "The database")
            tables = await queries.list_tables(connection)
            await connection.rollback()
            try:
                snapshot = await queries.begin_snapshot(connection, tables)
            except psycopg.errors.UndefinedTable as error:
                raise FieldpackError(CHANGED) from error
            if await queries.find_schema(connection) != schema:
                raise FieldpackError(CHANGED)
            installation = await queries.find_installation(connection)
            programs = find_dump_programs(snapshot.postgres)
            head = Head(
                self.destination.name,
                str(installation) if installation else None,
                schema,
                snapshot.postgres,
                programs.major,
            )
            self.destination.begin(head)
            blob_bytes = await self._list_blobs(connection)
            counts = await queries.count_rows(connection)
            exports = await queries.list_exports(connection)
            checkpoints = await self._list_checkpoints(connection)
            await self._dump(connection, programs, snapshot.snapshot)
        await self._copy_exports(exports)
        await self._copy_blobs(blob_bytes)
        erasures = await self._note_what_went()
        if self.keys:
            self._add_keys()
        manifest = Manifest(
            name=self.destination.name,
            made_at=snapshot.made_at,
            program=__version__,
            installation=head.installation,
            schema=schema,
            postgres=snapshot.postgres,
            dumped_by=programs.major,
            keys=self.keys,
            files=self.files,
            counts=counts,
            objects=self.objects,
            object_bytes=self.object_bytes,
            absent=self.absent,
            checkpoints=checkpoints,
        )
        self.destination.finish(manifest, erasures)
        return manifest

    async def _list_checkpoints(self, connection: Connection) -> list[Checkpoint]:
        """Where the audit log stood: day by day, and in this snapshot."""
        if not await queries.has_audit_log(connection):
            return []
        now = await make_checkpoint(connection)
        kept, _ = await read_checkpoints(self.storage)
        return [*kept, *([now] if now else [])]

    async def _list_blobs(self, connection: Connection) -> int:
        """Write the list of files that the snapshot names; their size."""
        path = self.destination.scratch / BLOBS
        size_bytes = 0
        with path.open("xb") as out:
            batch: list[Entry] = []

            def entries() -> Iterator[Entry]:
                while batch:
                    yield from batch
                    batch.clear()

            # gzip members one after another are one file
            async for row in queries.iter_blobs(connection):
                batch.append(Entry(row.sha256, row.size_bytes, blob_key(row.id), row.submission_id))
                size_bytes += row.size_bytes
                if len(batch) >= BATCH * 10:
                    write_entries(out, entries())
            write_entries(out, entries())
        self.files.append(self.destination.add_file(BLOBS, path))
        return size_bytes

    async def _dump(self, connection: Connection, programs: Programs, snapshot: str) -> None:
        excluded = [] if self.keys else await queries.list_key_tables(connection)
        done = 0

        def chunks() -> Iterator[bytes]:
            nonlocal done
            for chunk in programs.iter_dump(self.url, snapshot, without_rows_of=excluded):
                done += len(chunk)
                self.tell("database", done, 0)
                yield chunk

        self.files.append(await asyncio.to_thread(self.destination.add_dump, DUMP, chunks()))

    async def _copy_exports(self, exports: list[StoredExportRow]) -> None:
        """What is stored for exports whose links this server answers; archives in a bucket are copies of the rest."""
        wanted: list[Entry] = []
        for export in exports:
            if export.delivery != "stream":
                continue
            for name in (*(LEADING if export.with_history else HEADS), INDEX):
                key = stored_key(export.id, export.build, name)
                try:
                    wanted.append(Entry("", await self.storage.size(key), key))
                except BlobMissing:
                    self.absent.append(Absent(key, "gone"))
        path = self.destination.scratch / EXPORTS
        copied = await asyncio.to_thread(self._copy, "exports", wanted, sum(e.size_bytes for e in wanted))
        with path.open("xb") as out:
            write_entries(out, copied)
        self.files.append(self.destination.add_file(EXPORTS, path))

    async def _copy_blobs(self, size_bytes: int) -> None:
        path = self.destination.scratch / BLOBS
        await asyncio.to_thread(self._count, iter_entries(path), size_bytes)

    def _count(self, entries: Iterable[Entry], size_bytes: int) -> None:
        for _ in self._iter_copied("files", entries, size_bytes):
            pass

    def _copy(self, step: str, entries: Iterable[Entry], size_bytes: int) -> list[Entry]:
        return list(self._iter_copied(step, entries, size_bytes))

    def _iter_copied(self, step: str, entries: Iterable[Entry], size_bytes: int) -> Iterator[Entry]:
        done = 0
        for entry, failure in self.destination.copy_objects(self.storage, entries):
            done += entry.size_bytes
            self.tell(step, done, size_bytes)
            if failure is None:
                self.objects += 1
                self.object_bytes += entry.size_bytes
                yield entry
            else:
                self.absent.append(Absent(entry.key, failure))

    async def _note_what_went(self) -> dict[UUID, datetime]:
        """Tell what was removed meanwhile from what storage lost; every erasure that is known by now."""
        # From now on erasures are written beside these backups as well: none falls between this and reading them.
        async with self._connect() as connection:
            if self.erasure_list is not None and await queries.find_installation(connection):
                await erasure_queries.insert_path(connection, str(self.erasure_list))
        async with self._connect() as connection:
            keys = {entry.key: entry.key.split("/") for entry in self.absent}
            blobs = [UUID(parts[2]) for key, parts in keys.items() if key.startswith("blobs/")]
            exports = [UUID(parts[1]) for key, parts in keys.items() if key.startswith("exports/")]
            known = {blob_key(id) for id in await queries.list_known_blobs(connection, blobs)}
            builds = await queries.list_current_builds(connection, exports)
            known |= {
                key for key, parts in keys.items() if parts[0] == "exports" and "/".join(parts[1:3]) in builds
            }
            self.absent = [
                Absent(entry.key, _reason(entry) if entry.key in known else "removed")
                for entry in self.absent
            ]
            erasures = await read_stored_erasures(self.storage)
            erasures |= await erasure_queries.list_tombstones(connection)
        return erasures

    def _add_keys(self) -> None:
        folder = self.settings.data_dir
        for path in (folder / CREDENTIALS, *sorted((folder / TLS_FOLDER).glob("*"))):
            if path.is_file() and path.suffix in (".json", ".pem", ".key"):
                name = f"keys/{path.relative_to(folder).as_posix()}"
                self.files.append(self.destination.add_file(name, path))


def _reason(entry: Absent) -> str:
    return "missing" if entry.reason == "gone" else entry.reason
