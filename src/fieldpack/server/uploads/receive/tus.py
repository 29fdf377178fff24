"""The headers of tus 1.0 (tus.io/protocols/resumable-upload): what they mean, and nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from isal import isal_zlib

from fieldpack.server.problems import MALFORMED, Problem

__all__ = ["ALGORITHMS", "EXTENSIONS", "VERSION", "Checksum", "Hasher", "parse_checksum", "parse_metadata"]

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,checksum"
MAX_METADATA = 16_384
MAX_SIZE = 10**18


class Hasher(Protocol):
    """What `hashlib` gives, as far as it is needed."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """The hash of the bytes so far."""


class Crc32:
    """CRC-32 in the manner of `hashlib`; its digest is big-endian, as tus clients send it."""

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes."""
        self.value = isal_zlib.crc32(data, self.value)

    def digest(self) -> bytes:
        """Four bytes, big-endian."""
        return self.value.to_bytes(4, "big")


ALGORITHMS: Mapping[str, Callable[[], Hasher]] = {
    "sha256": hashlib.sha256,
    "sha1": hashlib.sha1,
    "crc32": Crc32,
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """The checksum that a request announces for its bytes."""

    algorithm: str
    expected: bytes


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(MALFORMED, f"{what} is not valid base64.") from None


def parse_checksum(header: str | None) -> Checksum | None:
    """`Upload-Checksum: <algorithm> <base64>`.

    Raises:
        Problem: 400 for an algorithm that isn't offered, or a malformed value.
    """
    if header is None:
        return None
    algorithm, _, value = header.strip().partition(" ")
    if algorithm.lower() not in ALGORITHMS:
        raise Problem(MALFORMED, f"Upload-Checksum must use one of {', '.join(ALGORITHMS)}.")
    expected = _decode(value.strip(), "Upload-Checksum")
    if not expected:
        raise Problem(MALFORMED, "Upload-Checksum must name an algorithm and a checksum in base64.")
    return Checksum(algorithm.lower(), expected)


def parse_metadata(header: str | None) -> dict[str, str]:
    """`Upload-Metadata: key base64,key base64,key`.

    A value that isn't UTF-8 is kept with U+FFFD in the place of what can't be read, U+0000 likewise; but for `key`,
    which says which upload is meant: two that differ must not become one.

    Raises:
        Problem: 400.
    """
    found: dict[str, str] = {}
    if not header:
        return found
    if len(header) > MAX_METADATA:
        raise Problem(MALFORMED, f"Upload-Metadata may have at most {MAX_METADATA} characters.")
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        if not key or not key.isascii() or not key.isprintable() or key in found:
            raise Problem(MALFORMED, "Upload-Metadata must be pairs of a key, once each, and a base64 value.")
        data = _decode(value.strip(), f"The value of {key} in Upload-Metadata")
        text = data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        if key == "key" and text.encode() != data:
            raise Problem(MALFORMED, "The key in Upload-Metadata must be text in UTF-8, without U+0000.")
        found[key] = text
    return found


def parse_size(header: str | None, name: str) -> int:
    """A header that is a number of bytes; a larger number than `MAX_SIZE` is returned as `MAX_SIZE`.

    Raises:
        Problem: 400 when it is missing or is none.
    """
    if header is None:
        raise Problem(MALFORMED, f"The header {name} is missing.")
    text = header.strip()
    if not text.isascii() or not text.isdigit():
        raise Problem(MALFORMED, f"{name} must be a whole number of bytes, 0 or more.")
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= 18 else MAX_SIZE
