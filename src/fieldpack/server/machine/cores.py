"""How many processors this process may use, and how many web processes are for them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MOST_WEB_PROCESSES", "choose_web_processes", "count_cores"]

MOST_WEB_PROCESSES = 8  # unless more are asked for: each takes memory and connections
QUOTA = Path(
    "/sys/fs/cgroup/cpu.max"
)  # of a container (Linux, cgroup v2): `<microseconds> <of how many>`, or `max …`


def count_cores(quota: Path = QUOTA) -> int:
    """Processors that this process may use at a time: those it is bound to, and no more than its container gets."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        given, period = quota.read_text().split()
        return max(1, min(bound, -(-int(given) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no container, no limit, or another system
        return bound


def choose_web_processes() -> int:
    """One for each processor, up to `MOST_WEB_PROCESSES`."""
    return min(count_cores(), MOST_WEB_PROCESSES)
