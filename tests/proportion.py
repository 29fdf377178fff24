"""Whether work takes time in proportion to what it is given.

What is compared is processor time of one size and of four times that; a step that compares everything with everything
takes sixteen times as long. The lesser of two runs counts, and the bound is far above what a busy machine adds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

MOST = 9.0  # four times is proportional, sixteen times is not


def measure(work: Callable[[int], object], size: int) -> float:
    """Processor seconds of this process, the lesser of two runs."""
    best = float("inf")
    for _ in range(2):
        gc.collect()
        started = time.process_time()
        work(size)
        best = min(best, time.process_time() - started)
    return best


def require_proportional(work: Callable[[int], object], size: int) -> None:
    work(size)  # imports, caches
    small, large = measure(work, size), measure(work, 4 * size)
    assert large < MOST * max(small, 0.002), (small, large)
