"""What an import makes of `collection.json`, and what it refuses, before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import orjson
import psycopg
import pytest

from fieldpack.errors import ArchiveError
from fieldpack.export import open_export
from fieldpack.server.exports import tasks as exports
from fieldpack.server.exports.build import part_tasks as parts
from fieldpack.server.exports.conversions import tasks as conversions
from fieldpack.server.imports.checking import Checked, check
from tests.unit.archives import make_members, write_folder

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


def test_what_is_nested_too_deeply_is_refused_in_words(tmp_path: Path) -> None:
    text = orjson.dumps(make_asked(extra="NESTED")).replace(b'"NESTED"', b"[" * 300 + b"]" * 300)
    members = make_members([], [])
    write_folder(tmp_path / "deep", {**members, "collection.json": text})
    with open_export(tmp_path / "deep") as archive, pytest.raises(ArchiveError, match="nested too deeply"):
        check(archive, lambda *_: None)


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
