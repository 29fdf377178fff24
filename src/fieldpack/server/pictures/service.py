"""The rules of pictures: what is taken, what a collection may refer to, and when one goes."""

from __future__ import annotations

import hashlib
import io
import zlib
from typing import Any
from uuid import UUID, uuid4

import structlog
from PIL import Image

from fieldpack.errors import PictureError
from fieldpack.pictures import Picture, clean_picture
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.cleanup.garbage import throw_away
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.http.large import Researchers, run_large
from fieldpack.server.pictures import queries
from fieldpack.server.pictures.references import iter_urls, map_urls, picture_path
from fieldpack.server.pictures.rows import PictureRow
from fieldpack.server.problems import INVALID, Problem, invalid
from fieldpack.server.storage import blob_key
from fieldpack.server.values.urls import find_picture

__all__ = ["keep_picture", "refer_to_pictures", "remove_unused", "sweep_unused"]

FIELD = "picture"
BATCH = 500
_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
_SMALLER = 8  # a JPEG is looked at in an eighth of its size, which takes a sixty-fourth of the memory

LARGEST_WEBP_PIXELS = 12_000_000
"""What is larger is taken by its parts alone: decoding it takes 16 bytes a pixel, against 4 for the other formats."""

log = structlog.get_logger()


async def keep_picture(
    context: Context, caller: Caller, workspace_id: UUID, data: bytes
) -> tuple[UUID, bool]:
    """Keep a picture without its metadata; its id, and whether it is new: the same bytes are one picture.

    Raises:
        Problem: 400 for what is no picture that browsers show.
    """
    try:
        picture = await run_large(context.caches, Researchers, len(data), _check, data)
    except PictureError as error:
        raise invalid(FIELD, str(error)) from None
    sha256 = hashlib.sha256(picture.data).digest()
    while True:
        async with context.database.transaction() as connection:
            known = await queries.await_picture(connection, workspace_id, sha256)
            if known is not None:
                await _note(connection, caller, workspace_id, known)
        if known is not None:
            if not await context.storage.has(blob_key(known), len(picture.data)):
                await context.storage.put(blob_key(known), picture.data)  # it was lost
            return known, False
        # the bytes first: whoever finds the row, a backup too, finds them
        blob = PictureRow(uuid4(), picture.content_type, len(picture.data), sha256)
        await context.storage.put(blob_key(blob.id), picture.data)
        async with context.database.transaction() as connection:
            if await queries.insert_picture(
                connection, workspace_id, caller.id, blob, zlib.crc32(picture.data)
            ):
                await _note(connection, caller, workspace_id, blob.id)
                return blob.id, True
            await throw_away(connection, [blob_key(blob.id)])


async def _note(connection: Connection, caller: Caller, workspace_id: UUID, picture_id: UUID) -> None:
    await write_entry(
        connection, caller.actor, "picture.create", object_id=picture_id, workspace_id=workspace_id
    )


def _check(data: bytes) -> Picture:
    """The picture without its metadata, once it was seen to be one.

    Raises:
        PictureError: it is none.
    """
    picture = clean_picture(data)
    if picture.content_type == "image/webp" and picture.width * picture.height > LARGEST_WEBP_PIXELS:
        return picture
    try:
        with Image.open(io.BytesIO(picture.data), formats=[_FORMATS[picture.content_type]]) as image:
            image.draft(None, (max(1, image.width // _SMALLER), max(1, image.height // _SMALLER)))
            image.load()
    except Exception as error:  # what decoders raise for what is damaged is of every kind
        log.info("picture.refused", error=repr(error))
        raise PictureError("The picture is damaged: no browser would show it. Save it again.") from error
    return picture


async def refer_to_pictures(
    connection: Connection,
    caller: Caller,
    collection_id: UUID,
    body: dict[str, Any],
    sent: dict[str, Any],
    origin: str,
) -> tuple[dict[str, Any], list[UUID]]:
    """A collection's body in which pictures of this server are references, whatever name it was sent with.

    A URL of another server like this one, which we do not know the picture of, stays what it is.

    Args:
        sent: the same in the order in which it was sent, by which refusals name the fields.
        origin: where this request reached us.

    Returns:
        The body, and the pictures that it shows, held until commit.

    Raises:
        Problem: 400 by field path for a picture that is not here.
    """
    urls = list(iter_urls(sent))
    named = {url: UUID(name) for _, url in urls if (name := find_picture(url)) is not None}
    usable = await queries.lock_usable(connection, sorted(set(named.values())), caller.id, collection_id)
    errors: dict[str, list[str]] = {}
    for path, url in urls:
        if url in named and named[url] not in usable and _is_ours(url, origin):
            errors[path] = [
                f"There is no picture {named[url]} that you can use here: upload it to your workspace, and give the "
                "URL of the answer."
            ]
    if errors:
        raise Problem(INVALID, errors)

    def refer(url: str) -> str:
        return picture_path(named[url]) if url in named and named[url] in usable else url

    return map_urls(body, refer), sorted(usable)


def _is_ours(url: str, origin: str) -> bool:
    return url.startswith(("/", "http:")) or url.lower().startswith(f"{origin.lower()}/")


async def remove_unused(connection: Connection, ids: list[UUID], days: float | None = None) -> list[UUID]:
    """Remove those of these pictures that nothing shows or awaits any more; their ids.

    Args:
        days: how long ago one must have been uploaded to be awaited no longer; None for never.
    """
    gone = await queries.delete_unused(connection, ids, days)
    await throw_away(connection, [blob_key(id) for id in gone])
    return gone


async def sweep_unused(database: Database, days: float, *, dry_run: bool = False) -> list[UUID]:
    """Remove pictures that no collection took within `days`, and those whose last submission was erased; their ids."""
    swept: list[UUID] = []
    while True:
        async with database.transaction() as connection:
            found = await queries.list_unused(connection, days, BATCH)
            if dry_run:
                return found
            swept += await remove_unused(connection, found, days)
        if len(found) < BATCH:
            return swept
