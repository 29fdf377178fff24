"""Signals that ask the demonstration to stop: never in the middle of a start or of clearing up."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpack.demo.folder import demo_folder
from fieldpack.demo.signals import Stopped, signals_held, signals_raised

MANY = 3_000


@pytest.fixture(autouse=True)
def other_handlers() -> Iterator[None]:
    """The suite's own handler of SIGINT comes back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("fails", [True, False])
def test_clearing_up_is_not_interrupted(tmp_path: Path, fails: bool) -> None:
    """Whatever it is that ended the work, such as words that nobody reads any more."""
    over = threading.Event()
    data = tmp_path / "demo" / "data"

    def interrupt() -> None:
        with contextlib.suppress(FileNotFoundError):  # all of it is gone already
            while len(os.listdir(data)) == MANY:
                time.sleep(0)
        ask()
        while not over.wait(0.001):
            ask()

    asking = threading.Thread(target=interrupt)
    with pytest.raises(Stopped), signals_raised():  # noqa: PT012
        try:
            with demo_folder(tmp_path / "demo"):
                data.mkdir()
                for number in range(MANY):
                    (data / str(number)).touch()
                asking.start()
                if fails:
                    raise BrokenPipeError
        finally:
            over.set()
            asking.join()
    assert list(tmp_path.iterdir()) == []


def test_one_that_came_meanwhile_is_raised_afterwards() -> None:
    reached = []
    with pytest.raises(Stopped), signals_raised():  # noqa: PT012
        with signals_held():
            with signals_held():
                ask()
            ask()
            reached.append("the end of the block")
        reached.append("never")
    assert reached == ["the end of the block"]


def test_only_the_first_is_raised() -> None:
    with signals_raised():
        with pytest.raises(Stopped):
            ask()
        ask()
