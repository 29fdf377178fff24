"""A table of routes in front of the framework, which takes every request through eight layers and compares its path
with the patterns of all routes there are, twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from re import Pattern
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.routing import BaseRoute, compile_path
from starlette.types import Receive, Scope, Send

from fieldpack.server.http.routing import ApiRoute

__all__ = ["DirectTable"]

Handle = Callable[[Request], Awaitable[Response]]


class DirectTable:
    """The routes of some routers that can be called without the framework; it has them as well, for all else.

    Args:
        app: whose routes they are; what they raise, its handlers answer.
        prefix: what their paths begin with.
        routes: of them those that can't be called directly are left out.
        first: asked before every call.
    """

    def __init__(
        self,
        app: FastAPI,
        prefix: str,
        routes: Iterable[BaseRoute],
        first: Callable[[Request], Awaitable[None]],
    ) -> None:
        self._app = app
        self._prefix = prefix
        self._first = first
        self._by_method: dict[str, list[tuple[Pattern[str], Handle]]] = {}
        for route in routes:
            handle = route.get_direct_handler() if isinstance(route, ApiRoute) else None
            if handle is None or not isinstance(route, ApiRoute):
                continue
            pattern, _, _ = compile_path(prefix + route.path)
            for method in route.methods or ():
                self._by_method.setdefault(method, []).append((pattern, handle))

    def find(self, scope: Scope) -> Scope | None:
        """The scope of a request that `answer` takes; None for all that is the framework's: it says what is wrong with
        a method or a path.
        """
        if scope["type"] == "http" and not scope.get("root_path") and scope["path"].startswith(self._prefix):
            for pattern, handle in self._by_method.get(scope["method"], ()):
                found = pattern.match(scope["path"])
                if found is not None:
                    return {**scope, "app": self._app, "endpoint": handle, "path_params": found.groupdict()}
        return None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that `find` found a route for."""
        request = Request(scope, receive, send)
        try:
            await self._first(request)
            response: Response = await scope["endpoint"](request)
        except Exception as error:
            handlers: dict[Any, Any] = self._app.exception_handlers
            known = [handlers[kind] for kind in type(error).__mro__ if kind in handlers]
            if not known:
                raise
            response = await known[0](request, error)
            # what it holds, such as the body, goes now, and not when memory is swept
            error.__traceback__ = None
        await response(scope, receive, send)
