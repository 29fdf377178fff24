"""A job's end is told, and a worker process is whole or ends, also when the database drops connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from procrastinate import Blueprint
from procrastinate.jobs import DeleteJobCondition
from procrastinate.worker import Worker

from fieldpack.server.jobs import queue_app
from fieldpack.server.run.worker import run_together
from tests.installation import Installation
from tests.integration.rows import connected

PATIENCE_SECONDS = 60.0
WAITING = """
    application_name = 'test-job-ends' AND query LIKE '%finish_job%' AND cardinality(pg_blocking_pids(pid)) > 0
"""


def url_of(database: psycopg.Connection[Any]) -> str:
    return f"{database.info.dsn} application_name=test-job-ends"


async def until(look: Callable[[], bool]) -> None:
    """As `wait_for`, which would hold up the event loop."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_an_end_is_told_when_the_connection_was_lost(server: Installation) -> None:
    """What the job did stays done, so its end has to be known: others wait under its lock."""
    with connected(server) as database, connected(server) as watching:
        ran = []

        def find_jobs() -> list[Any]:
            return watching.execute(
                "SELECT id FROM procrastinate_jobs WHERE queue_name = 'test-ends'"
            ).fetchall()

        def is_cut() -> bool:
            """Whether somebody waited for the job's row, and was cut off."""
            return bool(
                watching.execute(
                    f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {WAITING}"
                ).fetchall()
            )

        async def work() -> None:
            blueprint = Blueprint()

            @blueprint.task(name="hold", queue="test-ends", lock="test-ends")
            async def hold() -> None:
                ran.append(1)
                if len(ran) == 1:
                    await asyncio.to_thread(
                        database.execute, "BEGIN; LOCK TABLE procrastinate_jobs IN SHARE MODE"
                    )

            app = queue_app(url_of(database))
            app.add_tasks_from(blueprint, namespace="test")
            async with app.open_async():
                for _ in range(2):
                    await app.configure_task("test:hold").defer_async()
                worker = Worker(
                    app=app, queues=["test-ends"], listen_notify=False, fetch_job_polling_interval=0.2,
                    install_signal_handlers=False, delete_jobs=DeleteJobCondition.SUCCESSFUL,
                    update_heartbeat_interval=1.0,
                )  # fmt: skip
                running = asyncio.create_task(worker.run())
                await until(is_cut)
                database.execute("ROLLBACK")
                await until(lambda: find_jobs() == [])
                worker.stop()
                await asyncio.wait_for(running, PATIENCE_SECONDS)

        asyncio.run(work())
        assert len(ran) == 2


@pytest.mark.parametrize("waiting", [False, True])
def test_what_is_stopped_with_its_worker_is_queued_again(server: Installation, waiting: bool) -> None:
    """Once, also where the same is queued already."""
    begun, ended = [], []

    async def work() -> None:
        blueprint = Blueprint()

        @blueprint.task(name="last", queue="test-stops", lock="test-stops", queueing_lock="test-stops")
        async def last() -> None:
            begun.append(1)
            await asyncio.sleep(600 if len(begun) == 1 else 0)
            ended.append(1)

        app = queue_app(url_of(watching))
        app.add_tasks_from(blueprint, namespace="test")
        async with app.open_async():

            def make_worker(*, wait: bool) -> Worker:
                return Worker(
                    app=app, queues=["test-stops"], wait=wait, listen_notify=False, install_signal_handlers=False,
                    shutdown_graceful_timeout=0.1, update_heartbeat_interval=1.0,
                    delete_jobs=DeleteJobCondition.SUCCESSFUL,
                )  # fmt: skip

            await app.configure_task("test:last").defer_async()
            first = make_worker(wait=True)
            running = asyncio.create_task(first.run())
            await until(lambda: len(begun) == 1)
            if waiting:
                await app.configure_task("test:last", queueing_lock="test-stops").defer_async()
            first.stop()
            await asyncio.wait_for(running, PATIENCE_SECONDS)
            await asyncio.wait_for(make_worker(wait=False).run(), PATIENCE_SECONDS)

    with connected(server) as watching:
        asyncio.run(work())
        left = watching.execute(
            "SELECT FROM procrastinate_jobs WHERE queue_name = 'test-stops' AND status = 'todo'"
        )
        assert left.fetchone() is None
    assert len(begun) == 2
    assert len(ended) == 1


def test_one_that_ends_takes_the_others_with_it(server: Installation) -> None:
    """Each serves queues of its own, which nobody would serve any more."""
    with connected(server) as database:

        async def run() -> list[str]:
            app = queue_app(url_of(database))
            async with app.open_async():
                workers = [
                    Worker(app=app, queues=[f"test-{name}"], name=name, install_signal_handlers=False)
                    for name in ("first", "second")
                ]

                def stop() -> None:
                    for worker in workers:
                        worker.stop()

                running = asyncio.create_task(run_together(workers, stop))
                await until(lambda: all(worker.worker_id is not None for worker in workers))
                workers[0].stop()
                await asyncio.wait_for(running, PATIENCE_SECONDS)
                return [str(worker.worker_id) for worker in workers]

        assert asyncio.run(run()) == ["None", "None"]
