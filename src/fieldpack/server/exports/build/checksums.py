"""The CRC-32 of a file, from the CRC-32s of its spans (the mathematics is zlib's `crc32_combine`)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

__all__ = ["combine_crc32"]

_POLYNOMIAL = 0xEDB88320


def _multiply(a: int, b: int) -> int:
    """a * b modulo the polynomial; the highest bit stands for x⁰."""
    product = 0
    bit = 1 << 31
    while bit:
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=1024)
def _shift(length_bytes: int) -> int:
    """x to the power of `8 * length_bytes`, modulo the polynomial."""
    power = 1 << 30  # x
    for _ in range(3):
        power = _multiply(power, power)
    result = 1 << 31
    while length_bytes:
        if length_bytes & 1:
            result = _multiply(power, result)
        power = _multiply(power, power)
        length_bytes >>= 1
    return result


def combine_crc32(spans: Iterable[tuple[int, int]]) -> int:
    """The CRC-32 of spans that follow one another without a gap, each given as `(crc32, length_bytes)`."""
    combined = 0
    for crc32, length_bytes in spans:
        combined = _multiply(_shift(length_bytes), combined) ^ crc32
    return combined
