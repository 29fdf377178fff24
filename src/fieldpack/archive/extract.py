"""Write an archive's files to a folder: whole, by submission, by question or flat; all or some of them."""

from __future__ import annotations

import fnmatch
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from fieldpack.archive.columns import make_slug
from fieldpack.archive.model import Instruction, UploadedFile
from fieldpack.archive.naming import safe_name
from fieldpack.archive.source import explain_unsafe_name
from fieldpack.errors import ArchiveError, FieldpackError, UsageError

if TYPE_CHECKING:
    from fieldpack.archive.reader import Export

__all__ = ["By", "Extracted", "Selection", "extract_export"]

By = Literal["submission", "instruction", "flat"]

_CHUNK = 1 << 20
_METADATA = ("responses.jsonl", "collection.json", "README.md")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files: those that fit every criterion given.

    Attributes:
        submissions: submission ids.
        instructions: ids or texts of questions.
        types: content types (`image/png`, `image/*`) or extensions (`.png`).
    """

    submissions: Collection[str] = ()
    instructions: Collection[str] = ()
    types: Collection[str] = ()

    @property
    def is_everything(self) -> bool:
        return not (self.submissions or self.instructions or self.types)

    def matches_type(self, file: UploadedFile) -> bool:
        content_type = (file.content_type or "").lower()
        for wanted in self.types:
            if wanted.startswith("."):
                if file.path.lower().endswith(wanted.lower()):
                    return True
            elif fnmatch.fnmatch(content_type, wanted.lower()):
                return True
        return not self.types


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was written: `paths` in order, and `missing`, the files that answers name and the archive
    lacks."""

    folder: Path
    paths: list[Path]
    size_bytes: int
    missing: list[str]


@dataclass(frozen=True, slots=True)
class _Task:
    member: str
    target: Path
    size_bytes: int


def extract_export(
    export: Export,
    folder: str | os.PathLike[str],
    *,
    by: By | None = None,
    selection: Selection | None = None,
    files: Iterable[UploadedFile] | None = None,
    rename: Callable[[str], str] | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Extracted:
    """Write files to `folder`, which is made if need be.

    Args:
        export: the open archive.
        folder: where to. Nothing is ever written outside it, whatever a member is called.
        by: None keeps the archive's own layout, `responses.jsonl` and the rest included; `submission` makes a
            folder per submission, `instruction` one per question, `flat` none.
        selection: which files.
        files: exactly these files instead, in this order.
        rename: with `files`, makes another of each safe name; `by` is not None then.
        force: replace files that are there already.
        progress: called with bytes done and bytes in all.

    Returns:
        What was written. Each file appears under its name only when it is whole, so an interrupted run can be
        repeated with `force`.

    Raises:
        ArchiveError: a member is unsafe, damaged or too large; names it.
        UsageError: the selection names what isn't there.
        FieldpackError: a file is there already, the disk is full, or the folder can't be written to.
    """
    if by not in (None, "submission", "instruction", "flat"):
        raise UsageError(f"by is one of submission, instruction, flat, not {by!r}.")
    target = Path(folder)
    missing: list[str] = []
    if files is None:
        tasks = list(_plan(export, target, by, selection or Selection(), missing))
    else:
        tasks = list(_place(export, target, by, files, missing, rename))
    total = sum(task.size_bytes for task in tasks)
    limit = export.limits.extract_bytes
    if limit is not None and total > limit:
        raise ArchiveError(f"{export.label} would unpack to {total:,} bytes; the limit is {limit:,}.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target).free
    except OSError as error:
        raise UsageError(
            f"{target} can't be written to: {(error.strerror or str(error)).lower()}."
        ) from error
    if total > free:
        raise FieldpackError(f"{target} has {free:,} bytes free; the files need {total:,}.")
    root = target.resolve()
    if not force:
        for task in tasks:
            if os.path.lexists(task.target):
                raise FieldpackError(f"{task.target} is there already; use --force to replace what is there.")
    done = 0
    for task in tasks:
        done = _write(export, task, root, done, total, progress)
    return Extracted(target, [task.target for task in tasks], total, missing)


def _plan(
    export: Export, folder: Path, by: By | None, selection: Selection, missing: list[str]
) -> Iterator[_Task]:
    members = export.members
    if by is None and selection.is_everything:
        for name, member in members.items():
            if member.problem:
                raise ArchiveError(
                    f"{export.label}: {name!r} is not extracted: {member.problem}. Nothing was written.",
                    member=name,
                )
            yield _Task(name, folder.joinpath(*name.split("/")), member.size_bytes)
        return
    yield from _place(export, folder, by, _select(export, selection), missing)


def _select(export: Export, selection: Selection) -> Iterator[UploadedFile]:
    wanted = {export.get_instruction(name).id for name in selection.instructions}
    unseen = set(selection.submissions)
    for submission in export.iter_submissions():
        if selection.submissions and submission.submission_id not in selection.submissions:
            continue
        unseen.discard(submission.submission_id)
        for file in submission.files:
            if (not wanted or file.instruction_id in wanted) and selection.matches_type(file):
                yield file
    if unseen:
        raise UsageError(f"The archive has no submission {', '.join(sorted(unseen))}.")


def _place(
    export: Export,
    folder: Path,
    by: By | None,
    files: Iterable[UploadedFile],
    missing: list[str],
    rename: Callable[[str], str] | None = None,
) -> Iterator[_Task]:
    places = _Places({instruction.id: instruction for instruction in export.instructions}, rename)
    for file in files:
        member = export.find_member(file.path)
        if member is None:
            missing.append(file.path)
            continue
        if problem := member.problem or explain_unsafe_name(file.path):
            raise ArchiveError(
                f"{export.label}: {file.path!r} is not extracted: {problem}. Nothing was written.",
                member=file.path,
            )
        yield _Task(member.name, folder.joinpath(*places.place(file, by)), member.size_bytes)


class _Places:
    """Where each file goes. Every part is made safe here, whatever the archive calls it."""

    def __init__(
        self, instructions: dict[str, Instruction], rename: Callable[[str], str] | None = None
    ) -> None:
        self._instructions = instructions
        self._rename = rename or (lambda name: name)
        self._folders: dict[str, str] = {}
        self._folder_keys: set[str] = set()
        self._taken: set[str] = set()

    def place(self, file: UploadedFile, by: By | None) -> tuple[str, ...]:
        base = self._rename(safe_name(file.path))
        if by is None:
            parts: tuple[str, ...] = tuple(file.path.split("/"))
        elif by == "submission":
            inner = base.removeprefix(safe_name(file.submission_id) + "_")
            parts = (safe_name(file.submission_id), safe_name(inner))
        elif by == "instruction":
            parts = (self._name_folder(file.instruction_id), base)
        else:
            parts = (base,)
        stem, dot, extension = parts[-1].rpartition(".")
        unique, number = parts, 1
        while "/".join(unique).casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}{dot}{extension}" if dot and stem else f"{parts[-1]}-{number}"
            unique = (*parts[:-1], name)
        self._taken.add("/".join(unique).casefold())
        return unique

    def _name_folder(self, instruction_id: str) -> str:
        if instruction_id not in self._folders:
            instruction = self._instructions.get(instruction_id)
            slug = make_slug(instruction.description) if instruction else ""
            name = safe_name(slug or instruction_id)
            if name.casefold() in self._folder_keys:
                name = safe_name(f"{name}_{instruction_id}")
            self._folder_keys.add(name.casefold())
            self._folders[instruction_id] = name
        return self._folders[instruction_id]


def _write(
    export: Export,
    task: _Task,
    root: Path,
    done: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Write one file beside its name, then move it into place."""
    # A name that no member and no file of anybody's has: participants may upload `a.jpg` and `a.jpg.part`.
    part = task.target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        # A link that was in the folder before must not lead out of it.
        if not task.target.parent.resolve().is_relative_to(root):
            raise ArchiveError(
                f"{task.target} is not written: a link leads out of {root}.", member=task.member
            )
        task.target.parent.mkdir(parents=True, exist_ok=True)
        with export.open_file(task.member) as source, part.open("xb") as out:
            done = _copy(source, out, done, total, progress)
        os.replace(part, task.target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FieldpackError(f"{task.target} can't be written: {reason}.") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return done


def _copy(
    source: BinaryIO, out: BinaryIO, done: int, total: int, progress: Callable[[int, int], None] | None
) -> int:
    while chunk := source.read(_CHUNK):
        out.write(chunk)
        done += len(chunk)
        if progress:
            progress(done, total)
    return done
