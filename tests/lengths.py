"""How long tests of endurance take: long in `make soak`, short in `make test`, where people wait for them."""

from __future__ import annotations

import os
from typing import TypeVar

LONG = os.environ.get("LONG_TESTS") == "1"  # not FIELDPACK_…: such a name that is no setting is refused


Number = TypeVar("Number", int, float)


def length(short: Number, long: Number) -> Number:
    """How often, or for how many seconds."""
    return long if LONG else short
