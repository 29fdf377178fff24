"""YAML is read as its own package reads it, except for what would take too long."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fieldpack.documents import nodes
from fieldpack.documents.nodes import DocumentError, build, read_json
from fieldpack.documents.reading import read_document
from fieldpack.documents.yaml_reading import read_yaml
from fieldpack.documents.yaml_scanner import LONGEST_TAG, BoundedScanner

PIECES = (
    *("a", "b c", "a: ", ": ", "- ", "? ", "\n", "\n  ", " ", "\t", "\r", "\r\n", "\u2028", "\x85", "\ufeff"),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "''",
        "\\n",
        "\\x41",
        "\\u00e4",
        "#",
        " # c\n",
        "|",
        ">",
        "|2-\n",
        ">+ #\n",
    ),
    *(
        "!",
        "!!str ",
        "!<a> ",
        "!%41 ",
        "!e!b ",
        "&a ",
        "*a",
        "<<: *a",
        "--- ",
        "\n...\n",
        "%TAG !e! x\n",
        "%YAML 1.1\n",
    ),
    *("x" * 1030, "1", "0x1f", "1e3", ".inf", "null", "@", "`", "%", "-", "."),
)


def parse(text: str, scanner: Any = None) -> Any:
    """What the parser makes of a text, or what it says is wrong and where."""
    parser = YAML(typ="safe", pure=True)
    if scanner is not None:
        parser.Scanner = scanner
    events: list[Any] = []
    try:
        for event in parser.parse(text):
            given = tuple(
                str(getattr(event, name, None)) for name in ("anchor", "tag", "value", "style", "flow_style")
            )
            events.append((type(event).__name__, *given, event.start_mark.line, event.start_mark.column))
    except YAMLError as error:
        return events, str(error)
    return events, None


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_the_scanner_makes_the_same_tokens_as_the_package(text: str) -> None:
    with suppress(DocumentError):  # what is refused besides, the tests below name
        assert parse(text, BoundedScanner) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: b\nc: !{} d",
        "a: b\nc: !{}",
        "a: b\nc: !!{} d",
        "a: b\nc: !{}!d e",
        "a: b\nc: !<{}> d",
        "a: b\nc: [!{}, d]",
        "# a\n%TAG !{}! d\n--- e",
        "# a\n%TAG !a! {}\n--- e",
    ],
)
def test_long_tags_are_refused_by_their_line(text: str) -> None:
    for run in ("a" * (LONGEST_TAG + 1), "%41" * (LONGEST_TAG + 1)):
        if "%4" in run and "{}!" in text:
            continue  # a handle has no escapes
        with pytest.raises(DocumentError, match=f"no tag has more than {LONGEST_TAG} characters") as caught:
            read_document(text.format(run), is_json=False)
        assert caught.value.line == 2


@pytest.mark.parametrize("text", ["a: |\n  {}\n", "a: >-\n  {}\n", "a: '{}'\n", 'a: "{}"\n', "a: b {}\n"])
def test_text_may_have_what_looks_like_a_long_tag(text: str) -> None:
    run = "!" + "a" * 10 * LONGEST_TAG
    assert run in read_document(text.format(run), is_json=False).body["a"]


def test_what_stands_behind_the_beginning_of_a_block_is_passed_over() -> None:
    assert read_document("a: |-  # why\n  b\nc: >-   \n  d", is_json=False).body == {"a": "b", "c": "d"}
    with pytest.raises(DocumentError, match=r"starts on the next line") as caught:
        read_document("a: b\nc: | d\n", is_json=False)
    assert caught.value.line == 2


REFUSED = (
    *("\\U00110000", "\\UFFFFFFFF", "\\uD800", "!%25 ", "!%25zz ", "!e!%2525 ", "%YAML 1.3\n", "%YAML 2.0\n"),
    *("%YAML 1." + "1" * 5000 + "\n", "%YAML 1.0\n", "%", "%zz", "1.", "\0", "\ufffe"),
)


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES + REFUSED), max_size=12).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(DocumentError):
        read_document(text, is_json=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a: b\nc: "\\U00110000"', "a character that does not exist"),
        ('a: b\nc: "\\UFFFFFFFF"', "a character that does not exist"),
        ("a: b\nc: !%25 d", "a tag with %"),
        ("# a\n%YAML 1.3\n--- b", "no such version"),
        ("# a\n%YAML 1." + "1" * 5000 + "\n--- b", "no such version"),
    ],
)
def test_what_the_package_fails_at_is_refused_by_its_line(text: str, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        read_document(text, is_json=False)
    assert caught.value.line == 2


MANY: dict[str, Callable[[int], str]] = {
    "a list": lambda count: "[a" + ",a" * (count - 2) + "]",
    "lists": lambda count: "[" + "[]," * (count - 1) + "]",
    "entries": lambda count: "- a\n" * (count - 1),
    "fields": lambda count: "".join(f"a{n}: b\n" for n in range(count - 1)),
    "pairs": lambda count: (
        "[" + "a: b," * (count // 2) + "]" if count % 2 else "[" + "a: b," * (count // 2 - 1) + "a]"
    ),
    "nothing": lambda count: "-\n" * (count - 1),
    "aliases": lambda count: "- &a b\n" + "- *a\n" * (count - 2),
}
JSON: dict[str, Callable[[int], str]] = {
    "a list": lambda count: "[1" + ",1" * (count - 2) + "]",
    "fields": lambda count: "{" + ",".join(f'"a{n}":1' for n in range(count - 1)) + "}",
}
READERS = [
    *(pytest.param(read_yaml, make, id=f"YAML, {kind}") for kind, make in MANY.items()),
    *(
        pytest.param(lambda text: read_json(text.encode()), make, id=f"JSON, {kind}")
        for kind, make in JSON.items()
    ),
]


@pytest.mark.parametrize(("read", "make"), READERS)
def test_nodes_are_counted_while_they_are_made(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[str], Any], make: Callable[[int], str]
) -> None:
    """What is refused has the same number as what is built: `build` counts what these nodes stand for."""
    monkeypatch.setattr(nodes, "MOST_VALUES", 100)
    node = read(make(100))
    build(node, lambda path, scalar: False)
    with pytest.raises(DocumentError, match="this stands for more than 100 values"):
        read(make(101))


def test_reading_stops_at_the_value_that_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST_VALUES", 100)
    with pytest.raises(DocumentError, match="more than 100 values") as caught:
        read_yaml("- a\n" * 5000 + "- [\n")  # what stands behind it is not even YAML
    assert caught.value.line == 100
