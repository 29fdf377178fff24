"""`/hooks`: types of events, secrets, subscriptions, and what became of events."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.authorization import find_workspaces
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.hooks import queries, service
from fieldpack.server.hooks.schemas import (
    EVENT_TYPES,
    Confirmation,
    SecretInput,
    SubscriptionInput,
    SubscriptionPatch,
)
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import EventId, SubscriptionId
from fieldpack.server.http.listing import Page, envelope, parse_truth, parse_words
from fieldpack.server.http.routing import discard_body, parse_given_id

router = APIRouter(prefix="/hooks", route_class=ResearcherRoute, tags=["hooks"])

Workspace = Annotated[str | None, Query(description="Only those of this workspace.")]


def _workspace(text: str | None) -> UUID | None:
    return parse_given_id("workspace_id", "Workspace", text) if text else None


@router.get("/event-types")
async def list_event_types(caller: CurrentCaller, page: Page) -> dict[str, Any]:
    """What can be subscribed to."""
    types = [{"event_type": name, "description": text} for name, text in EVENT_TYPES.items()]
    return envelope(types[page.offset : page.offset + page.limit], len(types))


@router.get("/secrets")
async def list_secrets(
    context: CurrentContext, caller: CurrentCaller, page: Page, workspace_id: Workspace = None
) -> dict[str, Any]:
    """What signs the events of a workspace, or of all of the caller's."""
    workspace = _workspace(workspace_id)
    async with context.database.transaction() as connection:
        workspaces = await find_workspaces(connection, caller, Action.HOOKS_MANAGE, workspace)
        rows, count = await queries.list_secrets(connection, workspaces, page.limit, page.offset)
    found = [{"id": row.id, "value": row.value, "workspace_id": row.workspace_id} for row in rows]
    return envelope(found, count)


@router.post("/secrets", status_code=201)
async def create_secret(context: CurrentContext, caller: CurrentCaller, body: SecretInput) -> dict[str, Any]:
    """A secret for a workspace, in place of the one there is."""
    workspace_id = parse_given_id("workspace_id", "Workspace", body.workspace_id)
    async with context.database.transaction() as connection:
        return await service.create_secret(connection, caller, workspace_id)


@router.get("/subscriptions")
async def list_subscriptions(
    context: CurrentContext,
    caller: CurrentCaller,
    page: Page,
    workspace_id: Workspace = None,
    is_enabled: Annotated[
        str | None, Query(description="`false` for those that are not enabled; `true` unless given.")
    ] = None,
) -> dict[str, Any]:
    """The subscriptions of a workspace, or of all of the caller's, oldest first."""
    workspace, enabled = _workspace(workspace_id), parse_truth("is_enabled", is_enabled)
    async with context.database.transaction() as connection:
        workspaces = await find_workspaces(connection, caller, Action.HOOKS_MANAGE, workspace)
        rows, count = await queries.list_subscriptions(
            connection, workspaces, enabled is not False, page.limit, page.offset
        )
    return envelope([service.describe_subscription(row) for row in rows], count)


@router.post("/subscriptions", status_code=201)
async def create_subscription(
    response: Response, context: CurrentContext, caller: CurrentCaller, body: SubscriptionInput
) -> dict[str, Any]:
    """A subscription; the header `X-Hook-Secret` has what confirms it. Nothing is sent before that."""
    workspace_id = parse_given_id("workspace_id", "Workspace", body.workspace_id)
    async with context.database.transaction() as connection:
        await find_workspaces(connection, caller, Action.HOOKS_MANAGE, workspace_id)
    await service.require_target(body.target_url, context.settings.allowed_hook_targets)
    async with context.database.transaction() as connection:
        row, secret = await service.create_subscription(
            connection,
            caller,
            workspace_id,
            body.event_type,
            body.target_url,
            is_enabled=body.is_enabled is not False,
        )
    response.headers["X-Hook-Secret"] = secret
    return service.describe_subscription(row)


@router.get("/subscriptions/{subscription_id}")
async def get_subscription(
    context: CurrentContext, caller: CurrentCaller, subscription_id: SubscriptionId
) -> dict[str, Any]:
    """One subscription, and how it fares."""
    async with context.database.transaction() as connection:
        row = await service.get_subscription(connection, caller, subscription_id)
    return service.describe_subscription(row)


@router.post("/subscriptions/{subscription_id}")
@asks(Action.HOOKS_MANAGE)
async def confirm_subscription(
    context: CurrentContext, caller: CurrentCaller, subscription_id: SubscriptionId, body: Confirmation
) -> dict[str, Any]:
    """Confirm a subscription by the secret that came with it."""
    async with context.database.transaction() as connection:
        row = await service.confirm(connection, caller, subscription_id, body.secret)
    return service.describe_subscription(row)


@router.patch("/subscriptions/{subscription_id}")
@asks(Action.HOOKS_MANAGE)
async def patch_subscription(
    context: CurrentContext, caller: CurrentCaller, subscription_id: SubscriptionId, body: SubscriptionPatch
) -> dict[str, Any]:
    """Change what is given; the rest stays."""
    if body.target_url is not None:
        await service.require_target(body.target_url, context.settings.allowed_hook_targets)
    async with context.database.transaction() as connection:
        row = await service.patch_subscription(connection, caller, subscription_id, body)
    return service.describe_subscription(row)


@router.delete("/subscriptions/{subscription_id}", status_code=204, dependencies=[Depends(discard_body)])
async def delete_subscription(
    context: CurrentContext, caller: CurrentCaller, subscription_id: SubscriptionId
) -> None:
    """Delete a subscription, and its events."""
    async with context.database.transaction() as connection:
        await service.delete_subscription(connection, caller, subscription_id)


def _words(texts: list[str] | None) -> list[str]:
    """The words of a parameter, which may be a JSON array as a string."""
    found: list[str] = []
    for text in texts or []:
        value: Any = text
        if text.lstrip().startswith("["):
            with contextlib.suppress(orjson.JSONDecodeError):
                value = orjson.loads(text)
        found += [str(each) for each in value] if isinstance(value, list) else [text]
    return found


@router.get("/subscriptions/{subscription_id}/events")
async def list_events(
    context: CurrentContext,
    caller: CurrentCaller,
    subscription_id: SubscriptionId,
    page: Page,
    status: Annotated[
        list[str] | None,
        Query(description='`PENDING`, `SUCCEEDED` or `FAILED`, or several as `["PENDING", "FAILED"]`.'),
    ] = None,
    resource_id: Annotated[str | None, Query(description="Only those about this.")] = None,
) -> dict[str, Any]:
    """The events of a subscription, newest first, with the attempts to send them."""
    statuses = parse_words("status", _words(status), service.STATUSES)
    resource = parse_given_id("resource_id", "Resource", resource_id) if resource_id else None
    async with context.database.transaction() as connection:
        subscription = await service.get_subscription(connection, caller, subscription_id)
        rows, count = await queries.list_events(
            connection, subscription_id, statuses, resource, page.limit, page.offset
        )
        attempts = await queries.list_attempts(connection, [row.id for row in rows])
    url = subscription.target_url
    return envelope([service.describe_event(row, url, attempts.get(row.id, ())) for row in rows], count)


@router.post("/subscriptions/{subscription_id}/test", status_code=201, dependencies=[Depends(discard_body)])
async def send_test_event(
    context: CurrentContext, caller: CurrentCaller, subscription_id: SubscriptionId
) -> dict[str, Any]:
    """Send an event that nothing has caused."""
    async with context.database.transaction() as connection:
        return {"id": await service.queue_test(connection, caller, subscription_id)}


@router.post(
    "/subscriptions/{subscription_id}/events/{event_id}/resend", dependencies=[Depends(discard_body)]
)
async def resend_event(
    context: CurrentContext, caller: CurrentCaller, subscription_id: SubscriptionId, event_id: EventId
) -> dict[str, Any]:
    """Send an event again, under its own id."""
    async with context.database.transaction() as connection:
        await service.resend(connection, caller, subscription_id, event_id)
    return {"id": event_id}
