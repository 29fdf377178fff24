"""What an import makes of `collection.json`, and what it refuses, before anything is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID, uuid4, uuid5

import orjson
import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldpack.errors import ArchiveError
from fieldpack.export import open_export
from fieldpack.reading.shapes import read_collection
from fieldpack.server.collections.schemas import LARGEST_ORDER, CollectionReplacement
from fieldpack.server.exports import tasks as exports
from fieldpack.server.exports.build import part_tasks as parts
from fieldpack.server.exports.build.instructions import describe_instructions
from fieldpack.server.exports.conversions import tasks as conversions
from fieldpack.server.exports.rows import InstructionRow, OptionsRow
from fieldpack.server.imports.checking import Checked, check
from fieldpack.server.imports.ids import is_kept
from fieldpack.server.imports.instructions import Blueprint, adopt, draw
from tests.unit.archives import make_members, write_folder

IMPORT = UUID(int=2**100)
# what becomes of two sentences that are put into each other, and of pydantic's own words
DOUBLED = re.compile(r"(?<!\.)\.\.(?![./])|[,:;]\.|\.:|Value error")
CREATED_AT = datetime(2026, 2, 1, 8, tzinfo=UTC)
CHOICE: dict[str, Any] = {
    "id": "choice",
    "type": "multiple_choice_with_free_text",
    "description": "Which?",
    "page": 0,
    "order": 0,
    "answer_limit": 1,
    "options": [{"value": "a", "label": "A", "heading": "Say more"}],
    "retired_options": [{"value": "b", "label": "B", "until": "2026-03-01T00:00:00Z"}],
}
UNIT: dict[str, Any] = {
    "id": "unit",
    "type": "free_text_with_unit",
    "description": "How heavy?",
    "page": 0,
    "order": 1,
    "unit_options": [{"value": "kg", "label": "kg"}],
}


def check_asked(folder: Path, asked: Any) -> Checked:
    members = make_members([], [])
    write_folder(folder, {**members, "collection.json": orjson.dumps(asked)})
    with open_export(folder) as archive:
        return check(archive, lambda *_: None)


def make_asked(*instructions: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**orjson.loads(make_members(list(instructions), [])["collection.json"]), **values}


def iter_with_nul(value: Any) -> Iterator[Any]:
    """`value` with U+0000 in one of its texts or names of fields, each of them in turn."""
    if isinstance(value, str):
        yield value + "\0"
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from ([*value[:number], other, *value[number + 1 :]] for other in iter_with_nul(each))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from ({**value, name: other} for other in iter_with_nul(each))
        yield {**value, "more\0": 1}


def test_nul_is_refused_wherever_it_stands_in_what_was_asked(tmp_path: Path) -> None:
    asked = make_asked(CHOICE, UNIT, description="Of us", extra={"deep": [["text"]]})
    assert check_asked(tmp_path / "sound", asked).submissions == 0
    places = list(iter_with_nul(asked))
    assert len(places) > 30
    for number, other in enumerate(places):
        with pytest.raises(ArchiveError) as caught:
            check_asked(tmp_path / str(number), other)
        assert caught.value.member == "collection.json", other


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"validation": {"type": "number", "min": 5, "max": 1}, "type": "free_text"},
            "validation.max: min must",
        ),
        (
            {"options": [{"value": "a", "label": "A", "heading": "H"}] * 2},
            "options: The value 'a' occurs twice",
        ),
        ({"options": [{"value": "a", "label": "A" * 9_000, "heading": "H"}]}, "options.0.label: "),
        ({"id": "x" * 201}, "its id has"),
        ({"description": "<table>" + "<tr><td>" * 100_000}, "description: "),
        ({"description": "x" * 200_000}, "description: "),
        ({"type": "file_upload", "accepted_file_types": ["jpg"]}, "accepted_file_types"),
        ({"type": "file_upload", "min_file_count": 5, "max_file_count": 2}, "max_file_count"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:20],
)
def test_what_is_wrong_with_a_question_is_said_as_the_api_says_it(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        draw_asked(make_asked({**CHOICE, **changed}))
    assert said in str(caught.value)
    assert str(caught.value).startswith("collection.json can't be imported: ")
    assert not DOUBLED.search(str(caught.value)), str(caught.value)


def test_what_is_nested_too_deeply_is_refused_in_words(tmp_path: Path) -> None:
    text = orjson.dumps(make_asked(extra="NESTED")).replace(b'"NESTED"', b"[" * 300 + b"]" * 300)
    members = make_members([], [])
    write_folder(tmp_path / "deep", {**members, "collection.json": text})
    with open_export(tmp_path / "deep") as archive, pytest.raises(ArchiveError, match="nested too deeply"):
        check(archive, lambda *_: None)


def draw_asked(asked: dict[str, Any]) -> Blueprint:
    collection = read_collection(orjson.loads(orjson.dumps(asked)))
    instructions = adopt(collection)
    ids = {key: UUID(key) if is_kept(key) else uuid5(IMPORT, key) for key in instructions}
    return draw(collection, instructions, ids, IMPORT, IMPORT, {}, CREATED_AT)


def describe_again(drawn: Blueprint) -> list[dict[str, Any]]:
    """The instructions as an export has them of what was drawn."""
    rows = sorted(drawn.items, key=lambda row: (row.retired, row.page_order, row.item_order, row.body["id"]))
    asked = [
        InstructionRow(UUID(row.body["id"]), row.body["type"], row.body, row.page_order, retired=row.retired)
        for row in rows
    ]
    options = [
        OptionsRow(
            version.made_at,
            {
                item["id"]: item.get("options") or item["unit_options"]
                for page in version.body["collection_items"]
                for item in page["page_items"]
                if "options" in item or "unit_options" in item
            },
        )
        for version in drawn.versions
    ]
    return describe_instructions(drawn.versions[-1].body, asked, options)


# what may be given for a place, by archives that are not ours: any number that fits 64 bits, or none
PLACES = st.none() | st.integers(-2, 3) | st.integers(10**6 - 1, 10**6 + 1) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(PLACES, PLACES, st.booleans()), min_size=1, max_size=8))
@example([(2**62, 2**31, False), (0, 2**31, False), (0, 5, True)])
def test_wherever_questions_stand_the_collection_is_one_that_the_api_takes(
    places: list[tuple[int | None, int | None, bool]],
) -> None:
    asked = make_asked(
        *(
            {
                "id": f"q{number}",
                "type": "free_text",
                "description": f"{number}",
                "page": page,
                "order": order,
            }
            | {"retired": retired}
            for number, (page, order, retired) in enumerate(places)
        )
    )
    drawn = draw_asked(asked)
    for row in drawn.items:
        assert 0 <= row.page_order <= LARGEST_ORDER
        assert 0 <= row.item_order < len(places)
    shown = [
        (page or 0, number if order is None else order, number)
        for number, (page, order, retired) in enumerate(places)
        if not retired
    ]
    body = drawn.versions[-1].body
    if shown:
        CollectionReplacement.model_validate(body)
        pages = sorted(body["collection_items"], key=lambda page: page["order"])
        read = [item for page in pages for item in sorted(page["page_items"], key=lambda item: item["order"])]
        assert [int(item["description"]) for item in read] == [number for _, _, number in sorted(shown)]
    again = draw_asked(make_asked(*describe_again(drawn)))
    assert describe_again(again) == describe_again(drawn)


# what a choice offered in each version: by value, how it was called
OFFERED = st.dictionaries(st.sampled_from([1, "1", "a", "b", "c"]), st.sampled_from("xyz"), min_size=1)
VERSIONS = st.lists(st.tuples(OFFERED, OFFERED), min_size=1, max_size=6)


@given(VERSIONS, st.booleans())
@example([({"a": "x", "b": "x", "c": "x", 1: "x"}, {"a": "x"}), ({1: "x"}, {"a": "y"})], False)
@example([({"a": "x"}, {"a": "x"}), ({"a": "y", "b": "x"}, {"a": "x"}), ({"c": "x"}, {"a": "x"})], False)
def test_what_was_offered_before_comes_back_in_its_order(
    offered: list[tuple[dict[Any, str], dict[Any, str]]], retired: bool
) -> None:
    one, two, three = (str(UUID(int=number)) for number in range(3))

    def list_options(labels: dict[Any, str]) -> list[dict[str, Any]]:
        return [{"label": label, "value": value} for value, label in labels.items()]

    versions = [
        OptionsRow(CREATED_AT + timedelta(days=number), {one: list_options(first), two: list_options(second)})
        for number, (first, second) in enumerate(offered)
    ]
    options = versions[-1].options
    if retired:
        versions.append(OptionsRow(CREATED_AT + timedelta(days=len(offered)), {two: options[two]}))

    def row(identifier: str, kind: str, order: int, **more: Any) -> InstructionRow:
        body = {"id": identifier, "type": kind, "description": "Which?", "order": order, **more}
        return InstructionRow(UUID(identifier), kind, body, 0, retired=retired and identifier == one)

    rows = [
        row(two, "free_text_with_unit", 1, unit_options=options[two], required=True, unit_position="suffix"),
        row(
            one,
            "multiple_choice",
            3,
            options=options[one],
            required=True,
            answer_limit=1,
            disable_dropdown=False,
        ),
        row(three, "free_text", 4, required=True),
    ]
    body = {
        "collection_items": [
            {"id": str(IMPORT), "order": 7, "page_items": [each.body for each in rows if not each.retired]}
        ]
    }
    asked = describe_instructions(body, sorted(rows, key=lambda each: each.retired), versions)
    assert describe_again(draw_asked(make_asked(*asked))) == orjson.loads(orjson.dumps(asked))


def test_a_question_of_many_options_that_went_one_by_one_is_refused_before_versions_are_made() -> None:
    """Each time at which something went is a version, which is a whole collection."""

    def make(times: int, size: int) -> dict[str, Any]:
        gone = [
            {
                "value": number,
                "label": "x" * size,
                "until": (CREATED_AT + timedelta(seconds=number + 1)).isoformat(),
            }
            for number in range(times)
        ]
        return make_asked({**CHOICE, "type": "multiple_choice", "retired_options": gone})

    drawn = draw_asked(make(999, 20))
    assert len(drawn.versions) == 1_000
    assert len(drawn.versions[0].body["collection_items"][0]["page_items"][0]["options"]) == 1_000
    for times, size in ((1_000, 20), (50_000, 1), (900, 1_000)):
        with pytest.raises(ArchiveError, match="versions"):
            draw_asked(make(times, size))


@pytest.mark.parametrize("tasks", [exports, conversions])
@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (psycopg.errors.UntranslatableCharacter(), True),
        (psycopg.errors.NumericValueOutOfRange(), True),
        (psycopg.DataError("before it was sent"), True),
        (psycopg.errors.UndefinedColumn(), True),
        (psycopg.errors.ProgramLimitExceeded(), True),
        (psycopg.errors.StatementTooComplex(), True),
        (psycopg.OperationalError("the connection is lost"), False),
        (psycopg.errors.AdminShutdown(), False),
        (psycopg.InterfaceError("the connection is closed"), False),
    ],
    ids=repr,
)
def test_only_a_database_that_does_not_answer_is_said_to(
    tasks: Any, error: psycopg.Error, is_refused: bool
) -> None:
    assert exports.is_refused(error) is is_refused
    assert ("did not answer" in tasks.explain(error)) is not is_refused
    assert ("log" in tasks.explain(error)) is is_refused


@pytest.mark.parametrize("kind", ["archive", "part", "conversion"])
@pytest.mark.parametrize("error", [psycopg.errors.UntranslatableCharacter(), psycopg.errors.AdminShutdown()])
def test_what_the_database_refuses_is_not_tried_again(
    kind: str, error: psycopg.Error, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []

    @asynccontextmanager
    async def unwatched(*_: Any) -> AsyncIterator[None]:
        yield

    async def answer(*_: Any) -> object:
        return object()

    async def note(*given: Any) -> None:
        failed.append(kind)

    async def refuse(*_: Any) -> None:
        raise error

    def refuse_at_once(*_: Any) -> None:
        raise error

    for module in (exports, parts):
        monkeypatch.setattr(module, "watch_storage", unwatched)
    for module in (exports, parts, conversions):
        monkeypatch.setattr(module, "_fail", note)
    monkeypatch.setattr(exports, "build_export", refuse_at_once)
    monkeypatch.setattr(parts, "send_part", refuse)
    monkeypatch.setattr(conversions, "claim_conversion", answer)
    monkeypatch.setattr(conversions, "make_conversion", refuse)
    job = MagicMock()
    job.job.attempts = 0
    job.additional_context = {"worker": MagicMock()}
    job.additional_context["worker"].context.settings.export_retries = 3
    one, two = str(uuid4()), str(uuid4())
    work: dict[str, Callable[[], Any]] = {
        "archive": lambda: exports.export.func(job, one),
        "part": lambda: parts.part.func(job, one, two, 0),
        "conversion": lambda: conversions.convert.func(job, one, two, two),
    }
    with nullcontext() if exports.is_refused(error) else pytest.raises(exports.PassingFault):
        asyncio.run(work[kind]())
    assert failed == ([kind] if exports.is_refused(error) else [])
