"""The README.md inside: hostile texts stay texts, and its examples run as they stand."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fieldpack.archive.layout import STORED, Member
from fieldpack.archive.readme import render_readme
from fieldpack.archive.records import FileEntry, encode_responses
from tests.whole_archives import encode_record, write_archive

HOSTILE = "a|b`c`\n# no [link](javascript:x) <script>alert(1)</script> ![](http://e.vil/x) **b** www.e.vil \\"
MARKUP = "|\\`*_[]()!<>&~.-+=#:/1wa \n\t"
WHY = {"value": "a", "explanation": "so"}


def make_collection(**changes: Any) -> dict[str, Any]:
    instructions = [
        {"id": "11111111-q1", "type": "free_text", "description": "How was it?"},
        {"id": "22222222-q2", "type": "multiple_choice", "description": "Which?"},
        {"id": "33333333-q3", "type": "multiple_choice_with_free_text", "description": "Why?"},
        {"id": "44444444-q4", "type": "free_text_with_unit", "description": "Weight"},
        {"id": "55555555-q5", "type": "file_upload", "description": "Receipt"},
        {"id": "66666666-q6", "type": "free_text", "description": "How was it?", "retired": True},
        {"id": "77777777-q7", "type": "free_text", "description": "status"},
        {"id": "88888888-c1", "type": "rich_text", "content": "<p>Hello</p>"},
    ]
    collection = {
        "id": "0198c0de",
        "name": "Receipts",
        "description": "What people buy",
        "instructions": instructions,
        "export": {
            "id": "e1",
            "created_at": "2026-03-01T09:30:00.000000Z",
            "filter": None,
            "submission_count": 2,
            "file_count": 1,
        },
    }
    return {**collection, **changes}


def make_folder(path: Path, submissions: int) -> None:
    """An extracted archive, by way of a real one."""
    image = b"not really a jpeg"
    file: FileEntry = {
        "path": "files/s0_r.jpg",
        "file_name": "r.jpg",
        "content_type": "image/jpeg",
        "size_bytes": len(image),
        "sha256": "0" * 64,
    }
    lines = b""
    for number in range(submissions):
        answers: list[tuple[str, str, dict[str, Any]]] = [
            ("11111111-q1", "free_text", {"value": "fine\u2028 é"}),
            ("22222222-q2", "multiple_choice", {"value": ["a", 2, True]}),
            (
                "33333333-q3",
                "multiple_choice_with_free_text",
                {"value": [{"value": "a", "explanation": "so"}]},
            ),
            ("44444444-q4", "free_text_with_unit", {"value": "72.5", "unit": "kg"}),
            ("77777777-q7", "free_text", {"value": "mine"}),
        ]
        responses = encode_responses(answers[: 5 - number], {"55555555-q5": [file]} if number == 0 else None)
        lines += encode_record(
            submission_id=f"s{number}",
            participant_id=f"00{number}",
            study_id="t",
            status="APPROVED",
            started_at=datetime(2026, 3, 1, tzinfo=UTC),
            completed_at=datetime(2026, 3, 1, 1, number, tzinfo=UTC),
            responses=responses,
        )
    export = {
        **make_collection()["export"],
        "submission_count": submissions,
        "file_count": min(submissions, 1),
    }
    collection = make_collection(export=export)
    contents = {
        "responses.jsonl": lines,
        "collection.json": json.dumps(collection).encode(),
        "README.md": render_readme(collection).encode(),
    }
    if submissions:
        contents[file["path"]] = image
    blobs = {name.encode().ljust(16)[:16]: data for name, data in contents.items()}
    members = [
        Member(
            name, STORED, len(data), len(data), zlib.crc32(data), 1_772_366_400, name.encode().ljust(16)[:16]
        )
        for name, data in contents.items()
    ]
    out = io.BytesIO()
    write_archive(out, members, lambda piece: io.BytesIO(blobs[piece.blob]))
    zipfile.ZipFile(out).extractall(path)


def run(source: str, result: str, folder: Path) -> Any:
    """Run an example as it stands, and give back the table it calls `result`."""
    show = f"\nprint('---')\nprint({result}.to_json(orient='split', date_format='iso'))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source + show],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("---\n")[1])


@pytest.mark.parametrize("submissions", [0, 2])
def test_the_examples_run_in_the_extracted_folder(submissions: int, tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    make_folder(tmp_path, submissions)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert len(examples) == (2 if submissions else 1)
    table = run(examples[0], "table", tmp_path)
    assert table["columns"] == [
        "submission_id", "participant_id", "study_id", "status", "started_at", "completed_at", "How was it?",
        "Which?", "Why?", "Weight", "Receipt", "How was it? [66666666-q6]", "status [77777777-q7]",
    ]  # fmt: skip
    assert len(table["data"]) == submissions
    if not submissions:
        return
    first = dict(zip(table["columns"], table["data"][0], strict=True))
    assert first["participant_id"] == "000"
    assert first["status"] == "APPROVED"
    assert first["status [77777777-q7]"] == "mine"
    assert first["Which?"] == "a; 2; True"
    assert first["Why?"] == "a (so)"
    assert first["Weight"] == "72.5 kg"
    assert (tmp_path / first["Receipt"]).is_file()
    assert table["data"][1][table["columns"].index("Receipt")] is None
    assert first["completed_at"].startswith("2026-03-01T01:00:00")
    files = run(examples[1], "files", tmp_path)
    (row,) = (dict(zip(files["columns"], row, strict=True)) for row in files["data"])
    assert (row["submission_id"], row["instruction_id"]) == ("s0", "55555555-q5")
    assert (tmp_path / row["path"]).is_file()


def test_it_tells_this_export_s_own_figures() -> None:
    export = {
        **make_collection()["export"],
        "submission_count": 1,
        "file_count": 12345,
        "filter": {"study_id": "x"},
    }
    readme = render_readme(make_collection(export=export))
    assert readme == render_readme(make_collection(export=export))
    assert "1 submission and 12,345 uploaded files" in readme
    assert "7 questions" in readme
    assert "narrowed to study\\_id = x" in readme
    assert "| `55555555-q5` | Receipt | file\\_upload | a list of files |" in readme
    assert "*(no longer asked)*" in readme
    assert "Hello" not in readme


def test_no_files_no_files_section() -> None:
    export = {**make_collection()["export"], "file_count": 0}
    readme = render_readme(make_collection(export=export))
    assert "`files/`" not in readme
    assert "No files were uploaded." in readme


def test_no_questions() -> None:
    assert "asks no questions" in render_readme(make_collection(instructions=[]))


@given(st.one_of(st.text(alphabet=st.characters(codec=None), max_size=40), st.text(MARKUP)))
@example(HOSTILE)
def test_hostile_texts_add_no_markup(text: str) -> None:
    def kinds(collection: dict[str, Any]) -> list[str]:
        parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
        return [
            token.type
            for block in parser.parse(render_readme(collection))
            for token in [block, *(block.children or [])]
            if token.type not in ("text", "text_special")
        ]

    instruction = {"id": "q", "type": "free_text", "description": text}
    harmless = make_collection(name="x", description="x", instructions=[{**instruction, "description": "x"}])
    hostile = make_collection(name=text or "x", description=f"x{text}", instructions=[instruction])
    assert kinds(hostile) == kinds(harmless)
    render_readme(hostile).encode()


@given(st.text("|\\`*_[]()!<>&~.-+=#:/1a "))
def test_a_hostile_text_is_shown_as_it_is(text: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    collection = make_collection(description=f"x{text}", instructions=[])
    blocks = parser.parse(render_readme(collection))
    shown = "".join(token.content for token in blocks[4].children or [])
    assert shown == " ".join(f"x{text}".split())


def test_long_questions_are_cut_in_the_table() -> None:
    instruction = {"id": "q", "type": "free_text", "description": "x" * 5000}
    assert len(render_readme(make_collection(instructions=[instruction]))) < 5000
