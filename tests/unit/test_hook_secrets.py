"""Secrets of webhooks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from fieldpack.server.hooks.service import make_secret


def test_none_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fieldpack hook confirm ID SECRET` took one in 64 for a command's option."""
    drawn: Iterator[str] = iter(["-AZs8qSxi6", "-", "_ok", "more"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: next(drawn))
    assert make_secret() == "_ok"
    assert make_secret() == "more"
