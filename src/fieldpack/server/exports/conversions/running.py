"""The child process that converts: started, given ranges of the archive, ended when it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from fieldpack.server.exports.conversions.child import ASKED, OUTPUT
from fieldpack.server.exports.serve.reading import Archive

__all__ = ["Limits", "NotConverted", "Outcome", "run_child"]

CHILD = "fieldpack.server.exports.conversions.child"
MOST_ANSWER_BYTES = 1 << 20
MOST_WARNINGS = 50
MOST_CHARACTERS = 500  # of one
SLOWER = 4  # how much longer it may take by the clock than on a processor: machines are busy
NOBODY = 65534
HERE = Path("/proc/self/cwd")  # the child's folder, also where those above it are closed to it
HAS_HERE = HERE.exists()
ENVIRONMENT = {
    # each would take address space for every processor there is
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a conversion may take: bytes of memory, seconds of a processor, bytes of the file that it makes."""

    memory_bytes: int
    seconds: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file that was made: where it is, and what is said of it."""

    path: Path
    size_bytes: int
    rows: int | None
    columns: int | None
    warnings: list[str]


class NotConverted(Exception):
    """No file can be made of this archive; `str()` is a sentence for the person who asked for it."""


async def run_child(
    archive: Archive,
    size_bytes: int,
    wanted: str,
    name: str,
    folder: Path,
    limits: Limits,
    on_read: Callable[[int], None],
) -> Outcome:
    """Convert an archive.

    Args:
        archive: open, of `size_bytes`.
        wanted: the format.
        name: what the archive is called, as reports show it.
        folder: an empty one, for this alone; the caller removes it with all that is in it.
        on_read: told how far the archive was read, in bytes from its beginning.

    Raises:
        NotConverted: it can't be done, or takes more than it may.
        BlobDamaged, BlobMissing, StorageError: the archive can't be read.
        OSError: no process can be started.
    """
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-I",
                    "-B",
                    "-m",
                    CHILD,
                    wanted,
                    name,
                    str(size_bytes),
                    str(theirs.fileno()),
                ),
                *(str(each) for each in (limits.memory_bytes, limits.seconds, limits.file_bytes)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**ENVIRONMENT, "TMPDIR": str(HERE if HAS_HERE else folder)},
                cwd=folder,
                start_new_session=True,
            )
        feeding = asyncio.create_task(_feed(archive, ours, size_bytes, on_read))
        try:
            async with asyncio.timeout(limits.seconds * SLOWER):
                answer = await _read(process)
                code = await process.wait()
        except TimeoutError:
            raise NotConverted(
                f"It took longer than {limits.seconds * SLOWER:,} s, which is as long as it may take."
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            if not feeding.done():
                feeding.cancel()
            await asyncio.wait({feeding})
    if not feeding.cancelled() and (fault := feeding.exception()) is not None:
        raise fault
    return _judge(code, answer, folder, limits)


async def _feed(
    archive: Archive, ours: socket.socket, size_bytes: int, on_read: Callable[[int], None]
) -> None:
    """Send the ranges that the child asks for, until it leaves; it is let down when they can't be read."""
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        while True:
            offset, length = ASKED.unpack(await reader.readexactly(ASKED.size))
            stop = offset + length
            if stop > size_bytes:
                return
            async with contextlib.aclosing(archive.iter_bytes(offset, stop)) as chunks:
                async for chunk in chunks:
                    # a copy, as the next chunk may come in the same buffer
                    writer.write(bytes(chunk))  # type: ignore[arg-type]  # no ranges of files were asked for
                    await writer.drain()
            on_read(stop)
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.transport.abort()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    answer = bytearray()
    while chunk := await process.stdout.read(1 << 16):
        answer += chunk
        if len(answer) > MOST_ANSWER_BYTES:
            raise NotConverted("What the conversion said of itself is too long.")
    return bytes(answer)


def _judge(code: int, answer: bytes, folder: Path, limits: Limits) -> Outcome:
    """What a child made, which may have been taken over by a picture that it read."""
    too_much = (
        f"It takes more than the {limits.memory_bytes >> 20:,} MB of memory or {limits.seconds:,} s of a processor"
        " that it may take. Download the archive and use `fieldpack convert`, or narrow the export."
    )
    if code < 0:
        raise NotConverted(too_much)
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        told = {}
    refused = told.get("refused") if isinstance(told, dict) else None
    if refused == "memory":
        raise NotConverted(too_much)
    if isinstance(refused, str):
        raise NotConverted(refused[:MOST_CHARACTERS])
    path = folder / OUTPUT
    try:
        status = path.lstat()
    except OSError:
        status = None
    # a plain file, by no other name
    if code != 0 or status is None or not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise NotConverted(f"The program that converts has ended ({code}) without a file. Tell the operator.")
    if os.geteuid() == 0:
        os.chown(path, 0, 0, follow_symlinks=False)
    warnings = [str(each)[:MOST_CHARACTERS] for each in told.get("warnings") or []]
    return Outcome(
        path,
        status.st_size,
        _count(told.get("rows")),
        _count(told.get("columns")),
        warnings[:MOST_WARNINGS],
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else None
