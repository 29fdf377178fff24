"""The researcher behind a request, and whether they may do what it asks for: known before its body is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader

from fieldpack.server.accounts import service
from fieldpack.server.accounts.permissions.authorization import not_a_member, require, require_feature
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.authentication import address_of, mark_authenticated
from fieldpack.server.http.large import Researchers, run_large
from fieldpack.server.http.routing import ApiRoute, Handler, parse_ids
from fieldpack.server.problems import FORBIDDEN, INVALID, TOO_MANY_REQUESTS, UNAUTHENTICATED, Problem
from fieldpack.server.values.json_types import parse_object
from fieldpack.server.values.uuids import is_uuid

__all__ = ["CurrentCaller", "ResearcherRoute", "asks"]

_scheme = APIKeyHeader(
    name="Authorization",
    scheme_name="Token",
    description="`Token <token>`; `Bearer <token>` works too.",
    auto_error=False,
)


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_COLLECTIONS = "/data-collection/collections"  # what the paths of routes of collections hold
_STANDING = (UNAUTHENTICATED.status, FORBIDDEN.status, TOO_MANY_REQUESTS.status)
"""What is refused whether Collections are on or off."""
_ACTION = "asks"  # attribute of an endpoint: the action that it is


def asks(action: Action) -> Callable[[Endpoint], Endpoint]:
    """Mark a route that takes a body: `action` is checked, on the object that its path names, before the body is read.

    The service checks again, because pages call it too.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ACTION, action)
        return endpoint

    return mark


class ResearcherRoute(ApiRoute):
    """A route that only a researcher with a live token reaches."""

    whose = Researchers

    @property
    def action(self) -> Action | None:
        """The action that is checked before the body is read; None where the path names no object."""
        return getattr(self.endpoint, _ACTION, None)

    async def authenticate(self, request: Request) -> None:
        async with request.app.state.context.database.transaction() as connection:
            caller = await service.authenticate(
                connection, request.headers.get("authorization"), address_of(request)
            )
            caller = replace(caller, address=address_of(request))
            request.state.caller = caller
            request.state.ask_again = self.authenticate
            mark_authenticated(request)
            if self.body_field is not None:
                ids = parse_ids(request)
                if self.action is not None:
                    await require(
                        connection,
                        caller,
                        self.action,
                        foreign=not_a_member() if "workspace_id" in ids else None,
                        workspace=ids.get("workspace_id"),
                        project=ids.get("project_id"),
                        collection=ids.get("collection_id"),
                        study=ids.get("study_id"),
                        submission=ids.get("submission_id"),
                        group=ids.get("group_id"),
                        subscription=ids.get("subscription_id"),
                    )

    def surround(self, handle: Handler) -> Handler:
        """Where Collections are off, routes of collections say only that, whatever else is wrong with a request: asked
        when one is refused, so that it costs nobody else anything."""
        if _COLLECTIONS not in self.path:
            return handle

        async def handle_or_say_off(request: Request) -> Response:
            request.state.keeps_body = True
            try:
                return await handle(request)
            except (Problem, RequestValidationError) as refusal:
                status = refusal.type.status if isinstance(refusal, Problem) else INVALID.status
                if status < 500 and status not in _STANDING:
                    await _require_feature(request)
                raise
            finally:
                request.state.body = None  # the connection holds this state until its next request

        return handle_or_say_off


async def _require_feature(request: Request) -> None:
    """Return unless Collections are off for the collection of the path, or the workspace of the query or the body.

    Raises:
        Problem: 404 with the text of its own.
    """
    context = request.app.state.context
    collection: Any = request.path_params.get("collection_id")
    workspace: Any = request.query_params.get("workspace_id")
    body = getattr(request.state, "body", None)
    if collection is None and workspace is None and body is not None:
        workspace = await run_large(context.caches, Researchers, len(body), _find_workspace, body)
    async with context.database.transaction() as connection:
        await require_feature(
            connection, request.state.caller, workspace=_as_id(workspace), collection=_as_id(collection)
        )


def _find_workspace(body: bytes) -> Any:
    """What a body names as its workspace."""
    try:
        return parse_object(body).get("workspace_id")
    except ValueError:
        return None


def _as_id(text: Any) -> UUID | None:
    return UUID(text) if isinstance(text, str) and is_uuid(text) else None


async def _current(request: Request, _: Annotated[str | None, Depends(_scheme)]) -> service.Caller:
    caller: service.Caller = request.state.caller
    return caller


CurrentCaller = Annotated[service.Caller, Depends(_current)]
