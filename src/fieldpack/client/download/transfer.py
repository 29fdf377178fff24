"""One download: the spans of an archive requested, written to disk and checked."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from fieldpack.archive.zipstructs import END_SIGNATURE, LOCAL_SIGNATURE
from fieldpack.client.download.link import LinkChanged, LinkOpener, read_etag
from fieldpack.client.download.partial import PartialFile, PartialInfo, Span
from fieldpack.client.download.renewal import RenewedLink
from fieldpack.client.download.verify import StreamVerifier, verify_file
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.errors import ArchiveError, DownloadError
from fieldpack.text import say_bytes

__all__ = ["Transfer"]

_CHUNK = 1 << 20
_FLUSH_EVERY = 256 << 20
_REREAD = 1 << 20
_SAVE_EVERY = 1.0  # seconds between two writes of `.part.json`
_SMALLEST_SPAN = 16 << 20
_RESERVE_BYTES = 16 << 20  # left free on the disk when nobody says how much is to come
_MOST_RESTARTS = 4  # restarts from the first byte that get no further than the ones before


class Transfer:
    """One download, from the first request to the last check."""

    def __init__(
        self,
        file: PartialFile,
        get_link: Callable[[], str],
        opener: LinkOpener,
        *,
        size_bytes: int | None,
        connections: int,
        on_progress: OnProgress,
        tries: int,
    ) -> None:
        self._file = file
        self._expected_bytes = size_bytes
        self._connections = max(1, connections)
        self._on_progress = on_progress
        self._restarts = 0
        self._furthest = 0
        self._verifier: StreamVerifier | None = None
        self._saved_at = 0.0
        self._pool = ThreadPoolExecutor(self._connections + 1)
        self._flushing: Future[None] = self._pool.submit(lambda: None)
        self._unflushed = 0
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._link = RenewedLink(file, get_link, opener, self._stop, tries=tries)

    @property
    def _info(self) -> PartialInfo:
        return self._file.info

    def run(self) -> None:
        """Download what is missing and check the archive.

        Raises:
            DownloadError: it could not be downloaded completely, or is damaged.
        """
        with self._pool:
            self._run()
            self._flushing.result()

    def _run(self) -> None:
        is_from_before = bool(self._info.spans)
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
                        part=self._file.path,
                    ) from error
                # The damage may be in what an earlier run wrote (a power cut): download all of it again.
                self._file.reset()
            finally:
                self._file.save()
            is_from_before = False

    def _restart(self, why: str) -> None:
        done = self._info.done_bytes
        self._restarts = 0 if done > self._furthest else self._restarts + 1
        self._furthest = max(done, self._furthest)
        if self._restarts > _MOST_RESTARTS:
            raise DownloadError(
                f"The archive cannot be brought here in one piece: {why}.", part=self._file.path
            )
        self._file.reset()
        time.sleep(min(0.1 * 2**self._restarts, 2.0))

    def _bring(self) -> None:
        self._verifier = None
        self._stop.clear()
        if self._info.spans:
            if self._expected_bytes not in (None, self._info.size_bytes):
                raise LinkChanged("the archive's length changed")
            if len(self._info.spans) == 1:
                self._reread(self._info.spans[0].position)
            self._check_room()
            if all(span.position >= span.end for span in self._info.spans):
                # Everything is on disk: check that the link still opens the same archive.
                self._link.open(Span(0, 1), self._link.new_backoff()).close()
            self._pull_all(None)
        else:
            self._verifier = StreamVerifier()
            self._pull_all(self._begin())

    def _begin(self) -> http.client.HTTPResponse:
        """Request the complete archive, and decide from the answer's head how it is divided into spans."""
        backoff = self._link.new_backoff()
        while True:
            try:
                answer = self._link.open(None, backoff)
                try:
                    self._accept(answer)
                    return answer
                except BaseException:
                    answer.close()
                    raise
            except (OSError, http.client.HTTPException) as error:
                self._link.wait(backoff, error)

    def _accept(self, answer: http.client.HTTPResponse) -> None:
        size = answer.length  # None when the body is chunked or ends with the connection
        if None not in (size, self._expected_bytes) and size != self._expected_bytes:
            raise DownloadError(
                f"The link leads to {size:,} bytes, the export has {self._expected_bytes:,}: nothing was saved."
            )
        magic = answer.read(4)
        if len(magic) < 4 and (size is None or size >= 4):
            raise ConnectionError("the connection broke off")
        if magic not in (LOCAL_SIGNATURE, END_SIGNATURE):
            raise DownloadError("What the link leads to is not a ZIP archive: nothing was saved.")
        info = self._info
        info.etag, info.size_bytes = read_etag(answer), size
        count = 1
        if size is not None and info.etag and (answer.headers.get("Accept-Ranges") or "").lower() == "bytes":
            count = max(1, min(self._connections, size // _SMALLEST_SPAN))
        # Without a length the end of the body is the end of the archive, which is no longer than the export: the byte
        # after that is where the span ends, and is never to come.
        whole = size if size is not None else _after(self._expected_bytes)
        step = -(-whole // count)
        info.spans = [Span(at, min(at + step, whole)) for at in range(0, whole, step)]
        self._check_room()
        if count > 1:
            self._verifier = None
        self._file.save()  # before the first byte, so that it is ours if this run is killed
        self._file.write(memoryview(magic), 0)
        info.spans[0].position = len(magic)
        if self._verifier is not None:
            self._verifier.feed(memoryview(magic))
        self._file.save()

    def _check_room(self) -> None:
        free, size = self._file.free_bytes(), self._info.size_bytes
        size = self._expected_bytes if size is None else size
        if size is None:
            if free < _RESERVE_BYTES:
                self._file.reset()  # of an unknown length nothing can be gone on with
                raise DownloadError(
                    f"The disk of {self._file.target.parent.absolute()} is too full: {say_bytes(free)} are free, and "
                    "the server does not say how much is still to come; make room and run it again.",
                )
            return
        missing = size - self._file.held_bytes()
        if missing > free:
            raise DownloadError(
                f"The disk of {self._file.target.parent.absolute()} is too full: {say_bytes(missing)} are "
                f"still to come and {say_bytes(free)} are free; make room and run it again.",
                part=self._file.path,
            )

    def _pull_all(self, answer: http.client.HTTPResponse | None) -> None:
        spans = self._info.spans
        if len(spans) == 1:
            self._pull(spans[0], answer)
            return
        failures: list[BaseException] = []

        def work(span: Span) -> None:
            try:
                self._pull(span, None)
            except BaseException as error:
                failures.append(error)
                self._stop.set()

        threads = [threading.Thread(target=work, args=(span,), daemon=True) for span in spans[1:]]
        for thread in threads:
            thread.start()
        try:
            self._pull(spans[0], answer)
            for thread in threads:
                thread.join()
        except BaseException as error:
            failures.insert(0, error)
        self._stop.set()
        # Before a restart every thread must have ended. Otherwise a thread that hangs in a read is not waited
        # for: the file is closed, so it can't write any more.
        patience = None if failures and isinstance(failures[0], LinkChanged) else 2.0
        for thread in threads:
            thread.join(patience)
        if failures:
            raise failures[0]

    def _pull(self, span: Span, answer: http.client.HTTPResponse | None) -> None:
        """Download one span, reconnecting after every break."""
        backoff = self._link.new_backoff()
        while span.position < span.end and not self._stop.is_set():
            before = span.position
            error: Exception | None = None
            try:
                answer = answer or self._link.open(span, backoff)
                self._copy(answer, span)
                if span.position >= span.end and self._info.size_bytes is None:
                    self._file.reset()
                    raise DownloadError(
                        f"The link leads to more than the {self._expected_bytes or 0:,} bytes that the export has: "
                        "nothing was saved."
                    )
            except (OSError, http.client.HTTPException) as broken:
                error = broken
            finally:
                if answer is not None:
                    answer.close()
                    answer = None
            if span.position > before:
                backoff.reset()
                self._link.note_progress()
            if span.position < span.end and not self._stop.is_set():
                self._file.save()
                if self._info.size_bytes is None or self._info.etag is None:
                    raise LinkChanged("the connection broke, and the server gives nothing to go on from")
                self._link.wait(backoff, error or ConnectionError("the connection broke off"))

    def _copy(self, answer: http.client.HTTPResponse, span: Span) -> None:
        """Write what arrives. While one chunk is written it is also checked, and the next one is read."""
        position = span.position
        writing: Future[int] | None = None
        try:
            while position < span.end and not self._stop.is_set():
                data = answer.read1(min(_CHUNK, span.end - position))
                if writing is not None:
                    # Unset it first: a progress callback may raise, and this chunk must not be counted twice.
                    written, writing = writing, None
                    self._advance(span, written)
                if not data:
                    if self._info.size_bytes is None:  # the end of the body is the end of the archive
                        self._info.size_bytes = span.end = position
                    return
                view = memoryview(data)
                writing = self._pool.submit(self._file.write, view, position)
                if self._verifier is not None:
                    self._verifier.feed(view)
                position += len(data)
        finally:
            if writing is not None:
                self._advance(span, writing)

    def _advance(self, span: Span, writing: Future[int]) -> None:
        """Count a chunk once it is written."""
        count = writing.result()
        with self._guard:
            span.position += count
            total = self._info.size_bytes
            if total is None and self._expected_bytes is None:
                self._check_room()
            done = self._info.done_bytes if total is not None else span.position
            self._on_progress(Progress.of_bytes("downloading", done, total))
            if time.monotonic() - self._saved_at > _SAVE_EVERY:
                self._file.save()
                self._saved_at = time.monotonic()
            # Flush from time to time, so that little is left to flush at the end.
            self._unflushed += count
            if self._unflushed >= _FLUSH_EVERY and self._flushing.done():
                self._flushing.result()
                self._flushing, self._unflushed = self._pool.submit(self._file.flush), 0

    def _reread(self, length: int) -> None:
        """Check what is on disk already, so that the rest can be checked as it arrives."""
        self._verifier = StreamVerifier()
        position = 0
        while position < length:
            data = self._file.read(min(_REREAD, length - position), position)
            if not data:
                raise LinkChanged("the file on disk is shorter than it was")
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
            verify_file(self._file.path)


def _after(expected_bytes: int | None) -> int:
    """Where a span ends that takes one byte more than an archive of this length has; far away for None."""
    return 1 << 62 if expected_bytes is None else expected_bytes + 1
