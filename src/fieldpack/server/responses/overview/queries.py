"""SQL of an overview. What is quick at any size comes first; what looks at every response after it."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.report.tallies import MOST_COMMON, MOST_EXAMPLES
from fieldpack.server.changes.queries import NEWS
from fieldpack.server.collections.lists.count_queries import COUNTS
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.rows import OptionsRow
from fieldpack.server.responses.overview.rows import (
    CountsRow,
    DayRow,
    GivenRow,
    SnapshotRow,
    SpreadRow,
    TextsRow,
)
from fieldpack.server.selection.queries import LAST_ANSWERED, LEFT, SECONDS

MOST_LOOKED_AT = 500  # changes that are asked whether a reading saw them, the newest

# of which an export holds
_ACTIVE = "s.collection_id = %(collection)s AND NOT s.test AND s.response = 'active'"


async def read_counts(connection: Connection, collection_id: UUID) -> CountsRow:
    """A collection's submissions by what became of them, as they are kept: none of them is looked at."""
    sums = ", ".join(f"coalesce(sum(k.{name}), 0)::bigint AS {name}" for name in COUNTS)
    names = ", ".join(COUNTS)
    cursor = await connection.cursor(row_factory=class_row(CountsRow)).execute(
        f"""
        SELECT {sums} FROM (
            SELECT {names} FROM collection_counts WHERE collection_id = %(collection)s
            UNION ALL
            SELECT {names} FROM collection_differences WHERE collection_id = %(collection)s
        ) k
        """,
        {"collection": collection_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_days(connection: Connection, collection_id: UUID) -> list[DayRow]:
    """Active responses by the day of their completion (UTC), as they are kept; days without any left out."""
    cursor = await connection.cursor(row_factory=class_row(DayRow)).execute(
        """
        SELECT e.day::timestamp AT TIME ZONE 'UTC' AS day, sum(e.responses)::bigint AS count FROM (
            SELECT day, responses FROM collection_days WHERE collection_id = %(collection)s
            UNION ALL
            SELECT day, responses FROM collection_differences
            WHERE collection_id = %(collection)s AND day IS NOT NULL
        ) e GROUP BY 1 HAVING sum(e.responses) <> 0 ORDER BY 1
        """,
        {"collection": collection_id},
    )
    return await cursor.fetchall()


async def begin_snapshot(connection: Connection) -> SnapshotRow:
    """Begin to read: all later statements of the transaction see one state of the database, which has a name."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    cursor = await connection.cursor(row_factory=class_row(SnapshotRow)).execute(
        "SELECT pg_current_snapshot()::text AS snapshot, now() AS at"
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def has_changed(connection: Connection, collection_id: UUID, snapshot: str) -> bool:
    """Whether something was logged of a collection that a reading did not see.

    Ids rise, but a smaller one may be committed later; so of the newest each is asked for itself.
    """
    cursor = await connection.execute(
        f"""
        SELECT EXISTS (
            SELECT FROM (
                SELECT transaction FROM changes WHERE collection_id = %(collection)s ORDER BY id DESC LIMIT %(most)s
            ) latest WHERE {NEWS}
        ) AS changed
        """,
        {"collection": collection_id, "most": MOST_LOOKED_AT, "snapshot": snapshot},
    )
    row = await cursor.fetchone()
    return bool(row and row["changed"])


async def read_spread(connection: Connection, collection_id: UUID) -> SpreadRow:
    """Who the submissions are of, and how long active responses took."""
    cursor = await connection.cursor(row_factory=class_row(SpreadRow)).execute(
        f"""
        SELECT (SELECT count(DISTINCT s.participant_id COLLATE "C") FROM submissions s
                WHERE s.collection_id = %(collection)s AND NOT s.test AND s.response <> 'deleted') AS participants,
               q.submitted, q.quarters[2] AS median_seconds, q.quarters[1] AS low_seconds,
               q.quarters[3] AS high_seconds
        FROM (
            SELECT count(*) AS submitted,
                   percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY {SECONDS}::float8) AS quarters
            FROM submissions s WHERE {_ACTIVE}
        ) q
        """,
        {"collection": collection_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def count_left(connection: Connection, collection_id: UUID) -> dict[str, int]:
    """How many of those who began and have not submitted gave their last answer to each question, by its id; '' for
    those who answered none."""
    cursor = await connection.execute(
        f"""
        SELECT coalesce({LAST_ANSWERED}::text, '') AS id, count(*) AS count
        FROM submissions s WHERE s.collection_id = %s AND NOT s.test AND {LEFT} GROUP BY 1
        """,
        [collection_id],
    )
    return {row["id"]: row["count"] for row in await cursor.fetchall()}


async def list_options(connection: Connection, collection_id: UUID) -> list[OptionsRow]:
    """The options of every version of the collection, oldest first."""
    cursor = await connection.cursor(row_factory=class_row(OptionsRow)).execute(
        """
        SELECT v.created_at AS made_at, coalesce(
            (SELECT json_object_agg(item->>'id', coalesce(item->'options', item->'unit_options'))
             FROM json_array_elements(v.body->'collection_items') page,
                  json_array_elements(page->'page_items') item
             WHERE coalesce(item->'options', item->'unit_options') IS NOT NULL), '{}') AS options
        FROM collection_versions v WHERE v.collection_id = %s ORDER BY v.version
        """,
        [collection_id],
    )
    return await cursor.fetchall()


async def list_given(connection: Connection, collection_id: UUID, texts: list[str]) -> list[GivenRow]:
    """What active responses gave, each different value of a question once, in the order of an archive.

    Args:
        texts: ids of the questions that are left out, because their answers are texts.
    """
    cursor = await connection.cursor(row_factory=class_row(GivenRow)).execute(
        f"""
        WITH placed AS (
            SELECT s.answers, row_number() OVER (ORDER BY s.completed_at, s.id) AS place
            FROM submissions s WHERE {_ACTIVE}
        )
        SELECT q.key AS instruction_id,
               CASE WHEN jsonb_typeof(e.value) = 'object'
                    THEN CASE WHEN e.value ? 'path' THEN e.value->'content_type' ELSE e.value->'value' END
                    ELSE e.value END AS value,
               q.value->'unit' AS unit,
               count(*) FILTER (WHERE coalesce(e.number, 1) = 1) AS answers, count(e.value) AS count,
               coalesce(sum((e.value->>'size_bytes')::bigint), 0)::bigint AS size_bytes
        FROM placed p CROSS JOIN jsonb_each(p.answers) AS q
        LEFT JOIN LATERAL jsonb_array_elements(
            CASE jsonb_typeof(q.value->'value') WHEN 'array' THEN q.value->'value'
                 ELSE jsonb_build_array(q.value->'value') END) WITH ORDINALITY AS e (value, number) ON true
        WHERE q.key <> ALL(%(texts)s)
        GROUP BY 1, 2, 3 ORDER BY min(p.place * 100000 + coalesce(e.number, 1))
        """,
        {"collection": collection_id, "texts": texts},
    )
    return await cursor.fetchall()


async def list_texts(connection: Connection, collection_id: UUID, texts: list[str]) -> list[TextsRow]:
    """What can be said of the texts that active responses gave to these questions."""
    cursor = await connection.cursor(row_factory=class_row(TextsRow)).execute(
        f"""
        WITH placed AS (
            SELECT s.answers, row_number() OVER (ORDER BY s.completed_at, s.id) AS place
            FROM submissions s WHERE {_ACTIVE}
        ), given AS (
            SELECT a.key AS id, (a.value->>'value') COLLATE "C" AS text, count(*) AS count, min(p.place) AS place
            FROM placed p CROSS JOIN jsonb_each(p.answers) AS a WHERE a.key = ANY(%(texts)s) GROUP BY 1, 2
        )
        SELECT q.id AS instruction_id, q.answers, q."distinct", l.lengths, c.commonest,
               coalesce(e.examples, '[]') AS examples
        FROM (SELECT g.id, sum(g.count)::bigint AS answers, count(*) AS "distinct" FROM given g GROUP BY 1) q
        JOIN (
            SELECT l.id, jsonb_agg(jsonb_build_array(l.length, l.count)) AS lengths FROM (
                SELECT g.id, length(g.text) AS length, sum(g.count)::bigint AS count FROM given g GROUP BY 1, 2) l
            GROUP BY 1) l ON l.id = q.id
        JOIN (
            SELECT c.id, jsonb_agg(jsonb_build_array(c.text, c.count) ORDER BY c.count DESC, c.place) AS commonest
            FROM (
                SELECT g.*, row_number() OVER (PARTITION BY g.id ORDER BY g.count DESC, g.place) AS rank FROM given g) c
            WHERE c.rank <= {MOST_COMMON} GROUP BY 1) c ON c.id = q.id
        LEFT JOIN (
            SELECT e.id, jsonb_agg(e.text ORDER BY e.place) AS examples FROM (
                SELECT g.*, row_number() OVER (PARTITION BY g.id ORDER BY g.place) AS rank FROM given g
                WHERE g.text ~ '\\S') e
            WHERE e.rank <= {MOST_EXAMPLES} GROUP BY 1) e ON e.id = q.id
        """,
        {"collection": collection_id, "texts": texts},
    )
    return await cursor.fetchall()
