"""What an operator does from the command line, whether or not a server is running."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import dict_row

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.files import write_whole
from fieldpack.server.accounts import key_queries, keys, queries, service
from fieldpack.server.accounts.rows import KeyRow
from fieldpack.server.accounts.tokens import queries as token_queries
from fieldpack.server.accounts.tokens import service as tokens
from fieldpack.server.audit.service import OPERATOR, write_entry
from fieldpack.server.config import Settings
from fieldpack.server.db.connecting import explain_unreachable, with_timeout
from fieldpack.server.db.pool import Connection
from fieldpack.server.installation.marker import claim_storage
from fieldpack.server.installation.opening import open_context, open_database
from fieldpack.server.problems import Problem
from fieldpack.server.values.uuids import is_uuid

__all__ = ["CREDENTIALS", "administer", "create_first_token", "keep_credentials", "opened_database"]

CREDENTIALS = "credentials.json"

T = TypeVar("T")


@contextmanager
def opened_database(settings: Settings, *, may_create: bool = False) -> Iterator[str]:
    """The database's URL, for as long as the block lasts; see `open_database`."""
    url, embedded = open_database(settings, may_create=may_create)
    try:
        yield url
    finally:
        if embedded is not None:
            embedded.close()


def administer(
    settings: Settings, work: Callable[[Connection], Awaitable[T]], *, may_create: bool = False
) -> T:
    """Run `work` in one transaction on the installation's database.

    Raises:
        ConfigError: there is none, and it must not be made; or its database can't be reached.
    """

    async def run(url: str) -> T:
        try:
            connection = await psycopg.AsyncConnection.connect(with_timeout(url), row_factory=dict_row)
        except psycopg.OperationalError as error:
            raise explain_unreachable(url, error) from error
        async with connection:
            try:
                return await work(connection)
            except Problem as problem:
                raise FieldpackError(_say(problem)) from problem

    with opened_database(settings, may_create=may_create) as url:
        return asyncio.run(run(url))


def sweep_installation(settings: Settings, *, dry_run: bool, with_restored: bool = False) -> dict[str, Any]:
    """Clear away what is no longer needed, or say what that is; see `sweeps.Swept`."""
    from fieldpack.server.operations.sweeps import sweep

    async def run(url: str) -> dict[str, Any]:
        async with open_context(settings, url) as context:
            return (await sweep(context, dry_run=dry_run, with_restored=with_restored)).as_dict()

    with opened_database(settings) as url:
        asyncio.run(claim_storage(settings, url))
        return asyncio.run(run(url))


def read_installation(settings: Settings) -> dict[str, Any]:
    """How the installation does; see `status.read_status`.

    Raises:
        ConfigError: as `administer`.
    """
    from fieldpack.server.operations.status import describe_status, read_status

    async def run(url: str) -> dict[str, Any]:
        async with open_context(settings, url) as context:
            return describe_status(await read_status(context))

    with opened_database(settings) as url:
        return asyncio.run(run(url))


def parse_workspace(text: str | None) -> UUID | None:
    """A workspace id from the command line.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    if not is_uuid(text):
        raise UsageError(f"{text!r} is not a workspace id; `fieldpack workspace list` shows them.")
    return UUID(text)


def create_first_token(settings: Settings) -> tokens.NewToken | None:
    """At the first start: a workspace, a researcher and their token. None later."""
    return administer(settings, tokens.create_first_token)


def keep_credentials(
    settings: Settings, *, url: str, made: tokens.NewToken | None, ca_file: Path | None
) -> None:
    """Store where the server is and a token, for the command line on this machine only (mode 0600).

    The token is the one just made, else the one stored before, else one made now for this machine.
    """
    path = settings.data_dir / CREDENTIALS
    token = made.token if made is not None else _find_stored_token(path)
    if token is None:
        name = f"command line on {socket.gethostname()}"
        token = administer(settings, lambda connection: tokens.create_token(connection, name)).token
    content = {"url": url, "token": token, "ca_file": str(ca_file) if ca_file else None}
    write_whole(path, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n", mode=0o600, lasting=True)


def _find_stored_token(path: Path) -> str | None:
    try:
        token: str | None = orjson.loads(path.read_bytes())["token"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return token


def _say(problem: Problem) -> str:
    """What a service refuses, as one line."""
    detail = problem.detail
    texts = (
        [message for messages in detail.values() for message in messages]
        if isinstance(detail, dict)
        else [detail]
        if isinstance(detail, str)
        else detail
    )
    return " ".join(texts)


def _text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


async def list_workspaces(connection: Connection) -> list[dict[str, Any]]:
    """Every workspace of the installation."""
    rows, _ = await queries.list_workspaces(connection, None, 1_000_000, 0)
    return [
        {
            "id": str(row.id),
            "title": row.title,
            "collections": "on" if row.collections_enabled else "off",
            "created_at": _text(row.created_at),
        }
        for row in rows
    ]


async def create_workspace(connection: Connection, title: str) -> dict[str, Any]:
    """A workspace whose owner is the first researcher."""
    if not title.strip():
        raise UsageError("A workspace needs a title.")
    owner = await queries.find_first_researcher(connection)
    made = await service.create_workspace(connection, OPERATOR, title, "", owner)
    return {"id": str(made["id"]), "title": made["title"]}


async def switch_collections(connection: Connection, workspace_id: UUID, enabled: bool) -> None:
    """Switch Collections on or off in a workspace."""
    if not await queries.set_collections_enabled(connection, workspace_id, enabled):
        raise FieldpackError(f"There is no workspace {workspace_id}; `fieldpack workspace list` shows them.")
    await write_entry(connection, OPERATOR, "workspace.update", workspace_id=workspace_id, enabled=enabled)


async def switch_export_dialect(connection: Connection, workspace_id: UUID, dialect: str) -> None:
    """Have a workspace's exports requested as the founding document says (`seed`), or as the hosted service does now.

    Raises:
        FieldpackError: there is no such workspace.
    """
    if not await queries.set_export_dialect(connection, workspace_id, dialect):
        raise FieldpackError(f"There is no workspace {workspace_id}; `fieldpack workspace list` shows them.")


async def list_tokens(connection: Connection) -> list[dict[str, Any]]:
    """Every token, without its text, which nobody has."""
    return [
        {
            "token_id": str(row.id),
            "name": row.name,
            "researcher": row.researcher,
            "role": row.role,
            "created_at": _text(row.created_at),
            "expires_at": _text(row.expires_at),
            "last_used_at": _text(row.last_used_at),
            "last_used_address": row.last_used_address,
            "revoked_at": _text(row.revoked_at),
        }
        for row in await token_queries.list_tokens(connection)
    ]


async def revoke_token(connection: Connection, token_id: str) -> None:
    """End a token at once."""
    if not is_uuid(token_id) or not await token_queries.revoke_token(connection, UUID(token_id)):
        raise FieldpackError(f"There is no token {token_id}; `fieldpack token list` shows them.")
    await write_entry(connection, OPERATOR, "token.revoke", object_id=UUID(token_id))


async def rotate_token(
    connection: Connection, token_id: str, overlap: timedelta
) -> tuple[tokens.NewToken, datetime]:
    """A new token in place of one; see `tokens.rotate_token`."""
    if not is_uuid(token_id) or await token_queries.find_token(connection, UUID(token_id)) is None:
        raise FieldpackError(f"There is no token {token_id} that is good; `fieldpack token list` shows them.")
    return await tokens.rotate_token(connection, UUID(token_id), overlap)


def _describe_key(row: KeyRow) -> dict[str, str | None]:
    """A key as the command line shows it: everything but its secret."""
    return {
        "purpose": row.purpose,
        "key_id": row.id,
        "signs": "yes" if row.retired_at is None else "no",
        "created_at": _text(row.created_at),
        "retired_at": _text(row.retired_at),
        "expires_at": _text(row.expires_at),
    }


async def list_keys(connection: Connection) -> list[dict[str, Any]]:
    """The keys that are good for anything, without their secrets."""
    return [_describe_key(row) for row in await key_queries.list_keys(connection)]


def rotate_keys(settings: Settings, *, now: bool) -> list[dict[str, Any]]:
    """New keys; see `keys.rotate`. The keys that are good afterwards."""

    async def work(connection: Connection) -> list[dict[str, Any]]:
        life = timedelta(seconds=settings.link_lifetime_seconds)
        rotated = await keys.rotate(connection, life, now=now)
        await write_entry(connection, OPERATOR, "keys.rotate")
        return [_describe_key(row) for row in rotated]

    return administer(settings, work)
