"""Who may look after the installation: researchers whom somebody with its data folder or database has named.

The first start names the researcher that it makes. No role of a workspace leads there, and it leads into none.
"""

from __future__ import annotations

from typing import Any

from fieldpack.errors import FieldpackError
from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.accounts.operators import queries
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import OPERATOR, write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FORBIDDEN, Problem

__all__ = ["add_operator", "describe_operators", "is_operator", "remove_operator", "require_operator"]


async def is_operator(connection: Connection, caller: Caller) -> bool:
    """Whether the caller may look after the installation: for pages, which offer what may be done.

    A token with a role, and a session by one, is for work in workspaces and for nothing else.
    """
    return caller.cap is None and await queries.has_operator(connection, caller.id)


async def require_operator(connection: Connection, caller: Caller) -> None:
    """Return if the caller may look after the installation.

    Raises:
        Problem: 403.
    """
    if await is_operator(connection, caller):
        return
    if caller.cap is not None and await queries.has_operator(connection, caller.id):
        raise Problem(
            FORBIDDEN,
            f"This token has the role {caller.cap}: look after the installation with one without a role.",
        )
    raise Problem(
        FORBIDDEN,
        "This is for operators of the installation; `fieldpack operator add EMAIL`, where it runs, makes one.",
    )


async def _find(connection: Connection, email: str) -> Any:
    found = await account_queries.find_researcher_by_email(connection, email)
    if found is None:
        raise FieldpackError(
            f"Nobody has the address {email} here; `fieldpack workspace members add` makes a researcher."
        )
    return found


async def add_operator(connection: Connection, email: str) -> bool:
    """Make a researcher an operator, on the command line; False when they are one.

    Raises:
        FieldpackError: nobody has this address.
    """
    researcher_id = await _find(connection, email)
    added = await queries.insert_operator(connection, researcher_id)
    if added:
        await write_entry(connection, OPERATOR, "operator.create", member_id=researcher_id)
    return added


async def remove_operator(connection: Connection, email: str) -> bool:
    """Make an operator none, on the command line; False when they were none.

    Raises:
        FieldpackError: nobody has this address.
    """
    researcher_id = await _find(connection, email)
    removed = await queries.delete_operator(connection, researcher_id)
    if removed:
        await write_entry(connection, OPERATOR, "operator.delete", member_id=researcher_id)
    return removed


async def describe_operators(connection: Connection) -> list[dict[str, Any]]:
    """All operators, as the command line lists them."""
    return [
        {
            "researcher_id": str(row.id),
            "email": row.email,
            "name": f"{row.first_name} {row.last_name}".strip(),
            "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
        }
        for row in await queries.list_operators(connection)
    ]
