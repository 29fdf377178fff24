"""What keeps the processes of a server."""

from __future__ import annotations

import subprocess
import sys

ASKED_BY_SIGNALS = """
import random, signal
from fieldpack.server.config import load_settings
from fieldpack.server.run.supervisor import Supervisor

supervisor = Supervisor(load_settings())
signal.signal(signal.SIGALRM, lambda *_: supervisor.stop())
chance = random.Random(1)
for _ in range(5_000):
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 6e-5))
    while not supervisor.is_asked_to_stop(1e-5):
        pass
print("asked", flush=True)
"""


def test_a_signal_at_any_moment_is_heard() -> None:
    """Also one that comes just as it begins to wait: SIGTERM once left a server standing until it was killed. `Event`
    stands still here within some hundred tries, the `get` of a `SimpleQueue` with a timeout within some million."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED_BY_SIGNALS], timeout=120, capture_output=True, text=True, check=False
    )
    assert done.stdout == "asked\n", done.stderr
