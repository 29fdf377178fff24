"""SQL of responses: the page of a list that a filter and an order ask for, its neighbours, counts, files and notes.

What a list asks of all submissions is read from two indexes alone (their migration): what is in `submissions` but the
answers, and the answers to single questions. Whole rows are read of those that are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.responses.rows import (
    FileRow,
    Neighbours,
    PageRows,
    QuestionRow,
    ResponseRow,
)
from fieldpack.server.selection.filters import ResponseFilter
from fieldpack.server.selection.queries import (
    LATEST,
    REVIEWABLE,
    SECONDS,
    Term,
    join_answer,
    select_matching,
)

__all__ = ["ORDERS", "Order"]

MOST_COUNTED = 100_000
MOST_SORTED = 50  # characters of a text that a list is sorted by
# of answers on a page: it ends before the response that goes beyond, or with the first
MOST_ANSWER_BYTES = 16 << 20


class Key(NamedTuple):
    """What a list is sorted by, in SQL, and its SQL type."""

    sql: str
    type: str


# what a list can be sorted by; a question's answer comes besides
ORDERS: dict[str, Key] = {
    "completed": Key(LATEST, "timestamptz"),
    "started": Key("s.started_at", "timestamptz"),
    "duration": Key(f"coalesce({SECONDS}, -1)", "numeric"),
    "state": Key('s.status COLLATE "C"', "text"),
    "participant": Key('s.participant_id COLLATE "C"', "text"),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by: one of `ORDERS`, or a question's answer; then by id, so that no two stand alike.

    Attributes:
        by: name of one of `ORDERS`; None for a question.
        question: the question, and whether its answers are numbers.
    """

    by: str | None = "completed"
    descending: bool = True
    question: tuple[UUID, bool] | None = None

    @property
    def key(self) -> Key:
        """What is compared; never null."""
        if self.question is None:
            return ORDERS[self.by or "completed"]
        _, numeric = self.question
        if numeric:
            return Key("coalesce(o.number, 'NaN'::numeric)", "numeric")
        return Key(f"coalesce(left(o.text, {MOST_SORTED}), '') COLLATE \"C\"", "text")

    @property
    def source(self) -> str:
        """The submissions `s` with what is compared."""
        if self.question is None:
            return "submissions s"
        return f"submissions s LEFT JOIN answer_values o ON {join_answer(self.question[0], 'o')}"

    def direction(self, *, backwards: bool) -> str:
        """In which the key rises or falls."""
        return "DESC" if self.descending != backwards else "ASC"

    def beyond(self, row: str, place: Sequence[str], *, backwards: bool) -> Term:
        """What stands after a place in the order, or before it; `row` is what is compared, the key and the id."""
        comparison = "<" if self.descending != backwards else ">"
        return Term(
            f"({row}) {comparison} (%(place)s::{self.key.type}, %(place_id)s::uuid)",
            {"place": place[0], "place_id": place[1]},
        )


_SHOWN = f"""
    s.id, s.study_id, (SELECT t.name FROM studies t WHERE t.id = s.study_id) AS study_name,
    s.collection_version, s.participant_id, s.status, s.response, s.started_at, s.completed_at, s.edited_at,
    {SECONDS}::float8 AS seconds, s.file_count,
    CASE WHEN s.response = 'active' THEN s.answers END AS answers,
    (SELECT count(*) FROM notes n WHERE n.submission_id = s.id) AS note_count,
    s.return_requested, s.review, s.test, s.import_id IS NOT NULL AS imported
"""
_COLUMNS = tuple(each.name for each in fields(ResponseRow))


def is_searching(wanted: ResponseFilter) -> bool:
    """Whether answers have to be looked through: then it is done once for a list and its count."""
    return bool(wanted.where) or wanted.search is not None


async def prepare(connection: Connection, *, is_searching: bool) -> None:
    """Let this transaction's queries keep what they find in memory, some 100,000 rows of a few columns; and where
    answers are looked through, have them read in one go, not one by one: how many there are is anybody's guess. One
    process reads them: starting a second one takes as long as it saves."""
    await connection.execute(
        "SELECT set_config('work_mem', '32MB', true), set_config('enable_nestloop', %s, true),"
        " set_config('max_parallel_workers_per_gather', '0', true)",
        ["off" if is_searching else "on"],
    )


def _show(page: str, direction: str) -> str:
    """The responses of a page as they are shown, without those beyond `MOST_ANSWER_BYTES`, which `on_page` counts too.

    Each is read by itself, whatever `prepare` says, and in the statement that found it, so that both see one moment.

    Args:
        page: SQL of `id` and `key`.
    """
    return f"""
        SELECT * FROM (
            SELECT shown.*, ARRAY[page.key::text, page.id::text] AS place, count(*) OVER () AS on_page,
                   row_number() OVER so_far AS number, sum(shown.bytes) OVER so_far AS bytes_so_far
            FROM ({page}) page CROSS JOIN LATERAL (
                SELECT {_SHOWN}, coalesce(octet_length(s.line_end), 0) AS bytes
                FROM submissions s WHERE s.id = page.id OFFSET 0) shown
            WINDOW so_far AS (ORDER BY page.key {direction}, page.id {direction} ROWS UNBOUNDED PRECEDING)
        ) AS measured WHERE number = 1 OR bytes_so_far <= {MOST_ANSWER_BYTES}
    """


async def list_page(
    connection: Connection,
    collection_id: UUID,
    wanted: ResponseFilter,
    order: Order,
    limit: int,
    place: Sequence[str] | None = None,
    *,
    backwards: bool = False,
    counted: bool = True,
    most_reviewable: int = 0,
) -> PageRows:
    """The responses that stand after a place in the order, or before it when `backwards`, in the order that was
    asked for; without a place the first, or the last. Fewer than `limit` where their answers are long.

    Where answers are looked through, the whole list is counted by the same statement.

    Args:
        counted: whether to say how many the whole list has.
        most_reviewable: those that wait for a review are counted up to one more than this; 0: they are not.

    Raises:
        psycopg.errors.DataError: the place is none of this order.
    """
    direction = order.direction(backwards=backwards)
    matching = select_matching(collection_id, wanted)
    together = counted and is_searching(wanted)
    beyond = Term("true", {})
    if place is not None:
        key = "key, id" if together else f"{order.key.sql}, s.id"
        beyond = order.beyond(key, place, backwards=backwards)
    if together:
        waits = REVIEWABLE if most_reviewable else "false"
        page = _show(
            f"SELECT id, key FROM found WHERE {beyond.sql} ORDER BY key {direction}, id {direction} LIMIT %(limit)s",
            direction,
        )
        statement = f"""
            WITH found AS MATERIALIZED (
                SELECT s.id, {order.key.sql} AS key, {waits} AS waits FROM {order.source} WHERE {matching.sql})
            SELECT c.count, c.reviewable, shown.* FROM (
                SELECT count(*) AS count, count(*) FILTER (WHERE waits) AS reviewable FROM found) c
            LEFT JOIN ({page}) shown ON true ORDER BY number
        """
    else:
        page = _show(
            f"SELECT s.id, {order.key.sql} AS key FROM {order.source} WHERE {matching.sql} AND {beyond.sql}"
            f" ORDER BY {order.key.sql} {direction}, s.id {direction} LIMIT %(limit)s",
            direction,
        )
        statement = f"{page} ORDER BY number"
    await prepare(connection, is_searching=is_searching(wanted))
    cursor = await connection.execute(statement, {**matching.values, **beyond.values, "limit": limit + 1})
    found = await cursor.fetchall()
    await prepare(connection, is_searching=False)
    count, reviewable = None, 0
    if together:  # the same in each row, of which an empty page has one
        count, reviewable = found[0]["count"], min(found[0]["reviewable"], most_reviewable + 1)
    else:
        if counted:
            count = await count_matching(connection, collection_id, wanted)
        if most_reviewable:
            reviewable = await count_reviewable(connection, collection_id, wanted, most_reviewable)
    rows = [
        ResponseRow(**{name: row[name] for name in _COLUMNS})
        for row in found[:limit]
        if row["id"] is not None
    ]
    more = bool(rows) and found[0]["on_page"] > len(rows)
    return PageRows(rows[::-1] if backwards else rows, more, count, reviewable)


async def find_neighbours(
    connection: Connection, collection_id: UUID, wanted: ResponseFilter, order: Order, place: Sequence[str]
) -> Neighbours:
    """What stands before a place in the order, and after it."""
    matching = select_matching(collection_id, wanted)
    values: dict[str, Any] = dict(matching.values)
    sides = []
    for backwards in (True, False):
        beyond = order.beyond("key, id", place, backwards=backwards)
        values |= beyond.values
        direction = order.direction(backwards=backwards)
        sides.append(
            f"(SELECT id FROM found WHERE {beyond.sql} ORDER BY key {direction}, id {direction} LIMIT 1)"
        )
    await prepare(connection, is_searching=is_searching(wanted))
    cursor = await connection.cursor(row_factory=class_row(Neighbours)).execute(
        f"""
        WITH found AS {"MATERIALIZED" if is_searching(wanted) else "NOT MATERIALIZED"} (
            SELECT s.id, {order.key.sql} AS key FROM {order.source} WHERE {matching.sql})
        SELECT {sides[0]} AS earlier, {sides[1]} AS later
        """,
        values,
    )
    row = await cursor.fetchone()
    assert row is not None
    await prepare(connection, is_searching=False)
    return row


async def find_response(
    connection: Connection, collection_id: UUID, submission_id: UUID, order: Order
) -> ResponseRow | None:
    """One response of a collection, with its place in the order."""
    cursor = await connection.cursor(row_factory=class_row(ResponseRow)).execute(
        f"""
        SELECT {_SHOWN}, ARRAY[({order.key.sql})::text, s.id::text] AS place
        FROM {order.source} WHERE s.collection_id = %s AND s.id = %s AND s.response <> 'deleted'
        """,
        [collection_id, submission_id],
    )
    return await cursor.fetchone()


async def list_questions(connection: Connection, collection_id: UUID) -> list[QuestionRow]:
    """Everything that a collection asks or ever asked, in order, what it asks no more last."""
    cursor = await connection.cursor(row_factory=class_row(QuestionRow)).execute(
        """
        SELECT id, type, body, page_order, retired FROM items
        WHERE collection_id = %s AND type NOT IN ('rich_text', 'image')
        ORDER BY retired, page_order, item_order, id
        """,
        [collection_id],
    )
    return await cursor.fetchall()


async def find_collection_of(connection: Connection, submission_id: UUID) -> UUID | None:
    """The collection that a submission is to."""
    cursor = await connection.execute(
        "SELECT collection_id FROM submissions WHERE id = %s AND response <> 'deleted'", [submission_id]
    )
    row = await cursor.fetchone()
    return row["collection_id"] if row else None


async def count_matching(
    connection: Connection, collection_id: UUID, wanted: ResponseFilter, most: int = MOST_COUNTED
) -> int:
    """How many a filter lets through; counting ends at one more than `most`."""
    return await _count(
        connection, select_matching(collection_id, wanted), most, is_searching=is_searching(wanted)
    )


async def count_reviewable(
    connection: Connection, collection_id: UUID, wanted: ResponseFilter, most: int
) -> int:
    """How many of them wait for a review, without those on which a decision is held; the same end of counting."""
    matching = _select_reviewable(collection_id, wanted)
    return await _count(connection, matching, most, is_searching=is_searching(wanted))


def _select_reviewable(collection_id: UUID, wanted: ResponseFilter) -> Term:
    matching = select_matching(collection_id, wanted)
    return replace(matching, sql=f"{matching.sql} AND {REVIEWABLE}")


async def _count(connection: Connection, matching: Term, most: int, *, is_searching: bool) -> int:
    await prepare(connection, is_searching=is_searching)
    cursor = await connection.execute(
        f"SELECT count(*) AS count FROM (SELECT 1 FROM submissions s WHERE {matching.sql} LIMIT %(most)s) AS found",
        {**matching.values, "most": most + 1},
    )
    row = await cursor.fetchone()
    await prepare(connection, is_searching=False)
    return row["count"] if row else 0


async def list_matching(
    connection: Connection, collection_id: UUID, wanted: ResponseFilter, most: int
) -> list[UUID]:
    """The submissions that a filter lets through, at most so many."""
    return await _list(connection, select_matching(collection_id, wanted), most)


async def list_reviewable(
    connection: Connection, collection_id: UUID, wanted: ResponseFilter, most: int
) -> list[UUID]:
    """Those of them that wait for a review, without those on which a decision is held, at most so many."""
    return await _list(connection, _select_reviewable(collection_id, wanted), most)


async def _list(connection: Connection, matching: Term, most: int) -> list[UUID]:
    await prepare(connection, is_searching=False)
    cursor = await connection.execute(
        f"SELECT s.id FROM submissions s WHERE {matching.sql} ORDER BY s.id LIMIT %(most)s",
        {**matching.values, "most": most},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def list_files(connection: Connection, submission_ids: list[UUID]) -> list[FileRow]:
    """The files of active responses, in the order of the archive."""
    cursor = await connection.cursor(row_factory=class_row(FileRow)).execute(
        """
        SELECT u.submission_id, u.instruction_id, u.id AS file_key, u.file_name, b.content_type, b.size_bytes,
               encode(b.sha256, 'hex') AS sha256, b.id AS blob_id, t.state AS thumbnail,
               f.width AS thumbnail_width, f.height AS thumbnail_height,
               EXISTS (SELECT FROM thumbnail_files l WHERE l.blob_id = b.id AND l.side = 1600) AS has_large,
               t.page_count, coalesce((SELECT max(p.number) FROM thumbnail_pages p WHERE p.blob_id = b.id), 1) AS pages
        FROM uploads u JOIN blobs b ON b.id = u.blob_id JOIN submissions s ON s.id = u.submission_id
        LEFT JOIN thumbnails t ON t.blob_id = b.id
        LEFT JOIN thumbnail_files f ON f.blob_id = b.id AND f.side = 320
        WHERE u.submission_id = ANY(%s) AND s.response = 'active' AND u.position IS NOT NULL
        ORDER BY u.submission_id, u.position
        """,
        [submission_ids],
    )
    return await cursor.fetchall()


async def count_answered(connection: Connection, collection_id: UUID) -> dict[str, int]:
    """How many active responses answer each question, by its id; those that none answers are left out."""
    cursor = await connection.execute(
        """
        SELECT k.id, count(*) AS count FROM submissions s, jsonb_object_keys(s.answers) AS k(id)
        WHERE s.collection_id = %s AND NOT s.test AND s.response = 'active' GROUP BY k.id
        """,
        [collection_id],
    )
    return {row["id"]: row["count"] for row in await cursor.fetchall()}
