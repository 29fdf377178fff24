"""Opening a download link, and what its answer means. No token is ever sent to a link."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from contextlib import closing
from typing import Any, cast
from urllib.parse import urlsplit

from fieldpack.client.backoff import parse_retry_after
from fieldpack.client.connection import is_loopback
from fieldpack.client.problems import make_api_error
from fieldpack.client.transport import user_agent
from fieldpack.errors import DownloadError
from fieldpack.links import check_link, join_target, show_link

__all__ = [
    "LinkChanged",
    "LinkExpired",
    "LinkOpener",
    "LinkUnavailable",
    "is_strong",
    "read_content_range",
    "read_etag",
]

_NOT_ARCHIVES = frozenset({"application/json", "application/problem+json", "application/xml"})
_EXPIRED = frozenset({401, 403, 404, 410})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_STRONG = re.compile(r'"[ !#-~\x80-\xff]*"')  # RFC 9110 §8.8.3; a space does no harm
_LONGEST_WAIT = 300.0


class LinkExpired(Exception):
    """The server refuses the link; a fresh one may work. `str()` is the server's sentence."""


class LinkChanged(Exception):
    """The link opens another archive than before, or its bytes can't be joined to those on disk."""


class LinkUnavailable(Exception):
    """The server does not answer at the moment. `retry_after` is in seconds, where the server said."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to what can be opened."""

    def http_error_302(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        target = headers.get("Location") or headers.get("URI") or ""
        if fault := check_link(join_target(req.full_url, target)):
            raise DownloadError(
                f"The download link redirects to {show_link(target)}, which can't be opened: {fault}."
            )
        fp.close()  # its body would be read, however long it is
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class LinkOpener:
    """Opens links with the standard library's client, which reads large bodies twice as fast as httpx does.

    It honours `HTTPS_PROXY`, `NO_PROXY` and the given TLS context, and follows redirects.
    """

    def __init__(self, *, timeout: float, ssl_context: ssl.SSLContext) -> None:
        self._timeout = timeout
        self._ssl_context = ssl_context

    def open(self, url: str, *, start: int, end: int | None, etag: str | None) -> http.client.HTTPResponse:
        """Request bytes `start` … `end` (exclusive), or the complete archive when `end` is None.

        Raises:
            LinkExpired: 401, 403, 404, 410.
            LinkUnavailable: no connection, 429 or a server error.
            LinkChanged: 416, or the complete archive although a span of the one with `etag` was requested.
            DownloadError: any other refusal; trying again won't help.
        """
        if fault := check_link(url):
            raise DownloadError(f"The server's download link {show_link(url)} can't be opened: {fault}.")
        headers = {
            "User-Agent": user_agent(),
            "Accept-Encoding": "identity",
            "Accept": "application/zip, */*",
        }
        if end is not None:
            headers["Range"] = f"bytes={start}-{end - 1}"
            if etag is not None:
                headers["If-Range"] = etag
        try:
            opener = self._make_opener(url)
            response = opener.open(urllib.request.Request(url, headers=headers), timeout=self._timeout)
        except urllib.error.HTTPError as error:
            with closing(error):
                raise self._judge_refusal(error, url) from None
        except (http.client.InvalidURL, UnicodeError) as error:
            raise DownloadError(
                f"The server's download link {show_link(url)} can't be opened: {error}."
            ) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise DownloadError(
                    f"{_origin(url)} shows a certificate that is not trusted ({reason.verify_message}): "
                    "give its authority in SSL_CERT_FILE."
                ) from None
            raise LinkUnavailable(f"{_origin(url)} cannot be reached ({reason})") from None
        answer = cast(http.client.HTTPResponse, response)
        try:
            self._judge_answer(answer, end)
        except BaseException:
            answer.close()
            raise
        return answer

    def _make_opener(self, url: str) -> urllib.request.OpenerDirector:
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler({} if is_loopback(url) else None),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=self._ssl_context),
            urllib.request.HTTPDefaultErrorHandler(),
            _Redirects(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener

    def _judge_refusal(self, error: urllib.error.HTTPError, url: str) -> Exception:
        try:
            body = error.read(65536)
        except (OSError, http.client.HTTPException):
            body = b""
        if 300 <= error.code < 400 and error.headers.get("Location"):
            return DownloadError("The download link redirects too often.")
        sentence = str(make_api_error(error.code, body, _origin(url)))
        if error.code in _EXPIRED:
            return LinkExpired(sentence)
        if error.code == 416:
            return LinkChanged(sentence)
        retry_after = parse_retry_after(error.headers.get("Retry-After"))
        if (error.code == 429 or error.code >= 500) and (retry_after or 0) <= _LONGEST_WAIT:
            return LinkUnavailable(sentence.rstrip("."), retry_after)
        return DownloadError(f"The archive cannot be downloaded: {sentence}")

    def _judge_answer(self, answer: http.client.HTTPResponse, end: int | None) -> None:
        kind = (answer.headers.get("Content-Type") or "").split(";")[0].strip().lower()
        if kind.startswith("text/") or kind in (
            "application/json",
            "application/xml",
            "application/problem+json",
        ):
            raise DownloadError(
                f"The download link answered with {kind} instead of an archive: nothing was saved."
            )
        if (answer.headers.get("Content-Encoding") or "identity").lower() != "identity":
            raise DownloadError(
                "The archive comes re-encoded by a proxy on the way, so that it cannot be checked."
            )
        if end is None:
            if answer.status != 200:
                raise DownloadError(f"The download link answered {answer.status} instead of the archive.")
        elif answer.status != 206:
            raise LinkChanged("the server sent the whole archive instead of the rest of it")


def read_etag(answer: http.client.HTTPResponse) -> str | None:
    """The strong validator of an answer, or None: equal weak ones don't mean equal bytes (RFC 9110 §13.1.5)."""
    etag = answer.headers.get("ETag")
    return etag if is_strong(etag) else None


def is_strong(etag: object) -> bool:
    """Whether it is a strong validator that can be sent back as it is."""
    return isinstance(etag, str) and _STRONG.fullmatch(etag) is not None


def read_content_range(answer: http.client.HTTPResponse) -> tuple[int, int, int] | None:
    """Start, end (exclusive) and complete length from a 206's `Content-Range`, or None."""
    found = _CONTENT_RANGE.fullmatch((answer.headers.get("Content-Range") or "").strip())
    if not found:
        return None
    first, last, whole = (int(number) for number in found.groups())
    return first, last + 1, whole


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
