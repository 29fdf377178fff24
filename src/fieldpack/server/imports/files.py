"""The files of an archive on their way into storage: read, hashed, compared with what was said of them, stored.

Small ones go many at a time, so that the disk is waited for once for all of them; large ones go by a file of their own.
Neither holds more memory than `BATCH_BYTES` and a chunk.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from isal import isal_zlib

from fieldpack.archive.members import RESPONSES
from fieldpack.errors import ArchiveError
from fieldpack.files import write_all
from fieldpack.reading.reader import OpenArchive
from fieldpack.server.imports.lines import TakenFile
from fieldpack.server.storage import Storage, blob_key

__all__ = ["FileTaker", "StoredFile"]

SMALL_BYTES = 2 << 20
BATCH_BYTES = 32 << 20
BATCH_FILES = 2_000
CHUNK_BYTES = 1 << 20
LARGE_AT_ONCE = 4
WAITING = 1  # batches that are being stored while the next is read


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known of a file once it was read."""

    blob_id: UUID
    size_bytes: int
    crc32: int
    sha256: bytes


class FileTaker:
    """Takes files over, one after another. A context manager; close it before the storage.

    Args:
        scratch: a folder for large files on their way, on the disk of local storage where that can be.
    """

    def __init__(self, archive: OpenArchive, storage: Storage, scratch: Path) -> None:
        self._archive = archive
        self._storage = storage
        self._scratch = scratch
        self._is_remote = archive.label.startswith(("http://", "https://"))
        self._small: list[tuple[str, bytes]] = []
        self._small_bytes = 0
        self._storing: list[Future[None]] = []
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="import-put")
        self._large = ThreadPoolExecutor(LARGE_AT_ONCE, thread_name_prefix="import-large")

    def __enter__(self) -> FileTaker:
        return self

    def __exit__(self, *error: object) -> None:
        for pool in (self._sender, self._large):
            pool.shutdown(wait=True, cancel_futures=True)

    def take(self, file: TakenFile, number: int, blob_id: UUID) -> StoredFile | Future[StoredFile]:
        """Take a file over that line `number` names, as this blob; it is stored once `flush` was waited for.

        Raises:
            ArchiveError: it is damaged, or not what was said of it; of a large file, when its result is asked for.
            StorageError: it can't be stored.
        """
        if file.member.size_bytes > SMALL_BYTES:
            if self._is_remote:  # one connection, which reads one member after another
                return self._take_large(file, number, blob_id)
            return self._large.submit(self._take_large, file, number, blob_id)
        data = self._archive.source.read(file.member.name)
        stored = StoredFile(blob_id, len(data), isal_zlib.crc32(data), hashlib.sha256(data).digest())
        _compare(file, stored, number)
        self._small.append((blob_key(stored.blob_id), data))
        self._small_bytes += len(data)
        if self._small_bytes >= BATCH_BYTES or len(self._small) >= BATCH_FILES:
            self._send()
        return stored

    def flush(self) -> list[Future[None]]:
        """Have everything that was taken so far stored; what to wait for."""
        self._send()
        waiting, self._storing = self._storing, []
        return waiting

    def _send(self) -> None:
        if not self._small:
            return
        objects, self._small, self._small_bytes = self._small, [], 0
        self._storing.append(self._sender.submit(self._storage.put_many_blocking, objects))
        unfinished = [each for each in self._storing if not each.done()]
        if len(unfinished) > WAITING:
            unfinished[0].result()

    def _take_large(self, file: TakenFile, number: int, blob_id: UUID) -> StoredFile:
        draft = self._scratch / str(blob_id)
        digest, crc32, size = hashlib.sha256(), 0, 0
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with self._archive.source.open(file.member.name) as opened:
                    while chunk := opened.read(CHUNK_BYTES):
                        digest.update(chunk)
                        crc32 = isal_zlib.crc32(chunk, crc32)
                        size += len(chunk)
                        write_all(descriptor, chunk)
            finally:
                os.close(descriptor)
            stored = StoredFile(blob_id, size, crc32, digest.digest())
            _compare(file, stored, number)
            self._storage.put_file_blocking(blob_key(blob_id), draft)
        finally:
            draft.unlink(missing_ok=True)
        return stored


def _compare(file: TakenFile, stored: StoredFile, number: int) -> None:
    """What was read is what the directory and the line say."""
    name = file.member.name
    if stored.size_bytes != file.member.size_bytes:
        problem = f"has {stored.size_bytes:,} bytes instead of {file.member.size_bytes:,}"
    elif file.member.crc32 is not None and stored.crc32 != file.member.crc32:
        problem = "is damaged: its contents don't match its CRC-32"
    elif file.sha256 is not None and stored.sha256 != file.sha256:
        problem = "is not what was uploaded: its SHA-256 is another"
    else:
        return
    raise ArchiveError(
        f"{name!r}, which {RESPONSES} line {number} names, {problem}.", member=name, line=number
    )
