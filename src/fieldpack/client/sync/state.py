"""The state of a folder that `sync` keeps: which of its files sync wrote, and their sizes and checksums.

The notes are in `.fieldpack/` of the folder, where no archive writes, and move with it. They may be damaged or
forged all the same: a name counts only if an archive may have such a member and it is below the folder, and a file
counts as ours only if its bytes are those in the notes. Every other file belongs to somebody else.

Files are flushed to disk first, and the notes that name them afterwards.
"""

from __future__ import annotations

import stat
import zlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, BinaryIO

import orjson

from fieldpack.archive.members import OWN_FOLDER, explain_outsider
from fieldpack.containment import ContainedFolder, name_kind
from fieldpack.errors import InTheWay
from fieldpack.files import sync_file
from fieldpack.reading.source import Member

__all__ = [
    "DRAFT",
    "STATE",
    "Found",
    "Sums",
    "SyncState",
    "flush",
    "read_crc32",
    "read_notes",
    "replace_notes",
    "sums_of",
]

STATE = f"{OWN_FOLDER}/sync.json"
JOURNAL = f"{OWN_FOLDER}/coming.jsonl"
DRAFT = "draft-"

_NEW_NOTES = f"{OWN_FOLDER}/{DRAFT}state"
_COPY_BYTES = 1 << 20
_MOST_NOTES_BYTES = 2 << 30  # twenty million members; more is not read but made anew

Sums = tuple[int, int]
"""Size in bytes and CRC-32 of a content."""


class Found(Enum):
    """What is in a member's place."""

    NOTHING = "nothing"
    WANTED = "the member as the archive has it"
    OURS = "what an earlier run wrote and nobody changed"


@dataclass
class SyncState:
    """The files that are ours.

    Attributes:
        folder: where they are.
        collection_id: whose archive they are.
        export_id: the export that the folder equals, or None when it equals none.
        members: size, CRC-32 and modification time (ns) of each file that sync wrote, by member.
        coming: what an interrupted run was about to write, by member; a file equal to it is ours too.
        is_changed: whether the notes must be written again.
    """

    folder: ContainedFolder
    collection_id: str
    export_id: str | None = None
    members: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    coming: dict[str, set[Sums]] = field(default_factory=dict)
    is_changed: bool = False
    _journal: BinaryIO | None = None

    @classmethod
    def from_notes(cls, folder: ContainedFolder, collection_id: str, notes: dict[str, Any]) -> SyncState:
        """The state that notes describe.

        Entries that make no sense are left out; the folder then counts as equal to no export, as nothing in the notes
        says any more what else it had.
        """
        export_id, members = notes.get("export_id"), notes.get("members")
        state = cls(folder, collection_id)
        listed = members if isinstance(members, dict) else {}
        for name, entry in listed.items():
            if explain_outsider(name) is None and _is_numbers(entry, 3):
                state.members[name] = (entry[0], entry[1], entry[2])
        is_whole = isinstance(members, dict) and len(state.members) == len(listed)
        state.export_id = export_id if is_whole and isinstance(export_id, str) else None
        return state

    def read_journal(self) -> None:
        """Learn what an interrupted run was about to do."""
        for line in (_read_whole(self.folder, JOURNAL) or b"").splitlines():
            try:
                name, *sums = orjson.loads(line)
            except (orjson.JSONDecodeError, TypeError, ValueError):
                continue  # the last one, half written
            if isinstance(name, str) and explain_outsider(name) is None and _is_numbers(sums, 2):
                self.coming.setdefault(name, set()).add((sums[0], sums[1]))

    def look(self, name: str, wanted: Sums | None) -> Found:
        """What is in a member's place; read only when the notes do not say.

        Args:
            name: of the member.
            wanted: what the archive has there, or None when it has nothing.

        Raises:
            InTheWay: something that is not ours.
        """
        found = self.folder.find(name)
        entry = self.members.get(name)
        if found is None:
            return Found.NOTHING
        if not stat.S_ISREG(found.st_mode):
            raise InTheWay(name, f"is {name_kind(found)} that is there already")
        known = {*self.coming.get(name, ()), *([entry[:2]] if entry else ())}
        if entry is not None and (entry[0], entry[2]) == (found.st_size, found.st_mtime_ns):
            held = entry[:2]
        elif any(size == found.st_size for size, _ in (known if wanted is None else known | {wanted})):
            held = (found.st_size, read_crc32(self.folder, name))
        else:
            held = (found.st_size, -1)
        if held == wanted or held in known:
            seen = (*held, found.st_mtime_ns)
            self.is_changed |= seen != entry
            self.members[name] = seen
            return Found.WANTED if held == wanted else Found.OURS
        if known:
            raise InTheWay(name, "was changed here since it was brought")
        raise InTheWay(name, "is a file that is there already")

    def is_equal_to(self, export_id: str | None) -> bool:
        """Whether the folder was made equal to this export, and still has all its files."""
        if export_id is None or export_id != self.export_id or self.coming:
            return False
        try:
            return all(
                self.look(name, (entry[0], entry[1])) is Found.WANTED for name, entry in self.members.items()
            )
        except InTheWay:
            return False

    def forget(self, name: str) -> None:
        """A file is no longer ours, or no longer there."""
        self.members.pop(name, None)
        self.coming.pop(name, None)

    def write(self, export_id: str | None) -> None:
        """Write the notes and flush them to disk. The files that they name must be on disk already.

        `coming` is cleared, so its members must have been looked at before.
        """
        self.export_id = export_id
        body = {"collection_id": self.collection_id, "export_id": export_id, "members": self.members}
        replace_notes(self.folder, STATE, body)
        self.close_journal()
        self.folder.remove(JOURNAL)
        self.coming.clear()
        self.is_changed = False

    def announce(self, members: list[Member]) -> None:
        """Write to the journal, and flush, what is about to be renamed into place: if this process is killed before
        the next `write`, the next run knows that the files are ours."""
        if self._journal is None:
            self._journal = self.folder.create(JOURNAL)
            self.folder.sync(OWN_FOLDER)
        lines = (orjson.dumps([member.name, *sums_of(member)]) + b"\n" for member in members)
        self._journal.write(b"".join(lines))
        flush(self._journal)

    def close_journal(self) -> None:
        """Close the journal's file."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def remove_drafts(self) -> None:
        """Remove what an interrupted run left half written."""
        for name in self.folder.list(OWN_FOLDER):
            if name.startswith(DRAFT):
                self.folder.remove(f"{OWN_FOLDER}/{name}")


def sums_of(member: Member) -> Sums:
    """What a member holds, by the archive's directory."""
    return member.size_bytes, member.crc32 or 0


def read_notes(folder: ContainedFolder, name: str) -> dict[str, Any] | None:
    """Notes that were written as JSON; empty when they are damaged, None when there are none.

    Raises:
        InTheWay: a link or something else that is no file is in their place.
    """
    data = _read_whole(folder, name)
    if data is None:
        return None
    try:
        notes = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    is_sound = isinstance(notes, dict) and isinstance(notes.get("collection_id"), str)
    return notes if is_sound else {}


def read_crc32(folder: ContainedFolder, name: str) -> int:
    """The CRC-32 of a file."""
    crc32 = 0
    with folder.open(name) as file:
        while block := file.read(_COPY_BYTES):
            crc32 = zlib.crc32(block, crc32)
    return crc32


def flush(file: BinaryIO) -> None:
    """Have the disk take what was written to a file."""
    file.flush()
    sync_file(file.fileno())


def replace_notes(folder: ContainedFolder, name: str, notes: dict[str, Any]) -> None:
    """Write notes as JSON; they take the place of those before once they are whole and on the disk."""
    folder.remove(_NEW_NOTES)
    with folder.create(_NEW_NOTES) as out:
        out.write(orjson.dumps(notes))
        flush(out)
    folder.move(_NEW_NOTES, name, replacing=True)
    folder.sync(OWN_FOLDER)
    folder.sync()


def _read_whole(folder: ContainedFolder, name: str) -> bytes | None:
    found = folder.find(name)
    if found is None:
        return None
    with folder.open(name) as file:
        return file.read() if found.st_size <= _MOST_NOTES_BYTES else b""


def _is_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(n) is int for n in value)
