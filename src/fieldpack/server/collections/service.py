"""The rules of collections: ids kept and made, items retired, versions that submissions hold on to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic import ValidationError

from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import find_and_write, write_entry
from fieldpack.server.collections import queries
from fieldpack.server.collections.rows import (
    CollectionRow,
    FileRow,
    ItemRow,
    PageRow,
    PlacedItem,
    ResponseRow,
)
from fieldpack.server.collections.schemas import (
    MOST_NAME_CHARACTERS,
    CollectionInput,
    CollectionReplacement,
    PageInput,
)
from fieldpack.server.collections.shapes import PARENT_TYPE, SCHEMA_VERSION, describe_body
from fieldpack.server.db.pool import Connection
from fieldpack.server.pictures import queries as picture_queries
from fieldpack.server.pictures.references import make_absolute
from fieldpack.server.pictures.service import refer_to_pictures, remove_unused
from fieldpack.server.problems import INVALID, PRECONDITION_FAILED, Problem, conflict, invalid, not_found
from fieldpack.text import say_bytes

__all__ = [
    "archive_collection",
    "create_collection",
    "describe_collection",
    "duplicate_collection",
    "get_collection",
    "in_order",
    "iter_items",
    "list_responses",
    "open_file",
    "replace_collection",
]

MIB = 1 << 20
MOST_RESPONSE_BYTES = 32 << 20  # of answers in one list of them


async def get_collection(
    connection: Connection, caller: Caller, collection_id: UUID, action: Action = Action.COLLECTION_READ
) -> CollectionRow:
    """The collection's row, with its body, for whoever may do `action` with it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, action, collection=collection_id)
    row = await queries.find_collection(connection, collection_id)
    if row is None:
        raise not_found("Collection", collection_id)
    return row


async def open_file(connection: Connection, caller: Caller, collection_id: UUID, file_key: UUID) -> FileRow:
    """An uploaded file, for whoever may see it, and the entry of the audit log that it was opened.

    Raises:
        Problem: 404 for one that is not there; 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, Action.FILES_READ, collection=collection_id)
    file = await find_and_write(
        connection,
        caller.actor,
        "file.read",
        FileRow,
        queries.FILE,
        {"upload_id": file_key, "collection_id": collection_id},
        object_id=file_key,
        collection_id=collection_id,
    )
    if file is None:
        raise not_found("File", file_key)
    return file


def describe_collection(row: CollectionRow, origin: str) -> dict[str, Any]:
    """A collection as the API answers it, its pictures as URLs of `origin`."""
    body = make_absolute(describe_body(row.body), origin)
    described = {
        "id": row.id,
        "schema_version": SCHEMA_VERSION,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "workspace_id": row.workspace_id,
        "name": row.name,
        "description": row.description,
        "task_details": body["task_details"],
        "collection_items": body["collection_items"],
        "item_count": len(body["collection_items"]),
        "last_modified_at": row.last_modified_at,
        "last_modified_by": row.last_modified_by,
    }
    if row.description is None:  # optional: absent, not null
        del described["description"]
    if row.archived_at is not None:
        described["archived_at"] = row.archived_at
    return described


def iter_items(body: dict[str, Any]) -> Any:
    """The items of a version's body, in the order participants see them."""
    for page in body["collection_items"]:
        yield from page["page_items"]


async def create_collection(
    connection: Connection, caller: Caller, workspace_id: UUID, given: CollectionReplacement, origin: str
) -> CollectionRow:
    """A new collection.

    Args:
        given: without ids, as `CollectionInput` takes them away.
        origin: where the request reached us, for URLs of pictures.
    """
    await require(connection, caller, Action.COLLECTION_WRITE, workspace=workspace_id, foreign=not_a_member())
    collection_id = uuid4()
    await queries.insert_collection(
        connection, collection_id, workspace_id, given.name, given.description, caller.id
    )
    await _write_version(connection, caller, collection_id, 1, given, origin)
    await write_entry(connection, caller.actor, "collection.create", collection_id=collection_id)
    row = await queries.find_collection(connection, collection_id)
    assert row is not None
    return row


async def replace_collection(
    connection: Connection,
    caller: Caller,
    collection_id: UUID,
    given: CollectionReplacement,
    origin: str,
    *,
    expected: int | None = None,
) -> CollectionRow:
    """The whole collection anew: known ids kept, unknown ones refused, those left out retired.

    The counter's lock, the first in the common order, makes one replacement wait for another. Pictures that nothing
    shows any more go with it.

    Args:
        expected: the version that was looked at, when somebody else's change since must not be lost.

    Raises:
        Problem: 412 when it is another one by now; 400 by field path; 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, Action.COLLECTION_WRITE, collection=collection_id)
    await queries.raise_counter(connection, collection_id)
    version = await queries.replace_collection(
        connection, collection_id, given.name, given.description, caller.id
    )
    if expected is not None and version != expected + 1:
        raise Problem(
            PRECONDITION_FAILED,
            f"This collection was changed meanwhile: it is at version {version - 1}, not {expected}."
            " Look at it again, then change it.",
        )
    await _write_version(connection, caller, collection_id, version, given, origin)
    await remove_unused(connection, await picture_queries.list_uses(connection, collection_id))
    await write_entry(connection, caller.actor, "collection.update", collection_id=collection_id)
    return await get_collection(connection, caller, collection_id)


async def archive_collection(
    connection: Connection, caller: Caller, collection_id: UUID, *, archived: bool
) -> CollectionRow:
    """Put a collection aside, out of lists, or back. Nothing else follows: its studies go on, its links stay good."""
    await require(connection, caller, Action.COLLECTION_WRITE, collection=collection_id)
    await queries.set_archived(connection, collection_id, archived=archived)
    step = "archive" if archived else "unarchive"
    await write_entry(connection, caller.actor, "collection.update", collection_id=collection_id, step=step)
    return await get_collection(connection, caller, collection_id)


async def duplicate_collection(
    connection: Connection, caller: Caller, collection_id: UUID, name: str | None, origin: str
) -> CollectionRow:
    """A new collection of the same workspace that asks the same, under ids of its own, with nobody's answers.

    Args:
        name: of the copy; None for the old one's with “(copy)”.
        origin: where the request reached us, for URLs of pictures.

    Raises:
        Problem: 403 for whoever may make none in the workspace; 409 for one that today's rules would refuse.
    """
    row = await get_collection(connection, caller, collection_id)
    copied = describe_collection(row, origin)
    copied |= {"name": name or _name_copy(row.name), "workspace_id": str(row.workspace_id)}
    try:
        given = CollectionInput.model_validate(copied)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise conflict(
            f"This collection was made under other rules, which {where} keeps no longer: change that first."
        ) from None
    return await create_collection(connection, caller, row.workspace_id, given, origin)


def _name_copy(name: str) -> str:
    suffix = " (copy)"
    return name[: MOST_NAME_CHARACTERS - len(suffix)] + suffix


def in_order(entries: list[Any]) -> list[tuple[int, Any]]:
    """Entries with their order: as given, else the position they were sent at."""
    numbered = [
        (position if entry.order is None else entry.order, entry) for position, entry in enumerate(entries)
    ]
    return sorted(numbered, key=lambda pair: pair[0])


def _check_ids(
    given: CollectionReplacement, pages: Mapping[UUID, PageRow], items: Mapping[UUID, ItemRow]
) -> None:
    """Ids that were sent must be this collection's, each once, each of its old type."""
    errors: dict[str, list[str]] = {}
    seen: set[UUID] = set()

    def check(path: str, identifier: UUID | None, known: Mapping[UUID, PageRow | ItemRow], kind: str) -> bool:
        if identifier is None:
            return False
        if identifier not in known:
            errors[path] = [f"{identifier} is not a {kind} of this collection; leave it out to create one."]
        elif identifier in seen:
            errors[path] = [f"{identifier} occurs twice."]
        seen.add(identifier)
        return identifier in known

    for page_number, page in enumerate(given.collection_items):
        path = f"collection_items.{page_number}"
        check(f"{path}.id", page.id, pages, "page")
        for item_number, item in enumerate(page.page_items):
            item_path = f"{path}.page_items.{item_number}"
            if check(f"{item_path}.id", item.id, items, "page item"):
                assert item.id is not None
                old = items[item.id].type
                if old != item.type:
                    errors[f"{item_path}.type"] = [
                        f"The item {item.id} is a {old}; leave its id out to replace it by a {item.type}."
                    ]
    if errors:
        raise Problem(INVALID, errors)


async def _write_version(
    connection: Connection,
    caller: Caller,
    collection_id: UUID,
    version: int,
    given: CollectionReplacement,
    origin: str,
) -> None:
    pages = await queries.list_pages(connection, collection_id)
    items = await queries.list_items(connection, collection_id)
    _check_ids(given, pages, items)
    await queries.retire_items(connection, collection_id)
    now = await queries.transaction_time(connection)
    described = []
    for page_order, page in in_order(given.collection_items):
        described.append(_describe_page(caller, page, page_order, pages, items, now))
    body: dict[str, Any] = {
        "name": given.name,
        "description": given.description,
        "task_details": given.task_details.model_dump(),
        "collection_items": described,
    }
    body, pictures = await refer_to_pictures(
        connection, caller, collection_id, body, given.model_dump(), origin
    )
    described = body["collection_items"]
    await queries.keep_pages(connection, [UUID(page["id"]) for page in described], collection_id, caller.id)
    placed = [
        PlacedItem(page_number, item_number, item)
        for page_number, page in enumerate(described)
        for item_number, item in enumerate(page["page_items"])
    ]
    await queries.keep_items(connection, collection_id, caller.id, placed)
    await queries.keep_version(connection, collection_id, version, body)
    await picture_queries.insert_uses(connection, collection_id, version, pictures)


def _origin(
    known: Mapping[UUID, PageRow | ItemRow], identifier: UUID, caller: Caller, now: datetime
) -> dict[str, str]:
    """When and by whom a page or item was first made."""
    row = known.get(identifier)
    created_at = row.created_at if row else now
    return {
        "created_at": created_at.isoformat().replace("+00:00", "Z"),
        "created_by": str(row.created_by if row else caller.id),
    }


def _describe_page(
    caller: Caller,
    page: PageInput,
    order: int,
    pages: Mapping[UUID, PageRow],
    items: Mapping[UUID, ItemRow],
    now: datetime,
) -> dict[str, Any]:
    page_id = page.id or uuid4()
    page_items = []
    for item_order, item in in_order(page.page_items):
        item_id = item.id or uuid4()
        page_items.append(
            {
                **item.model_dump(exclude={"id", "order", "type"}, exclude_none=True),
                "id": str(item_id),
                "type": item.type,
                "order": item_order,
                **_origin(items, item_id, caller, now),
                "parent_id": str(page_id),
                "parent_type": PARENT_TYPE,
            }
        )
    return {
        "id": str(page_id),
        "order": order,
        "page_items": page_items,
        **_origin(pages, page_id, caller, now),
        "schema_version": SCHEMA_VERSION,
    }


async def list_responses(
    connection: Connection, caller: Caller, collection_id: UUID, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Active responses as the API answers them, a record per instruction answered; and how many there are.

    Raises:
        Problem: 404, 403; 400 where these have more answers than fit into an answer.
    """
    await require(connection, caller, Action.RESPONSES_READ, collection=collection_id)
    items = await queries.list_items(connection, collection_id)
    found = await queries.list_responses(connection, collection_id, limit, offset, MOST_RESPONSE_BYTES)
    # refused, since a short page would have who counts by `limit` pass over the rest
    if found.size_bytes > MOST_RESPONSE_BYTES:
        raise invalid(
            "limit", f"These have {say_bytes(found.size_bytes)} of answers: ask for fewer at a time."
        )
    await write_entry(
        connection,
        caller.actor,
        "response.list",
        collection_id=collection_id,
        count=len(found.rows),
        total=found.count,
        limit=limit,
        offset=offset,
    )
    types = {str(item_id): item.type for item_id, item in items.items()}
    return [describe_response(row, collection_id, types) for row in found.rows], found.count


def describe_response(row: ResponseRow, collection_id: UUID, types: dict[str, str]) -> dict[str, Any]:
    """One record of the list of responses."""
    instruction_id = str(row.instruction_id)
    if row.files is not None:
        answer = [
            {
                "file_key": file.file_key,
                "file_name": file.file_name,
                "file_size_mb": round(file.size_bytes / MIB, 6),  # in the unit of max_file_size_mb
                "content_type": file.content_type,
            }
            for file in row.files
        ]
    else:
        assert row.value is not None
        value = row.value["value"]
        values = value if isinstance(value, list) else [row.value]
        answer = [entry if isinstance(entry, dict) else {"value": entry} for entry in values]
    return {
        "id": row.id,
        "created_at": row.created_at,
        "collection_id": collection_id,
        "participant_id": row.participant_id,
        "submission_id": row.submission_id,
        "response": {"instruction_id": instruction_id, "type": types[instruction_id], "answer": answer},
    }
