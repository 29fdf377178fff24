"""Turns: who saves goes before who starts; both queues end, and say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from fieldpack.server.machine import turns as turns_module
from fieldpack.server.machine.turns import (
    AT_ONCE,
    MOST_SAVES,
    MOST_STANDING,
    MOST_STARTS,
    STANDING_SECONDS,
    STARTS_AT_ONCE,
    Turns,
)
from fieldpack.server.problems import BUSY, Problem

Turn = Callable[[], AbstractAsyncContextManager[None]]


class Crowd:
    """People who keep their turn until they are let go."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.gate = asyncio.Event()

    async def come(self, turn: Turn, name: str) -> None:
        async with turn():
            self.came.append(name)
            await self.gate.wait()

    def send(self, turn: Turn, name: str, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.come(turn, name)) for _ in range(count)]


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_start_waits_while_somebody_waits_to_save() -> None:
    async def run() -> None:
        turns, first, later = Turns(), Crowd(), Crowd()
        busy = first.send(turns.saving, "save", AT_ONCE)
        await settle()
        assert first.came == ["save"] * AT_ONCE
        waiting = later.send(turns.starting, "start", 2) + later.send(turns.saving, "save", 2)
        await settle()
        assert later.came == []
        first.gate.set()
        await asyncio.gather(*busy)
        await settle()
        assert later.came == ["save", "save", "start", "start"]
        later.gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_starts_leave_room_and_are_refused_long_before_saving_is() -> None:
    async def run() -> None:
        turns, starting, saving = Turns(lambda: 0.0), Crowd(), Crowd()
        tasks = starting.send(turns.starting, "start", STARTS_AT_ONCE + MOST_STARTS)
        await settle()
        assert len(starting.came) == STARTS_AT_ONCE
        with pytest.raises(Problem) as refused:
            await starting.come(turns.starting, "start")
        assert refused.value.type is BUSY
        assert int(refused.value.headers["Retry-After"]) >= 1
        room = AT_ONCE - STARTS_AT_ONCE
        tasks += saving.send(turns.saving, "save", room + MOST_SAVES)
        await settle()
        assert len(saving.came) == room
        with pytest.raises(Problem) as refused:
            await saving.come(turns.saving, "save")
        assert refused.value.type is BUSY
        starting.gate.set()
        saving.gate.set()
        await asyncio.gather(*tasks)
        assert len(starting.came) == STARTS_AT_ONCE + MOST_STARTS
        assert len(saving.came) == room + MOST_SAVES

    asyncio.run(run())


def test_a_crowd_is_slowed_and_a_queue_that_stands_is_kept_short() -> None:
    async def run() -> None:
        now = 0.0
        turns, crowd = Turns(lambda: now), Crowd()
        tasks = crowd.send(turns.starting, "start", STARTS_AT_ONCE + MOST_STANDING + 1)
        await settle()
        now = STANDING_SECONDS
        with pytest.raises(Problem):
            await crowd.come(turns.starting, "start")
        crowd.gate.set()
        await asyncio.gather(*tasks)
        again = Crowd()
        tasks = again.send(turns.starting, "start", STARTS_AT_ONCE + MOST_STANDING + 2)
        await settle()
        again.gate.set()
        await asyncio.gather(*tasks)  # the queue had ended: this is another one

    asyncio.run(run())


def test_a_start_that_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long those go on who save: whoever starts hears of it, and takes no turn later."""
    monkeypatch.setattr(turns_module, "LONGEST_START_SECONDS", 0.01)

    async def run() -> None:
        turns, first, later = Turns(), Crowd(), Crowd()
        busy = first.send(turns.saving, "save", AT_ONCE)
        await settle()
        with pytest.raises(Problem) as refused:
            await later.come(turns.starting, "start")
        assert refused.value.type is BUSY
        assert int(refused.value.headers["Retry-After"]) >= 1
        first.gate.set()
        await asyncio.gather(*busy)
        assert later.came == []
        later.gate.set()
        await later.come(turns.starting, "start")
        assert later.came == ["start"]

    asyncio.run(run())


@pytest.mark.parametrize("called", [False, True])
def test_who_leaves_before_their_turn_takes_none(called: bool) -> None:
    """Whether they were called at that moment or not: the next one comes."""

    async def run() -> None:
        turns, first, gone, later = Turns(), Crowd(), Crowd(), Crowd()
        busy = first.send(turns.saving, "save", AT_ONCE)
        await settle()
        leaving = gone.send(turns.saving, "gone", 3) + gone.send(turns.starting, "gone", 1)
        await settle()
        waiting = later.send(turns.saving, "save", AT_ONCE) + later.send(turns.starting, "start", 1)
        await settle()
        if called:
            first.gate.set()
            await asyncio.sleep(0)  # their turns end, and nobody who is called has run yet
        for task in leaving:
            task.cancel()
        first.gate.set()
        await asyncio.gather(*busy)
        await asyncio.gather(*leaving, return_exceptions=True)
        await settle()
        later.gate.set()
        await asyncio.gather(*waiting)
        assert sorted(later.came) == ["save"] * AT_ONCE + ["start"]
        assert gone.came == []

    asyncio.run(run())
