"""`inspect`, `verify`, `extract`, `convert` from the command line, and what they show."""

from __future__ import annotations

import io
import json
import os
import re
from array import array
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fieldpack.cli import main
from fieldpack.export import open_export
from fieldpack.report.gathering import summarize
from fieldpack.report.page import render_page
from fieldpack.report.tallies import make_histogram
from fieldpack.report.terminal import render_summary
from fieldpack.report.wording import say_duration, say_number, say_percent
from fieldpack.text import make_line, say_bytes
from tests.unit.archives import ask, make_members, make_zip, option, write_folder, write_zip

NASTY = "<script>alert(1)</script>\"'&{body}{title}\x1b[31m[bold]red[/]\u202e"


def make_picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (400, 300), "navy").save(out, "PNG")
    return out.getvalue()


SURVEY = [
    ask("free_text", NASTY, id="t"),
    ask("multiple_choice", "One", id="one", options=[option("a", NASTY), option("b", "B")]),
    ask("multiple_choice", "Some", id="some", answer_limit=-1, options=[option("a", "A"), option("b", "B")]),
    ask("free_text_with_unit", "Weight", id="w", unit_options=[option("kg", "Kilo"), option("lb", "Pound")]),
    ask("file_upload", "Photo", id="photo"),
    ask("free_text", "Gone", id="gone", retired=True),
]
ROWS: list[dict[str, Any]] = [
    {
        "status": NASTY if n == 0 else "APPROVED",
        "answers": {
            "t": {"value": NASTY},
            "one": {"value": ["a" if n % 3 else "b"]},
            "some": {"value": ["a", "b"] if n % 2 else ["a"]},
            "w": {"value": str(60 + n), "unit": "kg" if n < 8 else "lb"},
        },
        "uploads": {"photo": [(NASTY, "image/png", make_picture() if n else b"no picture")]} if n < 3 else {},
    }
    for n in range(10)
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "a.zip", make_members(SURVEY, ROWS, name=NASTY))


def test_the_summary_counts(archive: Path) -> None:
    summary = summarize(open_export(archive))
    assert (summary.submissions, summary.participants, summary.file_count) == (10, 10, 3)
    assert summary.median_seconds == 300
    text, one, some, weight, photo = summary.questions
    assert text.distinct == 1
    assert [bar.count for bar in one.bars] == [6, 4]
    assert [bar.count for bar in some.bars] == [10, 5]
    kilo, pound = weight.numbers  # never in one histogram
    assert (kilo.unit, kilo.count, sum(kilo.histogram.counts)) == ("Kilo", 8, 8)
    assert (pound.unit, pound.count, sum(pound.histogram.counts)) == ("Pound", 2, 2)
    assert [(bar.label, bar.count) for bar in weight.bars] == [("Kilo", 8), ("Pound", 2)]
    assert (photo.answered, photo.missing) == (3, 7)
    assert orjson.dumps(summary.as_dict())


def test_the_terminal_gets_no_markup_and_no_control_characters(archive: Path) -> None:
    out = io.StringIO()
    render_summary(summarize(open_export(archive)), Console(file=out, width=100, force_terminal=False))
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]red[/]" in text
    assert "██" in text
    assert "7 missing" in text


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_whole_in_itself_and_escapes(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = open_export(archive)
    summary = summarize(export)
    page = render_page(summary, export)
    reader = Reader()
    reader.feed(page)
    tags = [tag for tag, _ in reader.tags]
    assert "script" not in tags
    assert tags.count("img") == 2
    for tag, attributes in reader.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert (value or "").startswith(("data:image/jpeg;base64,", "#q"))
                if (value or "").startswith("#"):
                    assert f"id='{(value or '')[1:]}'" in page
        assert tag not in ("link", "iframe", "object", "base")
    assert page.count("class='card'") == 1  # what is no picture has a plain card
    for sample in (sample for question in summary.questions for sample in question.samples):
        assert f"{sample.participant_id} · {sample.file.submission_id}" in page
    assert re.search(r"Kilo, median [^<]*n = 8", page)
    assert re.search(r"Pound, median [^<]*n = 2", page)
    assert re.search(r"class=.tick.[^>]*>Kilo</text>", page)
    assert "object-fit: contain" in page
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)
    assert tags.count("svg") >= 4
    assert tags.count("body") == tags.count("header") == 1
    monkeypatch.setattr("fieldpack.report.page.have_pillow", lambda: False)
    assert "Photos need Pillow" in render_page(summary, export)


def test_commands(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*args: object) -> tuple[int, str, str]:
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, out, err

    code, out, _ = run("inspect", archive)
    assert code == 0
    assert "Submissions" in out
    code, out, _ = run("inspect", archive, "--json")
    assert orjson.loads(out)["submissions"] == 10
    assert run("inspect", archive, "--html", tmp_path / "r.html")[0] == 0
    code, _, err = run("inspect", archive, "--html", tmp_path / "r.html")
    assert code == 1
    assert "use --force" in err
    assert run("verify", archive)[:2] == (
        0, "OK: 10 submissions, 3 files; every checksum and reference agrees.\n",
    )  # fmt: skip
    assert orjson.loads(run("verify", archive, "--json", "--quick")[1])["ok"] is True
    code, out, _ = run("extract", archive, "-o", tmp_path / "x", "--by", "instruction", "--json")
    assert len(orjson.loads(out)["files"]) == 3
    assert run("extract", archive, "-o", tmp_path / "y", "--by", "colour")[0] == 2
    assert run("extract", archive, "-o", tmp_path / "x", "--by", "instruction")[0] == 1
    code, out, _ = run("convert", archive, "--to", "csv", "-o", tmp_path / "a.csv", "--bom", "--json")
    assert orjson.loads(out)["rows"] == 10
    assert run("convert", archive, "--codebook", tmp_path / "c.md")[0] == 0
    assert run("convert", archive)[0] == 2
    assert run("convert", archive, "--to", "csv")[0] == 2
    assert run("convert", archive, "--to", "xlsx", "-o", tmp_path / "a.xlsx", "--bom")[0] == 2
    damaged = tmp_path / "damaged.zip"
    data = bytearray(archive.read_bytes())
    data[data.index(b"no picture")] ^= 1
    damaged.write_bytes(data)
    code, out, _ = run("verify", damaged)
    assert code == 1
    assert "CRC-32" in out
    assert "Damaged: 1 error in 10 submissions, 3 files." in out
    code, _, err = run("inspect", tmp_path / "none.zip")
    assert code == 1
    assert err.count("\n") == 1
    assert "does not exist" in err


def test_odd_numbers_and_a_foreign_export_record_are_shown(tmp_path: Path) -> None:
    odd = ["1e308", "-1e308", "5e-324", "0", "2", "about 7"]
    rows = [{"answers": {"w": {"value": value, "unit": "kg"}}} for value in odd]
    members = make_members(SURVEY, rows)
    collection = orjson.loads(members["collection.json"])
    collection["export"] |= {"filter": "all", "created_at": "2026-04-01T10:00:00+02:00"}
    members["collection.json"] = orjson.dumps(collection)
    export = open_export(write_zip(tmp_path / "a.zip", members))
    summary = summarize(export)
    weight = next(question for question in summary.questions if question.instruction.id == "w")
    assert (weight.numbers[0].histogram.maximum, weight.not_numbers) == (2, 4)
    page = render_page(summary, export)
    for text in ("4 not numbers", "filter = all", "2026-04-01 08:00 UTC"):
        assert text in page
    assert orjson.dumps(summary.as_dict())


def test_a_file_name_that_is_not_utf8_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "a", make_members(SURVEY, ROWS[:1]))
    (folder / "files" / os.fsdecode(b"x\xe9")).write_bytes(b"")
    assert main(["verify", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["member"] == "files/x\udce9"


def test_an_empty_export_is_shown(tmp_path: Path) -> None:
    export = open_export(io.BytesIO(make_zip(make_members(SURVEY, []))))
    out = io.StringIO()
    render_summary(summarize(export), Console(file=out, width=80))
    assert "Submissions   0" in out.getvalue()
    assert "<svg" in render_page(summarize(export), export)


NUMBERS = st.floats(-1e12, 1e12) | st.floats(-1e100, 1e100).filter(lambda n: n == 0 or abs(n) >= 1e-100)


@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_histograms_hold_every_number(numbers: list[float]) -> None:
    found = make_histogram(array("d", numbers))
    assert sum(found.counts) == len(numbers)
    assert len(found.counts) <= 40
    assert found.step > 0


def test_wording() -> None:
    assert [say_bytes(n) for n in (0, 999, 1000, 48_213, 5e11)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "48.2 kB",
        "500 GB",
    ]
    assert [say_duration(n) for n in (0, 59, 270, 90_000)] == ["0 s", "59 s", "4 min 30 s", "1 d 1 h"]
    assert [say_percent(*n) for n in ((0, 0), (1, 1000), (999, 1000), (5, 10))] == [
        "–",
        "<1 %",
        ">99 %",
        "50 %",
    ]
    assert [say_number(n) for n in (3.0, 3.14159, 1e6)] == ["3", "3.142", "1,000,000"]
    assert make_line("a\n b\x00" + "x" * 20, 10) == "a b xxxxx…"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_bars_are_of_characters_that_the_output_has(encoding: str) -> None:
    days: list[dict[str, Any]] = [
        {"completed_at": datetime(2026, 3, n % 9 + 1, tzinfo=UTC), "answers": {"one": {"value": ["a"]}}}
        for n in range(20)
    ]
    survey = [ask("multiple_choice", "One", id="one", options=[option("a", "A"), option("b", "B")])]
    archive = open_export(io.BytesIO(make_zip(make_members(survey, days))))
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    render_summary(summarize(archive), Console(file=out, width=100))
    out.flush()
    shown = raw.getvalue().decode(encoding)
    assert not re.search(r"\\u25[0-9a-f]{2}", shown)
    assert ("█" in shown) == (encoding == "utf-8")
    assert ("#" * 10 in shown) == (encoding != "utf-8")
