"""Calling a route: for one object, for a list page by page, with a change; and building its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fieldpack.client.transport import Transport
from fieldpack.errors import TransportError, UsageError

__all__ = [
    "COLLECTIONS",
    "Json",
    "Routes",
    "Shape",
    "collection_path",
    "path_segment",
    "prefer_wait",
]

Json = dict[str, Any]

Shape = Any
"""What is read of a value in an answer.

`str`, `bool`, `int`, `float` for any number, `object` for anything; `[shape]` a list of these and `[shape, shape]`
exactly two; `{"field": shape}` an object with these fields as far as it has them, `{...: shape}` one whose every value
is such; and `(shape, None)` where null is as good.
"""

_OBJECT: Shape = {"id": object}
_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
_MOST = 2**63  # beyond, no JSON that others read holds it

_PAGE = 200
# Paths end in a slash exactly where those of the hosted service do: it redirects the other spelling, and a redirected
# POST loses its body.
COLLECTIONS = "/data-collection/collections"


class Answer(dict[str, Any]):
    """An object out of an answer: a server of another version may leave a field out, which is no fault of ours."""

    def __missing__(self, name: str) -> Any:
        raise TransportError(
            f"The server answered without {name!r}: is PROLIFIC_URL the address of the API, and the server of a "
            "version that this program knows?"
        )


class Routes:
    """Calls the routes of one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _get(self, path: str, shape: Shape = _OBJECT) -> Json:
        return self._call("GET", path, shape)

    def _send(self, method: str, path: str, body: Mapping[str, Any], shape: Shape = _OBJECT) -> Json:
        return self._call(method, path, shape, body=dict(body))

    def _call(self, method: str, path: str, shape: Shape = _OBJECT, **how: Any) -> Json:
        """One object, by a request as `Transport.request` takes it."""
        return self._read(self._transport.request(method, path, **how), shape)

    def _read(self, body: Any, shape: Shape = _OBJECT) -> Json:
        """An object out of an answer, checked where it is of another type than what is read of it.

        Raises:
            TransportError: it is none, or holds something else than is due.
        """
        try:
            found: Json = _read(body, shape, "")
        except _WrongShape as error:
            raise TransportError(
                f"The server at {self._transport.connection.url} answered {error}."
            ) from None
        return found

    def _read_page(self, answer: Any, path: str, shape: Shape = _OBJECT) -> tuple[list[Json], int]:
        """The objects of one page of a list, and how many there are on all pages.

        Raises:
            TransportError: it is no list, or not of such objects.
        """
        results = [self._read(each, shape) for each in _find_list(answer, path)]
        count = _find_count(answer)
        return results, len(results) if count is None else count

    def _iter(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        shape: Shape = _OBJECT,
    ) -> Iterator[Json]:
        """Every object of a list, page by page, be it a bare array or in `results`."""
        offset, before = 0, None
        while True:
            asked = {**(params or {}), "limit": _PAGE, "offset": offset}
            answer = self._transport.request("GET", path, params=asked)
            results = _find_list(answer, path)
            if before is not None and results[:1] == before:
                return  # a server that ignores limit and offset returns the complete list each time
            yield from (self._read(each, shape) for each in results)
            before = results[:1]
            offset += len(results)
            count = _find_count(answer)
            if not results or (len(results) < _PAGE if count is None else offset >= count):
                return


def collection_path(collection_id: str) -> str:
    """The path of a collection. Raises `UsageError` as `path_segment` does."""
    return f"{COLLECTIONS}/{path_segment(collection_id)}"


def path_segment(identifier: str) -> str:
    """An identifier as one segment of a path (RFC 3986 §3.3), percent-encoded.

    Raises:
        UsageError: it is empty, or consists of dots, which would lead to another path, or is no text.
    """
    if not identifier.strip(". "):
        raise UsageError(f"{identifier!r} is not an id.")
    try:
        return quote(identifier, safe="")
    except UnicodeEncodeError:
        raise UsageError(f"{identifier!r} is not an id: it is no text in UTF-8.") from None


def prefer_wait(wait: int | None) -> dict[str, str]:
    """The header that lets the server hold its answer for `wait` seconds (RFC 7240 §4.3); none for None."""
    return {} if wait is None else {"Prefer": f"wait={wait}"}


def _find_list(answer: Any, path: str) -> list[Json]:
    results = answer.get("results") if isinstance(answer, dict) else answer
    meta = answer.get("meta") if isinstance(answer, dict) else None
    if (
        not isinstance(meta, dict | None)
        or not isinstance(results, list)
        or not all(isinstance(item, dict) for item in results)
    ):
        raise TransportError(f"{path} did not answer with a list: is PROLIFIC_URL the address of the API?")
    return [Answer(item) for item in results]


def _find_count(answer: Any) -> int | None:
    """How many there are on all pages, where an answer says so in a way that is known."""
    meta = answer.get("meta") if isinstance(answer, dict) else None
    count = meta.get("count") if meta else None
    return count if type(count) is int else None


class _WrongShape(Exception):
    """An answer holds something else than is read of it; `str()` goes on from "The server answered"."""

    def __init__(self, value: Any, due: str, place: str) -> None:
        super().__init__(f"with {_say_kind(value)} where {due} is due{f' ({place})' if place else ''}")


def _read(value: Any, shape: Shape, place: str) -> Any:
    """A value as its shape says; unknown fields stay, and those that are missing are refused where they are read."""
    if isinstance(shape, tuple):
        return None if value is None else _read(value, shape[0], place)
    if isinstance(shape, list):
        if not isinstance(value, list) or len(shape) not in (1, len(value)):
            raise _WrongShape(value, "a list" if len(shape) == 1 else f"a list of {len(shape)}", place)
        return [_read(each, shape[0], f"{place}[{number}]") for number, each in enumerate(value)]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _WrongShape(value, "an object", place)
        found, known = Answer(value), dict.fromkeys(value, shape[...]) if ... in shape else shape
        for name in known.keys() & value.keys():
            found[name] = _read(value[name], known[name], f"{place}.{name}" if place else name)
        return found
    if shape is object:
        return value
    if shape is int and isinstance(value, float) and value.is_integer() and abs(value) < _MOST:
        return int(value)
    if type(value) not in ((int, float) if shape is float else (shape,)):
        raise _WrongShape(value, _NAMES[shape], place)
    return value


def _say_kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")
