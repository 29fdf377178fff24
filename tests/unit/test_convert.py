"""Each format, read back by a reader that is not ours."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import sys
import tempfile
import wave
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pyreadstat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.convert import csv as csv_module
from fieldpack.convert import spss
from fieldpack.convert import xlsx as xlsx_module
from fieldpack.convert.output import Converted
from fieldpack.convert.variables import DataSet
from fieldpack.errors import FieldpackError, UsageError
from fieldpack.export import Export, open_export
from fieldpack.reading.model import scalar_text
from tests.unit.archives import LABELS, answered, ask, make_members, make_zip, option

Case = tuple[list[dict[str, Any]], list[dict[str, Any]]]

SURVEY = [
    ask("free_text", "=SUM(A1)", id="t"),
    ask("free_text", "Age", id="n", validation={"type": "number"}),
    ask("multiple_choice", "Größe?", id="one", options=[option("s", "klein"), option("l", "groß – 日本")]),
    ask("multiple_choice", "Rate", id="rate", options=[option(10, "Ten"), option(-2, "Minus two")]),
    ask("multiple_choice", "Some", id="some", answer_limit=-1, options=[option("a", "A"), option("b", "B")]),
    ask("multiple_choice_with_free_text", "Why", id="why", options=[option("x", "X", heading="Because")]),
    ask("free_text_with_unit", "Weight", id="w", unit_options=[option("kg", "Kilo"), option("lb", "Pound")]),
    ask("file_upload", "Photo", id="photo"),
]
ROWS: list[dict[str, Any]] = [
    {
        "answers": {
            "t": {"value": '=HYPERLINK("http://x")'},
            "n": {"value": "41.5"},
            "one": {"value": ["l"]},
            "rate": {"value": [-2]},
            "some": {"value": ["b"]},
            "why": {"value": [{"value": "x", "explanation": "weil – ünïcode"}]},
            "w": {"value": "72.5", "unit": "lb"},
        },
        "uploads": {"photo": [("cat.jpg", "image/jpeg", b"cat")]},
    },
    {"answers": {"t": {"value": "007"}, "one": {"value": ["s"]}}},
    {"answers": {"t": {"value": ""}}},
    {"answers": {"t": {"value": "-5"}}},
]


def open_case(instructions: list[dict[str, Any]], submissions: list[dict[str, Any]]) -> Export:
    return open_export(io.BytesIO(make_zip(make_members(instructions, submissions, name="Prüfung"))))


@pytest.fixture
def export() -> Export:
    return open_case(SURVEY, ROWS)


def as_texts(column: Any) -> list[str | None]:
    """What a cell of a CSV holds for a value."""
    found: list[str | None] = []
    for value in column.to_pylist():
        if value is None or isinstance(value, str):
            found.append(value)
        elif isinstance(value, bool):
            found.append(str(int(value)))
        else:
            found.append(str(value))
    return found


@pytest.mark.parametrize("at", [1, 2, 3])
def test_xlsx_that_fails_in_any_sheet_leaves_nothing(
    at: int, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sheet complains when it is collected, and no temporary file stays."""

    class Broken(Exception):
        pass

    real, sheets = xlsx_module._Writer.write, iter(range(1, 9))
    said: list[object] = []

    def write(self: Any, sheet: Any, heads: Any, rows: Any) -> int:
        def broken() -> Iterator[Any]:
            yield from rows
            raise Broken

        return real(self, sheet, heads, broken() if next(sheets) == at else rows)

    monkeypatch.setattr(xlsx_module._Writer, "write", write)
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with contextlib.suppress(Broken):
        export.convert("xlsx", tmp_path / "a.xlsx")
        pytest.fail("it was written")
    gc.collect()
    assert said == []
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


@given(answered(), st.sampled_from(["onehot", "joined"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_csv_round_trip(
    tmp_path_factory: pytest.TempPathFactory, case: Case, several: Any, labels: bool
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    export = open_case(*case)
    export.to_csv(path, several=several, labels=labels)
    source = export.to_arrow(several=several, labels=labels)
    with path.open(encoding="utf-8", newline="") as file:
        heads = next(csv.reader(file))
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(heads, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    back = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )
    assert csv_module.restore(pa.array(back.column_names)).to_pylist() == source.column_names
    assert back.num_rows == source.num_rows
    for name, column in zip(source.column_names, back.columns, strict=True):
        wanted = source[name]
        got = csv_module.restore(column.combine_chunks()).to_pylist()
        if pa.types.is_timestamp(wanted.type):
            assert [pd.Timestamp(text) for text in got] == wanted.to_pylist()
        elif pa.types.is_floating(wanted.type):
            assert [None if text is None else float(text) for text in got] == wanted.to_pylist()
        elif pa.types.is_boolean(wanted.type):
            assert [None if text is None else int(text) for text in got] == wanted.to_pylist()
        else:
            assert got == as_texts(wanted)
        for text in column.to_pylist():
            assert not (text or "").startswith(("=", "@", "\t", "\r", "+", "-")) or float(text) is not None


def test_csv_runs_nothing_and_marks_utf8_on_request(export: Export, tmp_path: Path) -> None:
    export.to_csv(tmp_path / "a.csv", bom=True)
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"submission_id"')
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    assert rows[0]["'=SUM(A1)"] == '\'=HYPERLINK("http://x")'
    assert rows[1]["'=SUM(A1)"] == "007"
    assert rows[3]["'=SUM(A1)"] == "-5"
    assert [rows[0]["Some: A"], rows[0]["Some: B"], rows[1]["Some: A"]] == ["0", "1", ""]
    frame = pd.read_csv(tmp_path / "a.csv", parse_dates=["completed_at"])
    assert frame["Age"].iloc[0] == 41.5
    assert frame["Größe?"].tolist()[:2] == ["groß – 日本", "klein"]
    assert str(frame["completed_at"].dtype).endswith("UTC]")


@given(answered())
@settings(max_examples=40, deadline=None)
def test_parquet_round_trip(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    export = open_case(*case)
    export.convert("parquet", path)
    back = pyarrow.parquet.read_table(path)
    source = export.to_arrow()
    assert back.to_pylist() == source.to_pylist()
    questions = {item["id"] for item in case[0]}
    for field in back.schema:
        if field.metadata and b"instruction_id" in field.metadata:
            assert field.metadata[b"instruction_id"].decode() in questions


@given(answered())
@settings(max_examples=40, deadline=None)
def test_xlsx_round_trip(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    path = tmp_path_factory.mktemp("xlsx") / "a.xlsx"
    export = open_case(*case)
    export.convert("xlsx", path)
    book = openpyxl.load_workbook(path)
    rows = list(book["Responses"].iter_rows(values_only=True))
    source = export.to_arrow(several="onehot")
    assert [unescape(text) for text in rows[0]] == source.column_names
    assert len(rows) - 1 == source.num_rows
    for got, wanted in zip(rows[1:], source.to_pylist(), strict=True):
        for cell, value in zip(got, wanted.values(), strict=True):
            if hasattr(value, "tzinfo"):
                value = value.replace(tzinfo=None)
                assert abs((cell - value).total_seconds()) < 0.002
            elif isinstance(value, str):
                assert unescape(cell or "") == value
            else:
                assert cell == value
    heads = {row[0] for row in book["Codebook"].iter_rows(min_row=2, values_only=True)}
    assert {unescape(text) for text in heads} == set(source.column_names)
    book.close()


def unescape(text: Any) -> str:
    """Undo what XML needs, as Excel does; openpyxl leaves it to the caller."""
    from openpyxl.utils.escape import unescape as undo

    return str(undo(text))


def test_xlsx_sheets(export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export.convert("xlsx", tmp_path / "a.xlsx")
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["Responses", "Codebook", "Files"]
    head, first, *_ = book["Responses"].iter_rows()
    cell = first[[c.value for c in head].index("=SUM(A1)")]
    assert cell.data_type == "s"
    assert cell.value == '=HYPERLINK("http://x")'
    codes = [row[4:] for row in book["Codebook"].iter_rows(values_only=True) if row[0] == "Größe?"]
    assert codes == [(None, None), ("s", "klein"), ("l", "groß – 日本")]
    assert book["Files"]["G2"].value == "cat.jpg"
    book.close()
    with monkeypatch.context() as patch:
        patch.setattr(xlsx_module, "_MOST_ROWS", 3)
        with pytest.raises(FieldpackError, match="holds 2 rows"):
            export.convert("xlsx", tmp_path / "b.xlsx")
    assert not (tmp_path / "b.xlsx").exists()
    long = open_case([SURVEY[0]], [{"answers": {"t": {"value": "x" * 40_000}}}])
    done = long.convert("xlsx", tmp_path / "c.xlsx")
    assert done.warnings == [
        "1 text is longer than the 32,767 characters of a cell and cut; csv and parquet hold them whole."
    ]


@pytest.mark.parametrize("kind", ["sav", "dta"])
def test_statistics_labels_dates_and_missing(export: Export, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    assert export.convert(kind, path).warnings == []  # type: ignore[arg-type]
    read = pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta
    frame, meta = read(str(path))
    assert meta.file_label == "Prüfung"
    assert meta.column_names_to_labels["gro_e" if "gro_e" in frame else "groe"] == "Größe?"
    assert meta.column_names_to_labels["sum_a1"] == "=SUM(A1)"
    one = "gro_e" if "gro_e" in frame else "groe"
    assert meta.variable_value_labels[one] == {1.0: "klein", 2.0: "groß – 日本"}
    assert meta.variable_value_labels["rate"] == {10.0: "Ten", -2.0: "Minus two"}
    assert frame[one].tolist()[:2] == [2.0, 1.0]
    assert pd.isna(frame[one].iloc[2])
    assert frame["rate"].iloc[0] == -2.0
    assert frame["some_b"].iloc[0] == 1.0
    assert pd.isna(frame["some_b"].iloc[1])
    assert meta.variable_value_labels["some_b"] == {0.0: "No", 1.0: "Yes"}
    assert meta.column_names_to_labels["some_b"] == "Some: B"
    assert frame["why_explanation"].iloc[0] == "weil – ünïcode"
    assert frame["age"].iloc[0] == 41.5
    assert meta.variable_value_labels["weight_unit"] == {1.0: "Kilo", 2.0: "Pound"}
    assert frame["weight_unit"].iloc[0] == 2.0
    assert frame["sum_a1"].tolist() == ['=HYPERLINK("http://x")', "007", "", "-5"]
    source = export.to_pandas()
    for name in ("started_at", "completed_at"):
        wanted = source[name].dt.tz_localize(None)
        assert (pd.to_datetime(frame[name]) - wanted).abs().max() < pd.Timedelta(milliseconds=2)


@given(answered(), st.sampled_from(["sav", "dta"]))
@settings(max_examples=60, deadline=None)
def test_statistics_round_trip(tmp_path_factory: pytest.TempPathFactory, case: Case, kind: Any) -> None:
    path = tmp_path_factory.mktemp("stat") / f"a.{kind}"
    export = open_case(*case)
    export.convert(kind, path)
    frame, meta = (pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta)(str(path))
    source = export.to_arrow(columns="slug", several="onehot")
    assert frame.shape == source.shape or source.num_rows == 0
    for name, wanted in zip(frame.columns, source.columns, strict=True):
        labels = meta.variable_value_labels.get(name)
        for got, value in zip(frame[name].tolist(), wanted.to_pylist(), strict=False):
            if isinstance(value, bool):
                assert got == float(value)
            elif isinstance(value, str):
                # Trailing blanks and NULs are padding in both formats.
                text = labels[got] if labels else got
                assert text.rstrip(" ") == value.replace("\x00", "").rstrip(" ")
            elif isinstance(value, float):
                assert got == value
            elif value is None:
                assert got == "" or pd.isna(got)


@pytest.mark.parametrize("kind", ["sav", "dta"])
def test_long_questions_keep_their_columns_apart(tmp_path: Path, kind: Any) -> None:
    long = "What happened to the packaging of everything that you bought?"
    options = [option("r", "Recycled"), option("k", "Kept for later use")]
    survey = [
        ask("multiple_choice", long, id="1", options=options),
        ask("multiple_choice", long + " All of it", id="2", options=options, answer_limit=-1),
        ask("multiple_choice_with_free_text", long + " Why", id="3", options=options, answer_limit=-1),
    ]
    open_case(survey, [{"answers": {"1": {"value": ["r"]}}}]).convert(kind, tmp_path / f"a.{kind}")
    frame, meta = (pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta)(str(tmp_path / f"a.{kind}"))
    assert list(frame.columns)[6:9] == [
        "what_happened_to_the_packag",
        "what_happened_to_t_recycled",
        "what_happene_kept_for_later",
    ]
    assert len(set(frame.columns)) == 13
    label = str(meta.column_names_to_labels["what_happene_kept_for_later"])
    assert label.startswith("What happened to the pack")
    assert label.endswith(": Kept for later use")


@pytest.mark.parametrize("kind", ["sav", "dta"])
def test_many_labelled_variables_with_long_names(tmp_path: Path, kind: Any) -> None:
    """Value labels are named after variables and numbered: the longer the number, the less room."""
    options = [option(f"v{n}", f"A label that is long enough {n}") for n in range(120)]
    survey = [ask("multiple_choice", "A question as long as most are", answer_limit=-1, options=options)]
    export = open_case(survey, [{"answers": {survey[0]["id"]: {"value": ["v0", "v119"]}}}])
    export.convert(kind, tmp_path / f"a.{kind}")
    read = pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta
    frame, meta = read(str(tmp_path / f"a.{kind}"))
    assert frame.iloc[0, 6:].sum() == 2
    assert len(meta.variable_value_labels) == 120


def test_texts_beyond_spss_are_cut_with_a_warning(tmp_path: Path) -> None:
    export = open_case([SURVEY[0]], [{"answers": {"t": {"value": "ä" * 20_000}}}])
    done = export.convert("sav", tmp_path / "a.sav")
    assert len(done.warnings) == 1
    assert "1 text is longer than the 32,767 bytes" in done.warnings[0]
    text = pyreadstat.read_sav(str(tmp_path / "a.sav"))[0]["sum_a1"].iloc[0]
    assert set(text) == {"ä"}
    assert len(text.encode()) == 32_766


@given(st.lists(LABELS, max_size=12))
@settings(deadline=None, max_examples=50)
def test_variable_names_are_legal_and_unique(wanted: list[str]) -> None:
    from fieldpack.convert.variables import _Names

    names = _Names()
    made = [names.add(name) for name in [*wanted, "by", "str5", "1st", "x" * 40, "x" * 40]]
    assert len({name.lower() for name in made}) == len(made)
    for name in made:
        assert name.isascii()
        assert name[0].isalpha()
        assert len(name) <= 27
        assert name not in ("by", "str5")


@given(
    st.lists(st.sampled_from(["a", "b", "_2", "_3", "_10", "A"]).map(lambda end: "x" * 24 + end), max_size=60)
)
@settings(deadline=None)
def test_a_variable_gets_the_first_number_that_is_free(wanted: list[str]) -> None:
    from fieldpack.convert.variables import _Names

    names = _Names()
    taken: set[str] = set()
    for name in [*wanted, "y", "Y", "y_2", "y"]:
        variants = (f"{name[: 26 - len(str(number))]}_{number}" for number in range(2, 100))
        [expected, *_] = (one for one in (name, *variants) if one.lower() not in taken)
        assert names.add(name) == expected
        taken.add(expected.lower())


def make_image(colour: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def make_sound() -> bytes:
    import wave

    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x10" * 800)
    return out.getvalue()


MEDIA: list[dict[str, Any]] = [
    {
        "answers": {"t": {"value": "first"}, "one": {"value": ["s"]}},
        "uploads": {
            "photo": [("a.png", "image/png", make_image("red")), ("s.wav", "audio/wav", make_sound())]
        },
    },
    {
        "answers": {"t": {"value": "second"}},
        "uploads": {"photo": [("a.png", "image/png", make_image("blue"))]},
    },
    {"answers": {}, "uploads": {"photo": [("notes.txt", "text/plain", b"x")]}},
]


def test_media_folder(tmp_path: Path) -> None:
    export = open_case(SURVEY, MEDIA)
    done = export.convert("media", tmp_path / "out")
    assert done.rows == 3
    lines = [orjson.loads(line) for line in (tmp_path / "out/image/metadata.jsonl").read_bytes().splitlines()]
    assert [line["original_name"] for line in lines] == ["a.png", "a.png"]
    assert all((tmp_path / "out/image" / line["file_name"]).is_file() for line in lines)
    assert [line["sum_a1"] for line in lines] == ["first", "second"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audio", "image"]
    with pytest.raises(FieldpackError, match="use --force"):
        export.convert("media", tmp_path / "out")
    export.convert("media", tmp_path / "out", force=True)
    with pytest.raises(FieldpackError, match="no image, audio or video") as refusal:
        open_case(SURVEY, [MEDIA[2]]).convert("media", tmp_path / "none")
    assert not isinstance(
        refusal.value, UsageError
    )  # which the command line says with exit 2: nothing is wrong with it


def test_datasets_reads_the_media_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    names = ["train.png", "test_1.png", "my val.png", "testimony.png"]
    uploads = [{"photo": [(name, "image/png", make_image("red"))]} for name in names]
    more = [
        {"answers": {"t": {"value": name}}, "uploads": one} for name, one in zip(names, uploads, strict=True)
    ]
    open_case(SURVEY, [*MEDIA, *more]).convert("media", tmp_path / "out")
    datasets.disable_progress_bars()
    cache = str(tmp_path / "cache")
    images = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out/image"), cache_dir=cache, split="train"
    )
    assert images["sum_a1"][:] == ["first", "second", *names]
    assert images["original_name"][2:] == names  # names that would pass for splits of their own
    assert [image.getpixel((0, 0)) for image in images["image"]][:2] == [(255, 0, 0), (0, 0, 255)]


def test_datasets_reads_sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    open_case(SURVEY, MEDIA).convert("media", tmp_path / "out")
    folder, cache = str(tmp_path / "out/audio"), str(tmp_path / "cache")
    # what makes samples of sounds needs torch; what finds the files and reads the metadata does not
    builder = datasets.load_dataset_builder("audiofolder", data_dir=folder, cache_dir=cache)
    found = {Path(path).name for path in builder.config.data_files["train"]}
    metadata = str(tmp_path / "out/audio/metadata.jsonl")
    rows = datasets.load_dataset("json", data_files=metadata, cache_dir=cache, split="train")
    assert rows[0]["original_name"] == "s.wav"
    assert found == {"metadata.jsonl", rows[0]["file_name"]}
    with wave.open(str(tmp_path / "out/audio" / rows[0]["file_name"])) as sound:
        assert sound.getframerate() == 8000


def test_codebook_holds_every_question_and_no_markup_of_theirs() -> None:
    nasty = ask(
        "multiple_choice", "<script>alert(1)</script> | *x*", id="bad", options=[option("<b>", "<i>|")]
    )
    export = open_case([*SURVEY, nasty], [])
    for style in ("md", "html"):
        text = export.codebook(style)
        assert "<script" not in text
        assert "<i>" not in text
        assert "Größe?" in text
        assert "groß – 日本" in text
        assert "Kilo" in text
    with pytest.raises(UsageError, match=r"written as \.md or \.html"):
        export.codebook("pdf")  # type: ignore[arg-type]


def test_what_is_there_is_kept(export: Export, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(FieldpackError, match="is there already; use --force"):
        export.to_csv(path)
    assert path.read_text() == "mine"
    export.to_csv(path, force=True)
    assert path.read_text().startswith('"submission_id"')
    with pytest.raises(FieldpackError, match="can't be written"):
        export.to_csv(path / "below.csv")
    with pytest.raises(UsageError, match="The format is one of"):
        export.convert("doc", tmp_path / "a.doc")  # type: ignore[arg-type]
    assert scalar_text(True) == "true"
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]


def test_times_that_excel_does_not_have_are_texts(tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1900, 2, 28, 12, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1900, 3, 1, tzinfo=UTC),
    ]
    xlsx_module._Writer(openpyxl, Converted(tmp_path, 0, 0, [])).write(sheet, ["at"], [[at] for at in times])
    book.save(tmp_path / "a.xlsx")
    rows = openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(min_row=2, values_only=True)
    assert [row[0] for row in rows] == [
        "0001-01-01T00:00:00Z", "1900-02-28T12:00:00Z", "9999-12-31T23:59:59.999999Z", datetime(1900, 3, 1)
    ]  # fmt: skip


def test_the_last_time_there_is_leaves_an_spss_file_readable(tmp_path: Path) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999)
    frame = pd.DataFrame({"at": pd.Series([last, datetime(2026, 1, 1)], dtype="datetime64[us]")})
    spss._cut_times(DataSet(frame, {}, {}, {}, []))
    pyreadstat.write_sav(frame, str(tmp_path / "a.sav"))
    assert pyreadstat.read_sav(str(tmp_path / "a.sav"))[0]["at"][0].year == 9999
