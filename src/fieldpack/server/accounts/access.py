"""The researcher behind a request, and whether they may see what it is about: found before its body is read."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from fieldpack.server.accounts import service
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.authentication import mark_authenticated
from fieldpack.server.http.routing import ApiRoute, parse_ids

__all__ = ["CurrentCaller", "ResearcherRoute"]

_scheme = APIKeyHeader(
    name="Authorization",
    scheme_name="Token",
    description="`Token <token>`; `Bearer <token>` works too.",
    auto_error=False,
)


class ResearcherRoute(ApiRoute):
    """A route that only a researcher with a live token reaches."""

    async def authenticate(self, request: Request) -> None:
        async with request.app.state.context.database.transaction() as connection:
            caller = await service.authenticate(connection, request.headers.get("authorization"))
            request.state.caller = caller
            mark_authenticated(request)
            if self.body_field is not None:
                await self.admit(connection, caller, parse_ids(request))

    async def admit(self, connection: Connection, caller: service.Caller, ids: dict[str, UUID]) -> None:
        """Hook of routes that take a body: who may not see the resource learns so before it is looked at."""


def _current(request: Request, _: Annotated[str | None, Depends(_scheme)]) -> service.Caller:
    caller: service.Caller = request.state.caller
    return caller


CurrentCaller = Annotated[service.Caller, Depends(_current)]
