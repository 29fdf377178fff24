"""The lines of responses.jsonl, and times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.archive.records import FileEntry, encode_responses, format_time, normalize_response, parse_time
from fieldpack.errors import InvalidTime, UsageError
from tests.whole_archives import encode_record

AT = datetime(2026, 3, 1, 9, 30, 0, 120, tzinfo=UTC)
WHY = {"value": "a", "explanation": "because"}
FILE: FileEntry = {
    "path": "files/s_receipt.jpg",
    "file_name": "receipt.jpg",
    "content_type": "image/jpeg",
    "size_bytes": 48213,
    "sha256": "ab" * 32,
}


def record(responses: bytes | str, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "submission_id": "s",
        "participant_id": "p",
        "study_id": "t",
        "status": "APPROVED",
        "started_at": AT,
        "completed_at": AT + timedelta(minutes=1),
    }
    return encode_record(**{**fields, **changes}, responses=responses)


def test_a_record_has_the_shape_of_the_format() -> None:
    responses = encode_responses(
        [
            ("q1", "free_text", {"value": "It was fine"}),
            ("q2", "multiple_choice", b'{"value": ["response1"]}'),
            ("q3", "multiple_choice_with_free_text", {"value": [WHY]}),
            ("q4", "free_text_with_unit", '{"value": "72.5", "unit": "kg"}'),
        ],
        {"q5": [FILE], "q6": []},
    )
    line = record(responses)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "submission_id": "s",
        "participant_id": "p",
        "study_id": "t",
        "status": "APPROVED",
        "started_at": "2026-03-01T09:30:00.000120Z",
        "completed_at": "2026-03-01T09:31:00.000120Z",
        "responses": {
            "q1": {"type": "free_text", "value": "It was fine"},
            "q2": {"type": "multiple_choice", "value": ["response1"]},
            "q3": {
                "type": "multiple_choice_with_free_text",
                "value": [WHY],
            },
            "q4": {"type": "free_text_with_unit", "value": "72.5", "unit": "kg"},
            "q5": {"type": "file_upload", "value": [dict(FILE)]},
        },
    }
    assert list(json.loads(line)) == [
        "submission_id", "participant_id", "study_id", "status", "started_at", "completed_at", "responses",
    ]  # fmt: skip


def test_responses_come_in_the_order_asked() -> None:
    answers = [(key, "free_text", {"value": key}) for key in ("b", "a", "x")]
    text = encode_responses(answers, {"f": [FILE]}, order=["f", "a", "gone", "b"])
    assert list(json.loads(text)) == ["f", "a", "b", "x"]


def test_a_stored_type_does_not_override_the_instruction_s() -> None:
    text = encode_responses([("q", "free_text", {"type": "evil", "value": "x"})])
    assert json.loads(text) == {"q": {"type": "free_text", "value": "x"}}


@pytest.mark.parametrize("value", ["not json", b'"bare"', "[]"])
def test_a_stored_value_that_is_no_object_is_an_error(value: str | bytes) -> None:
    with pytest.raises(UsageError, match="q1"):
        encode_responses([("q1", "free_text", value)])


def test_responses_laid_out_anew_by_a_store_still_make_one_line() -> None:
    pretty = json.dumps({"q": {"type": "free_text", "value": "a\nb"}}, indent=2)
    for responses in (pretty, pretty.encode()):
        line = record(responses)
        assert line.count(b"\n") == 1
        assert json.loads(line)["responses"]["q"]["value"] == "a\nb"


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_survives_on_one_line(text: str) -> None:
    line = record(encode_responses([("q", "free_text", {"value": text})]), participant_id=text)
    assert line.decode().splitlines(keepends=True) == [line.decode()]
    assert json.loads(line)["responses"]["q"]["value"] == text
    assert json.loads(line)["participant_id"] == text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("text", {"value": "text"}),
        (["a"], {"value": ["a"]}),
        (None, {"value": None}),
        ({"value": "x", "new": 1}, {"value": "x", "new": 1}),
        ({"answer": []}, {"answer": []}),
    ],
)
def test_values_of_any_age_are_read(raw: Any, expected: dict[str, Any]) -> None:
    assert normalize_response(raw) == expected


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
        min_value=datetime(1, 1, 2),
        max_value=datetime(9999, 12, 30),
    )
)
def test_times_survive(at: datetime) -> None:
    text = format_time(at)
    assert len(text) == len("2026-03-01T09:30:00.000120Z")
    assert parse_time(text) == at
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01t09:30:00z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00.5+02:00", datetime(2026, 3, 1, 7, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T09:30:00.1234567-00:30", datetime(2026, 3, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T00:59:60+01:00", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_of_rfc_3339_are_read(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-03-01", "2026-03-01T09:30:00", "2026-03-01T09:30Z", "2026-03-01 09:30:00Z",
        "2026-02-30T00:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01T09:30:60Z", "2026-03-01T09:30:61Z",
        "2026-03-01T09:30:00+24:00", "2026-03-01T09:30:00+01:60", "2026-03-01T09:30:00+0100",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "٢٠٢٦-03-01T09:30:00Z", "2026-03-01T09:30:00Z\n", "2026-03-01T09:30:00.Z",
    ],
)  # fmt: skip
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="RFC 3339"):
        parse_time(text)


def test_the_lost_plus_of_a_url_is_pointed_out() -> None:
    with pytest.raises(ValueError, match="%2B"):
        parse_time("2026-03-01T09:30:00 02:00")


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidTime, match="no time zone"):
        format_time(datetime(2026, 3, 1))
