"""Write an archive's files to a folder: as they are, by submission, by question or flat; all or some of them."""

from __future__ import annotations

import fnmatch
import os
import stat
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from fieldpack.archive.members import explain_outsider, is_member
from fieldpack.archive.naming import safe_name
from fieldpack.archive.slugs import Variants, make_slug
from fieldpack.containment import ContainedFolder, name_kind
from fieldpack.errors import ArchiveError, FieldpackError, InTheWay, UsageError
from fieldpack.reading.model import Instruction, UploadedFile
from fieldpack.reading.source import find_outsiders
from fieldpack.text import say_bytes

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["By", "Extracted", "Selection", "extract_export"]

By = Literal["submission", "instruction", "flat"]

_CHUNK = 1 << 20


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
        """Whether there is no criterion."""
        return not (self.submissions or self.instructions or self.types)

    def matches_type(self, file: UploadedFile) -> bool:
        """Whether a file is of one of `types`; every file is when there are none."""
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
    """What was written.

    Attributes:
        folder: where to.
        paths: the files, in order.
        size_bytes: of all of them.
        missing: files that answers name and the archive lacks.
        ignored: what is in the archive but not written, because no archive has such members: name and reason.
    """

    folder: Path
    paths: list[Path]
    size_bytes: int
    missing: list[str]
    ignored: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Task:
    member: str
    name: str
    """Of the file, relative to the folder, with `/` between the names."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _LeftOut:
    missing: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)


def extract_export(
    export: OpenArchive,
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
        ArchiveError: a member is damaged, a link or encrypted, or all of them unpack to too much.
        UsageError: the selection names what isn't there.
        FieldpackError: a file is there already, a link leads out of the folder, the disk is too full, or the
            folder can't be written to.
    """
    if by not in (None, "submission", "instruction", "flat"):
        raise UsageError(f"by is one of submission, instruction, flat, not {by!r}.")
    target = Path(folder)
    left_out = _LeftOut()
    if files is None:
        tasks = list(_plan(export, by, selection or Selection(), left_out))
    else:
        tasks = list(_place(export, by, files, left_out, rename))
    total = sum(task.size_bytes for task in tasks)
    _check_size(export, tasks, total)
    is_new = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        lack = export.limits.explain_lack(target, total)
        opened = ContainedFolder(target)
    except OSError as error:
        raise FieldpackError(
            f"{target} can't be written to: {(error.strerror or str(error)).lower()}."
        ) from error
    if lack:
        opened.close()
        if is_new:
            with suppress(OSError):
                target.rmdir()
        raise FieldpackError(f"{lack}.")
    with opened as inside:
        try:
            _write_all(export, inside, tasks, force, total, progress)
        except InTheWay as error:
            raise FieldpackError(
                f"{target / error.name} {error.reason}: move it away, or choose another folder."
            ) from error
    paths = [target.joinpath(*task.name.split("/")) for task in tasks]
    return Extracted(target, paths, total, left_out.missing, left_out.ignored)


def _check_size(export: OpenArchive, tasks: list[_Task], total: int) -> None:
    limit = export.limits.extract_bytes
    if limit is not None and total > limit:
        raise ArchiveError(
            f"{export.label} would unpack to {say_bytes(total)}; the limit is {say_bytes(limit)}."
        )
    if bomb := export.limits.explain_bomb(export.members[task.member] for task in tasks):
        raise ArchiveError(f"{export.label} is not extracted: {bomb}. Nothing was written.")


def _plan(export: OpenArchive, by: By | None, selection: Selection, left_out: _LeftOut) -> Iterator[_Task]:
    members = export.members
    if by is None and selection.is_everything:
        left_out.ignored.update(find_outsiders(export.source, members))
        for name, member in members.items():
            if name in left_out.ignored:
                continue
            if member.problem:
                raise ArchiveError(
                    f"{export.label}: {name!r} is not extracted: {member.problem}. Nothing was written.",
                    member=name,
                )
            yield _Task(name, name, member.size_bytes)
        return
    yield from _place(export, by, _select(export, selection), left_out)


def _select(export: OpenArchive, selection: Selection) -> Iterator[UploadedFile]:
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
    export: OpenArchive,
    by: By | None,
    files: Iterable[UploadedFile],
    left_out: _LeftOut,
    rename: Callable[[str], str] | None = None,
) -> Iterator[_Task]:
    places = _Places({instruction.id: instruction for instruction in export.instructions}, rename)
    for file in files:
        member = export.find_member(file.path)
        if member is None:
            left_out.missing.append(file.path)
            continue
        # sorted, a file gets a name of ours, whatever characters its own has
        if not is_member(member.name) or (by is None and explain_outsider(file.path)):
            left_out.ignored[file.path] = explain_outsider(file.path) or "it is no uploaded file"
            continue
        if member.problem:
            raise ArchiveError(
                f"{export.label}: {file.path!r} is not extracted: {member.problem}. Nothing was written.",
                member=file.path,
            )
        yield _Task(member.name, "/".join(places.place(file, by)), member.size_bytes)


class _Places:
    """Where each file goes. Every name in its path is made safe here, whatever the archive calls it."""

    def __init__(
        self, instructions: dict[str, Instruction], rename: Callable[[str], str] | None = None
    ) -> None:
        self._instructions = instructions
        self._rename = rename or (lambda name: name)
        self._folders: dict[str, str] = {}
        self._folder_keys: set[str] = set()
        self._variants = Variants()

    def place(self, file: UploadedFile, by: By | None) -> tuple[str, ...]:
        base = self._rename(safe_name(file.path))
        if by is None:
            names: tuple[str, ...] = tuple(file.path.split("/"))
        elif by == "submission":
            inner = base.removeprefix(safe_name(file.submission_id) + "_")
            names = (safe_name(file.submission_id), safe_name(inner))
        elif by == "instruction":
            names = (self._name_folder(file.instruction_id), base)
        else:
            names = (base,)
        stem, dot, extension = names[-1].rpartition(".")

        def number_it(number: int) -> str:
            name = f"{stem}-{number}{dot}{extension}" if dot and stem else f"{names[-1]}-{number}"
            return "/".join((*names[:-1], name))

        return tuple(self._variants.add("/".join(names), number_it).split("/"))

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


def _write_all(
    export: OpenArchive,
    folder: ContainedFolder,
    tasks: list[_Task],
    force: bool,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    for task in tasks:
        found = folder.find(task.name)
        if found is None:
            continue
        if not force:
            raise FieldpackError(
                f"{folder.path / task.name} is there already; use --force to replace what is there."
            )
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
            raise InTheWay(task.name, f"is {name_kind(found)} and can't be replaced")
    done = 0
    written: set[str] = set()
    for task in tasks:
        # two names may be one file on a file system that ignores case: then neither replaces the other
        key = task.name.casefold()
        done = _write(export, task, folder, force and key not in written, done, total, progress)
        written.add(key)


def _write(
    export: OpenArchive,
    task: _Task,
    folder: ContainedFolder,
    replacing: bool,
    done: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Write one file beside its name, then move it into place."""
    # a random name, because a participant may have uploaded both `a.jpg` and `a.jpg.part`
    beside, slash, _ = task.name.rpartition("/")
    draft = f"{beside}{slash}.{uuid.uuid4().hex}.part"
    try:
        with export.open_file(task.member) as source, folder.create(draft) as out:
            done = _copy(source, out, done, total, progress)
        folder.move(draft, task.name, replacing=replacing)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FieldpackError(f"{folder.path / task.name} can't be written: {reason}.") from error
    finally:
        with suppress(OSError, InTheWay):
            folder.remove(draft)
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
