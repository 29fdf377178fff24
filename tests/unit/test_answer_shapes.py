"""Answers of other shapes than the API's: each command says what is wrong with one, or does without; none fails."""

from __future__ import annotations

import copy
import functools
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from fieldpack.cli import main
from fieldpack.client import Client, transport
from fieldpack.client.connection import make_ssl_context
from fieldpack.errors import TransportError
from tests.lengths import length

ITEM = {
    "id": "q",
    "type": "multiple_choice",
    "description": "Which?",
    "options": [{"value": "a", "label": "A"}],
}
PAGES = [{"id": "p", "page_items": [ITEM, {"id": "n", "type": "number", "unit_options": [{"value": "kg"}]}]}]
COLLECTION = {
    "id": "c",
    "name": "C",
    "workspace_id": "w",
    "item_count": 1,
    "task_details": {"task_name": "t"},
    "collection_items": PAGES,
}
STUDY = {
    "id": "s",
    "name": "S",
    "total_available_places": 3,
    "status": "ACTIVE",
    "unenforced": ["x"],
    "external_study_url": "u",
}
SUBMISSION = {"id": "u", "participant": "p", "status": "APPROVED", "started_at": "2026-01-01T00:00:00Z"}
REACH = {
    "submissions": 1,
    "answers": 2,
    "files": 3,
    "size_bytes": 4,
    "notes": 5,
    "exports": [{"status": "complete"}],
    "participant_id": "p",
    "collection_id": "c",
    "unknown_participant_ids": ["x"],
}
PROOF = {
    "submission_id": "u",
    "erased_at": "2026-01-01T00:00:00Z",
    "answers": 1,
    "files": None,
    "notes": 1,
    "exports": ["e"],
    "left": {"stored_objects": 1},
    "listed": True,
}
DECISION = {"id": "d", "by": {"id": "r", "name": "Ada"}, "action": "APPROVE", "count": 1}
COUNTED = [{"label": "A", "count": 2}]
OVERVIEW = {
    **dict.fromkeys(
        ("started", "under_way", "submitted", "awaiting_review", "approved", "rejected", "returned"), 1
    ),
    **dict.fromkeys(("timed_out", "erased", "participants", "files", "file_bytes"), 1),
    "median_seconds": 60.5,
    "quartiles_seconds": [30, 90.5],
    "files_by_type": [{"content_type": "image/png", "count": 1}],
    "questions": [
        {"description": "Q", "answered": 1, "missing": 1, "left": 1, "counts": COUNTED},
        {
            "description": "N",
            "answered": 1,
            "missing": 1,
            "left": 1,
            "numbers": {"unit": None, "median": 1.5, "count": 1},
        },
        {
            "description": "U",
            "answered": 1,
            "missing": 1,
            "left": 1,
            "files": [{"content_type": "a/b", "count": 1}],
            "numbers_by_unit": [{"unit": "kg", "median": 2, "count": 1}],
        },
    ],
}
CORRECTION = {
    "author": {"name": "Ada"},
    "at": "2026-01-01T00:00:00Z",
    "reason": "r",
    "question": "Q",
    "before": {
        "type": "file_upload",
        "value": [{"file_name": "a", "size_bytes": 1, "sha256": "0", "file_key": "k"}],
    },
    "after": {"type": "number", "value": 1, "unit": "kg"},
}
HISTORY = {
    "changes": [{"at": "t", "status": "ACTIVE", "response": "draft", "test": False, "type": "x"}],
    "audit": [{"at": "t", "action": "a", "actor": {"email": None, "type": "researcher"}}],
    "exports": [{"created_at": "t", "export_id": "e", "status": "complete"}],
}
EXPORT = {
    "export_id": "e",
    "status": "complete",
    "created_at": "2026-01-01T00:00:00Z",
    "filter": None,
    "size_bytes": 1,
}
EVENT = {"id": "v", "attempts": [{"error": None, "status_code": 500}], "status": "FAILED"}


def listed(*rows: Any) -> dict[str, Any]:
    return {"results": list(rows), "meta": {"count": len(rows)}}


ANSWERS: dict[str, Any] = {
    r"GET /users/me": {"id": "r", "name": "Ada", "email": "a@example.org"},
    r"GET /workspaces": listed({"id": "w", "title": "W"}),
    r"GET /workspaces/w/balance": {"currency_code": "GBP", "total_balance": 0},
    r"GET /workspaces/w/projects": listed({"id": "j", "title": "J"}),
    r"GET /projects/j": {"id": "j", "title": "J"},
    r"GET /participant-groups": listed({"id": "g", "name": "G"}),
    r"DELETE /participant-groups/g/participants": listed(),
    r"GET /studies": listed(STUDY),
    r"(GET|PATCH) /studies/s|POST /studies(/s/(transition|clone))?": STUDY,
    r"POST /studies/s/test-study": {"study_id": "t", "study_url": "u"},
    r"DELETE /studies/s/test-study": {"erased": 1, "left": 0},
    r"GET /studies/s/submissions/counts": {"ACTIVE": 1, "TOTAL": 1},
    r"GET /studies/s/submissions": listed(SUBMISSION),
    r"GET /studies/s/links": {"results": [{"kind": kind, "url": "u", "svg": "x"} for kind in ("recruiting", "ask")]},
    r"POST /studies/s/links": {"results": [{"participant_id": "p", "url": "u"}]},
    r"GET /submissions/u|POST /submissions/u/(transition|request-return)": SUBMISSION,
    r"POST /submissions/bulk-approve": {"message": "Done."},
    r"POST /submissions/u/corrections": {**CORRECTION, "instruction_id": "q", "version": 2, "submission_id": "u"},
    r"GET /submissions/u/history": HISTORY,
    r"GET /submissions/u/corrections": listed(CORRECTION),
    r"GET /submissions/u/response": {"collection": {"collection_items": PAGES}},
    r"GET /submissions/u/erasure|POST .*/c/erasures/check": REACH,
    r"POST .*/c/erasures": {"erased": [PROOF], "left": 0, "batch": "b"},
    r"GET .*/c/erasures": listed(PROOF),
    r"GET .*/c/erasures/u": PROOF,
    r"DELETE /submissions/u": None,
    r"POST (/submissions/u|.*/c/submissions)/decisions": DECISION,
    r"GET .*/c/decisions": listed(DECISION),
    r"GET .*/c/reviewers": listed({"id": "r", "name": "Ada"}),
    r"GET .*/c/submissions/(reviewable)": {"count": 1},
    r"GET .*/c/submissions/approved": listed({"participant_id": "p"}),
    r"POST .*/c/submissions/(un)?assign": {"assigned": 1, "unassigned": 1},
    r"GET .*/c/submissions": {"results": [{"submission_id": "u"}], "meta": {"count": 1, "next": None}},
    r"GET .*/c/responses": listed(),
    r"GET .*/collections": listed(COLLECTION),
    r"(GET|PUT) .*/collections/c|POST .*/collections(/c/(archive|unarchive|duplicate))?": COLLECTION,
    r"POST .*/c/check": {"effects": [{"kind": "question_removed", "question": "Q", "answers": 1}], "under_way": 1},
    r"GET .*/c/overview": OVERVIEW,
    r"GET .*/c/export": [EXPORT],
    r"GET /hooks/(event-types|secrets|subscriptions)": listed({"id": "h", "event_type": "e", "value": "v"}),
    r"POST /hooks/(secrets|subscriptions(/h)?)|PATCH /hooks/subscriptions/h": {"id": "h", "value": "v"},
    r"GET /hooks/subscriptions/h/events": listed(EVENT),
    r"POST /hooks/subscriptions/h/test": {"id": "v"},
}  # fmt: skip

COMMANDS = """whoami|studies|studies -c|study view s|study submission-counts s|study submission-counts s -j
study create -t study.yaml|study update s -t study.yaml|study transition s -a PUBLISH|study increase-places s -p 9
study duplicate s|study test s|study link s|study link s --ask --qr q.svg --force|study links s a b
submission list -s s|submission list -s s -c|submission get u|submission history u|submission corrections u
submission erasures c|submission decisions c|submission reviewers c|submission approved c|submission approve u
submission transition u -a APPROVE|submission reject u -m hello -R NO_DATA|submission request-return u -r because
submission bulk-approve -i u|submission bulk-approve -s s -p p|submission erase u --yes
submission bulk-erase -c c -p p --yes|submission bulk-erase -c c -p p --dry-run|submission decide u -a APPROVE
submission decide-all c -a APPROVE --yes|submission assign c --to r|submission correct u -q q --value a -r why
submission correct u -q n --value 1 --unit kg -r why
project list -w w|project view j|participant list|participant remove g -p a
hook event-types|hook secrets|hook create-secret -w w|hook list|hook update h --disable|hook events h|hook test h
hook create -e e -u https://example.org -w w|workspace balance
collection list|collection list -c|collection get c|collection get c --yaml|collection preview c --no-open
collection responses c|collection responses c -c|collection overview c|collection create -t collection.yaml
collection update c -t collection.yaml --dry-run|collection update c -t collection.yaml|collection export list c
collection export list c -c|collection publish c -p 2|collection publish c -p 2 --draft|collection archive c
collection duplicate c|collection erase c --yes"""

RUNS = length(8, 10_000)  # of each command
VALUES: list[Any] = [None, "x", 5, 1e300, True, [], [5], {}, {"a": None}]


class Answers:
    """A server's answers, one of which may be another than it should be."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.changed: tuple[str, Any] | None = None

    def answer(self, http: object, request: httpx.Request, follow: bool) -> httpx.Response:
        name = f"{request.method} {request.url.path.removeprefix('/api/v1').rstrip('/')}"
        found = next((body for pattern, body in ANSWERS.items() if re.fullmatch(pattern, name)), None)
        self.asked[name] = found
        if self.changed is not None and self.changed[0] == name:
            found = self.changed[1]
        stream = httpx.ByteStream(json.dumps(found).encode() if name != "DELETE /submissions/u" else b"")
        return httpx.Response(200, stream=stream, request=request)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answers:
    made = Answers()
    monkeypatch.setattr(transport, "send_following", made.answer)
    monkeypatch.setattr(transport, "make_ssl_context", functools.cache(make_ssl_context))
    monkeypatch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
    monkeypatch.setenv("PROLIFIC_TOKEN", "token")
    monkeypatch.setenv("PROLIFIC_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text("name: S\ntotal_available_places: 3\ndata_collection_id: c\n")
    Path("collection.yaml").write_text(
        "name: R\ntask_details: {task_name: a, task_introduction: b, task_steps: c}\n"
        "collection_items:\n  - page_items:\n      - {type: free_text, description: x}\n"
    )
    return made


def iter_changed(body: Any, value: Any) -> Iterator[Any]:
    """The same with `value` in each place of it, one at a time."""
    yield value
    places = body if isinstance(body, dict) else range(min(2, len(body))) if isinstance(body, list) else ()
    for place in places:
        for changed in iter_changed(body[place], value):
            whole = copy.copy(body)
            whole[place] = changed
            yield whole


@pytest.mark.parametrize("line", COMMANDS.splitlines())
def test_no_answer_is_taken_for_a_bug(
    line: str, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fieldpack.server.config", reason="needs the server extra")
    faults = []
    for command in line.split("|"):
        answers.asked.clear()
        answers.changed = None
        code = main(command.split())
        assert code == 0, (command, capsys.readouterr().err)
        every = [
            (name, changed)
            for name, body in answers.asked.items()
            for value in VALUES
            for changed in iter_changed(body, value)
        ]
        for answers.changed in random.Random(command).sample(every, min(RUNS, len(every))):
            code = main(command.split())
            said = capsys.readouterr()
            if code not in (0, 1, 2) or "bug" in said.err:
                faults.append((command, answers.changed, said.err[:120]))
    assert faults == []


def test_a_wrong_type_is_named(answers: Answers) -> None:
    with Client("token", "http://127.0.0.1:9") as client:
        answers.changed = ("GET /submissions/u/erasure", {**REACH, "exports": [{"status": 5}]})
        with pytest.raises(
            TransportError,
            match=r"at http://127.0.0.1:9 answered with a number where a text is due \(exports\[0\]\.status\)",
        ):
            client.check_erasure("u")
        answers.changed = ("GET /submissions/u/erasure", {**REACH, "answers": 2.0, "new": [1]})
        assert client.check_erasure("u") == {**REACH, "answers": 2, "new": [1]}
        answers.changed = ("GET /submissions/u/erasure", {**REACH, "exports": [{}]})
        [export] = client.check_erasure("u")["exports"]
        with pytest.raises(TransportError, match="without 'status'"):
            export["status"]


@pytest.mark.parametrize("body", [None, "done", [], 5, {}, {"message": "All."}])
def test_approving_many_is_done_whatever_is_said_of_it(
    body: Any, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.changed = ("POST /submissions/bulk-approve", body)
    assert main(["submission", "bulk-approve", "-i", "u"]) == 0
    assert capsys.readouterr().out.split()[-1] == ("All." if body == {"message": "All."} else "Approved.")


@pytest.mark.parametrize("following", [[], {}, 0, "", "same"])
def test_pages_of_responses_have_an_end(following: Any, answers: Answers) -> None:
    row = {"submission_id": "u"}
    answers.changed = (
        "GET /data-collection/collections/c/submissions",
        {"results": [row], "meta": {"count": 1, "next": following}},
    )
    started = time.monotonic()
    with Client("token", "http://127.0.0.1:9") as client:
        assert client.list_responses("c") == [row]
    assert time.monotonic() - started < 30
