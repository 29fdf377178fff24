"""SQL of the audit log. Entries and seals are only ever inserted; the database refuses everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, LiteralString, TypeVar
from uuid import UUID

from psycopg.rows import RowMaker, class_row
from psycopg.types.json import Jsonb

from fieldpack.server.audit.rows import EntryRow, HeadRow, ListedRow, SealRow, TailRow
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection

Row = TypeVar("Row")
ENTRY = columns_of(EntryRow, "e")
BATCH = 2000


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to be written. Where it belongs follows from what it is about.

    Attributes:
        researcher_id: who acted; None for a participant, who is `submission_id`, and for others.
        member_id: the researcher whom it is about.
        is_awaited: whether the transaction's end waits for the disk. Where nothing but the entry was written it need
            not: a crash of the machine takes what the last fraction of a second only looked at.
    """

    actor_type: str
    researcher_id: UUID | None
    credential_type: str | None
    credential_id: str | None
    address: str | None
    action: str
    object_type: str
    object_id: UUID | None
    submission_id: UUID | None
    member_id: UUID | None
    workspace_id: UUID | None
    collection_id: UUID | None
    study_id: UUID | None
    details: dict[str, Any]
    is_awaited: bool


async def insert_entry(connection: Connection, entry: NewEntry) -> None:
    """One entry, in the caller's transaction.

    Of downloads by one link from one address there is one entry an hour; of a participant who is not there, none.
    """
    submission = "%(submission)s" if entry.submission_id is not None else None
    await connection.execute(_compose(entry, submission), _bind(entry))


async def find_and_insert(
    connection: Connection,
    kind: type[Row],
    found: LiteralString,
    values: dict[str, UUID],
    entry: NewEntry,
) -> Row | None:
    """The row that a query finds, and in the same statement an entry that it was read; neither where it finds none.

    Args:
        kind: the dataclass of a row.
        found: a query of at most one row, with a column `submission_id`: whom the entry is about.
        values: of its parameters, named unlike the fields of an entry.
    """
    cursor = await connection.cursor(row_factory=class_row(kind)).execute(
        f"WITH found AS ({found}), entry AS ({_compose(entry, 'found.submission_id', 'FROM found')})"
        " SELECT * FROM found",
        values | _bind(entry),
    )
    return await cursor.fetchone()


def _compose(entry: NewEntry, submission: str | None, source: str = "") -> str:
    """The statement that writes an entry, of only what is needed: with all of it PostgreSQL plans it anew each time,
    which takes longer than to carry it out.

    Args:
        submission: SQL of the participant's submission, None where it is about none.
        source: where rows come from, for an entry about each.
    """
    collection, subject, actor, workspace = "NULL::uuid", "NULL::uuid", "NULL::uuid", "%(workspace)s::uuid"
    conditions = [] if entry.is_awaited else ["set_config('synchronous_commit', 'off', true) IS NOT NULL"]
    if entry.collection_id is not None:
        collection = "%(collection)s::uuid"
    elif entry.study_id is not None:
        collection = "(SELECT t.collection_id FROM studies t WHERE t.id = %(study)s)"
    elif submission is not None:
        collection = f"(SELECT s.collection_id FROM submissions s WHERE s.id = {submission})"
    if entry.actor_type == "participant":  # of one who is not there, no row comes
        assert submission is not None
        assert not source
        subject = actor = "p.id"
        source = "FROM audit_subjects p"
        conditions.append(f"p.submission_id = {submission}")
    elif submission is not None:
        subject = f"(SELECT s.id FROM audit_subjects s WHERE s.submission_id = {submission})"
    elif entry.member_id is not None:
        subject = "(SELECT s.id FROM audit_subjects s WHERE s.researcher_id = %(member)s)"
    if entry.researcher_id is not None:
        actor = "(SELECT s.id FROM audit_subjects s WHERE s.researcher_id = %(researcher)s)"
    if entry.workspace_id is None and collection != "NULL::uuid":
        workspace = f"(SELECT c.workspace_id FROM collections c WHERE c.id = {collection})"
    once = """
        ON CONFLICT (object_id, credential_id, address, date_trunc('hour', at AT TIME ZONE 'UTC'))
            WHERE action = 'archive.download' DO NOTHING
        """
    return f"""
        INSERT INTO audit_entries (actor_type, actor_id, credential_type, credential_id, address, action, object_type,
                                   object_id, subject_id, workspace_id, collection_id, details)
        SELECT %(actor_type)s, {actor}, %(credential_type)s, %(credential_id)s, %(address)s, %(action)s,
               %(object_type)s, %(object)s, {subject}, {workspace}, {collection}, %(details)s
        {source} WHERE {" AND ".join(conditions) or "true"}
        {once if entry.action == "archive.download" else ""}
        """


def _bind(entry: NewEntry) -> dict[str, Any]:
    return {
        "actor_type": entry.actor_type,
        "researcher": entry.researcher_id,
        "credential_type": entry.credential_type,
        "credential_id": entry.credential_id,
        "address": entry.address,
        "action": entry.action,
        "object_type": entry.object_type,
        "object": entry.object_id,
        "submission": entry.submission_id,
        "member": entry.member_id,
        "workspace": entry.workspace_id,
        "collection": entry.collection_id,
        "study": entry.study_id,
        "details": Jsonb(entry.details),
    }


async def insert_entries(
    connection: Connection,
    *,
    actor_type: str,
    researcher_id: UUID | None,
    credential_type: str | None,
    credential_id: str | None,
    address: str | None,
    action: str,
    object_type: str,
    submission_ids: list[UUID],
    details: dict[str, Any],
) -> None:
    """An entry about each of these submissions, in the caller's transaction, as `insert_entry` would write them."""
    await connection.execute(
        """
        INSERT INTO audit_entries (actor_type, actor_id, credential_type, credential_id, address, action, object_type,
                                   subject_id, workspace_id, collection_id, details)
        SELECT %(actor_type)s, (SELECT s.id FROM audit_subjects s WHERE s.researcher_id = %(researcher)s),
               %(credential_type)s, %(credential_id)s, %(address)s, %(action)s, %(object_type)s,
               subject.id, c.workspace_id, s.collection_id, %(details)s
        FROM unnest(%(submissions)s::uuid[]) WITH ORDINALITY AS given (id, place)
        JOIN submissions s ON s.id = given.id JOIN collections c ON c.id = s.collection_id
        LEFT JOIN audit_subjects subject ON subject.submission_id = s.id
        ORDER BY given.place
        """,
        {
            "actor_type": actor_type,
            "researcher": researcher_id,
            "credential_type": credential_type,
            "credential_id": credential_id,
            "address": address,
            "action": action,
            "object_type": object_type,
            "submissions": submission_ids,
            "details": Jsonb(details),
        },
    )


async def delete_subject(connection: Connection, submission_id: UUID) -> None:
    """From here on nobody can tell whom the entries about this submission are about."""
    await connection.execute("DELETE FROM audit_subjects WHERE submission_id = %s", [submission_id])


# sealing


async def take_turn(connection: Connection) -> bool:
    """Take the advisory lock of sealing until commit; return False when another transaction holds it."""
    cursor = await connection.execute(
        "SELECT pg_try_advisory_xact_lock(hashtext('fieldpack.audit.seals')) AS taken"
    )
    row = await cursor.fetchone()
    return bool(row and row["taken"])


async def get_head(connection: Connection) -> HeadRow:
    """The last seal of the chain, and the time by PostgreSQL's clock."""
    cursor = connection.cursor(row_factory=class_row(HeadRow))
    await cursor.execute(
        """
        SELECT coalesce(s.position, 0) AS position, coalesce(s.hash, decode(repeat('00', 32), 'hex')) AS hash,
               now() AS now
        FROM (SELECT 1) one LEFT JOIN (
            SELECT position, hash FROM audit_seals ORDER BY position DESC LIMIT 1) s ON true
        """
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_unsealed(connection: Connection, after: int, limit: int) -> list[EntryRow]:
    """Entries beyond the id `after` that are in the chain nowhere, in order of writing."""
    cursor = connection.cursor(row_factory=class_row(EntryRow))
    await cursor.execute(
        f"""
        SELECT {ENTRY} FROM audit_entries e
        WHERE e.id > %s AND NOT EXISTS (SELECT FROM audit_seals s WHERE s.entry_id = e.id)
        ORDER BY e.id LIMIT %s
        """,
        [after, limit],
    )
    return await cursor.fetchall()


async def find_last_id(connection: Connection) -> int:
    """The highest id of an entry that can be seen; 0 where there is none."""
    cursor = await connection.execute("SELECT coalesce(max(id), 0) AS id FROM audit_entries")
    row = await cursor.fetchone()
    assert row is not None
    return int(row["id"])


async def insert_seals(
    connection: Connection, first: int, sealed_at: datetime, entry_ids: list[int], hashes: list[bytes]
) -> None:
    """Seals one after another, the first of them at position `first`."""
    await connection.execute(
        """
        INSERT INTO audit_seals (position, entry_id, sealed_at, hash)
        SELECT %(first)s + sealed.number - 1, sealed.entry_id, %(at)s, sealed.hash
        FROM unnest(%(ids)s::bigint[], %(hashes)s::bytea[]) WITH ORDINALITY AS sealed (entry_id, hash, number)
        """,
        {"first": first, "at": sealed_at, "ids": entry_ids, "hashes": hashes},
    )


# reading


def _make_seal(cursor: Any) -> RowMaker[SealRow]:
    def make(values: Any) -> SealRow:
        entry = None if values[4] is None else EntryRow(*values[4:])
        return SealRow(values[0], values[1], values[2], bytes(values[3]), entry)

    return make


async def iter_seals(connection: Connection) -> AsyncIterator[SealRow]:
    """The whole chain from its beginning, with what it seals. In a transaction of its own."""
    async with connection.cursor("seals", row_factory=_make_seal) as cursor:
        cursor.itersize = BATCH
        await cursor.execute(
            f"""
            SELECT s.position, s.entry_id, s.sealed_at, s.hash, {ENTRY}
            FROM audit_seals s LEFT JOIN audit_entries e ON e.id = s.entry_id ORDER BY s.position
            """
        )
        async for row in cursor:
            yield row


async def begin_snapshot(connection: Connection) -> None:
    """From here on this transaction sees one state of the log."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


async def get_tail(connection: Connection) -> TailRow:
    """How many entries are not sealed yet, and since when the oldest of them waits."""
    cursor = connection.cursor(row_factory=class_row(TailRow))
    await cursor.execute(
        """
        SELECT count(*) AS count, min(e.at) AS oldest_at FROM audit_entries e
        WHERE NOT EXISTS (SELECT FROM audit_seals s WHERE s.entry_id = e.id)
        """
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_entries(
    connection: Connection,
    *,
    workspace_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    actor: str | None,
    action: str | None,
    object_id: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[ListedRow], int]:
    """Entries, newest first, and how many there are.

    Args:
        workspace_id: of this one only; None for all.
        actor: an e-mail address or an id of a researcher, a subject's id, or a kind of actor.
        action: one, or all of an object's as `submission.`.
        object_id: of what an entry is about: a submission, a file, a study, a collection …, or a subject.
    """
    conditions, values = ["true"], {"limit": limit, "offset": offset}
    given: dict[str, Any] = {
        "workspace": (workspace_id, "e.workspace_id = %(workspace)s"),
        "since": (since, "e.at >= %(since)s"),
        "until": (until, "e.at < %(until)s"),
        "actor": (
            actor,
            """(e.actor_type = %(actor)s OR e.actor_id::text = lower(%(actor)s) OR e.actor_id IN (
                SELECT s.id FROM audit_subjects s JOIN researchers r ON r.id = s.researcher_id
                WHERE lower(r.email) = lower(%(actor)s) OR r.id::text = lower(%(actor)s)))""",
        ),
        "action": (action, "starts_with(e.action, %(action)s)"),
        "object": (
            object_id,
            """(e.object_id = %(object)s OR e.subject_id = %(object)s OR e.collection_id = %(object)s
                OR e.subject_id = (SELECT s.id FROM audit_subjects s
                                   WHERE s.submission_id = %(object)s OR s.researcher_id = %(object)s))""",
        ),
    }
    for name, (value, condition) in given.items():
        if value is not None:
            values[name] = value
            conditions.append(condition)
    where = " AND ".join(conditions)
    own = ", ".join(f"e.{field.name}" for field in fields(EntryRow))
    cursor = connection.cursor(row_factory=class_row(ListedRow))
    await cursor.execute(
        f"""
        SELECT {own}, acting.researcher_id, r.email AS researcher, about.submission_id, sealed.position
        FROM audit_entries e
        LEFT JOIN audit_subjects acting ON acting.id = e.actor_id
        LEFT JOIN researchers r ON r.id = acting.researcher_id
        LEFT JOIN audit_subjects about ON about.id = e.subject_id
        LEFT JOIN audit_seals sealed ON sealed.entry_id = e.id
        WHERE {where} ORDER BY e.id DESC LIMIT %(limit)s OFFSET %(offset)s
        """,
        values,
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count FROM audit_entries e WHERE {where}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0
