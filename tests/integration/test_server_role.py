"""The role that the server uses in the database: it does everything but change the audit log."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fieldpack.errors import ConfigError
from fieldpack.server.config import load_settings
from fieldpack.server.db.embedded.server import EmbeddedPostgres, open_embedded
from fieldpack.server.db.migrate import migrate
from fieldpack.server.db.server_role import SERVER_ROLE, as_server, grant_to_server
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import PNG, Scenario

FORBIDDEN = [
    "UPDATE audit_entries SET action = action",
    "DELETE FROM audit_entries",
    "TRUNCATE audit_entries",
    "UPDATE audit_seals SET hash = hash",
    "DELETE FROM audit_seals",
    "TRUNCATE audit_seals",
    "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_stay",
    "DROP TRIGGER audit_seals_stay ON audit_seals",
    "DROP TABLE audit_entries",
    "ALTER TABLE audit_seals ADD COLUMN more text",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
    "SELECT setval('audit_entries_id_seq', 1)",
    "SET session_replication_role = replica",
    "SET ROLE fieldpack",
    "CREATE TABLE more ()",
    "UPDATE alembic_version SET version_num = '0'",
    "GRANT ALL ON audit_entries TO fieldpack_server",  # a warning, and nothing granted, for some of it
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    handle = open_embedded(folder, durable=False)
    try:
        yield handle
    finally:
        handle.close()
        handle.wait_stopped()
        shutil.rmtree(folder, ignore_errors=True)


def privileges_of(connection: psycopg.Connection[Any], role: str, table: str) -> set[str]:
    names = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]
    row = connection.execute(
        "SELECT array_agg(name) FILTER (WHERE has_table_privilege(%s, %s, name)) FROM unnest(%s::text[]) name",
        [role, table, names],
    ).fetchone()
    return set(row[0] or ()) if row else set()


def test_the_server_serves_with_a_role_of_its_own(server: Installation) -> None:
    with server.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("somebody", files=[("a.png", PNG)])
        scenario.export()
    with connected(server) as database:
        rows = database.execute(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'fieldpack' AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND NOT starts_with(query, 'VACUUM')"
        ).fetchall()
    assert ("fieldpack_server",) in rows


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_log_can_only_be_added_to(server: Installation, statement: str) -> None:
    with (
        connected(server) as owner,
        psycopg.connect(as_server(owner.info.dsn), autocommit=True) as connection,
    ):
        before = privileges_of(owner, SERVER_ROLE, "audit_entries")
        if statement.startswith("GRANT"):
            connection.execute(statement)
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        assert privileges_of(owner, SERVER_ROLE, "audit_entries") == before == {"SELECT", "INSERT"}


def test_granted_anew_where_it_is_not_as_it_should_be(postgres: EmbeddedPostgres) -> None:
    """After a restore, or a migration that made a table."""
    migrate(postgres.url)
    grant_to_server(postgres.url, SERVER_ROLE)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE later (id serial PRIMARY KEY)")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {SERVER_ROLE}")
        connection.execute(f"REVOKE SELECT ON settings FROM {SERVER_ROLE}")
        grant_to_server(postgres.url, SERVER_ROLE)
        assert privileges_of(connection, SERVER_ROLE, "later") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
        assert privileges_of(connection, SERVER_ROLE, "settings") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
        assert privileges_of(connection, SERVER_ROLE, "audit_seals") == {"SELECT", "INSERT"}
    with psycopg.connect(as_server(postgres.url), autocommit=True) as connection:
        connection.execute("INSERT INTO later DEFAULT VALUES")


def test_a_database_of_ones_own_with_two_roles(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for name, more in (
            ("theirs_owner", ""),
            ("theirs", ""),
            ("member", "IN ROLE theirs_owner"),
            ("boss", "CREATEROLE"),
        ):
            connection.execute(f"CREATE ROLE {name} LOGIN {more}")
        connection.execute("CREATE DATABASE theirs OWNER theirs_owner")
    owner = make_conninfo(postgres.url, user="theirs_owner", dbname="theirs")
    migrate(owner)
    for role, said in {
        "theirs_owner": "same role",
        "boss": "superuser",
        "nobody": "no role",
        "member": "member of",
    }.items():
        with pytest.raises(ConfigError, match=said):
            grant_to_server(owner, role)
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    server = Installation(
        folder / "data",
        settings={
            "FIELDPACK_DATABASE_OWNER_URL": owner,
            "FIELDPACK_DATABASE_URL": make_conninfo(postgres.url, user="theirs", dbname="theirs"),
        },
    )
    try:
        server.start()
        with server.client() as api:
            scenario = Scenario.create(api)
            submission = scenario.take_part("somebody", "It was fine.", [("a.png", PNG)])
            assert scenario.export()["submission_count"] == 1
            assert api.delete(f"/submissions/{submission}").status_code == 204
        assert server.run("audit", "verify").returncode == 0
        with psycopg.connect(owner, autocommit=True) as connection:
            assert privileges_of(connection, "theirs", "audit_entries") == {"SELECT", "INSERT"}
            used = connection.execute(
                "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'theirs' AND pid <> pg_backend_pid()"
            ).fetchall()
        assert used == [("theirs",)]
        for pid in server.children("web") + server.children("worker"):
            assert b"OWNER_URL" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_owners_url_alone_means_nothing() -> None:
    with pytest.raises(ConfigError, match="beside FIELDPACK_DATABASE_URL"):
        load_settings(database_owner_url="postgresql://owner@nowhere/x")
