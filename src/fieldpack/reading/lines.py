"""Lines of a JSON Lines member, one by one or in blocks of whole lines, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from fieldpack.errors import ArchiveError

__all__ = ["iter_blocks", "iter_lines", "parse_line"]

_BOM = b"\xef\xbb\xbf"


def iter_blocks(
    file: BinaryIO, member: str, *, block_bytes: int = 4 << 20, line_bytes: int = 64 << 20
) -> Iterator[tuple[int, bytes]]:
    """Yield `(number of the first line, whole lines)`; every block but perhaps the last ends with a newline.

    Raises:
        ArchiveError: a line is longer than `line_bytes`.
    """
    line = 1
    chunks: list[bytes] = []
    held = 0
    first = True
    while data := file.read(block_bytes):
        if first:
            data, first = data.removeprefix(_BOM), False
        cut = data.rfind(b"\n") + 1
        if cut:
            block = b"".join([*chunks, data[:cut]]) if chunks else data[:cut]
            yield line, block
            line += block.count(b"\n")
            chunks = [data[cut:]] if cut < len(data) else []
            held = len(data) - cut
        else:
            chunks.append(data)
            held += len(data)
        if held > line_bytes:
            raise ArchiveError(
                f"{member} line {line} is longer than {line_bytes:,} bytes; it is not read.",
                member=member,
                line=line,
            )
    if rest := b"".join(chunks):
        yield line, rest


def iter_lines(block: bytes, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield `(number, line)` of a block, blank lines left out."""
    for number, line in enumerate(block.split(b"\n"), first):
        if line and not line.isspace():
            yield number, line


def parse_line(line: bytes, number: int, member: str) -> Any:
    """One line's JSON. Raises `ArchiveError` with the line's number."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            problem = "is not UTF-8"
        else:
            problem = f"is not JSON ({error.msg} at character {error.pos + 1})"
        raise ArchiveError(f"{member} line {number} {problem}.", member=member, line=number) from error
