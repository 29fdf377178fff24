"""A server's refusal, as one readable sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from fieldpack.errors import ApiError
from fieldpack.text import make_line

__all__ = ["PASSING", "make_api_error"]

PASSING = frozenset({429, 502, 503, 504})  # statuses after which a retry may succeed

_LONGEST = 1000
_DEEPEST = 16
_MOST_XML_BYTES = 65536
_REASONS = {
    400: "the request was not understood",
    401: "the token was not accepted",
    403: "this is not allowed",
    404: "there is no such thing",
    405: "the server does not offer this",
    409: "the state does not allow this",
    410: "it is gone",
    413: "it is too large",
    429: "too many requests",
    500: "the server failed",
    502: "the server behind the proxy did not answer",
    503: "the server is not available now",
    504: "the server did not answer in time",
}


def make_api_error(status: int, body: bytes, where: str, *, retry_after: float | None = None) -> ApiError:
    """The error for an answer of `status` with `body`, whoever sent it.

    Args:
        status: HTTP status code.
        body: the API's error body, a bucket's XML, a proxy's page, or nothing.
        where: the origin and path asked, without its query (which may hold a signature).
        retry_after: seconds the answer asks to wait.
    """
    code, detail = _read_body(body)
    sentence = _sentence(detail)
    if not sentence:
        sentence = f"{where} answered {status}: {_REASONS.get(status, 'unexpected')}"
    hint = _hint(status, sentence)
    message = " ".join(f"{sentence.rstrip('.')}. {hint}".split())
    return ApiError(message, status=status, error_code=code, detail=detail, retry_after=retry_after)


def _read_body(body: bytes) -> tuple[int | None, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Amazon S3 and its likes: <Error><Code>…</Code><Message>Request has expired</Message>…
        found = re.search(rb"<Error>.*?<Message>([^<]{1,500})</Message>", body[:_MOST_XML_BYTES], re.DOTALL)
        return None, found.group(1).decode("utf-8", "replace") if found else None
    problem = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(problem, dict):
        return None, problem
    code = problem.get("error_code")
    detail = problem.get("detail") or problem.get("title")
    return code if isinstance(code, int) else None, detail


def _sentence(detail: Any) -> str:
    """`detail` may be a string, a list, or `{field path: [messages]}`, nested at the server's whim."""
    return make_line(_flatten(detail), _LONGEST)


def _flatten(detail: Any, depth: int = 0) -> str:
    """The texts in it, of which what lies too deep or comes after the first 1,000 characters is left out."""
    if detail is None or depth > _DEEPEST:
        return ""
    if isinstance(detail, list | tuple):
        return _join(" ", (_flatten(item, depth + 1) for item in detail))
    if isinstance(detail, dict):
        said = (
            f"{field[:_LONGEST]}: {_flatten(messages, depth + 1).rstrip('.')}"
            for field, messages in detail.items()
        )
        return _join("; ", said)
    return str(detail)[: _LONGEST + 1]


def _join(separator: str, texts: Iterable[str]) -> str:
    kept: list[str] = []
    length = 0
    for text in texts:
        if text:
            kept.append(text)
            length += len(text)
            if length > _LONGEST:
                break
    return separator.join(kept)


def _hint(status: int, sentence: str) -> str:
    lower = sentence.lower()
    if status == 404 and "permission" in lower and "feature" in lower:
        return (
            "Collections are switched off for this workspace; its operator can switch them on "
            "(`fieldpack workspace features ID --collections on`)."
        )
    if status == 401:
        return "Check PROLIFIC_TOKEN, and that PROLIFIC_URL is the server it belongs to."
    return ""
