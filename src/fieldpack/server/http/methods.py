"""The methods of a path, by all routes that match it (RFC 9110 §9.3.7, §10.2.1)."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from fieldpack.server.http.routing import ID_NAMES
from fieldpack.server.values.uuids import is_uuid

__all__ = ["allowed_methods"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
OPTIONS = "OPTIONS"  # answered wherever anything is
EVERYWHERE = "*"  # the path of `OPTIONS *`, which asks about the server


def allowed_methods(request: Request) -> str:
    """The value of `Allow`; empty where nothing is possible. Starlette names the methods of the first route only.

    A word is no id, whatever the path's pattern says: nothing is possible where a route would want one.
    """
    path = request.scope["path"]
    if path == EVERYWHERE:
        return ", ".join((*METHODS, OPTIONS))
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        match = compile_path(route.path or "")[0].match(path)
        if match is not None and all(
            is_uuid(text) for name, text in match.groupdict().items() if name.endswith(ID_NAMES)
        ):
            found |= set(route.methods or ())
    return ", ".join([*(method for method in METHODS if method in found), OPTIONS]) if found else ""
