"""Templates keep their words, and tables keep their cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from fieldpack.cli.output import pick_format, print_csv, print_json, print_table
from fieldpack.cli.template import read_template
from fieldpack.errors import UsageError
from fieldpack.text import make_plain


def write(folder: Path, text: str, name: str = "t.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, word) for word in ("yes", "no", "on", "off", "y", "N", "Yes", "NO")),
        *(
            (word, word)
            for word in ("2024-01-01", "12:30", "0755", "007", "0x1F", "1_000", ".5", "+1", "1.", ".inf")
        ),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("'12'", "12"),
        ("=SUM(A1)", "=SUM(A1)"),
    ],
)
def test_plain_words_stay_words(tmp_path: Path, word: str, value: object) -> None:
    read = read_template(write(tmp_path, f"value: {word}\n"))["value"]
    assert read == value
    assert type(read) is type(value)


def test_nested_lists_anchors_and_json_are_read(tmp_path: Path) -> None:
    text = "a: &a {x: 1}\nb:\n  - *a\n  - {<<: *a, y: no}\n"
    assert read_template(write(tmp_path, text)) == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1, "y": "no"}]}
    assert read_template(write(tmp_path, '\ufeff{"a": [1, "é"]}', "t.json")) == {"a": [1, "é"]}


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("a: 1\na: 2\n", "t.yaml", r'line 2, .*duplicate key "a"'),
        ("a: [1\nb: 2\n", "t.yaml", r"line 2"),
        ("- 1\n", "t.yaml", "one object"),
        ("", "t.yaml", "one object"),
        ("a: !!python/object:os.system x\n", "t.yaml", "line 1"),
        ('{"a": 1,}', "t.json", r"line 1, is not JSON"),
        ("1: x\n", "t.yaml", "JSON has no word for"),
        ("a: !!timestamp 2024-99-99\n", "t.yaml", "cannot be used"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_template(write(tmp_path, text, name))


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: No such file"):
        read_template(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="not UTF-8"):
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


def test_nine_lines_that_stand_for_a_billion_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match="holds too much to be sent"):
        read_template(path)
    path.write_text("a: &a [*a]\n")
    with pytest.raises(UsageError):
        read_template(path)
    path.write_text("a: &a [1, 2]\nb: *a\nc: *a\n")
    assert read_template(path) == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}


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
