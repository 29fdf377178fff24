"""One run of `sync`: what differs between a folder and an export, fetched and removed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import httpx

from fieldpack.archive.members import LEADING, OWN_FOLDER
from fieldpack.client.connection import is_loopback
from fieldpack.client.export import ExportRecord
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.client.sync.state import DRAFT, Found, SyncState, flush, sums_of
from fieldpack.errors import ArchiveChanged, ArchiveError, DownloadError, InTheWay
from fieldpack.links import require_link
from fieldpack.reading.remote import RangeFile
from fieldpack.reading.source import Limits, Member, find_outsiders
from fieldpack.reading.zipsource import ZipSource

if TYPE_CHECKING:
    from fieldpack.client.api import Client

__all__ = ["Run", "Synced"]

GAP_BYTES = 32 << 10  # fetching this many unneeded bytes is cheaper than another request
RUN_BYTES = 64 << 20
COPY_BYTES = 1 << 20
BATCH_FILES = 64  # flushed and renamed together, which takes hardly longer than flushing one
BATCH_BYTES = 64 << 20
FLUSHERS = 16


@dataclass(frozen=True, slots=True)
class Synced:
    """What one run did.

    Attributes:
        fetched, removed, unchanged: how many members.
        transferred_bytes: bytes received, the directory included.
        export_id: the export that the folder equals now, conflicts aside.
        conflicts: files that are not ours and have the name of a member: name, and what is there. The folder is
            not equal to the collection until they are moved away.
        ignored: what is in the archive but not written, because no archive has such members: name and reason.
    """

    fetched: int
    removed: int
    unchanged: int
    transferred_bytes: int
    export_id: str | None
    conflicts: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


class _RunFile(RangeFile):
    """A remote file whose read-ahead covers several members in a row; expecting one of them does not narrow it."""

    def expect(self, start: int, end: int) -> None:
        if not any(first <= start and end <= last for first, last in self._bounds):
            super().expect(start, end)


class Run:
    """Fetching and removing what differs from one export."""

    def __init__(
        self,
        client: Client,
        collection_id: str,
        export: ExportRecord,
        state: SyncState,
        limits: Limits,
        tell: OnProgress,
    ) -> None:
        self._client = client
        self._collection_id = collection_id
        self._export = export
        self._state = state
        self._folder = state.folder
        self._limits = limits
        self._tell = tell
        self._link = export.url
        self._conflicts: dict[str, str] = {}
        self._unchanged = self._fetched = 0
        self._replaced: set[str] = set()
        self._drafts: list[tuple[Member, BinaryIO, str]] = []
        self._drafted = 0

    def bring(self) -> Synced:
        """Fetch and remove what differs.

        Raises:
            ArchiveChanged: the archive was withdrawn or replaced meanwhile.
            TransportError: the server's link can't be opened.
        """
        require_link(self._export.url or "")
        http = httpx.Client(
            verify=self._client.ssl_context,
            timeout=self._client.timeout,
            follow_redirects=True,
            trust_env=not is_loopback(self._export.url or ""),
        )
        file = _RunFile(self._get_link, client=http, owns_client=True)
        with contextlib.closing(ZipSource(file, file.label, self._limits)) as source:  # type: ignore[arg-type]  # reads as one
            listed = source.members()
            ignored = find_outsiders(source, listed)
            members = {name: member for name, member in listed.items() if name not in ignored}
            wanted = self._compare(members)
            self._refuse(source.label, wanted)
            state = self._state
            removed = self._remove(
                [name for name in {**state.members, **state.coming} if name not in members]
            )
            if removed:
                state.write(None)
            if lack := self._limits.explain_lack(self._folder.path, sum(m.size_bytes for m in wanted)):
                raise DownloadError(f"{lack}.")
            if not removed:
                state.write(state.export_id)  # from now on the folder is ours, even if this run is killed
            try:
                self._fetch(file, source, wanted)
            except BaseException:
                self._drop_drafts()
                with contextlib.suppress(OSError, InTheWay):
                    state.write(None if self._fetched else state.export_id)
                raise
            finally:
                state.close_journal()
            state.write(None if self._conflicts or ignored else self._export.export_id)
            return Synced(
                self._fetched,
                removed,
                self._unchanged,
                file.transferred_bytes,
                self._export.export_id,
                self._conflicts,
                ignored,
            )

    def _get_link(self) -> str:
        link, self._link = self._link, None
        if link is None and self._export.export_id is not None:
            link = self._client.get_export(self._collection_id, self._export.export_id).url
        if link is None:
            raise ArchiveChanged("The archive was withdrawn while it was being read.")
        return link

    def _compare(self, members: dict[str, Member]) -> list[Member]:
        """The members that the folder lacks, without those whose name somebody else's file has."""
        wanted = []
        for name, member in members.items():
            try:
                found = self._state.look(name, sums_of(member))
            except InTheWay as error:
                self._conflicts[error.name] = error.reason
                continue
            if found is Found.WANTED:
                self._unchanged += 1
                continue
            wanted.append(member)
            if found is Found.OURS:
                self._replaced.add(name)
        return wanted

    def _refuse(self, label: str, wanted: list[Member]) -> None:
        for member in wanted:
            if member.problem:
                raise ArchiveError(f"{label}: {member.name!r} is not read: {member.problem}.")
        if bomb := self._limits.explain_bomb(wanted):
            raise ArchiveError(f"{label} is not read: {bomb}.")

    def _remove(self, gone: list[str]) -> int:
        """Remove the files that earlier runs wrote and the collection no longer has; how many there were."""
        removed, folders = 0, set()
        for name in gone:
            try:
                if self._state.look(name, None) is Found.OURS:
                    self._folder.remove(name)
                    folders.update(_list_parents(name))
                    removed += 1
            except InTheWay as error:
                self._conflicts[error.name] = f"{error.reason}, and the collection no longer has it"
                continue
            self._state.forget(name)
        for folder in sorted(folders, key=len, reverse=True):
            if not folder or not self._folder.remove_empty(folder):
                self._folder.sync(folder)
        return removed

    def _fetch(self, file: _RunFile, source: ZipSource, wanted: list[Member]) -> None:
        done, total = 0, sum(member.stored_bytes for member in wanted)
        # responses.jsonl and the like come last: until they are replaced, the folder is still the archive before
        for members in (
            [m for m in wanted if m.name not in LEADING],
            [m for m in wanted if m.name in LEADING],
        ):
            for run in _iter_runs(members):
                file.expect(run[0].offset, _end_of(run[-1]))
                for member in run:
                    self._draft(source, member)
                    done += member.stored_bytes
                    self._tell(Progress.of_bytes("downloading", done, total))
            self._place()

    def _draft(self, source: ZipSource, member: Member) -> None:
        """Write one member under a temporary name, checked against its CRC-32."""
        name = f"{OWN_FOLDER}/{DRAFT}{len(self._drafts)}"
        with source.open(member.name) as content:
            out = self._folder.create(name)
            self._drafts.append((member, out, name))
            shutil.copyfileobj(content, out, COPY_BYTES)
        self._drafted += member.size_bytes
        if len(self._drafts) >= BATCH_FILES or self._drafted >= BATCH_BYTES:
            self._place()

    def _place(self) -> None:
        """Rename the drafts into place: flushed to disk before they get their names, and named before the notes say
        that they are there."""
        # together, as a disk takes many flushes in hardly more time than one
        with ThreadPoolExecutor(FLUSHERS) as pool:
            list(pool.map(flush, [out for _, out, _ in self._drafts]))
        for _, out, _ in self._drafts:
            out.close()
        if self._drafts:
            self._state.announce([member for member, _, _ in self._drafts])
        folders: set[str] = set()
        for member, _, draft in self._drafts:
            name = member.name
            try:
                # looked at once more: there was time to put something else there
                replacing = name in self._replaced and self._state.look(name, None) is Found.OURS
                self._folder.move(draft, name, replacing=replacing)
                found = self._folder.find(name)
            except InTheWay as error:
                self._conflicts[error.name] = error.reason
                self._folder.remove(draft)
                continue
            if found is not None:
                self._state.members[name] = (*sums_of(member), found.st_mtime_ns)
            folders.update(_list_parents(name))
            self._fetched += 1
        for folder in folders:
            self._folder.sync(folder)
        self._drafts.clear()
        self._drafted = 0

    def _drop_drafts(self) -> None:
        drafts, self._drafts = self._drafts, []
        for _, out, _ in drafts:
            with contextlib.suppress(OSError):  # closing may fail to flush what is discarded anyway
                out.close()
        for _, _, draft in drafts:
            with contextlib.suppress(OSError, InTheWay):
                self._folder.remove(draft)


def _list_parents(name: str) -> list[str]:
    """The folders that a member is in, the innermost first; the last one is the whole folder, called ""."""
    folders = name.split("/")[:-1]
    return ["/".join(folders[:depth]) for depth in range(len(folders), -1, -1)]


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
