"""What happens around every request: one path per route, a request id, a log line, and the rate limit."""

from __future__ import annotations

import math
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import fieldpack
from fieldpack.server.http.cookies import without_escapes
from fieldpack.server.http.rate_limit import RateLimit
from fieldpack.server.machine.metrics import REQUESTS
from fieldpack.server.problems import INTERNAL, TOO_MANY_REQUESTS
from fieldpack.server.web.refusals import answer_refusal

__all__ = ["Envelope"]

TRACEBACK_SECONDS = 60.0  # in which one is enough: strangers can cause a crash as often as they like
_PACKAGE = str(Path(fieldpack.__file__).parent)

log = structlog.get_logger()


def too_many(scope: Scope, wait: float) -> Response:
    """The 429, with the whole seconds to wait."""
    seconds = max(1, round(wait + 0.5))
    detail = f"Too many requests: wait {seconds} s and send this again."
    return answer_refusal(Request(scope), TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})


def _crashed(scope: Scope, request_id: str) -> Response:
    """The 500, with the request id under which the log has the details."""
    detail = f"Something went wrong on the server; its log has the details under request {request_id}."
    return answer_refusal(Request(scope), INTERNAL, detail)


class _Crashes:
    """Which crashes this process has written whole: those of one type at one place have the same traceback."""

    def __init__(self) -> None:
        self._written: dict[tuple[Any, ...], tuple[float, int]] = {}

    def write(self, error: Exception, path: str) -> None:
        """Log a crash: with its traceback, unless that of such a one was within a minute, else as one line."""
        places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        ours = [place for place in places if place[0].startswith(_PACKAGE)]
        key = (type(error), *places[-1:], *ours[-1:])
        now = time.monotonic()
        since, left_out = self._written.get(key, (-math.inf, 0))
        if now - since < TRACEBACK_SECONDS:
            self._written[key] = since, left_out + 1
            log.error("crash", path=path, error=type(error).__name__, again=left_out + 1)
        else:
            self._written[key] = now, 0
            log.error("crash", path=path, exc_info=error, left_out=left_out)


_crashes = _Crashes()


class Envelope:
    """Outermost layer: strips the trailing slash and what no cookie of ours has, limits the rate, names the request and
    what of its query means nothing, answers for a crash in the one error body, logs the end.
    """

    def __init__(self, app: ASGIApp, *, limit: RateLimit, hsts_seconds: int = 0) -> None:
        self.app = app
        self.hsts = (
            (b"strict-transport-security", f"max-age={hsts_seconds}".encode()) if hsts_seconds else None
        )
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/") or "/"}
        if any(name == b"cookie" and b"\\" in value for name, value in scope["headers"]):
            scope = {**scope, "headers": without_escapes(scope["headers"])}
        request_id = uuid.uuid4().hex
        client = scope.get("client")
        started = time.perf_counter()
        status = 0
        state = scope.setdefault("state", {})

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = [(b"x-request-id", request_id.encode())]
                ignored = state.get("ignored_parameters")
                if ignored:
                    named.append((b"x-ignored-parameters", ignored.encode()))
                if self.hsts is not None and scope["scheme"] == "https":
                    named.append(self.hsts)  # over http it means nothing (RFC 6797 §7.2)
                message = {**message, "headers": [*message["headers"], *named]}
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        wait = self.limit.wait_seconds(client[0] if client else "")
        try:
            if wait:
                await too_many(scope, wait)(scope, receive, send_named)
            else:
                await self.app(scope, receive, send_named)
        except Exception as error:
            if status:  # the answer has begun: the connection is cut
                raise
            _crashes.write(error, scope["path"])
            await _crashed(scope, request_id)(scope, receive, send_named)
        finally:
            seconds = time.perf_counter() - started
            REQUESTS.labels(scope["method"], str(status)).observe(seconds)
            self._log(scope, status, seconds)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        """One line per request; the query is left out: it may carry a participant's id or a signature."""
        fields: dict[str, Any] = {"method": scope["method"], "path": scope["path"], "status": status}
        fields["ms"] = round(seconds * 1000, 1)
        agent = Headers(scope=scope).get("user-agent")
        if status >= 500:
            log.error("request", user_agent=agent, **fields)
        else:
            log.debug("request", **fields)
