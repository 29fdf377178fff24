"""How a closer look reads a file: a few spans that it asks for, wherever the bytes are stored.

A look is a generator: it yields `(offset, size)`, is sent the bytes there, fewer at the end of the file, and
returns the types that remain. So one look works on a file, on objects in a bucket and on bytes, and what it costs is
bounded here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator

from fieldpack.filetypes import TYPES

__all__ = ["MOST_READ_BYTES", "Look", "Read", "Types", "narrow", "run_look"]

WINDOW_BYTES = 16 * 1024
MOST_READ_BYTES = 64 * 1024 + 64
MOST_READS = 64

Types = tuple[str, ...]
Look = Generator[tuple[int, int], bytes, Types]
Read = Callable[[int, int], Awaitable[bytes]]
"""Reads `size` bytes at `offset`, fewer at the end."""


async def run_look(look: Look, read: Read, head: bytes, length: int) -> Types | None:
    """Let a look work; what it found, or None when it asks for more than any sound file needs.

    Args:
        head: the file's first bytes, as far as they are known.
        length: the size of the file, in bytes.
    """
    start, window = 0, head
    reads = 0
    try:
        offset, size = next(look)
        while True:
            if offset >= length or size <= 0:
                offset, size = look.send(b"")
                continue
            size = min(size, MOST_READ_BYTES, length - offset)
            if not start <= offset <= offset + size <= start + len(window):
                if offset + size <= len(head):
                    start, window = 0, head
                else:
                    reads += 1
                    if reads > MOST_READS:
                        look.close()
                        return None
                    start = offset
                    window = await read(offset, min(max(size, WINDOW_BYTES), length - offset))
            at = offset - start
            offset, size = look.send(window[at : at + size])
    except StopIteration as done:
        found: Types = done.value
        return found


def narrow(types: Types, media: set[str]) -> Types:
    """Those of the types that are of what was found: films where there are pictures that move, else sound."""
    wanted = "video" if "video" in media else "audio" if "audio" in media else None
    return tuple(each for each in types if TYPES[each].medium == wanted) or types
