"""Requests to the API: token, timeouts and retries."""

from __future__ import annotations

import time
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, BinaryIO, NamedTuple

import httpx
import orjson

from fieldpack.client.backoff import Backoff, parse_retry_after
from fieldpack.client.connection import Connection, is_loopback, make_ssl_context
from fieldpack.client.problems import PASSING, make_api_error
from fieldpack.errors import IgnoredParameterWarning, TransportError, UsageError
from fieldpack.links import send_following
from fieldpack.text import make_plain, say_bytes

__all__ = ["Form", "Transport", "user_agent"]

_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_MOST_ANSWER_BYTES = 256 << 20  # unpacked; far more than any page of a list, far less than memory
_LONGEST_WAIT = 120.0  # seconds; a longer `Retry-After` is not waited for, but raised as the error


def user_agent() -> str:
    """The `User-Agent` of every request."""
    return f"fieldpack/{version('fieldpack')}"


@dataclass(frozen=True, slots=True)
class Form:
    """A form with files, which are read as they are sent; see `Transport.request`.

    Attributes:
        files: by field: what the file is called, and its bytes.
    """

    fields: Mapping[str, str]
    files: Mapping[str, tuple[str, BinaryIO]]


class Reply(NamedTuple):
    """An answer: its decoded body, its headers, whose names are read in any case, and its status."""

    body: Any
    headers: Mapping[str, str]
    status: int


class Transport:
    """One server's API over httpx.

    Repeats what is safe to repeat: anything the server cannot have acted on (no connection made, 429), and
    GET, HEAD, PUT, DELETE and requests marked `repeatable` also after a broken connection, 502, 503 and 504.
    """

    def __init__(self, connection: Connection, *, timeout: float, retries: int) -> None:
        self.connection = connection
        self.ssl_context = make_ssl_context(connection.ca_file)
        self.timeout = timeout
        self._retries = retries
        self._http = httpx.Client(
            base_url=connection.url + "/api/v1",
            headers={
                "Authorization": f"Token {connection.token}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",  # what `_read_body` unpacks
                "User-Agent": user_agent(),
            },
            timeout=timeout,
            verify=self.ssl_context,
            # a proxy between us and this machine's own server would receive its token
            trust_env=not is_loopback(connection.url),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        body: Any = None,
        content: bytes | None = None,
        form: Form | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        waits: bool = True,
    ) -> Any:
        """Send one request; return the decoded JSON body, or None when there is none.

        Args:
            body: what to send as JSON.
            content: what to send as it is.
            form: fields and files to send as a form.
            repeatable: may be sent again when it is not known whether it arrived.
            waits: whether 429 is waited out here, a few times; False raises it at once.

        Raises:
            ApiError: the server refused.
            TransportError: it could not be reached, or answered with something that is not JSON, or with more
                than 256 MiB.
            UsageError: what was named makes no address, as a text too long for an id.
        """
        return self.send(
            method,
            path,
            params=params,
            body=body,
            content=content,
            form=form,
            headers=headers,
            repeatable=repeatable,
            waits=waits,
        ).body

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        body: Any = None,
        content: bytes | None = None,
        form: Form | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        waits: bool = True,
    ) -> Reply:
        """The same as `request`, and what came with the body."""
        backoff = Backoff(tries=self._retries)
        repeatable = repeatable or method in _REPEATABLE_METHODS
        sent = dict(headers or {})
        if body is not None:
            content = _write_body(body)
            sent["Content-Type"] = "application/json"
        elif content is not None:
            sent["Content-Type"] = "application/octet-stream"
        while True:
            try:
                request = self._http.build_request(
                    method,
                    path,
                    params=params,
                    content=content,
                    data=dict(form.fields) if form else None,
                    files=dict(form.files) if form else None,
                    headers=sent,
                )
                # Only GET and HEAD follow redirects: a redirected POST would arrive as a GET.
                with closing(
                    send_following(self._http, request, follow=method in ("GET", "HEAD"))
                ) as response:
                    found = _read_body(response)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                delay = None if _is_final(error) else backoff.next_delay()
                if delay is None:
                    raise TransportError(self._unreachable(error)) from error
            except httpx.TransportError as error:
                delay = backoff.next_delay() if repeatable else None
                if delay is None:
                    raise TransportError(self._broken(error)) from error
            except (httpx.InvalidURL, UnicodeError) as error:
                raise UsageError(
                    f"What was named makes no address at {self.connection.url}: it is too long, or has characters that "
                    "no address can have."
                ) from error
            except httpx.HTTPError as error:  # too many redirects and the like
                raise TransportError(f"{self.connection.url} cannot be talked to: {error}.") from error
            else:
                is_busy = response.status_code == 429
                if response.status_code not in PASSING or not (waits if is_busy else repeatable):
                    break
                wanted = parse_retry_after(response.headers.get("Retry-After"))
                delay = None if (wanted or 0) > _LONGEST_WAIT else backoff.next_delay(wanted)
                if delay is None:
                    break
            time.sleep(delay)
        return Reply(self._read(response, found), response.headers, response.status_code)

    def _read(self, response: httpx.Response, content: bytes) -> Any:
        where = str(response.url.copy_with(query=None, fragment=None))
        _warn_of_ignored(response.headers.get("X-Ignored-Parameters", ""), where)
        if response.is_redirect:
            target = response.headers.get("Location", "elsewhere")
            raise TransportError(
                f"{where} redirects to {target}: set PROLIFIC_URL to the address it should be."
            )
        if response.status_code >= 400:
            wanted = parse_retry_after(response.headers.get("Retry-After"))
            raise make_api_error(response.status_code, content, where, retry_after=wanted)
        if not content:
            return None
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            kind = response.headers.get("Content-Type", "something unnamed").split(";")[0].strip()
            if kind.lower().endswith("json"):
                raise TransportError(f"{where} answered with JSON that is damaged: {error}.") from error
            raise TransportError(
                f"{where} answered with {kind} instead of JSON: is PROLIFIC_URL the address of the API?"
            ) from error

    def _unreachable(self, error: Exception) -> str:
        url = self.connection.url
        if _is_no_tls(error):
            return f"{url} does not speak TLS: if it is meant to be plain, write http:// in PROLIFIC_URL."
        if _is_tls_refusal(error):
            return (
                f"{url} shows a certificate that is not trusted ({error}): "
                "give its authority in SSL_CERT_FILE or ca_file."
            )
        start = (
            "start it with `fieldpack serve`" if is_loopback(url) else "check PROLIFIC_URL and the network"
        )
        return f"Nothing answers at {url} ({error}): {start}."

    def _broken(self, error: Exception) -> str:
        what = (
            "did not answer in time" if isinstance(error, httpx.TimeoutException) else f"broke off ({error})"
        )
        return f"The connection to {self.connection.url} {what}: try again."


def _write_body(body: Any) -> bytes:
    """JSON to send.

    Raises:
        UsageError: a text in it is none, as an argument that is not in UTF-8.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise UsageError(f"What was given can't be sent: {error}.") from error


def _read_body(response: httpx.Response) -> bytes:
    """The body, unpacked here, as httpx would unpack any amount before it is counted.

    Raises:
        TransportError: it is too long, or encoded by anything but gzip.
        httpx.HTTPError: it broke off.
    """
    where = str(response.url.copy_with(query=None, fragment=None))
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise TransportError(
            f"{where} answered in an encoding that was not asked for: {make_plain(encoding)[:80]}."
        )
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding.endswith("gzip") else None
    body = bytearray()
    is_damaged = False
    for chunk in response.iter_raw():
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, _MOST_ANSWER_BYTES + 1 - len(body))
        except zlib.error:
            is_damaged = True
        if len(body) > _MOST_ANSWER_BYTES:
            raise TransportError(
                f"{where} answered with more than {say_bytes(_MOST_ANSWER_BYTES)}, which is not read."
            )
        if is_damaged or (unpack is not None and unpack.unused_data):  # it would collect whatever follows
            raise TransportError(f"{where} answered with gzip that is damaged.")
    return bytes(body)


def _warn_of_ignored(names: str, where: str) -> None:
    """Warn of the parameters that the server ignored: the answer is not what was requested."""
    if names.strip():
        shown = make_plain(names)[:1000]
        warnings.warn(
            f"{where} does not know these parameters and ignored them: {shown}.",
            IgnoredParameterWarning,
            stacklevel=2,
        )


def _is_final(error: Exception) -> bool:
    return _is_tls_refusal(error) or _is_no_tls(error)


def _is_no_tls(error: Exception) -> bool:
    """Whether the other side does not speak TLS; OpenSSL has two names for that error."""
    return "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error)


def _is_tls_refusal(error: Exception) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate verify failed" in str(error)
