"""The rules of conversions: one of each format of an export, made once, with fresh links for as long as that lives."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.keys import get_signing_key
from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller, require_still
from fieldpack.server.audit.service import write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.conversions import queries
from fieldpack.server.exports.conversions.formats import FORMATS, find_missing
from fieldpack.server.exports.conversions.rows import ConversionRow
from fieldpack.server.exports.queries import extend_link, find_export
from fieldpack.server.exports.serve.following import wait_until_over
from fieldpack.server.exports.serve.links import CONVERSION_PATH, make_link
from fieldpack.server.jobs import CONVERSIONS_QUEUE, defer
from fieldpack.server.problems import TOO_MANY_REQUESTS, Problem, conflict, not_found

__all__ = [
    "delete_conversion",
    "describe_conversion",
    "get_conversion",
    "list_conversions",
    "queue_conversion",
    "request_conversion",
    "wait_while_converting",
]

BUSY_SECONDS = 5  # after which whoever found too many being made asks again


async def request_conversion(
    context: Context, caller: Caller, collection_id: UUID, export_id: UUID, format: str
) -> ConversionRow:
    """The conversion of a complete export to a format: the one there is, or a new one. One that failed is made again.

    The export is locked, so any number of concurrent requests make exactly one.

    Raises:
        Problem: 409 for an export that is not complete, or a format that this server lacks what it takes for; 429 when
            as many of the collection are being made as may be at a time.
    """
    async with context.database.transaction() as connection:
        await require(connection, caller, Action.EXPORTS_CREATE, collection=collection_id)
        _require_format(format)
        export = await find_export(connection, export_id, collection_id, lock=True)
        if export is None:
            raise not_found("Export", export_id)
        if export.status != "complete":
            raise conflict(
                "This export is still being made; wait until it is complete."
                if export.status == "generating"
                else "This export failed, so there is nothing to convert: request it again."
            )
        row = await queries.find_conversion(connection, export_id, format)
        if row is None or row.status == "failed":
            missing = find_missing(format)
            if missing is not None:
                raise conflict(missing)
            if (
                await queries.count_generating(connection, collection_id)
                >= context.settings.exports_generating
            ):
                raise Problem(
                    TOO_MANY_REQUESTS,
                    f"{context.settings.exports_generating} conversions of this collection are being made, as many as"
                    f" may be at a time: wait {BUSY_SECONDS} s and send this again.",
                    headers={"Retry-After": str(BUSY_SECONDS)},
                )
            if row is None:
                await queries.insert_conversion(
                    connection, uuid4(), export_id, export.build, format, caller.id
                )
            else:
                await queries.begin_again(connection, row.id)
            row = await queries.find_conversion(connection, export_id, format)
            assert row is not None
            await queue_conversion(connection, row)
        await write_entry(
            connection,
            caller.actor,
            "export.convert",
            object_id=export_id,
            collection_id=collection_id,
            format=format,
        )
    return row


async def queue_conversion(
    connection: Connection, row: ConversionRow, queueing_lock: str | None = None
) -> None:
    """Enqueue the job that makes it, in the caller's transaction."""
    await defer(
        connection,
        "convert",
        queue=CONVERSIONS_QUEUE,
        queueing_lock=queueing_lock,
        conversion_id=str(row.id),
        export_id=str(row.export_id),
        build=str(row.export_build),
    )


def _require_format(format: str) -> None:
    if format not in FORMATS:
        raise Problem(
            not_found("Format", format).type,
            f"There is no format {format}; {', '.join(FORMATS)} are what an export is converted to.",
        )


async def get_conversion(
    connection: Connection, caller: Caller, collection_id: UUID, export_id: UUID, format: str
) -> ConversionRow:
    """The conversion of an export to a format, whose link the caller may have."""
    await require(connection, caller, Action.EXPORTS_READ, collection=collection_id)
    return await _find(connection, collection_id, export_id, format)


async def _find(connection: Connection, collection_id: UUID, export_id: UUID, format: str) -> ConversionRow:
    _require_format(format)
    if await find_export(connection, export_id, collection_id) is None:
        raise not_found("Export", export_id)
    row = await queries.find_conversion(connection, export_id, format)
    if row is None:
        raise not_found("Conversion", format)
    return row


async def list_conversions(
    connection: Connection, caller: Caller, collection_id: UUID, export_id: UUID
) -> list[ConversionRow]:
    """The conversions of an export."""
    await require(connection, caller, Action.EXPORTS_READ, collection=collection_id)
    if await find_export(connection, export_id, collection_id) is None:
        raise not_found("Export", export_id)
    return await queries.list_conversions(connection, export_id)


async def delete_conversion(
    connection: Connection, caller: Caller, collection_id: UUID, export_id: UUID, format: str
) -> None:
    """Delete a conversion, or stop one that is being made; its links stop working, the export's go on."""
    await require(connection, caller, Action.EXPORTS_DELETE, collection=collection_id)
    row = await _find(connection, collection_id, export_id, format)
    await queries.remove_conversion(connection, row.id)
    await write_entry(
        connection,
        caller.actor,
        "export.delete",
        object_id=export_id,
        collection_id=collection_id,
        format=format,
    )


async def wait_while_converting(
    context: Context, caller: Caller, row: ConversionRow, seconds: float, action: Action
) -> ConversionRow:
    """The conversion's row once it is no longer generating, or as it is when the time is up.

    Whether the caller may have it is asked again after a wait.

    Args:
        action: what they asked for.

    Raises:
        Problem: 404 when it is gone by then, as after an erasure; 401, 403, 404 when the caller may not do `action`
            any more.
    """
    if row.status != "generating":
        return row
    found = await wait_until_over(context, row.id, seconds, queries.find_by_id)
    async with context.database.transaction() as connection:
        await require_still(connection, caller)
        await require(connection, caller, action, collection=row.collection_id)
    if found is None:
        raise not_found("Conversion", row.format)
    return found


async def describe_conversion(
    context: Context, caller: Caller, row: ConversionRow, origin: str
) -> dict[str, Any]:
    """A conversion as the API answers it; a complete one with a link minted just now."""
    answer: dict[str, Any] = {"status": row.status, "format": row.format, "export_id": row.export_id}
    if row.status == "complete":
        seconds = context.settings.link_lifetime_seconds
        async with context.database.transaction() as connection:
            expires_at = await extend_link(connection, row.export_id, row.export_build, seconds)
            if expires_at is None:  # erased or deleted between the two looks
                raise not_found("Conversion", row.format)
            await queries.note_link(connection, row.id, seconds)
            await write_entry(
                connection,
                caller.actor,
                "export.link",
                object_id=row.export_id,
                collection_id=row.collection_id,
                expires_at=expires_at,
                format=row.format,
            )
            key = await get_signing_key(connection, "links")
        path = CONVERSION_PATH.format(export_id=row.export_id, conversion_id=row.id)
        answer |= {"url": make_link(key, origin, path, expires_at), "expires_at": expires_at}
    return answer | describe_facts(row)


def describe_facts(row: ConversionRow) -> dict[str, Any]:
    """What there is to say of a conversion besides its link."""
    facts: dict[str, Any] = {
        "created_at": row.created_at,
        "completed_at": row.completed_at,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256.hex() if row.sha256 is not None else None,
        "rows": row.row_count,
        "columns": row.column_count,
        "warnings": row.warnings,
    }
    if row.status == "generating":
        facts["progress"] = round(float(row.progress), 4)
    if row.status == "failed":
        facts["failure_reason"] = row.failure_reason
    return facts
