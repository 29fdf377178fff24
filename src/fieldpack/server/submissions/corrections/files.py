"""A file that was handed in, replaced by another: the bytes of the new one are stored, then it takes its place.

The old one keeps its row and its bytes. It is in no archive that is made from then on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from isal import isal_zlib

from fieldpack.archive.naming import MemberNames
from fieldpack.archive.records import FILE_UPLOAD
from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import TOO_LARGE, UNSUPPORTED_TYPE, Problem, conflict, not_found
from fieldpack.server.storage import Buffer, blob_key
from fieldpack.server.submissions.corrections import queries
from fieldpack.server.submissions.corrections.rows import CorrectionRow, NewFile, ReplacedRow
from fieldpack.server.submissions.corrections.service import Correctable, open_for_correction, record
from fieldpack.server.thumbnails.service import request_thumbnails
from fieldpack.server.uploads import queries as upload_queries
from fieldpack.server.uploads.content_types import HEAD_BYTES, judge_content
from fieldpack.server.uploads.service import MIB, check_file, find_accepted
from fieldpack.text import say_bytes

__all__ = ["GivenFile", "find_limit", "replace_file"]

CHUNK_BYTES = 1 << 19


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file as it was sent.

    Attributes:
        name: as whoever sends it has it.
        content: its bytes, on disk where they are many; read from the beginning.
    """

    name: str
    size_bytes: int
    content: BinaryIO


async def find_limit(
    context: Context, caller: Caller, submission_id: UUID, file_key: UUID, version: int | None = None
) -> int:
    """How large the file may be that is to replace another, in bytes.

    Raises:
        Problem: as `replace_file`, as far as can be told before the file is there.
    """
    async with context.database.transaction() as connection:
        found, _ = await _open(connection, context, caller, submission_id, file_key, version)
    return int(found.item["max_file_size_mb"] * MIB)


async def replace_file(
    context: Context,
    caller: Caller,
    submission_id: UUID,
    file_key: UUID,
    given: GivenFile,
    *,
    reason: str,
    version: int | None = None,
) -> CorrectionRow:
    """Put another file in a file's place, by the rules that its participant had.

    Args:
        version: of the answer that the caller has seen; None for whichever there is.

    Raises:
        Problem: 404 for a file that the response does not have (any more); 403; 409 as `open_for_correction`; 413 for
            one that is too large; 415 for one of a type that is not accepted.
        StorageError: see `Storage`.
    """
    async with context.database.transaction() as connection:
        found, _ = await _open(connection, context, caller, submission_id, file_key, version)
    check_file(found.item, given.name, given.size_bytes, context.settings)
    new = await _store(context, found.item, given)
    try:
        async with context.database.transaction() as connection:
            found, old = await _open(connection, context, caller, submission_id, file_key, version)
            made = await _exchange(connection, context, caller, found, old, new, reason)
    except Problem:  # so nothing was committed, and no row can refer to it
        await context.storage.delete([blob_key(new.id)])
        raise
    return made


async def _open(
    connection: Connection,
    context: Context,
    caller: Caller,
    submission_id: UUID,
    file_key: UUID,
    version: int | None,
) -> tuple[Correctable, ReplacedRow]:
    """The response and the file, locked until commit."""
    await require(connection, caller, Action.RESPONSES_CORRECT, submission=submission_id)
    seen = await queries.find_replaceable(connection, submission_id, file_key)
    if seen is None:
        raise not_found("File", file_key)
    found = await open_for_correction(
        connection, context.caches, caller, submission_id, seen.instruction_id, version
    )
    row = await queries.find_replaceable(connection, submission_id, file_key)
    if row is None or row.position is None:
        raise conflict(
            "This file was replaced meanwhile: look at the one that is there now, then correct that."
        )
    return found, row


async def _store(context: Context, item: dict[str, Any], given: GivenFile) -> NewFile:
    """Store the bytes, and look at them.

    Raises:
        Problem: 415.
    """
    sha256, crc32 = hashlib.sha256(), 0

    def take(offset: int, size: int) -> bytes:
        given.content.seek(offset)
        return given.content.read(size)

    async def read(offset: int, size: int) -> bytes:
        return await asyncio.to_thread(take, offset, size)

    head = await read(0, HEAD_BYTES)
    verdict = await judge_content(read, head, given.size_bytes, given.name, find_accepted(item))
    if verdict.refusal is not None:
        raise Problem(UNSUPPORTED_TYPE, verdict.refusal)

    async def chunks() -> AsyncIterator[Buffer]:
        nonlocal crc32
        offset = 0
        while data := await read(offset, CHUNK_BYTES):
            await context.storage.run(sha256.update, data)
            crc32 = isal_zlib.crc32(data, crc32)
            offset += len(data)
            yield data

    id = uuid4()
    if given.size_bytes:
        await context.storage.put_stream(blob_key(id), chunks(), size_hint=given.size_bytes)
    else:
        await context.storage.put(blob_key(id), b"")
    return NewFile(id, given.name, given.size_bytes, crc32, sha256.digest(), verdict.content_type)


async def _exchange(
    connection: Connection,
    context: Context,
    caller: Caller,
    found: Correctable,
    old: ReplacedRow,
    new: NewFile,
    reason: str,
) -> CorrectionRow:
    settings, row = context.settings, found.row
    if not await upload_queries.add_study_bytes(
        connection, row.study_id, new.size_bytes, settings.max_study_mb * MIB
    ):
        raise Problem(TOO_LARGE, "This study has received as many bytes of files as it may take.")
    cap_bytes = settings.max_submission_mb * MIB
    if not await upload_queries.add_submission_bytes(connection, row.id, new.size_bytes, cap_bytes):
        raise Problem(
            TOO_LARGE,
            f"The files of one submission may have {say_bytes(cap_bytes)} together, earlier ones included.",
        )
    response = found.response
    assert response is not None
    files = await queries.list_file_keys(connection, row.id, old.instruction_id)
    at = files.index(old.id)
    path = _choose_path(found, old, new.file_name)
    entry = {
        "path": path,
        "file_name": new.file_name,
        "content_type": new.content_type,
        "size_bytes": new.size_bytes,
        "sha256": new.sha256.hex(),
    }
    value = [*response["value"][:at], entry, *response["value"][at + 1 :]]
    await queries.exchange_upload(connection, row.id, old, new, path, found.stored.now)
    await request_thumbnails(connection, [(new.id, new.content_type)])
    return await record(
        connection,
        caller,
        found,
        {**response, "value": value},
        reason=reason,
        before_files=files,
        after_files=[*files[:at], new.id, *files[at + 1 :]],
    )


def _choose_path(found: Correctable, old: ReplacedRow, file_name: str) -> str:
    """The member name of the new file: its own, unless another file of the submission has it."""
    names = MemberNames(str(found.row.id))
    for response in found.line.responses.values():
        if response["type"] == FILE_UPLOAD:
            for entry in response["value"]:
                if entry["path"] != old.path:
                    names.reserve(entry["path"])
    return names.add(file_name)
