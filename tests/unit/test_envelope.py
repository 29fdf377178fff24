"""What is around every request: a crash, too many requests, and the request's name, in the one error body."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from fieldpack.server import envelope
from fieldpack.server.app import Application, create_app
from fieldpack.server.config import Settings, load_settings
from fieldpack.server.http import rate_limit
from fieldpack.server.http.rate_limit import RateLimit
from tests.refusals import refused


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits see all requests at the same moment, however long the machine takes for them."""
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: 1000.0))


def application(settings: Settings | None = None) -> Application:
    """The application without its database, with one route that has a bug."""
    app = create_app(settings or load_settings(), "postgresql://nowhere")

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret of the server's")

    return app


def get(app: Application, *paths: str) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(run())


def test_a_crash_has_the_one_body_and_a_name() -> None:
    [answer] = get(application(), "/bug")
    detail = refused(answer, 500)
    assert answer.headers["x-request-id"] in detail
    assert "secret" not in answer.text


def test_a_crash_that_happens_again_has_one_traceback_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], perf_counter=time.perf_counter)
    lines: list[dict[str, Any]] = []
    log = SimpleNamespace(
        error=lambda event, **fields: lines.append(fields) if event == "crash" else None,
        debug=lambda event, **fields: None,
    )
    monkeypatch.setattr(envelope, "time", clock)
    monkeypatch.setattr(envelope, "log", log)
    monkeypatch.setattr(envelope, "_crashes", envelope._Crashes())
    app = application()

    @app.get("/other")
    async def other() -> None:
        raise RuntimeError("at another place")

    @app.get("/deep")
    async def deep() -> None:
        json.loads("{")

    for _ in range(3):
        for answer in get(app, "/bug", "/bug", "/other", "/deep"):
            refused(answer, 500)
        now[0] += 59.0
    whole = [(line["path"], line["left_out"]) for line in lines if "exc_info" in line]
    assert whole == [("/bug", 0), ("/other", 0), ("/deep", 0), ("/bug", 3), ("/other", 1), ("/deep", 1)]
    again = [(line["path"], line["error"], line["again"]) for line in lines if "exc_info" not in line]
    assert again[0] == ("/bug", "RuntimeError", 1)
    assert len(lines) == 12  # every one is there, by its path and request id


def test_too_many_requests_are_told_when_to_come_back() -> None:
    *first, third = get(application(load_settings(rate_per_address=1)), *["/health/live"] * 3)
    assert [answer.status_code for answer in first] == [200, 200]  # a burst of two seconds' worth
    refused(third, 429)
    assert int(third.headers["retry-after"]) >= 1


def test_requests_are_counted_together_whichever_way_they_take() -> None:
    """Those of intake go by the framework, in an envelope of their own."""
    app = application()
    [framework] = app.user_middleware
    assert framework.kwargs["limit"] is app.enveloped.limit
    upload = "/api/v1/participate/submissions/0198c0de-0000-7000-8000-000000000001"
    assert app.direct.find({"type": "http", "method": "GET", "path": upload}) is not None
    answers = get(application(load_settings(rate_per_address=1)), upload, "/health/live", upload)
    refused(answers[2], 429)


def test_a_limit_forgets_who_was_quiet_longest() -> None:
    limit = RateLimit(1, keys=2)
    assert limit.wait_seconds("a") == 0
    assert limit.wait_seconds("a") == 0
    assert limit.wait_seconds("a") > 0
    assert limit.wait_seconds("b") == 0
    assert limit.wait_seconds("c") == 0  # and so a is forgotten
    assert limit.wait_seconds("a") == 0


def test_unknown_pages_and_slashes() -> None:
    answers = get(application(), "/nothing", "/health/live/", "/api/v1/nothing/", "/health/live//")
    refused(answers[2], 404)
    assert [answer.status_code for answer in answers[1::2]] == [200, 200]
