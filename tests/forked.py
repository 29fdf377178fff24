"""The program in processes of its own that start at once: forked from one that has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fieldpack.cli
from tests.installation import environment

TIMEOUT_SECONDS = 300.0
MODULES = [
    *(
        found.name
        for found in pkgutil.walk_packages(fieldpack.cli.__path__, "fieldpack.cli.")
        if not found.ispkg
    ),
    "fieldpack.server.backup.making",
    "fieldpack.server.backup.restoring",
    "fieldpack.server.run.importing",
    "fieldpack.server.run.serve",
]
STEPS = ("open", "fsync", "rename", "replace")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(MODULES)


@dataclass(frozen=True)
class Done:
    """How a run of the program ended; `code` is negative for a signal."""

    code: int
    stdout: bytes
    stderr: str


def run_program(
    arguments: Sequence[str | Path], settings: dict[str, str] | None = None, *, dying_at: int | None = None
) -> Done:
    """Run the command line.

    Args:
        settings: variables of its environment.
        dying_at: kill -9 it before it opens, fsyncs or renames something for the so-many-th time; 0 lets it live, and
            the last word on standard error says how often it did.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _context.Process(
            target=_run,
            args=(list(map(str, arguments)), environment(**settings or {}), str(out), str(err), dying_at),
        )
        process.start()
        process.join(TIMEOUT_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return Done(process.exitcode, out.read_bytes(), err.read_text(errors="replace"))


def _run(arguments: list[str], environ: dict[str, str], out: str, err: str, dying_at: int | None) -> None:
    os.environ.clear()
    os.environ.update(environ)
    for path, descriptor in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == dying_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **options)

        return call

    from fieldpack.cli.root import main

    if dying_at is not None:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
    code = main(arguments)
    if dying_at is not None:
        print(count, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
