"""Keeps a folder equal to a collection: fetches what is new or changed, removes what was erased.

The archive's directory says what there is: name, size, CRC-32 and place of every member. Only members that
the folder lacks are fetched, neighbours together, so a large collection with little news costs little.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from fieldpack.archive.remote import RangeFile
from fieldpack.archive.source import Limits, Member, explain_unsafe_name
from fieldpack.archive.zipsource import ZipSource
from fieldpack.client.connection import is_loopback
from fieldpack.client.export import Export, wait_export
from fieldpack.client.part import lock
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.errors import ApiError, ArchiveError, DownloadError, UsageError

if TYPE_CHECKING:
    from fieldpack.client.api import Client

__all__ = ["Synced", "sync_collection"]

STATE = ".fieldpack-sync.json"
DRAFT = ".fieldpack-sync.part"
HEAD = ("responses.jsonl", "collection.json", "README.md")
GAP_BYTES = 32 << 10  # fetching this much for nothing is cheaper than another request
RUN_BYTES = 64 << 20
COPY_BYTES = 1 << 20
TRIES = 5


@dataclass(frozen=True, slots=True)
class Synced:
    """What one run did.

    Attributes:
        fetched, removed, unchanged: how many members.
        transferred_bytes: what came over the wire, the directory included.
        export_id: the export that the folder equals now.
    """

    fetched: int
    removed: int
    unchanged: int
    transferred_bytes: int
    export_id: str | None


class _RunFile(RangeFile):
    """A remote file whose read-ahead may cover a run of members: narrower expectations leave it as it is."""

    def expect(self, start: int, end: int) -> None:
        if not any(first <= start and end <= last for first, last in self._bounds):
            super().expect(start, end)


def sync_collection(
    client: Client, collection_id: str, folder: Path, *, on_progress: OnProgress | None = None
) -> Synced:
    """Make `folder` equal to the collection as it is now; it is an extracted archive afterwards.

    Interrupted, it goes on where it was the next time. Files in the folder that no archive put there are left
    alone.

    Raises:
        UsageError: the folder holds another collection, or files of its own under an archive's names.
        DownloadError: the archive kept changing while it was read, the folder can't be written, or another
            process is at it.
        ExportFailed, ApiError, TransportError: the server could not give the archive.
    """
    tell = on_progress or (lambda progress: None)
    with _claimed(folder):
        state = _State.read(folder, collection_id)
        for _ in range(TRIES):
            export = client._post_export(collection_id, {}, wait=3)
            export = wait_export(client, collection_id, export, narrowed={}, on_progress=tell)
            if state.is_equal_to(export):
                return Synced(0, 0, len(state.members), 0, export.export_id)
            try:
                return _bring(client, collection_id, export, state, tell)
            except (ArchiveError, ApiError) as error:
                if not _may_be_stale(error):
                    raise
    raise DownloadError("The collection's archive changed every time it was read. Run it again in a moment.")


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """The folder for this run alone, made if missing: two at once would write into each other's draft."""
    is_new = not folder.exists()
    if not is_new and not folder.is_dir():
        raise UsageError(f"{folder} is a file: give a folder.")
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    fd = -1
    try:
        if sys.platform != "win32":  # no folder can be locked there
            with _disk_errors(folder):
                fd = os.open(folder, os.O_RDONLY)
            if not lock(fd):
                raise DownloadError(f"Another process is keeping {folder} equal already: wait for it.")
        yield
    finally:
        if fd >= 0:
            os.close(fd)
        if is_new:
            with contextlib.suppress(OSError):  # something was brought
                folder.rmdir()


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{folder} can't be written: {error.strerror or error}.") from error


def _may_be_stale(error: ArchiveError | ApiError) -> bool:
    """Whether the archive was withdrawn or replaced under us, so that a new one is the answer."""
    if isinstance(error, ApiError):
        return error.status in (403, 404, 410)
    return "changed while it was being read" in str(error)


@dataclass
class _State:
    """What earlier runs put into the folder: size, CRC-32 and the file's own time stamp, by member."""

    folder: Path
    collection_id: str
    export_id: str | None
    members: dict[str, list[int]]

    @classmethod
    def read(cls, folder: Path, collection_id: str) -> _State:
        try:
            body: Any = orjson.loads((folder / STATE).read_bytes())
        except FileNotFoundError:
            _refuse_foreign(folder, collection_id)
            return cls(folder, collection_id, None, {})
        except (OSError, orjson.JSONDecodeError):
            body = {}  # a damaged note only costs time: what is there is checked byte by byte
        known = body.get("collection_id", collection_id)
        if known != collection_id:
            raise UsageError(f"{folder} is kept equal to collection {known}; choose another folder.")
        return cls(folder, collection_id, body.get("export_id"), dict(body.get("members", {})))

    def write(self, export_id: str | None) -> None:
        self.export_id = export_id
        body = {"collection_id": self.collection_id, "export_id": export_id, "members": self.members}
        draft = self.folder / DRAFT
        draft.write_bytes(orjson.dumps(body))
        draft.replace(self.folder / STATE)

    def is_equal_to(self, export: Export) -> bool:
        """Whether the folder was brought to this very export, and still has all of it."""
        if export.export_id is None or export.export_id != self.export_id:
            return False
        return all(self.has(name, *entry[:2]) for name, entry in self.members.items())

    def has(self, name: str, size_bytes: int, crc32: int) -> bool:
        """Whether the folder has these bytes under this name; read only when the note does not say."""
        path = self.folder / name
        try:
            found = path.lstat()
        except OSError:
            return False
        if found.st_size != size_bytes or not path.is_file() or path.is_symlink():
            return False
        entry = self.members.get(name)
        if entry is None or entry[2] != found.st_mtime_ns:
            if _crc32_of(path) != crc32:
                return False
            self.members[name] = [size_bytes, crc32, found.st_mtime_ns]
            return True
        return entry[:2] == [size_bytes, crc32]


def _refuse_foreign(folder: Path, collection_id: str) -> None:
    """Keep a README.md that is no archive's from being replaced by one that is.

    Raises:
        UsageError: the folder has files under an archive's names, and is not this collection's, extracted.
    """
    taken = [name for name in HEAD if os.path.lexists(folder / name)]
    if not taken:
        return
    try:
        found = orjson.loads((folder / "collection.json").read_bytes())["id"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        found = None
    if found != collection_id:
        raise UsageError(
            f"{folder} holds a {taken[0]} that is not this collection's and would be replaced: "
            "give a new or an empty folder."
        )


def _crc32_of(path: Path) -> int:
    crc32 = 0
    with path.open("rb") as file:
        while block := file.read(COPY_BYTES):
            crc32 = zlib.crc32(block, crc32)
    return crc32


def _bring(client: Client, collection_id: str, export: Export, state: _State, tell: OnProgress) -> Synced:
    """Fetch and remove what differs from one export."""
    first_link: list[str | None] = [export.url]

    def get_link() -> str:
        fresh = first_link.pop() if first_link else None
        if fresh is None and export.export_id is not None:
            fresh = client.get_export(collection_id, export.export_id).url
        if fresh is None:
            raise ArchiveError("The archive changed while it was being read: it was withdrawn.")
        return fresh

    http = httpx.Client(
        verify=client.ssl_context,
        timeout=client.timeout,
        follow_redirects=True,
        trust_env=not is_loopback(export.url or ""),
    )
    file = _RunFile(get_link, client=http, owns_client=True)
    source = ZipSource(file, file.label, Limits())  # type: ignore[arg-type]
    try:
        members = source.members()
        for member in members.values():
            if member.problem or explain_unsafe_name(member.name):
                raise ArchiveError(f"{file.label}: {member.name!r} is not read: {member.problem}.")
        state.write(state.export_id)  # from now on the folder is ours, whatever ends this run
        wanted = [
            member
            for member in members.values()
            if not state.has(member.name, member.size_bytes, member.crc32 or 0)
        ]
        gone = [name for name in state.members if name not in members]
        removed = _remove(state, gone)
        done, total = 0, sum(member.stored_bytes for member in wanted)
        # the tables come last: until they are replaced, the folder is the archive it was
        for run in _iter_runs(
            [*(m for m in wanted if m.name not in HEAD), *(m for m in wanted if m.name in HEAD)]
        ):
            file.expect(run[0].offset, _end_of(run[-1]))
            for member in run:
                _write(source, state, member)
                done += member.stored_bytes
                tell(Progress.of_bytes("downloading", done, total))
        state.write(export.export_id)
        return Synced(
            len(wanted), removed, len(members) - len(wanted), file.transferred_bytes, export.export_id
        )
    except OSError as error:
        raise DownloadError(f"{state.folder} can't be written: {error.strerror or error}.") from error
    finally:
        if state.members:
            with contextlib.suppress(OSError):
                state.write(state.export_id)
        source.close()


def _end_of(member: Member) -> int:
    """Where a member ends, at the latest: header, name, extra fields and content."""
    return member.offset + member.stored_bytes + len(member.name.encode()) + 128


def _iter_runs(members: list[Member]) -> Iterator[list[Member]]:
    """Members that lie so close together that one read-ahead may take them all."""
    run: list[Member] = []
    for member in members:
        if run and not (
            0 <= member.offset - _end_of(run[-1]) + 128 <= GAP_BYTES
            and _end_of(member) - run[0].offset <= RUN_BYTES
        ):
            yield run
            run = []
        run.append(member)
    if run:
        yield run


def _write(source: ZipSource, state: _State, member: Member) -> None:
    """Bring one member to its place, checked against its CRC-32."""
    target = state.folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(state.folder.resolve()):
        raise DownloadError(
            f"{target.parent} leads out of {state.folder}; remove that link and run it again."
        )
    draft = state.folder / DRAFT
    with source.open(member.name) as content, draft.open("wb") as out:
        shutil.copyfileobj(content, out, COPY_BYTES)
    os.replace(draft, target)
    state.members[member.name] = [member.size_bytes, member.crc32 or 0, target.stat().st_mtime_ns]


def _remove(state: _State, names: list[str]) -> int:
    """Remove what earlier runs brought and the collection no longer has; how many there were."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (state.folder / name).unlink()
        del state.members[name]
    if names:
        state.write(None)
    return len(names)
