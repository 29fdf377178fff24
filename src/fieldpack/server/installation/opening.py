"""The installation that a program works on, opened: its database, and all that its requests and jobs share.

Nobody makes a new one by accident.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import sys
from collections.abc import AsyncIterator
from functools import partial

from psycopg.conninfo import conninfo_to_dict

from fieldpack.errors import ConfigError
from fieldpack.server.accounts.service import find_upgrade
from fieldpack.server.config import Settings
from fieldpack.server.context import Context
from fieldpack.server.db.embedded.server import EmbeddedPostgres, has_cluster, open_embedded
from fieldpack.server.db.migrate import migrate, normalise_url
from fieldpack.server.db.pool import Database
from fieldpack.server.db.server_role import SERVER_ROLE, as_server, grant_to_server
from fieldpack.server.installation.marker import require_vacant
from fieldpack.server.installation.restores import hold_database, hold_folder
from fieldpack.server.machine.reserve import reserve_of
from fieldpack.server.notices import Notices
from fieldpack.server.storage import open_storage

__all__ = ["is_named", "open_context", "open_database", "reach_database"]


def is_named(settings: Settings) -> bool:
    """Whether the data folder or the database was named, by an option or a setting."""
    return bool({"data_dir", "database_url"} & settings.model_fields_set)


def open_database(settings: Settings, *, may_create: bool = False) -> tuple[str, EmbeddedPostgres | None]:
    """The URL of the installation's database, brought to the newest version. Blocking.

    Args:
        settings: where it is.
        may_create: make an installation where there is none, and say so on standard error. Only for commands
            that are for that; in any other, a folder without one is the wrong folder.

    Returns:
        The URL, with a role that may only read and add to the audit log where there is one; and the embedded server,
        held open until closed, unless the database is one's own.

    Raises:
        ConfigError, FieldpackError: there is none; it can't be reached, started or migrated; it is being restored, or
            that has not come to its end; says why.
    """
    with hold_folder(settings, for_restore=False, may_create=may_create):
        url, embedded = reach_database(settings, may_create=may_create)
        try:
            with hold_database(settings, url, for_restore=False):
                migrate(url, before_making=partial(_before_making, settings, may_create=may_create))
                url = _take_servers_role(settings, url)
        except BaseException:
            if embedded is not None:
                embedded.close()
            raise
    return url, embedded


def _take_servers_role(settings: Settings, url: str) -> str:
    """The same database with the server's own role, which may do what it needs to, and no more."""
    if settings.database_url is None:
        grant_to_server(url, SERVER_ROLE)
        return as_server(url)
    if settings.database_owner_url is None:
        return url
    served = normalise_url(settings.database_url)
    grant_to_server(url, str(conninfo_to_dict(served).get("user") or getpass.getuser()))
    return served


def reach_database(settings: Settings, *, may_create: bool = False) -> tuple[str, EmbeddedPostgres | None]:
    """As `open_database`, with the database as it is, of whatever schema, half restored too, and with the role that
    owns it."""
    if settings.database_url is not None:
        return normalise_url(settings.database_owner_url or settings.database_url), None
    if may_create:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif not has_cluster(settings.data_dir):
        asyncio.run(require_vacant(settings))
        raise _nothing_here(settings)
    embedded = _open_embedded(settings)
    return embedded.url, embedded


@contextlib.asynccontextmanager
async def open_context(
    settings: Settings, database_url: str, *, patient: bool = False
) -> AsyncIterator[Context]:
    """The parts of a process, opened and closed together; the schema must be there.

    Args:
        patient: for requests, which fail rather than wait long for a database that does not answer.
    """
    database = Database(database_url, patient=patient)
    notices = Notices(database.url)
    await database.open()
    try:
        async with database.transaction() as connection:
            upgraded_at = await find_upgrade(connection)
        reserve = reserve_of(settings)
        storage = open_storage(settings, spare_bytes=reserve.low_bytes)
        notices.start()
        try:
            yield Context(settings, database, storage, notices, upgraded_at, reserve)
        finally:
            await notices.stop()
            storage.close()
    finally:
        await database.close()


def _open_embedded(settings: Settings) -> EmbeddedPostgres:
    """The embedded server; where the disk is too full for it to start, the reserve makes room."""
    try:
        return open_embedded(settings.data_dir)
    except ConfigError:
        reserve = reserve_of(settings)
        if not (reserve.is_low() and reserve.give_up()):
            raise
        return open_embedded(settings.data_dir)


def _before_making(settings: Settings, *, may_create: bool) -> None:
    """The database is empty: it gets its first schema only when that is wanted, and no other's files are there."""
    asyncio.run(require_vacant(settings))
    if not may_create:
        raise _nothing_here(settings)
    print(f"fieldpack: a new installation is made in {_name_of(settings)}.", file=sys.stderr, flush=True)


def _name_of(settings: Settings) -> str:
    """The place of an installation as people name it, without a password."""
    if settings.database_url is None:
        return str(settings.data_dir)
    parts = conninfo_to_dict(normalise_url(settings.database_url))
    return f"the database {parts.get('dbname') or '(default)'} at {parts.get('host') or 'this machine'}"


def _nothing_here(settings: Settings) -> ConfigError:
    place = _name_of(settings)
    if settings.database_url is None:
        return ConfigError(
            f"There is no installation in {place}: run this where `fieldpack serve` was started, or name its "
            "data folder with --data-dir or FIELDPACK_DATA_DIR."
        )
    return ConfigError(
        f"There is no installation in {place}: start `fieldpack serve` on it first, or name another with "
        "FIELDPACK_DATABASE_URL."
    )
