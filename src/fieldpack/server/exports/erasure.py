"""How an erasure reaches exports: links die, stored members go, running jobs start over."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fieldpack.server.cleanup.garbage import collect_garbage, require_collected
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports import queries, transitions

__all__ = ["reach_exports", "require_withdrawn"]

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


async def reach_exports(
    connection: Connection,
    collection_id: UUID,
    study_id: UUID,
    *,
    completed_at: datetime | None,
    activated_counter: int | None,
    deactivated_counter: int | None,
) -> list[UUID]:
    """Fail or restart the exports that an erased submission touches; their ids.

    Args:
        activated_counter: the collection's counter when the response became active; None if it never did.
        deactivated_counter: the same when it was active no longer.

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
    complete = [row.id for row in reached if row.status == "complete"]
    generating = [row.id for row in reached if row.status == "generating"]
    await transitions.fail(connection, complete, "complete", REASON)
    await transitions.start_over(connection, generating)
    return complete + generating
