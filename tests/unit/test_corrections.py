"""Corrections without a server: a line with another answer in it, what differs, and what a reader checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fieldpack
from fieldpack.archive.members import HEADS, HISTORY, LEADING, explain_outsider, is_member
from fieldpack.archive.naming import MemberNames
from fieldpack.archive.records import dump_json
from fieldpack.server.submissions.corrections.lines import read_line
from fieldpack.server.web.workbench.correcting.views import find_stretches
from tests.unit.archives import make_members, make_zip

TIMES = '"started_at":"2026-03-01T09:30:00.000000Z","completed_at":"2026-03-01T09:41:12.348201Z",'


def line_of(responses: dict[str, object], **rest: object) -> str:
    more = "," + dump_json(rest).decode()[1:-1] if rest else ""
    return f'{TIMES}"responses":{dump_json(responses).decode()}{more}}}\n'


def text(value: str) -> dict[str, object]:
    return {"type": "free_text", "value": value}


def test_a_line_with_another_answer() -> None:
    line = read_line(line_of({"b": text("two"), "c": text("three")}, batch="x\u2028y", edited_at="earlier"))
    assert line.rest_json == ',"batch":"x\\u2028y"'
    order = ["a", "b", "c"]
    assert list(line.replace("b", text("other"), order).responses) == ["b", "c"]
    added = line.replace("a", text("one"), order)
    assert list(added.responses) == ["a", "b", "c"]
    assert json.loads(added.responses_json)["a"]["value"] == "one"
    assert list(line.replace("b", None, order).responses) == ["c"]
    assert list(line.replace("z", text("unknown"), order).responses) == ["b", "c", "z"]
    assert line.file_count == 0
    files = {"type": "file_upload", "value": [{"path": "files/x"}, {"path": "files/y"}]}
    assert line.replace("a", files, order).file_count == 2


@given(st.text("ab \n\u3000c", max_size=30), st.text("ab \n\u3000c", max_size=30))
def test_what_differs_makes_up_both(before: str, after: str) -> None:
    stretches = list(find_stretches(before, after))
    assert "".join(each.text for each in stretches if each.kind != "new") == before
    assert "".join(each.text for each in stretches if each.kind != "gone") == after


def test_long_texts_are_not_compared_word_by_word() -> None:
    assert [each.kind for each in find_stretches("a " * 100_000, "b " * 100_000)] == ["gone", "new"]


def test_a_path_that_a_file_has_is_given_to_no_other() -> None:
    names = MemberNames("s")
    names.reserve("files/s_Photo.JPG")
    assert names.add("photo.jpg") == "files/s_photo-2.jpg"
    assert names.add("other.jpg") == "files/s_other.jpg"


def test_history_is_a_member_that_not_every_archive_has() -> None:
    assert (*HEADS, HISTORY) == LEADING
    assert is_member(HISTORY)
    assert explain_outsider(HISTORY) is None
    assert explain_outsider("files/../history.jsonl") is not None


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (b"", []),
        (b'{"submission_id": "one"}\n', []),
        (b'{"submission_id": "two"}\n', ["history.jsonl line 1 is of no submission in responses.jsonl."]),
        (b'{"submission_id": "one"}\n[]\n', ["history.jsonl line 2 is of no submission in responses.jsonl."]),
        (b"{\n", ["history.jsonl line 1 is not JSON"]),
    ],
)
def test_verify_reads_history(tmp_path: Path, history: bytes, said: list[str]) -> None:
    question = {"id": "q", "type": "free_text", "description": "Q", "page": 0, "order": 0, "retired": False}
    submission = {"submission_id": "one", "answers": {"q": {"value": "x"}}}
    members = make_members([question], [submission])
    path = tmp_path / "archive.zip"
    path.write_bytes(make_zip({**members, HISTORY: history}))
    with fieldpack.open_export(path) as export:
        found = [finding.message for finding in export.verify().findings]
    assert len(found) == len(said)
    for message, beginning in zip(found, said, strict=True):
        assert message.startswith(beginning)
