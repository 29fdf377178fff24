"""Rendering HTML: templates, the headers of every page, and refusals as pages that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from fieldpack.server.http.origin import is_same_origin
from fieldpack.server.problems import FORBIDDEN, Detail, Problem, ProblemType
from fieldpack.server.web.assets import asset_url
from fieldpack.server.web.catalogue import Catalogue, choose_language
from fieldpack.server.web.workbench.sessions import renew_participant

__all__ = ["PageRoute", "catalogue_of", "refusal_page", "render", "state_page"]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' https: blob:",
        "media-src 'self' blob:",
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
    # not `no-referrer`, under which browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# error_code of a refusal: the state that its page says in words
STATES = {
    140301: "link_altered",
    140302: "link_expired",
    140303: "not_admitted",
    140304: "signed_needed",
    140305: "link_altered",
    140306: "link_expired",
    140307: "signed_used",
    140901: "full",
    140902: "paused",
    140903: "closed",
    140904: "unpublished",
    140905: "taken_part",
    140906: "code_needed",
    140907: "code_needed",
    150301: "busy",
}
STATES_BY_STATUS = {
    400: "invalid",
    401: "session",
    403: "forbidden",
    404: "unknown",
    405: "invalid",
    410: "gone",
    413: "large",
    429: "busy",
    507: "storage_full",
}
# states that end by themselves, so that trying the same page again may help
PASSING_STATES = ("full", "paused", "unpublished", "busy", "broken", "storage_full")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_TAG = re.compile(r"<[^>]*>")


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


def time_text(at: datetime) -> str:
    """A time in UTC, for readers without scripts. Scripts replace it by the reader's own time."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


_environment = Environment(
    loader=DictLoader(_load()),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(asset=asset_url)
_environment.filters.update(json=_json, plain=_plain, time=time_text)


def catalogue_of(request: Request) -> Catalogue:
    """The texts in the reader's language."""
    return choose_language(request.headers.get("accept-language", ""))


def _with_time(catalogue: Catalogue, key: str, at: datetime) -> Markup:
    """A text with a `{time}` in it, which scripts write in the reader's locale and time zone."""
    before, _, after = catalogue.text(key, time="\0").partition("\0")
    utc = at.astimezone(UTC)
    moment = Markup('<time datetime="{}" data-local>{}</time>').format(utc.isoformat(), time_text(utc))
    return escape(before) + moment + escape(after)


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page."""
    catalogue = catalogue_of(request)
    html = _environment.get_template(template).render(
        t=catalogue.text,
        t_time=partial(_with_time, catalogue),
        size=catalogue.size,
        language=catalogue.language,
        direction=catalogue.direction,
        contact=getattr(request.state, "contact", None),
        **values,
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def state_page(request: Request, state: str, *, status: int = 200, sentence: str = "") -> HTMLResponse:
    """A page that says why there is nothing to do here now, and what to do instead.

    Args:
        request: what was asked.
        state: which state, by its name in the catalogue.
        status: HTTP status of the answer.
        sentence: what the API would have answered.
    """
    retry = _retry(request) if state in PASSING_STATES else None
    return render(request, "state.html", status=status, state=state, retry=retry, sentence=sentence)


def refusal_page(
    request: Request, type: ProblemType, detail: Detail, *, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A refusal as a page: its state as a text, and the sentence that the API would have answered."""
    state = STATES.get(type.error_code) or STATES_BY_STATUS.get(type.status)
    state = state or ("broken" if type.status >= 500 else "invalid")
    response = state_page(request, state, status=type.status, sentence=_sentence(detail))
    response.headers.update(headers or {})
    return response


def _sentence(detail: Detail) -> str:
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        return " ".join(detail)
    return " ".join(f"{path}: {message}" for path, messages in detail.items() for message in messages)


class PageRoute(APIRoute):
    """A route that answers pages. Its refusals are pages too, for clients that prefer them (`refusals.py`).

    Requests that write must come from a page of ours: other sites can make a browser send one, but not with our
    `Origin`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.methods == {"GET"}:
            self.methods = {"GET", "HEAD"}  # link scanners send HEAD before they open a page

    async def prepare(self, request: Request) -> None:
        """Hook: what every page of this route shows, and its refusals."""

    async def divert(self, request: Request) -> Response | None:
        """Hook: another answer for who may not see this page, asked once a request is known to be from one of ours."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_own(request: Request) -> Response:
            await self.prepare(request)
            context = request.app.state.context
            if request.method not in SAFE_METHODS and not is_same_origin(request, context):
                raise Problem(FORBIDDEN, "This request does not come from a page of this server.")
            response = await self.divert(request) or await handle(request)
            renew_participant(request, response)
            return response

        return handle_own


def _retry(request: Request) -> str | None:
    """Where "try again" leads: this page itself, when it was only looked at."""
    if request.method != "GET":
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"
