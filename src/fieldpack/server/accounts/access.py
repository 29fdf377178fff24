"""The researcher behind a request, and whether they may do what it asks for: known before its body is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from fieldpack.server.accounts import service
from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.authentication import address_of, mark_authenticated
from fieldpack.server.http.large import Researchers
from fieldpack.server.http.routing import ApiRoute, parse_ids

__all__ = ["CurrentCaller", "ResearcherRoute", "asks"]

_scheme = APIKeyHeader(
    name="Authorization",
    scheme_name="Token",
    description="`Token <token>`; `Bearer <token>` works too.",
    auto_error=False,
)


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
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


async def _current(request: Request, _: Annotated[str | None, Depends(_scheme)]) -> service.Caller:
    caller: service.Caller = request.state.caller
    return caller


CurrentCaller = Annotated[service.Caller, Depends(_current)]
