"""Bringing an archive here: resumed, checked, and under its name only when it is whole."""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fieldpack.client.backoff import Backoff
from fieldpack.client.connection import make_ssl_context
from fieldpack.client.download.link import (
    LinkChanged,
    LinkExpired,
    LinkOpener,
    LinkUnavailable,
    read_content_range,
    read_etag,
)
from fieldpack.client.download.part import PartFile, PartInfo, Segment
from fieldpack.client.download.verify import StreamVerifier, verify_file
from fieldpack.client.problems import PASSING
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.errors import ApiError, ArchiveError, DownloadError, TransportError
from fieldpack.text import say_bytes

__all__ = ["check_target", "download_archive"]

_CHUNK = 1 << 20
_FLUSH_EVERY = 256 << 20
_REREAD = 1 << 20
_SAVE_EVERY = 1.0  # seconds between notes of how far it has come
_SMALLEST_SEGMENT = 16 << 20
_MOST_RELINKS = 3  # fresh links asked for without a byte coming through in between
_MOST_RESTARTS = 4  # beginnings from the start without coming further than before


def check_target(target: Path, *, force: bool) -> None:
    """Raise DownloadError when nothing can be put at `target`; asked before anything is requested."""
    if target.is_dir():
        raise DownloadError(f"{target} is a folder: give a file name.")
    if not target.parent.is_dir():
        raise DownloadError(f"The folder {target.parent} does not exist: create it or choose another.")
    if target.exists() and not target.is_file():
        # a device, a pipe: replacing it, as --force would, takes it away from everyone
        raise DownloadError(f"{target} is not a file that can be replaced: give another name.")
    if os.path.lexists(target) and not force:
        raise DownloadError(f"{target} exists already: give --force to overwrite it, or another name.")


def download_archive(
    get_link: Callable[[], str],
    target: Path,
    *,
    force: bool = False,
    size_bytes: int | None = None,
    connections: int = 1,
    source: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    timeout: float = 60.0,
    tries: int = 10,
    ssl_context: ssl.SSLContext | None = None,
) -> Path:
    """Download a ZIP archive to `target`, going on from `<target>.part` when an earlier try left one.

    A broken connection is taken up again where it broke, for as long as bytes keep coming; an archive that
    changed on the way is begun anew; a link that expired is asked for again. Every member's CRC-32 and the
    directory are checked before the file gets its name.

    Args:
        get_link: gives a fresh link; called at the start and whenever one has expired.
        target: the final name; its folder must exist.
        force: overwrite `target`.
        size_bytes: length that the archive must have, if known.
        connections: how many ranges of a large archive to bring at the same time.
        source: names what is being brought, for `find_part`.
        on_progress: called after every chunk.
        timeout: seconds without a byte after which a connection counts as broken.
        tries: how often to come back without a byte coming through in between.

    Raises:
        DownloadError: it could not be brought here whole; `part` is kept for the next try.
    """
    check_target(target, force=force)
    context = ssl_context or make_ssl_context(None)
    with PartFile(target) as part:
        part.info.source = dict(source or {})
        download = _Download(
            part,
            get_link,
            LinkOpener(timeout=timeout, ssl_context=context),
            size_bytes=size_bytes,
            connections=connections,
            on_progress=on_progress or (lambda progress: None),
            tries=tries,
        )
        download.run()
        part.place(force=force)
    return target


class _Download:
    """One download, from the first request to the last check."""

    def __init__(
        self,
        part: PartFile,
        get_link: Callable[[], str],
        opener: LinkOpener,
        *,
        size_bytes: int | None,
        connections: int,
        on_progress: OnProgress,
        tries: int,
    ) -> None:
        self._part = part
        self._get_link = get_link
        self._opener = opener
        self._expected_bytes = size_bytes
        self._connections = max(1, connections)
        self._on_progress = on_progress
        self._tries = tries
        self._link: str | None = None
        self._relinks = 0
        self._restarts = 0
        self._furthest = 0
        self._verifier: StreamVerifier | None = None
        self._saved_at = 0.0
        self._pool = ThreadPoolExecutor(self._connections + 1)
        self._flushing: Future[None] = self._pool.submit(lambda: None)
        self._unflushed = 0
        self._guard = threading.RLock()
        self._stop = threading.Event()

    @property
    def _info(self) -> PartInfo:
        return self._part.info

    def run(self) -> None:
        """Bring what is missing and check the whole."""
        with self._pool:
            self._run()
            self._flushing.result()

    def _run(self) -> None:
        is_from_before = bool(self._info.segments)
        while True:
            try:
                self._bring()
                self._check()
                return
            except LinkChanged as error:
                self._restart(str(error))
            except ArchiveError as error:
                if not is_from_before:
                    raise DownloadError(
                        f"The archive came damaged: {error} Run it again to download it anew.",
                        part=self._part.path,
                    ) from error
                # The damage may be in what an earlier run left (a power cut): once more, all of it.
                self._part.reset()
            finally:
                self._part.save()
            is_from_before = False

    def _restart(self, why: str) -> None:
        done = self._info.done_bytes
        self._restarts = 0 if done > self._furthest else self._restarts + 1
        self._furthest = max(done, self._furthest)
        if self._restarts > _MOST_RESTARTS:
            raise DownloadError(
                f"The archive cannot be brought here in one piece: {why}.", part=self._part.path
            )
        self._part.reset()
        time.sleep(min(0.1 * 2**self._restarts, 2.0))

    def _bring(self) -> None:
        self._verifier = None
        self._stop.clear()
        if self._info.segments:
            if self._expected_bytes not in (None, self._info.size_bytes):
                raise LinkChanged("the archive's length changed")
            if len(self._info.segments) == 1:
                self._reread(self._info.segments[0].position)
            self._check_room()
            if all(segment.position >= segment.end for segment in self._info.segments):
                # All of it is here; but is it still what the link leads to?
                self._open(Segment(0, 1), Backoff(tries=self._tries)).close()
            self._pull_all(None)
        else:
            self._verifier = StreamVerifier()
            self._pull_all(self._begin())

    def _begin(self) -> http.client.HTTPResponse:
        """Ask for the whole, and settle from the answer what it is and how to bring it."""
        backoff = Backoff(tries=self._tries)
        while True:
            try:
                answer = self._open(None, backoff)
                try:
                    self._accept(answer)
                    return answer
                except BaseException:
                    answer.close()
                    raise
            except (OSError, http.client.HTTPException) as error:
                self._wait(backoff, error)

    def _accept(self, answer: http.client.HTTPResponse) -> None:
        size = answer.length  # None when the body is chunked or ends with the connection
        if None not in (size, self._expected_bytes) and size != self._expected_bytes:
            raise DownloadError(
                f"The link leads to {size:,} bytes, the export has {self._expected_bytes:,}: nothing was saved."
            )
        magic = answer.read(4)
        if len(magic) < 4 and (size is None or size >= 4):
            raise ConnectionError("the connection broke off")
        if magic not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise DownloadError("What the link leads to is not a ZIP archive: nothing was saved.")
        info = self._info
        info.etag, info.size_bytes = read_etag(answer), size
        count = 1
        if size is not None and info.etag and (answer.headers.get("Accept-Ranges") or "").lower() == "bytes":
            count = max(1, min(self._connections, size // _SMALLEST_SEGMENT))
        whole = size if size is not None else 1 << 62
        step = -(-whole // count)
        info.segments = [Segment(at, min(at + step, whole)) for at in range(0, whole, step)]
        self._check_room()
        if count > 1:
            self._verifier = None
        self._part.write(memoryview(magic), 0)
        info.segments[0].position = len(magic)
        if self._verifier is not None:
            self._verifier.feed(memoryview(magic))
        self._part.save()

    def _check_room(self) -> None:
        missing = (self._info.size_bytes or 0) - self._part.held_bytes()
        free = self._part.free_bytes()
        if missing > free:
            raise DownloadError(
                f"The disk of {self._part.target.parent.absolute()} is too full: {say_bytes(missing)} are "
                f"still to come and {say_bytes(free)} are free; make room and run it again.",
                part=self._part.path,
            )

    def _pull_all(self, answer: http.client.HTTPResponse | None) -> None:
        segments = self._info.segments
        if len(segments) == 1:
            self._pull(segments[0], answer)
            return
        failures: list[BaseException] = []

        def work(segment: Segment) -> None:
            try:
                self._pull(segment, None)
            except BaseException as error:
                failures.append(error)
                self._stop.set()

        threads = [threading.Thread(target=work, args=(segment,), daemon=True) for segment in segments[1:]]
        for thread in threads:
            thread.start()
        try:
            self._pull(segments[0], answer)
            for thread in threads:
                thread.join()
        except BaseException as error:
            failures.insert(0, error)
        self._stop.set()
        # Before a new beginning no writer may be left over. Otherwise one that hangs in a read is left
        # behind: the part is closed to it.
        patience = None if failures and isinstance(failures[0], LinkChanged) else 2.0
        for thread in threads:
            thread.join(patience)
        if failures:
            raise failures[0]

    def _pull(self, segment: Segment, answer: http.client.HTTPResponse | None) -> None:
        """Bring one segment, coming back after every break."""
        backoff = Backoff(tries=self._tries)
        while segment.position < segment.end and not self._stop.is_set():
            before = segment.position
            error: Exception | None = None
            try:
                answer = answer or self._open(segment, backoff)
                self._copy(answer, segment)
            except (OSError, http.client.HTTPException) as broken:
                error = broken
            finally:
                if answer is not None:
                    answer.close()
                    answer = None
            if segment.position > before:
                backoff.reset()
                self._relinks = 0
            if segment.position < segment.end and not self._stop.is_set():
                self._part.save()
                if self._info.size_bytes is None or self._info.etag is None:
                    raise LinkChanged("the connection broke, and the server gives nothing to go on from")
                self._wait(backoff, error or ConnectionError("the connection broke off"))

    def _copy(self, answer: http.client.HTTPResponse, segment: Segment) -> None:
        """Write what comes. While one chunk is being written it is checked, and the next one is read."""
        position = segment.position
        writing: Future[int] | None = None
        try:
            while position < segment.end and not self._stop.is_set():
                data = answer.read1(min(_CHUNK, segment.end - position))
                if writing is not None:
                    # Let go of it first: whoever is told of progress may raise, and it counts once.
                    written, writing = writing, None
                    self._advance(segment, written)
                if not data:
                    if self._info.size_bytes is None:  # its end is the end
                        self._info.size_bytes = segment.end = position
                    return
                view = memoryview(data)
                writing = self._pool.submit(self._part.write, view, position)
                if self._verifier is not None:
                    self._verifier.feed(view)
                position += len(data)
        finally:
            if writing is not None:
                self._advance(segment, writing)

    def _advance(self, segment: Segment, writing: Future[int]) -> None:
        """Count a chunk once it is written."""
        count = writing.result()
        with self._guard:
            segment.position += count
            total = self._info.size_bytes
            done = self._info.done_bytes if total is not None else segment.position
            self._on_progress(Progress.of_bytes("downloading", done, total))
            if time.monotonic() - self._saved_at > _SAVE_EVERY:
                self._part.save()
                self._saved_at = time.monotonic()
            # Let the disk begin early, so that little is left to flush at the end.
            self._unflushed += count
            if self._unflushed >= _FLUSH_EVERY and self._flushing.done():
                self._flushing.result()
                self._flushing, self._unflushed = self._pool.submit(self._part.flush), 0

    def _open(self, segment: Segment | None, backoff: Backoff) -> http.client.HTTPResponse:
        """Open the link for a segment, or for the whole; wait and ask for fresh links as needed."""
        while True:
            link = self._find_link(backoff)
            start, end, etag = (
                (segment.position, segment.end, self._info.etag) if segment else (0, None, None)
            )
            try:
                answer = self._opener.open(link, start=start, end=end, etag=etag)
            except LinkExpired as error:
                self._drop_link(link, error)
            except LinkUnavailable as error:
                self._wait(backoff, error, error.retry_after)
            else:
                if segment is not None:
                    self._check_range(answer, segment)
                return answer

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
                self._wait(backoff, error)

    def _check_range(self, answer: http.client.HTTPResponse, segment: Segment) -> None:
        found = read_content_range(answer)
        etag = answer.headers.get("ETag")
        is_other = found is None or found[0] != segment.position or found[2] != self._info.size_bytes
        if is_other or (etag is not None and etag != self._info.etag):
            answer.close()
            raise LinkChanged("the archive changed on the way")

    def _drop_link(self, link: str, error: LinkExpired) -> None:
        with self._guard:
            if self._link != link:
                return  # another thread has a fresh one already
            self._relinks += 1
            if self._relinks > _MOST_RELINKS:
                raise DownloadError(
                    f"No download link opens the archive: {error}", part=self._part.path
                ) from None
            self._link = None

    def _wait(self, backoff: Backoff, error: Exception, retry_after: float | None = None) -> None:
        delay = backoff.next_delay(retry_after)
        if delay is None:
            raise DownloadError(
                f"The download broke off and could not be taken up: {error}; run it again to go on from "
                f"{say_bytes(self._info.done_bytes)}.",
                part=self._part.path,
            ) from error
        self._stop.wait(delay)

    def _reread(self, length: int) -> None:
        """Put what is on disk already through the check, so that the rest can be checked as it comes."""
        self._verifier = StreamVerifier()
        position = 0
        while position < length:
            data = self._part.read(min(_REREAD, length - position), position)
            if not data:
                raise LinkChanged("the part on disk is shorter than it was")
            self._verifier.feed(memoryview(data))
            position += len(data)
            self._on_progress(Progress.of_bytes("verifying", position, length))

    def _check(self) -> None:
        size = self._info.size_bytes
        if self._expected_bytes not in (None, size):
            raise ArchiveError(f"It has {size:,} bytes instead of {self._expected_bytes:,}.")
        if self._verifier is None:
            self._reread(size or 0)
        if self._verifier is not None and not self._verifier.finish():
            verify_file(self._part.path)
