"""The researcher behind a request, found before its body is read."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from ..routing import ApiRoute
from . import service

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
            request.state.caller = await service.authenticate(
                connection, request.headers.get("authorization")
            )


def _current(request: Request, _: Annotated[str | None, Depends(_scheme)]) -> service.Caller:
    caller: service.Caller = request.state.caller
    return caller


CurrentCaller = Annotated[service.Caller, Depends(_current)]
