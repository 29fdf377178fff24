"""How often somebody may guess a password or a code, counted in the database, and so for all processes together.

There is a budget for each address, one for each account, and one for each device that has signed in to an account
before. From such a device only its own counts: however much strangers guess, the account's owner gets in from there.
Spent is one a try, before it is looked at, so that tries at once count all; one that was right is given back.
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
    """So many tries at once, and so many more each hour."""

    kind: str
    most: int
    per_hour: float

    @property
    def rate(self) -> float:
        """What comes back in a second."""
        return self.per_hour / 3600


ADDRESS = Budget("address", 20, 60)
ACCOUNT = Budget("account", 10, 10)
DEVICE = Budget("device", 10, 30)


@dataclass(frozen=True, slots=True)
class Claim:
    """On whose budget a try goes."""

    budget: Budget
    key: bytes

    @property
    def slot(self) -> int:
        """Any number of keys fall into a bounded number of slots."""
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
    """Spend one of each budget. The caller commits whatever the answer, so that it counts.

    Returns:
        0 when all had one left, else the seconds until the one that had none has.
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
    """The try was right, and so no guess."""
    for claim in claims:
        await queries.give_back(connection, claim.budget.kind, claim.slot)
