"""The rules of ending a collection: its name is said, nobody's data is in it, and nothing of it is left behind."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from psycopg.errors import ForeignKeyViolation

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.collections.service import get_collection
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.erasure import require_withdrawn
from fieldpack.server.exports.service import remove_exports
from fieldpack.server.pictures.queries import list_uses
from fieldpack.server.pictures.service import remove_unused
from fieldpack.server.problems import Problem, conflict, invalid, not_found
from fieldpack.server.responses.removal import queries
from fieldpack.server.studies.service import get_study
from fieldpack.server.submissions.service import erase_submission
from fieldpack.text import say_count

__all__ = ["count_held", "delete_collection", "erase_some", "erase_trials"]

BATCH = 50


async def count_held(connection: Connection, caller: Caller, collection_id: UUID) -> int:
    """How many submissions a collection holds, tests and those under way among them, for whoever may delete it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, Action.COLLECTION_WRITE, collection=collection_id)
    return await queries.count_held(connection, collection_id)


def check_name(name: str, typed: str) -> None:
    """Return if what was typed is the collection's name, white space around it aside.

    Raises:
        Problem: 400.
    """
    if typed.strip() != name.strip():
        raise invalid("name", f"Must be the name of the collection that is to be deleted, {name!r}.")


async def erase_some(
    context: Context, caller: Caller, collection_id: UUID, typed: str, seconds: float
) -> tuple[int, int]:
    """Erase submissions of a collection, one after another, until none is left or the time is up.

    Args:
        typed: the collection's name, as whoever wants this has typed it.

    Returns:
        How many were erased, and how many are left.

    Raises:
        Problem: 400 for another name; 404 and 403 as `authorization.require` says.
        StorageUnavailable: as `erase_submission` says.
    """

    async def find(connection: Connection) -> list[UUID]:
        row = await get_collection(connection, caller, collection_id, Action.SUBMISSION_ERASE)
        check_name(row.name, typed)
        return await queries.list_held(connection, collection_id, BATCH)

    return await _erase_while(
        context, caller, find, lambda connection: queries.count_held(connection, collection_id), seconds
    )


async def erase_trials(context: Context, caller: Caller, study_id: UUID, seconds: float) -> tuple[int, int]:
    """Erase what was collected while a study was tried out, until none is left or the time is up.

    Returns:
        How many were erased, and how many are left.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
        StorageUnavailable: as `erase_submission` says.
    """

    async def find(connection: Connection) -> list[UUID]:
        await get_study(connection, caller, study_id, Action.SUBMISSION_ERASE)
        return await queries.list_tried(connection, study_id, BATCH)

    return await _erase_while(
        context, caller, find, lambda connection: queries.count_tried(connection, study_id), seconds
    )


async def _erase_while(
    context: Context,
    caller: Caller,
    find: Callable[[Connection], Awaitable[list[UUID]]],
    count: Callable[[Connection], Awaitable[int]],
    seconds: float,
) -> tuple[int, int]:
    """Erase what `find` gives, again and again; how many, and what `count` says is left."""
    until = time.monotonic() + seconds
    erased = 0
    while True:
        async with context.database.transaction() as connection:
            held = await find(connection)
        if not held:
            return erased, 0
        for submission_id in held:
            if time.monotonic() > until and erased:
                async with context.database.transaction() as connection:
                    return erased, await count(connection)
            try:
                await erase_submission(context, caller, submission_id)
            except Problem as problem:
                if problem.type.status != 404:  # somebody else has erased it
                    raise
                continue
            erased += 1


async def delete_collection(context: Context, caller: Caller, collection_id: UUID, typed: str) -> None:
    """Delete a collection with its studies and exports, once what participants gave was erased.

    Args:
        typed: its name, as whoever wants this has typed it.

    Raises:
        Problem: 400 for another name; 409 while it holds submissions, or an export of it is being made; 404 and 403 as
            `authorization.require` says.
        StorageUnavailable: what is stored of its exports can't be deleted right now; it is tried again until it is.
    """
    try:
        async with context.database.transaction() as connection:
            exports = await _delete(connection, caller, collection_id, typed)
    except ForeignKeyViolation:
        raise conflict(
            "Something was made of this collection just now: look again, then delete it."
        ) from None
    await require_withdrawn(context, exports)


async def _delete(connection: Connection, caller: Caller, collection_id: UUID, typed: str) -> list[UUID]:
    """The rows of all that, and the exports that were among them."""
    row = await get_collection(connection, caller, collection_id, Action.COLLECTION_WRITE)
    check_name(row.name, typed)
    if not await queries.lock_counter(connection, collection_id):
        raise not_found("Collection", collection_id)
    await queries.lock_studies(connection, collection_id)
    held = await queries.count_held(connection, collection_id)
    if held:
        raise conflict(
            f"This collection holds {say_count(held, 'submission')}: erase what participants gave first"
            f" (`fieldpack collection erase {collection_id}`)."
        )
    exports = await queries.lock_exports(connection, collection_id)
    if "generating" in exports.values():
        raise conflict("An export of this collection is being made: wait until it is complete or failed.")
    await remove_exports(connection, list(exports))
    pictures = await list_uses(connection, collection_id)
    await queries.delete_collection(connection, collection_id)
    await remove_unused(connection, pictures)
    await write_entry(
        connection,
        caller.actor,
        "collection.delete",
        collection_id=collection_id,
        workspace_id=row.workspace_id,
    )
    return list(exports)
