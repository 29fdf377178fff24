"""Whole archives and lines of `responses.jsonl`, made in one go: the server makes both a piece at a time."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import BinaryIO

import orjson

from fieldpack.archive.index import FOOTER_BYTES, BlobRange, Index, IndexRange, PageRange, Span
from fieldpack.archive.layout import IndexSummary, IndexWriter, Member
from fieldpack.archive.naming import MemberNames
from fieldpack.archive.records import dump_json, format_time
from fieldpack.errors import ArchiveError

_READ_BYTES = 1 << 20


def open_index(file: BinaryIO) -> Index:
    """The index in a seekable file.

    Raises:
        ArchiveError: the file is no index, or a damaged one.
    """
    size = file.seek(0, io.SEEK_END)
    tail = _read_at(file, max(size - FOOTER_BYTES, 0), min(size, FOOTER_BYTES))
    needed = Index.bytes_needed(tail)
    return Index.open(_read_at(file, max(size - needed, 0), min(size, needed)))


def iter_spans(index: Index, file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[Span]:
    """The spans of bytes `start` … `stop` of the archive whose index is in `file`."""
    for part in index.plan(start, stop):
        if isinstance(part, PageRange):
            yield from index.spans(part.page, _read_at(file, part.offset, part.length), start, stop)
        elif isinstance(part, IndexRange):
            yield _read_at(file, part.offset, part.length)
        else:
            yield part


def iter_archive(
    index: Index,
    file: BinaryIO,
    open_blob: Callable[[BlobRange], BinaryIO],
    start: int = 0,
    stop: int | None = None,
) -> Iterator[bytes]:
    """Bytes `start` … `stop` of the archive, in chunks of at most 1 MiB.

    Args:
        index: the opened index.
        file: the file it was opened from.
        open_blob: opens what is stored for a member; it is read from `BlobRange.offset` on, and closed.

    Raises:
        ArchiveError: a blob is shorter than its member.
    """
    for span in iter_spans(index, file, start, stop):
        if not isinstance(span, BlobRange):
            yield span
            continue
        with open_blob(span) as blob:
            blob.seek(span.offset)
            left = span.length
            while left:
                chunk = blob.read(min(left, _READ_BYTES))
                if not chunk:
                    raise ArchiveError(f"What is stored for {span.name!r} is cut short.", member=span.name)
                left -= len(chunk)
                yield chunk


def write_archive(
    out: BinaryIO, members: Iterable[Member], open_blob: Callable[[BlobRange], BinaryIO]
) -> IndexSummary:
    """Write the whole archive of `members` to `out`; see `iter_archive` for `open_blob` and the errors."""
    with tempfile.TemporaryFile() as file:
        writer = IndexWriter(file)
        writer.add_all(members)
        summary = writer.finish()
        for chunk in iter_archive(open_index(file), file, open_blob):
            out.write(chunk)
    return summary


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise ArchiveError("The archive's index is cut short.")
    return data


def encode_record(
    *,
    submission_id: str,
    participant_id: str,
    study_id: str,
    status: str,
    started_at: datetime,
    completed_at: datetime,
    responses: bytes | str,
) -> bytes:
    """One line of responses.jsonl, with its `\\n`. `responses` is what `encode_responses` made."""
    if (b"\n" in responses) if isinstance(responses, bytes) else ("\n" in responses):
        responses = dump_json(orjson.loads(responses))  # it came back from a store that lays JSON out anew
    return dump_json(
        {
            "submission_id": submission_id,
            "participant_id": participant_id,
            "study_id": study_id,
            "status": status,
            "started_at": format_time(started_at),
            "completed_at": format_time(completed_at),
            "responses": orjson.Fragment(responses),
        },
        orjson.OPT_APPEND_NEWLINE,
    )


def member_paths(submission_id: str, file_names: Iterable[str]) -> list[str]:
    """The member paths of all of a submission's files, in the order of `file_names`."""
    names = MemberNames(submission_id)
    return [names.add(file_name) for file_name in file_names]
