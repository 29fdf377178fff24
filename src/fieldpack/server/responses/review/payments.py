"""Who was approved, and what that is worth: for those who pay participants elsewhere, as nobody is paid here."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from fieldpack.archive.records import format_time
from fieldpack.server.accounts.service import CURRENCY
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.responses.review import queries
from fieldpack.server.responses.review.rows import ApprovedRow
from fieldpack.server.responses.service import View
from fieldpack.text import make_cell_safe

__all__ = ["amount_of", "describe_approved", "list_approved", "write_csv"]

COLUMNS = (
    "participant_id",
    "amount",
    "currency",
    "submission_id",
    "study_id",
    "study",
    "status",
    "completed_at",
)


async def list_approved(connection: Connection, view: View) -> list[ApprovedRow]:
    """The approved submissions that a view shows, tests left out, in the order of their completion."""
    rows = await queries.list_approved(connection, view.collection.id, view.wanted)
    await write_entry(
        connection,
        view.caller.actor,
        "submission.list",
        collection_id=view.collection.id,
        count=len(rows),
        **view.wanted.as_details(),
    )
    return rows


def amount_of(row: ApprovedRow) -> Decimal:
    """What an approved submission is worth, in whole units of the currency: the study's reward, of which a decision may
    have given a part."""
    minor = Decimal(row.reward) * (Decimal(str(row.percentage)) if row.percentage is not None else 100) / 100
    return minor.quantize(Decimal(1), ROUND_HALF_UP).scaleb(-2)


def describe_approved(row: ApprovedRow) -> dict[str, Any]:
    """An approved submission as the API answers it."""
    return {
        "participant_id": row.participant_id,
        "amount": f"{amount_of(row):.2f}",
        "currency": CURRENCY,
        "submission_id": row.id,
        "study_id": row.study_id,
        "study": row.study_name,
        "status": row.status,
        "completed_at": row.completed_at,
    }


def write_csv(rows: Sequence[ApprovedRow]) -> str:
    """A table (RFC 4180) for spreadsheets and services that pay; no spreadsheet runs any of its cells."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(
            [
                make_cell_safe(row.participant_id),
                f"{amount_of(row):.2f}",
                CURRENCY,
                row.id,
                row.study_id,
                make_cell_safe(row.study_name),
                row.status,
                format_time(row.completed_at) if row.completed_at else "",
            ]
        )
    return text.getvalue()
