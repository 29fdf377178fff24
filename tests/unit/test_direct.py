"""The table of intake's routes: what participants do over and over is found in it, all else is the framework's."""

from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace

import pytest
from fastapi import Request, Response
from starlette.types import Message

from fieldpack.server.app import Application, create_app
from fieldpack.server.config import load_settings
from fieldpack.server.problems import TOO_LARGE, Problem

PARTICIPATE = "/api/v1/participate"
ANY = "0198c0de-0000-7000-8000-000000000001"
SUBMISSION = f"{PARTICIPATE}/submissions/{ANY}"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Application:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"))
    return create_app(settings, "postgresql://nowhere.invalid/none")


def is_found(app: Application, method: str, path: str, root: str = "") -> bool:
    return app.direct.find({"type": "http", "method": method, "path": path, "root_path": root}) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{PARTICIPATE}/studies/{ANY}/submissions"),
        ("GET", SUBMISSION),
        ("PUT", f"{SUBMISSION}/answers"),
        ("PUT", f"{SUBMISSION}/answers/{ANY}"),
        ("POST", f"{SUBMISSION}/uploads"),
        ("HEAD", f"{SUBMISSION}/uploads/{ANY}"),
        ("PATCH", f"{SUBMISSION}/uploads/{ANY}"),
        ("DELETE", f"{SUBMISSION}/uploads/{ANY}"),
        ("POST", f"{SUBMISSION}/submit"),
        ("POST", f"{SUBMISSION}/return"),
    ],
)
def test_intake_is_called_directly(app: Application, method: str, path: str) -> None:
    assert is_found(app, method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{SUBMISSION}/uploads/{ANY}"),  # its answer is checked against a model
        ("OPTIONS", f"{SUBMISSION}/uploads"),
        ("DELETE", f"{SUBMISSION}/answers"),  # what a path takes, the framework knows
        ("PUT", f"{SUBMISSION}/answers/a/b"),
        ("GET", "/api/v1/studies"),
        ("POST", f"/participate/{ANY}"),
    ],
)
def test_all_else_is_not(app: Application, method: str, path: str) -> None:
    assert not is_found(app, method, path)


def test_below_another_root_the_framework_finds_its_way(app: Application) -> None:
    assert not is_found(app, "POST", f"{SUBMISSION}/submit", root="/data")


def test_a_refusal_holds_nothing_of_its_request(app: Application) -> None:
    """Strangers may cause as many as they like: what they sent must not wait for a sweep of the memory."""

    class Body:
        pass

    bodies: list[weakref.ref[Body]] = []

    async def refuse(request: Request) -> Response:
        body = Body()
        bodies.append(weakref.ref(body))
        error = Problem(TOO_LARGE, "No.")
        raise error

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "app": app}
        await app.direct.answer({**scope, "endpoint": refuse}, receive, send)
        assert [body() for body in bodies] == [None]

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    app.state.context = SimpleNamespace(reserve=None)
    gc.disable()
    try:
        asyncio.run(ask())
    finally:
        gc.enable()


def test_the_table_adds_nothing_to_what_the_api_says_of_itself(app: Application) -> None:
    document = app.openapi()
    operations = document["paths"]["/api/v1/participate/submissions/{submission_id}/answers/{instruction_id}"]
    assert list(operations) == ["put"]
