"""A backup as one stream: a tar file, written and read from its beginning to its end."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import orjson

from fieldpack.errors import BackupError, BlobDamaged, BlobMissing
from fieldpack.server.backup.format import (
    BLOBS,
    DUMP,
    ERASURES,
    EXPORTS,
    FORMAT,
    MANIFEST,
    Entry,
    FileFacts,
    Head,
    Manifest,
    is_key,
    iter_entries,
    make_name,
)
from fieldpack.server.backup.objects import iter_object, map_windowed
from fieldpack.server.storage import Storage
from fieldpack.text import say_count

__all__ = ["HEAD", "BackupReader", "StreamDestination", "TakeObject"]

HEAD = "backup.json"
MEMBER_BYTES = 16 << 20
SMALL_BYTES = 1 << 20
THREADS = 8
WINDOW = 32
LARGEST_HEAD = 1 << 20


class StreamDestination:
    """One backup being written to a stream. Nothing counts before `finish`."""

    def __init__(self, out: IO[bytes]) -> None:
        self.name = make_name(datetime.now(UTC))
        self.scratch = Path(tempfile.mkdtemp(prefix="fieldpack-backup-"))
        self._out = out
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20)  # noqa: SIM115
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="backup")
        self._time = int(time.time())

    def _add(self, name: str, size_bytes: int, source: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size_bytes, self._time, 0o600
        self._tar.addfile(info, source)

    def _add_bytes(self, name: str, data: bytes) -> None:
        self._add(name, len(data), io.BytesIO(data))

    def begin(self, head: Head) -> None:
        """Write the head, by which a reader decides whether it can restore this backup."""
        self._add_bytes(HEAD, head.encode())

    def add_dump(self, name: str, chunks: Iterable[bytes]) -> FileFacts:
        """Write the dump in several members, because its size is not known before; see `making.Destination`."""
        digest, size_bytes, number = hashlib.sha256(), 0, 0
        buffer = bytearray()
        for chunk in chunks:
            digest.update(chunk)
            size_bytes += len(chunk)
            buffer += chunk
            if len(buffer) >= MEMBER_BYTES:
                number += 1
                self._add_bytes(f"{name}.{number:06d}", bytes(buffer))
                buffer.clear()
        self._add_bytes(f"{name}.{number + 1:06d}", bytes(buffer))
        return FileFacts(name, size_bytes, digest.hexdigest())

    def add_file(self, name: str, path: Path) -> FileFacts:
        """See `making.Destination.add_file`."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            size_bytes = path.stat().st_size
            self._add(name, size_bytes, file)
        return FileFacts(name, size_bytes, sha256)

    def copy_objects(self, storage: Storage, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str | None]]:
        """Send objects; each with its hash, and `gone` or `damaged` where there is nothing that counts."""

        def read_small(entry: Entry) -> tuple[Entry, bytes | None, str | None]:
            if entry.size_bytes > SMALL_BYTES:
                return entry, None, None
            try:
                return entry, b"".join(iter_object(storage, entry)), None
            except BlobDamaged:
                return entry, None, "damaged"
            except BlobMissing:
                return entry, None, "gone"

        for entry, data, failure in map_windowed(self._threads, read_small, entries, WINDOW):
            if failure is not None:
                yield entry, failure
                continue
            source = _Reader(
                iter([data]) if data is not None else iter_object(storage, entry), entry.size_bytes
            )
            if data is not None and entry.sha256 and hashlib.sha256(data).hexdigest() != entry.sha256:
                yield entry, "damaged"
                continue
            self._add(entry.key, entry.size_bytes, source)  # type: ignore[arg-type]  # nothing but read() is used
            sha256 = source.sha256()
            if source.failure is None and entry.sha256 and sha256 != entry.sha256:
                source.failure = "damaged"
            yield Entry(sha256, entry.size_bytes, entry.key, entry.submission_id), source.failure

    def finish(self, manifest: Manifest, erasures: dict[UUID, datetime]) -> None:
        """Write erasures and manifest, without which the stream is not a complete backup, and close it."""
        lines = [f"{id} {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n" for id, at in sorted(erasures.items())]
        self._add_bytes(ERASURES, "".join(lines).encode())
        self._add_bytes(MANIFEST, manifest.encode())
        self._tar.close()
        self._out.flush()

    def close(self) -> None:
        """Stop the threads, and remove the temporary files. A stream that was not finished gets no end."""
        self._tar.fileobj.closed = True  # type: ignore[attr-defined]  # else its end is written when it is collected
        self._threads.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self.scratch, ignore_errors=True)


class _Reader:
    """Gives tarfile exactly the bytes that were announced; zeros for those that can't be had."""

    def __init__(self, chunks: Iterator[bytes], size_bytes: int) -> None:
        self.failure: str | None = None
        self._chunks = chunks
        self._left = size_bytes
        self._held = b""
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        while len(self._held) < min(size, self._left):
            self._held += self._next()
        data, self._held = self._held[:size], self._held[size:]
        self._left -= len(data)
        self._digest.update(data)
        return data

    def _next(self) -> bytes:
        if self.failure is None:
            try:
                return next(self._chunks)
            except BlobDamaged:
                self.failure = "damaged"
            except BlobMissing:
                self.failure = "gone"
            except StopIteration:
                self.failure = "damaged"
        return bytes(min(SMALL_BYTES, self._left))

    def sha256(self) -> str:
        return self._digest.hexdigest()


TakeObject = Callable[[Entry, Iterator[bytes]], None]
"""Takes one object. Its hash is empty where it isn't known yet; what is not taken is passed over."""


class BackupReader:
    """A backup being read from a stream, once. A context manager.

    Args:
        scratch: an empty folder for its files; the dump is among them. Without one they have no names, so that nothing
            of them is left however this process ends.

    Attributes:
        files: those found so far but the objects, by name; open.
        head: the first member.
    """

    def __init__(self, stream: IO[bytes], scratch: Path | None, where: str) -> None:
        self.where = where
        self.scratch = scratch
        self.files: dict[str, IO[bytes]] = {}
        self._sent: dict[str, str] = {}
        self._skipped: set[str] = set()
        self._damaged: set[str] = set()
        self._listed: Iterator[Entry] = iter(())
        try:
            self._tar = tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20)  # noqa: SIM115
            first = self._tar.next()
            if first is None or first.name != HEAD or first.size > LARGEST_HEAD:
                raise BackupError(f"{where} is no backup of fieldpack: it begins with something else.")
            content: dict[str, Any] = orjson.loads(self._read(first))
            if content["format"] > FORMAT:
                raise BackupError(
                    f"{where} was made by a newer fieldpack (backup format {content['format']}): restore it with that "
                    "one, or a later one."
                )
            self.head = Head(**content)
        except (tarfile.TarError, EOFError, orjson.JSONDecodeError, TypeError, KeyError):
            raise BackupError(f"{where} is no backup of fieldpack, or ends at once.") from None

    def __enter__(self) -> BackupReader:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self.files.values():
            file.close()

    def _read(self, info: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(info)
        assert file is not None
        return file.read()

    def _iter(self, info: tarfile.TarInfo) -> Iterator[bytes]:
        file = self._tar.extractfile(info)
        if file is None:
            raise BackupError(f"{self.where} is damaged: {info.name} is no file.")
        left = info.size
        while left:
            chunk = file.read(min(left, 1 << 20))
            if not chunk:
                raise EOFError
            left -= len(chunk)
            yield chunk

    def read(self, take: TakeObject) -> Manifest:
        """Read to the end, and compare everything with the manifest.

        Raises:
            BackupError: it is not whole, or damaged. What was taken so far is not to be used then.
        """
        try:
            return self._check(self._read_all(take))
        except (tarfile.TarError, EOFError):
            raise BackupError(f"{self.where} is not whole: it ends too early.") from None

    def _read_all(self, take: TakeObject) -> Manifest:
        while (info := self._tar.next()) is not None:
            name = info.name
            if name == MANIFEST:
                return Manifest.decode(self._read(info), self.where)
            if is_key(name):
                self._take(info, take)
            elif name == DUMP or name.startswith(f"{DUMP}."):
                self._save(info, DUMP)
            elif name in (BLOBS, EXPORTS, ERASURES) or name.startswith("keys/"):
                self._save(info, name)
                if name == BLOBS:
                    self._listed = iter_entries(self.open(BLOBS))
            else:
                raise BackupError(f"{self.where} is damaged: it holds {name!r}, which no backup has.")
        raise EOFError

    def _take(self, info: tarfile.TarInfo, take: TakeObject) -> None:
        entry = Entry("", info.size, info.name)
        if info.name.startswith("blobs/"):
            for found in self._listed:
                if found.key == info.name:
                    entry = found
                    break
                self._skipped.add(found.key)
            if not entry.sha256 or entry.size_bytes != info.size:
                raise BackupError(f"{self.where} is damaged: {info.name} is not as its list says.")
        digest = hashlib.sha256()

        def read() -> Iterator[bytes]:
            for chunk in self._iter(info):
                digest.update(chunk)
                yield chunk

        chunks = read()
        take(entry, chunks)
        for _ in chunks:
            pass
        sha256 = digest.hexdigest()
        if entry.sha256 and sha256 != entry.sha256:
            self._damaged.add(info.name)
        if not entry.sha256:
            self._sent[info.name] = sha256

    def _save(self, info: tarfile.TarInfo, name: str) -> None:
        if ".." in name.split("/"):
            raise BackupError(f"{self.where} is damaged: it holds {name!r}, which no backup has.")
        if name not in self.files:
            self.files[name] = self._make(name)
        for chunk in self._iter(info):
            self.files[name].write(chunk)

    def _make(self, name: str) -> IO[bytes]:
        if self.scratch is None:
            return tempfile.TemporaryFile()
        path = self.scratch / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.open("x+b")

    def open(self, name: str) -> IO[bytes]:
        """A file that was saved, at its beginning.

        Raises:
            BackupError: the stream had none of this name.
        """
        file = self.files.get(name)
        if file is None:
            raise BackupError(f"{self.where} is damaged: it has no {name}.")
        file.seek(0)
        return file

    def _check(self, manifest: Manifest) -> Manifest:
        missing = self._skipped | {entry.key for entry in self._listed}
        for facts in manifest.files:
            file = self.open(facts.name)
            if file.seek(0, io.SEEK_END) != facts.size_bytes:
                raise BackupError(
                    f"{self.where} is damaged: {facts.name} is not as long as its manifest says."
                )
            digest = hashlib.sha256()
            file.seek(0)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            if digest.hexdigest() != facts.sha256:
                raise BackupError(f"{self.where} is damaged: {facts.name} has other bytes than it had.")
        absent = {entry.key for entry in manifest.absent}
        exports = {entry.key: entry.sha256 for entry in iter_entries(self.open(EXPORTS))}
        bad = self._damaged | {key for key, sha256 in exports.items() if self._sent.get(key) != sha256}
        wrong = sorted((bad | missing | (set(self._sent) - set(exports))) - absent)
        if wrong:
            raise BackupError(
                f"{self.where} is damaged: {say_count(len(wrong), 'file')} missing or with other bytes, {wrong[0]} "
                "for one."
            )
        return manifest
