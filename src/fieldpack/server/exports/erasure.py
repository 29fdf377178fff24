"""What an erasure does to exports: links become invalid, stored members are deleted, running jobs start over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from fieldpack.server.cleanup.garbage import collect_garbage, require_collected
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports import queries, transitions
from fieldpack.server.exports.filters import is_narrowed, read_view
from fieldpack.server.exports.rows import Filter, ReachableRow
from fieldpack.server.selection.queries import select_matching

__all__ = ["find_without", "list_holding", "reach_exports", "require_withdrawn"]

REASON = (
    "A participant's data that this export held was erased. Request the export again to get one without it."
)


async def require_withdrawn(context: Context, export_ids: list[UUID]) -> None:
    """Delete what is stored for exports that an erasure or deletion reached.

    With `store` delivery links lead past this server: the objects must be gone before anyone is told so.

    Raises:
        StorageUnavailable: they can't be deleted right now; it is tried again until they are.
    """
    if context.settings.delivery == "store" and export_ids:
        prefixes = [f"exports/{export_id}/" for export_id in export_ids]
        await require_collected(context.database, context.storage, prefixes)
    else:
        await collect_garbage(context.database, context.storage)


async def find_without(connection: Connection, collection_id: UUID, submission_id: UUID) -> set[UUID]:
    """The complete exports whose filter has left an active response out."""
    return {
        row.id
        for row in await queries.list_narrowed(connection, collection_id)
        if not await _may_hold(connection, collection_id, row.filter, [submission_id])
    }


async def _may_hold(
    connection: Connection, collection_id: UUID, filter: Filter, submission_ids: list[UUID]
) -> bool:
    """Whether a complete export may hold any of these active responses, by what of its filter can't have changed since.

    A state may have been another when the export was made, so it is not asked for; nor are answers, of a response
    that was corrected.
    """
    wanted = replace(read_view(filter), state=())
    if await queries.is_matched(connection, submission_ids, select_matching(collection_id, wanted)):
        return True
    wanted = replace(wanted, files=None, search=None, where=())
    return await queries.is_matched(
        connection, submission_ids, select_matching(collection_id, wanted), only_corrected=True
    )


async def list_holding(
    connection: Connection, collection_id: UUID, submission_ids: list[UUID]
) -> list[ReachableRow]:
    """The exports that an erasure of these submissions would reach, newest first: complete ones that may hold any of
    them, and those that are being made."""
    return [
        row
        for row in await queries.list_reachable(connection, collection_id, submission_ids)
        if row.status == "generating"
        or row.by_inactive
        or not is_narrowed(row.filter)
        or await _may_hold(connection, collection_id, row.filter, submission_ids)
    ]


async def reach_exports(
    connection: Connection,
    collection_id: UUID,
    study_id: UUID,
    *,
    completed_at: datetime | None,
    activated_counter: int | None,
    deactivated_counter: int | None,
    without: Collection[UUID] = (),
) -> list[UUID]:
    """Fail or restart the exports that an erased submission touches; their ids.

    Args:
        activated_counter: the collection's counter when the response became active; None if it never did.
        deactivated_counter: the same when it was active no longer.
        without: exports that are known not to hold it.

    Runs in the erasing transaction, which holds the collection's counter: no export completes meanwhile.
    """
    if activated_counter is None:
        return []
    reached = await queries.lock_reached(
        connection,
        collection_id,
        study_id,
        completed_at,
        activated_counter,
        deactivated_counter,
    )
    complete = [row.id for row in reached if row.status == "complete" and row.id not in without]
    generating = [row.id for row in reached if row.status == "generating"]
    await transitions.fail(connection, complete, "complete", REASON)
    await transitions.start_over(connection, generating)
    return complete + generating
