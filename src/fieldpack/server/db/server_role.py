"""What the server's own role may do in the database: read and write rows, and of the audit log read and add only.

Migrations run as the role that owns the schema. Whoever makes a process of the server run SQL of theirs can then
neither change the log, nor switch off what guards it, nor take the tables away.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldpack.errors import ConfigError
from fieldpack.server.db.connecting import connect
from fieldpack.server.db.migrate import LOCK_KEY

__all__ = ["SERVER_ROLE", "as_owner", "as_server", "grant_to_server"]

SERVER_ROLE = "fieldpack_server"  # of the embedded database
OWNER = "fieldpack"

ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# tables of which the server may do less, and what
NARROWED = {
    "audit_entries": ("SELECT", "INSERT"),
    "audit_seals": ("SELECT", "INSERT"),
    "alembic_version": ("SELECT",),
}
PRIVILEGES = (*ROWS, "TRUNCATE", "REFERENCES", "TRIGGER")

_ROLE_EXISTS = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = %s"
_TABLES = """
    SELECT c.relname, array_agg(p.name) FILTER (WHERE has_table_privilege(%(role)s, c.oid, p.name)) AS held
    FROM pg_class c CROSS JOIN unnest(%(privileges)s::text[]) AS p (name)
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    GROUP BY c.oid, c.relname
"""
_SEQUENCES = """
    SELECT count(*) FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'S'
      AND (NOT has_sequence_privilege(%(role)s, c.oid, 'USAGE') OR has_sequence_privilege(%(role)s, c.oid, 'UPDATE'))
"""


def as_server(url: str) -> str:
    """The embedded database's URL with the server's own role."""
    return make_conninfo(url, user=SERVER_ROLE)


def as_owner(url: str) -> str:
    """The embedded database's URL with the role that owns it."""
    return make_conninfo(url, user=OWNER)


def grant_to_server(owner_url: str, role: str) -> None:
    """See to it that `role` may do what the server does, and no more; nothing to do when it is so. Blocking.

    A role of the embedded database is made where there is none; one of another database must be there.

    Raises:
        ConfigError: there is no such role, or it is one that nothing can be kept from.
    """
    if conninfo_to_dict(owner_url).get("user") == role:
        raise ConfigError(
            f"FIELDPACK_DATABASE_OWNER_URL and FIELDPACK_DATABASE_URL name the same role, {role}: give the server one "
            "of its own, which owns nothing."
        )
    with connect(owner_url) as connection:
        if _is_granted(connection, role):
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])  # by one at a time
            if _find_role(connection, role) is None and role == SERVER_ROLE:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            if not _is_granted(connection, role):
                _grant(connection, role)


def _find_role(connection: psycopg.Connection[Any], role: str) -> bool | None:
    """Whether a role can give itself what it was denied; None when there is no such role."""
    row = connection.execute(_ROLE_EXISTS, [role]).fetchone()
    return None if row is None else bool(row[0])


def _is_granted(connection: psycopg.Connection[Any], role: str) -> bool:
    if _find_role(connection, role) is None:
        return False
    held = connection.execute(_TABLES, {"role": role, "privileges": list(PRIVILEGES)}).fetchall()
    if any(set(found or ()) != set(NARROWED.get(table, ROWS)) for table, found in held):
        return False
    row = connection.execute(_SEQUENCES, {"role": role}).fetchone()
    return row == (0,)


def _grant(connection: psycopg.Connection[Any], role: str) -> None:
    powerful = _find_role(connection, role)
    if powerful is None:
        raise ConfigError(
            f"The database has no role {role}, which FIELDPACK_DATABASE_URL names: create it first."
        )
    if powerful:
        raise ConfigError(
            f"The role {role}, which FIELDPACK_DATABASE_URL names, is a superuser or may make roles, so nothing can be "
            "kept from it: create one with LOGIN alone."
        )
    schema = connection.execute("SELECT current_schema()").fetchone()
    assert schema is not None
    names = {"role": sql.Identifier(role), "schema": sql.Identifier(schema[0])}
    statements = [
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        "REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    ]
    for statement in statements:
        connection.execute(sql.SQL(statement).format(**names))
    for table, wanted in NARROWED.items():
        connection.execute(
            sql.SQL("REVOKE {} ON {} FROM {}").format(
                sql.SQL(", ").join(sql.SQL(name) for name in PRIVILEGES if name not in wanted),
                sql.Identifier(table),
                names["role"],
            )
        )
    if not _is_granted(connection, role):
        raise ConfigError(
            f"The role {role}, which FIELDPACK_DATABASE_URL names, may still change the audit log, by what it owns or"
            " is a member of: create one that owns nothing, and is in no other role."
        )
