"""The rules of exports: one job for concurrent requests, reuse while nothing has changed, fresh links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog

from fieldpack.server.accounts.keys import get_signing_key
from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller, require_still
from fieldpack.server.audit.service import write_entry
from fieldpack.server.cleanup.garbage import throw_away
from fieldpack.server.collections import queries as collection_queries
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports import queries
from fieldpack.server.exports.filters import parse_filter
from fieldpack.server.exports.keys import object_key
from fieldpack.server.exports.rows import ExportRow, Filter
from fieldpack.server.exports.serve.following import wait_until_over
from fieldpack.server.exports.serve.links import ARCHIVE_PATH, make_link
from fieldpack.server.exports.serve.waiting import find_reason
from fieldpack.server.jobs import EXPORTS_QUEUE, defer
from fieldpack.server.problems import INVALID, TOO_MANY_REQUESTS, Problem, conflict, not_found
from fieldpack.server.studies.queries import find_study

__all__ = ["delete_export", "describe_export", "get_export", "request_export", "wait_while_generating"]

NEWER_DIALECT, NEWER_DIALECT_KEPT = "2026-11", 10
BUSY_SECONDS = 5  # after which whoever found too many exports being made asks again

log = structlog.get_logger()


async def request_export(
    context: Context,
    caller: Caller,
    collection_id: UUID,
    parameters: Sequence[tuple[str, str]] = (),
    given: Mapping[str, Any] | None = None,
    *,
    with_history: bool = False,
) -> tuple[ExportRow, bool]:
    """The export to wait for or to fetch, and whether it is complete already.

    Args:
        parameters: what narrows it, of a URL.
        given: what narrows it, `filter` of a body.
        with_history: whether its archive is to have what answers were before they were corrected.

    The collection's counter is locked, so any number of concurrent requests make exactly one job. In a workspace of the
    newer dialect no complete export is answered again, and none makes way.

    Raises:
        Problem: 429 when as many exports of the collection are being made as may be at a time; 409 when there are as
            many as the newer dialect keeps.
    """
    settings = context.settings
    async with context.database.transaction() as connection:
        await _require(connection, caller, Action.EXPORTS_CREATE, collection_id)
        asked = await collection_queries.list_items(connection, collection_id) if given else {}
        filter = parse_filter(parameters, given, set(map(str, asked)))
        if "study_id" in filter:
            study = await find_study(connection, UUID(filter["study_id"]))
            if study is None or study.collection_id != collection_id:
                raise Problem(
                    INVALID, {"study_id": [f"There is no study {filter['study_id']} of this collection."]}
                )
        counter = await collection_queries.lock_counter(connection, collection_id)
        row = await queries.find_generating(connection, collection_id, filter, with_history=with_history)
        if row is not None:
            await _note_request(connection, caller, row, filter)
            return row, False
        if await is_newer_dialect(connection, collection_id):
            await _require_slot(connection, collection_id)
        else:
            row = await queries.find_recent(
                connection, collection_id, filter, counter, settings.delivery, with_history=with_history
            )
            if row is not None:
                await _note_request(connection, caller, row, filter)
                return row, True
        if await queries.count_generating(connection, collection_id) >= settings.exports_generating:
            raise Problem(
                TOO_MANY_REQUESTS,
                f"{settings.exports_generating} exports of this collection are being made, as many as may be at a"
                f" time: wait {BUSY_SECONDS} s and send this again.",
                headers={"Retry-After": str(BUSY_SECONDS)},
            )
        row = await queries.insert_export(
            connection,
            uuid4(),
            collection_id,
            filter,
            settings.delivery,
            caller.id,
            with_history=with_history,
        )
        surplus = await queries.list_surplus(
            connection, settings.exports_kept, settings.exports_kept_with_links, collection_id
        )
        await remove_exports(connection, surplus)
        await defer(connection, "export", queue=EXPORTS_QUEUE, export_id=str(row.id))
        await _note_request(connection, caller, row, filter)
    log.info("export.requested", export_id=str(row.id), collection_id=str(collection_id))
    return row, False


async def _require(connection: Connection, caller: Caller, action: Action, collection_id: UUID) -> None:
    foreign = not_a_member("this collection's workspace") if action is Action.EXPORTS_CREATE else None
    await require(connection, caller, action, collection=collection_id, foreign=foreign)


async def _require_slot(connection: Connection, collection_id: UUID) -> None:
    """Refuse another export where there are as many as the newer dialect keeps.

    Raises:
        Problem: 409 with the count.
    """
    count = await queries.count_kept(connection, collection_id)
    if count >= NEWER_DIALECT_KEPT:
        raise conflict(
            f"This collection has {count} exports, and {NEWER_DIALECT_KEPT} are kept: DELETE one of them first."
        )


async def is_newer_dialect(connection: Connection, collection_id: UUID) -> bool:
    """Whether a collection's workspace asks for exports in the newer dialect."""
    return await queries.find_dialect(connection, collection_id) == NEWER_DIALECT


async def _note_request(connection: Connection, caller: Caller, row: ExportRow, filter: Filter) -> None:
    await write_entry(
        connection,
        caller.actor,
        "export.request",
        object_id=row.id,
        collection_id=row.collection_id,
        study_id=UUID(filter["study_id"]) if "study_id" in filter else None,
        since=filter.get("from"),
        until=filter.get("to"),
        filters=sorted(set(filter) - {"study_id", "from", "to"}) or None,
    )


async def remove_exports(connection: Connection, export_ids: list[UUID]) -> None:
    """Delete exports and what is stored for them; downloads under way end."""
    if export_ids:
        await queries.delete_exports(connection, export_ids)
        await throw_away(connection, [f"exports/{export_id}/" for export_id in export_ids])
        await queries.notify(connection, export_ids)


async def get_export(
    connection: Connection, caller: Caller, collection_id: UUID, export_id: UUID
) -> ExportRow:
    """One export of a collection, whose link the caller may have."""
    await require(connection, caller, Action.EXPORTS_READ, collection=collection_id)
    row = await queries.find_export(connection, export_id, collection_id)
    if row is None:
        raise not_found("Export", export_id)
    return row


async def list_exports(
    connection: Connection, caller: Caller, collection_id: UUID, limit: int, offset: int
) -> list[ExportRow]:
    """The exports of a collection, newest first."""
    await require(connection, caller, Action.EXPORTS_READ, collection=collection_id)
    return await queries.list_exports(connection, collection_id, limit, offset)


async def delete_export(connection: Connection, caller: Caller, collection_id: UUID, export_id: UUID) -> None:
    """Delete a finished export; 409 while it is generating."""
    await require(connection, caller, Action.EXPORTS_DELETE, collection=collection_id)
    row = await queries.find_export(connection, export_id, collection_id, lock=True)
    if row is None:
        raise not_found("Export", export_id)
    if row.status == "generating":
        raise conflict("This export is still being made; wait until it is complete or failed.")
    await remove_exports(connection, [export_id])
    await write_entry(
        connection, caller.actor, "export.delete", object_id=export_id, collection_id=collection_id
    )


async def wait_while_generating(
    context: Context, caller: Caller, row: ExportRow, seconds: float, action: Action = Action.EXPORTS_READ
) -> ExportRow:
    """The export's row once it is no longer generating, or as it is when the time is up.

    Whether the caller may have it is asked again after a wait.

    Args:
        action: what they asked for.

    Raises:
        Problem: 404 when it is gone by then; 401, 403, 404 when the caller may not do `action` any more.
    """
    if row.status != "generating":
        return row
    found = await wait_until_over(context, row.id, seconds, queries.find_export)
    async with context.database.transaction() as connection:
        await require_still(connection, caller)
        await _require(connection, caller, action, row.collection_id)
    if found is None:
        raise not_found("Export", row.id)
    return found


async def describe_export(context: Context, caller: Caller, row: ExportRow, origin: str) -> dict[str, Any]:
    """An export as the API answers it; a complete one with a link minted just now."""
    answer: dict[str, Any] = {"status": row.status, "export_id": row.id}
    if row.status == "complete":
        url, latest = await _sign_object(context, row) if row.delivery == "store" else ("", None)
        async with context.database.transaction() as connection:
            expires_at = await queries.extend_link(
                connection, row.id, row.build, context.settings.link_lifetime_seconds, latest
            )
            if expires_at is None:
                found = await queries.find_export(connection, row.id)
            else:
                await write_entry(
                    connection,
                    caller.actor,
                    "export.link",
                    object_id=row.id,
                    collection_id=row.collection_id,
                    expires_at=expires_at,
                )
            key = await get_signing_key(connection, "links")
        if expires_at is None:  # erased or deleted between the two looks
            if found is None:
                raise not_found("Export", row.id)
            return await describe_export(context, caller, found, origin)
        answer |= {
            "url": url or make_link(key, origin, ARCHIVE_PATH.format(export_id=row.id), expires_at),
            "expires_at": expires_at,
        }
    return answer | describe_facts(row)


async def _sign_object(context: Context, row: ExportRow) -> tuple[str, datetime]:
    """The bucket's own link to a stored archive, and when the bucket will refuse it."""
    signed_at = datetime.now(UTC)
    url, seconds = await context.storage.sign_for(object_key(row), context.settings.link_lifetime_seconds)
    return url, signed_at + timedelta(seconds=seconds)


def describe_facts(row: ExportRow) -> dict[str, Any]:
    """What every status carries beside what older clients know."""
    facts: dict[str, Any] = {
        "created_at": row.created_at,
        "snapshot_at": row.snapshot_at,
        "completed_at": row.completed_at,
        "submission_count": row.submission_count,
        "file_count": row.file_count,
        "size_bytes": row.size_bytes,
    }
    if row.with_history:
        facts["history"] = True
    if row.status == "generating":
        facts["progress"] = round(float(row.progress), 4)
        reason = find_reason(row)
        if reason is not None:
            facts["waiting_reason"] = reason
    if row.status == "failed":
        facts["failure_reason"] = row.failure_reason
    return facts
