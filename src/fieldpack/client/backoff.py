"""How long to wait before asking again."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["Backoff", "parse_retry_after"]


class Backoff:
    """Exponential backoff with full jitter and a limited number of tries.

    The wait before try n is drawn evenly from 0 … min(`most`, `first` x 2^n) seconds, so that many clients
    cut off at the same moment do not come back at the same moment.
    """

    def __init__(self, *, tries: int, first: float = 0.5, most: float = 30.0) -> None:
        self.tries = tries
        self._first = first
        self._most = most
        self._used = 0

    def next_delay(self, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next try, or None when the tries are used up.

        Args:
            retry_after: seconds that the server asked to wait; the delay is never shorter.
        """
        if self._used >= self.tries:
            return None
        ceiling = min(self._most, self._first * 2 ** min(self._used, 30))
        self._used += 1
        return max(random.uniform(0, ceiling), retry_after or 0.0)

    def reset(self) -> None:
        """Count from the first try again: bytes were received."""
        self._used = 0


def parse_retry_after(value: str | None) -> float | None:
    """Seconds in a `Retry-After` header (RFC 9110 §10.2.3: a number or a date); None when it says nothing."""
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
