"""Check that an archive is consistent: its structure, every byte, every count, every reference in both directions."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fieldpack.archive.members import COLLECTION, FILES, HEADS, HISTORY, README, RESPONSES
from fieldpack.errors import ArchiveError
from fieldpack.reading.lines import iter_blocks, iter_lines, parse_line
from fieldpack.reading.model import CHOICE_TYPES, Instruction, Submission, UploadedFile, scalar_text
from fieldpack.reading.shapes import read_submission
from fieldpack.reading.source import find_outsiders
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["Finding", "Report", "verify_export"]

_CHUNK = 1 << 20
_MOST_FINDINGS = 1000

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (`error`) or worth knowing (`warning`)."""

    level: Level
    message: str
    member: str | None = None
    line: int | None = None


@dataclass
class Report:
    """What `verify_export` found. `ok` is whether there is no error."""

    archive: str
    findings: list[Finding] = field(default_factory=list)
    submissions: int = 0
    files: int = 0
    checked_bytes: int = 0
    left_out: int = 0
    warnings_left_out: int = 0
    _counts: Counter[Level] = field(default_factory=Counter, repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(finding.level == "error" for finding in self.findings)

    def add(self, level: Level, message: str, member: str | None = None, line: int | None = None) -> None:
        """Add a finding, or only count it when there are too many."""
        self._counts[level] += 1
        if self._counts[level] <= _MOST_FINDINGS:
            self.findings.append(Finding(level, message, member, line))
        elif level == "error":
            self.left_out += 1
        else:
            self.warnings_left_out += 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "archive": self.archive,
            "ok": self.ok,
            "submissions": self.submissions,
            "files": self.files,
            "checked_bytes": self.checked_bytes,
            "findings": [
                {"level": f.level, "message": f.message, "member": f.member, "line": f.line}
                for f in self.findings
            ],
            "findings_left_out": self.left_out + self.warnings_left_out,
        }


def verify_export(
    export: OpenArchive, *, contents: bool = True, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Check the whole archive.

    Args:
        export: the open archive.
        contents: read every file and compare CRC-32 and SHA-256; False checks names and sizes only.
        progress: called with bytes done and bytes in all.

    Returns:
        The findings; at most 1,000 errors and 1,000 warnings, and how many more there were.
    """
    report = Report(export.label)
    check = _Check(export, report)
    check.check_members()
    check.check_collection()
    check.check_responses()
    check.check_history()
    check.check_references()
    if contents:
        check.check_contents(progress)
    return report


class _Named(NamedTuple):
    """What an answer says of a file; small, as there may be millions."""

    line: int
    size_bytes: int | None
    sha256: bytes | None


class _Check:
    def __init__(self, export: OpenArchive, report: Report) -> None:
        self._export = export
        self._report = report
        self._instructions: dict[str, Instruction] = {}
        self._has_collection = False
        self._offered: dict[str, frozenset[str]] = {}
        self._files: dict[str, _Named] = {}
        self._ids: set[str] = set()
        self._complete = True

    def check_members(self) -> None:
        for name in HEADS:
            if name not in self._export.members:
                self._report.add("warning" if name == README else "error", f"{name} is missing.", name)
        for name, why in find_outsiders(self._export.source, self._export.members).items():
            self._report.add("warning", f"{name!r} is left in the archive by extract and sync: {why}.", name)
        folded: dict[str, str] = {}
        for name, member in self._export.members.items():
            if member.problem:
                self._report.add("error", f"{name!r}: {member.problem}.", name)
            other = folded.setdefault(name.casefold(), name)
            if other != name:
                message = f"{other!r} and {name!r} are one file on systems that ignore case."
                self._report.add("warning", message, name)

    def check_collection(self) -> None:
        if COLLECTION not in self._export.members:
            return
        try:
            self._instructions = {i.id: i for i in self._export.collection.instructions}
            self._has_collection = True
        except ArchiveError as error:
            self._report.add("error", str(error), error.member, error.line)

    def check_responses(self) -> None:
        """Read every line on its own, so that one wrong line doesn't hide the next."""
        name = RESPONSES
        if name not in self._export.members:
            self._complete = False
            return
        try:
            for first, block in self._export.iter_response_blocks():
                for number, line in iter_lines(block, first):
                    try:
                        submission = read_submission(parse_line(line, number, name), self._instructions)
                    except ArchiveError as error:
                        self._complete = False
                        self._report.add("error", str(error), name, number)
                    except ValueError as error:
                        self._complete = False
                        self._report.add(
                            "error", f"{name} line {number} can't be read: {error}.", name, number
                        )
                    else:
                        self._check_submission(submission, number)
        except ArchiveError as error:
            self._complete = False
            self._report.add("error", str(error), error.member, error.line)

    def check_history(self) -> None:
        """Read every correction: it has to be of a submission that is there."""
        name = HISTORY
        if name not in self._export.members:
            return
        try:
            with self._export.open_file(name) as file:
                for first, block in iter_blocks(file, name):
                    for number, line in iter_lines(block, first):
                        found = parse_line(line, number, name)
                        identifier = found.get("submission_id") if isinstance(found, dict) else None
                        if self._complete and identifier not in self._ids:
                            message = f"{name} line {number} is of no submission in {RESPONSES}."
                            self._report.add("error", message, name, number)
        except ArchiveError as error:
            self._report.add("error", str(error), error.member, error.line)

    def _check_submission(self, submission: Submission, line: int) -> None:
        name = RESPONSES
        self._report.submissions += 1
        if submission.submission_id in self._ids:
            message = f"{name} line {line}: the submission {submission.submission_id} is there twice."
            self._report.add("error", message, name, line)
        self._ids.add(submission.submission_id)
        for key, answer in submission.answers.items():
            instruction = self._instructions.get(key)
            if instruction is None:
                if self._has_collection:
                    message = f"{name} line {line} answers {key}, which {COLLECTION} doesn't list."
                    self._report.add("error", message, name, line)
            elif instruction.type in CHOICE_TYPES and not instruction.retired:
                offered = self._find_offered(instruction)
                for choice in answer.choices:
                    if offered and scalar_text(choice.value) not in offered:
                        what = f"{choice.value!r} is no option of {instruction.title!r} (any more)."
                        self._report.add("warning", f"{name} line {line}: {what}", name, line)
            for file in answer.files:
                self._report.files += 1
                self._note_file(file, line)

    def _find_offered(self, instruction: Instruction) -> frozenset[str]:
        """The options of a question as texts, put together once however many answer it."""
        found = self._offered.get(instruction.id)
        if found is None:
            options = (*instruction.options, *instruction.retired_options)
            found = frozenset(scalar_text(option.value) for option in options)
            self._offered[instruction.id] = found
        return found

    def _note_file(self, file: UploadedFile, line: int) -> None:
        name = RESPONSES
        member = self._export.find_member(file.path)
        path = file.path if member is None else member.name
        if path != file.path:
            message = f"{file.path!r} is stored in another Unicode form of its name."
            self._report.add("warning", message, file.path, line)
        if (other := self._files.get(path)) is not None:
            message = f"{name} line {line} names {file.path!r}, as line {other.line} does."
            self._report.add("error", message, name, line)
        if not file.path.rsplit("/", 1)[-1].startswith(file.submission_id):
            self._report.add("warning", f"{file.path!r} is not named after its submission.", file.path, line)
        digest: bytes | None = None
        if file.sha256 is not None:
            try:
                digest = bytes.fromhex(file.sha256)
            except ValueError:
                message = f"{name} line {line}: the SHA-256 of {file.path!r} is not one."
                self._report.add("error", message, name, line)
        self._files[path] = _Named(line, file.size_bytes, digest)

    def check_references(self) -> None:
        members = self._export.members
        for path, (line, size_bytes, _) in self._files.items():
            member = members.get(path)
            if member is None:
                message = f"{RESPONSES} line {line} names {path!r}, which the archive doesn't hold."
                self._report.add("error", message, path, line)
            elif size_bytes is not None and size_bytes != member.size_bytes:
                message = (
                    f"{path!r} has {say_count(member.size_bytes, 'byte')}; line {line} says {size_bytes:,}."
                )
                self._report.add("error", message, path, line)
        if self._complete:
            for name in members:
                if name not in self._files and name.startswith(FILES):
                    self._report.add("error", f"{name!r} belongs to no answer.", name)
        if self._has_collection:
            self._check_counts()

    def _check_counts(self) -> None:
        recorded = self._export.collection.export
        for key, found, noun in (
            ("submission_count", self._report.submissions, "submissions"),
            ("file_count", self._report.files, "files"),
        ):
            wanted = recorded.get(key)
            if isinstance(wanted, int) and wanted != found:
                message = f"{COLLECTION} counts {wanted:,} {noun}; {RESPONSES} has {found:,}."
                self._report.add("error", message, COLLECTION)

    def check_contents(self, progress: Callable[[int, int], None] | None) -> None:
        if bomb := self._export.limits.explain_bomb(self._export.members.values()):
            self._report.add("error", f"The contents are not checked: {bomb}.")
            return
        total = sum(member.size_bytes for member in self._export.members.values() if member.problem is None)
        for name, member in self._export.members.items():
            if member.problem is not None:
                continue
            try:
                for contradiction in self._export.source.contradictions(name):
                    self._report.add("error", f"{name!r} is damaged: {contradiction}.", name)
                digest, crc, size = self._read(name, total, progress)
            except ArchiveError as error:
                self._report.add("error", str(error), name)
                continue
            if size != member.size_bytes:
                message = f"{name!r} has {say_count(size, 'byte')}; the directory says {member.size_bytes:,}."
                self._report.add("error", message, name)
            elif member.crc32 is not None and crc != member.crc32:
                self._report.add("error", f"{name!r} is damaged: its contents don't match its CRC-32.", name)
            wanted = self._files[name].sha256 if name in self._files else None
            if wanted is not None and wanted != digest:
                self._report.add("error", f"{name!r} is not what was uploaded: its SHA-256 differs.", name)

        self._check_container()

    def _check_container(self) -> None:
        try:
            strays = self._export.source.count_stray_bytes()
        except ArchiveError as error:
            self._report.add("error", str(error))
            return
        if strays:
            self._report.add("warning", f"{say_count(strays, 'byte')} of the ZIP belong to no member.")

    def _read(
        self, name: str, total: int, progress: Callable[[int, int], None] | None
    ) -> tuple[bytes, int, int]:
        digest, crc, size = hashlib.sha256(), 0, 0
        with self._export.open_file(name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                crc = zlib.crc32(chunk, crc)
                size += len(chunk)
                self._report.checked_bytes += len(chunk)
                if progress:
                    progress(self._report.checked_bytes, total)
        return digest.digest(), crc, size
