"""How a request is read: JSON within limits, identifiers, and who is asking before what they ask.

The route classes authenticate first and parse the body after, so that a stranger learns nothing from
the way a body is refused.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from fieldpack.server.config import Settings
from fieldpack.server.http.direct.calls import ID_NAMES, Call, is_direct
from fieldpack.server.http.large import LargeWork, Participants, run_large
from fieldpack.server.http.listing import name_ignored
from fieldpack.server.http.responses import OrjsonResponse
from fieldpack.server.problems import INVALID, MALFORMED, TOO_LARGE, Problem, invalid, not_found
from fieldpack.server.values.entries import check_body, list_faults
from fieldpack.server.values.json_types import parse_limited
from fieldpack.server.values.uuids import is_uuid
from fieldpack.text import say_bytes

__all__ = [
    "ID_NAMES",
    "ApiRoute",
    "Handler",
    "discard_body",
    "parse_given_id",
    "parse_id",
    "parse_ids",
    "parse_json",
    "read_json",
    "read_limited",
    "while_reading",
]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

LONG_SECONDS = 5.0  # of a body, until whoever sends it is asked again who they are
MAX_UNKNOWN_BYTES = 128 * 1024  # of a body, before anybody knows who sends it


def parse_id(kind: str, text: str) -> UUID:
    """An identifier in a path. One that is malformed is simply unknown.

    Raises:
        Problem: 404.
    """
    if not is_uuid(text):
        raise not_found(kind, text)
    return UUID(text)


def parse_ids(request: Request) -> dict[str, UUID]:
    """The identifiers in a request's path, by the names of their parameters.

    Raises:
        Problem: 404 for one that is malformed.
    """
    return {
        name: parse_id(name.partition("_")[0].capitalize(), text)
        for name, text in request.path_params.items()
        if name.endswith(ID_NAMES)
    }


def parse_given_id(field: str, kind: str, text: str) -> UUID:
    """An identifier in a query or a body, where a malformed one is malformed input.

    Raises:
        Problem: 400, naming the field.
    """
    if not is_uuid(text):
        raise invalid(field, f"{text!r} is no id of a {kind.lower()}.")
    return UUID(text)


class JsonRequest(Request):
    """A request whose body was read and checked before the route saw it."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed


async def read_limited(request: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises:
        Problem: 413; as `while_reading`.
    """
    async with while_reading(request):
        return await _read(request, limit)


@asynccontextmanager
async def while_reading(request: Request) -> AsyncIterator[None]:
    """A body is read within. One that took long may be of somebody who may not send it any more: a token is revoked, a
    session ended. Where the route knows who it was (`request.state.ask_again`), it is asked again.

    Raises:
        Problem: as the route refuses a new request.
    """
    begun_at = time.monotonic()
    yield
    ask: Callable[[Request], Awaitable[None]] | None = getattr(request.state, "ask_again", None)
    if ask is not None and time.monotonic() - begun_at > LONG_SECONDS:
        await ask(request)


async def _read(request: Request, limit: int) -> bytes:
    too_large = Problem(TOO_LARGE, f"The body may have at most {say_bytes(limit)}.")
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def _find_nul(value: Any, path: str) -> str | None:
    """Path of the first text in `value` with U+0000, which PostgreSQL can't hold."""
    if isinstance(value, str):
        return path if "\x00" in value else None
    if isinstance(value, dict):
        for key, inner in value.items():
            found = path or "body" if "\x00" in key else _find_nul(inner, f"{path}.{key}" if path else key)
            if found is not None:
                return found
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found = _find_nul(inner, f"{path}.{number}" if path else str(number))
            if found is not None:
                return found
    return None


def parse_json(body: bytes) -> Any:
    """JSON in UTF-8, without U+0000 or lone surrogates.

    Raises:
        Problem: 400.
    """
    try:
        value = parse_limited(body)
    except ValueError as error:
        raise Problem(MALFORMED, f"The body {error}.") from None
    if b"\\u0000" in body:
        path = _find_nul(value, "")
        if path is not None:
            raise Problem(INVALID, {path or "body": ["Text must not contain U+0000."]})
    return value


def _iter_declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names of the query parameters that a route, or what it depends on, declares, and whether each takes several
    values."""
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        yield parameter.alias, any(get_origin(each) is list for each in (annotation, *get_args(annotation)))
    for inner in dependant.dependencies:
        yield from _iter_declared(inner)


def _check_query(request: Request, known: Mapping[str, bool]) -> None:
    """Refuse what no query can hold, and two values where one of them would be passed over in silence.

    Args:
        known: the declared parameters, and whether each takes several values.

    Raises:
        Problem: 400 under the name of the parameter.
    """
    seen: dict[str, str] = {}
    is_replaced = False  # whether a text holds what stands for bytes that are no UTF-8, or was sent as such
    for name, text in request.query_params.multi_items():
        if name not in known:
            continue
        if "\0" in text:
            raise invalid(name, "Text must not contain U+0000.")
        if not known[name] and seen.setdefault(name, text) != text:
            raise invalid(name, "Give this parameter once.")
        is_replaced = is_replaced or "\ufffd" in text
    if is_replaced:
        query = request.scope["query_string"].decode("latin-1")
        for name, text in parse_qsl(query, keep_blank_values=True, errors="surrogateescape"):
            if name in known and any("\udc80" <= each <= "\udcff" for each in text):
                raise invalid(name, "Must be text in UTF-8.")


class ApiRoute(APIRoute):
    """A route of the API: its body is JSON whatever the client called it, and limited in size.

    Attributes:
        whose: with what a large body takes turns.
    """

    whose: type[LargeWork] = Participants

    async def authenticate(self, request: Request) -> None:
        """Hook: who is asking. Runs before the body is read."""

    def max_body_bytes(self, request: Request) -> int:
        """Largest body accepted; little of somebody who was not asked who they are."""
        limit: int = request.app.state.context.settings.max_body_bytes
        return min(limit, MAX_UNKNOWN_BYTES) if type(self).authenticate is ApiRoute.authenticate else limit

    def check_body(self, body: Any, settings: Settings) -> None:
        """Hook: refuse a body that is too much, before what is in it is looked at. Runs in a thread."""

    def surround(self, handle: Handler) -> Handler:
        """Hook: what is done around everything else, for each request."""
        return handle

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        known = dict(_iter_declared(self.dependant))

        async def read_then_handle(request: Request) -> Response:
            _, body, parsed = await self._enter(request, known)
            if body is None:
                return await handle(request)
            headers = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
            request.scope["headers"] = [*headers, (b"content-type", b"application/json")]
            again = JsonRequest(request.scope, request.receive)
            again._body = body
            again.parsed = parsed
            return await handle(again)

        return self.surround(read_then_handle)

    def get_direct_handler(self) -> Handler | None:
        """The same without the framework between; None where the endpoint asks for more than `Call` knows of."""
        if not is_direct(self.dependant) or self.response_model not in (None, dict[str, Any]):
            return None
        call, known = Call(self.dependant), dict(_iter_declared(self.dependant))
        status = self.status_code or 200

        async def read_then_call(request: Request) -> Response:
            ids, body, parsed = await self._enter(request, known)
            if body is not None and parsed is None:
                missing = {"type": "missing", "loc": ("body",), "msg": "Field required"}
                raise RequestValidationError([missing])
            answer = await call(request, ids, parsed)
            return answer if isinstance(answer, Response) else OrjsonResponse(answer, status_code=status)

        return self.surround(read_then_call)

    async def _enter(
        self, request: Request, known: Mapping[str, bool]
    ) -> tuple[dict[str, UUID], bytes | None, Any]:
        """Who is asking, the ids of the path, and the body where the route takes one: as it came, and parsed."""
        request.state.ignored_parameters = name_ignored(request.query_params.keys(), known)
        await self.authenticate(request)
        _check_query(request, known)  # before words where ids go, whatever else is wrong
        ids = parse_ids(request)
        if self.body_field is None:
            return ids, None, None
        context = request.app.state.context
        async with while_reading(request):
            body = await _read(request, self.max_body_bytes(request))
            if getattr(request.state, "keeps_body", False):
                request.state.body = body
            parsed = await run_large(
                context.caches, self.whose, len(body), self._parse, body, context.settings
            )
        return ids, body, parsed

    def _parse(self, body: bytes, settings: Settings) -> Any:
        """The body as the route takes it: FastAPI would check it on the event loop, and leaves alone what is checked.

        Raises:
            Problem: 400.
            RequestValidationError: 400 by field path.
        """
        if not body.strip():
            return None
        value = parse_json(body)
        self.check_body(value, settings)
        assert self.body_field is not None
        model = self.dependant.body_params[0].field_info.annotation
        is_whole = model is self.body_field.field_info.annotation  # not one field of several
        if not (is_whole and isinstance(model, type) and issubclass(model, BaseModel)):
            return value
        try:
            return check_body(model, value)
        except ValidationError as error:
            raise RequestValidationError(
                [{**fault, "loc": ("body", *fault["loc"])} for fault in list_faults(error)]
            ) from None


async def discard_body(request: Request) -> None:
    """Dependency of a route that needs no body: whatever is sent is ignored, within the limit.

    Raises:
        Problem: 413.
    """
    await read_limited(request, request.app.state.context.settings.max_body_bytes)


async def read_json(request: Request, whose: type[LargeWork], *, optional: bool = False) -> Any:
    """The JSON body of a route whose body may be any JSON value, `null` among them.

    Args:
        whose: with what a large body takes turns.
        optional: no body is `null`.

    Raises:
        Problem: 400, 413, 503.
    """
    context = request.app.state.context
    async with while_reading(request):
        body = await _read(request, context.settings.max_body_bytes)
        if optional and not body.strip():
            return None
        return await run_large(context.caches, whose, len(body), parse_json, body)
