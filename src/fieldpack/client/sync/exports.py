"""The exports that are made for a folder: which of them are its own, and their end.

A server of the newer dialect makes an export for each request and keeps ten. So whatever runs often deletes what it had
made once that has served; but nothing that anybody else requested, and nothing of a server that answers one export to
all who ask while nothing changes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fieldpack.archive.members import OWN_FOLDER
from fieldpack.client.export import ExportRecord, begin_export
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.client.sync.state import read_notes, replace_notes
from fieldpack.containment import ContainedFolder
from fieldpack.errors import ApiError, TransportError

if TYPE_CHECKING:
    from fieldpack.client.api import Client

__all__ = ["EXPORTS", "FolderExports", "OwnExports"]

EXPORTS = f"{OWN_FOLDER}/exports.json"

_GOOD_FOR = 3600.0
"""Seconds for which a run goes on with the export of one that was interrupted: what it lacks is not older."""

_HOLD = 30
"""Seconds for which the answer to a request may be held: that to one which is complete shows the dialect."""

_MOST = 50  # of a server that never shows its dialect; what is forgotten of it makes way by itself


class OwnExports:
    """The exports that were made for us on one server, of one collection.

    Attributes:
        each_is_new: whether the server makes an export for each request; None while it has not shown.
        own: the ids of those made for us that are not deleted yet, and when they were requested.
    """

    def __init__(self, client: Client, collection_id: str) -> None:
        self._client = client
        self._collection_id = collection_id
        self.each_is_new: bool | None = None
        self.own: dict[str, float] = {}

    def request(
        self,
        narrowed: dict[str, Any],
        *,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> ExportRecord:
        """Request an export as `begin_export` does; it is noted if it was made for us.

        Raises:
            ApiError, TransportError: as `begin_export`.
        """
        before = self._list()
        if on_progress is not None:
            on_progress(Progress("generating"))

        def begin() -> ExportRecord:
            return begin_export(
                self._client,
                self._collection_id,
                narrowed,
                hold=max(1, round(min(_HOLD, self._client.timeout / 2, timeout or _HOLD))),
                timeout=timeout,
                on_progress=on_progress,
            )

        try:
            export = begin()
        except ApiError as error:
            if error.status != 409 or not self.own:
                raise
            # as many as the newer dialect keeps, some of which earlier runs have left
            self.each_is_new = True
            self.clear()
            export = begin()
        if export.each_is_new is not None:
            self.each_is_new = export.each_is_new
        if self.each_is_new is False:
            self.own.clear()  # answered to others too, and it makes way by itself
        elif export.export_id is not None and before is not None and export.export_id not in before:
            self.own[export.export_id] = time.time()
        self.note()
        return export

    def clear(self) -> None:
        """Delete what was made for us and has served, where the server makes one for each request.

        What can't be deleted now is left to a later run.
        """
        if not self.each_is_new or not self.own:
            return
        self.own = dict.fromkeys(self.own, 0.0)  # nobody goes on with it
        self.note()
        for export_id in list(self.own):
            try:
                self._client.delete_export(self._collection_id, export_id)
            except TransportError:
                break
            except ApiError as error:
                if error.status not in (403, 404, 405, 410, 501):  # gone; or it is not for us to delete
                    continue
            del self.own[export_id]
        self.note()

    def forget(self, export_id: str | None) -> None:
        """An export failed, so it takes no room; it stays for who looks for the reason."""
        if export_id is not None and self.own.pop(export_id, None) is not None:
            self.note()

    def note(self) -> None:
        """Write down what there is, for a later run; here there is none."""

    def _list(self) -> set[str | None] | None:
        """The ids of the exports there are; None where the server doesn't say."""
        try:
            return {export.export_id for export in self._client.list_exports(self._collection_id)}
        except (ApiError, TransportError):
            return None


class FolderExports(OwnExports):
    """The exports that were made for a folder, noted in it before they are used.

    Args:
        folder: whose.
        guard: a context in which the folder is written.
    """

    def __init__(
        self,
        client: Client,
        collection_id: str,
        folder: ContainedFolder,
        guard: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        super().__init__(client, collection_id)
        self._folder = folder
        self._guard = guard
        with guard():
            notes = read_notes(folder, EXPORTS) or {}
        self._is_noted = bool(notes)
        if notes.get("collection_id") != collection_id or notes.get("server") != client.base_url:
            return
        own, each_is_new = notes.get("own"), notes.get("each_is_new")
        self.each_is_new = each_is_new if isinstance(each_is_new, bool) else None
        for export_id, at in own.items() if isinstance(own, dict) else ():
            if isinstance(at, int | float) and export_id.strip(". "):
                self.own[export_id] = at

    def find_interrupted(self, served: str | None) -> ExportRecord | None:
        """The export of a run that was interrupted, if the folder can still be completed with it.

        Args:
            served: the export that the folder equals already.
        """
        for export_id, at in list(self.own.items())[::-1] if self.each_is_new else ():
            if export_id != served and 0 <= time.time() - at < _GOOD_FOR:
                with contextlib.suppress(ApiError, TransportError):
                    export = self._client.get_export(self._collection_id, export_id)
                    if export.status in ("generating", "complete"):
                        return export
        return None

    def note(self) -> None:
        if not self.own and not self.each_is_new:
            if self._is_noted:
                with self._guard():
                    self._folder.remove(EXPORTS)
                    self._folder.remove_empty(OWN_FOLDER)
                self._is_noted = False
            return
        body: dict[str, Any] = {
            "collection_id": self._collection_id,
            "server": self._client.base_url,
            "each_is_new": self.each_is_new,
            "own": dict(list(self.own.items())[-_MOST:]),
        }
        with self._guard():
            replace_notes(self._folder, EXPORTS, body)
        self._is_noted = True
