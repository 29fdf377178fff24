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
    "as_object",
    "collection_path",
    "path_segment",
    "prefer_wait",
    "read_page",
]

Json = dict[str, Any]

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

    def _get(self, path: str) -> Json:
        return self._call("GET", path)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Json:
        return self._call(method, path, body=dict(body))

    def _call(self, method: str, path: str, **how: Any) -> Json:
        """One object, by a request as `Transport.request` takes it."""
        return as_object(self._transport.request(method, path, **how))

    def _iter(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Json]:
        """Every object of a list, page by page, be it a bare array or in `results`."""
        offset, before = 0, None
        while True:
            asked = {**(params or {}), "limit": _PAGE, "offset": offset}
            answer = self._transport.request("GET", path, params=asked)
            results = _find_list(answer, path)
            if before is not None and results[:1] == before:
                return  # a server that ignores limit and offset returns the complete list each time
            yield from results
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
        UsageError: it is empty, or consists of dots, which would lead to another path.
    """
    if not identifier.strip(". "):
        raise UsageError(f"{identifier!r} is not an id.")
    return quote(identifier, safe="")


def prefer_wait(wait: int | None) -> dict[str, str]:
    """The header that lets the server hold its answer for `wait` seconds (RFC 7240 §4.3); none for None."""
    return {} if wait is None else {"Prefer": f"wait={wait}"}


def read_page(answer: Any, path: str) -> tuple[list[Json], int]:
    """The objects of one page of a list, and how many there are on all pages.

    Raises:
        TransportError: it is no list.
    """
    results = _find_list(answer, path)
    count = _find_count(answer)
    return results, len(results) if count is None else count


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


def as_object(body: Any) -> Json:
    """An object out of an answer.

    Raises:
        TransportError: it is none.
    """
    if not isinstance(body, dict):
        raise TransportError("The server's answer is not an object: is PROLIFIC_URL the address of the API?")
    return Answer(body)
