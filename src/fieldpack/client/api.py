"""The client of a collection server: this project's own, or the hosted service."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fieldpack.client.connection import find_connection
from fieldpack.client.download.conversions import ConversionRoutes
from fieldpack.client.export import (
    ExportRecord,
    collect_filter,
    download_export,
    export_collection,
    split_filter,
    wait_export,
)
from fieldpack.client.groups import GroupRoutes
from fieldpack.client.hooks import HookRoutes
from fieldpack.client.progress import OnProgress
from fieldpack.client.resources import ResourceRoutes
from fieldpack.client.review.routes import ReviewRoutes
from fieldpack.client.routes import Json, collection_path, path_segment, prefer_wait
from fieldpack.client.submissions import ErasureRoutes, SubmissionRoutes
from fieldpack.client.transport import Transport

__all__ = ["Client", "Json"]


class Client(
    ResourceRoutes, SubmissionRoutes, ReviewRoutes, ErasureRoutes, GroupRoutes, HookRoutes, ConversionRoutes
):
    """A server's API, one method a route. Safe to use from several threads; a context manager.

    Objects are plain dictionaries with the fields of the API reference, unknown ones included. Every method
    raises `ApiError` when the server refuses and `TransportError` when it cannot be reached.

    Args:
        token: API token; without it `PROLIFIC_TOKEN`, or the one that the local server keeps.
        base_url: with or without `/api/v1`; without it `PROLIFIC_URL`, or the local server.
        ca_file: PEM file of an authority to trust besides the usual ones (or besides `SSL_CERT_FILE`).
        timeout: seconds without a byte after which a request counts as lost.
        retries: how often to repeat what is safe to repeat.

    Raises:
        ConfigError: there is no token, or the address or the certificate file is wrong.
    """

    def __init__(
        self,
        token: str | None = None,
        base_url: str | None = None,
        *,
        ca_file: str | None = None,
        timeout: float = 60.0,
        retries: int = 5,
    ) -> None:
        super().__init__(
            Transport(find_connection(token, base_url, ca_file=ca_file), timeout=timeout, retries=retries)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def base_url(self) -> str:
        """The server's address, without `/api/v1`."""
        return self._transport.connection.url

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What decides which certificates are trusted; for download links too."""
        return self._transport.ssl_context

    @property
    def timeout(self) -> float:
        """Seconds without a byte after which a request counts as lost; for downloads too."""
        return self._transport.timeout

    def request_export(
        self,
        collection_id: str,
        *,
        study_id: str | None = None,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: bool = False,
    ) -> ExportRecord:
        """Request an archive: a recent one, the one that is generating, or a new one. A repeated call makes no second.

        Args:
            collection_id: whose responses.
            study_id: only those of this study.
            from_: only those completed at or after this; without an offset it is UTC.
            to: only those completed before this.
            filter: what else narrows it, as the API takes it in a body (`state`, `where`, `search` …).
            history: with `history.jsonl`, what answers were before they were corrected (fieldpack only).
        """
        return self._post_export(collection_id, collect_filter(study_id, from_, to, filter, history=history))

    def get_export(self, collection_id: str, export_id: str, *, wait: int | None = None) -> ExportRecord:
        """One export, with a fresh link when it is complete.

        Args:
            collection_id: whose export.
            export_id: which.
            wait: seconds for which the server may hold the answer until the export is ready (RFC 7240).
        """
        path = f"{collection_path(collection_id)}/export/{path_segment(export_id)}"
        body = self._transport.request("GET", path, headers=prefer_wait(wait))
        if isinstance(body, dict):
            body.setdefault("export_id", export_id)
        return ExportRecord.from_answer(body)

    def list_exports(self, collection_id: str) -> list[ExportRecord]:
        """The collection's exports, newest first."""
        return [
            ExportRecord.from_answer(item) for item in self._iter(collection_path(collection_id) + "/export")
        ]

    def delete_export(self, collection_id: str, export_id: str) -> None:
        """Delete an export; its links stop working.

        Raises:
            ApiError: 409 while it is generating.
        """
        self._transport.request(
            "DELETE", f"{collection_path(collection_id)}/export/{path_segment(export_id)}"
        )

    def wait_export(
        self,
        collection_id: str,
        export_id: str,
        *,
        timeout: float | None = None,
        progress: OnProgress | None = None,
    ) -> ExportRecord:
        """Wait until an export is complete.

        Raises:
            ExportFailed: it ended as failed.
            ExportNotReady: `timeout` seconds were not enough.
        """
        export = self.get_export(collection_id, export_id)
        return wait_export(self, collection_id, export, narrowed={}, timeout=timeout, on_progress=progress)

    def export_collection(
        self,
        collection_id: str,
        output: str | Path | None = None,
        *,
        study_id: str | None = None,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: bool = False,
        force: bool = False,
        progress: bool | OnProgress = False,
        timeout: float | None = None,
        connections: int = 1,
    ) -> Path:
        """Request an archive, wait for it, download it and check it.

        Args:
            collection_id: whose responses.
            output: a file, or an existing folder; without it, the current folder. In a folder the name is
                `<collection-id>-export-<YYYYMMDD-HHMMSS>.zip`, in local time.
            study_id, from_, to, filter, history: what it holds, as in `request_export`.
            force: overwrite an existing file.
            progress: True shows a bar (or lines, where there is no terminal) on standard error; a callback gets
                every step.
            timeout: seconds to wait for the server to make the archive; None for as long as it takes.
            connections: how many spans of a large archive to download at the same time.

        Returns:
            Where the archive is.

        Raises:
            DownloadError: the file exists, or the download could not be completed; run again to resume.
            ExportFailed: the server could not make it.
            ExportNotReady: `timeout` seconds were not enough.
        """
        return export_collection(
            self,
            collection_id,
            output,
            narrowed=collect_filter(study_id, from_, to, filter, history=history),
            force=force,
            progress=progress,
            timeout=timeout,
            connections=connections,
        )

    def download_export(
        self,
        collection_id: str,
        export_id: str,
        output: str | Path | None = None,
        *,
        force: bool = False,
        progress: bool | OnProgress = False,
        timeout: float | None = None,
        connections: int = 1,
    ) -> Path:
        """Download an export that there is, and check it; one that is generating is waited for.

        Args:
            collection_id: whose export.
            export_id: which.
            output, force, progress, timeout, connections: as in `export_collection`.

        Raises:
            ApiError: 404 when there is none of this id.
            DownloadError, ExportFailed, ExportNotReady: as in `export_collection`.
        """
        return download_export(
            self,
            collection_id,
            self.get_export(collection_id, export_id),
            output,
            narrowed={},
            force=force,
            progress=progress,
            timeout=timeout,
            connections=connections,
        )

    def _post_export(
        self, collection_id: str, narrowed: dict[str, Any], *, wait: int | None = None, waits: bool = True
    ) -> ExportRecord:
        params, rest = split_filter(narrowed)
        reply = self._transport.send(
            "POST",
            collection_path(collection_id) + "/export",
            params=params or None,
            body={"filter": rest} if rest else None,
            headers=prefer_wait(wait),
            repeatable=True,  # the server makes one export of any number of equal requests
            waits=waits,
        )
        export = ExportRecord.from_answer(reply.body)
        # one that was there already is answered by 200; the newer dialect accepts a request for another, always
        is_shown = export.status == "complete"
        return replace(export, each_is_new=reply.status == 202) if is_shown else export
