"""A refusal in the form that a client can read: the API's JSON for programs, a page for people who followed a link."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fastapi import Request
from starlette.responses import Response

from fieldpack.server.http.responses import OrjsonResponse
from fieldpack.server.problems import Detail, ProblemType, problem_body
from fieldpack.server.web.preferences import prefers_html
from fieldpack.server.web.rendering import refusal_page

__all__ = ["answer_refusal"]

API_PREFIX = "/api/v1"
# paths below it that people open in a browser: links to archives, also truncated ones, and exports
_ARCHIVE_LINK = "/api/v1/data-collection/exports/"
_EXPORT = re.compile(r"/api/v1/data-collection/collections/[^/]+/export(/[^/]+)?")


def _is_for_people(path: str) -> bool:
    """Whether a request for this path comes from a person's navigation, and not from a script of a page."""
    inside = path == API_PREFIX or path.startswith(f"{API_PREFIX}/")
    return (
        not inside
        or path.startswith(_ARCHIVE_LINK)
        or _ARCHIVE_LINK.startswith(path)
        or _EXPORT.fullmatch(path) is not None
    )


def answer_refusal(
    request: Request,
    type: ProblemType,
    detail: Detail,
    *,
    headers: Mapping[str, str] | None = None,
    information: str = "",
) -> Response:
    """The refusal as JSON or as a page, as the client prefers; status, sentence and headers are the same."""
    if _is_for_people(request.url.path) and prefers_html(request):
        return refusal_page(request, type, detail, headers=headers)
    body = problem_body(type, detail, information)
    return OrjsonResponse(body, status_code=type.status, headers=dict(headers or {}))
