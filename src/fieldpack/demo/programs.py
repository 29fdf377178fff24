"""The commands that the demonstration runs, each as a program of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import IO, Any

from fieldpack.demo.signals import signals_held
from fieldpack.errors import FieldpackError

__all__ = ["find_command", "run_command", "running_server"]

READY_SECONDS = 120.0
STOP_SECONDS = 40.0


def find_command() -> str:
    """`fieldpack` as it can be typed here: by name where the shell finds this very one, else by path."""
    own = Path(sys.executable).with_name("fieldpack")
    found = shutil.which("fieldpack")
    if found is not None and Path(found).absolute() == own.absolute():
        return "fieldpack"
    if not own.exists():
        return f"{quote(sys.executable)} -m fieldpack"
    return quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))


def run_command(*arguments: str, data_dir: Path, is_read: bool = False) -> str:
    """Run a command against the server of `data_dir`; what it printed, where `is_read`.

    Raises:
        FieldpackError: it failed; it has said why.
    """
    with _started(arguments, data_dir, stdout=subprocess.PIPE if is_read else None) as process:
        said = process.stdout.read() if process.stdout is not None else b""
        if process.wait() != 0:
            raise FieldpackError(f"`fieldpack {' '.join(arguments)}` failed.")
    return str(said, "utf-8")


@contextlib.contextmanager
def running_server(
    data_dir: Path, log: Path, *, port: int, lock_fd: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, as `fieldpack serve` runs it, until the end of the block.

    Args:
        log: where it says what it has to say.
        port: what it listens on; 0 takes a free one.
        lock_fd: a lock that it holds too, for as long as it lives.

    Raises:
        FieldpackError: it does not start.
    """
    arguments = ["serve", "--data-dir", str(data_dir), "--port", str(port)]
    with (
        log.open("wb") as out,
        _started(arguments, data_dir, stdout=out, stderr=subprocess.STDOUT, pass_fds=[lock_fd]) as process,
    ):
        deadline = time.monotonic() + READY_SECONDS
        while "fieldpack serves " not in (said := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise FieldpackError(f"The demo's server did not start. It said:\n{said.strip()}")
            time.sleep(0.1)
        yield process


@contextlib.contextmanager
def _started(
    arguments: list[str] | tuple[str, ...], data_dir: Path, **how: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A command running; asked to stop at the end of the block, and waited for."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FIELDPACK_", "PROLIFIC_"))}
    with contextlib.ExitStack() as at_end:
        with signals_held():
            process = subprocess.Popen(
                [sys.executable, "-m", "fieldpack.demo.child", *arguments],
                env={**environment, "FIELDPACK_LOG_LEVEL": "warning", "FIELDPACK_DATA_DIR": str(data_dir)},
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the demonstration, which then stops it in order
                **how,
            )
            at_end.callback(_end, process)
        yield process


def _end(process: subprocess.Popen[bytes]) -> None:
    with signals_held():
        pipe: IO[bytes] | None = process.stdin
        if pipe is not None:
            pipe.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
