"""Conditional and range requests (RFC 9110 §13 and §14): which bytes to send, with which headers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

from fieldpack.server.problems import RANGE_NOT_SATISFIABLE, Problem

__all__ = ["Selected", "select_range"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)
MAX_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Selected:
    """The answer to a conditional or range request: `start` … `stop` (exclusive) of `size_bytes`."""

    status: int
    start: int
    stop: int
    size_bytes: int

    @property
    def length_bytes(self) -> int:
        """How many bytes are sent."""
        return self.stop - self.start

    def headers(self, etag: str) -> dict[str, str]:
        """Headers of the answer, Content-Length included."""
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if self.status != 304:
            headers["Content-Length"] = str(self.length_bytes)
        if self.status == 206:
            headers["Content-Range"] = f"bytes {self.start}-{self.stop - 1}/{self.size_bytes}"
        return headers


def _matches(header: str, etag: str) -> bool:
    """Whether `If-None-Match` names the tag (weak comparison, §13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def _offset(digits: str) -> int:
    """A position in a file; one of thousands of digits, which Python would not read, is simply beyond any."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= MAX_DIGITS else 10**MAX_DIGITS


def select_range(headers: Headers, size_bytes: int, etag: str, *, method: str = "GET") -> Selected:
    """What to send. Several or malformed ranges mean the whole, and so does any on another method than GET
    (§14.2).

    Raises:
        Problem: 416 when the one range lies outside.
    """
    whole = Selected(200, 0, size_bytes, size_bytes)
    # a list may come in several lines (§5.3)
    if _matches(",".join(headers.getlist("if-none-match")), etag):
        return Selected(304, 0, 0, size_bytes)
    if_range = headers.get("if-range")
    match = _RANGE.fullmatch(",".join(headers.getlist("range")))
    if match is None or method != "GET" or (if_range is not None and if_range.strip() != etag):
        return whole
    first, last = match[1], match[2]
    if first:
        start = _offset(first)
        stop = min(_offset(last) + 1, size_bytes) if last else size_bytes
        if last and _offset(last) < start:
            return whole
    elif last:
        start = max(size_bytes - _offset(last), 0)
        stop = size_bytes if _offset(last) else 0
    else:
        return whole
    if start >= stop or start >= size_bytes:
        raise Problem(
            RANGE_NOT_SATISFIABLE,
            f"The range lies outside the {size_bytes:,} bytes there are.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return Selected(206, start, stop, size_bytes)
