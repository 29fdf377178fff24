"""Endpoints called with their arguments, where these are few and known: the request, ids, the body, what we depend on.

The framework finds them out anew at each request, which takes longer than saving an answer does.
"""

from __future__ import annotations

import inspect
from typing import Any
from uuid import UUID

from fastapi import Request
from fastapi.dependencies.models import Dependant

__all__ = ["ID_NAMES", "Call", "is_direct"]

ID_NAMES = ("_id", "file_key")  # what the names of path parameters that are ids end in


def is_direct(dependant: Dependant) -> bool:
    """Whether `Call` can find all that an endpoint, or a dependency, wants."""
    call = dependant.call
    asked = (
        dependant.query_params,
        dependant.header_params,
        dependant.cookie_params,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
        dependant.websocket_param_name,
    )
    return (
        not any(asked)
        and len(dependant.body_params) <= 1
        and all(field.name.endswith(ID_NAMES) for field in dependant.path_params)
        and (inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__))
        and all(map(is_direct, dependant.dependencies))
    )


class Call:
    """An endpoint, or what it depends on, for which `is_direct` holds."""

    def __init__(self, dependant: Dependant) -> None:
        assert dependant.call is not None
        self._call = dependant.call
        self._request = dependant.request_param_name or dependant.http_connection_param_name
        self._ids = [field.name for field in dependant.path_params]
        self._bodies = [field.name for field in dependant.body_params]
        self._inner = [(inner.name, Call(inner)) for inner in dependant.dependencies]

    async def __call__(self, request: Request, ids: dict[str, UUID], body: Any) -> Any:
        """Its answer.

        Args:
            ids: those of the path, by the names of their parameters.
            body: as the route takes it.
        """
        arguments: dict[str, Any] = {name: ids[name] for name in self._ids}
        if self._request is not None:
            arguments[self._request] = request
        for name in self._bodies:
            arguments[name] = body
        for asked, inner in self._inner:
            found = await inner(request, ids, body)
            if asked is not None:
                arguments[asked] = found
        return await self._call(**arguments)
