"""How many files and sockets a process may have open at once (`RLIMIT_NOFILE`).

The soft limit is often 1,024, for the sake of programs that use `select`; the hard one is what the machine
grants. Programs that are not ours are started with the soft limit as it was.
"""

from __future__ import annotations

import os
import resource
import sys

import structlog

__all__ = ["earlier_limit", "most_connections", "raise_limit"]

BEFORE_VARIABLE = "_FIELDPACK_SOFT_DESCRIPTORS"  # tells child processes what the soft limit was
LOW = 4096
KEPT = 256  # for the database, files being served and received, the event loop
ENDLESS = 1 << 20
OPEN_MAX = 10_240  # macOS takes no more, whatever its hard limit says

log = structlog.get_logger()


def _soft_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENDLESS if soft == resource.RLIM_INFINITY else soft


def raise_limit(needed: int) -> None:
    """Raise this process's soft limit to the hard one; its children inherit that.

    Says so, in the log and on standard error, when that is too low.

    Args:
        needed: descriptors that the settings make likely.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        os.environ.setdefault(BEFORE_VARIABLE, str(soft))
        for limit in (hard, OPEN_MAX):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                break
            except (ValueError, OSError):
                continue
    limit = _soft_limit()
    if limit < max(LOW, needed):
        log.warning("descriptors.low", limit=limit, wanted=max(LOW, needed))
        print(
            f"At most {limit} files and connections can be open at once in each process; "
            f"{max(LOW, needed)} are wanted. Raise the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd).",
            file=sys.stderr,
            flush=True,
        )


def earlier_limit() -> int | None:
    """The soft limit before it was raised here or in a process above; None when it was not."""
    text = os.environ.get(BEFORE_VARIABLE, "")
    return int(text) if text.isdigit() else None


def most_connections() -> int:
    """Connections that this process may have open, so that the rest of it never lacks a descriptor."""
    limit = _soft_limit()
    return max(limit // 4, limit - max(KEPT, limit // 4))
