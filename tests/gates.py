"""What tests wait for instead of sleeping: something that holds, or that what was sent has been read."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 300.0


def wait_for(condition: Any, seconds: float = PATIENCE_SECONDS) -> None:
    """Until it holds. The time is only for what never comes: no promise is measured by it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_read(connection: socket.socket) -> None:
    """Until the program at the other end, on this machine, has taken everything that was sent from the kernel."""
    wait_for(lambda: count_unread(connection) == 0)


def count_unread(connection: socket.socket) -> int:
    """Bytes on their way to the other end, and those that wait there, by Linux's own table (proc_net_tcp)."""
    here, there = (f":{end[1]:04X}" for end in (connection.getsockname(), connection.getpeername()))
    unread = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        sending, receiving = (int(queue, 16) for queue in queues.split(":"))
        if local.endswith(here) and remote.endswith(there):
            unread += sending
        if local.endswith(there) and remote.endswith(here):
            unread += receiving
    return unread
