"""The rules of uploads: what may be created, what counts against which limit, what is removed when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from fieldpack.filetypes import Listing, extension_of
from fieldpack.server.cleanup.garbage import collect_garbage, throw_away
from fieldpack.server.collections.versions import Items, find_items, get_items
from fieldpack.server.config import Settings
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import GONE, INVALID, TOO_LARGE, UNSUPPORTED_TYPE, Problem, conflict, not_found
from fieldpack.server.storage import blob_key, upload_prefix
from fieldpack.server.thumbnails.service import keys_of
from fieldpack.server.uploads import queries
from fieldpack.server.uploads.receive.digests import LiveDigests
from fieldpack.server.uploads.rows import Claim, FileRow, HolderRow, OpenerRow, UploadRow
from fieldpack.server.values.uuids import is_uuid
from fieldpack.text import say_bytes, say_count

__all__ = [
    "MIB",
    "Created",
    "check_file",
    "closed",
    "create_upload",
    "describe_upload",
    "erase_uploads",
    "fail_upload",
    "find_accepted",
    "find_known_item",
    "find_state",
    "list_files",
    "max_upload_bytes",
    "name_of",
    "read_key",
    "remove_upload",
    "remove_uploads",
    "require_open",
]

MIB = 1 << 20
MAX_KEY = 200
MAX_FAILED = 100  # of a submission, which are still answered as refused


def max_upload_bytes(settings: Settings) -> int:
    """The most that any upload may have, whatever its instruction says."""
    return settings.max_submission_mb * MIB


def find_accepted(item: dict[str, Any]) -> Listing:
    """What a `file_upload` item accepts."""
    return Listing(item["accepted_file_types"])


def closed() -> Problem:
    """The 409 of a submission that was handed in or given up."""
    return conflict("This submission was submitted or returned; its answers and files can't change any more.")


def require_open(open: bool) -> None:
    """Refuse to change answers or files of a submission that was handed in or given up.

    Args:
        open: of a row of the submission, or of one of its uploads.

    Raises:
        Problem: 409.
    """
    if not open:
        raise closed()


def gone(reason: str) -> Problem:
    """A 410 for an upload that was refused."""
    return Problem(GONE, reason)


def _require_size(item: dict[str, Any], length_bytes: int, settings: Settings) -> None:
    limit_bytes = int(item["max_file_size_mb"] * MIB)
    if length_bytes > limit_bytes:
        raise Problem(TOO_LARGE, f"This file is too large: at most {say_bytes(limit_bytes)} are allowed.")
    if length_bytes > max_upload_bytes(settings):
        most = say_bytes(settings.max_submission_mb * MIB)
        raise Problem(TOO_LARGE, f"This file is too large: at most {most} are allowed.")


def _require_type(item: dict[str, Any], file_name: str, length_bytes: int) -> None:
    """Hold the name against what is accepted. One without an extension is left to the content."""
    accepted = find_accepted(item)
    names = ", ".join(sorted(accepted.listed))
    if not accepted.admits_name(file_name):
        extension = extension_of(file_name)
        raise Problem(
            UNSUPPORTED_TYPE, f"Files of type {extension} are not accepted here. Accepted: {names}."
        )
    if length_bytes == 0 and not accepted.admits_empty(file_name):
        raise Problem(UNSUPPORTED_TYPE, f"This file is empty. Accepted: {names}.")


def check_file(item: dict[str, Any], file_name: str, length_bytes: int, settings: Settings) -> None:
    """Hold the size and the name of a file against what its instruction accepts.

    Raises:
        Problem: 413, 415.
    """
    _require_size(item, length_bytes, settings)
    _require_type(item, file_name, length_bytes)


@dataclass(frozen=True, slots=True)
class Created:
    """An upload that was begun just now, or before by a request of the same key."""

    id: UUID
    offset_bytes: int  # what of it is safe
    is_complete: bool
    claim: Claim | None  # of a new one: this request may write to it


class _Known(Exception):
    """The key is that of an upload that is there."""

    def __init__(self, row: UploadRow) -> None:
        self.row = row


def read_key(metadata: dict[str, str]) -> str | None:
    """The key that a client made for an upload, if it did.

    Raises:
        Problem: 400.
    """
    key = metadata.get("key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise Problem(INVALID, {"key": [f"The key in Upload-Metadata has 1 to {MAX_KEY} characters."]})
    return key


async def create_upload(
    context: Context,
    submission_id: UUID,
    study_id: UUID,
    metadata: dict[str, str],
    length_bytes: int,
    *,
    header: str | None = None,
) -> Created:
    """Begin an upload to a submission. A `key` in the metadata that was sent before names the upload that is there.

    Args:
        header: `metadata` as it came, to be given back.

    Raises:
        Problem: 400 for an instruction that takes no files; 413 for a size beyond its limit or the caps of
            submission and study; 415 for a name of a type not accepted, or when the upload of this key was refused;
            409 when there are as many files as allowed, the key is of another file, or files can't change any more.
    """
    key = read_key(metadata)
    try:
        claim = await _insert(context, submission_id, study_id, metadata, length_bytes, header, key)
    except _Known as known:
        row = known.row
        require_open(row.open)
        _require_same(row, metadata, length_bytes)
        if row.failure is not None:
            raise Problem(UNSUPPORTED_TYPE, row.failure) from None
        return Created(row.id, row.offset_bytes, row.blob_id is not None, None)
    return Created(claim.row.id, 0, is_complete=False, claim=claim)


def name_of(metadata: dict[str, str]) -> str:
    """The file's name as its participant has it."""
    return metadata.get("filename", metadata.get("name", ""))


def _require_same(row: UploadRow, metadata: dict[str, str], length_bytes: int) -> None:
    instruction_id = metadata.get("instruction_id", "").lower()
    if (str(row.instruction_id), row.file_name, row.length_bytes) != (
        instruction_id,
        name_of(metadata),
        length_bytes,
    ):
        raise conflict("This key was sent with another file before: make a new key for each file.")


async def _insert(
    context: Context,
    submission_id: UUID,
    study_id: UUID,
    metadata: dict[str, str],
    length_bytes: int,
    header: str | None,
    key: str | None,
) -> Claim:
    """A new upload, which the caller may write to.

    Raises:
        _Known: there is one of this key; nothing was changed.
    """
    instruction_id = metadata.get("instruction_id", "")
    file_name = name_of(metadata)
    settings = context.settings
    async with context.database.transaction() as connection:
        # the study first, then the submission: the order in which everyone locks
        fits = await queries.add_study_bytes(connection, study_id, length_bytes, settings.max_study_mb * MIB)
        row = await queries.lock_submission(connection, submission_id)
        if row is None:
            raise not_found("Submission", submission_id)
        if key is not None:
            known = await queries.find_by_key(connection, row.id, key)
            if known is not None:
                raise _Known(known)  # rolls back what was counted
        require_open(row.open)
        item = await _find_upload_item(connection, context, row, instruction_id)
        check_file(item, file_name, length_bytes, settings)
        identifier = UUID(instruction_id)
        if await queries.count_uploads(connection, row.id, identifier) >= item["max_file_count"]:
            raise conflict(
                f"At most {say_count(item['max_file_count'], 'file')} can be given here. Remove one to add another."
            )
        if not fits:
            raise Problem(TOO_LARGE, "This study has received as many bytes of files as it may take.")
        cap_bytes = settings.max_submission_mb * MIB
        if not await queries.add_submission_bytes(connection, row.id, length_bytes, cap_bytes):
            raise Problem(TOO_LARGE, f"The files of one submission may have {say_bytes(cap_bytes)} together.")
        upload = UploadRow(
            uuid4(),
            row.id,
            row.study_id,
            row.collection_id,
            row.collection_version,
            identifier,
            file_name,
            header,
            length_bytes,
            offset_bytes=0,
            crc32=0,
            content_type=None,
            blob_id=None,
            sha256=None,
            failure=None,
            open=True,
            finishing=False,
        )
        claim = Claim(upload, uuid4(), item, [])
        await queries.insert_upload(connection, upload, claim.writer, key)
    return claim


async def count_free_bytes(context: Context, submission_id: UUID) -> int:
    """Bytes of files that this submission may still take, by its own cap and its study's."""
    settings = context.settings
    async with context.database.transaction() as connection:
        counted = await queries.count_bytes(connection, submission_id)
    free = min(
        settings.max_submission_mb * MIB - counted.of_submission,
        settings.max_study_mb * MIB - counted.of_study,
    )
    return max(free, 0)


async def _find_upload_item(
    connection: Connection, context: Context, row: HolderRow, instruction_id: str
) -> dict[str, Any]:
    items = await get_items(connection, context.caches, row.collection_id, row.collection_version)
    item = _pick(items, instruction_id)
    if item is None:
        raise Problem(
            INVALID,
            {"instruction_id": ["Upload-Metadata must name an instruction of this submission for files."]},
        )
    return item


def _pick(items: Items, instruction_id: str) -> dict[str, Any] | None:
    item = items.get(str(UUID(instruction_id))) if is_uuid(instruction_id) else None
    return item if item is not None and item["type"] == "file_upload" else None


def find_known_item(context: Context, opener: OpenerRow, instruction_id: str) -> dict[str, Any] | None:
    """An instruction for files of a submission; None where there is none, or its collection is not in memory."""
    items = find_items(context.caches, opener.collection_id, opener.collection_version)
    return _pick(items, instruction_id) if items is not None else None


async def get_rules(connection: Connection, context: Context, upload: UploadRow) -> dict[str, Any]:
    """The item that an upload answers, as it was when the participant started."""
    items = await get_items(connection, context.caches, upload.collection_id, upload.collection_version)
    item = items.get(str(upload.instruction_id))
    if item is None:
        raise not_found("Instruction", upload.instruction_id)
    return item


async def find_state(connection: Connection, submission_id: UUID, upload_id: UUID) -> UploadRow:
    """The row of an upload.

    Raises:
        Problem: 404.
    """
    row = await queries.find_upload(connection, submission_id, upload_id)
    if row is None:
        raise not_found("Upload", upload_id)
    return row


def describe_upload(row: UploadRow) -> dict[str, Any]:
    """An upload as `GET` answers it."""
    status = "complete" if row.blob_id else "failed" if row.failure else "uploading"
    return {
        "id": row.id,
        "instruction_id": row.instruction_id,
        "file_name": row.file_name,
        "content_type": row.content_type,
        "status": status,
        "offset": row.offset_bytes,
        "size_bytes": row.length_bytes,
        "sha256": row.sha256.hex() if row.sha256 else None,
        "failure_reason": row.failure,
    }


async def list_files(connection: Connection, submission_id: UUID) -> list[FileRow]:
    """The files of a submission, finished or not, in the order they were begun; without those that were refused."""
    return await queries.list_files(connection, submission_id)


async def remove_upload(context: Context, submission_id: UUID, study_id: UUID, upload_id: UUID) -> None:
    """Remove an upload, finished or not, because the participant asks; its objects are deleted after the commit.

    Raises:
        Problem: 404; 409 when files can't change any more.
    """
    async with context.database.transaction() as connection:
        await queries.lock_study(connection, study_id)
        row = await queries.lock_submission(connection, submission_id)
        if row is None:
            raise not_found("Submission", submission_id)
        found = await queries.find_upload(connection, row.id, upload_id)
        if found is None:
            raise not_found("Upload", upload_id)
        require_open(row.open)
        await remove_uploads(connection, row.study_id, row.id, [upload_id])


async def remove_uploads(
    connection: Connection, study_id: UUID, submission_id: UUID, upload_ids: list[UUID] | None = None
) -> list[UUID]:
    """Remove uploads of a submission (all, or these): rows now, bytes after the commit; those removed.

    The caller has locked the study and the submission, in this order, or nothing at all.
    """
    removed, _ = await _remove(connection, study_id, submission_id, upload_ids)
    return removed


async def _remove(
    connection: Connection, study_id: UUID, submission_id: UUID, upload_ids: list[UUID] | None
) -> tuple[list[UUID], list[str]]:
    """The uploads that were removed, and the keys that storage is to delete."""
    await queries.lock_study(connection, study_id)
    await queries.lock_submission(connection, submission_id)
    rows = await queries.list_removable(connection, submission_id, upload_ids)
    if not rows:
        return [], []
    keys: set[str] = set()
    for row in rows:
        keys.update(row.span_keys)
        if row.blob_id is None:
            keys.update((blob_key(row.id), upload_prefix(row.id)))
        else:
            keys.update((blob_key(row.blob_id), *keys_of(row.blob_id)))
    counted = sum(row.length_bytes for row in rows if row.failure is None)
    await queries.subtract_bytes(connection, study_id, submission_id, counted)
    removed = [row.id for row in rows]
    await queries.delete_uploads(connection, removed, [row.blob_id for row in rows if row.blob_id])
    await throw_away(connection, sorted(keys))
    return removed, sorted(keys)


async def erase_uploads(connection: Connection, submission_id: UUID) -> list[str]:
    """Remove every file of a submission, in the transaction that erases it; the keys that storage is to delete."""
    row = await queries.lock_submission(connection, submission_id)
    if row is None:
        return []
    _, keys = await _remove(connection, row.study_id, submission_id, None)
    return keys


async def fail_upload(context: Context, row: UploadRow, writer: UUID, reason: str) -> None:
    """Mark an upload as failed, subtract its bytes from the caps, and delete what was stored."""
    async with context.database.transaction() as connection:
        await queries.lock_study(connection, row.study_id)
        await queries.lock_submission(connection, row.submission_id)
        if not await queries.set_failed(connection, row.id, writer, reason):
            return
        await queries.remove_failed(connection, row.submission_id, MAX_FAILED)
        await queries.subtract_bytes(connection, row.study_id, row.submission_id, row.length_bytes)
        keys = await queries.delete_spans(connection, row.id)
        await throw_away(connection, [*keys, blob_key(row.id), upload_prefix(row.id)])
    context.caches.get(LiveDigests).forget(row.id)
    await collect_garbage(context.database, context.storage)
