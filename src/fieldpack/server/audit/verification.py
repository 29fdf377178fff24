"""Is the chain whole? Every link is made anew, from the first, and held against what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from fieldpack.server.audit import queries
from fieldpack.server.audit.checkpoints import Checkpoint
from fieldpack.server.audit.rows import SealRow
from fieldpack.server.audit.sealing import encode_entry, hash_entry
from fieldpack.server.audit.service import say_instant
from fieldpack.server.db.pool import Connection

__all__ = ["Finding", "Verdict", "verify"]

MOST_FINDINGS = 100
START = bytes(32)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        kind: `changed`, `removed` (an entry), `gap` (links) or `checkpoint`.
        position: in the chain.
        entry_id: of the entry; None when it isn't known.
    """

    kind: str
    position: int
    entry_id: int | None
    sentence: str


@dataclass(slots=True)
class Verdict:
    """What `verify` found.

    Attributes:
        sealed: links looked at.
        last_position, last_hash: the end of the chain; write it down elsewhere to prove later that it is still there.
        unsealed: entries written that are not in the chain yet: those of the last second, while a server runs.
        unsealed_since: the oldest of them.
        checkpoints: how many were held against the chain.
        lost_by_restore: checkpoints of what a restore of an older backup left behind.
        findings: what is wrong, at most `MOST_FINDINGS`.
    """

    sealed: int = 0
    last_position: int = 0
    last_hash: str = START.hex()
    unsealed: int = 0
    unsealed_since: str | None = None
    checkpoints: int = 0
    lost_by_restore: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"whole": self.is_whole, **asdict(self)}

    def add(self, kind: str, position: int, entry_id: int | None, sentence: str) -> None:
        """Add a finding, or only count it when there are too many."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(kind, position, entry_id, sentence))


async def verify(
    connection: Connection, checkpoints: Sequence[Checkpoint], restored_at: datetime | None = None
) -> Verdict:
    """Look at the whole log, in one state of it. In a transaction of its own.

    Args:
        checkpoints: from outside the database.
        restored_at: when the database was last restored from a backup; None if never.
    """
    await queries.begin_snapshot(connection)
    tail = await queries.get_tail(connection)
    verdict = Verdict(unsealed=tail.count, checkpoints=len(checkpoints))
    verdict.unsealed_since = say_instant(tail.oldest_at) if tail.oldest_at else None
    wanted: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        wanted.setdefault(checkpoint.position, []).append(checkpoint)
    walk = _Walk(verdict)
    async for seal in queries.iter_seals(connection):
        walk.look(seal)
        for checkpoint in wanted.pop(seal.position, ()):
            if checkpoint.hash != seal.hash.hex():
                _miss(verdict, checkpoint, restored_at, "another link stands there now")
    for left in wanted.values():
        for checkpoint in left:
            _miss(verdict, checkpoint, restored_at, "no link stands there now")
    return verdict


def _miss(verdict: Verdict, checkpoint: Checkpoint, restored_at: datetime | None, what: str) -> None:
    if restored_at is not None and datetime.fromisoformat(checkpoint.at) < restored_at:
        verdict.lost_by_restore += 1
        return
    verdict.add(
        "checkpoint",
        checkpoint.position,
        None,
        f"The checkpoint of {checkpoint.at} names position {checkpoint.position} with another hash: {what}.",
    )


class _Walk:
    """Along the chain, link by link."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._before = [
            START
        ]  # what the link before may have had; two where it was itself not as it should be

    def look(self, seal: SealRow) -> None:
        verdict = self._verdict
        expected = verdict.last_position + 1
        has_gap = seal.position != expected
        if has_gap:
            last = seal.position - 1
            named = f"position {last} is" if last == expected else f"positions {expected} to {last} are"
            verdict.add("gap", expected, None, f"The links at {named} missing: they were removed.")
        verdict.sealed += 1
        verdict.last_position, verdict.last_hash = seal.position, seal.hash.hex()
        if seal.entry is None:
            verdict.add(
                "removed",
                seal.position,
                seal.entry_id,
                f"The entry {seal.entry_id} at position {seal.position} is missing: it was removed.",
            )
            self._before = [seal.hash]
            return
        encoded = encode_entry(seal.entry, seal.position, seal.sealed_at)
        made = [hash_entry(before, encoded) for before in self._before]
        if seal.hash not in made and not has_gap:
            verdict.add(
                "changed",
                seal.position,
                seal.entry_id,
                f"The entry {seal.entry_id} at position {seal.position} does not fit its hash: it, its place or the "
                "hash was changed.",
            )
            self._before = [seal.hash, *made]
            return
        self._before = [seal.hash]
