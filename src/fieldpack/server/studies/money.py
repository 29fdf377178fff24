"""The cost of a study, which scripts ask for before they go on. It is zero: nobody is paid through this server."""

from __future__ import annotations

from typing import Any

from fieldpack.server.accounts.service import CURRENCY

__all__ = ["describe_cost"]


def describe_cost() -> dict[str, Any]:
    """What a study costs, in minor units."""
    nothing = {"amount": 0, "currency": CURRENCY}
    parts = dict.fromkeys(("rewards", "fees", "tax"), nothing)
    return {"rewards": parts, "bonuses": parts}
