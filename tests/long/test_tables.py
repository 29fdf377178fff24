"""Tables of an archive: what is in them, in bulk and line by line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from fieldpack.errors import ArchiveError, UsageError
from fieldpack.export import Export, open_export
from fieldpack.reading.model import Instruction, Option, scalar_text
from fieldpack.tables import raw as raw_module
from fieldpack.tables.option_codes import OptionCodes
from fieldpack.tables.raw import read_raw
from fieldpack.tables.wide import TableOptions, build_columns
from tests.unit.archives import START, answered, ask, make_members, make_zip, option, write_folder, write_zip


def open_members(members: dict[str, bytes]) -> Export:
    return open_export(io.BytesIO(make_zip(members)))


@given(answered())
@settings(max_examples=150, deadline=None)
def test_bulk_and_line_by_line_agree_and_hold_the_answers(
    case: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    instructions, submissions = case
    export = open_members(make_members(instructions, submissions))
    fast, slow = read_raw(export), read_raw(export, bulk=False)
    for options in (
        TableOptions(),
        TableOptions(columns="id", labels=False, several="onehot", numbers="text"),
        TableOptions(columns="slug", several="joined", numbers="coerce"),
    ):
        first, second = (
            pa.table([c.data for c in columns], names=[c.name for c in columns])
            for columns in (build_columns(fast, options), build_columns(slow, options))
        )
        assert first.schema == second.schema
        assert first.equals(second)
        assert len({name.casefold() for name in first.column_names}) == first.num_columns
    table = export.to_arrow(columns="id", labels=False, numbers="text")
    for row, submission in zip(table.to_pylist(), submissions, strict=True):
        for item in instructions:
            if item["id"] not in table.column_names:
                assert item["retired"]
                continue
            check_cell(row, item, submission)
    check_answers(export, instructions, submissions)


@given(answered())
@settings(max_examples=60, deadline=None)
def test_pandas_and_polars_hold_what_arrow_holds(
    case: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    export = open_members(make_members(*case))
    for several in ("list", "onehot"):
        rows = export.to_arrow(several=several).to_pylist()
        assert export.to_polars(several=several).to_dicts() == rows
        frame = export.to_pandas(several=several)
        assert len(frame) == len(rows)
        for name in frame.columns:
            for got, row in zip(frame[name].tolist(), rows, strict=True):
                wanted = row[name]
                assert got == wanted if wanted is not None else got is None or pd.isna(got)


def check_cell(row: dict[str, Any], item: dict[str, Any], submission: dict[str, Any]) -> None:
    got = row[item["id"]]
    if item["type"] == "file_upload":
        uploads = submission["uploads"].get(item["id"])
        assert (got is None) == (uploads is None)
        assert len(got or []) == len(uploads or [])
        return
    answer = submission["answers"].get(item["id"])
    if answer is None:
        assert got is None
    elif item["type"].startswith("free_text"):
        assert got == answer["value"]
        if "unit" in answer:
            assert row[item["id"] + ".unit"] == answer["unit"]
    else:
        chosen = [c["value"] if isinstance(c, dict) else c for c in answer["value"]]
        if item["answer_limit"] == 1:
            assert (got is None) == (not chosen)
            got = [] if got is None else [got]
        for seen, value in zip(got, chosen, strict=True):
            assert seen == value or seen in (scalar_text(value), orjson.dumps(value).decode())


def check_answers(
    export: Export, instructions: list[dict[str, Any]], submissions: list[dict[str, Any]]
) -> None:
    long = export.answers("arrow").to_pylist()
    kinds = {item["id"]: item["type"] for item in instructions}
    expected = []
    for submission in export.iter_submissions():
        for key in kinds:
            if (answer := submission.answers.get(key)) is None:
                continue
            values: list[str | None] = (
                [answer.text] if answer.text is not None else [f.path for f in answer.files]
            )
            values = values or [scalar_text(c.value) for c in answer.choices] or [None]
            expected += [(submission.submission_id, key, i, v) for i, v in enumerate(values, 1)]
    assert len(long) == len(expected)
    for row, (submission_id, key, item, value) in zip(long, expected, strict=True):
        assert (row["submission_id"], row["instruction_id"], row["item"]) == (submission_id, key, item)
        assert row["value"] in (value, None if value is None else orjson.dumps(value).decode())


SURVEY = [
    ask("free_text", "Name", id="name"),
    ask("free_text", "Name", id="again", validation={"type": "number"}),
    ask("multiple_choice", "One", id="one", options=[option("a", "First"), option("b", "Second")]),
    ask("multiple_choice", "Some", id="some", options=[option(1, "One"), option(2, "Two")], answer_limit=-1),
    ask("multiple_choice_with_free_text", "Why", id="why", options=[option("x", "X", heading="Because")]),
    ask(
        "free_text_with_unit",
        "Weight",
        id="weight",
        unit_options=[option("kg", "Kilo"), option("lb", "Pound")],
    ),
    ask("file_upload", "Photo", id="photo"),
    ask("rich_text", "Text", id="text", content="<p>Hi</p>"),
]
ROWS: list[dict[str, Any]] = [
    {
        "answers": {
            "name": {"value": "007"},
            "again": {"value": "5"},
            "one": {"value": ["b"]},
            "some": {"value": [2, 1]},
            "why": {"value": [{"value": "x", "explanation": "just so"}]},
            "weight": {"value": "72.5", "unit": "kg"},
        },
        "uploads": {"photo": [("cat.jpg", "image/jpeg", b"cat"), ("CAT.jpg", "image/jpeg", b"dog")]},
    },
    {"answers": {"name": {"value": ""}, "some": {"value": []}}},
    {"answers": {"again": {"value": "7.25"}}},
]


def test_pandas_types_and_values() -> None:
    frame = open_members(make_members(SURVEY, ROWS)).to_pandas()
    assert list(frame.columns)[6:] == [
        "Name", "Name (2)", "One", "Some", "Why", "Why (explanation)", "Weight", "Weight (unit)", "Photo",
    ]  # fmt: skip
    assert frame["Name"].iloc[0] == "007"
    assert frame["Name"].iloc[1] == ""
    assert pd.isna(frame["Name"].iloc[2])
    assert frame["Name (2)"].dtype == "float64"
    assert frame["Name (2)"].sum() == 12.25
    assert isinstance(frame["One"].dtype, pd.CategoricalDtype)
    assert list(frame["One"].cat.categories) == ["First", "Second"]
    assert frame["One"].iloc[0] == "Second"
    assert frame["Some"].tolist() == [["Two", "One"], [], None]
    assert frame["Why (explanation)"].iloc[0] == "just so"
    assert frame["Weight"].dtype == "float64"
    assert frame["Weight (unit)"].iloc[0] == "Kilo"
    assert str(frame["completed_at"].dtype) == "datetime64[us, UTC]"
    assert frame["started_at"].iloc[0] == pd.Timestamp(START)
    assert [path.rsplit("_", 1)[1] for path in frame["Photo"].iloc[0]] == ["cat.jpg", "CAT-2.jpg"]


def test_polars_types_and_values() -> None:
    frame = open_members(make_members(SURVEY, ROWS)).to_polars(columns="slug", labels=False)
    assert frame.columns[6:] == [
        "name", "name_2", "one", "some", "why", "why_explanation", "weight", "weight_unit", "photo",
    ]  # fmt: skip
    assert frame["one"].dtype == pl.Categorical
    assert frame["some"].to_list() == [[2, 1], [], None]
    assert frame["name"].to_list() == ["007", "", None]
    assert frame["completed_at"].dtype == pl.Datetime("us", "UTC")


def test_one_hot() -> None:
    frame = open_members(make_members(SURVEY, ROWS)).to_pandas(columns="id", several="onehot")
    assert frame["some.1"].tolist() == [True, False, pd.NA]
    assert frame["some.2"].tolist() == [True, False, pd.NA]


def test_an_empty_export_has_its_columns() -> None:
    export = open_members(make_members(SURVEY, []))
    assert export.to_pandas().shape == (0, 15)
    assert export.to_polars().shape == (0, 15)
    assert export.answers().shape[0] == 0
    assert export.files().shape == (0, 11)
    unanswered = open_members(make_members(SURVEY, [{}])).to_pandas()
    assert unanswered.dtypes["Name"] == unanswered.dtypes["submission_id"]  # text, though none is there
    assert open_members(make_members([], [{}])).to_polars().shape == (1, 6)


def test_a_number_question_stays_text_when_something_would_be_lost() -> None:
    for typed in ("about 5", "007", "", "12345678901234567890", ".12345678901234567"):
        rows = [{"answers": {"again": {"value": "5"}}}, {"answers": {"again": {"value": typed}}}]
        export = open_members(make_members([SURVEY[1]], rows))
        assert export.to_arrow()["Name"].to_pylist() == ["5", typed]
        assert export.to_arrow(numbers="coerce")["Name"][0].as_py() == 5.0
    assert export.to_arrow(numbers="text")["Name"].to_pylist()[0] == "5"
    spelled = ["+5", " 6 ", "7.", ".5", "-.25", "1e3", "1e999", "9" * 400, "0x10", "", "nan", "1_000", "٣"]
    rows = [{"answers": {"again": {"value": text}}} for text in spelled]
    found = open_members(make_members([SURVEY[1]], rows)).to_arrow(numbers="coerce")["Name"].to_pylist()
    assert found == [5.0, 6.0, 7.0, 0.5, -0.25, 1000.0, *[None] * 7]


def test_a_bad_option_of_a_table_is_a_usage_error() -> None:
    export = open_members(make_members(SURVEY, ROWS))
    with pytest.raises(UsageError, match="columns is one of question, id, slug"):
        export.to_arrow(columns="colour")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="frame is one of"):
        export.answers("csv")  # type: ignore[arg-type]


def test_paths_of_a_folder_exist(tmp_path: Path) -> None:
    members = make_members(SURVEY, ROWS)
    export = open_export(write_folder(tmp_path / "out", members))
    for path in export.to_pandas()["Photo"].iloc[0]:
        assert Path(path).is_file()
    files = export.files()
    assert all(Path(path).is_file() for path in files["path"])
    assert files["present"].tolist() == [True, True]
    assert files["size_bytes"].tolist() == [3, 3]
    zipped = open_export(write_zip(tmp_path / "a.zip", members))
    assert zipped.to_pandas()["Photo"].iloc[0][0].startswith("files/")
    assert zipped.to_pandas(root="/data")["Photo"].iloc[0][0].startswith("/data/files/")


BARE = [
    ({"q": "text"}, {"q": "free_text"}, "text"),
    ({"q": 5}, {"q": "free_text"}, "5"),
    ({"q": {"value": True}}, {"q": "free_text"}, "true"),
    ({"q": ["a"]}, {"q": "multiple_choice"}, ["a"]),
    ({"q": "a"}, {"q": "multiple_choice"}, ["a"]),
    ({"q": {"value": "a"}}, {"q": "multiple_choice"}, ["a"]),
    ({"q": [1, "b", True]}, {"q": "multiple_choice"}, ["1", "b", "true"]),
    ({"q": ["files/x.jpg"]}, {"q": "file_upload"}, ["files/x.jpg"]),
    ({"q": [{"path": "files/x.jpg", "file_size_mb": 0.5}]}, {"q": "file_upload"}, ["files/x.jpg"]),
    ({"q": {"type": "free_text", "value": "x", "seen": {"at": 1}}}, {"q": "free_text"}, "x"),
    ({"q": {"answer": [{"value": "x"}]}}, {"q": "free_text"}, "x"),
    ({"q": {"answer": [{"value": "x", "unit": "kg"}]}}, {"q": "free_text_with_unit"}, "x"),
]


@pytest.mark.parametrize(("responses", "kinds", "expected"), BARE)
@pytest.mark.parametrize("listed", [True, False])
def test_shapes_of_other_services(
    responses: dict[str, Any], kinds: dict[str, str], expected: Any, listed: bool
) -> None:
    """Read alike in bulk and by line; with and without the instruction in collection.json where the shape
    tells."""
    line = {"submission_id": "s", "responses": responses, "duration": 12, "source": "elsewhere"}
    instructions = [ask(kind, "Q", id=key, answer_limit=-1) for key, kind in kinds.items()] if listed else []
    members = {
        "responses.jsonl": orjson.dumps(line) + b"\n",
        "collection.json": orjson.dumps({"id": "c", "instructions": instructions}),
    }
    export = open_members(members)
    fast, slow = read_raw(export), read_raw(export, bulk=False)
    assert fast.table.equals(slow.table.select(fast.table.column_names))
    table = export.to_arrow(columns="id", numbers="text")
    if listed or (isinstance(expected, str) and "answer" not in str(responses)):
        got = table["q"].to_pylist()[0]
        assert got == expected or [got] == expected
    assert table["duration"].to_pylist() == ["12"]
    submission = next(export.iter_submissions())
    assert submission.extra == {"duration": 12, "source": "elsewhere"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", ["a", "b"]], [["a"], ["a", "b"]]),
        (["files/a", [{"path": "files/b"}]], [["files/a"], ["files/b"]]),
        ([["a"], [{"value": "b", "explanation": "e"}]], [["a"], ["b"]]),
        ([{"value": "5", "unit": "kg"}, "6"], ["5", "6"]),
        ([["b"], ["a"]], [["b"], ["a"]]),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_questions_of_a_kind_that_is_not_known_keep_all_answers(
    values: list[Any], expected: list[Any], listed: bool
) -> None:
    """Whatever the first answer looks like."""
    lines = [{"submission_id": f"s{n}", "responses": {"q": value}} for n, value in enumerate(values)]
    members = {"responses.jsonl": b"".join(orjson.dumps(line) + b"\n" for line in lines)}
    if listed:
        instruction = {"id": "q", "type": "ranking", "description": "Rank"}
        members["collection.json"] = orjson.dumps({"id": "c", "instructions": [instruction]})
    export = open_members(members)
    assert export.to_arrow(numbers="text")["Rank" if listed else "q"].to_pylist() == expected
    assert len(export.answers()) == sum(len(item) if isinstance(item, list) else 1 for item in expected)


def test_blocks_that_do_not_fit_are_read_by_line_and_the_others_in_bulk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(raw_module, "_BLOCK_BYTES", 400)
    by_line: list[int] = []
    read_lines = raw_module._Reader.read_lines

    def spy(self: Any, first: int, block: bytes) -> pa.Table:
        by_line.append(first)
        return read_lines(self, first, block)

    monkeypatch.setattr(raw_module._Reader, "read_lines", spy)
    lines = []
    for number in range(40):
        value: Any = ["a"] if number % 2 else ["b"]
        if number == 20:
            value = "gone"
        if number == 30:
            value = ["gone", "new"]
        lines.append(
            orjson.dumps(
                {
                    "submission_id": f"s{number}",
                    "responses": {"one": {"type": "multiple_choice", "value": value}},
                }
            )
        )
    members = make_members(SURVEY, [])
    members["responses.jsonl"] = b"\n".join(lines)
    table = open_members(members).to_arrow(columns="id")
    assert 0 < len(by_line) < 3
    assert table["submission_id"].to_pylist() == [f"s{number}" for number in range(40)]
    assert table["one"].to_pylist()[20] == ["gone"]
    assert table["one"].to_pylist()[30] == ["gone", "new"]
    assert table["one"].to_pylist()[1] == ["First"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"submission_id": "x", ', "line 2 is not JSON"),
        (b'{"submission_id": "x"} {}', "line 2 is not JSON"),
        (b'{"submission_id": "\xff"}', "line 2 is not UTF-8"),
        (b"[1]", "line 2 can't be read: it is not a JSON object"),
        (b"{}", "line 2 can't be read: it has no submission_id"),
        (b'{"submission_id": ""}', "line 2 can't be read: it has no submission_id"),
        (b'{"submission_id": "x", "responses": []}', "line 2 can't be read: its responses"),
        (
            b'{"submission_id": "x", "completed_at": "yesterday"}',
            "line 2 can't be read: completed_at is not a time",
        ),
        (
            b'{"submission_id": "x", "responses": {"one": {"value": [null]}}}',
            "line 2 can't be read: the answer to one",
        ),
        (
            b'{"submission_id": "x", "responses": {"name": {"value": ["a", "b"]}}}',
            "line 2 .* a text was expected",
        ),
        (
            b'{"submission_id": "x", "responses": {"photo": {"value": [{}]}}}',
            "line 2 .* a file without a path",
        ),
        (
            b'{"submission_id": "x", "participant_id": ' + b"[" * 600 + b"]" * 600 + b"}",
            "line 2 can't be read: a value is nested too deeply",
        ),
        (
            b'{"submission_id": "x", "responses": {"name": ' + b"[" * 600 + b"]" * 600 + b"}}",
            "line 2 .* a value is nested too deeply",
        ),
    ],
)
def test_a_damaged_line_is_named(line: bytes, problem: str) -> None:
    members = make_members(SURVEY, [{}])
    members["responses.jsonl"] += line + b"\n"
    export = open_members(members)
    for read in (export.to_arrow, lambda: list(export), export.files):
        with pytest.raises(ArchiveError, match=problem) as caught:
            read()
        assert caught.value.member == "responses.jsonl"
        assert caught.value.line == 2


def test_bytes_that_are_no_utf8_are_refused_in_bulk_too() -> None:
    """Only the first lines are looked at one by one; Arrow's reader would let such bytes pass."""
    members = make_members(SURVEY, [{"answers": {"name": {"value": "x"}}}] * 300)
    lines = members["responses.jsonl"].splitlines(keepends=True)
    lines[250] = lines[250].replace(b'"x"', b'"caf\xe9"')
    members["responses.jsonl"] = b"".join(lines)
    with pytest.raises(ArchiveError, match=r"responses\.jsonl line 251 is not UTF-8") as caught:
        open_members(members).to_arrow()
    assert caught.value.line == 251


def test_labels_that_are_equal_are_told_apart() -> None:
    options = (Option("a", "Other"), Option("b", "Other"), Option("c", "Other [a]"))
    codes = OptionCodes(Instruction("q", "multiple_choice", "", options=options))
    assert len(set(codes.get_labels())) == 3


def test_times_without_zone_and_with_offset() -> None:
    lines = [
        {"submission_id": "a", "completed_at": "2026-03-01T09:30:00", "responses": {}},
        {"submission_id": "b", "completed_at": "2026-03-01T11:30:00.123456789+02:00", "responses": {}},
        {"submission_id": "c", "completed_at": "", "responses": {}},
    ]
    members = make_members(SURVEY, [])
    members["responses.jsonl"] = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    times = open_members(members).to_arrow()["completed_at"].to_pylist()
    assert times == [START, START.replace(microsecond=123456), None]


def test_without_table_libraries_the_extra_is_named_and_the_rest_works(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", make_members(SURVEY, ROWS))
    code = (
        "import sys\n"
        "for name in ('pandas', 'polars', 'pyarrow', 'numpy', 'openpyxl'): sys.modules[name] = None\n"
        "from fieldpack.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False
        )

    assert run("inspect", str(path)).returncode == 0
    assert run("verify", str(path)).returncode == 0
    assert run("extract", str(path), "-o", str(tmp_path / "out"), "--by", "flat").returncode == 0
    for kind in ("csv", "sav", "media"):
        done = run("convert", str(path), "--to", kind, "-o", str(tmp_path / "a"))
        assert done.returncode == 1
        assert "fieldpack[convert]" in done.stderr
        assert done.stderr.count("\n") == 1


def test_reading_loads_no_table_library() -> None:
    code = (
        "import sys, fieldpack.export; "
        "heavy = ('pandas', 'polars', 'pyarrow', 'numpy', 'openpyxl', 'pyreadstat', 'fieldpack.server'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
