"""Small pictures of one file, made by a child process that is ended when it takes too long, and believed in nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import orjson

from fieldpack.server.thumbnails.formats import MOST_PAGES, PAGE_SIDE, decoder_of, sides_of

__all__ = ["Limits", "NotRendered", "Rendered", "RenderedImage", "can_render", "render"]

CHILD = "fieldpack.server.thumbnails.child"
MOST_ANSWER_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16
SLOWER = 4  # how much longer a file may take by the clock than on a processor: machines are busy
POSIX = os.name == "posix"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may take: bytes of memory, seconds of a processor, pixels."""

    memory_bytes: int
    seconds: int
    pixels: int


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """A small picture, as a WebP file."""

    side: int
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Rendered:
    """What was made of a file; width and height are of the original, upright.

    Attributes:
        pages: of a document, its second page and further ones; their side is `PAGE_SIDE`.
        page_count: how many it has in all; None for what is none.
    """

    width: int
    height: int
    images: list[RenderedImage]
    pages: list[RenderedImage]
    page_count: int | None


class NotRendered(Exception):
    """No small picture can be made of a file.

    Attributes:
        reason: `unreadable`, `limit` when it was ended for its memory or processor time, `time` for that of the clock,
            `type` for what nothing here decodes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def can_render(content_type: str) -> bool:
    """Whether small pictures are made of such files here."""
    return POSIX and decoder_of(content_type, with_films=_has_films()) is not None


def _has_films() -> bool:
    return find_spec("av") is not None


async def render(descriptor: int, content_type: str, limits: Limits) -> Rendered:
    """Make the small pictures of a file.

    Args:
        descriptor: the file, open for reading from its beginning; the caller closes it.

    Raises:
        NotRendered: there are none.
        OSError: no process can be started.
    """
    decoder = decoder_of(content_type, with_films=_has_films())
    if decoder is None or not POSIX:
        raise NotRendered("type")
    sides = sides_of(content_type)
    if decoder[0] == "document":
        # a page that takes too much ends the process: then the first is made alone
        with contextlib.suppress(NotRendered):
            return await _run(descriptor, decoder, sides, limits, MOST_PAGES)
        os.lseek(descriptor, 0, os.SEEK_SET)
    return await _run(descriptor, decoder, sides, limits, 1)


async def _run(
    descriptor: int, decoder: tuple[str, str], sides: tuple[int, ...], limits: Limits, pages: int
) -> Rendered:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-B", "-m", CHILD, *decoder, ",".join(str(side) for side in sides)),
        *(str(limits.pixels), str(limits.memory_bytes), str(limits.seconds), str(pages)),
        stdin=descriptor,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.seconds * SLOWER):
            answer = await _read(process)
            code = await process.wait()
    except TimeoutError:
        raise NotRendered("time") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code != 0:
        raise NotRendered("limit" if code < 0 else "unreadable")
    return read_answer(answer, sides)


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    answer = bytearray()
    while chunk := await process.stdout.read(CHUNK_BYTES):
        answer += chunk
        if len(answer) > MOST_ANSWER_BYTES:
            raise NotRendered("unreadable")
    return bytes(answer)


def read_answer(answer: bytes, sides: tuple[int, ...]) -> Rendered:
    """What a child answered, which may have been taken over by the file that it read.

    Raises:
        NotRendered: it is not what it has to be.
    """
    line, _, body = answer.partition(b"\n")
    try:
        head = orjson.loads(line)
        images: list[RenderedImage] = []
        pages: list[RenderedImage] = []
        for entry in [*head["images"], *head.get("pages", [])]:
            side, width, height, size = (_number(entry[name]) for name in ("side", "width", "height", "size"))
            data, body = body[:size], body[size:]
            if max(width, height) > side or len(data) != size or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
                raise ValueError
            kept = images if len(images) < len(head["images"]) else pages
            kept.append(RenderedImage(side, width, height, data))
        said = head.get("page_count")
        count = None if said is None else _number(said)
        if sorted(image.side for image in images) != sorted(sides) or body:
            raise ValueError
        if any(page.side != PAGE_SIDE for page in pages) or len(pages) >= max(1, min(count or 1, MOST_PAGES)):
            raise ValueError
        return Rendered(_number(head["width"]), _number(head["height"]), images, pages, count)
    except (KeyError, TypeError, ValueError):
        raise NotRendered("unreadable") from None


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise ValueError
    return value
