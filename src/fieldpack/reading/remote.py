"""A file behind an http(s) link, read by ranges (RFC 9110 §14), so that a ZIP can be opened without a download."""

from __future__ import annotations

import io
import re
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import orjson

from fieldpack.errors import ApiError, ArchiveChanged, ArchiveError, TransportError
from fieldpack.links import require_link, send_following

__all__ = ["RangeFile", "make_http"]

KIB = 1 << 10
_TAIL_BYTES = 64 * KIB
_MOST_ERROR_BYTES = 64 * KIB
_FIRST_READ_BYTES = 32 * KIB
_LARGEST_READ_BYTES = 8 << 20
_PAUSE_SECONDS = 0.2  # between tries, doubled each time: 6 s in total
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+)$")
_TRIES = 5


def make_http(verify: ssl.SSLContext | bool = True) -> httpx.Client:
    """A client to read links with; it connects to this machine without a proxy."""
    direct = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}
    return httpx.Client(
        verify=verify, timeout=httpx.Timeout(30.0, pool=60.0), follow_redirects=True, mounts=direct
    )


class RangeFile(io.RawIOBase):
    """A seekable, read-only file behind a link.

    The first request fetches the last 64 KiB, where a ZIP has its directory; its answer also gives the size.
    Sequential reads fetch more each time, up to 8 MiB; `expect` limits how far they read ahead. Every answer must
    come from the same version of the file (strong `ETag` by `If-Range`, else `Last-Modified`, and the total
    size); otherwise `ArchiveChanged` is raised.

    Args:
        link: an http(s) URL, or a function that returns a fresh one; it is called again when the link is
            refused (401, 403 or 410), once per read.
        client: the httpx client to use. No credentials are added to it, and it is closed with this file only
            when it was made here or `owns_client` is set.

    Raises:
        ApiError: the link was refused; the message is the server's own where it sent one.
        TransportError: it is no link, the server could not be reached, or the connection broke again and again.
        ArchiveError: the server doesn't serve ranges, or the file changed meanwhile.

    Attributes:
        transferred_bytes: how many bytes of bodies were received.
    """

    def __init__(
        self, link: str | Callable[[], str], *, client: httpx.Client | None = None, owns_client: bool = False
    ) -> None:
        self._renew = link if callable(link) else None
        self._link = link() if callable(link) else link
        require_link(self._link)
        url = httpx.URL(self._link)
        self.label = str(url.copy_with(query=None, fragment=None, userinfo=b""))
        self._owns_client = owns_client or client is None
        self._client = client or make_http()
        self._position = 0
        self._validator: str | None = None
        self._identity: tuple[str | None, str | None] | None = None
        self._bounds: list[tuple[int, int]] = []
        self._held: tuple[int, bytes] = (0, b"")
        self._ahead = _FIRST_READ_BYTES
        self.transferred_bytes = 0
        self.size = -1
        try:
            start, data = self._request(f"bytes=-{_TAIL_BYTES}", _TAIL_BYTES)
        except BaseException:
            self.close()
            raise
        self._tail = (start, data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._position, 2: self.size}[whence]
        if base + offset < 0:
            raise OSError("a position before the start of the file")
        self._position = base + offset
        return self._position

    def expect(self, start: int, end: int) -> None:
        """Announce that a read at `start` will go on to `end` and no further, so that no more is fetched."""
        self._bounds = [(start, min(end, self.size))]
        self._ahead = _FIRST_READ_BYTES

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            size = self.size - self._position
        size = max(0, min(size, self.size - self._position))
        chunks: list[bytes] = []
        while size > 0:
            chunk = self._find_held(self._position, size) or self._fetch(self._position, size)[:size]
            chunks.append(chunk)
            self._position += len(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def readall(self) -> bytes:
        return self.read()

    def close(self) -> None:
        if not self.closed and self._owns_client:
            self._client.close()
        super().close()

    def _find_held(self, position: int, size: int) -> bytes | None:
        for start, data in (self._held, self._tail):
            if start <= position < start + len(data):
                return data[position - start : position - start + size]
        return None

    def _fetch(self, position: int, size: int) -> bytes:
        follows = position == self._held[0] + len(self._held[1])
        self._ahead = min(self._ahead * 4, _LARGEST_READ_BYTES) if follows else _FIRST_READ_BYTES
        end = position + max(size, self._ahead)
        for start, stop in self._bounds:
            if start <= position < stop:
                end = max(position + size, min(end, stop))
        end = min(end, self.size)
        if position < self._tail[0]:
            end = min(end, max(self._tail[0], position + 1))
        first, data = self._request(f"bytes={position}-{end - 1}", end - position)
        if first != position or not data:
            raise ArchiveError(f"{self.label} answered with another range than was asked for.")
        self._held = (position, data)
        return data

    def _request(self, wanted: str, most_bytes: int) -> tuple[int, bytes]:
        failure: Exception | None = None
        renewed = False
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2**attempt)
            headers = {"Range": wanted, "Accept-Encoding": "identity"}
            if self._validator:
                headers["If-Range"] = self._validator
            try:
                require_link(self._link)
                request = self._client.build_request("GET", self._link, headers=headers)
                follow = self._client.follow_redirects
                with closing(send_following(self._client, request, follow=follow)) as response:
                    if response.status_code in (401, 403, 410) and self._renew and not renewed:
                        renewed = True
                        self._link = self._renew()
                        continue
                    if response.status_code in (429, 500, 502, 503, 504):
                        failure = self._refuse(response)
                        continue
                    return self._accept(response, most_bytes)
            except (httpx.HTTPError, httpx.StreamError) as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise TransportError(
                        f"{self.label} shows a certificate that is not trusted: give its authority in "
                        "SSL_CERT_FILE."
                    ) from error
                failure = error
        if isinstance(failure, ApiError):
            raise failure
        raise TransportError(f"{self.label} can't be read: {failure or 'the connection broke'}.") from failure

    def _accept(self, response: httpx.Response, most_bytes: int) -> tuple[int, bytes]:
        if response.status_code == 416 and self.size < 0:
            raise ArchiveError(f"{self.label} is empty.")
        if response.status_code not in (200, 206):
            raise self._refuse(response)
        if response.status_code == 200:
            if self.size >= 0:
                raise self._changed()
            raise ArchiveError(
                f"{self.label} is served whole only (no ranges), so it can't be read piecemeal; "
                "download it and open the file."
            )
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if match is None:
            raise ArchiveError(f"{self.label} is served with a Content-Range that makes no sense.")
        first, last, total = (int(group) for group in match.groups())
        if last - first >= most_bytes:
            raise ArchiveError(f"{self.label} answered with more bytes than were asked for.")
        self._identify(response.headers, total)
        data = bytearray()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > last - first + 1:
                raise ArchiveError(f"{self.label} answered with more bytes than were asked for.")
        self.transferred_bytes += len(data)
        if len(data) != last - first + 1:
            raise httpx.RemoteProtocolError("the answer was cut short")
        return first, bytes(data)

    def _identify(self, headers: httpx.Headers, total: int) -> None:
        etag = headers.get("ETag")
        identity = (etag, None if etag else headers.get("Last-Modified"))
        if self._identity is None:
            self._identity, self.size = identity, total
            strong = etag if etag and not etag.startswith("W/") else None
            self._validator = strong or identity[1]
        elif total != self.size or identity != self._identity:
            raise self._changed()

    def _changed(self) -> ArchiveChanged:
        return ArchiveChanged(f"{self.label} changed while it was being read; open it again.")

    def _refuse(self, response: httpx.Response) -> ApiError:
        """The server's refusal, in its own words when the body is the API's error body."""
        detail: Any = None
        code: int | None = None
        try:
            body = b""
            for chunk in response.iter_raw():  # not decompressed: an untrusted server could send a ZIP bomb
                body += chunk
                if len(body) > _MOST_ERROR_BYTES:
                    break
            error = orjson.loads(body)["error"]
            detail, code = error.get("detail"), error.get("error_code")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, httpx.HTTPError):
            pass
        said = f": {detail}" if isinstance(detail, str) else f" ({response.reason_phrase})."
        return ApiError(
            f"{self.label} answered {response.status_code}{said}",
            status=response.status_code,
            error_code=code,
            detail=detail,
        )
