"""Archives for the reader's tests: written by the real writer, from objects or from random draws."""

from __future__ import annotations

import hashlib
import io
import uuid
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st

from fieldpack.archive.layout import DEFLATED, STORED, BlobRange, Member
from fieldpack.archive.naming import MemberNames
from fieldpack.archive.readme import render_readme
from fieldpack.archive.records import encode_responses
from tests.whole_archives import encode_record, write_archive

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def make_zip(members: Mapping[str, bytes]) -> bytes:
    """A ZIP of these members, by the project's own writer; the first three kinds deflated, files stored."""
    blobs: list[bytes] = []
    listed: list[Member] = []
    for name, content in members.items():
        stored = content
        method = STORED
        if not name.startswith("files/"):
            packer = zlib.compressobj(wbits=-15)
            stored, method = packer.compress(content) + packer.flush(), DEFLATED
        number = len(blobs).to_bytes(16, "big")
        crc = zlib.crc32(content)
        listed.append(Member(name, method, len(stored), len(content), crc, int(START.timestamp()), number))
        blobs.append(stored)

    def open_blob(blob: BlobRange) -> io.BytesIO:
        return io.BytesIO(blobs[int.from_bytes(blob.blob, "big")])

    out = io.BytesIO()
    write_archive(out, listed, open_blob)
    return out.getvalue()


def make_members(
    instructions: list[dict[str, Any]],
    submissions: Iterable[dict[str, Any]],
    files: Mapping[str, bytes] | None = None,
    *,
    name: str = "Collection",
    pad: str = "",
) -> dict[str, bytes]:
    """The members of an archive.

    A submission is `{"answers": {instruction id: value shape}, "uploads": {instruction id: [(file name, type,
    content)]}}`, with any of the record's own fields.
    """
    lines: list[bytes] = []
    blobs: dict[str, bytes] = dict(files or {})
    kinds = {item["id"]: item["type"] for item in instructions}
    for number, submission in enumerate(submissions):
        submission_id = submission.get("submission_id") or str(uuid.UUID(int=number + 1))
        names = MemberNames(submission_id)
        entries: dict[str, list[Any]] = {}
        for key, uploads in submission.get("uploads", {}).items():
            for file_name, content_type, content in uploads:
                path = names.add(file_name)
                blobs[path] = content
                digest = hashlib.sha256(content).hexdigest()
                entry = {"path": path, "file_name": file_name, "content_type": content_type}
                entries.setdefault(key, []).append({**entry, "size_bytes": len(content), "sha256": digest})
        answers = [(key, kinds[key], value) for key, value in submission.get("answers", {}).items()]
        started_at = submission.get("started_at", START + timedelta(minutes=number))
        lines.append(
            encode_record(
                submission_id=submission_id,
                participant_id=submission.get("participant_id", f"{number:024x}"),
                study_id=submission.get("study_id", "5f0000000000000000000000"),
                status=submission.get("status", "APPROVED"),
                started_at=started_at,
                completed_at=submission.get("completed_at", started_at + timedelta(minutes=5)),
                responses=encode_responses(answers, entries),
            )
        )
    collection = {
        "id": "0b8f1c52-6f5e-4f0e-9d3c-2f1f6f3f9a10",
        "name": name,
        "description": None,
        "workspace_id": "w",
        "schema_version": 1,
        "created_at": "2026-02-01T08:00:00.000000Z",
        "task_details": {"task_name": name, "task_introduction": "", "task_steps": ""},
        "export": {
            "id": "e1",
            "created_at": "2026-04-01T08:00:00.000000Z",
            "filter": None,
            "submission_count": len(lines),
            "file_count": len(blobs),
        },
        "instructions": instructions,
    }
    return {
        "responses.jsonl": b"".join(lines),
        "collection.json": orjson.dumps(collection, option=orjson.OPT_INDENT_2),
        "README.md": render_readme(collection).encode(),
        **blobs,
    }


def write_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    path.write_bytes(make_zip(members))
    return path


def write_folder(path: Path, members: Mapping[str, bytes]) -> Path:
    for name, content in members.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


def ask(kind: str, description: str, /, **fields: Any) -> dict[str, Any]:
    """An instruction as collection.json has it; its id comes from its text."""
    key = fields.pop("id", None) or str(uuid.uuid5(uuid.NAMESPACE_URL, description))
    return {
        "id": key,
        "type": kind,
        "description": description,
        "page": 1,
        "order": 0,
        "retired": False,
        **fields,
    }


def option(value: Any, label: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"value": value, "label": str(value) if label is None else label, **fields}


# Random collections and answers

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12
) | st.sampled_from(
    [
        "",
        "007",
        "-1",
        "=1+1",
        "1e5",
        "12345678901234567",
        " 5 ",
        "NA",
        "null",
        "a\nb",
        'say "x"',
        "a,b;c",
        "ß→日本",
        "\u2028",
    ]
)
LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10)
VALUES: list[st.SearchStrategy[Any]] = [
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
    st.integers(-10, 10),
    st.booleans(),
    st.sampled_from([0.5, 1, 2.25, -3]),
    st.sampled_from(["1", 1, True, "true", 2.5, "b"]),
]


def _is_same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and isinstance(a, str) == isinstance(b, str) and a == b


@st.composite
def collections(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Instructions of every type, with texts and ids that get in each other's way."""
    instructions = []
    for number in range(draw(st.integers(0, 6))):
        kind = draw(
            st.sampled_from(
                [
                    "free_text",
                    "multiple_choice",
                    "multiple_choice_with_free_text",
                    "free_text_with_unit",
                    "file_upload",
                ]
            )
        )
        fields: dict[str, Any] = {"order": number, "id": str(uuid.UUID(int=1000 + number))}
        if kind.startswith("multiple"):
            values: list[Any] = []
            for value in draw(st.lists(draw(st.sampled_from(VALUES)), min_size=1, max_size=4)):
                if not any(_is_same(value, other) for other in values):
                    values.append(value)
            fields["options"] = [option(value, draw(LABELS)) for value in values]
            fields["answer_limit"] = draw(st.sampled_from([1, -1]))
        if kind == "free_text_with_unit":
            fields["unit_options"] = [option("kg", "Kilogram"), option("lb", "Pound")]
        if kind.startswith("free_text") and draw(st.booleans()):
            fields["validation"] = {"type": "number", "min": None, "max": None}
        fields["retired"] = draw(st.booleans())
        instructions.append(
            ask(kind, draw(st.sampled_from(["Name", "name", "status", "Ünïcode?", ""]) | LABELS), **fields)
        )
    return instructions


@st.composite
def answered(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A collection, and submissions that answer some of it."""
    instructions = draw(collections())
    submissions = []
    for _ in range(draw(st.integers(0, 6))):
        answers: dict[str, Any] = {}
        uploads: dict[str, Any] = {}
        for item in instructions:
            if draw(st.integers(0, 3)) == 0:
                continue
            if item["type"] == "file_upload":
                names = draw(
                    st.lists(st.sampled_from(["a.jpg", "A.JPG", "ü.png", "../x.txt"]), min_size=1, max_size=3)
                )
                uploads[item["id"]] = [(name, "image/jpeg", draw(st.binary(max_size=20))) for name in names]
            elif item["type"].startswith("free_text"):
                number = st.sampled_from(["1", "2.5", "-3", "0", "1e3"])
                value = draw(number if item.get("validation") and draw(st.booleans()) else TEXTS)
                answers[item["id"]] = {"value": value}
                if item["type"] == "free_text_with_unit":
                    answers[item["id"]]["unit"] = draw(st.sampled_from(["kg", "lb", "stone"]))
            else:
                choices = [entry["value"] for entry in item["options"]]
                most = 1 if item["answer_limit"] == 1 else len(choices)
                at = draw(st.lists(st.integers(0, len(choices) - 1), min_size=0, max_size=most, unique=True))
                chosen: list[Any] = [choices[i] for i in at]
                if item["type"] != "multiple_choice":
                    chosen = [{"value": value, "explanation": draw(TEXTS)} for value in chosen]
                answers[item["id"]] = {"value": chosen}
        submissions.append({"answers": answers, "uploads": uploads})
    return instructions, submissions
