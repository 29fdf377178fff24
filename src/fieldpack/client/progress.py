"""The progress of an export, and showing it in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TextIO

from fieldpack.text import make_plain, say_bytes

__all__ = ["OnProgress", "Progress", "show_progress"]

_LINE_EVERY = 5.0  # seconds between plain lines …
_LINE_STEP = 0.1  # … or a tenth of the way, whichever comes first


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of an export and its download at one moment.

    Attributes:
        stage: `waiting` (until the server has ended some of its other exports), `generating`, `downloading`, or
            `verifying` (what is on disk is read and checked; checks made while downloading are not a stage of
            their own).
        done_bytes: bytes downloaded or checked; 0 before.
        total_bytes: of how many, or None when that is not known.
        fraction: 0 … 1 of this stage, or None when it is not known.
        waiting: why the export does not advance at the moment, in the server's words.
    """

    stage: Literal["waiting", "generating", "downloading", "verifying"]
    done_bytes: int = 0
    total_bytes: int | None = None
    fraction: float | None = None
    waiting: str | None = None

    @classmethod
    def of_bytes(cls, stage: Literal["downloading", "verifying"], done: int, total: int | None) -> Progress:
        """The progress when `done` bytes of `total` are downloaded or checked."""
        return cls(stage, done, total, done / total if total else None)


OnProgress = Callable[[Progress], None]


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[OnProgress]:
    """Show progress on `stream` (standard error): a bar on a terminal, else a plain line now and then."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(stream) as show:
            yield show
    else:
        yield _lines(stream)


def _lines(stream: TextIO) -> OnProgress:
    last: dict[str, Any] = {"stage": None, "at": 0.0, "fraction": 0.0, "waiting": None}

    def show(progress: Progress) -> None:
        now, fraction = time.monotonic(), progress.fraction or 0.0
        is_last = progress.fraction == 1.0 and last["fraction"] != 1.0
        is_new = (progress.stage, progress.waiting) != (last["stage"], last["waiting"])
        if is_new or is_last or now - last["at"] >= _LINE_EVERY or fraction - last["fraction"] >= _LINE_STEP:
            last.update(stage=progress.stage, at=now, fraction=fraction, waiting=progress.waiting)
            with suppress(OSError, ValueError):  # the stream was closed; the download goes on
                stream.write(_describe(progress) + "\n")
                stream.flush()

    return show


def _describe(progress: Progress) -> str:
    words: list[str] = [progress.stage]
    if progress.stage == "waiting":
        words.append("for the server, which makes as many exports at once as it may")
    if progress.total_bytes is not None:
        words.append(f"{say_bytes(progress.done_bytes)} of {say_bytes(progress.total_bytes)}")
    elif progress.done_bytes:
        words.append(say_bytes(progress.done_bytes))
    if progress.fraction is not None:
        words.append(f"{progress.fraction:.0%}")
    if progress.waiting:
        words.append(f"waiting: {make_plain(progress.waiting)}")
    return " ".join(words)


@contextmanager
def _bar(stream: TextIO) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:>11}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(file=stream), transient=True) as bar:
        tasks: dict[str, TaskID] = {}
        said: list[str | None] = [None]

        def show(progress: Progress) -> None:
            is_bytes = progress.stage not in ("waiting", "generating")
            total: float | None = progress.total_bytes if is_bytes else 1.0
            done: float = progress.done_bytes if is_bytes else (progress.fraction or 0.0)
            if progress.stage not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[progress.stage] = bar.add_task(progress.stage, total=total, amount="")
            if progress.waiting != said[-1]:
                said.append(progress.waiting)
                if progress.waiting:  # above the bar, where it stays
                    bar.console.print(
                        _describe(replace(progress, fraction=None)), markup=False, highlight=False
                    )
            amount = _describe(replace(progress, waiting=None)).removeprefix(progress.stage).strip()
            bar.update(tasks[progress.stage], completed=done, total=total, amount=amount)

        yield show
