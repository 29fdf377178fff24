"""Exports that the server converts: requested, waited for, brought here and checked."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from fieldpack.client.connection import is_loopback
from fieldpack.client.export import ExportRecord, name_moment
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.client.routes import Json, Routes, Shape, collection_path, path_segment, prefer_wait
from fieldpack.client.transport import user_agent
from fieldpack.convert.conversion import ENDINGS
from fieldpack.errors import DownloadError, ExportFailed, ExportNotReady, UsageError
from fieldpack.files import replace_file
from fieldpack.links import require_link

__all__ = ["ConversionRoutes"]

_CONVERSION: Shape = {"progress": (float, None), "warnings": ([str], None)}
_POLL_SECONDS = 10
_TRIES = 6
_PAUSE_SECONDS = 1.0


def _path(collection_id: str, export_id: str, format: str | None = None) -> str:
    path = f"{collection_path(collection_id)}/export/{path_segment(export_id)}/conversions"
    return path if format is None else f"{path}/{path_segment(format)}"


class ConversionRoutes(Routes):
    """The routes of conversions, as this project's own server has them. Objects are as the API answers them."""

    def list_conversions(self, collection_id: str, export_id: str) -> list[Json]:
        """The conversions of an export, without links."""
        return list(self._iter(_path(collection_id, export_id)))

    def request_conversion(
        self, collection_id: str, export_id: str, format: str, *, wait: int | None = None
    ) -> Json:
        """Have a complete export converted, or say how that stands; repeated calls make no second.

        Args:
            format: `csv`, `xlsx`, `sav`, `dta`, `parquet`, `codebook` or `report`.
            wait: seconds for which the server may hold its answer.
        """
        return self._ask("POST", collection_id, export_id, format, wait)

    def get_conversion(
        self, collection_id: str, export_id: str, format: str, *, wait: int | None = None
    ) -> Json:
        """How a conversion stands; a complete one with a fresh link."""
        return self._ask("GET", collection_id, export_id, format, wait)

    def _ask(self, method: str, collection_id: str, export_id: str, format: str, wait: int | None) -> Json:
        path = _path(collection_id, export_id, format)
        return self._call(method, path, _CONVERSION, headers=prefer_wait(wait), repeatable=True)

    def delete_conversion(self, collection_id: str, export_id: str, format: str) -> None:
        """Delete a conversion; the export stays."""
        self._transport.request("DELETE", _path(collection_id, export_id, format))

    def download_conversion(
        self,
        collection_id: str,
        export: ExportRecord,
        format: str,
        output: str | Path | None = None,
        *,
        force: bool = False,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[Path, Json]:
        """Have an export converted, wait for it, download it and check it.

        Args:
            collection_id: whose export.
            export: a complete one.
            format: as in `request_conversion`.
            output: a file, or an existing folder; without it, the current folder. In a folder the name is
                `<collection-id>-export-<YYYYMMDD-HHMMSS>`, in local time, and the format's ending.
            force: overwrite an existing file.
            timeout: seconds to wait for the server; None for as long as it takes.
            on_progress: called with every step.

        Returns:
            Where the file is, and what the server says of it.

        Raises:
            UsageError: there is no such format.
            DownloadError: the file exists, or could not be brought here whole.
            ExportFailed, ExportNotReady: the server could not convert it, or not within `timeout` seconds.
        """
        if format not in ENDINGS:
            raise UsageError(f"The format is one of {', '.join(ENDINGS)}, not {format!r}.")
        target = _name_target(collection_id, export, format, output)
        if target.exists() and not force:
            raise DownloadError(f"{target} is there already; use --force to overwrite it.")
        export_id = export.export_id or ""
        answer = self._wait(collection_id, export_id, format, timeout, on_progress)
        with replace_file(target) as draft:
            self._fetch(answer, draft)
        return target, answer

    def _wait(
        self,
        collection_id: str,
        export_id: str,
        format: str,
        timeout: float | None,
        on_progress: OnProgress | None,
    ) -> Json:
        started = time.monotonic()
        answer = self.request_conversion(collection_id, export_id, format, wait=1)
        while answer.get("status") == "generating":
            if on_progress is not None:
                on_progress(Progress("generating", fraction=answer.get("progress")))
            left = None if timeout is None else timeout - (time.monotonic() - started)
            if left is not None and left <= 0:
                raise ExportNotReady(
                    f"The export is still being converted after {timeout:.0f} s: it goes on; run it again to pick"
                    " it up."
                )
            wait = _POLL_SECONDS if left is None else max(1, min(_POLL_SECONDS, round(left)))
            answer = self.get_conversion(collection_id, export_id, format, wait=wait)
        if answer.get("status") != "complete":
            reason = str(answer.get("failure_reason") or "the server gives no reason")
            raise ExportFailed(f"The export could not be converted: {reason}", reason=reason)
        return self._read(answer, {"url": str, "size_bytes": int})

    def _fetch(self, answer: Json, draft: Path) -> None:
        """Bring the file behind a link, going on where it broke off, and check it."""
        url, size = answer["url"], answer["size_bytes"]
        require_link(url)
        direct = is_loopback(url)
        with (
            httpx.Client(
                verify=self._transport.ssl_context,
                timeout=self._transport.timeout,
                trust_env=not direct,
                headers={"User-Agent": user_agent()},
            ) as http,
            draft.open("wb") as out,
        ):
            for tried in range(_TRIES):
                try:
                    _fetch_rest(http, url, out, size)
                    break
                except httpx.InvalidURL as error:
                    raise DownloadError(
                        f"The server's download link is not a web address: {url[:80]!r}."
                    ) from error
                except httpx.TransportError as error:
                    if tried == _TRIES - 1:
                        raise DownloadError(f"The download of the file broke off: {error}") from error
                    time.sleep(_PAUSE_SECONDS)
        with draft.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != answer.get("sha256"):
            raise DownloadError(
                f"What {urlsplit(url).netloc} sent is not the file that it announced; run it again."
            )


def _fetch_rest(http: httpx.Client, url: str, out: Any, size: int) -> None:
    at = out.tell()
    headers = {"Range": f"bytes={at}-"} if at else {}
    with http.stream("GET", url, headers=headers) as response:
        if response.status_code != (206 if at else 200):
            raise DownloadError(
                f"The download link answered {response.status_code}; ask for the conversion again."
            )
        for chunk in response.iter_raw():
            if out.tell() + len(chunk) > size:
                raise DownloadError(f"The link leads to more than the {size:,} bytes that the file has.")
            out.write(chunk)
    if out.tell() != size:
        raise httpx.RemoteProtocolError(f"{out.tell():,} of {size:,} bytes came")


def _name_target(collection_id: str, export: ExportRecord, format: str, output: str | Path | None) -> Path:
    path = Path(output) if output is not None else Path()
    if output is not None and not path.is_dir():
        return path
    made = name_moment(export.created_at) if export.created_at else export.export_id
    return path / f"{collection_id}-export-{made}{ENDINGS[format]}"
