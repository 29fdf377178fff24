"""Archives by strangers cost time in proportion to their size, whatever is in them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fieldpack
from fieldpack import ArchiveError
from fieldpack.archive.naming import safe_name
from fieldpack.archive.readme import render_readme
from fieldpack.archive.slugs import make_slug
from fieldpack.convert.labels import LabelLimit, shorten_labels
from fieldpack.convert.variables import _Names
from fieldpack.reading.model import Instruction, Option
from fieldpack.reading.source import Limits
from fieldpack.reading.verify import Report
from fieldpack.tables.column_names import Names
from fieldpack.tables.option_codes import OptionCodes
from tests.proportion import require_proportional

MARKS = "\u0345\u0334"  # each pair changes places with all before it


def write(path: Path, instructions: list[dict[str, Any]], answered: list[list[str]]) -> Path:
    """An archive whose lines answer these instructions with a text each."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        lines = [
            json.dumps(
                {
                    "submission_id": f"s{n}",
                    "responses": {key: {"type": "free_text", "value": "x"} for key in keys},
                }
            )
            for n, keys in enumerate(answered)
        ]
        archive.writestr("responses.jsonl", "\n".join(lines) + "\n")
        archive.writestr(
            "collection.json", json.dumps({"id": "c", "name": "C", "instructions": instructions})
        )
    return path


def ask(number: int) -> dict[str, Any]:
    return {"id": f"i{number}", "type": "free_text", "description": "The same"}


def same_named(folder: Path, size: int) -> Path:
    path = folder / f"same-{size}.zip"
    if not path.exists():
        write(path, [ask(n) for n in range(size)], [[f"i{n}" for n in range(size)], []])
    return path


def unlisted(folder: Path, size: int) -> Path:
    path = folder / f"unlisted-{size}.zip"
    return path if path.exists() else write(path, [ask(0)], [[f"u{n}" for n in range(size)]])


def of_their_own(folder: Path, size: int) -> Path:
    """Every line answers a question that no other does."""
    path = folder / f"own-{size}.zip"
    return path if path.exists() else write(path, [ask(0)], [[f"u{n}"] for n in range(size)])


def reading(
    make: Callable[[Path, int], Path], folder: Path, read: Callable[[fieldpack.Export], object]
) -> Callable[[int], object]:
    def work(size: int) -> None:
        with fieldpack.open_export(make(folder, size)) as export:
            read(export)

    return work


def with_marks(folder: Path, size: int) -> Path:
    """A file's path that no member has, and a member's name, of marks that follow one another."""
    path = folder / f"marks-{size}.zip"
    if not path.exists():
        value = [{"path": "files/a" + MARKS * size, "file_name": "a"}]
        line = {"submission_id": "s", "responses": {"i0": {"type": "file_upload", "value": value}}}
        collection = {"id": "c", "name": "C", "instructions": [{**ask(0), "type": "file_upload"}]}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("responses.jsonl", json.dumps(line) + "\n")
            archive.writestr("collection.json", json.dumps(collection))
            archive.writestr("files/b" + MARKS * min(size, 16_000), "b")
    return path


READS: dict[str, Callable[[fieldpack.Export], object]] = {
    "summarize": lambda export: export.summarize().as_dict(),
    "codebook": lambda export: (export.codebook("md"), export.codebook("html")),
    "verify": lambda export: export.verify(),
    "arrow": lambda export: export.to_arrow(),
    "slug": lambda export: export.to_arrow(columns="slug", several="onehot"),
    "answers": lambda export: export.answers("arrow"),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("make", [same_named, unlisted])
def test_many_questions(tmp_path: Path, make: Callable[[Path, int], Path], read: str) -> None:
    require_proportional(reading(make, tmp_path, READS[read]), 600)


@pytest.mark.parametrize("read", ["summarize", "verify"])
def test_a_question_for_each_line(tmp_path: Path, read: str) -> None:
    require_proportional(reading(of_their_own, tmp_path, READS[read]), 600)


def with_units(folder: Path, size: int) -> Path:
    """As many units as lines, each line with one of its own."""
    path = folder / f"units-{size}.zip"
    if not path.exists():
        units = [{"label": f"L{n}", "value": f"v{n}"} for n in range(size)]
        collection = {
            "id": "c",
            "name": "C",
            "instructions": [{**ask(0), "type": "free_text_with_unit", "unit_options": units}],
        }
        lines = [
            json.dumps(
                {
                    "submission_id": f"s{n}",
                    "responses": {"i0": {"type": "free_text_with_unit", "value": "1", "unit": f"v{n}"}},
                }
            )
            for n in range(size)
        ]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("responses.jsonl", "\n".join(lines) + "\n")
            archive.writestr("collection.json", json.dumps(collection))
    return path


@pytest.mark.parametrize("read", ["summarize", "verify", "arrow", "answers"])
def test_many_units(tmp_path: Path, read: str) -> None:
    require_proportional(reading(with_units, tmp_path, READS[read]), 600)


@pytest.mark.parametrize("read", ["summarize", "verify", "extract"])
def test_names_of_marks(tmp_path: Path, read: str) -> None:
    def extract(export: fieldpack.Export) -> None:
        export.extract(tmp_path / "out", by="flat", force=True)

    require_proportional(reading(with_marks, tmp_path, READS.get(read, extract)), 2000)


@pytest.mark.parametrize("read", ["arrow", "answers"])
def test_a_table_of_fields_that_only_one_line_has_is_refused(tmp_path: Path, read: str) -> None:
    limits = Limits(table_cells=10_000, table_ratio=3)
    for size, refused in ((90, False), (400, True)):
        path = tmp_path / f"fields-{size}.zip"
        lines = [json.dumps({"submission_id": f"s{n}", f"x{n}": n, "responses": {}}) for n in range(size)]
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("responses.jsonl", "\n".join(lines) + "\n")
            archive.writestr(
                "collection.json", json.dumps({"id": "c", "name": "C", "instructions": [ask(0)]})
            )
        with fieldpack.open_export(path, limits=limits) as export:
            if refused:
                with pytest.raises(ArchiveError, match="would be almost empty"):
                    READS[read](export)
            else:
                READS[read](export)


@pytest.mark.parametrize("read", ["arrow", "answers"])
def test_a_table_of_next_to_nothing_is_refused(tmp_path: Path, read: str) -> None:
    limits = Limits(table_cells=10_000, table_ratio=3)
    with fieldpack.open_export(of_their_own(tmp_path, 99), limits=limits) as export:
        READS[read](export)
    with fieldpack.open_export(of_their_own(tmp_path, 400), limits=limits) as export:
        with pytest.raises(
            ArchiveError, match=r"A table of 401 questions and 400 submissions would be almost empty"
        ):
            READS[read](export)
        assert len(export.summarize().questions) == 401


def names(count: int) -> None:
    for style in ("question", "slug"):
        given = Names(style, ["status"])
        assert len({given.add("Status").casefold() for _ in range(count)}) == count


def short_names(count: int) -> None:
    given = _Names()
    assert len({given.add("a name that is much too long for SPSS").casefold() for _ in range(count)}) == count


def long_names(count: int) -> None:
    """Each twice; they differ only in what is cut to make room for a number."""
    given = _Names()
    wanted = [f"{'a' * 23}{number:04x}" for number in range(count // 2)] * 2
    assert len({given.add(name).casefold() for name in wanted}) == len(wanted)


def long_names_behind_each_other(count: int) -> None:
    given = _Names()
    wanted = [f"{'a' * 23}{number:04x}" for number in range(count // 2) for _ in range(2)]
    assert len({given.add(name).casefold() for name in wanted}) == len(wanted)


def long_labels(count: int) -> None:
    """One group that is alike as far as it fits, and differs behind."""
    texts = [f"{'a' * 200}{number:06d}{'b' * 100}" for number in range(count)]
    assert len(set(shorten_labels(texts, LabelLimit(80))[0])) == count


def pairs_of_long_labels(count: int) -> None:
    """Many groups with the same beginning; what differs within each is cut whatever is left out."""
    texts = [
        f"{'a' * 76}{number:06d}{'c' * 200}{end}{'d' * 200}" for number in range(count // 2) for end in "xy"
    ]
    assert len(set(shorten_labels(texts, LabelLimit(80))[0])) == len(texts)


def labels(count: int) -> None:
    options = tuple(Option(number, "same") for number in range(count))
    codes = OptionCodes(Instruction("i", "multiple_choice", "", options=options))
    for code in range(count):
        assert codes.get_labels()[code] == f"same [{code}]"
        assert codes.get_texts()[code] == str(code)


def cut_labels(count: int) -> None:
    """Alike at the beginning, at the end or in both, so that they must be cut within."""
    for before, after in (("x" * 200, ""), ("x " * 100, "y" * 200), ("", "y" * 200), ("x" * 200, "y" * 200)):
        whole = [f"{before} {number} {after}" for number in range(count)]
        made, _ = shorten_labels(whole, LabelLimit(120))
        assert len(set(made)) == count


def findings(count: int) -> None:
    report = Report("a")
    for _ in range(count):
        report.add("error", "x")
        report.add("warning", "x")
    assert (len(report.findings), report.left_out + report.warnings_left_out) == (2000, 2 * count - 2000)


def readme(count: int) -> None:
    export = {"id": "e", "submission_count": 1, "file_count": 0}
    render_readme({"id": "c", "export": export, "instructions": [ask(number) for number in range(count)]})


def name_of_marks(count: int) -> None:
    safe_name("files/a" + MARKS * count)


def slug_of_marks(count: int) -> None:
    make_slug("a" + MARKS * count)


def slug_of_marks_in_one(count: int) -> None:
    make_slug("a" + "\u0f73" * 2 * count)


@pytest.mark.parametrize(
    "work",
    [
        *(names, short_names, long_names, long_names_behind_each_other, long_labels, pairs_of_long_labels),
        *(labels, cut_labels, findings, readme, name_of_marks, slug_of_marks, slug_of_marks_in_one),
    ],
)
def test_steps(work: Callable[[int], None]) -> None:
    require_proportional(work, 4000)


def test_numbers_of_names_go_on_where_they_were() -> None:
    names = Names("question")
    given = [names.add(name) for name in ("a", "A", "a (2)", "a", "a (4)", "a", "b")]
    assert given == ["a", "A (2)", "a (2) (2)", "a (3)", "a (4)", "a (5)", "b"]


def test_names_whose_letters_are_put_together_in_another_way_are_alike() -> None:
    names = Names("question")
    assert [
        names.add(name) for name in ("\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}")
    ] == [
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
        "e\N{COMBINING ACUTE ACCENT} (2)",
    ]
