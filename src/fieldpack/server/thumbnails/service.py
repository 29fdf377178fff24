"""The rules of small pictures: of what they are made, when, and who gets them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from uuid import UUID

import structlog

from fieldpack.errors import BlobDamaged, BlobMissing, StorageError
from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.jobs import THUMBNAILS_QUEUE, defer
from fieldpack.server.problems import GONE, Problem, not_found
from fieldpack.server.storage import blob_key, thumbnail_key
from fieldpack.server.thumbnails import queries
from fieldpack.server.thumbnails.formats import PAGES, SIDES
from fieldpack.server.thumbnails.rendering import Limits, NotRendered, Rendered, can_render, render
from fieldpack.server.thumbnails.rows import ClaimedRow, PageRow, ThumbnailRow

__all__ = [
    "Postponed",
    "keys_of",
    "make_next",
    "open_page",
    "open_thumbnail",
    "read_page",
    "read_thumbnail",
    "request_thumbnails",
    "requeue_waiting",
]

TASK = "make_thumbnails"
MIB = 1 << 20
LEASE_SECONDS = 600.0  # after which another worker may take up what one has begun
MOST_ATTEMPTS = 3  # a file that ends the worker itself does so no more often

log = structlog.get_logger()


class Postponed(Exception):
    """Nothing can be made now, for a reason that passes."""


def keys_of(blob_id: UUID) -> list[str]:
    """Where the small pictures of a blob are, if there are any."""
    return [thumbnail_key(blob_id, side) for side in (*SIDES, PAGES)]


async def request_thumbnails(connection: Connection, files: Iterable[tuple[UUID, str]]) -> None:
    """Have small pictures made of blobs that have none yet, once the caller's transaction commits.

    The job is enqueued by who looks for what waits, within seconds: one under a queueing lock, enqueued here, would
    make those who upload at the same moment wait for each other.

    Args:
        files: ids of blobs and their content types; those that nothing here decodes are passed over.
    """
    wanted = [blob_id for blob_id, content_type in files if can_render(content_type)]
    if wanted:
        await queries.insert_waiting(connection, wanted)


async def requeue_waiting(connection: Connection) -> None:
    """Enqueue a job where small pictures are to be made that nobody is making."""
    if await queries.is_any_waiting(connection, LEASE_SECONDS):
        await defer(connection, TASK, queue=THUMBNAILS_QUEUE, queueing_lock=TASK)


async def make_next(context: Context) -> bool:
    """Make the small pictures of the blob that has waited longest; False when none waits.

    Raises:
        Postponed: storage does not answer, or is full.
    """
    async with context.database.transaction() as connection:
        row = await queries.claim_next(connection, LEASE_SECONDS)
    if row is None:
        return False
    try:
        rendered = await _render(context, row)
        await _keep(context, row, rendered)
        log.info("thumbnail.made", blob=str(row.blob_id))
    except NotRendered as refused:
        await _set_unreadable(context, row, refused.reason)
    except (BlobMissing, BlobDamaged):
        await _set_unreadable(context, row, "missing")
    except (StorageError, OSError) as error:
        async with context.database.transaction() as connection:
            await queries.give_back(connection, row.blob_id)
        raise Postponed(str(error)) from error
    return True


async def _set_unreadable(context: Context, row: ClaimedRow, reason: str) -> None:
    log.info("thumbnail.none", blob=str(row.blob_id), content_type=row.content_type, reason=reason)
    async with context.database.transaction() as connection:
        await queries.set_unreadable(connection, row.blob_id, reason)


async def _render(context: Context, row: ClaimedRow) -> Rendered:
    settings = context.settings
    if row.attempts > MOST_ATTEMPTS:
        raise NotRendered("attempts")
    if row.size_bytes > settings.thumbnail_file_mb * MIB:
        raise NotRendered("size")
    limits = Limits(
        settings.thumbnail_memory_mb * MIB,
        settings.thumbnail_seconds,
        settings.thumbnail_megapixels * 1_000_000,
    )
    descriptor = await context.storage.open_whole(blob_key(row.blob_id), row.size_bytes)
    try:
        return await render(descriptor, row.content_type, limits)
    finally:
        os.close(descriptor)


async def _keep(context: Context, row: ClaimedRow, rendered: Rendered) -> None:
    """Store what was made while its row is held: whoever erases the blob comes before that, or finds it all."""
    async with context.database.transaction() as connection:
        if not await queries.lock_waiting(connection, row.blob_id):
            return
        files = []
        for image in rendered.images:
            await context.storage.put(thumbnail_key(row.blob_id, image.side), image.data)
            sha256 = hashlib.sha256(image.data).digest()
            files.append(
                ThumbnailRow(row.blob_id, image.side, image.width, image.height, len(image.data), sha256)
            )
        await queries.set_made(connection, row.blob_id, rendered.width, rendered.height, files)
        if rendered.page_count is not None:
            pages = []
            first = 0
            for number, page in enumerate(rendered.pages, 2):
                size, sha256 = len(page.data), hashlib.sha256(page.data).digest()
                pages.append(PageRow(row.blob_id, number, first, size, page.width, page.height, sha256))
                first += size
            if pages:
                whole = b"".join(page.data for page in rendered.pages)
                await context.storage.put(thumbnail_key(row.blob_id, PAGES), whole)
            await queries.set_pages(connection, row.blob_id, rendered.page_count, pages)


async def open_thumbnail(
    connection: Connection, caller: Caller, collection_id: UUID, file_key: UUID, side: int
) -> ThumbnailRow:
    """A small picture of a file, for whoever may see the file. The audit log has the page that shows it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says; 404 where there is none, 410 for one whose file is gone.
    """
    await require(connection, caller, Action.FILES_READ, collection=collection_id)
    found = await queries.find_thumbnail(connection, collection_id, file_key, side)
    if found is None:
        raise await _explain_missing(connection, collection_id, file_key)
    return found


async def open_page(
    connection: Connection, caller: Caller, collection_id: UUID, file_key: UUID, number: int
) -> PageRow:
    """The picture of a page of a document, as `open_thumbnail`."""
    await require(connection, caller, Action.FILES_READ, collection=collection_id)
    found = await queries.find_page(connection, collection_id, file_key, number)
    if found is None:
        raise await _explain_missing(connection, collection_id, file_key)
    return found


async def _explain_missing(connection: Connection, collection_id: UUID, file_key: UUID) -> Problem:
    if await queries.has_file(connection, collection_id, file_key):
        return not_found("Thumbnail", file_key)
    return Problem(GONE, "This file was erased, or its response is no longer active.")


async def read_thumbnail(context: Context, row: ThumbnailRow) -> bytes:
    """The bytes of a small picture.

    Raises:
        Problem: 404 for one that storage has lost; it is made again.
        StorageError: storage does not answer.
    """
    return await _read(context, row.blob_id, row.side, 0, row.size_bytes)


async def read_page(context: Context, row: PageRow) -> bytes:
    """The bytes of a page's picture, as `read_thumbnail`."""
    return await _read(context, row.blob_id, PAGES, row.first_byte, row.size_bytes)


async def _read(context: Context, blob_id: UUID, side: int, first: int, size: int) -> bytes:
    try:
        return await context.storage.read_range(thumbnail_key(blob_id, side), first, size)
    except (BlobMissing, BlobDamaged):
        async with context.database.transaction() as connection:
            await queries.set_lost(connection, blob_id)
        raise not_found("Thumbnail", blob_id) from None
