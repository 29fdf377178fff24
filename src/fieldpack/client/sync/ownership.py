"""Whether `sync` may use a folder: one of its own, a new one, or one that holds an archive of this collection. Any
other folder is refused."""

from __future__ import annotations

import contextlib
import hashlib
import stat
import zlib
from collections.abc import Callable
from typing import Any

import orjson

from fieldpack.archive.members import COLLECTION, LEADING, OWN_FOLDER, README, RESPONSES, explain_outsider
from fieldpack.archive.readme import render_readme
from fieldpack.client.sync.state import STATE, SyncState, read_crc32, read_notes
from fieldpack.containment import ContainedFolder
from fieldpack.errors import ArchiveError, InTheWay, UsageError
from fieldpack.export import open_export
from fieldpack.reading.model import UploadedFile

__all__ = ["OLD_DRAFT", "OLD_STATE", "open_state", "remove_old_notes"]

OLD_STATE = ".fieldpack-sync.json"
OLD_DRAFT = ".fieldpack-sync.part"
"""Where earlier versions kept the notes: among the members, where an archive could write."""

_COPY_BYTES = 1 << 20
_NAMED = 5
_NEVER_NS = -1  # the time of no file, so that its bytes decide whether it is ours

# What file managers, file systems and version control put into a folder by themselves.
_LITTER = frozenset(
    {
        ".ds_store", "desktop.ini", "thumbs.db", "lost+found", ".git", ".localized", ".directory", ".trashes",
        ".fseventsd", ".spotlight-v100", "$recycle.bin", "system volume information",
    }
)  # fmt: skip


def open_state(
    folder: ContainedFolder, collection_id: str, tell: Callable[[int], None]
) -> tuple[SyncState, bool]:
    """The state of the folder, and whether it was read from notes of an earlier version.

    Args:
        folder: the folder to keep equal.
        collection_id: the collection to keep it equal to.
        tell: called with how many bytes of files were read, now and then.

    Raises:
        UsageError: it is another collection's, or holds other things.
        InTheWay: something is where the notes should be.
    """
    notes = read_notes(folder, STATE)
    if notes:
        _refuse_other_collection(folder, notes, collection_id)
        state = SyncState.from_notes(folder, collection_id, notes)
        state.read_journal()
        return state, False
    old = read_notes(folder, OLD_STATE)
    if notes is None and old:
        _refuse_other_collection(folder, old, collection_id)
        return _take_over(SyncState.from_notes(folder, collection_id, old), tell), True
    state = SyncState(folder, collection_id)
    if notes is not None:
        state.read_journal()  # the notes are damaged, but the folder is ours
    elif _list_others(folder) and not _is_extracted(folder, collection_id):
        others = _list_others(folder)
        more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
        raise UsageError(
            f"{folder.path} holds other things already ({', '.join(map(repr, others[:_NAMED]))}{more}): give "
            "a new or an empty folder, or one where an archive of this collection was extracted."
        )
    _adopt_extracted(state, tell)
    return state, False


def remove_old_notes(folder: ContainedFolder) -> None:
    """Remove the notes of the old kind, once the new ones are written."""
    for name in (OLD_STATE, OLD_DRAFT):
        found = folder.find(name)
        if found is not None and stat.S_ISREG(found.st_mode):
            folder.remove(name)


def _refuse_other_collection(folder: ContainedFolder, notes: dict[str, Any], collection_id: str) -> None:
    known = notes["collection_id"]
    if known != collection_id:
        raise UsageError(f"{folder.path} is kept equal to collection {known}; choose another folder.")


def _list_others(folder: ContainedFolder) -> list[str]:
    """What is in the folder, less our own and what gets there by itself."""
    return sorted(
        name
        for name in folder.list()
        if name not in (OWN_FOLDER, OLD_DRAFT)
        and name.casefold() not in _LITTER
        and not name.startswith("._")
    )


def _take_over(state: SyncState, tell: Callable[[int], None]) -> SyncState:
    """Confirm the entries of the old notes, which an archive may have written.

    A file with other bytes keeps its entry, so that it is told that it was changed here. Unless every entry is
    confirmed the folder counts as equal to no export.
    """
    done = 0
    for name, (size_bytes, crc32, _) in list(state.members.items()):
        found = None
        with contextlib.suppress(InTheWay):
            found = state.folder.find(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            state.forget(name)
            state.export_id = None
            continue
        is_true = False
        if found.st_size == size_bytes:
            with contextlib.suppress(InTheWay):
                is_true = read_crc32(state.folder, name) == crc32
            done += size_bytes
            tell(done)
        state.members[name] = (size_bytes, crc32, found.st_mtime_ns if is_true else _NEVER_NS)
        if not is_true:
            state.export_id = None
    state.is_changed = True
    return state


def _is_extracted(folder: ContainedFolder, collection_id: str) -> bool:
    """Whether an archive of this collection was extracted here."""
    try:
        with open_export(folder.path) as export:
            return export.collection.id == collection_id
    except ArchiveError:
        return False


def _adopt_extracted(state: SyncState, tell: Callable[[int], None]) -> None:
    """Add the files of an archive of this collection that was extracted here, according to its own metadata.

    An uploaded file is added if its bytes are those that `responses.jsonl` names. Of the three others, README.md must
    be equal to the one rendered from `collection.json`. Nothing says what was in the other two: they are added if
    nobody wrote to them after README.md, which an archive has behind them, and if `responses.jsonl` has as many lines
    as `collection.json` counts.
    """
    try:
        with open_export(state.folder.path) as export:
            if export.collection.id != state.collection_id:
                return
            submissions, done = 0, 0
            seen: set[str] = set()  # a line may name one file many times, and it is read once
            for submission in export.iter_submissions():
                submissions += 1
                for file in submission.files:
                    if file.path not in seen:
                        seen.add(file.path)
                        done += _adopt_file(state, file)
                    tell(done)
            if not _is_made_readme(state.folder):
                return
            written_at = _adopt(state, README)
            _adopt(state, COLLECTION, written_at)
            if export.collection.export.get("submission_count", submissions) == submissions:
                _adopt(state, RESPONSES, written_at)
    except (ArchiveError, InTheWay):
        return  # what can't be read proves nothing


def _adopt_file(state: SyncState, file: UploadedFile) -> int:
    """Add an uploaded file if its bytes are those on record; how many bytes were read for that."""
    if explain_outsider(file.path) or file.path in LEADING or file.sha256 is None:
        return 0
    with contextlib.suppress(InTheWay):
        found = state.folder.find(file.path)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != file.size_bytes:
            return 0
        crc32, digest = 0, hashlib.sha256()
        with state.folder.open(file.path) as content:
            while block := content.read(_COPY_BYTES):
                crc32 = zlib.crc32(block, crc32)
                digest.update(block)
        if digest.hexdigest() == file.sha256.lower():
            state.members[file.path] = (found.st_size, crc32, found.st_mtime_ns)
            state.is_changed = True
        return found.st_size
    return 0


def _adopt(state: SyncState, name: str, until_ns: int | None = None) -> int:
    """Add a file as it is, unless it was written to after a time; when it was."""
    found = state.folder.find(name)
    if found is None or not stat.S_ISREG(found.st_mode):
        return 0
    if until_ns is None or found.st_mtime_ns <= until_ns:
        state.members[name] = (found.st_size, read_crc32(state.folder, name), found.st_mtime_ns)
        state.is_changed = True
    return found.st_mtime_ns


def _is_made_readme(folder: ContainedFolder) -> bool:
    """Whether README.md is equal to the one rendered from collection.json, so that nobody edited it."""
    try:
        with folder.open(COLLECTION) as described, folder.open(README) as found:
            return found.read() == render_readme(orjson.loads(described.read())).encode()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
