"""Signals that ask to stop, raised where that is safe: not while a program starts, nor while things are cleared away.

A program that is just being started would not be known to whoever has to end it, and a half-cleared folder would stay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

__all__ = ["Stopped", "signals_held", "signals_raised"]

STOPPED_BY = ("SIGINT", "SIGTERM", "SIGHUP")
LOOK_SECONDS = 1.0


class Stopped(KeyboardInterrupt):
    """A signal asked to stop."""


class _State:
    """Of this process, which has one set of signals.

    Attributes:
        holders: blocks that hold signals at this moment.
        is_asked: whether a signal came while one did.
    """

    holders = 0
    is_asked = False


@contextlib.contextmanager
def signals_raised() -> Iterator[None]:
    """INT, TERM and HUP as exceptions, once: what follows them is clearing up, which no second one is to interrupt.

    The death of the parent process counts as a signal too: a `make` that was killed can't pass one on.

    Raises:
        Stopped: inside the block.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if _State.holders:
            _State.is_asked = True
            return
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    numbers = [getattr(signal, name) for name in STOPPED_BY if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers}
    parent = os.getppid()
    if "MAKELEVEL" in os.environ:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _State.is_asked = False  # what came in vain is not for a later block


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """No signal is raised inside the block; one that came is sent again at its end, unless that is by an exception."""
    _State.holders += 1
    try:
        yield
    finally:
        _State.holders -= 1
    if _State.is_asked and not _State.holders:
        _State.is_asked = False
        os.kill(os.getpid(), signal.SIGTERM)
