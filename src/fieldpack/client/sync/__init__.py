"""Keeps a folder equal to a collection: fetches what is new or changed, removes what was erased.

The archive's directory lists name, size, CRC-32 and offset of every member. Only members that the folder lacks are
fetched, adjacent ones with one request, so a large collection with few changes costs little.

Files are replaced or removed only if an earlier run wrote them and nobody changed them since (`state`); files are
written only if an archive may have such members (`archive.members`), and only below the folder (`containment`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.client.export import ExportRecord, wait_export
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.client.sync.exports import FolderExports
from fieldpack.client.sync.ownership import open_state, remove_old_notes
from fieldpack.client.sync.run import Run, Synced
from fieldpack.client.sync.state import SyncState
from fieldpack.containment import ContainedFolder
from fieldpack.errors import ApiError, ArchiveChanged, DownloadError, ExportFailed, InTheWay, UsageError
from fieldpack.files import lock
from fieldpack.reading.source import Limits

if TYPE_CHECKING:
    from fieldpack.client.api import Client

__all__ = ["Synced", "sync_collection"]

TRIES = 5


def sync_collection(
    client: Client,
    collection_id: str,
    folder: Path,
    *,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Synced:
    """Make `folder` equal to the collection as it is now; afterwards it is an extracted archive.

    After an interruption the next run continues. Files that no run wrote, and files that were changed since, are
    left as they are; where one has the name of a member it is reported in `conflicts`.

    Where the server makes an export for each request, the one that was made for this run is deleted at its end.

    Args:
        limits: how much memory and disk the archive may take; `NO_LIMITS` for one that is known to be that large.

    Raises:
        UsageError: the folder holds another collection, or other things and no archive of this one.
        ArchiveError: the archive is damaged, or would unpack to too much.
        DownloadError: the archive changed every time it was read, the folder can't be written, its disk is
            too full, or another process is using it.
        ExportFailed, ApiError, TransportError: the server could not make or send the archive.
    """
    tell = on_progress or (lambda progress: None)
    with _claimed(folder) as opened:
        with _disk_errors(folder):
            state, is_taken_over = open_state(
                opened, collection_id, lambda done: tell(Progress.of_bytes("verifying", done, None))
            )
            state.remove_drafts()
            if is_taken_over:
                state.write(state.export_id)
                remove_old_notes(opened)
        exports = FolderExports(client, collection_id, opened, lambda: _disk_errors(folder))
        interrupted = exports.find_interrupted(state.export_id)
        for _ in range(TRIES):
            export = interrupted or exports.request({}, on_progress=tell)
            interrupted = None
            try:
                export = wait_export(client, collection_id, export, narrowed={}, on_progress=tell)
            except ExportFailed:
                exports.forget(export.export_id)
                raise
            with _disk_errors(folder):
                try:
                    done = _bring(client, collection_id, export, state, limits or Limits(), tell)
                    exports.clear()
                    return done
                except ArchiveChanged:
                    pass
                except ApiError as error:
                    if error.status not in (403, 404, 410):  # withdrawn: a new one is the answer
                        raise
                exports.clear()
    raise DownloadError("The collection's archive changed every time it was read. Run it again in a moment.")


def _bring(
    client: Client,
    collection_id: str,
    export: ExportRecord,
    state: SyncState,
    limits: Limits,
    tell: OnProgress,
) -> Synced:
    if state.is_equal_to(export.export_id):
        if state.is_changed:
            state.write(state.export_id)
        return Synced(0, 0, len(state.members), 0, export.export_id)
    return Run(client, collection_id, export, state, limits, tell).bring()


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[ContainedFolder]:
    """The folder, made if missing and locked for this run: two runs at once would overwrite each other's drafts."""
    is_new = not folder.exists()
    if not is_new and not folder.is_dir():
        raise UsageError(f"{folder} is a file: give a folder.")
    if is_new and folder.is_symlink():
        raise UsageError(
            f"{folder} is a link that leads nowhere: make the folder that it names, or remove the link."
        )
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        opened = ContainedFolder(folder)
    try:
        with opened:
            if opened.fileno() >= 0 and not lock(opened.fileno()):
                raise DownloadError(f"Another process is keeping {folder} equal already: wait for it.")
            yield opened
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # something was brought
                folder.rmdir()


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{folder} can't be written: {error.strerror or error}.") from error
    except InTheWay as error:  # of our own notes; what is in the way of a member is told at the end
        raise UsageError(f"{folder / error.name} {error.reason}: move it away and run it again.") from error
