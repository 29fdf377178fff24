"""The events of one subscription on their way: in order for each resource, several resources at once."""

from __future__ import annotations

import asyncio
import threading
import time
from uuid import UUID

import httpcore
import structlog

from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.hooks import queries
from fieldpack.server.hooks.rows import EventRow, SubscriptionRow
from fieldpack.server.hooks.sending import Outcome, send_event
from fieldpack.server.hooks.targets import Authorities, open_pool
from fieldpack.server.jobs import HOOKS_QUEUE, defer

__all__ = ["deliver", "requeue_waiting"]

AT_ONCE = 16  # requests to one receiver
BATCH = 64
TURN_SECONDS = 20.0  # then others have theirs, and the worker may stop
MOST_FAILURES = 12
# seconds after the first, second … failure; the twelfth comes within 24 hours of the first, and none after it
DELAYS = [5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0]
NOTICE_DAYS, DISABLE_DAYS = 3.0, 5.0

log = structlog.get_logger()


async def requeue_waiting(connection: Connection) -> None:
    """Enqueue a job for every subscription that has something to be sent and none that does it."""
    for subscription_id in await queries.list_waiting(connection):
        await defer(
            connection,
            "deliver_hooks",
            queue=HOOKS_QUEUE,
            lock=f"hook:{subscription_id}",
            queueing_lock=f"hook:{subscription_id}",
            subscription_id=str(subscription_id),
        )


async def deliver(context: Context, subscription_id: UUID, stopping: threading.Event) -> None:
    """Send what is due, until nothing is, or the turn is over; whatever is left waits for the next job.

    A worker that dies meanwhile leaves events as they were: they are sent again, under the same id.
    """
    allowed = context.settings.allowed_hook_targets
    until = time.monotonic() + TURN_SECONDS
    places = asyncio.Semaphore(AT_ONCE)
    async with open_pool(allowed, AT_ONCE, context.caches.get(Authorities)) as pool:
        while time.monotonic() < until and not stopping.is_set():
            async with context.database.transaction() as connection:
                subscription = await queries.find_subscription(connection, subscription_id)
                if subscription is None or not subscription.is_enabled or subscription.confirmed_at is None:
                    return
                secret = await queries.find_secret(connection, subscription.workspace_id)
                due = await queries.list_due(connection, subscription_id, BATCH)
            if secret is None or not due:
                return
            ended = await asyncio.gather(
                *(
                    _send_one(context, pool, places, subscription, secret.value, event, until, stopping)
                    for event in due
                ),
                return_exceptions=True,  # what was sent is to be kept, whatever became of the others
            )
            for error in ended:
                if error is not None:
                    raise error


async def _send_one(
    context: Context,
    pool: httpcore.AsyncConnectionPool,
    places: asyncio.Semaphore,
    subscription: SubscriptionRow,
    secret: str,
    event: EventRow,
    until: float,
    stopping: threading.Event,
) -> None:
    """Send one event and keep what became of it; not when the turn is over before it comes to it."""
    async with places:
        if time.monotonic() >= until or stopping.is_set():
            return
        allowed = context.settings.allowed_hook_targets
        outcome = await send_event(pool, allowed, subscription.target_url, secret, event)
    async with context.database.transaction() as connection:
        await _keep(connection, event, subscription.target_url, outcome)
        if outcome.error is None:
            return
        if await queries.notice_failing(connection, subscription.id, NOTICE_DAYS):
            log.warning("hooks.failing", subscription_id=str(subscription.id), days=NOTICE_DAYS)
        if await queries.disable_failing(
            connection, subscription.id, DISABLE_DAYS, DISABLE_DAYS - NOTICE_DAYS
        ):
            log.warning("hooks.disabled", subscription_id=str(subscription.id), days=DISABLE_DAYS)


async def _keep(connection: Connection, event: EventRow, target_url: str, outcome: Outcome) -> None:
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
