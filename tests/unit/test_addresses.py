"""E-mail addresses: which a new account may have, and which are the same."""

from __future__ import annotations

import pytest

from fieldpack.server.accounts.addresses import fold, is_address

GOOD = [
    "ada@example.org",
    "Ada.O'Neil+lab@Example.ORG",
    "researcher@localhost",
    "jürgen@bücher.example",
    "Ä@пример.рф",
    "用户@例え.jp",
]
BAD = [
    "",
    "x",
    "@a",
    "a@",
    "a@b@c",
    "a b@c",
    "a@b\n",
    " a@b",
    "a@b ",
    "a@b\u00a0",
    "a@b.",
    "a@.",
    "a@b\u202e",
    "a@\u200bb.org",
    "a\u00ad@b.org",
    "a\x7f@b",
    "a@b, c@d",
    "bo\u017fs@lab.org",  # ſ is an s
    "\u212aate@lab.org",  # the sign of kelvin is a K
    "bo\u00df@lab.org",
    "\uff42oss@lab.org",
    "\ufb01n@lab.org",
    "a\u0308@lab.org",
    "\u0130da@lab.org",
    "nikos\u03c2@lab.org",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_one(text: str) -> None:
    assert is_address(text)
    assert fold(text) == fold(text.upper()) == fold(text.lower())


@pytest.mark.parametrize("text", BAD)
def test_what_is_none(text: str) -> None:
    assert not is_address(text)
