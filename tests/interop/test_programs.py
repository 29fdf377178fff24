"""Converted files opened by the programs that people open them with: R (haven), PSPP, LibreOffice."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fieldpack.export import Export, open_export
from tests.unit.archives import ask, make_members, make_zip, option

NASTY = [
    *("plain", "", " leading and trailing kept but for blanks at the end", "=SUM(A1)", "+1", "-2", "@x", "'quoted"),
    *('"double"', "comma, semicolon; tab\tend", "two\nlines", "back\\slash", "ünï — “quotes”", "日本語のテキスト"),
    *("עברית", "العربية", "👩‍👩‍👧‍👦 family", "e\u0301 decomposed", "null", "NA", "NaN", "TRUE"),
    *("007", "1e5", "2026-01-01", "_x000D_"),
    *("x" * 244, "x" * 245, "ä" * 128, "y" * 2045, "y" * 2046, "z" * 20_000, "ß" * 9_000),
]  # fmt: skip
LONG = "Thinking about everything that you bought in the last four weeks, and about nothing else, " * 4
SURVEY = [
    ask("free_text", "Text", id="t"),
    ask("free_text", "Age", id="n", validation={"type": "number"}),
    ask("multiple_choice", "Größe?", id="one", options=[option("s", "klein"), option("l", "groß – 日本")]),
    ask("multiple_choice", "Rate", id="rate", options=[option(10, "Ten"), option(-2, "Minus two")]),
    ask(
        "multiple_choice", "Some", id="some", answer_limit=-1, options=[option("a", "A"), option("b", "B; b")]
    ),
    ask("free_text_with_unit", "Weight", id="w", unit_options=[option("kg", "Kilo"), option("lb", "Pound")]),
    ask(
        "multiple_choice",
        LONG,
        id="long",
        options=[option("1", LONG + "buy"), option("2", LONG + "sell"), option("3", " ")],
    ),
    ask("multiple_choice", LONG + "again", id="again", options=[option("x", "X")]),
]


def make_export() -> Export:
    rows = []
    for number, text in enumerate(NASTY):
        answers: dict[str, Any] = {
            "t": {"value": text},
            "n": {"value": str(number / 8)},
            "one": {"value": ["l" if number % 2 else "s"]},
            "rate": {"value": [10 if number % 3 else -2]},
            "some": {"value": ["b"]},
            "w": {"value": str(number), "unit": "lb"},
            "long": {"value": [str(number % 3 + 1)]},
        }
        if number % 5 == 4:
            for key in ("n", "one", "w"):
                del answers[key]
        rows.append({"answers": answers})
    return open_export(io.BytesIO(make_zip(make_members(SURVEY, rows, name="Nasty – corpus"))))


@pytest.fixture(scope="module")
def export() -> Export:
    return make_export()


def find(*programs: str) -> str:
    """The first of these programs that is installed."""
    for program in programs:
        if found := shutil.which(program):
            return found
    pytest.skip(f"needs {programs[0]}: make interop installs it")


def run(*command: str | Path, timeout: float = 120) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


READ_BY_HAVEN = Path(__file__).with_name("read_by_haven.R")


@pytest.mark.parametrize("kind", ["dta", "sav"])
def test_haven_reads_what_was_answered(export: Export, tmp_path: Path, kind: Any) -> None:
    rscript = find("Rscript")
    if subprocess.run([rscript, "-e", "library(haven)"], capture_output=True, check=False).returncode:
        pytest.skip("needs R's haven: make interop installs it")
    export.convert(kind, tmp_path / f"a.{kind}")
    run(rscript, "--encoding=UTF-8", READ_BY_HAVEN, tmp_path / f"a.{kind}", tmp_path / "a.json")
    columns = json.loads((tmp_path / "a.json").read_bytes())
    check_numbers_and_labels(columns, 80 if kind == "dta" else None, 256 if kind == "sav" else None)
    # both formats pad short texts with blanks at the end, or strip them
    assert [(text or "").rstrip(" ") for text in columns["text"]["values"]] == [t.rstrip(" ") for t in NASTY]
    times = export.to_arrow()["completed_at"].to_pylist()
    for got, wanted in zip(columns["completed_at"]["values"], times, strict=True):
        assert abs(dt.datetime.fromisoformat(got + "+00:00") - wanted) < dt.timedelta(milliseconds=2)


def check_numbers_and_labels(columns: Any, characters: int | None, bytes_: int | None) -> None:
    count = len(NASTY)
    skipped = [number % 5 == 4 for number in range(count)]

    def numbers(name: str) -> list[float | None]:
        return [None if value in (None, "NA") else float(value) for value in columns[name]["values"]]

    assert numbers("age") == [None if gone else n / 8 for n, gone in enumerate(skipped)]
    one = next(name for name in columns if name.startswith("gr"))
    assert numbers(one) == [None if gone else 1.0 + n % 2 for n, gone in enumerate(skipped)]
    assert columns[one]["labels"] == {"1": "klein", "2": "groß – 日本"}
    assert columns[one]["label"] == "Größe?"
    assert columns["rate"]["labels"] == {"10": "Ten", "-2": "Minus two"}
    assert numbers("some_b_b") == [1.0] * count
    assert columns["some_b_b"]["label"] == "Some: B; b"
    assert numbers("weight") == [None if gone else float(n) for n, gone in enumerate(skipped)]
    long = [column for name, column in columns.items() if name.startswith("thinking")]
    assert len({column["label"] for column in long}) == 2
    labels = long[0]["labels"]
    assert labels["1"].endswith("buy")
    assert labels["2"].endswith("sell")
    assert labels["3"] == "3"
    for column in columns.values():
        assert characters is None or len(column["label"]) <= characters
        assert bytes_ is None or len(column["label"].encode()) <= bytes_


def test_pspp_reads_what_was_answered(export: Export, tmp_path: Path) -> None:
    convert = find("pspp-convert")
    export.convert("sav", tmp_path / "a.sav")
    run(convert, "--labels", tmp_path / "a.sav", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    text, one = head.index("text"), next(n for n, name in enumerate(head) if name.startswith("gr"))
    assert [row[text].rstrip(" ") for row in rows] == [t.rstrip(" ") for t in NASTY]
    assert [row[one].strip() for row in rows[:5]] == ["klein", "groß – 日本", "klein", "groß – 日本", ""]
    syntax = tmp_path / "a.sps"
    syntax.write_text(f"GET FILE='{tmp_path / 'a.sav'}'.\nFREQUENCIES /VARIABLES=rate.\n", encoding="utf-8")
    printed = run(find("pspp"), "-o", "-", "-O", "format=txt", syntax)
    assert "Minus two" in printed
    assert "Ten" in printed


def test_libreoffice_reads_what_was_answered(export: Export, tmp_path: Path) -> None:
    office = find("soffice", "libreoffice")
    export.convert("xlsx", tmp_path / "a.xlsx")
    profile = f"-env:UserInstallation=file://{tmp_path / 'profile'}"
    # CSV filter options: comma, double quote, UTF-8, from the first line, formats kept as stored
    filters = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,1"
    run(
        office,
        profile,
        "--headless",
        "--convert-to",
        filters,
        "--outdir",
        tmp_path / "out",
        tmp_path / "a.xlsx",
    )
    (made,) = (tmp_path / "out").iterdir()
    with made.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    table = export.to_arrow(several="onehot")
    assert head == table.column_names
    assert [row[head.index("Text")] for row in rows] == NASTY
    assert [float(row[head.index("Age")]) if row[head.index("Age")] else None for row in rows] == (
        table["Age"].to_pylist()
    )
    assert [row[head.index("Größe?")] or None for row in rows] == table["Größe?"].to_pylist()
