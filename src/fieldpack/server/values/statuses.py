"""The states of a submission, as the API says them."""

from __future__ import annotations

__all__ = ["STATUSES"]

STATUSES = (
    "ACTIVE",
    "APPROVED",
    "AWAITING REVIEW",
    "REJECTED",
    "RESERVED",
    "RETURNED",
    "TIMED-OUT",
    "PARTIALLY APPROVED",
    "SCREENED OUT",
)
