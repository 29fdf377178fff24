"""Whom participants can ask: a text that the researcher gave when publishing, shown on every page of the study."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from fieldpack.server.context import Context
from fieldpack.server.values.uuids import is_uuid
from fieldpack.server.web import queries
from fieldpack.server.web.rendering import PageRoute
from fieldpack.server.web.rows import ContactRow

__all__ = ["Contact", "StudyPageRoute"]


@dataclass(frozen=True, slots=True)
class Contact:
    """What pages show of it.

    Attributes:
        text: as the researcher wrote it; may be empty where an account is shown.
        name, email: of the researcher's account, only if they chose to show it.
    """

    text: str
    name: str | None
    email: str | None


def _read(row: ContactRow | None) -> Contact | None:
    if row is None or not (row.contact or row.shows_account):
        return None
    name = f"{row.first_name} {row.last_name}".strip() or None
    shown = row.shows_account
    return Contact(row.contact or "", name if shown else None, row.email if shown else None)


class StudyPageRoute(PageRoute):
    """A page of a study. It, and its refusals too, show whom participants can ask."""

    async def prepare(self, request: Request) -> None:
        context: Context = request.app.state.context
        ids = {name: request.path_params.get(name, "") for name in ("study_id", "submission_id")}
        found = {name: text for name, text in ids.items() if is_uuid(text)}
        if not found:
            return
        async with context.database.transaction() as connection:
            row = await queries.find_contact(connection, **found)
        request.state.contact = _read(row)
