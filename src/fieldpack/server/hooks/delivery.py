"""The events of one subscription on their way: in order for each resource, several resources at once."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from uuid import UUID

import httpcore
import structlog

from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.hooks import queries
from fieldpack.server.hooks.rows import DueRow
from fieldpack.server.hooks.sending import Outcome, send_event
from fieldpack.server.hooks.targets import Authorities, open_pool
from fieldpack.server.jobs import HOOKS_QUEUE, defer

__all__ = ["deliver", "requeue_waiting"]

AT_ONCE = 16  # requests to one receiver
BATCH = 64
TURN_SECONDS = 20.0  # then others have theirs, and the worker may stop
# of a subscription to which the last event did not arrive
FAILING_AT_ONCE = 4
FAILING_TURN_SECONDS = 5.0
FAILING_PRIORITY = -1
# of the places of all workers (`run.worker.HOOKS_AT_ONCE` in each), what one workspace has at most
WORKING_JOBS = 12
FAILING_JOBS = 4
MOST_FAILURES = 12
# seconds after the first, second … failure; the twelfth comes within 24 hours of the first, and none after it
DELAYS = [5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0]
NOTICE_DAYS, DISABLE_DAYS = 3.0, 5.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Turn:
    """How long a subscription is sent to before others have theirs, and how much at once."""

    until: float
    at_once: int
    stopping: threading.Event

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until or self.stopping.is_set()


async def requeue_waiting(
    connection: Connection, *, beside: UUID | None = None, ending: int | None = None
) -> None:
    """Enqueue jobs for subscriptions that have something to be sent and none that does it, as far as the share of
    their workspace goes. Those that work go before those that fail, where all places are taken.

    Args:
        beside: only those of the workspace of this subscription.
        ending: the id of the job that asks because it is over, so that its place is the next one's at once.
    """
    if not await queries.take_turn(connection):
        return
    for row in await queries.list_waiting(
        connection, WORKING_JOBS, FAILING_JOBS, beside=beside, ending=ending
    ):
        await defer(
            connection,
            "deliver_hooks",
            queue=HOOKS_QUEUE,
            priority=FAILING_PRIORITY if row.is_failing else 0,
            lock=f"hook:{row.id}",
            queueing_lock=f"hook:{row.id}",
            subscription_id=str(row.id),
        )


async def deliver(context: Context, subscription_id: UUID, stopping: threading.Event) -> bool:
    """Send what is due, until nothing is, or the turn is over; whatever is left waits for the next job. Whether
    anything was sent.

    A worker that dies meanwhile leaves events as they were: they are sent again, under the same id.
    """
    allowed = context.settings.allowed_hook_targets
    began = time.monotonic()
    has_sent = False
    async with open_pool(allowed, AT_ONCE, context.caches.get(Authorities)) as pool:
        while True:
            async with context.database.transaction() as connection:
                subscription = await queries.find_subscription(connection, subscription_id)
                if subscription is None or not subscription.is_enabled or subscription.confirmed_at is None:
                    return has_sent
                if subscription.failing_since is None:
                    turn = _Turn(began + TURN_SECONDS, AT_ONCE, stopping)
                else:
                    turn = _Turn(began + FAILING_TURN_SECONDS, FAILING_AT_ONCE, stopping)
                due = await queries.list_due(connection, subscription_id, BATCH)
            if not due or turn.is_over:
                return has_sent
            places = asyncio.Semaphore(turn.at_once)
            ended = await asyncio.gather(
                *(_send_one(context, pool, places, subscription_id, event, turn) for event in due),
                return_exceptions=True,  # what was sent is to be kept, whatever became of the others
            )
            for result in ended:
                if isinstance(result, BaseException):
                    raise result
            has_sent = has_sent or any(ended)
            if turn.is_over or not any(ended):
                return has_sent


async def _send_one(
    context: Context,
    pool: httpcore.AsyncConnectionPool,
    places: asyncio.Semaphore,
    subscription_id: UUID,
    event: DueRow,
    turn: _Turn,
) -> bool:
    """Send one event, to where the subscription leads by then, and keep what became of it; whether it was sent. Not
    when the turn is over, the subscription gone or the event withdrawn before it comes to it.

    No connection to the database is held while the receiver is waited for.
    """
    async with places:
        if turn.is_over:
            return False
        async with context.database.statements() as connection:
            message = await queries.find_message(connection, event.id)
            if message is None:
                await queries.withdraw_event(connection, event.id)
                return False
        outcome = await send_event(pool, context.settings.allowed_hook_targets, message)
        if outcome.status_code is None:  # nobody answers there: the others would wait as long
            turn.until = 0.0
    async with context.database.transaction() as connection:
        await _keep(connection, event, message.target_url, outcome)
        if outcome.error is None:
            return True
        if await queries.notice_failing(connection, subscription_id, NOTICE_DAYS):
            log.warning("hooks.failing", subscription_id=str(subscription_id), days=NOTICE_DAYS)
        if await queries.disable_failing(
            connection, subscription_id, DISABLE_DAYS, DISABLE_DAYS - NOTICE_DAYS
        ):
            log.warning("hooks.disabled", subscription_id=str(subscription_id), days=DISABLE_DAYS)
    return True


async def _keep(connection: Connection, event: DueRow, target_url: str, outcome: Outcome) -> None:
    erased = await queries.is_erased(connection, event.resource_id)
    await queries.keep_attempt(
        connection,
        event.id,
        target_url,
        outcome.seconds,
        outcome.status_code,
        None if erased else outcome.answer,
        outcome.error,
    )
    if outcome.error is None:
        await queries.set_arrived(connection, event.id)
    else:
        await queries.set_failed(connection, event.id, MOST_FAILURES, DELAYS)
