"""How many requests per second are answered."""

from __future__ import annotations

import time
from collections import OrderedDict

__all__ = ["RateLimit"]


class RateLimit:
    """A token bucket per key, in this process: `rate` per second, however unevenly they come within two.

    A bucket of one second's worth would refuse some of those who keep to the rate: the second hundred that is
    sent at once may arrive a few milliseconds less than a second after the first.
    Keys that were quiet longest are forgotten first, so memory is bounded whatever addresses come.
    """

    BURST_SECONDS = 2.0

    def __init__(self, rate: int, *, keys: int = 20_000) -> None:
        self.rate = rate
        self.burst = rate * self.BURST_SECONDS
        self.keys = keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, key: str) -> float:
        """0 when one more request may pass (and is counted), else the seconds until one may."""
        now = time.monotonic()
        tokens, seen = self._buckets.pop(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - seen) * self.rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self.rate
        self._buckets[key] = (tokens - 1 if wait == 0.0 else tokens, now)
        if len(self._buckets) > self.keys:
            self._buckets.popitem(last=False)
        return wait
