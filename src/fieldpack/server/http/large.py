"""Work that grows with what a client sent, kept from holding up everybody else.

What is small is done at once: a thread would cost more than it. What is large is done in a thread, one after another
in each process, so that any number of large requests take one another's time and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fieldpack.server.caches import Caches

__all__ = ["LARGE_BYTES", "run_large"]

P = ParamSpec("P")
T = TypeVar("T")

LARGE_BYTES = 4096  # what can be made of so much takes milliseconds at worst


class _Turn(asyncio.Lock):
    """Whose turn it is."""


async def run_large(
    caches: Caches, size_bytes: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """`work` of input of so many bytes, here when it is small and in a thread when it is large."""
    if size_bytes <= LARGE_BYTES:
        return work(*args, **kwargs)
    async with caches.get(_Turn):
        return await asyncio.to_thread(work, *args, **kwargs)
