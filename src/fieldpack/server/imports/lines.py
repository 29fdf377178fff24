"""A line of responses.jsonl as it is taken over: in this server's shapes, its files found among the members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fieldpack.archive.members import FILES, RESPONSES, explain_outsider
from fieldpack.archive.records import FILE_UPLOAD
from fieldpack.errors import ArchiveError
from fieldpack.reading.lines import parse_line
from fieldpack.reading.model import (
    CHOICE_TYPES,
    CONTENT_TYPES,
    Answer,
    Instruction,
    Submission,
    UploadedFile,
    dump_text,
)
from fieldpack.reading.reader import OpenArchive
from fieldpack.reading.shapes import read_submission, read_time
from fieldpack.reading.source import Member
from fieldpack.server.imports.ids import LONGEST_ID
from fieldpack.server.values.participant_ids import MAX_ID
from fieldpack.server.values.statuses import STATUSES

__all__ = ["LineReader", "Taken", "TakenFile", "refuse_nul"]

NO_STUDY = ""
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A file that a line names.

    Attributes:
        member: the archive's member that holds it.
        entry: as the line has it.
        sha256: as the line claims, None where it claims nothing.
    """

    instruction_id: str
    member: Member
    path: str
    file_name: str
    content_type: str | None
    sha256: bytes | None
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """A submission as the archive has it, ids too.

    Attributes:
        number: of its line, from 1.
        study_id: empty where the line names none.
        responses: by instruction id, in the line's order and in the shapes of this server's archives; the value of a
            response of files is empty, and they are in `files`, in their order.
        edited_at: when an answer was last corrected.
        extra: what else the line says of the submission.
    """

    number: int
    submission_id: str
    participant_id: str
    study_id: str
    status: str
    started_at: datetime
    completed_at: datetime
    responses: dict[str, dict[str, Any]]
    files: list[TakenFile]
    edited_at: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class LineReader:
    """Reads lines one by one. What can't be taken over as it is raises `ArchiveError`, which names the line.

    Args:
        made_at: stands in for times that a line lacks.
    """

    def __init__(
        self, archive: OpenArchive, instructions: Mapping[str, Instruction], made_at: datetime
    ) -> None:
        self._archive = archive
        self._instructions = instructions
        self._made_at = made_at

    def read(self, line: bytes, number: int) -> Taken:
        """One line."""
        data = parse_line(line, number, RESPONSES)
        try:
            if b"\\u0000" in line:
                refuse_nul(data)
            taken = self._take(read_submission(data, self._instructions), data, number)
            dump_text(data)  # so that it can be written again
            return taken
        except (ValueError, RecursionError) as error:
            reason = (
                "it is nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
            )
            raise ArchiveError(
                f"{RESPONSES} line {number} can't be imported: {reason}.", member=RESPONSES, line=number
            ) from error

    def _take(self, read: Submission, data: Mapping[str, Any], number: int) -> Taken:
        for name, value in (("submission_id", read.submission_id), ("study_id", read.study_id or "")):
            if len(value) > LONGEST_ID:
                raise ValueError(f"its {name} has more than {LONGEST_ID} characters")
        participant = read.participant_id or f"unknown-{read.submission_id}"[:MAX_ID]
        if len(participant) > MAX_ID:
            raise ValueError(f"its participant_id has more than {MAX_ID} characters")
        status = (read.status or "AWAITING REVIEW").upper().replace("_", " ")
        if status not in STATUSES:
            raise ValueError(f"{read.status!r} is no status of a submission")
        completed = read.completed_at or read.started_at or self._made_at
        edited = _find_edited_at(read.extra.get("edited_at"))
        raw = data.get("responses") or {}
        responses: dict[str, dict[str, Any]] = {}
        files: list[TakenFile] = []
        for key, given in raw.items():
            if key not in read.answers and given is not None and not _is_empty(given):
                raise ValueError(f"the answer to {key} has no value")
        for key, answer in read.answers.items():
            instruction = self._instructions.get(key)
            if instruction is None:
                raise ValueError(f"it answers {key}, which collection.json doesn't list")
            if instruction.type in CONTENT_TYPES:
                raise ValueError(f"it answers {key}, which asks nothing")
            if answer.type == FILE_UPLOAD:
                files += self._find_files(key, answer, raw[key], number)
                responses[key] = {"type": FILE_UPLOAD, "value": [], **answer.extra}
            else:
                responses[key] = _in_our_shape(answer, raw[key])
        return Taken(
            number=number,
            submission_id=read.submission_id,
            participant_id=participant,
            study_id=read.study_id or NO_STUDY,
            status=status,
            started_at=read.started_at or completed,
            completed_at=completed,
            responses=responses,
            files=files,
            edited_at=edited,
            extra={name: value for name, value in read.extra.items() if name != "edited_at" or not edited},
        )

    def _find_files(self, key: str, answer: Answer, raw: Any, number: int) -> list[TakenFile]:
        value = raw.get("value", raw.get("answer")) if isinstance(raw, dict) else raw
        entries = value if isinstance(value, list) else [value]
        return [
            self._find_file(key, file, entry, number)
            for file, entry in zip(answer.files, entries, strict=True)
        ]

    def _find_file(self, key: str, file: UploadedFile, entry: Any, number: int) -> TakenFile:
        member = self._find_member(file)
        if member is None:
            raise ArchiveError(
                f"{RESPONSES} line {number} names the file {file.path!r}, which the archive doesn't hold.",
                member=file.path,
                line=number,
            )
        if member.problem is not None:
            raise ArchiveError(
                f"{RESPONSES} line {number} names the file {member.name!r}, which is not read: {member.problem}.",
                member=member.name,
                line=number,
            )
        if file.size_bytes is not None and file.size_bytes != member.size_bytes:
            raise ArchiveError(
                f"{RESPONSES} line {number} says that {member.name!r} has {file.size_bytes:,} bytes; the archive has "
                f"{member.size_bytes:,}.",
                member=member.name,
                line=number,
            )
        if file.sha256 is not None and not _HEX.fullmatch(file.sha256):
            raise ValueError(f"the SHA-256 of {file.path!r} is none")
        return TakenFile(
            instruction_id=key,
            member=member,
            path=file.path,
            file_name=file.file_name,
            content_type=file.content_type,
            sha256=bytes.fromhex(file.sha256) if file.sha256 else None,
            entry=entry if isinstance(entry, dict) else {},
        )

    def _find_member(self, file: UploadedFile) -> Member | None:
        """The member of a file: by its path, or by the names that archives give files whose path is another."""
        last = file.path.replace("\\", "/").rsplit("/", 1)[-1]
        for name in (
            file.path,
            f"{FILES}{file.path}",
            f"{FILES}{file.submission_id}_{last}",
            f"{FILES}{file.submission_id}_{file.file_name}",
        ):
            found = self._archive.find_member(name)
            if found is not None and found.name.startswith(FILES) and explain_outsider(found.name) is None:
                return found
        return None


def _find_edited_at(value: Any) -> datetime | None:
    """When an answer was corrected, as archives of ours say it; None for anything else, which stays what it is."""
    try:
        return read_time(value, "edited_at")
    except ValueError:
        return None


def _is_empty(given: Any) -> bool:
    """Whether a response says that there is no answer, rather than nothing that can be read."""
    return isinstance(given, dict) and ("value" in given or "answer" in given or not given)


def _in_our_shape(answer: Answer, raw: Any) -> dict[str, Any]:
    """A response as this server's archives have it: unchanged where it is so, else made of what was read."""
    if isinstance(raw, dict) and raw.get("type") == answer.type and _is_ours(answer.type, raw):
        return raw
    if answer.type in CHOICE_TYPES:
        value: Any = (
            [choice.value for choice in answer.choices]
            if answer.type == "multiple_choice"
            else [
                {"value": choice.value, "explanation": choice.explanation or ""} for choice in answer.choices
            ]
        )
    else:
        value = answer.text
    made = {"type": answer.type, "value": value}
    if answer.type == "free_text_with_unit":
        made["unit"] = answer.unit or ""
    return {**made, **answer.extra}


def _is_ours(kind: str, raw: dict[str, Any]) -> bool:
    value = raw.get("value")
    match kind:
        case "free_text":
            return isinstance(value, str)
        case "free_text_with_unit":
            return isinstance(value, str) and isinstance(raw.get("unit"), (str, int, float, bool))
        case "multiple_choice":
            return isinstance(value, list)
        case _:
            return isinstance(value, list) and all(
                isinstance(each, dict) and isinstance(each.get("explanation"), str) for each in value
            )


def refuse_nul(value: Any) -> None:
    """Raise `ValueError` where a text holds U+0000, which PostgreSQL stores nowhere."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("a text holds U+0000")
    elif isinstance(value, dict):
        for key, each in value.items():
            refuse_nul(key)
            refuse_nul(each)
    elif isinstance(value, list):
        for each in value:
            refuse_nul(each)
