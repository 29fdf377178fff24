"""The first look at an archive: every line, every file's name and size, before anything is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from fieldpack.archive.members import COLLECTION, FILES, HISTORY, RESPONSES
from fieldpack.errors import ArchiveError
from fieldpack.reading.lines import iter_lines
from fieldpack.reading.model import CHOICE_TYPES, KNOWN_TYPES, Collection, Instruction, Scalar, dump_text
from fieldpack.reading.reader import OpenArchive
from fieldpack.reading.shapes import read_time
from fieldpack.reading.source import find_outsiders
from fieldpack.server.imports.instructions import adopt
from fieldpack.server.imports.lines import LineReader, Taken, refuse_nul
from fieldpack.text import say_count

__all__ = ["Checked", "StudyFacts", "Tell", "check"]

Tell = Callable[[str, int, int], None]
"""Hears of progress: what is being done, how many submissions of how many (0 where that is not known)."""

BLOCK_BYTES = 1 << 20
MOST_OFFERED = 1_000
LOOKED_UP = 1_000


@dataclass
class StudyFacts:
    """What the lines of one study tell of it."""

    submissions: int = 0
    upload_bytes: int = 0
    began_at: datetime | None = None

    def add(self, taken: Taken) -> None:
        """Count a submission."""
        self.submissions += 1
        self.upload_bytes += sum(file.member.size_bytes for file in taken.files)
        if self.began_at is None or taken.started_at < self.began_at:
            self.began_at = taken.started_at


@dataclass
class Checked:
    """What an archive holds.

    Attributes:
        digest: SHA-256 of what was answered and asked: two archives that have it in common are one.
        studies: by their ids in the archive; empty for lines without one.
        chosen: values chosen of choices (or units) that come without options.
        notes: what is worth knowing, as sentences.
    """

    collection: Collection
    instructions: Mapping[str, Instruction]
    made_at: datetime
    digest: bytes = b""
    submissions: int = 0
    files: int = 0
    file_bytes: int = 0
    studies: dict[str, StudyFacts] = field(default_factory=dict)
    chosen: dict[str, list[Scalar]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check(archive: OpenArchive, tell: Tell, look_up: Callable[[list[Taken]], None] | None = None) -> Checked:
    """Read everything but the contents of files. Blocking; memory grows with the number of submissions and files only.

    Args:
        look_up: given the submissions, some hundred at a time.

    Raises:
        ArchiveError: something can't be imported as it is; names the member and the line.
    """
    for name in (RESPONSES, COLLECTION):
        if name not in archive.members:
            raise ArchiveError(
                f"{archive.label} has no {name}, without which it can't be imported.", member=name
            )
    if bomb := archive.limits.explain_bomb(archive.members.values()):
        raise ArchiveError(f"{archive.label} is not imported: {bomb}.")
    return _Check(archive, tell, look_up).run()


class _Check:
    def __init__(
        self, archive: OpenArchive, tell: Tell, look_up: Callable[[list[Taken]], None] | None
    ) -> None:
        collection = archive.collection
        self._asked = _read_asked(archive)
        instructions = adopt(collection)
        made_at = _find_made_at(collection)
        self._archive = archive
        self._tell = tell
        self._look_up = look_up
        self._found = Checked(collection, instructions, made_at)
        self._reader = LineReader(archive, instructions, made_at)
        self._without = {
            instruction.id
            for instruction in instructions.values()
            if (instruction.type in CHOICE_TYPES and not instruction.options)
            or (instruction.type == "free_text_with_unit" and not instruction.unit_options)
        }
        self._ids: set[bytes] = set()
        self._named: set[str] = set()

    def run(self) -> Checked:
        """Look at all of it."""
        found = self._found
        digest = hashlib.sha256()
        counted = found.collection.export.get("submission_count")
        total = counted if isinstance(counted, int) else 0
        for first, block in self._archive.iter_response_blocks(BLOCK_BYTES):
            digest.update(block)
            read = []
            for number, line in iter_lines(block, first):
                taken = self._reader.read(line, number)
                self._add(taken)
                if self._look_up is not None:
                    read.append(taken)
            if self._look_up is not None:
                for start in range(0, len(read), LOOKED_UP):
                    self._look_up(read[start : start + LOOKED_UP])
            self._tell("Checking", found.submissions, total)
        digest.update(self._digest_collection())
        found.digest = digest.digest()
        self._compare_counts()
        self._note_rest()
        return found

    def _digest_collection(self) -> bytes:
        """SHA-256 of what was asked; when that was exported makes no other archive."""
        asked = {name: value for name, value in self._asked.items() if name != "export"}
        return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()

    def _add(self, taken: Taken) -> None:
        found = self._found
        key = hashlib.blake2b(taken.submission_id.encode(), digest_size=16).digest()
        if key in self._ids:
            raise ArchiveError(
                f"{RESPONSES} line {taken.number}: the submission {taken.submission_id} is there twice.",
                member=RESPONSES,
                line=taken.number,
            )
        self._ids.add(key)
        for file in taken.files:
            name = file.member.name
            if name in self._named:
                raise ArchiveError(
                    f"{RESPONSES} line {taken.number} names the file {name!r}, which is named before.",
                    member=name,
                    line=taken.number,
                )
            self._named.add(name)
            found.file_bytes += file.member.size_bytes
        found.submissions += 1
        found.files += len(taken.files)
        found.studies.setdefault(taken.study_id, StudyFacts()).add(taken)
        for instruction_id in self._without & taken.responses.keys():
            self._note_chosen(instruction_id, taken)

    def _note_chosen(self, instruction_id: str, taken: Taken) -> None:
        """What was chosen becomes an option, where the archive doesn't say what could be chosen."""
        response = taken.responses[instruction_id]
        if self._found.instructions[instruction_id].type == "free_text_with_unit":
            values = [response.get("unit")]
        else:
            values = [each.get("value") if isinstance(each, dict) else each for each in response["value"]]
        chosen = self._found.chosen.setdefault(instruction_id, [])
        for value in values:
            known = any(value == each and type(value) is type(each) for each in chosen)
            if isinstance(value, (str, int, float, bool)) and not known and len(chosen) < MOST_OFFERED:
                chosen.append(value)

    def _compare_counts(self) -> None:
        recorded = self._found.collection.export
        for name, found, noun in (
            ("submission_count", self._found.submissions, "submissions"),
            ("file_count", self._found.files, "files"),
        ):
            wanted = recorded.get(name)
            if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted != found:
                raise ArchiveError(
                    f"{COLLECTION} counts {wanted:,} {noun}; {RESPONSES} has {found:,}. The archive is not whole, or "
                    "was changed: export it again.",
                    member=COLLECTION,
                )

    def _note_rest(self) -> None:
        found = self._found
        outside = find_outsiders(self._archive.source, self._archive.members)
        if outside:
            first, why = next(iter(outside.items()))
            more = len(outside) - 1
            rest = f", and {say_count(more, 'more')}" if more else ""
            found.notes.append(f"Left out: {first!r}, because {why}{rest}.")
        if HISTORY in self._archive.members:
            found.notes.append(
                f"{HISTORY} is not imported: keep the archive for what answers were before they were corrected."
            )
        unnamed = [
            name
            for name in self._archive.members
            if name.startswith(FILES) and name not in self._named and name not in outside
        ]
        if unnamed:
            found.notes.append(
                f"No answer names {say_count(len(unnamed), 'file')} of the archive, {unnamed[0]!r} first: not imported."
            )
        for instruction in found.collection.instructions:
            if instruction.type not in KNOWN_TYPES:
                found.notes.append(
                    f"The question {instruction.id} is of a type unknown here, {instruction.type!r}: it becomes a free "
                    "text."
                )
        for instruction_id in sorted(self._without):
            found.notes.append(
                f"The archive doesn't say what could be chosen of {instruction_id}: what was chosen became its options."
            )


def _read_asked(archive: OpenArchive) -> dict[str, Any]:
    """The whole of collection.json, which `OpenArchive.collection` has found to be an object.

    Raises:
        ArchiveError: it holds what can't be stored here, or not be written again, wherever in it that is.
    """
    with archive.open_file(COLLECTION) as file:
        asked: dict[str, Any] = orjson.loads(file.read().removeprefix(b"\xef\xbb\xbf"))
    try:
        dump_text(asked)
        refuse_nul(asked)
    except ValueError as error:
        raise ArchiveError(f"{COLLECTION} can't be imported: {error}.", member=COLLECTION) from error
    return asked


def _find_made_at(collection: Collection) -> datetime:
    """When the archive was made, as far as it tells; the same in each run."""
    try:
        made_at = read_time(collection.export.get("created_at"), "created_at")
    except ValueError:
        made_at = None
    return made_at or collection.created_at or datetime(2000, 1, 1, tzinfo=UTC)
