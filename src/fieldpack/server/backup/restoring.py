"""Restoring a backup into an empty place: files, rows, then whatever time has made untrue of them.

Until the end, storage says that a restore is under way: nothing starts on it, and the same restore may be run again,
which goes on where it broke off. Order: files (each checked), rows (in one transaction), schema, then in the restored
database: uploads and exports under way begin anew, and who was erased since is erased again, before anyone is served.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from fieldpack.archive.members import HEADS, LEADING
from fieldpack.errors import BackupError, BlobMissing, ConfigError, FieldpackError, UsageError
from fieldpack.files import write_whole
from fieldpack.server.audit.checkpoints import put_checkpoints
from fieldpack.server.audit.service import OPERATOR, write_entry
from fieldpack.server.backup import queries
from fieldpack.server.backup.folder import BackupFolder
from fieldpack.server.backup.format import BLOBS, Manifest, iter_entries
from fieldpack.server.backup.objects import Tell
from fieldpack.server.backup.rows import StoredExportRow
from fieldpack.server.backup.sources import BackupSource, FolderBackup, Intake, StreamedBackup
from fieldpack.server.cleanup.garbage import collect_garbage
from fieldpack.server.config import Settings
from fieldpack.server.context import Context
from fieldpack.server.db.connecting import connect, explain_failed
from fieldpack.server.db.dumps import Programs, find_dump_programs
from fieldpack.server.db.embedded.server import has_cluster
from fieldpack.server.db.migrate import migrate, require_known_schema
from fieldpack.server.db.parameters import cluster_folder
from fieldpack.server.db.pool import Connection
from fieldpack.server.db.programs import MAJOR_VERSION, find_programs
from fieldpack.server.db.scrubbing import Postponed, scrub
from fieldpack.server.erasures import queries as erasure_queries
from fieldpack.server.erasures.erasure_list import list_erasures, read_erasures, read_stored_erasures
from fieldpack.server.exports import transitions
from fieldpack.server.exports.keys import INDEX, object_key, stored_key
from fieldpack.server.installation import queries as installation_queries
from fieldpack.server.installation.marker import Marker, find_marker, has_objects, put_marker
from fieldpack.server.installation.opening import open_context, reach_database
from fieldpack.server.installation.restores import hold_database, hold_folder
from fieldpack.server.pictures.queries import delete_pictures
from fieldpack.server.storage import PREFIXES, Storage, open_storage
from fieldpack.server.submissions.lifecycle import erase
from fieldpack.server.thumbnails.queries import forget_all
from fieldpack.server.uploads.service import remove_uploads

__all__ = ["Restored", "restore"]

WITHOUT_LIMIT = 1 << 62
SCRUB_ATTEMPTS = 3
BATCH = 1000
EXPORTS_PREFIX = "exports/"
FIRST_WITH_TIMEOUT = 17  # pg_restore of it sets `transaction_timeout`, which earlier servers don't know
LEFT_OUT = "What was stored of this export is not in the backup that was restored. Request the export again."


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Attributes:
        files, files_kept: objects put into storage, and those that were there already.
        erased: submissions of the backup that were erased again.
        lists: how many submissions each erasure list names that was read, by its path.
        uploads_restarted: uploads under way that begin anew.
        exports_failed: exports of which nothing was stored.
    """

    manifest: Manifest
    files: int
    files_kept: int
    erased: int
    lists: dict[str, int]
    uploads_restarted: int
    exports_failed: int


def restore(
    settings: Settings,
    source: str,
    *,
    name: str | None,
    erasure_files: list[Path],
    reuse_storage: bool,
    tell: Tell,
) -> Restored:
    """Restore a backup.

    Args:
        source: a folder of backups, a file that holds one, or `-` for one on standard input.
        name: which one of the folder; the newest if None.
        erasure_files: erasure lists beside those that are found by themselves.
        reuse_storage: the storage is that of the installation that was backed up; what it has is kept.

    Raises:
        FieldpackError, OSError: nothing that could be served was made; says why.
    """
    for path in erasure_files:
        if not path.is_file():
            raise UsageError(f"There is no erasure list {path}.")
    if settings.erasure_list is not None and not settings.erasure_list.is_file():
        raise UsageError(
            f"There is no erasure list {settings.erasure_list} (FIELDPACK_ERASURE_LIST): is its disk mounted? Whom it "
            "names would come back. If nobody was ever erased, make it as an empty file."
        )
    with ExitStack() as stack:
        stack.enter_context(hold_folder(settings, for_restore=True, may_create=True))
        target = stack.enter_context(_Target(settings))
        if target.is_there():
            target.open()
        opened, scratch = _open(settings, source, name, stack)
        require_known_schema(opened.schema, f"The backup {opened.name}")
        programs = _choose_programs(opened, target)
        storage = stack.enter_context(closing(open_storage(settings)))
        work = _Restoring(
            settings, target, storage, opened, programs, scratch, erasure_files, reuse_storage, tell
        )
        try:
            return work.run()
        except psycopg.OperationalError as error:
            raise explain_failed(error, is_embedded=target.is_embedded) from error


class _Target:
    """The database that is restored into, which the embedded server makes when it is opened. A context manager, which
    holds it alone."""

    def __init__(self, settings: Settings) -> None:
        self.is_embedded = settings.database_url is None
        self._settings = settings
        self._stack = ExitStack()
        self._url: str | None = None

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def is_there(self) -> bool:
        """Whether opening it makes nothing."""
        return not self.is_embedded or has_cluster(self._settings.data_dir)

    @property
    def is_open(self) -> bool:
        """Whether it has a URL."""
        return self._url is not None

    @property
    def url(self) -> str:
        """Where it is, once it is open."""
        assert self._url is not None
        return self._url

    def open(self) -> None:
        """Open it, and keep everybody else out.

        Raises:
            FieldpackError: others have it; it can't be reached or started.
        """
        url, embedded = reach_database(self._settings, may_create=True)
        if embedded is not None:
            self._stack.callback(embedded.wait_stopped)
            self._stack.callback(embedded.close)
        self._stack.enter_context(hold_database(self._settings, url, for_restore=True))
        self._url = url

    def find_version(self) -> int:
        """Its PostgreSQL's major version."""
        if not self.is_open:
            find_programs()  # raises, where there is no embedded one
            return MAJOR_VERSION
        with connect(self.url) as connection:
            return connection.info.server_version // 10_000


def _choose_programs(source: BackupSource, target: _Target) -> Programs:
    """The programs that read the dump; raises ConfigError where there are none, or the database can't have it."""
    version = target.find_version()
    programs = find_dump_programs(max(version, source.dumped_by))
    if version < source.postgres or version < FIRST_WITH_TIMEOUT <= programs.major:
        raise ConfigError(
            f"The backup {source.name} is of PostgreSQL {source.postgres}, dumped by pg_dump {source.dumped_by}, and "
            f"the database here is PostgreSQL {version}, which may not understand it: restore into PostgreSQL "
            f"{max(source.postgres, source.dumped_by)} or later, or into the embedded one."
        )
    return programs


@contextmanager
def _make_scratch(settings: Settings) -> Iterator[Path]:
    """A folder for this restore; those of restores that were killed hold rows, and go first. No other one runs: the
    data folder is ours."""
    parent = settings.data_dir / "tmp"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in parent.glob("restore-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="restore-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open(settings: Settings, source: str, name: str | None, stack: ExitStack) -> tuple[BackupSource, Path]:
    """The backup, looked at before anything is made in its place; and a folder for what comes of it."""
    if source == "-" or Path(source).is_file():
        if name is not None:
            raise UsageError("--backup chooses among those of a folder; a stream is one backup.")
        if source == "-" and sys.stdin.isatty():
            raise UsageError("`-` reads the backup from standard input: give it one, as with `< FILE`.")
        scratch = stack.enter_context(_make_scratch(settings))
        unpacked = scratch / "backup"
        unpacked.mkdir(mode=0o700)
        if source == "-":
            return StreamedBackup(sys.stdin.buffer, unpacked, "The backup on standard input"), scratch
        file = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115
        return StreamedBackup(file, unpacked, f"The backup {source}"), scratch
    folder = BackupFolder(Path(source))
    if not folder.root.is_dir():
        raise UsageError(f"There is no backup at {source}: give a folder of backups, a file, or `-`.")
    stack.enter_context(folder.locked(shared=True))
    return FolderBackup(folder, name), stack.enter_context(_make_scratch(settings))


@dataclass
class _Restoring:
    """One restore while it runs."""

    settings: Settings
    target: _Target
    storage: Storage
    source: BackupSource
    programs: Programs
    scratch: Path
    erasure_files: list[Path]
    reuse_storage: bool
    tell: Tell
    erasures: dict[UUID, datetime] = field(default_factory=dict)
    lists: dict[str, int] = field(default_factory=dict)  # how many each erasure list names
    marker: Marker = field(init=False)  # while it runs

    def run(self) -> Restored:
        present = asyncio.run(self._prepare())
        if not self.target.is_open:  # from here on nobody takes it for a new installation
            self.target.open()
        intake = Intake(self.storage, self.scratch, present, set(self.erasures))
        manifest = self.source.unpack(lambda: intake, self.tell)
        self._read_lists()
        with connect(self.target.url) as connection:
            installation_queries.note_restore(connection)
        if asyncio.run(self._is_empty()):
            self.tell("database", 0, 0)
            self.programs.restore(self.target.url, self.source.dump)
        migrate(self.target.url)
        return asyncio.run(self._settle(manifest, intake))

    async def _prepare(self) -> dict[str, int]:
        """Refuse a place that is not empty, mark it as being restored into; sizes of what is stored there already."""
        identity = self.source.identity()
        marker = await find_marker(self.storage)
        goes_on = marker is not None and marker.restoring == identity
        if not goes_on:
            if marker is not None and marker.restoring:
                raise FieldpackError(
                    f"A restore of another backup ({marker.restoring.split()[0]}) into "
                    f"{self.settings.resolved_storage_url} was begun and has not come to its end: run that one again, "
                    "or name an empty place."
                )
            await self._require_vacant(marker)
        self.erasures = await read_stored_erasures(self.storage)
        self._read_lists()
        self.marker = Marker(
            self.source.installation or "",
            restoring=identity,
            erasing=marker is not None and goes_on and marker.erasing,
        )
        await put_marker(self.storage, self.marker)
        present: dict[str, int] = {}
        if goes_on or self.reuse_storage:
            for prefix in PREFIXES:
                async for page in self.storage.iter_objects(prefix):
                    present |= {entry.key: entry.size_bytes for entry in page}
        return present

    async def _require_vacant(self, marker: Marker | None) -> None:
        if not await self._is_empty():
            raise FieldpackError(
                "The database is not empty, and a restore never writes over anything: name an empty one "
                "(FIELDPACK_DATABASE_URL), or a data folder that isn't there yet (--data-dir)."
            )
        if self.reuse_storage:
            if marker is not None and marker.installation != self.source.installation:
                raise FieldpackError(
                    f"{self.settings.resolved_storage_url} holds the files of installation {marker.installation}, and "
                    f"the backup is of installation {self.source.installation}: --reuse-storage is for the storage "
                    "of the installation that was backed up."
                )
        elif marker is not None or await has_objects(self.storage):
            raise FieldpackError(
                f"{self.settings.resolved_storage_url} is not empty, and a restore never writes over anything: name "
                "an empty place (FIELDPACK_STORAGE_URL, --data-dir). If these are the files of the installation "
                "that was backed up, and only its database is lost, give --reuse-storage."
            )

    async def _is_empty(self) -> bool:
        if not self.target.is_open:
            return True
        async with await psycopg.AsyncConnection.connect(self.target.url, row_factory=dict_row) as connection:
            return await queries.find_schema(connection) is None

    def _read_lists(self) -> None:
        """Every erasure that any list at hand names."""
        lists = {path.resolve(): False for path in self.erasure_files}
        for ours in (self.settings.erasure_list, self.source.erasures):
            if ours is not None and (ours == self.settings.erasure_list or ours.is_file()):
                lists[ours.resolve()] = True
        for path, is_ours in lists.items():
            named = read_erasures(path, is_ours=is_ours)
            self.lists[str(path)] = len(named)
            self.erasures |= named

    async def _settle(self, manifest: Manifest, intake: Intake) -> Restored:
        async with open_context(self.settings, self.target.url) as context:
            async with context.database.transaction() as connection:
                if await queries.count_rows(connection) != manifest.counts and not await self._was_settled(
                    connection
                ):
                    raise BackupError(
                        f"The rows that were restored are not those that the manifest of {manifest.name} counts."
                    )
                uploads = await queries.restart_uploads(connection)
                await forget_all(connection)
                await transitions.start_all_over(connection, self.settings.delivery)
                await erasure_queries.insert_erasures(connection, self.erasures)
                await installation_queries.set_restored(connection)
                await write_entry(connection, OPERATOR, "installation.restore")
            erased = await self._erase_again(context)
            await self._remove_absent(context, manifest)
            failed = await self._fail_exports(context)
            await collect_garbage(context.database, context.storage)
            await self._remove_leftovers(context)
            await list_erasures(context)
            if self.marker.erasing and self.target.is_embedded:
                self.tell("erasures", 0, 0)
                await asyncio.to_thread(self._scrub, context)
            self._put_keys(manifest)
            await put_checkpoints(self.storage, manifest.checkpoints)
            async with context.database.transaction() as connection:
                await installation_queries.forget_restore(connection)
            async with context.database.transaction() as connection:
                row = await installation_queries.lock_installation(connection)
                await put_marker(self.storage, Marker(str(row.id), row.generation))
        return Restored(manifest, intake.put, intake.kept, len(erased), self.lists, uploads, failed)

    @staticmethod
    async def _was_settled(connection: Connection) -> bool:
        """Whether an earlier run of this restore came this far, so that rows may have changed since."""
        return await installation_queries.find_restored(connection) is not None

    async def _remove_absent(self, context: Context, manifest: Manifest) -> None:
        """What was removed while the backup was made is in its rows, and not among its files: it goes here too."""
        removed = [entry.key for entry in manifest.absent if entry.reason == "removed"]
        async with context.database.transaction() as connection:
            blobs = [UUID(key.split("/")[2]) for key in removed if key.startswith("blobs/")]
            for upload in await queries.list_uploads_of(connection, blobs):
                await remove_uploads(connection, upload.study_id, upload.submission_id, [upload.id])
            await delete_pictures(connection, blobs)
        # A stream may hold a piece of what went while it was sent.
        await self.storage.delete(
            [entry.key for entry in manifest.absent if entry.key.startswith("exports/")]
        )

    async def _remove_leftovers(self, context: Context) -> None:
        """Files of the backup that its rows name no more. Whatever an earlier run has thrown away, this one may have
        put back: an export that failed since, or a file of somebody who was erased, in a stream, whose list comes
        last."""
        async with context.database.transaction() as connection:
            builds = await queries.list_builds(connection)
        async for page in self.storage.iter_objects(EXPORTS_PREFIX):
            left = [entry.key for entry in page if _is_left(entry.key.split("/")[1:3], builds)]
            if left:
                await self.storage.delete(left)
        entries = iter_entries(self.source.dump.with_name(BLOBS))
        theirs = (entry.key for entry in entries if entry.submission_id in self.erasures)
        while batch := list(islice(theirs, BATCH)):
            await self.storage.delete(batch)

    async def _fail_exports(self, context: Context) -> int:
        """Exports of which something is not there: their links would lead to half an archive."""
        async with context.database.transaction() as connection:
            exports = await queries.list_exports(connection)
            broken = [export.id for export in exports if not await self._is_stored(export)]
            await transitions.fail(connection, broken, "complete", LEFT_OUT)
        return len(broken)

    async def _is_stored(self, export: StoredExportRow) -> bool:
        names = (*(LEADING if export.with_history else HEADS), INDEX)
        keys = [stored_key(export.id, export.build, name) for name in names]
        if export.delivery == "store":
            keys.append(object_key(export))
            if not self.storage.can_sign:
                return False
        try:
            for key in keys:
                await self.storage.size(key)
        except BlobMissing:
            return False
        return True

    async def _erase_again(self, context: Context) -> list[UUID]:
        async with context.database.transaction() as connection:
            alive = await erasure_queries.list_alive(connection, list(self.erasures))
        if alive:
            # Another run finds them erased, and has to clear the database's files all the same.
            self.marker = replace(self.marker, erasing=True)
            await put_marker(self.storage, self.marker)
        for submission_id in alive:
            async with context.database.transaction() as connection:
                await erase(connection, None, submission_id)
        return alive

    def _scrub(self, context: Context) -> None:
        """Nothing of who was erased stays in the database's files; nobody is served yet, so no table is too large."""
        for attempt in range(SCRUB_ATTEMPTS):
            try:
                with context.database.connect_as_owner() as connection:
                    folder = cluster_folder(self.settings.data_dir)
                    scrub(connection, folder, threading.Event(), largest_bytes=WITHOUT_LIMIT)
                return
            except Postponed as error:
                if attempt + 1 == SCRUB_ATTEMPTS:
                    raise FieldpackError(
                        f"What the database's files keep of erased submissions can't be removed: {error}. Run the same "
                        "restore again, which goes on from here."
                    ) from error

    def _put_keys(self, manifest: Manifest) -> None:
        """The keys that the manifest names, if it names any; what is there already stays."""
        for facts in manifest.files:
            folder, _, name = facts.name.partition("/")
            if folder != self.source.keys.name:
                continue
            target = self.settings.data_dir / name
            target.parent.mkdir(mode=0o700, exist_ok=True)
            if not target.exists():
                write_whole(target, (self.source.keys / name).read_bytes(), mode=0o600, lasting=True)


def _is_left(parts: list[str], builds: dict[UUID, UUID | None]) -> bool:
    """Whether a stored object, by export and build, is of an export that we know, and not what is complete of it."""
    try:
        export, build = map(UUID, parts)
    except ValueError:
        return False
    return export in builds and builds[export] != build
