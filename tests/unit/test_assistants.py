"""What tools answer: sizes, notes, and whose words are whose; and what is said where the SDK is missing."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import anyio
import orjson
import pytest

from fieldpack.assistants.results import MOST_CHARACTERS, cap, fit, make_page, mark, shorten
from fieldpack.cli import main


def test_a_page_says_what_it_is() -> None:
    rows = [{"id": str(number)} for number in range(3)]
    assert make_page(rows, total=3) == {"results": rows, "total": 3}
    page = make_page(rows, total=10, shown_before=3, more=lambda count: f"offset={3 + count} goes on.")
    assert page["note"] == "These are 4 to 6 of 10. offset=6 goes on."
    assert make_page([], total=10, shown_before=20)["results"] == []


def test_an_answer_has_a_size() -> None:
    rows = [{"id": str(number), "text": "x" * 1900} for number in range(100)]
    page = make_page(rows, total=100, more=lambda count: f"offset={count} goes on.")
    shown = len(page["results"])
    assert 1 < shown < 100
    assert len(orjson.dumps(page)) < MOST_CHARACTERS + 1000
    assert page["note"] == f"These are 1 to {shown} of 100. offset={shown} goes on."
    huge = {"texts": ["x" * 1900] * 100}
    assert fit([huge, huge]) == [huge]  # one at least, or nobody could ever go on


@pytest.mark.parametrize(
    "large",
    [
        {"items": [{"text": "x" * 500}] * 1000},
        {"from_participant": {"responses": {str(number): {"value": "y" * 900} for number in range(300)}}},
        {"filters": [{"selected_values": ["a" * 24] * 9000}]},
        {"text": "z" * 90_000, "more": ["z" * 90_000]},
        {"deep": {"deeper": {"deepest": ["w" * 100] * 2000}}},
    ],
    ids=["list", "answers", "ids", "text", "deep"],
)
def test_one_thing_has_a_size_too(large: dict[str, Any]) -> None:
    capped = cap({"id": "1", **large})
    assert capped["id"] == "1"
    assert len(orjson.dumps(capped)) < MOST_CHARACTERS + 15_000  # what says so, of each part
    assert "left out here" in str(capped)
    small = {"id": "1", "items": [{"text": "x"}] * 10}
    assert cap(small) == small


def test_long_texts_are_cut_and_say_so() -> None:
    cut = shorten({"a": ["y" * 5000, 1, None], "b": "short"})
    assert cut["b"] == "short"
    assert cut["a"][0].endswith("[cut here; it has 5,000 characters]")
    assert cut["a"][1:] == [1, None]


def test_what_is_not_known_to_be_ours_is_a_participants() -> None:
    row = {
        "id": "1",
        "status": "ACTIVE",
        "reward": 3,
        "test": False,
        "new_field": "words",
        "more": {"a": 1},
        "ip": None,
    }
    assert mark(row, frozenset({"id", "status"})) == {
        "id": "1",
        "status": "ACTIVE",
        "reward": 3,
        "test": False,
        "ip": None,
        "from_participant": {"new_field": "words", "more": {"a": 1}},
    }


def test_without_the_sdk_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("fieldpack.assistants.server")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("mcp", "mcp.server"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["mcp"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "fieldpack: fieldpack mcp needs the mcp extra: pip install 'fieldpack[mcp]'\n"


def test_without_a_token_it_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PROLIFIC_TOKEN", "PROLIFIC_URL", "FIELDPACK_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert main(["mcp"]) == 1
    assert "There is no token" in capsys.readouterr().err


class _Broken:
    """A client that does not do what it should, whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(f"no {name}\nnor a second line")


def test_whatever_fails_is_told_in_a_line_and_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged as a warning or more is what is written to standard error."""
    sdk = pytest.importorskip("mcp")
    from fieldpack.assistants.server import make_server

    async def call_all() -> dict[str, Any]:
        async with sdk.Client(make_server(cast(Any, _Broken()))) as client:
            tools = (await client.list_tools()).tools
            return {
                tool.name: await client.call_tool(
                    tool.name, {name: str(uuid4()) for name in tool.input_schema.get("required", [])}
                )
                for tool in tools
            }

    found = anyio.run(call_all)
    assert len(found) > 8
    for name, answer in found.items():
        assert answer.is_error, name
        [block] = answer.content
        assert len(block.text.splitlines()) == 1, block.text
    assert "This is a bug: LookupError: no " in found["list_collections"].content[0].text
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
