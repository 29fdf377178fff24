"""Taking an archive over: files into storage, then the rows that name them, some hundred submissions at a time.

Reading goes on while files are being stored, and both while rows are being written. Each batch of rows is one
transaction, which says how far it comes: whoever runs the import again goes on there. Files are noted before they are
stored, and thrown away where their rows did not come: by another run, a discard, or within the hour.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from fieldpack.archive.members import RESPONSES
from fieldpack.archive.records import dump_json, format_time
from fieldpack.errors import ArchiveError, FieldpackError
from fieldpack.filetypes import OCTETS, name_content_type
from fieldpack.reading.lines import iter_lines
from fieldpack.reading.reader import OpenArchive
from fieldpack.server.imports import queries
from fieldpack.server.imports.checking import Checked, Tell
from fieldpack.server.imports.files import FileTaker, StoredFile
from fieldpack.server.imports.ids import choose_id, is_kept
from fieldpack.server.imports.instructions import Blueprint
from fieldpack.server.imports.lines import LineReader, Taken, TakenFile
from fieldpack.server.imports.paths import choose_paths, clean_content_type
from fieldpack.server.imports.rows import ImportRow
from fieldpack.server.storage import Storage, blob_key

__all__ = ["Job", "copy", "list_taken", "naming"]

BATCH_LINES = 500
BLOCK_BYTES = 1 << 20
AHEAD = 2  # batches of rows that wait for their files, or are being written


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be taken over, and as what.

    Attributes:
        instructions, studies: by id in the archive, what each is called here.
        erased: who was erased here, as `erasure_list.read_erased` says.
    """

    archive: OpenArchive
    checked: Checked
    row: ImportRow
    blueprint: Blueprint
    instructions: Mapping[str, UUID]
    studies: Mapping[str, UUID]
    erased: Set[bytes]


@dataclass
class _File:
    taken: TakenFile
    path: str
    stored: StoredFile | Future[StoredFile]


@dataclass
class _Submission:
    taken: Taken
    id: UUID
    files: list[_File]


@dataclass
class _Batch:
    """Lines after `before` up to `last`."""

    before: int
    last: int
    submissions: list[_Submission] = field(default_factory=list)
    blobs: list[UUID] = field(default_factory=list)
    erased: int = 0
    stored: list[Future[None]] = field(default_factory=list)


def copy(
    job: Job, storage: Storage, scratch: Path, connect: Callable[[], queries.Blocking], tell: Tell
) -> None:
    """Take over what is left of the archive. Blocking.

    Args:
        connect: opens a connection to the database.

    Raises:
        ArchiveError: a file is not what was said of it; what was taken over before stays, for another run.
        StorageError, psycopg.Error: storage or database failed; the same.
    """
    with (
        closing(connect()) as reader,
        closing(connect()) as writer,
        FileTaker(job.archive, storage, scratch) as files,
        ThreadPoolExecutor(
            1, thread_name_prefix="import-rows"
        ) as rows,  # left first: what was read is written
    ):
        waiting: deque[tuple[_Batch, Future[None]]] = deque()
        done = job.row.submissions

        def finish() -> None:
            nonlocal done
            batch, future = waiting.popleft()
            future.result()
            done += len(batch.submissions)
            tell("Importing", done, job.checked.submissions)

        for batch in _iter_batches(job, reader, files):
            waiting.append((batch, rows.submit(_write, job, writer, batch)))
            while waiting and (len(waiting) > AHEAD or waiting[0][1].done()):
                finish()
        while waiting:
            finish()


def _iter_batches(job: Job, reader: queries.Blocking, files: FileTaker) -> Iterator[_Batch]:
    lines = LineReader(job.archive, job.checked.instructions, job.checked.made_at)
    before = job.row.lines
    chunk: list[Taken] = []
    for first, block in job.archive.iter_response_blocks(BLOCK_BYTES):
        if first + block.count(b"\n") <= before:
            continue
        for number, line in iter_lines(block, first):
            if number <= before:
                continue
            chunk.append(lines.read(line, number))
            if len(chunk) == BATCH_LINES:
                yield (batch := _take(job, reader, files, before, chunk))
                before, chunk = batch.last, []
    if chunk:
        yield _take(job, reader, files, before, chunk)


def _take(job: Job, reader: queries.Blocking, files: FileTaker, before: int, chunk: list[Taken]) -> _Batch:
    """Choose ids for some submissions, and take their files over."""
    here = list_taken(reader, chunk, job.row.id, job.erased)
    batch = _Batch(before, chunk[-1].number)
    batch.blobs = [uuid4() for taken in chunk for _ in taken.files]
    queries.note_blobs(reader, job.row.id, batch.blobs)
    blobs = iter(batch.blobs)
    for taken in chunk:
        known = here.get(UUID(taken.submission_id)) if is_kept(taken.submission_id) else None
        if known:
            batch.erased += 1
            continue
        chosen = choose_id(job.row.id, "submission", taken.submission_id, is_taken=known is not None)
        paths = choose_paths(str(chosen), taken)
        batch.submissions.append(
            _Submission(
                taken,
                chosen,
                [
                    _File(file, path, files.take(file, taken.number, next(blobs)))
                    for file, path in zip(taken.files, paths, strict=True)
                ],
            )
        )
    batch.stored = files.flush()
    return batch


def list_taken(
    connection: queries.Blocking, chunk: list[Taken], import_id: UUID, erased: Set[bytes]
) -> dict[UUID, bool]:
    """Of those of an archive whose ids could stay: which are something here already, and not of this import; True for
    those that were erased.

    Args:
        erased: as `erasure_list.read_erased` says.
    """
    ids = [UUID(taken.submission_id) for taken in chunk if is_kept(taken.submission_id)]
    here = queries.list_taken_submissions(connection, ids, import_id)
    return here | {key: True for key in ids if key.bytes in erased}


def _write(job: Job, connection: queries.Blocking, batch: _Batch) -> None:
    """The rows of a batch, once its files are stored."""
    for future in batch.stored:
        future.result()
    for submission in batch.submissions:
        for file in submission.files:
            if isinstance(file.stored, Future):
                file.stored = file.stored.result()
    where = f"{RESPONSES} lines {batch.before + 1} to {batch.last}"
    with naming(where, RESPONSES, batch.before + 1), connection.transaction():
        _write_rows(job, connection, batch)


@contextmanager
def naming(where: str, member: str, line: int | None = None) -> Iterator[None]:
    """Say what of an archive it was that the database refuses to store.

    Args:
        where: the part of the archive, as a message begins with it.

    Raises:
        ArchiveError: for a `psycopg.DataError`, or more than PostgreSQL can hold.
    """
    try:
        yield
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ArchiveError(f"{where} can't be stored: {reason}.", member=member, line=line) from error


def _leave_out_erased(job: Job, connection: queries.Blocking, batch: _Batch) -> None:
    """Somebody may have been erased while the files were stored: theirs are thrown away."""
    here = list_taken(connection, [each.taken for each in batch.submissions], job.row.id, job.erased)
    gone = [
        each
        for each in batch.submissions
        if is_kept(each.taken.submission_id) and here.get(UUID(each.taken.submission_id))
    ]
    if not gone:
        return
    batch.submissions = [each for each in batch.submissions if each not in gone]
    batch.erased += len(gone)
    stored = [file.stored for each in gone for file in each.files]
    queries.throw_away(
        connection, [blob_key(each.blob_id) for each in stored if isinstance(each, StoredFile)]
    )


def _write_rows(job: Job, connection: queries.Blocking, batch: _Batch) -> None:
    _leave_out_erased(job, connection, batch)
    rows = _Rows(job, connection, batch)
    if not queries.advance(
        connection,
        job.row.id,
        before=batch.before,
        lines=batch.last,
        blobs=batch.blobs,
        submissions=len(batch.submissions),
        files=len(rows.uploads),
        file_bytes=sum(row[1] for row in rows.blobs),
        erased=batch.erased,
    ):
        raise FieldpackError("This import was taken over by another run, or discarded: run it again.")
    for columns, made in (
        (queries.SUBMISSIONS, rows.submissions),
        (queries.ANSWERS, rows.answers),
        (queries.BLOBS, rows.blobs),
        (queries.UPLOADS, rows.uploads),
        (queries.RENAMED, rows.renamed),
    ):
        if made:
            queries.copy_rows(connection, columns, made)


class _Rows:
    """The rows of a batch, table by table."""

    def __init__(self, job: Job, connection: queries.Blocking, batch: _Batch) -> None:
        self._job = job
        self.submissions: list[tuple[Any, ...]] = []
        self.answers: list[tuple[Any, ...]] = []
        self.blobs: list[tuple[Any, ...]] = []
        self.uploads: list[tuple[Any, ...]] = []
        self.renamed: list[tuple[Any, ...]] = []
        pairs = {(job.studies[each.taken.study_id], each.taken.participant_id) for each in batch.submissions}
        self._ordinals = {
            (each.study_id, each.participant_id): each.ordinal
            for each in queries.list_ordinals(connection, list(pairs))
        }
        for submission in batch.submissions:
            self._add(submission)

    def _add(self, submission: _Submission) -> None:
        job, taken = self._job, submission.taken
        study_id = job.studies[taken.study_id]
        pair = (study_id, taken.participant_id)
        self._ordinals[pair] = ordinal = self._ordinals.get(pair, 0) + 1
        values: dict[str, list[dict[str, Any]]] = {}
        upload_bytes = 0
        for position, file in enumerate(submission.files):
            upload_bytes += self._add_file(submission, file, position)
            values.setdefault(file.taken.instruction_id, []).append(_describe_file(file))
        responses: dict[str, dict[str, Any]] = {}
        for key, response in taken.responses.items():
            new = str(job.instructions[key])
            if key in values:
                responses[new] = {**response, "value": values[key]}
                continue
            if response["type"] == "file_upload":
                continue  # of no file at all: as if it was not answered
            responses[new] = response
            value = {name: each for name, each in response.items() if name != "type"}
            self.answers.append(
                (submission.id, new, dump_json(value).decode(), taken.completed_at, taken.completed_at)
            )
        self.submissions.append(
            (
                submission.id,
                study_id,
                job.row.collection_id,
                job.blueprint.find_version(taken.started_at, taken.responses),
                taken.participant_id,
                ordinal,
                taken.status,
                "active",
                True,
                taken.started_at,
                taken.completed_at,
                taken.edited_at,
                _write_line_end(taken, responses),
                len(submission.files),
                len(responses),
                upload_bytes,
                1,
                job.row.id,
            )
        )
        if str(submission.id) != taken.submission_id:
            self.renamed.append((job.row.id, "submission", taken.submission_id, submission.id))

    def _add_file(self, submission: _Submission, file: _File, position: int) -> int:
        stored = file.stored
        assert isinstance(stored, StoredFile)
        taken = file.taken
        content_type = _content_type(taken)
        self.blobs.append((stored.blob_id, stored.size_bytes, stored.crc32, stored.sha256, content_type))
        at = submission.taken.completed_at
        self.uploads.append(
            (
                uuid4(),
                submission.id,
                self._job.instructions[taken.instruction_id],
                taken.file_name,
                stored.size_bytes,
                stored.size_bytes,
                stored.crc32,
                content_type,
                stored.blob_id,
                at,
                at,
                at,
                position,
                file.path,
            )
        )
        return stored.size_bytes


def _content_type(file: TakenFile) -> str:
    return clean_content_type(file.content_type) or name_content_type(file.file_name) or OCTETS


def _describe_file(file: _File) -> dict[str, Any]:
    """A file as `responses` lists it: as it was, but for a path that had to become another."""
    entry, stored = file.taken.entry, file.stored
    assert isinstance(stored, StoredFile)
    made = {
        "path": file.path,
        "file_name": file.taken.file_name,
        "content_type": _content_type(file.taken),
        "size_bytes": stored.size_bytes,
        "sha256": stored.sha256.hex(),
    }
    known = {name: value for name, value in entry.items() if name in made and value is not None}
    return {**made, **known, **entry, "path": file.path} if len(known) == len(made) else {**entry, **made}


def _write_line_end(taken: Taken, responses: dict[str, Any]) -> str:
    """What `submissions.line_end` holds; see `exports.line_queries`."""
    started, completed = format_time(taken.started_at), format_time(taken.completed_at)
    edited = f'"edited_at":"{format_time(taken.edited_at)}",' if taken.edited_at else ""
    extra = b"," + dump_json(dict(taken.extra))[1:-1] if taken.extra else b""
    written = dump_json(responses) + extra
    return f'"started_at":"{started}","completed_at":"{completed}",{edited}"responses":{written.decode()}}}\n'
