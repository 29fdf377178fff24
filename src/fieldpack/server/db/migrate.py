"""Brings a database's schema to the version of this code, once, however many processes start together.

Alembic runs the scripts in ``migrations/versions``, each in a transaction of its own; `run_sql` is for
scripts that are plain SQL. The way back is a backup: there are no downgrades.

A script's file begins with its revision, and revisions follow one another in the order of their names: so it is known
what is newest without Alembic, which takes every program half a second to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldpack.errors import ConfigError, FieldpackError
from fieldpack.server.db.connecting import connect

__all__ = ["LOCK_KEY", "find_schema", "migrate", "normalise_url", "require_known_schema", "run_sql"]

_MIGRATIONS = Path(__file__).with_name("migrations")
LOCK_KEY = 0x6669656C64706B  # "fieldpk": the key of the advisory lock
_PAUSE_SECONDS = 0.1


def normalise_url(url: str) -> str:
    """The libpq connection string for any form a person may give: ``postgresql://``, ``postgres://``,
    ``postgresql+psycopg://`` or ``key=value`` pairs.

    Raises:
        ConfigError: it is none of these. The message does not repeat it, as it may hold a password.
    """
    scheme, mark, rest = url.strip().partition("://")
    if mark and scheme in ("postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"):
        scheme = "postgresql"
    try:
        parts = conninfo_to_dict(scheme + mark + rest)
    except psycopg.Error:
        parts = {}
    if not parts:
        # Not `from` what libpq said, for that repeats the text.
        raise ConfigError(
            "The database URL is not one of PostgreSQL: write it like postgresql://user:password@host:5432/name."
        )
    return make_conninfo("", **parts)


def migrate(
    url: str,
    *,
    timeout: float = 120.0,
    migrations: Path = _MIGRATIONS,
    before_making: Callable[[], None] | None = None,
) -> None:
    """Bring the database at `url` to the newest version; nothing to do when it is there. Blocking.

    Args:
        url: any form that `normalise_url` takes.
        timeout: seconds to wait for another process that is migrating.
        migrations: folder with ``env.py`` and ``versions``.
        before_making: called when there is no schema yet, before one is made; may raise to prevent it.

    Raises:
        ConfigError: the URL is wrong, the server can't be reached, or the database was made by a newer
            fieldpack.
        FieldpackError: another process holds the migration lock for too long.
    """
    conninfo = normalise_url(url)
    with connect(conninfo) as connection:
        if _is_current(connection, migrations):
            return
        _take_lock(connection, timeout)
        # Somebody else may have done it meanwhile.
        if _is_current(connection, migrations):
            return
        if before_making is not None and find_schema(connection) is None:
            before_making()
        _upgrade(conninfo, migrations)


def _upgrade(conninfo: str, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    config = Config()
    # ConfigParser would interpolate a % in the path.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool
    )
    with engine.connect() as bind:
        config.attributes["connection"] = bind
        try:
            command.upgrade(config, "heads")
        except DBAPIError as error:
            cause = error.orig
            said = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
            raise FieldpackError(
                f"The database could not be brought to the newest version: {said or cause}. The step "
                "that failed was undone."
            ) from error


def find_schema(connection: psycopg.Connection[Any]) -> str | None:
    """The version of the database's schema; None where there is none."""
    row = connection.execute("SELECT to_regclass('alembic_version')::text").fetchone()
    if row is None or row[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row is not None else None


def require_known_schema(version: str, what: str) -> None:
    """Raises ConfigError when `what` ("The backup …") is of a schema that this program lacks."""
    known = _list_revisions(_MIGRATIONS)
    if version not in known:
        raise ConfigError(
            f"{what} is of a newer fieldpack (schema {version}) than this one (schema {known[-1]}): install that "
            "version or a later one."
        )


def run_sql(sql: str) -> None:
    """Execute raw SQL in the migration that is running: any number of statements, `%` as it is."""
    from alembic import op

    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})


def _list_revisions(migrations: Path) -> list[str]:
    """The schema's versions, oldest first, as the scripts' files name them."""
    return sorted(path.name.partition("_")[0] for path in (migrations / "versions").glob("[!_]*_*.py"))


def _is_current(connection: psycopg.Connection, migrations: Path) -> bool:
    """Whether the schema is at the newest version.

    Raises ConfigError when it is at one that this code lacks.
    """
    try:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except psycopg.errors.UndefinedTable:
        return False
    known = _list_revisions(migrations)
    unknown = sorted({row[0] for row in rows}.difference(known))
    if unknown:
        raise ConfigError(
            f"The database is of a newer fieldpack (schema {', '.join(unknown)}) than this one "
            f"(schema {known[-1]}): install that version or a later one."
        )
    return [row[0] for row in rows] == known[-1:]


def _take_lock(connection: psycopg.Connection, timeout: float) -> None:
    # Asked again and again rather than waited for: a waiting statement keeps a snapshot, on which a
    # CREATE INDEX CONCURRENTLY of the one who holds the lock would wait in turn.
    deadline = time.monotonic() + timeout
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise FieldpackError(
                f"Another process has been migrating this database for over {timeout:.0f} s: let it finish, "
                "or end it (pg_locks shows who holds the advisory lock), and start again."
            )
        time.sleep(_PAUSE_SECONDS)
