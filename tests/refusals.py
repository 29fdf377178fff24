"""What every refusal must look like, and answers that never are."""

from __future__ import annotations

from typing import Any

import httpx

from fieldpack.server.problems import REGISTRY

CODES = {type.error_code: type for type in REGISTRY}
FIELDS = {"status", "error_code", "title", "detail", "additional_information", "interactive"}


def refused(response: httpx.Response, status: int, *fields: str) -> Any:
    """The `detail` of a refusal with this status, in the one error body; with `fields`, it names them all."""
    assert response.status_code == status, (response.request.method, response.url, response.text)
    assert response.headers["content-type"] == "application/json", response.headers
    body = response.json()
    assert list(body) == ["error"], body
    error = body["error"]
    assert set(error) == FIELDS, error
    assert error["status"] == status, error
    assert error["interactive"] is False, error
    assert isinstance(error["additional_information"], str), error
    registered = CODES[error["error_code"]]
    assert (registered.status, registered.title) == (status, error["title"]), error
    detail = error["detail"]
    if isinstance(detail, dict):
        assert detail, error
        for path, messages in detail.items():
            assert path, error
            assert messages, error
            assert all(isinstance(message, str) and message for message in messages), error
    else:
        assert detail, error
        sentences = [detail] if isinstance(detail, str) else detail
        assert all(isinstance(sentence, str) and sentence for sentence in sentences), error
    if fields:
        assert isinstance(detail, dict), error
        assert set(fields) <= set(detail), (fields, error)
    return detail
