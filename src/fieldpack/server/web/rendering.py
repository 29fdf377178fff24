"""HTML out: templates, the headers that every page has, and refusals as pages that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from datetime import datetime
from importlib.resources import files
from typing import Any

import orjson
import psycopg
import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from ..origin import is_same_origin
from ..problems import FORBIDDEN, RETRY_SECONDS, Problem
from ..storage import StorageFull, StorageUnavailable
from .assets import asset_url
from .catalogue import Catalogue, choose_language

__all__ = ["PageRoute", "catalogue_of", "render", "state_page"]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' https: blob:",
        "media-src blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # `same-origin` and not `no-referrer`: under that, browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# error_code of a refusal: the state that its page says in words
STATES = {
    140303: "not_admitted",
    140901: "full",
    140902: "paused",
    140903: "closed",
    140904: "unpublished",
    140905: "taken_part",
}
STATES_BY_STATUS = {
    400: "invalid",
    401: "session",
    403: "forbidden",
    404: "unknown",
    405: "invalid",
    413: "large",
    429: "busy",
    507: "storage_full",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_TAG = re.compile(r"<[^>]*>")

log = structlog.get_logger()


def _load() -> dict[str, str]:
    folder = files(__package__).joinpath("templates")
    return {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".html")
    }


def _json(value: Any) -> str:
    """`value` as JSON for an attribute; the template escapes it."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()


def _plain(html: str) -> str:
    """The text of sanitised HTML, for places that take no markup."""
    return Markup(_TAG.sub(" ", html)).unescape().strip()


def size_text(size_bytes: float) -> str:
    """A size as people read it: 1.5 MB. Units are of 1,024, as limits are."""
    for unit in ("B", "KB", "MB"):
        if size_bytes < 1024:
            return (
                f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.3g} {unit}"
            )
        size_bytes /= 1024
    return f"{size_bytes:.3g} GB"


def time_text(at: datetime) -> str:
    """A moment for readers without scripts; scripts put the reader's own time there."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


_environment = Environment(
    loader=DictLoader(_load()),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(asset=asset_url)
_environment.filters.update(json=_json, plain=_plain, size=size_text, time=time_text)


def catalogue_of(request: Request) -> Catalogue:
    """The texts in the reader's language."""
    return choose_language(request.headers.get("accept-language", ""))


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page."""
    catalogue = catalogue_of(request)
    html = _environment.get_template(template).render(
        t=catalogue.text, language=catalogue.language, direction=catalogue.direction, **values
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def state_page(request: Request, state: str, *, status: int = 200, retry: str | None = None) -> HTMLResponse:
    """A page that says one thing: why there is nothing to do here now, and what to do instead."""
    return render(request, "state.html", status=status, state=state, retry=retry)


def wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


class PageRoute(APIRoute):
    """A route that answers pages: refusals too, unless it wasn't a browser that asked.

    What writes must come from a page of ours, which no other site can make a browser say.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.methods == {"GET"}:
            self.methods = {"GET", "HEAD"}  # link scanners look before they open

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_and_explain(request: Request) -> Response:
            try:
                if request.method not in SAFE_METHODS and not is_same_origin(
                    request, request.app.state.context
                ):
                    raise Problem(FORBIDDEN, "This request does not come from a page of this server.")
                return await handle(request)
            except Problem as problem:
                if not wants_html(request):
                    raise
                state = STATES.get(problem.type.error_code) or STATES_BY_STATUS.get(problem.type.status)
                response = state_page(
                    request, state or "invalid", status=problem.type.status, retry=_retry(request)
                )
                response.headers.update(problem.headers)
                return response
            except RequestValidationError:
                if not wants_html(request):
                    raise
                return state_page(request, "invalid", status=400)
            except HTTPException as error:
                if not wants_html(request):
                    raise
                state = STATES_BY_STATUS.get(error.status_code, "invalid")
                return state_page(request, state, status=error.status_code)
            except (psycopg.errors.DiskFull, StorageFull) as error:
                log.error("storage.full", path=request.url.path, error=str(error))
                return state_page(request, "storage_full", status=507, retry=_retry(request))
            except (psycopg.OperationalError, PoolTimeout, StorageUnavailable) as error:
                log.error("unavailable", path=request.url.path, error=str(error))
                response = state_page(request, "broken", status=503, retry=_retry(request))
                response.headers["Retry-After"] = str(RETRY_SECONDS)
                return response

        return handle_and_explain


def _retry(request: Request) -> str | None:
    """Where "try again" leads: this page itself, when it was only looked at."""
    if request.method != "GET":
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"
