"""Every process is killed at random moments, for some time: what was acknowledged is there, what was erased is not."""

from __future__ import annotations

import os
import random

import pytest
from benchmarks.kills import kill

from tests.lengths import length


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_acknowledged_survives_kills() -> None:
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(1 << 30))
    ledger = kill(float(os.environ.get("KILL_SECONDS") or length(60.0, 600.0)), seed)
    assert ledger.faults == [], f"again with KILL_SEED={seed}; {ledger.counts}"
    assert len(ledger.select(accepted_at=True)) > 10, ledger.counts
    assert ledger.select(is_left=True), ledger.counts
    assert ledger.select(erased_at=True), ledger.counts
    assert ledger.counts["chunks acknowledged"] > 10
    assert ledger.counts["erased people looked for on the disk"]
    assert sum(name.startswith("killed: ") for name in ledger.counts) == 8, ledger.counts
