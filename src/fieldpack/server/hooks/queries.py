"""SQL of webhooks. Events are written by a trigger on the log of changes (its migration)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection, fetch_count
from fieldpack.server.hooks.rows import (
    AttemptRow,
    BacklogRow,
    DueRow,
    EventRow,
    MessageRow,
    SecretRow,
    SubscriptionRow,
    WaitingRow,
)

SECRET = columns_of(SecretRow, "s")
SUBSCRIPTION = columns_of(SubscriptionRow, "h")
EVENT = columns_of(EventRow, "e")
TELLS_OF_ERASED = """
    e.event_type <> 'submission.erased'
    AND EXISTS (SELECT FROM submissions s WHERE s.id = e.resource_id AND s.response = 'deleted')
"""

MOST_ATTEMPTS = 12  # of an event in a list: as many as there are until it is given up
EVENTS_IN_FULL = 20
ANSWER_BEGINS = 100  # characters


async def replace_secret(connection: Connection, workspace_id: UUID, id: UUID, value: str) -> SecretRow:
    """The one secret of a workspace, in place of the one there was."""
    cursor = await connection.cursor(row_factory=class_row(SecretRow)).execute(
        f"""
        INSERT INTO hook_secrets AS s (workspace_id, id, value) VALUES (%s, %s, %s)
        ON CONFLICT (workspace_id) DO UPDATE SET id = excluded.id, value = excluded.value, created_at = now()
        RETURNING {SECRET}
        """,
        [workspace_id, id, value],
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_secrets(
    connection: Connection, workspace_ids: list[UUID], limit: int, offset: int
) -> tuple[list[SecretRow], int]:
    """The secrets of workspaces, and how many there are."""
    condition = "FROM hook_secrets s WHERE s.workspace_id = ANY(%(workspaces)s)"
    values = {"workspaces": workspace_ids, "limit": limit, "offset": offset}
    cursor = await connection.cursor(row_factory=class_row(SecretRow)).execute(
        f"SELECT {SECRET} {condition} ORDER BY s.created_at, s.id LIMIT %(limit)s OFFSET %(offset)s", values
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count {condition}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def find_secret(connection: Connection, workspace_id: UUID) -> SecretRow | None:
    """The secret that events of a workspace are signed with."""
    cursor = await connection.cursor(row_factory=class_row(SecretRow)).execute(
        f"SELECT {SECRET} FROM hook_secrets s WHERE workspace_id = %s", [workspace_id]
    )
    return await cursor.fetchone()


async def insert_subscription(
    connection: Connection,
    workspace_id: UUID,
    event_type: str,
    target_url: str,
    *,
    is_enabled: bool,
    confirmation_sha256: bytes,
    created_by: UUID,
) -> SubscriptionRow:
    """A new subscription, which is not confirmed.

    Args:
        confirmation_sha256: of the secret that confirms it.
        created_by: researcher.
    """
    cursor = await connection.cursor(row_factory=class_row(SubscriptionRow)).execute(
        f"""
        INSERT INTO hook_subscriptions AS h (id, workspace_id, event_type, target_url, is_enabled,
                                             confirmation_sha256, created_by)
        VALUES (%(id)s, %(workspace_id)s, %(event_type)s, %(target_url)s, %(is_enabled)s,
                %(confirmation_sha256)s, %(created_by)s)
        RETURNING {SUBSCRIPTION}
        """,
        {
            "id": uuid4(),
            "workspace_id": workspace_id,
            "event_type": event_type,
            "target_url": target_url,
            "is_enabled": is_enabled,
            "confirmation_sha256": confirmation_sha256,
            "created_by": created_by,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def find_subscription(
    connection: Connection, subscription_id: UUID, *, lock: bool = False
) -> SubscriptionRow | None:
    """A subscription, whoever asks; with `lock` its row is locked until commit (`FOR UPDATE`)."""
    cursor = await connection.cursor(row_factory=class_row(SubscriptionRow)).execute(
        f"SELECT {SUBSCRIPTION} FROM hook_subscriptions h WHERE id = %s {'FOR UPDATE' if lock else ''}",
        [subscription_id],
    )
    return await cursor.fetchone()


async def list_subscriptions(
    connection: Connection, workspace_ids: list[UUID], is_enabled: bool, limit: int, offset: int
) -> tuple[list[SubscriptionRow], int]:
    """The subscriptions of workspaces, oldest first, and how many there are."""
    condition = """
        FROM hook_subscriptions h WHERE h.workspace_id = ANY(%(workspaces)s) AND h.is_enabled = %(enabled)s
    """
    values = {"workspaces": workspace_ids, "enabled": is_enabled, "limit": limit, "offset": offset}
    cursor = await connection.cursor(row_factory=class_row(SubscriptionRow)).execute(
        f"SELECT {SUBSCRIPTION} {condition} ORDER BY h.created_at, h.id LIMIT %(limit)s OFFSET %(offset)s",
        values,
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count {condition}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def confirm_subscription(connection: Connection, subscription_id: UUID) -> None:
    """Confirm a subscription; one that is confirmed stays as it is."""
    await connection.execute(
        "UPDATE hook_subscriptions SET confirmed_at = coalesce(confirmed_at, now()) WHERE id = %s",
        [subscription_id],
    )


async def update_subscription(
    connection: Connection,
    subscription_id: UUID,
    event_type: str | None,
    target_url: str | None,
    is_enabled: bool | None,
) -> None:
    """Write what is given; enabled, it begins as if it had never failed."""
    await connection.execute(
        """
        UPDATE hook_subscriptions SET
            event_type = coalesce(%(event_type)s, event_type), target_url = coalesce(%(target_url)s, target_url),
            is_enabled = coalesce(%(enabled)s, is_enabled),
            failing_since = CASE WHEN %(enabled)s THEN NULL ELSE failing_since END,
            noticed_at = CASE WHEN %(enabled)s THEN NULL ELSE noticed_at END,
            disabled_at = CASE WHEN %(enabled)s THEN NULL ELSE disabled_at END
        WHERE id = %(id)s
        """,
        {"id": subscription_id, "event_type": event_type, "target_url": target_url, "enabled": is_enabled},
    )


async def delete_subscription(connection: Connection, subscription_id: UUID) -> None:
    """Delete a subscription; no error when it is gone."""
    await connection.execute("DELETE FROM hook_subscriptions WHERE id = %s", [subscription_id])


async def insert_event(
    connection: Connection, subscription_id: UUID, event_type: str, resource_id: UUID, payload: dict[str, Any]
) -> UUID:
    """An event that no change made: one to try with."""
    cursor = await connection.execute(
        """
        INSERT INTO hook_events (subscription_id, event_type, resource_id, payload)
        VALUES (%s, %s, %s, %s) RETURNING id
        """,
        [subscription_id, event_type, resource_id, Jsonb(payload)],
    )
    row = await cursor.fetchone()
    assert row is not None
    event_id: UUID = row["id"]
    return event_id


async def list_events(
    connection: Connection,
    subscription_id: UUID,
    statuses: list[str] | None,
    resource_id: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[EventRow], int]:
    """The events of a subscription, newest first, and how many there are."""
    condition = """
        FROM hook_events e WHERE subscription_id = %(id)s
        AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s))
        AND (%(resource)s::uuid IS NULL OR resource_id = %(resource)s)
    """
    values = {
        "id": subscription_id,
        "statuses": statuses,
        "resource": resource_id,
        "limit": limit,
        "offset": offset,
    }
    cursor = await connection.cursor(row_factory=class_row(EventRow)).execute(
        f"SELECT {EVENT} {condition} ORDER BY number DESC LIMIT %(limit)s OFFSET %(offset)s", values
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count {condition}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def list_attempts(connection: Connection, event_ids: list[UUID]) -> dict[UUID, list[AttemptRow]]:
    """The latest `MOST_ATTEMPTS` tries of events that were tried, in order.

    Answers are whole for as many as `EVENTS_IN_FULL` events. Of more, only that to the latest try of each is; of the
    others there are `ANSWER_BEGINS` characters: a thousand events with twelve answers each would be 50 MB.
    """
    cursor = await connection.cursor(row_factory=class_row(AttemptRow)).execute(
        f"""
        SELECT {columns_of(AttemptRow, "a")} FROM unnest(%(events)s::uuid[]) AS e (id)
        CROSS JOIN LATERAL (
            SELECT h.id, h.event_id, h.at, h.target_url, h.seconds, h.status_code, h.error,
                   CASE WHEN %(in_full)s OR row_number() OVER (ORDER BY h.id DESC) = 1 THEN h.answer
                        ELSE left(h.answer, %(begins)s) END AS answer
            FROM hook_attempts h WHERE h.event_id = e.id ORDER BY h.id DESC LIMIT %(most)s
        ) AS a ORDER BY a.id
        """,
        {
            "events": event_ids,
            "in_full": len(event_ids) <= EVENTS_IN_FULL,
            "begins": ANSWER_BEGINS,
            "most": MOST_ATTEMPTS,
        },
    )
    found: dict[UUID, list[AttemptRow]] = {}
    for row in await cursor.fetchall():
        found.setdefault(row.event_id, []).append(row)
    return found


async def requeue_event(connection: Connection, subscription_id: UUID, event_id: UUID) -> bool:
    """Whether there is such an event, which is sent again now, whatever became of it; none about who was erased."""
    cursor = await connection.execute(
        f"""
        UPDATE hook_events e SET status = 'PENDING', failures = 0, next_at = now(), updated_at = now()
        WHERE id = %s AND subscription_id = %s AND NOT ({TELLS_OF_ERASED}) RETURNING id
        """,
        [event_id, subscription_id],
    )
    return await cursor.fetchone() is not None


async def list_due(connection: Connection, subscription_id: UUID, limit: int) -> list[DueRow]:
    """Of each resource the first event that is to be sent, if its time has come."""
    cursor = await connection.cursor(row_factory=class_row(DueRow)).execute(
        f"""
        SELECT {columns_of(DueRow, "e")} FROM (
            SELECT DISTINCT ON (resource_id) id, resource_id, number, next_at FROM hook_events
            WHERE subscription_id = %s AND status = 'PENDING' ORDER BY resource_id, number
        ) e WHERE e.next_at <= now() ORDER BY e.number LIMIT %s
        """,
        [subscription_id, limit],
    )
    return await cursor.fetchall()


async def find_message(connection: Connection, event_id: UUID) -> MessageRow | None:
    """An event with where it goes and what signs it, as they are now; None when it is not to be sent any more."""
    cursor = await connection.cursor(row_factory=class_row(MessageRow)).execute(
        f"""
        SELECT e.id, e.payload, h.target_url, s.value AS secret
        FROM hook_events e JOIN hook_subscriptions h ON h.id = e.subscription_id
        JOIN hook_secrets s ON s.workspace_id = h.workspace_id
        WHERE e.id = %s AND e.status = 'PENDING' AND h.is_enabled AND h.confirmed_at IS NOT NULL
          AND NOT ({TELLS_OF_ERASED})
        """,
        [event_id],
    )
    return await cursor.fetchone()


async def withdraw_event(connection: Connection, event_id: UUID) -> None:
    """Remove an event that waits and tells of somebody erased. Erasures by processes of earlier versions left such."""
    await connection.execute(
        f"DELETE FROM hook_events e WHERE e.id = %s AND e.status = 'PENDING' AND {TELLS_OF_ERASED}",
        [event_id],
    )


async def take_turn(connection: Connection) -> bool:
    """Take the advisory lock of `list_waiting` until commit; False when another transaction holds it. Two that look at
    the same moment would each give a workspace its whole share."""
    cursor = await connection.execute(
        "SELECT pg_try_advisory_xact_lock(hashtext('fieldpack.hooks')) AS taken"
    )
    row = await cursor.fetchone()
    return bool(row and row["taken"])


async def list_waiting(
    connection: Connection,
    most_working: int,
    most_failing: int,
    *,
    beside: UUID | None = None,
    ending: int | None = None,
) -> list[WaitingRow]:
    """Subscriptions with an event whose time has come, and no job that sends it: of each workspace so many that, with
    those that have a job, it has at most `most_working` of those to which the last event arrived, and `most_failing`
    others. Which of them is left to chance, so that all have their turn.

    Args:
        beside: only of the workspace of this subscription.
        ending: the id of a job that is over, and counts no more.
    """
    cursor = await connection.cursor(row_factory=class_row(WaitingRow)).execute(
        """
        WITH busy AS MATERIALIZED (
            SELECT h.id, h.workspace_id, h.failing_since IS NOT NULL AS is_failing
            FROM procrastinate_jobs j JOIN hook_subscriptions h ON h.id::text = j.args->>'subscription_id'
            WHERE j.task_name = 'fieldpack:deliver_hooks' AND j.status IN ('todo', 'doing')
              AND j.id IS DISTINCT FROM %(ending)s
        ), counted AS (
            SELECT workspace_id, is_failing, count(*) AS jobs FROM busy GROUP BY workspace_id, is_failing
        ), waiting AS (
            SELECT h.id, h.workspace_id, h.failing_since IS NOT NULL AS is_failing FROM hook_subscriptions h
            WHERE h.is_enabled AND h.confirmed_at IS NOT NULL
              AND (%(beside)s::uuid IS NULL OR h.workspace_id = (
                  SELECT b.workspace_id FROM hook_subscriptions b WHERE b.id = %(beside)s))
              AND EXISTS (SELECT FROM hook_events e
                          WHERE e.subscription_id = h.id AND e.status = 'PENDING' AND e.next_at <= now())
              AND h.id NOT IN (SELECT id FROM busy)
        ), placed AS (
            SELECT w.id, w.is_failing, coalesce(c.jobs, 0) + row_number() OVER (
                       PARTITION BY w.workspace_id, w.is_failing ORDER BY random()) AS place
            FROM waiting w LEFT JOIN counted c USING (workspace_id, is_failing)
        )
        SELECT id, is_failing FROM placed
        WHERE place <= CASE WHEN is_failing THEN %(failing)s ELSE %(working)s END ORDER BY place
        """,
        {"working": most_working, "failing": most_failing, "beside": beside, "ending": ending},
    )
    return await cursor.fetchall()


async def is_erased(connection: Connection, resource_id: UUID) -> bool:
    """Whether a resource is an erased submission. Locks the submission (`FOR SHARE`) until commit, so that it is not
    erased meanwhile."""
    cursor = await connection.execute(
        "SELECT response = 'deleted' AS erased FROM submissions WHERE id = %s FOR SHARE", [resource_id]
    )
    row = await cursor.fetchone()
    return bool(row and row["erased"])


async def keep_attempt(
    connection: Connection,
    event_id: UUID,
    target_url: str,
    seconds: float,
    status_code: int | None,
    answer: str | None,
    error: str | None,
) -> None:
    """Keep what became of one try; nothing, when the event is gone."""
    await connection.execute(
        """
        INSERT INTO hook_attempts (event_id, target_url, seconds, status_code, answer, error)
        SELECT id, %(url)s, %(seconds)s, %(status)s, %(answer)s, %(error)s FROM hook_events WHERE id = %(id)s
        """,
        {
            "id": event_id,
            "url": target_url,
            "seconds": seconds,
            "status": status_code,
            "answer": answer,
            "error": error,
        },
    )


async def set_arrived(connection: Connection, event_id: UUID) -> None:
    """The event arrived, and so its subscription works."""
    await connection.execute(
        """
        WITH arrived AS (
            UPDATE hook_events SET status = 'SUCCEEDED', updated_at = now()
            WHERE id = %s RETURNING subscription_id
        )
        UPDATE hook_subscriptions SET failing_since = NULL, noticed_at = NULL
        WHERE id = (SELECT subscription_id FROM arrived) AND failing_since IS NOT NULL
        """,
        [event_id],
    )


async def set_failed(connection: Connection, event_id: UUID, most: int, delays: list[float]) -> None:
    """The event did not arrive: try again after the delay of so many failures, or, after `most`, no more."""
    await connection.execute(
        """
        WITH failed AS (
            UPDATE hook_events SET failures = failures + 1, updated_at = now(),
                   status = CASE WHEN failures + 1 >= %(most)s THEN 'FAILED' ELSE status END,
                   next_at = now() + make_interval(
                       secs => (%(delays)s::float[])[least(failures + 1, cardinality(%(delays)s::float[]))])
            WHERE id = %(id)s RETURNING subscription_id
        )
        UPDATE hook_subscriptions SET failing_since = now()
        WHERE id = (SELECT subscription_id FROM failed) AND failing_since IS NULL
        """,
        {"id": event_id, "most": most, "delays": delays},
    )


async def notice_failing(connection: Connection, subscription_id: UUID, days: float) -> bool:
    """Whether it is time to say that a subscription, to which nothing has come for so long, will be disabled."""
    cursor = await connection.execute(
        """
        UPDATE hook_subscriptions SET noticed_at = now()
        WHERE id = %s AND is_enabled AND noticed_at IS NULL
          AND failing_since < now() - make_interval(secs => %s) RETURNING id
        """,
        [subscription_id, days * 86400],
    )
    return await cursor.fetchone() is not None


async def disable_failing(
    connection: Connection, subscription_id: UUID, days: float, notice_days: float
) -> bool:
    """Whether a subscription, to which nothing has come for so long, is disabled now, so long after the notice."""
    cursor = await connection.execute(
        """
        UPDATE hook_subscriptions SET is_enabled = false, disabled_at = now()
        WHERE id = %s AND is_enabled AND failing_since < now() - make_interval(secs => %s)
          AND noticed_at < now() - make_interval(secs => %s) RETURNING id
        """,
        [subscription_id, days * 86400, notice_days * 86400],
    )
    return await cursor.fetchone() is not None


async def forget_erased(connection: Connection, submission_id: UUID) -> None:
    """Send nothing more of an erased submission than that it was erased, and remove what receivers answered about it:
    they may have repeated what they know of it."""
    await connection.execute(
        "DELETE FROM hook_events WHERE resource_id = %s AND status = 'PENDING' AND event_type <> 'submission.erased'",
        [submission_id],
    )
    await connection.execute(
        """
        UPDATE hook_attempts SET answer = NULL
        WHERE answer IS NOT NULL AND event_id IN (SELECT id FROM hook_events WHERE resource_id = %s)
        """,
        [submission_id],
    )


async def remove_old_events(connection: Connection, days: float, *, dry_run: bool = False) -> int:
    """Forget events that were sent, or given up, longer ago than this; how many. With `dry_run` only say it."""
    old = "FROM hook_events WHERE status <> 'PENDING' AND updated_at < now() - make_interval(secs => %s)"
    if dry_run:
        return await fetch_count(connection, f"SELECT count(*) {old}", [days * 86400])
    return (await connection.execute(f"DELETE {old}", [days * 86400])).rowcount


async def find_backlog(connection: Connection) -> BacklogRow:
    """What waits to be sent to subscriptions that are enabled."""
    cursor = await connection.cursor(row_factory=class_row(BacklogRow)).execute(
        """
        SELECT count(*) AS count,
               coalesce(extract(epoch FROM now() - min(e.created_at)), 0)::float AS age_seconds
        FROM hook_events e JOIN hook_subscriptions h ON h.id = e.subscription_id
        WHERE e.status = 'PENDING' AND h.is_enabled
        """
    )
    row = await cursor.fetchone()
    assert row is not None
    return row
