"""The page of a workspace's webhooks: subscriptions, their deliveries, and a test event."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.permissions.authorization import find_workspaces
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.queries import find_workspace
from fieldpack.server.accounts.service import Caller
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.hooks import queries, service
from fieldpack.server.hooks.rows import SubscriptionRow
from fieldpack.server.hooks.schemas import EVENT_TYPES, SubscriptionPatch
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import WorkspaceId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, invalid, not_found
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import render
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

MOST = 200
EVENTS = 20
GOES = ("create", "test", "enable", "disable", "delete")


def _path(workspace_id: UUID) -> str:
    return f"/workbench/workspaces/{workspace_id}/hooks"


def _state(row: SubscriptionRow) -> str:
    """The state of a subscription, as a word that the page has a text for."""
    if row.disabled_at is not None:
        return "disabled"
    if not row.is_enabled:
        return "off"
    if row.confirmed_at is None:
        return "unconfirmed"
    return "failing" if row.failing_since is not None else "works"


async def _show(
    request: Request,
    connection: Connection,
    caller: Caller,
    workspace_id: UUID,
    chosen: str = "",
    problem: Problem | None = None,
    given: tuple[str, str] = ("", ""),
) -> Response:
    await find_workspaces(connection, caller, Action.HOOKS_MANAGE, workspace_id)
    workspace = await find_workspace(connection, workspace_id)
    if workspace is None:
        raise not_found("Workspace", workspace_id)
    rows = [
        row
        for enabled in (True, False)
        for row in (await queries.list_subscriptions(connection, [workspace_id], enabled, MOST, 0))[0]
    ]
    picked = next((row for row in rows if str(row.id) == chosen), None)
    events = []
    if picked is not None:
        found, _ = await queries.list_events(connection, picked.id, None, None, EVENTS, 0)
        attempts = await queries.list_attempts(connection, [event.id for event in found])
        events = [(event, attempts.get(event.id, [])) for event in found]
    sentences: list[str] = []
    if problem is not None:
        detail = problem.detail
        by_field = (
            detail if isinstance(detail, dict) else {"": [detail] if isinstance(detail, str) else detail}
        )
        sentences = [text for texts in by_field.values() for text in texts]
    return render(
        request,
        "hooks.html",
        status=problem.type.status if problem else 200,
        caller=caller,
        workspace=workspace,
        path=_path(workspace_id),
        hooks=[(row, _state(row)) for row in rows],
        types=list(EVENT_TYPES),
        picked=picked,
        events=events,
        sentences=sentences,
        given_type=given[0],
        given_url=given[1],
    )


@router.get("/workbench/workspaces/{workspace_id}/hooks")
async def show_hooks(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    workspace_id: WorkspaceId,
    hook: Annotated[str, Query()] = "",
) -> Response:
    """The subscriptions of a workspace; with `hook`, the latest events of one."""
    async with context.database.transaction() as connection:
        return await _show(request, connection, caller, workspace_id, hook)


@router.post("/workbench/workspaces/{workspace_id}/hooks")
async def change_hooks(
    request: Request, context: CurrentContext, caller: SignedIn, workspace_id: WorkspaceId
) -> Response:
    """Subscribe, send a test event, switch on or off, delete. A refusal is shown on the page, with what was typed."""
    form = await read_unknown_form(request)
    go, hook = text_of(form, "go"), text_of(form, "hook")
    given = (text_of(form, "event_type"), text_of(form, "target_url").strip())
    async with context.database.transaction() as connection:
        await find_workspaces(connection, caller, Action.HOOKS_MANAGE, workspace_id)
    if go not in GOES:
        return see_other(_path(workspace_id))
    try:
        if go == "create":
            hook = await _subscribe(context, caller, workspace_id, *given)
        else:
            await _change(context, caller, go, parse_id("Subscription", hook))
    except Problem as problem:
        async with context.database.transaction() as connection:
            return await _show(request, connection, caller, workspace_id, hook, problem, given)
    return see_other(f"{_path(workspace_id)}?hook={hook}" if go != "delete" else _path(workspace_id))


async def _subscribe(
    context: Context, caller: Caller, workspace_id: UUID, event_type: str, target_url: str
) -> str:
    """Subscribe, and confirm at once, because nobody else has seen the secret; returns the subscription's id."""
    if event_type not in EVENT_TYPES:
        raise invalid("event_type", f"Must be one of {', '.join(EVENT_TYPES)}.")
    await service.require_target(target_url, context.settings.allowed_hook_targets)
    async with context.database.transaction() as connection:
        if await queries.find_secret(connection, workspace_id) is None:
            await service.create_secret(connection, caller, workspace_id)
        row, secret = await service.create_subscription(
            connection, caller, workspace_id, event_type, target_url, is_enabled=True
        )
        await service.confirm(connection, caller, row.id, secret)
    return str(row.id)


async def _change(context: Context, caller: Caller, go: str, subscription_id: UUID) -> None:
    async with context.database.transaction() as connection:
        if go == "test":
            await service.queue_test(connection, caller, subscription_id)
        elif go in ("enable", "disable"):
            given = SubscriptionPatch(is_enabled=go == "enable")
            await service.patch_subscription(connection, caller, subscription_id, given)
        else:
            await service.delete_subscription(connection, caller, subscription_id)
