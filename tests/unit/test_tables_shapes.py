"""Lines of any shape: read in bulk or one by one, the outcome is the same, be it a table or an error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from fieldpack.errors import ArchiveError, FieldpackError
from fieldpack.export import Export, open_export
from fieldpack.report.page import render_page
from fieldpack.report.terminal import render_summary
from fieldpack.tables import raw as raw_module
from fieldpack.tables.raw import RawTable, read_raw
from tests.unit.archives import ask, make_zip, option

INSTRUCTIONS = [
    ask("free_text", "Text", id="t"),
    ask("multiple_choice", "Words", id="w", options=[option("a"), option("1")]),
    ask("multiple_choice", "Numbers", id="n", options=[option(1), option(2.5)]),
    ask("multiple_choice", "Booleans", id="b", options=[option(True), option(False)]),
    ask("multiple_choice", "Mixed", id="m", options=[option(1), option("x")]),
    ask("multiple_choice_with_free_text", "Why", id="y", options=[option("a")]),
    ask("free_text_with_unit", "Weight", id="u", unit_options=[option("kg")]),
    ask("file_upload", "File", id="f"),
]
SCALARS = st.sampled_from(
    [None, "", "a", "1", "true", "1.0", 1, 1.0, 2.5, -7, True, False, 2**60, 1e300, "é\u2028"]
)
ITEMS = SCALARS | st.fixed_dictionaries(
    {},
    optional={
        "value": SCALARS,
        "explanation": SCALARS,
        "path": SCALARS,
        "file_name": SCALARS,
        "size_bytes": SCALARS,
    },
)
VALUES = ITEMS | st.lists(ITEMS, max_size=3)
RESPONSES = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["free_text", "odd"]),
        "value": VALUES,
        "unit": SCALARS,
        "more": SCALARS,
    },
)
EDGES = [
    f"{year}{day}{zone}"
    for year in ("0000", "0001", "1677", "1899", "2262", "9999")
    for day in ("-01-01T00:00:00", "-12-31T23:59:59.999999")
    for zone in ("Z", "+23:59", "-23:59")
]
TIMES = st.sampled_from(
    [
        *(
            "2026-03-01T09:30:00Z",
            "2026-03-01T09:30:00.123456Z",
            "2026-03-01T09:30:00.1234567Z",
            "2026-03-01",
        ),
        *("2026-03-01 09:30:00+02:00", "2026-03-01T09:30:00", "2016-12-31T23:59:60Z", "", None, 5, "soon"),
        *("2026-13-01", "0001-01-01T00:00:00+09:00"),
        *EDGES,
    ]
)
LINES = st.fixed_dictionaries(
    {"submission_id": st.sampled_from(["s1", "s2", "s3", "s4"])},
    optional={
        "participant_id": SCALARS,
        "status": SCALARS,
        "started_at": TIMES,
        "completed_at": TIMES,
        "extra": SCALARS,
        "responses": st.none()
        | st.dictionaries(
            st.sampled_from(["t", "w", "n", "b", "m", "y", "u", "f", "new"]), RESPONSES, max_size=3
        ),
    },
)


def read(export: Export, *, bulk: bool) -> RawTable | tuple[str, int | None]:
    try:
        return read_raw(export, bulk=bulk)
    except ArchiveError as error:
        return str(error), error.line


# A question whose options are of several types keeps every block from being read in bulk.
PLAIN = [item for item in INSTRUCTIONS if item["id"] != "m"]


def archive_of(lines: list[Any], instructions: list[dict[str, Any]] = INSTRUCTIONS) -> Export:
    members = {
        "responses.jsonl": b"".join(orjson.dumps(line) + b"\n" for line in lines),
        "collection.json": orjson.dumps({"id": "c", "instructions": instructions}),
    }
    return open_export(io.BytesIO(make_zip(members)))


def check(lines: list[Any], block_bytes: int) -> None:
    for instructions in (INSTRUCTIONS, PLAIN):
        export = archive_of(lines, instructions)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(raw_module, "_BLOCK_BYTES", block_bytes)
            check_ways(read(export, bulk=True), read(export, bulk=False))


def check_ways(fast: RawTable | tuple[str, int | None], slow: RawTable | tuple[str, int | None]) -> None:
    if isinstance(slow, tuple) or isinstance(fast, tuple):
        assert fast == slow
        return
    assert sorted(fast.table.column_names) == sorted(slow.table.column_names)
    for name in fast.table.column_names:
        assert fast.table[name].to_pylist() == slow.table[name].to_pylist(), name
    assert {key: codes.values for key, codes in fast.codes.items()} == {
        key: codes.values for key, codes in slow.codes.items()
    }
    assert list(fast.instructions.values()) == list(slow.instructions.values())


@given(st.lists(LINES, max_size=6), st.sampled_from([1, 60, 400, 1 << 20]))
@settings(max_examples=120, deadline=None)
@example([{"submission_id": "s", "responses": {"n": {"value": [2**60]}}}], 1)
@example([{"submission_id": "s", "responses": {"f": [{"path": "p", "size_bytes": 1e300}]}}], 1)
@example([{"submission_id": "s", "responses": {"f": [{"path": "p", "size_bytes": 2**63}]}}], 1)
def test_any_shape(lines: list[Any], block_bytes: int) -> None:
    check(lines, block_bytes)


GOOD: dict[str, Callable[[int], Any]] = {
    "t": lambda n: {"type": "free_text", "value": f"n{n}"},
    "w": lambda n: {"type": "multiple_choice", "value": ["a"]},
    "n": lambda n: {"type": "multiple_choice", "value": [n % 2 + 1]},
    "y": lambda n: {"type": "multiple_choice_with_free_text", "value": [{"value": "a", "explanation": None}]},
    "u": lambda n: {"type": "free_text_with_unit", "value": "5", "unit": "kg"},
    "f": lambda n: {"type": "file_upload", "value": [{"path": f"files/{n}", "size_bytes": n}]},
}


@given(st.sampled_from(sorted(GOOD)), RESPONSES, st.integers(0, 29))
@settings(max_examples=80, deadline=None)
def test_one_odd_answer_among_many(key: str, odd: Any, at: int) -> None:
    lines: list[dict[str, Any]] = [
        {"submission_id": f"s{n}", "responses": {name: make(n) for name, make in GOOD.items()}}
        for n in range(30)
    ]
    lines[at]["responses"][key] = odd
    check(lines, 1500)


@pytest.mark.parametrize("name", ["started_at", "completed_at"])
@pytest.mark.parametrize("time", EDGES)
def test_one_odd_time_among_many(time: str, name: str) -> None:
    lines: list[dict[str, Any]] = [
        {"submission_id": f"s{n}", "completed_at": "2026-03-01T09:30:00Z", "responses": {"t": GOOD["t"](n)}}
        for n in range(30)
    ]
    lines[25][name] = time
    check(lines, 400)


@pytest.mark.parametrize("times", [[edge] for edge in EDGES] + [EDGES])
def test_days_at_the_edges_of_the_calendar_are_drawn(times: list[str]) -> None:
    """Those that are refused in one line are left out; the pages hold the others."""
    lines = [
        {"submission_id": f"s{n}", "completed_at": time}
        for n, time in enumerate([*times, "2026-03-01", "2026-03-02"])
    ]
    kept = [line for line in lines if not isinstance(read(archive_of([line]), bulk=False), tuple)]
    export = archive_of(kept)
    page = render_page(export.summarize(), export)
    assert "Completed submissions" in page
    console = Console(file=io.StringIO())
    render_summary(export.summarize(), console)


@given(st.lists(LINES, max_size=5), st.sampled_from(["csv", "parquet", "xlsx", "sav", "dta"]))
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_with_it_ends_well_or_in_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], kind: Any
) -> None:
    export = archive_of(lines)
    folder = tmp_path_factory.mktemp("odd")
    steps: list[Callable[[], object]] = [
        lambda: render_page(export.summarize(), export),
        lambda: export.summarize().as_dict(),
        lambda: export.verify().as_dict(),
        lambda: export.to_pandas(several="onehot", numbers="coerce"),
        lambda: export.to_polars(labels=False),
        lambda: export.answers(),
        lambda: export.files(),
        lambda: export.convert(kind, folder / f"a.{kind}"),
        lambda: export.extract(folder / "flat", by="flat"),
    ]
    for step in steps:
        with contextlib.suppress(FieldpackError):
            step()
