"""How often somebody may guess a password or a code, counted in the database and so for all processes together.

There is a budget for each address, one for each account, and one for each device that signed in to an account before.
For such a device only its own budget counts: however much strangers guess, the account's owner can sign in from there.
Each try is counted before it is compared, so that tries at the same time all count; a right one is given back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from fieldpack.server.accounts.credentials import budget_queries as queries
from fieldpack.server.db.pool import Connection

__all__ = ["ACCOUNT", "ADDRESS", "DEVICE", "Budget", "Claim", "Throttled", "give_back", "spend"]

SLOTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Budget:
    """A number of tries that may be made at once, and how many come back each hour."""

    kind: str
    most: int
    per_hour: float

    @property
    def rate(self) -> float:
        """Tries that come back in a second."""
        return self.per_hour / 3600


ADDRESS = Budget("address", 20, 60)
ACCOUNT = Budget("account", 10, 10)
DEVICE = Budget("device", 10, 30)


@dataclass(frozen=True, slots=True)
class Claim:
    """The budget that one try is counted on."""

    budget: Budget
    key: bytes

    @property
    def slot(self) -> int:
        """A number from a fixed range for any key, so that the table has a bounded number of rows."""
        return int.from_bytes(hashlib.sha256(self.key).digest()[:4], "big") % SLOTS


class Throttled(Exception):
    """A budget is spent.

    Attributes:
        wait_seconds: until one more try is allowed.
    """

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(f"wait {wait_seconds:.0f} s")
        self.wait_seconds = wait_seconds


async def spend(connection: Connection, claims: Sequence[Claim]) -> float:
    """Count one try on each of these budgets. The caller commits whatever the answer is, so that it counts.

    Returns:
        0 when every budget had a try left, else the seconds until the one that had none has one again.
    """
    for claim in claims:
        budget = claim.budget
        spent = await queries.find_spent(connection, budget.kind, claim.slot, budget.rate)
        # looking takes no lock: what is refused costs as good as nothing, however much comes
        if spent + 1 > budget.most or not await queries.spend(
            connection, budget.kind, claim.slot, budget.rate, budget.most
        ):
            return max((spent + 1 - budget.most) / budget.rate, 1.0)
    return 0.0


async def give_back(connection: Connection, claims: Sequence[Claim]) -> None:
    """Take one try off these budgets again, because it was right."""
    for claim in claims:
        await queries.give_back(connection, claim.budget.kind, claim.slot)
