"""What a format can't hold: kept another way, or cut where it hurts least and said; never lost in silence."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pandas as pd
import pyreadstat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.archive.naming import safe_name
from fieldpack.convert import stata
from fieldpack.convert.labels import LabelLimit, shorten_labels
from fieldpack.export import Export, open_export
from fieldpack.tables.wide import TableOptions, build_table
from tests.unit.archives import answered, ask, make_members, make_zip, option, write_folder

LONG = 2_045


def open_case(instructions: list[dict[str, Any]], submissions: list[dict[str, Any]]) -> Export:
    return open_export(io.BytesIO(make_zip(make_members(instructions, submissions))))


def find_release(path: Path) -> int:
    """Of a .dta file of release 117 or later: `<stata_dta><header><release>118…`."""
    return int(path.read_bytes()[28:31])


# Stata


def test_stata_is_release_118_and_keeps_texts_of_any_length(tmp_path: Path) -> None:
    texts = ["short", "ä" * 1022, "ä" * 1023, "x" * (LONG + 1), "日本語" * 30_000, "", "line\nbreak\ttab"]
    rows = [{"answers": {"t": {"value": text}, "s": {"value": text[:5]}}} for text in texts]
    export = open_case([ask("free_text", "Whole", id="t"), ask("free_text", "Start", id="s")], rows)
    assert export.convert("dta", tmp_path / "a.dta").warnings == []
    assert find_release(tmp_path / "a.dta") == 118
    assert pd.read_stata(tmp_path / "a.dta")["whole"].tolist() == texts
    frame, meta = pyreadstat.read_dta(str(tmp_path / "a.dta"))  # by ReadStat, as haven reads
    assert frame["whole"].tolist() == texts
    assert meta.original_variable_types["start"] == "%15s"


def test_stata_takes_release_119_beyond_32767_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stata.choose_release(32_767) == 118
    assert stata.choose_release(32_768) == 119
    monkeypatch.setattr(stata, "_RELEASE_118_VARIABLES", 3)  # so many variables take pandas a minute
    export = open_case([ask("free_text", "Whole", id="t")], [{"answers": {"t": {"value": "ä" * 3000}}}])
    export.convert("dta", tmp_path / "a.dta")
    assert find_release(tmp_path / "a.dta") == 119
    assert pyreadstat.read_dta(str(tmp_path / "a.dta"))[0]["whole"].tolist() == ["ä" * 3000]


# Labels


@given(
    st.lists(st.text("ab ", max_size=60) | st.text(max_size=40), min_size=1, max_size=12),
    st.text("xé日", max_size=60),
    st.integers(24, 60),
)
@settings(deadline=None)
def test_labels_that_differ_still_do_and_fit(endings: list[str], shared: str, most: int) -> None:
    labels = [shared + ending for ending in endings]
    for limit in (LabelLimit(most), LabelLimit(most * 4, most)):
        made, cut = shorten_labels(labels, limit)
        assert all(limit.fits(label) for label in made)
        assert len(set(made)) == len(set(labels))
        assert cut == sum(a != b for a, b in zip(labels, made, strict=True))
        assert all(a == b for a, b in zip(labels, made, strict=True) if limit.fits(a))


def test_labels_are_cut_where_they_are_alike() -> None:
    stem = "Thinking about the last four weeks, how often did you, or somebody else in your household, "
    labels = [f"{stem}{verb} fresh vegetables from the market" for verb in ("buy", "cook", "throw away")]
    made, cut = shorten_labels(labels, LabelLimit(80))
    assert cut == 3
    for label, verb in zip(made, ("buy", "cook", "throw away"), strict=True):
        assert label.startswith("Thinking about")
        assert verb in label


@pytest.mark.parametrize(("kind", "bytes_"), [("sav", 120), ("dta", 32_000)])
def test_value_labels_stay_apart_and_a_warning_counts_them(tmp_path: Path, kind: Any, bytes_: int) -> None:
    stem = "same " * (bytes_ // 5 + 5)
    options = [option("a", stem + "first"), option("b", stem + "second"), option("c", " \t")]
    survey = [ask("multiple_choice", "Pick", id="q", options=[*options, option("d", "")])]
    done = open_case(survey, [{"answers": {"q": {"value": ["b"]}}}]).convert(kind, tmp_path / f"a.{kind}")
    assert any(warning.startswith("pick: 2 labels are longer than the") for warning in done.warnings)
    read = pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta
    labels = read(str(tmp_path / f"a.{kind}"))[1].variable_value_labels["pick"]
    assert len(set(labels.values())) == 4
    assert "first" in labels[1.0]
    assert "second" in labels[2.0]
    assert (labels[3.0], labels[4.0]) == ("c", "d")  # blank ones are called by their values
    assert max(len(label.encode()) for label in labels.values()) <= bytes_


@pytest.mark.parametrize(("kind", "characters"), [("sav", 256), ("dta", 80)])
def test_variable_labels_use_the_room_there_is(tmp_path: Path, kind: Any, characters: int) -> None:
    exact, longer = "q" * characters, "é" * (characters // 2) * 2 + "1"
    survey = [ask("free_text", exact, id="a"), ask("free_text", longer, id="b")]
    done = open_case([*survey, ask("free_text", longer[:-1] + "2", id="c")], []).convert(
        kind, tmp_path / f"a.{kind}"
    )
    read = pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta
    labels = [str(x) for x in read(str(tmp_path / f"a.{kind}"))[1].column_names_to_labels.values()][6:]
    assert labels[0] == exact
    assert len(set(labels)) == 3
    assert (labels[1][-1], labels[2][-1]) == ("1", "2")
    assert len(done.warnings) == 1
    assert "Of the variables' own labels, 2 labels are longer" in done.warnings[0]


# Excel


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 32_767, "x" * 32_767),
        ("x" * 32_768, "x" * 32_767),
        ("😀" * 16_384, "😀" * 16_383),  # two units each: half a pair is not written
        ("x" + "😀" * 16_383, "x" + "😀" * 16_383),
        ("\r" * 32_767, "\r" * 32_767),  # seven characters each in the file, one in the cell
        ("\x01" * 32_768, "\x01" * 32_767),
        ("_x000D_" * 4_681, "_x000D_" * 4_681),
        ("y" * 32_766 + "_x000D_", "y" * 32_766 + "_"),  # what looks like an escape is a text
    ],
)
def test_cells_hold_32767_utf16_units(tmp_path: Path, text: str, kept: str) -> None:
    export = open_case([ask("free_text", "Q", id="q")], [{"answers": {"q": {"value": text}}}])
    done = export.convert("xlsx", tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["Responses"]
    assert openpyxl.utils.escape.unescape(sheet["G2"].value) == kept
    assert len(done.warnings) == (text != kept)


def test_a_codebook_longer_than_a_sheet_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldpack.convert import xlsx

    survey = [ask("multiple_choice", "Pick", id="q", options=[option(n) for n in range(20)])]
    export = open_case(survey, [{"answers": {"q": {"value": [3]}}}])
    assert export.convert("xlsx", tmp_path / "whole.xlsx").warnings == []
    whole = openpyxl.load_workbook(tmp_path / "whole.xlsx")["Codebook"].max_row
    monkeypatch.setattr(xlsx, "_MOST_ROWS", whole - 3)
    [warning] = export.convert("xlsx", tmp_path / "cut.xlsx").warnings
    assert warning.startswith(f"The sheet Codebook lacks its last 3 rows, as a sheet holds {whole - 3}")
    assert openpyxl.load_workbook(tmp_path / "cut.xlsx")["Codebook"].max_row == whole - 3


# Numbers


@pytest.mark.parametrize("to", ["csv", "parquet", "xlsx", "sav", "dta", "media"])
def test_what_kept_a_column_from_being_numbers_is_counted(tmp_path: Path, to: Any) -> None:
    survey = [
        ask("free_text", "Age", id="n", validation={"type": "number"}),
        ask("free_text_with_unit", "Weight", id="w", unit_options=[option("kg")]),
        ask("file_upload", "Photo", id="p"),
    ]
    rows: list[dict[str, Any]] = [
        {"answers": {"n": {"value": value}, "w": {"value": "1", "unit": "kg"}}}
        for value in ("41", "forty", " 7", "12")
    ]
    rows[0]["uploads"] = {"p": [("a.png", "image/png", b"\x89PNG\r\n\x1a\n")]}
    export = open_case(survey, rows)
    name = "Age" if to in ("csv", "parquet", "xlsx") else "age"
    safe = export.convert(to, tmp_path / "safe")
    assert safe.warnings == [
        f"{name}: 2 of 4 answers are no plain number, so the column is text; --numbers coerce makes them missing."
    ]
    coerced = export.convert(to, tmp_path / "coerced", numbers="coerce")
    assert len(coerced.warnings) == 1
    assert coerced.warnings[0].startswith(f"{name}: 1 of 4 answers is no plain number, so it is missing")
    assert export.convert(to, tmp_path / "text", numbers="text").warnings == []


# Several choices in one cell


def split_joined(text: str) -> list[str]:
    """What docs/reading.md says: a backslash takes the next character as it is, `; ` parts two choices."""
    items, at = [""], 0
    while at < len(text):
        if text[at] == "\\":
            items[-1] += text[at + 1]
            at += 2
        elif text.startswith("; ", at):
            items.append("")
            at += 2
        else:
            items[-1] += text[at]
            at += 1
    return items


@given(st.lists(st.text("a;\\ |,", min_size=1, max_size=6), min_size=2, max_size=6, unique=True))
@settings(deadline=None, max_examples=60)
def test_choices_in_one_cell_can_be_told_apart(labels: list[str]) -> None:
    options = [option(str(n), label) for n, label in enumerate(labels)]
    values = [str(n) for n in range(len(labels))]
    survey = [ask("multiple_choice", "Q", id="q", answer_limit=-1, options=options)]
    export = open_case(survey, [{"answers": {"q": {"value": values}}}])
    (cell,) = export.to_arrow(several="joined")["Q"].to_pylist()
    assert split_joined(cell) == export.to_arrow()["Q"].to_pylist()[0]


def test_the_escape_does_not_depend_on_the_data() -> None:
    options = [option("a", "Yes; always"), option("b", "No"), option("c", r"C:\dir")]
    survey = [ask("multiple_choice", "Q", id="q", answer_limit=-1, options=options)]
    rows = [{"answers": {"q": {"value": value}}} for value in (["a"], ["a", "b"], ["b"], ["c", "b"])]
    cells = open_case(survey, rows).to_arrow(several="joined")["Q"].to_pylist()
    assert cells == [r"Yes\; always", r"Yes\; always; No", "No", r"C:\\dir; No"]


# Media


def test_every_file_is_in_a_media_folder_or_counted(tmp_path: Path) -> None:
    uploads = [
        ("a.png", "image/png", b"1"),
        ("b.heic", None, b"2"),
        ("c.m4a", "application/octet-stream", b"3"),
        ("d.3gp", None, b"4"),
        ("e.pdf", "application/pdf", b"5"),
        ("f.xyz", None, b"6"),
        ("g.PDF", "application/pdf", b"7"),
    ]
    export = open_case([ask("file_upload", "P", id="p")], [{"answers": {}, "uploads": {"p": uploads}}])
    done = export.convert("media", tmp_path / "out")
    assert done.rows == 4
    assert sorted(path.parent.name for path in (tmp_path / "out").glob("*/*_?.*")) == [
        *("audio", "image", "image", "video")
    ]
    assert done.warnings == [
        "3 files are neither image, audio nor video and left out (2 application/pdf, 1 no type); "
        "`fieldpack extract` writes them."
    ]


NASTY_NAMES = [
    "$HOME.jpg",
    "${PATH}.jpg",
    "~root.jpg",
    "a[1].jpg",
    "{x,y}.jpg",
    "100%25.jpg",
    "a#b&c.jpg",
    "ü 写真.jpg",
    "हिन्दी ภาพถ่าย.jpg",
]


@pytest.mark.parametrize("submission_id", ["~", ".hidden", "__x", "$HOME"])
def test_names_that_loaders_expand_are_made_plain(tmp_path: Path, submission_id: str) -> None:
    row = {
        "submission_id": submission_id,
        "answers": {},
        "uploads": {"p": [(name, "image/jpeg", name.encode()) for name in NASTY_NAMES]},
    }
    export = open_case([ask("file_upload", "P", id="p")], [row])
    export.convert("media", tmp_path / "out")
    lines = [orjson.loads(line) for line in (tmp_path / "out/image/metadata.jsonl").read_bytes().splitlines()]
    assert [line["original_name"] for line in lines] == NASTY_NAMES
    for line in lines:
        name = line["file_name"]
        assert not set(name) & set("$~[]{}*?%#&!")
        assert not name.startswith((".", "__"))
        assert (tmp_path / "out/image" / name).read_bytes() == line["original_name"].encode()
    for kept in ("ü 写真.jpg", "हिन्दी ภาพถ่าย.jpg"):
        assert lines[NASTY_NAMES.index(kept)]["file_name"].endswith(kept)


def test_the_loader_finds_files_with_nasty_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    uploads = [(name, "image/jpeg", b"x") for name in NASTY_NAMES]
    export = open_case([ask("file_upload", "P", id="p")], [{"answers": {}, "uploads": {"p": uploads}}])
    export.convert("media", tmp_path / "out")
    folder = str(tmp_path / "out/image")
    builder = datasets.load_dataset_builder("imagefolder", data_dir=folder, cache_dir=str(tmp_path / "cache"))
    found = {Path(path).name for path in builder.config.data_files["train"]}
    assert found == {path.name for path in (tmp_path / "out/image").iterdir()}


# Unicode forms


def decompose(members: dict[str, bytes]) -> dict[str, bytes]:
    return {unicodedata.normalize("NFD", name): content for name, content in members.items()}


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_names_stored_decomposed_are_found(tmp_path: Path, form: str) -> None:
    names = ["Café.jpg", "写真が.png", "plain.txt", "Ångström é.pdf"]
    row = {"answers": {}, "uploads": {"p": [(name, "image/png", name.encode()) for name in names]}}
    members = decompose(make_members([ask("file_upload", "P", id="p")], [row]))
    assert any(not unicodedata.is_normalized("NFC", name) for name in members)
    export = (
        open_export(io.BytesIO(make_zip(members)))
        if form == "zip"
        else open_export(write_folder(tmp_path / "extracted", members))
    )
    assert export.files("arrow")["present"].to_pylist() == [True] * 4
    assert export.summarize().files_missing == 0
    for file, name in zip(export.iter_files(), names, strict=True):
        with export.open_file(file) as content:
            assert content.read() == name.encode()
    report = export.verify()
    assert report.ok
    notes = [finding.message for finding in report.findings]
    assert len(notes) == 3
    assert all("another Unicode form" in note for note in notes)
    done = export.extract(tmp_path / "out", by="flat")
    assert len(done.paths) == 4
    assert not done.missing


def test_of_two_equivalent_names_none_is_guessed() -> None:
    row = {"answers": {}, "uploads": {"p": [("Å.jpg", "image/jpeg", b"1")]}}
    members = make_members([ask("file_upload", "P", id="p")], [row])
    (path,) = [name for name in members if name.startswith("files/")]
    content = members.pop(path)
    folder = path.rpartition("Å")[0]
    members |= {f"{folder}A\u030a.jpg": content, f"{folder}\u212b.jpg": b"another"}  # A + ring, Ångström sign
    export = open_export(io.BytesIO(make_zip(members)))
    assert export.find_member(path) is None
    assert not export.verify().ok


# What participants saw


def test_answers_keep_the_labels_of_options_that_are_gone() -> None:
    survey = [
        ask(
            "multiple_choice",
            "Q",
            id="q",
            options=[option("a", "New words")],
            retired_options=[
                {**option("a", "Old words"), "until": "2026-01-01T00:00:00.000000Z"},
                {**option("b", "Bee, first"), "until": "2026-01-01T00:00:00.000000Z"},
                {**option("b", "Bee"), "until": "2026-02-01T00:00:00.000000Z"},
            ],
        ),
        ask(
            "free_text_with_unit",
            "W",
            id="w",
            unit_options=[option("kg", "Kilo")],
            retired_options=[option("st", "Stone")],
        ),
    ]
    rows = [
        {"answers": {"q": {"value": [value]}, "w": {"value": "1", "unit": unit}}}
        for value, unit in (("a", "kg"), ("b", "st"), ("c", "lb"))
    ]
    export = open_case(survey, rows)
    for bulk in (True, False):
        from fieldpack.tables.raw import read_raw
        from fieldpack.tables.wide import build_columns

        columns = {c.name: c.data for c in build_columns(read_raw(export, bulk=bulk), TableOptions())}
        assert columns["Q"].to_pylist() == ["New words", "Bee", "c"]
        assert columns["W (unit)"].to_pylist() == ["Kilo", "Stone", "lb"]
    assert [f.message for f in export.verify().findings if "no option" in f.message] == [
        "responses.jsonl line 3: 'c' is no option of 'Q' (any more)."
    ]
    codebook = export.codebook()
    assert "Old words (until 2026-01-01T00:00:00.000000Z)" in codebook
    assert "Stone" in codebook


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (1, "1"),
        ("1", 1),
        (True, "true"),
        ("0.5", 0.5),
        (1, 2),
        (1, True),
        (True, False),
        ("kg", 7),
        (2, "lb"),
    ],
)
def test_options_that_are_gone_are_told_by_their_type(now: Any, before: Any) -> None:
    """`1`, `"1"` and `true` are three, whenever they were offered."""
    from fieldpack.tables.raw import read_raw
    from fieldpack.tables.wide import build_columns

    gone = [option(before, "Earlier")]
    survey = [
        ask("multiple_choice", "Q", id="q", options=[option(now, "Later")], retired_options=gone),
        ask("free_text_with_unit", "W", id="w", unit_options=[option(now, "Later")], retired_options=gone),
    ]
    rows = [
        {"answers": {"q": {"value": [value]}, "w": {"value": "1", "unit": value}}} for value in (now, before)
    ]
    export = open_case(survey, rows)
    for bulk in (True, False):
        columns = {c.name: c.data for c in build_columns(read_raw(export, bulk=bulk), TableOptions())}
        assert columns["Q"].to_pylist() == ["Later", "Earlier"]
        assert columns["W (unit)"].to_pylist() == ["Later", "Earlier"]


# Folders


def test_folders_have_names_that_windows_can_create(tmp_path: Path) -> None:
    texts = ["CON", "aux", "Com 1?", "nul", "Nul", "com1", "???", "x."]
    survey = [ask("file_upload", text, id=f"lpt{n}") for n, text in enumerate(texts)]
    rows = [
        {
            "submission_id": submission_id,
            "answers": {},
            "uploads": {item["id"]: [("a.jpg", "image/jpeg", b"x")] for item in survey},
        }
        for submission_id in ("con", "AUX.", "prn.txt", "ok ")
    ]
    export = open_case(survey, rows)
    by: Any
    for by in ("instruction", "submission"):
        done = export.extract(tmp_path / by, by=by)
        assert len(done.paths) == 32
        folders = {path.relative_to(tmp_path / by).parts[0] for path in done.paths}
        assert len({folder.casefold() for folder in folders}) == (8 if by == "instruction" else 4)
        for folder in folders:
            assert folder == safe_name(folder)


# Lines that are no submission


@pytest.mark.parametrize(
    "line",
    [b"null", b"[]", b"3", b'"text"', b"true", b"[{}]", b'{"submission_id": "x", "resp', b"{", b"}", b"nul"],
)
@pytest.mark.parametrize("place", ["first", "middle", "last", "only"])
def test_a_line_that_is_no_submission_is_named(tmp_path: Path, line: bytes, place: str) -> None:
    """In a process of its own: Arrow's reader was seen to end it."""
    import subprocess
    import sys

    good = make_members([ask("free_text", "Q", id="q")], [{"answers": {"q": {"value": "x"}}}] * 2)
    lines = good["responses.jsonl"].splitlines()
    lines = {
        "first": [line, *lines],
        "middle": [lines[0], line, lines[1]],
        "last": [*lines, line],
        "only": [line],
    }[place]
    good["responses.jsonl"] = b"\n".join(lines) + b"\n"
    (tmp_path / "a.zip").write_bytes(make_zip(good))
    number = lines.index(line) + 1
    program = (
        "import sys, fieldpack\n"
        "from fieldpack.errors import ArchiveError\n"
        "export = fieldpack.open_export(sys.argv[1])\n"
        "ways = [lambda: list(export), export.to_arrow, export.answers, export.files, export.summarize,\n"
        "        lambda: export.extract(sys.argv[2], by='flat')]\n"
        "for way in ways:\n"
        "    try:\n"
        "        way()\n"
        "    except ArchiveError as error:\n"
        "        print(error.line)\n"
        "print([f.line for f in export.verify(contents=False).findings if f.line])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.zip"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(number)] * 6 + [f"[{number}]"]


@given(answered())
@settings(deadline=None, max_examples=20)
def test_reading_in_bulk_is_still_what_is_read_line_by_line(case: Any) -> None:
    export = open_case(*case)
    assert build_table(export, TableOptions()).num_rows == len(case[1])
