"""YAML by strangers costs time in proportion to its length, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from fieldpack.documents.nodes import DocumentError
from fieldpack.documents.reading import read_document
from tests.lengths import length
from tests.proportion import require_proportional

Make = Callable[[int], str]

# a text of about so many characters, nearly all of them in one token: what is put together by single characters is
# slow from some 100 KB on
RUNS: dict[str, Make] = {
    "tag": lambda n: "!" + "a" * n + " b",
    "tag with a handle": lambda n: "!" + "a" * n + "!b c",
    "secondary tag": lambda n: "!!" + "a" * n + " b",
    "verbatim tag": lambda n: "!<" + "a" * n + "> b",
    "tag of escapes": lambda n: "!<" + "%41" * (n // 3) + "> b",
    "tag of !": lambda n: "!" * n,
    "tag that is none": lambda n: "!" + "a" * n + '" b',
    "handle in a directive": lambda n: "%TAG !" + "a" * n + "! x\n--- a",
    "prefix in a directive": lambda n: "%TAG !e! " + "a" * n + "\n--- !e!a a",
    "directive": lambda n: "%" + "a" * n + "\n--- a",
    "value of a directive": lambda n: "%a " + "a" * n + "\n--- a",
    "anchor and alias": lambda n: "a: &" + "a" * (n // 2) + " b\nc: *" + "a" * (n // 2),
    "spaces behind |": lambda n: "a: |" + " " * n + "\n  b",
    "comment behind >": lambda n: "a: > #" + "a" * n + "\n  b",
    "block": lambda n: "a: |\n  " + "!" * n,
    "indentation of a block": lambda n: "a: |\n" + " " * n + "b",
    "comment": lambda n: "#" + "a" * n + "\na: b",
    "plain text": lambda n: "a: " + "b" * n,
    "plain spaces": lambda n: "a: b" + " " * n + "c",
    "digits": lambda n: "a: " + "1" * (n // 2) + "." + "1" * (n // 2) + "x",
    "double quotes": lambda n: 'a: "' + "!" * n + '"',
    "single quotes": lambda n: "a: '" + "!" * n + "'",
    "long key": lambda n: "a" * n + ": b",
    "byte order marks": lambda n: "a: b" + "\ufeff" * n,
}

# a text of many tokens, lines or other parts
PARTS: dict[str, Make] = {
    "tags": lambda n: "[" + "!!str a," * (n // 8) + "]",
    "bare tags": lambda n: "[" + "! a," * (n // 4) + "]",
    "tags within tags": lambda n: "!a" * (n // 2),
    "directives": lambda n: "%a\n" * (n // 3) + "--- a",
    "tag directives": lambda n: "".join(f"%TAG !h{i}! x\n" for i in range(n // 14)) + "--- a",
    "anchors": lambda n: "".join(f"- &a{i} b\n" for i in range(n // 10)),
    "aliases": lambda n: "- &a b\n" + "- *a\n" * (n // 5),
    "block lines": lambda n: "a: |\n" + "  b\n" * (n // 4),
    "empty lines in a block": lambda n: "a: |\n" + "\n" * n + "  b",
    "empty lines behind a block": lambda n: "a: |+\n  b\n" + "\n" * n,
    "lines of spaces": lambda n: "a: |\n" + (" " * 50 + "\n") * (n // 51) + "  b",
    "blocks": lambda n: "- |\n  b\n" * (n // 8),
    "folded lines": lambda n: "a: >\n" + "  a\n\n" * (n // 5),
    "carriage returns in a block": lambda n: "a: |\n" + "  a\r" * (n // 4),
    "line separators in a block": lambda n: "a: >\n" + "  a\u2028" * (n // 4),
    "next lines in a block": lambda n: "a: |\n" + "  a\x85" * (n // 4),
    "plain words": lambda n: "a: " + "a " * (n // 2),
    "plain lines": lambda n: "a: a\n" + "  b\n" * (n // 4),
    "plain line separators": lambda n: "a: a\n" + "  b\u2028" * (n // 4),
    "plain carriage returns": lambda n: "a: a\n" + "  b\r" * (n // 4),
    "empty lines in plain text": lambda n: "a: a\n" + "\n" * n + "  b\n",
    "colons": lambda n: "a: " + "b:" * (n // 2),
    "hashes": lambda n: "a: " + "b#" * (n // 2),
    "question marks": lambda n: "a: b" + "?" * n,
    "tabs": lambda n: "a: b" + "\t" * n + "c",
    "lines of tabs": lambda n: "a: b\n" + "\t\n" * (n // 2),
    "escapes": lambda n: 'a: "' + "\\x41\\n" * (n // 6) + '"',
    "escaped line ends": lambda n: 'a: "' + "\\\n" * (n // 2) + '"',
    "quoted lines": lambda n: 'a: "' + "b\n " * (n // 3) + '"',
    "quoted words": lambda n: 'a: "' + "b " * (n // 2) + '"',
    "quotes that stay open": lambda n: 'a: "' + "b " * (n // 2),
    "doubled quotes": lambda n: "a: '" + "''" * (n // 2) + "'",
    "quoted line separators": lambda n: "a: '" + "\u2028" * n + "'",
    "quoted texts": lambda n: "['" + "','" * (n // 3) + "']",
    "list": lambda n: "[" + "a," * (n // 2) + "]",
    "list without an end": lambda n: "[" + "a," * (n // 2),
    "list over lines": lambda n: "[" + "[],\n" * (n // 4) + "]",
    "lists in a list": lambda n: "[" + "[]," * (n // 3) + "]",
    "pairs in a list": lambda n: "[" + "a: b," * (n // 5) + "]",
    "announced keys in a list": lambda n: "[" + "? a," * (n // 4) + "]",
    "object": lambda n: "{" + "".join(f"a{i}: b," for i in range(n // 8)) + "}",
    "object of names": lambda n: "{" + "".join(f"a{i}," for i in range(n // 6)) + "}",
    "object without names": lambda n: "{" + ":," * (n // 2) + "}",
    "deep lists": lambda n: "[" + ("[" * 60 + "a" + "]" * 60 + ",") * (n // 122) + "]",
    "brackets that close": lambda n: "]" * n,
    "brackets that open and close": lambda n: "[]" * (n // 2),
    "commas": lambda n: "[" + "," * n + "]",
    "spaces in a list": lambda n: "[" + " " * n + "a]",
    "lines in a list": lambda n: "[" + "\n" * n + "a]",
    "document starts": lambda n: "---\n" * (n // 4),
    "document ends": lambda n: "a\n" + "...\n" * (n // 4),
    "dashes": lambda n: "- " * (n // 2),
    "lines of dashes": lambda n: "-\n" * (n // 2),
    "nested dashes": lambda n: ("- " * 60 + "\n") * (n // 121),
    "announced keys": lambda n: "".join(f"? a{i}\n: b\n" for i in range(n // 11)),
    "lines of ?": lambda n: "?\n" * (n // 2),
    "lines of colons": lambda n: ":\n" * (n // 2),
    "deeper and deeper": lambda n: "".join(" " * i + "a:\n" for i in range(int((2 * n) ** 0.5))),
    "deep, again and again": lambda n: "".join(" " * i + "a:\n" for i in range(60)) * (n // 2000),
    "far on the right": lambda n: "a:\n" + (" " * 1000 + "- b\n") * (n // 1004),
    "comments": lambda n: "# a\n" * (n // 4) + "a: b",
    "comments behind values": lambda n: "- a # b\n" * (n // 8),
    "fields": lambda n: "".join(f"a{i}: b\n" for i in range(n // 10)),
    "the same field": lambda n: "a: b\n" * (n // 5),
    "objects": lambda n: "- {a: b}\n" * (n // 9),
    "merged objects": lambda n: "- &a {b: c}\n" + "- <<: *a\n" * (n // 9),
    "merged in one": lambda n: "- &a {b: c}\n- <<: [" + "*a, " * (n // 4) + "]",
    "carriage returns": lambda n: "\r" * n + "a: b",
    "line separators": lambda n: "\u2028" * n + "a: b",
    "lines of byte order marks": lambda n: "a: b\n" + "\ufeff\n" * (n // 2),
}

# what the parser looks ahead in: it does so for 1,024 characters at most, so this size cannot be larger
BRACKETS: dict[str, Make] = {
    "lists that open": lambda n: "[" * n,
    "objects that open": lambda n: "{" * n,
    "both": lambda n: "[{" * (n // 2),
    "in an object": lambda n: "{a: " + "[" * n,
}


def choose(kinds: dict[str, Make]) -> list[str]:
    """All of them in the long form; else every fourth, as each is parsed six times."""
    return list(kinds)[:: length(4, 1)]


def reading(make: Make) -> Callable[[int], None]:
    made: dict[int, str] = {}

    def work(size: int) -> None:
        if size not in made:
            made[size] = make(size)
        with suppress(DocumentError):
            read_document(made[size], is_json=False)

    return work


@pytest.mark.parametrize("kind", choose(RUNS))
def test_one_long_token(kind: str) -> None:
    require_proportional(reading(RUNS[kind]), 1 << 17)


@pytest.mark.parametrize("kind", choose(PARTS))
def test_many_parts(kind: str) -> None:
    require_proportional(reading(PARTS[kind]), 1 << 12)


@pytest.mark.parametrize("kind", choose(BRACKETS))
def test_brackets(kind: str) -> None:
    require_proportional(reading(BRACKETS[kind]), 250)
