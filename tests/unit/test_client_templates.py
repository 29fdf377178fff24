"""Templates keep their words, and tables keep their cells."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from fieldpack.cli.collections.template import read_template
from fieldpack.cli.output import pick_format, print_csv, print_json, print_one, print_table
from fieldpack.errors import FieldpackError, TemplateError, UsageError
from fieldpack.text import make_plain, say_bytes, say_count


def write(folder: Path, text: str, name: str = "t.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, word) for word in ("yes", "no", "on", "off", "y", "N", "Yes", "NO")),
        *((word, word) for word in ("2024-01-01", "12:30", "1_000", "0b1", "0x", "0o8", "1e", "1a", "tRUE")),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("+1", 1),
        (".5", 0.5),
        ("1.", 1.0),
        ("'12'", "12"),
        ("=SUM(A1)", "=SUM(A1)"),
    ],
)
def test_plain_words_stay_words(tmp_path: Path, word: str, value: object) -> None:
    read = read_template(write(tmp_path, f"value: {word}\n")).body["value"]
    assert read == value
    assert type(read) is type(value)


def test_nested_lists_anchors_and_json_are_read(tmp_path: Path) -> None:
    text = "a: &a {x: 1}\nb:\n  - *a\n  - {<<: *a, y: no}\n"
    assert read_template(write(tmp_path, text)).body == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1, "y": "no"}]}
    assert read_template(write(tmp_path, '\ufeff{"a": [1, "é"]}', "t.json")).body == {"a": [1, "é"]}


@pytest.mark.parametrize(
    "word", ["1", "2026", "no", "true", "1.50", "2026-01-01", "007", "0x1F", "1e3", ".inf", "+1"]
)
def test_words_in_text_fields_are_as_they_are_written(tmp_path: Path, word: str) -> None:
    text = f"name: {word}\noptions:\n  - {{label: {word}, heading: {word}, value: 1}}\naccepted_file_types: [{word}]\n"
    read = read_template(write(tmp_path, text)).body
    assert read == {
        "name": word,
        "options": [{"label": word, "heading": word, "value": 1}],
        "accepted_file_types": [word],
    }
    # JSON's quotes say what is text
    assert read_template(write(tmp_path, '{"name": 1}', "t.json")).body == {"name": 1}


@pytest.mark.parametrize("word", ["", "~", "null", "Null"])
def test_an_empty_text_field_was_not_given(tmp_path: Path, word: str) -> None:
    assert read_template(write(tmp_path, f"description: {word}\n")).body == {"description": None}
    assert read_template(write(tmp_path, "description: 'null'\n")).body == {"description": "null"}


@pytest.mark.parametrize("word", ["~", "null", "Null", "NULL"])
def test_a_word_for_nothing_is_text_where_there_must_be_some(tmp_path: Path, word: str) -> None:
    option, item = f"{{label: {word}, value: {word}}}", f"{{description: {word}, caption: {word}}}"
    text = f"name: {word}\noptions: [{option}]\npage_items: [{item}]\n"
    assert read_template(write(tmp_path, text)).body == {
        "name": word,
        "options": [{"label": word, "value": None}],
        "page_items": [{"description": word, "caption": None}],
    }
    assert read_template(write(tmp_path, "name:\n")).body == {"name": None}
    assert read_template(write(tmp_path, '{"name": null}', "t.json")).body == {"name": None}


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "t.yaml", r"t\.yaml:3: the field 'a' is given twice, first in line 1\."),
        ('{"a": 1,\n"a": 2}', "t.json", r"t\.json:2: the field 'a' is given twice, first in line 1\."),
        ("a: [1\nb: 2\n", "t.yaml", r"t\.yaml:2: the list that opens in line 1 needs a comma here"),
        ("a: {x: 1\n", "t.yaml", r"the object that opens in line 1"),
        ("- 1\n", "t.yaml", r"t\.yaml:1: .*one object"),
        ("", "t.yaml", r"one object"),
        ("a: !!python/object:os.system x\n", "t.yaml", r"t\.yaml:1: the tag !!python/object:os\.system"),
        ("a: !!timestamp 2024-99-99\n", "t.yaml", r"the tag !!timestamp"),
        ("a: !x 1\n", "t.yaml", r"the tag !x has no meaning"),
        ('{"a": 1,}', "t.json", r"t\.json:1: this is not JSON"),
        ("a:\n\tb: 2\n", "t.yaml", r"t\.yaml:2: there is a tab"),
        ("a: b: c\n", "t.yaml", r"t\.yaml:1: there is a colon"),
        ("a: 1\nb\nc: 2\n", "t.yaml", r"t\.yaml:2: a field needs a colon"),
        ("a:\n  - x\n b: 1\n", "t.yaml", r"t\.yaml:3: .*indentation"),
        ("  a: 1\nb: 2\n", "t.yaml", r"t\.yaml:2: .*indentation"),
        ('x: 1\na: "x\nb: 1\n', "t.yaml", r"t\.yaml:2: the quotation mark that opens here"),
        ('a: "\\q"\n', "t.yaml", r"backslash"),
        ("a: @x\n", "t.yaml", r"starts with @ must be in quotes"),
        ("a: *x\n", "t.yaml", r"\*x stands for"),
        ("a: 'it's'\n", "t.yaml", r"quotation mark within quotes"),
        ("a: - b\n", "t.yaml", r"a list starts on a line of its own"),
        ("a: > x\n", "t.yaml", r"starts on the next line"),
        ("a: 1\n---\nb: 1\n", "t.yaml", r"t\.yaml:2: a second document"),
        ("a: 1\nb: \x07\n", "t.yaml", r"t\.yaml:2: the character U\+0007"),
        ("value: .inf\n", "t.yaml", r"\.inf is no number that JSON has"),
        ("value: 1e999\n", "t.yaml", r"1e999 is no number"),
        (f"value: {'9' * 30}\n", "t.yaml", r"too large a number"),
        (f"value: {'9' * 5000}\n", "t.yaml", r"9+… is no number"),
        ('value: "\\ud800"\n', "t.yaml", r"half of a pair"),
        ("[1]: 2\n", "t.yaml", r"name of a field"),
        ("a: &a [*a]\n", "t.yaml", r"within what it stands for"),
        ("a: &a {<<: *a}\n", "t.yaml", r"within what it stands for"),
        ("a: " + "[" * 100 + "]" * 100, "t.yaml", r"levels deep"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "t.json", r"levels deep"),
        (
            "a0: &a0 [x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 20}]\n" for n in range(1, 9)),
            "t.yaml",
            r"more than 200,000 values",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, name: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        read_template(write(tmp_path, text, name))


def test_a_missing_binary_or_huge_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: No such file"):
        read_template(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"a: 1\nb: \xff\xfe\xfa")
    with pytest.raises(TemplateError, match=r"b\.yaml:2: this is not UTF-8"):
        read_template(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").write_bytes("name: x".encode("utf-16"))
    with pytest.raises(TemplateError, match=r"b\.yaml: this is UTF-16: save the file as UTF-8"):
        read_template(tmp_path / "b.yaml")
    with (tmp_path / "b.yaml").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(TemplateError, match=r"b\.yaml: the file is larger than 16\.8 MB"):
        read_template(tmp_path / "b.yaml")


def test_csv_cells_are_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"a": "=1+1", "b": "-x", "c": 5, "d": -5},
        {"a": "@x", "b": "a,b", "c": None, "d": ["=x"]},
    ]
    print_csv(rows, ("a", "b", "c", "d"))
    assert capsys.readouterr().out == 'a,b,c,d\n\'=1+1,\'-x,5,-5\n\'@x,"a,b",,"[""=x""]"\n'


def test_tables_line_up_and_hold_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        [{"id": "1", "name": "a\x1b[31m\nb"}, {"id": "22", "name": None}], ("id", "name"), empty="none"
    )
    assert capsys.readouterr().out == "ID  NAME\n1   a [31m b\n22\n"
    print_table([], ("id",), empty="none")
    assert capsys.readouterr().out == "none\n"


def test_json_is_indented_and_one_format_is_picked(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": 1})
    assert capsys.readouterr().out == '{\n  "a": 1\n}\n'
    assert pick_format(json=False, csv=True, table=False) == "csv"
    with pytest.raises(UsageError, match="--json, --csv"):
        pick_format(json=True, csv=True, table=False)
    assert make_plain("a\u202eb") == "a b"


STEERING = ["\x1b[2J", "\x9b2J", "\x07", "\x7f", "\u202e", "\u2066", "\u2028", "\r", "\u0085"]


@pytest.mark.parametrize("text", STEERING)
def test_json_and_csv_on_a_terminal_hold_no_control_characters(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"name": f"a{text}b"}]
    print_json(rows)
    shown = capsys.readouterr().out
    assert orjson.loads(shown) == rows
    assert shown.replace("\n", "").isprintable()
    print_csv(rows, ["name"])
    assert text in capsys.readouterr().out  # to a file or a program: as it is
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_csv(rows, ["name"])
    print_table(rows, ["name"], empty="")
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_what_is_copied_out_of_a_table_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    row = {"participant_id": "a" * 40, "url": "https://fieldpack.example/participate/" + "b" * 100}
    print_table([row], ("participant_id", "url"), empty="")
    assert capsys.readouterr().out.splitlines()[1] == f"{'a' * 9}…  {row['url']}"


def test_tables_have_times_without_fractions(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
    rows = [
        {"a": at, "b": "2026-03-04T05:06:07.891011Z", "c": "2026-03-04T05:06:07+00:00", "d": "at 05:06:07.8"}
    ]
    print_table(rows, ("a", "b", "c", "d"), empty="")
    shown = "2026-03-04T05:06:07Z"
    assert capsys.readouterr().out.splitlines()[1] == f"{shown}  {shown}  {shown}  at 05:06:07.8"
    print_csv(rows, ("b",))
    assert "891011" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "said"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (99_949, "99.9 kB")),
        *(
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (25 * 2**20, "26.2 MB"),
            (10**9, "1.0 GB"),
            (10**15, "1.0 PB"),
        ),
    ],
)
def test_sizes_are_in_powers_of_a_thousand(size: int, said: str) -> None:
    assert say_bytes(size) == said


def test_counts_have_their_plural() -> None:
    assert [say_count(n, "file") for n in (0, 1, 2, 1200)] == ["0 files", "1 file", "2 files", "1,200 files"]
    assert [say_count(n, "study", "studies") for n in (1, 2)] == ["1 study", "2 studies"]


@pytest.mark.parametrize("depth", [1, 200, 254, 255, 340, 600, 990, 1023])
@pytest.mark.parametrize("kind", ["list", "object"])
def test_what_is_nested_deeply_is_printed_or_refused(
    kind: str, depth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """As deep as an answer of a server can be read."""
    begin, end = ("[", "]") if kind == "list" else ('{"a":', "}")
    text = begin * depth + "1" + end * depth
    row = {"a": orjson.loads(text)}
    ways: list[Callable[[], None]] = [
        lambda: print_csv([row], ["a"]),
        lambda: print_json([row]),
        lambda: print_table([row], ["a"], empty=""),
        lambda: print_one(row, ["a"], json=False),
    ]
    for print_it in ways:
        with contextlib.suppress(FieldpackError):
            print_it()
        assert depth > 600 or capsys.readouterr().out.strip()
    if depth <= 600:
        print_csv([row], ["a"])
        cells = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert json.loads(cells["a"]) == row["a"]
