"""A table of routes in front of the framework's, which compares a path with the patterns of all there are, twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from re import Pattern
from typing import Any

from fastapi import Request, Response
from starlette.routing import BaseRoute, Match, NoMatchFound, compile_path
from starlette.types import Receive, Scope, Send

from fieldpack.server.http.routing import ApiRoute

__all__ = ["DirectTable"]


class DirectTable(BaseRoute):
    """The routes of some routers that can be called without the framework; it has them as well, for all else.

    Args:
        prefix: what their paths begin with.
        routes: of them those that can't be called directly are left out.
        first: asked before every call.
    """

    path = ""  # for who lists routes: these are listed where they were declared
    methods: frozenset[str] = frozenset()

    def __init__(
        self, prefix: str, routes: Iterable[BaseRoute], first: Callable[[Request], Awaitable[None]]
    ) -> None:
        self._prefix = prefix
        self._first = first
        self._by_method: dict[str, list[tuple[Pattern[str], ApiRoute, Any]]] = {}
        for route in routes:
            handle = route.get_direct_handler() if isinstance(route, ApiRoute) else None
            if handle is None or not isinstance(route, ApiRoute):
                continue
            pattern, _, _ = compile_path(prefix + route.path)
            for method in route.methods or ():
                self._by_method.setdefault(method, []).append((pattern, route, handle))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full or none: what is wrong with a method or a path, the framework says."""
        if scope["type"] == "http" and not scope.get("root_path") and scope["path"].startswith(self._prefix):
            for pattern, route, handle in self._by_method.get(scope["method"], ()):
                found = pattern.match(scope["path"])
                if found is not None:
                    return Match.FULL, {
                        "endpoint": handle,
                        "path_params": found.groupdict(),
                        "route": route,
                    }
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request that `matches` found a route for."""
        request = Request(scope, receive, send)
        await self._first(request)
        response: Response = await scope["endpoint"](request)
        await response(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """These routes have no names here."""
        raise NoMatchFound(name, path_params)
