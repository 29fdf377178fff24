"""The rules of webhooks: whose they are, how they are confirmed, and what they answer."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.hooks import queries
from fieldpack.server.hooks.rows import AttemptRow, EventRow, SubscriptionRow
from fieldpack.server.hooks.schemas import SubscriptionPatch
from fieldpack.server.hooks.targets import Refused, check_target, resolves_inside
from fieldpack.server.problems import conflict, invalid, not_found
from fieldpack.server.values.networks import Allowed

__all__ = [
    "confirm",
    "create_secret",
    "create_subscription",
    "delete_subscription",
    "describe_event",
    "describe_subscription",
    "get_subscription",
    "patch_subscription",
    "queue_test",
    "require_target",
    "resend",
]

SECRET_BYTES = 32
STATUSES = ("PENDING", "SUCCEEDED", "FAILED")


def make_secret() -> str:
    """A new secret; people give it to commands, to which what begins with a dash is an option."""
    while (secret := secrets.token_urlsafe(SECRET_BYTES)).startswith("-"):
        pass
    return secret


async def create_secret(connection: Connection, caller: Caller, workspace_id: UUID) -> dict[str, Any]:
    """A new secret, which signs the events of a workspace from now on."""
    await require(connection, caller, Action.HOOKS_MANAGE, workspace=workspace_id, foreign=not_a_member())
    value = make_secret()
    row = await queries.replace_secret(connection, workspace_id, uuid4(), value)
    await write_entry(connection, caller.actor, "hook.secret", object_id=row.id, workspace_id=workspace_id)
    return {"id": row.id, "value": row.value, "workspace_id": row.workspace_id}


async def get_subscription(
    connection: Connection, caller: Caller, subscription_id: UUID, *, lock: bool = False
) -> SubscriptionRow:
    """The subscription's row; 404 when there is none that the caller may see, 403 for who may not manage it."""
    await require(connection, caller, Action.HOOKS_MANAGE, subscription=subscription_id)
    row = await queries.find_subscription(connection, subscription_id, lock=lock)
    if row is None:
        raise not_found("Subscription", subscription_id)
    return row


async def require_target(url: str, allowed: Allowed) -> None:
    """Refuse where events are never sent to. It is looked at again, and for good, when they are sent.

    Raises:
        Problem: 400.
    """
    try:
        check_target(url, allowed)
    except Refused as refused:
        raise invalid("target_url", str(refused)) from None
    if await resolves_inside(url, allowed):
        raise invalid(
            "target_url", "Leads to an address inside; the operator can list it in FIELDPACK_HOOK_TARGETS."
        )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def create_subscription(
    connection: Connection,
    caller: Caller,
    workspace_id: UUID,
    event_type: str,
    target_url: str,
    *,
    is_enabled: bool,
) -> tuple[SubscriptionRow, str]:
    """A subscription that gets nothing yet, and the secret that confirms it, which nobody is shown again.

    Raises:
        Problem: 400 when the workspace has no secret to sign with.
    """
    await require(connection, caller, Action.HOOKS_MANAGE, workspace=workspace_id, foreign=not_a_member())
    if await queries.find_secret(connection, workspace_id) is None:
        raise invalid("workspace_id", "This workspace has no secret yet: POST /hooks/secrets makes one.")
    secret = make_secret()
    row = await queries.insert_subscription(
        connection,
        workspace_id,
        event_type,
        target_url,
        is_enabled=is_enabled,
        confirmation_sha256=_hash(secret),
        created_by=caller.id,
    )
    await write_entry(connection, caller.actor, "hook.create", object_id=row.id, workspace_id=workspace_id)
    return row, secret


async def confirm(
    connection: Connection, caller: Caller, subscription_id: UUID, secret: str
) -> SubscriptionRow:
    """From now on events are sent; again, it changes nothing.

    Raises:
        Problem: 400 for another secret.
    """
    row = await get_subscription(connection, caller, subscription_id, lock=True)
    if not secrets.compare_digest(_hash(secret), row.confirmation_sha256):
        raise invalid(
            "secret", "Is not the one that came in the header X-Hook-Secret with this subscription."
        )
    await queries.confirm_subscription(connection, subscription_id)
    await write_entry(
        connection,
        caller.actor,
        "hook.update",
        object_id=subscription_id,
        workspace_id=row.workspace_id,
        step="confirmed",
    )
    return await get_subscription(connection, caller, subscription_id)


async def patch_subscription(
    connection: Connection, caller: Caller, subscription_id: UUID, given: SubscriptionPatch
) -> SubscriptionRow:
    """Change what is given. Events that wait go to where the subscription leads when they are sent."""
    row = await get_subscription(connection, caller, subscription_id, lock=True)
    await queries.update_subscription(
        connection, subscription_id, given.event_type, given.target_url, given.is_enabled
    )
    await write_entry(
        connection,
        caller.actor,
        "hook.update",
        object_id=subscription_id,
        workspace_id=row.workspace_id,
        changed=sorted(given.model_fields_set & set(SubscriptionPatch.model_fields)),
    )
    return await get_subscription(connection, caller, subscription_id)


async def delete_subscription(connection: Connection, caller: Caller, subscription_id: UUID) -> None:
    """Delete a subscription, and its events."""
    row = await get_subscription(connection, caller, subscription_id)
    await queries.delete_subscription(connection, subscription_id)
    await write_entry(
        connection, caller.actor, "hook.delete", object_id=subscription_id, workspace_id=row.workspace_id
    )


def _require_working(row: SubscriptionRow) -> None:
    if row.confirmed_at is None:
        raise conflict("This subscription is not confirmed: POST its secret to it first.")
    if not row.is_enabled:
        raise conflict("This subscription is not enabled: PATCH is_enabled first.")


async def queue_test(connection: Connection, caller: Caller, subscription_id: UUID) -> UUID:
    """An event that nothing has caused, to try the receiver with; its id.

    Raises:
        Problem: 409 when the subscription is not confirmed, or not enabled.
    """
    row = await get_subscription(connection, caller, subscription_id)
    _require_working(row)
    payload = {
        "event_type": row.event_type,
        "resource_id": str(subscription_id),
        "status": "TEST",
        "test": True,
    }
    await write_entry(
        connection,
        caller.actor,
        "hook.send",
        object_id=subscription_id,
        workspace_id=row.workspace_id,
        step="test",
    )
    return await queries.insert_event(connection, subscription_id, row.event_type, subscription_id, payload)


async def resend(connection: Connection, caller: Caller, subscription_id: UUID, event_id: UUID) -> None:
    """Send an event again, whatever became of it, under its own id.

    Raises:
        Problem: 404 also for one about a submission that was erased; 409 when the subscription is not confirmed, or
            not enabled.
    """
    row = await get_subscription(connection, caller, subscription_id)
    _require_working(row)
    if not await queries.requeue_event(connection, subscription_id, event_id):
        raise not_found("Event", event_id)
    await write_entry(
        connection,
        caller.actor,
        "hook.send",
        object_id=subscription_id,
        workspace_id=row.workspace_id,
        step="again",
    )


def describe_subscription(row: SubscriptionRow) -> dict[str, Any]:
    """A subscription as the API answers it; how it fares is ours."""
    notice = None
    if row.disabled_at is not None:
        notice = "Disabled: nothing had arrived for 5 days. Mend the receiver, then set is_enabled to true."
    elif row.noticed_at is not None:
        notice = "Nothing has arrived for 3 days. After 5 days this subscription is disabled."
    return {
        "id": row.id,
        "event_type": row.event_type,
        "target_url": row.target_url,
        "is_enabled": row.is_enabled,
        "workspace_id": row.workspace_id,
        "is_confirmed": row.confirmed_at is not None,
        "failing_since": row.failing_since,
        "disabled_at": row.disabled_at,
        "notice": notice,
    }


def describe_event(row: EventRow, target_url: str, attempts: Sequence[AttemptRow]) -> dict[str, Any]:
    """An event as the API answers it; the attempts to send it are ours.

    Args:
        target_url: where its subscription leads now.
        attempts: those to send it, in order.
    """
    went_to = attempts[-1].target_url if attempts and row.status != "PENDING" else None
    return {
        "id": row.id,
        "datetime_created": row.created_at,
        "datetime_updated": row.updated_at,
        "event_type": row.event_type,
        "resource_id": row.resource_id,
        "status": row.status,
        "target_url": went_to or target_url,
        "payload": row.payload,
        "next_attempt_at": row.next_at if row.status == "PENDING" else None,
        "attempts": [
            {
                "at": attempt.at,
                "target_url": attempt.target_url or target_url,
                "seconds": round(attempt.seconds, 3),
                "status_code": attempt.status_code,
                "answer": attempt.answer,
                "error": attempt.error,
            }
            for attempt in attempts
        ],
    }
