"""Running hashes of uploads: a CRC-32, and a SHA-256 as long as every byte passed through this process."""

from __future__ import annotations

import hashlib
from uuid import UUID

from isal import isal_zlib

from fieldpack.server.caches import Recent
from fieldpack.server.storage import Buffer
from fieldpack.server.uploads.receive.tus import ALGORITHMS, Hasher

__all__ = ["Digests", "LiveDigests"]

KEPT = 4096


class Digests:
    """The hashes of an upload's first `offset` bytes, and of the bytes of one request.

    Args:
        offset: where the request begins.
        crc32: of the bytes before.
        sha256: of the bytes before; None when another process received them.
        algorithm: the request's own checksum, if it has one.
    """

    def __init__(
        self, offset: int, crc32: int, sha256: hashlib._Hash | None, algorithm: str | None = None
    ) -> None:
        self.offset = offset
        self.crc32 = crc32
        self.sha256 = sha256
        self._shared = algorithm == "sha256" and offset == 0 and sha256 is not None
        self._checksum: Hasher | None = None
        if algorithm is not None and not self._shared:
            self._checksum = ALGORITHMS[algorithm]()

    def update(self, data: Buffer) -> None:
        """Add bytes to all hashes."""
        self.crc32 = isal_zlib.crc32(data, self.crc32)
        if self.sha256 is not None:
            self.sha256.update(data)
        if self._checksum is not None:
            self._checksum.update(data)
        self.offset += len(data)

    def checksum(self) -> bytes:
        """Of the request's own bytes; there must be an algorithm."""
        hasher = self.sha256 if self._shared else self._checksum
        assert hasher is not None
        return hasher.digest()


class LiveDigests:
    """Where the SHA-256 of unfinished uploads stand in this process, those of the last `KEPT` uploads."""

    def __init__(self) -> None:
        self._kept: Recent[UUID, tuple[int, hashlib._Hash]] = Recent(KEPT)

    def resume(self, upload_id: UUID, offset: int, crc32: int, algorithm: str | None) -> Digests:
        """The hashes at `offset`. What is kept stays: a request whose bytes don't count changes nothing."""
        if offset == 0:
            return Digests(0, 0, hashlib.sha256(), algorithm)
        kept_at, sha256 = self._kept.get(upload_id) or (-1, None)
        return Digests(offset, crc32, sha256.copy() if sha256 and kept_at == offset else None, algorithm)

    def keep(self, upload_id: UUID, digests: Digests) -> None:
        """Remember where an upload stands, once that is committed."""
        self.forget(upload_id)
        if digests.sha256 is not None:
            self._kept.put(upload_id, (digests.offset, digests.sha256))

    def forget(self, upload_id: UUID) -> None:
        """Drop what is kept of an upload."""
        self._kept.drop(upload_id)
