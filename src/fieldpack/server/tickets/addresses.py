"""A study's links that are the same for everybody, by what those who open them have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from fieldpack.server.studies.service import participant_url
from fieldpack.server.values.qr import draw_code

__all__ = ["OWN_ID", "Address", "Kind", "find_addresses"]

OWN_ID = "own"
"""What `ids` of a link says that makes an id for whoever opens it."""

Kind = Literal["recruiting", "ask", "own"]


@dataclass(frozen=True, slots=True)
class Address:
    """One link.

    Attributes:
        kind: `recruiting` has placeholders for a recruiting service, `ask` asks for an id, `own` makes one.
        url: the link.
        svg: it as a QR code; None for the one with placeholders, which nobody can scan.
    """

    kind: Kind
    url: str
    svg: str | None


def find_addresses(origin: str, study_id: UUID) -> list[Address]:
    """The links of a study."""
    page = f"{origin}/participate/{study_id}"
    shared: list[tuple[Kind, str]] = [("ask", page), ("own", f"{page}?ids={OWN_ID}")]
    return [
        Address("recruiting", participant_url(origin, study_id), None),
        *(Address(kind, url, draw_code(url)) for kind, url in shared),
    ]
