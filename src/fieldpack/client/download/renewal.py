"""The download link in use: opened, and replaced by a fresh one when the server refuses it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from fieldpack.client.backoff import Backoff
from fieldpack.client.download.link import (
    LinkChanged,
    LinkExpired,
    LinkOpener,
    LinkUnavailable,
    read_content_range,
)
from fieldpack.client.download.partial import PartialFile, Span
from fieldpack.client.problems import PASSING
from fieldpack.errors import ApiError, DownloadError, TransportError
from fieldpack.text import say_bytes

__all__ = ["RenewedLink"]

_MOST_RELINKS = 3  # fresh links requested without a byte received in between


class RenewedLink:
    """Opens spans of one archive, for several threads, by whichever link is valid.

    Args:
        file: where the download is; its `info` says which archive is expected.
        get_link: returns a fresh link.
        opener: opens a link.
        stop: set when the download ends; waiting then ends at once.
        tries: how often to try again without a byte received in between.
    """

    def __init__(
        self,
        file: PartialFile,
        get_link: Callable[[], str],
        opener: LinkOpener,
        stop: threading.Event,
        *,
        tries: int,
    ) -> None:
        self._file = file
        self._get_link = get_link
        self._opener = opener
        self._stop = stop
        self._tries = tries
        self._link: str | None = None
        self._relinks = 0
        self._guard = threading.RLock()

    def new_backoff(self) -> Backoff:
        """The waits between the tries of one span."""
        return Backoff(tries=self._tries)

    def note_progress(self) -> None:
        """Bytes were received: fresh links may be requested again as often as at the start."""
        self._relinks = 0

    def open(self, span: Span | None, backoff: Backoff) -> http.client.HTTPResponse:
        """Request a span, or the complete archive when it is None; wait, and use fresh links, as needed.

        Raises:
            DownloadError: the tries are used up, or no fresh link is accepted either.
            LinkChanged: the server has another archive than `file.info` says.
            ApiError: the server refuses to give a link.
        """
        while True:
            link = self._find_link(backoff)
            start, end, etag = (span.position, span.end, self._file.info.etag) if span else (0, None, None)
            try:
                answer = self._opener.open(link, start=start, end=end, etag=etag)
            except LinkExpired as error:
                self._drop_link(link, error)
            except LinkUnavailable as error:
                self.wait(backoff, error, error.retry_after)
            else:
                if span is not None:
                    self._check_range(answer, span)
                return answer

    def wait(self, backoff: Backoff, error: Exception, retry_after: float | None = None) -> None:
        """Wait before the next try.

        Args:
            error: why there has to be another try.
            retry_after: seconds that the server asked to wait.

        Raises:
            DownloadError: the tries are used up.
        """
        delay = backoff.next_delay(retry_after)
        if delay is None:
            raise DownloadError(
                f"The download broke off and could not be taken up: {error}; run it again to go on from "
                f"{say_bytes(self._file.info.done_bytes)}.",
                part=self._file.path,
            ) from error
        self._stop.wait(delay)

    def _find_link(self, backoff: Backoff) -> str:
        while True:
            try:
                with self._guard:
                    if self._link is None:
                        self._link = self._get_link()
                    return self._link
            except (TransportError, ApiError) as error:  # the server may be starting again
                if isinstance(error, ApiError) and error.status not in PASSING:
                    raise
                self.wait(backoff, error)

    def _check_range(self, answer: http.client.HTTPResponse, span: Span) -> None:
        found = read_content_range(answer)
        etag = answer.headers.get("ETag")
        is_other = found is None or found[0] != span.position or found[2] != self._file.info.size_bytes
        if is_other or (etag is not None and etag != self._file.info.etag):
            answer.close()
            raise LinkChanged("the archive changed on the way")

    def _drop_link(self, link: str, error: LinkExpired) -> None:
        with self._guard:
            if self._link != link:
                return  # another thread has a fresh one already
            self._relinks += 1
            if self._relinks > _MOST_RELINKS:
                raise DownloadError(
                    f"No download link opens the archive: {error}", part=self._file.path
                ) from None
            self._link = None
