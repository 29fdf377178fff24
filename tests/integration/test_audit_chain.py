"""The chain of the audit log on a real database: what it withstands, and what `verify` finds when it did not."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from fieldpack.server.audit import actions, queries
from fieldpack.server.audit.checkpoints import Checkpoint, keep_checkpoint, read_checkpoints
from fieldpack.server.audit.rows import EntryRow
from fieldpack.server.audit.sealing import Sealer, encode_entry
from fieldpack.server.audit.service import Actor, write_entry
from fieldpack.server.audit.verification import Verdict, verify
from fieldpack.server.config import load_settings
from fieldpack.server.db.embedded.server import EmbeddedPostgres, open_embedded
from fieldpack.server.db.migrate import migrate
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.storage import open_storage

T = TypeVar("T")
ENTRIES = 6


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    handle = open_embedded(folder, durable=False)
    try:
        migrate(handle.url)
        yield handle
    finally:
        handle.close()
        handle.wait_stopped()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database of its own."""
    name = f"audit_{uuid4().hex}"
    with psycopg.connect(postgres.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE fieldpack")
        try:
            yield psycopg.conninfo.make_conninfo(postgres.url, dbname=name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    async def inner() -> T:
        database = Database(url, max_size=4)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(inner())


async def write(connection: Connection, number: int = 0) -> None:
    actor = Actor("researcher", None, "token", str(uuid4()), "192.0.2.7")
    await write_entry(
        connection,
        actor,
        "response.list",
        object_id=uuid4(),
        workspace_id=uuid4(),
        collection_id=uuid4(),
        count=number,
        status=["APPROVED"],
    )


def fill(url: str, count: int = ENTRIES) -> None:
    """So many entries, sealed."""

    async def work(database: Database) -> None:
        for number in range(count):
            async with database.transaction() as connection:
                await write(connection, number)
        assert await Sealer(database).seal() == count

    run(url, work)


def look(url: str, checkpoints: list[Checkpoint] | None = None) -> Verdict:
    async def work(database: Database) -> Verdict:
        async with database.transaction() as connection:
            return await verify(connection, checkpoints or [])

    return run(url, work)


def tamper(url: str, *statements: str) -> None:
    """Change what must not be changed, as somebody may who has the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # triggers sleep
        for statement in statements:
            connection.execute(statement)


def kinds(verdict: Verdict) -> list[tuple[str, int]]:
    return [(finding.kind, finding.position) for finding in verdict.findings]


def test_a_whole_chain_is_whole(url: str) -> None:
    assert look(url).is_whole
    fill(url)
    verdict = look(url)
    assert verdict.is_whole
    assert (verdict.sealed, verdict.last_position, verdict.unsealed) == (ENTRIES, ENTRIES, 0)


def test_what_is_not_sealed_yet_is_told_apart(url: str) -> None:
    fill(url)

    async def work(database: Database) -> None:
        for _ in range(2):
            async with database.transaction() as connection:
                await write(connection)

    run(url, work)
    verdict = look(url)
    assert verdict.is_whole
    assert (verdict.sealed, verdict.unsealed) == (ENTRIES, 2)
    assert verdict.unsealed_since is not None


CHANGES = {
    "id": None,  # what a seal names: as if the entry were gone
    "at": "at + interval '1 microsecond'",
    "actor_type": "'operator'",
    "actor_id": "gen_random_uuid()",
    "credential_type": "'session'",
    "credential_id": "overlay(credential_id PLACING 'x' FROM 3)",
    "address": "'192.0.2.6'",
    "action": "'response.lisu'",
    "object_type": "'responsf'",
    "object_id": "gen_random_uuid()",
    "subject_id": "gen_random_uuid()",
    "workspace_id": "NULL",
    "collection_id": "gen_random_uuid()",
    "details": "jsonb_set(details, '{count}', '41')",
}


def test_the_table_of_changes_has_every_column() -> None:
    assert set(CHANGES) == {field.name for field in fields(EntryRow)}


@pytest.mark.parametrize("column", [name for name, value in CHANGES.items() if value])
def test_one_changed_value_of_an_entry_is_found(url: str, column: str) -> None:
    fill(url)
    tamper(
        url,
        f"UPDATE audit_entries SET {column} = {CHANGES[column]}"
        " WHERE id = (SELECT entry_id FROM audit_seals WHERE position = 3)",
    )
    assert kinds(look(url)) == [("changed", 3)]


@pytest.mark.parametrize(
    "change",
    ["hash = set_bit(hash, 77, 1 - get_bit(hash, 77))", "sealed_at = sealed_at + interval '1 microsecond'"],
)
def test_one_flipped_bit_of_a_seal_is_found(url: str, change: str) -> None:
    fill(url)
    tamper(url, f"UPDATE audit_seals SET {change} WHERE position = 4")
    assert kinds(look(url)) == [("changed", 4)]


def test_one_removed_entry_is_found(url: str) -> None:
    fill(url)
    tamper(url, "DELETE FROM audit_entries WHERE id = (SELECT entry_id FROM audit_seals WHERE position = 2)")
    assert kinds(look(url)) == [("removed", 2)]


def test_an_entry_removed_with_its_seal_is_found(url: str) -> None:
    fill(url)
    tamper(
        url,
        "DELETE FROM audit_entries WHERE id = (SELECT entry_id FROM audit_seals WHERE position = 2)",
        "DELETE FROM audit_seals WHERE position = 2",
    )
    assert kinds(look(url)) == [("gap", 2)]


def test_a_removed_entry_whose_gap_was_closed_is_found(url: str) -> None:
    fill(url)
    tamper(
        url,
        "ALTER TABLE audit_seals DROP CONSTRAINT audit_seals_position_check",
        "DELETE FROM audit_entries WHERE id = (SELECT entry_id FROM audit_seals WHERE position = 2)",
        "DELETE FROM audit_seals WHERE position = 2",
        "UPDATE audit_seals SET position = -position WHERE position > 2",
        "UPDATE audit_seals SET position = -position - 1 WHERE position < 0",
    )
    assert ("changed", 2) in kinds(look(url))


def test_one_reordered_pair_is_found(url: str) -> None:
    fill(url)
    tamper(
        url,
        "ALTER TABLE audit_seals DROP CONSTRAINT audit_seals_entry_id_key",
        "UPDATE audit_seals s SET entry_id = o.entry_id FROM audit_seals o"
        " WHERE (s.position, o.position) IN ((3, 4), (4, 3))",
    )
    assert kinds(look(url)) == [("changed", 3), ("changed", 4)]


def test_an_entry_put_in_later_is_found(url: str) -> None:
    fill(url)
    tamper(
        url,
        "UPDATE audit_seals SET position = position + 1000 WHERE position > 3",
        "UPDATE audit_seals SET position = position - 999 WHERE position > 1000",
        "INSERT INTO audit_entries (actor_type, action, object_type) VALUES ('operator', 'keys.rotate', 'keys')",
        "INSERT INTO audit_seals SELECT 4, max(id), now(), sha256('x') FROM audit_entries",
    )
    assert ("changed", 4) in kinds(look(url))


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize(("table", "column"), [("audit_entries", "action"), ("audit_seals", "hash")])
def test_the_database_refuses_changes(url: str, statement: str, table: str, column: str) -> None:
    fill(url, 1)
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege, match="only ever added to")
    with psycopg.connect(url, autocommit=True) as connection, refused:
        connection.execute(statement.format(table, column, column))


def test_the_end_cut_off_is_found_by_a_checkpoint(url: str, tmp_path: Path) -> None:
    fill(url)
    storage = open_storage(load_settings(data_dir=tmp_path))

    async def work(database: Database) -> list[Checkpoint]:
        day = await keep_checkpoint(database, storage, "")
        assert await keep_checkpoint(database, storage, day) == day
        assert await keep_checkpoint(database, storage, "") == day  # another process, which does not know
        return (await read_checkpoints(storage))[0]

    try:
        kept = run(url, work)
    finally:
        storage.close()
    assert [one.position for one in kept] == [ENTRIES]
    assert look(url, kept).is_whole
    fill(url, 2)  # it goes on, and the checkpoint holds
    assert look(url, kept).is_whole
    cut = (
        "DELETE FROM audit_entries WHERE id IN (SELECT entry_id FROM audit_seals WHERE position > 4)",
        "DELETE FROM audit_seals WHERE position > 4",
    )
    tamper(url, *cut)
    assert look(url).is_whole, "the chain alone can't tell"
    assert kinds(look(url, kept)) == [("checkpoint", ENTRIES)]
    fill(url, 4)  # others at the same places
    assert kinds(look(url, kept)) == [("checkpoint", ENTRIES)]


async def write_entries_of(first: Connection, second: Connection, third: Connection) -> None:
    """The first has the lowest id, and stays open; the third is undone."""
    await write(first, 1)
    await write(second, 2)
    await write(third, 3)
    await third.close()
    await second.commit()


def test_late_commits_and_undone_transactions(url: str) -> None:
    """Ids are not the order of commits: one that is seen late is sealed behind those that were there."""

    async def work(database: Database) -> list[int]:
        sealer = Sealer(database)
        first, second, third = [
            await psycopg.AsyncConnection.connect(url, row_factory=dict_row) for _ in range(3)
        ]
        async with first, second:
            await write_entries_of(first, second, third)
            assert await sealer.seal() == 1
            assert await sealer.seal() == 0
            await first.commit()
            assert await sealer.seal() == 1
        async with database.transaction() as connection:
            seals = [seal async for seal in queries.iter_seals(connection)]
        return [seal.entry.details["count"] for seal in seals if seal.entry]

    assert run(url, work) == [2, 1]
    assert look(url).is_whole


def test_writers_do_not_wait_for_each_other_nor_for_the_sealer(url: str) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as open_one:
            await open_one.execute("SET lock_timeout = '1ms'")
            await write(open_one)
            async with database.transaction() as sealing:
                assert await queries.take_turn(sealing)
                async with database.transaction() as other:
                    await other.execute("SET lock_timeout = '1ms'")
                    await write(other)
                assert await Sealer(database).seal() == 0  # another is at it
        assert await Sealer(database).seal() == 2

    run(url, work)


def test_many_writers_and_several_sealers_make_one_chain(url: str) -> None:
    async def writer(database: Database) -> None:
        for number in range(30):
            async with database.transaction() as connection:
                await write(connection, number)

    async def work(database: Database) -> int:
        sealers = [Sealer(database) for _ in range(2)]
        writing = asyncio.gather(*(writer(database) for _ in range(3)))
        while not writing.done():
            await asyncio.gather(*(sealer.seal() for sealer in sealers))
            await asyncio.sleep(0)
        await writing
        return await sealers[0].seal()

    run(url, work)
    verdict = look(url)
    assert verdict.is_whole
    assert (verdict.sealed, verdict.unsealed) == (90, 0)


def test_another_program_verifies_an_export(url: str) -> None:
    """As docs/security.md says how: from the lines alone, with the standard library."""
    fill(url)

    async def work(database: Database) -> list[str]:
        async with database.transaction() as connection:
            return [
                encode_entry(seal.entry, seal.position, seal.sealed_at).decode() + " " + seal.hash.hex()
                async for seal in queries.iter_seals(connection)
                if seal.entry
            ]

    before = bytes(32)
    for line in run(url, work):
        text, _, expected = line.rpartition(" ")
        made = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        before = hashlib.sha256(before + made.encode()).digest()
        assert before.hex() == expected


@pytest.mark.parametrize(
    "details",
    [
        {"name": "Ada"},
        {"status": "ada@example.org"},
        {"count": 1.5},
        {"status": {"a": 1}},
        {"ordering": "x" * 41},
        {"step": "5f"},
        {"status": ["APPROVED", "it was\nfine"]},
    ],
)
def test_what_somebody_wrote_never_gets_into_an_entry(details: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        actions.make_details(details)


def test_nothing_of_participants_addresses(url: str) -> None:
    """The table itself refuses one."""
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO audit_entries (actor_type, action, object_type, address)"
            " VALUES ('participant', 'submission.start', 'submission', '192.0.2.1')"
        )
