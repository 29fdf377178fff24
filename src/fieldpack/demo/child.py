"""`python -m fieldpack.demo.child COMMAND…`: a fieldpack command that ends with whoever started it.

Standard input is a pipe that the starter holds and never writes to. It is closed when the starter lets go of it
or dies, even by SIGKILL; the command then gets SIGTERM, as from an operator.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
from types import FrameType


def _end_with_starter() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, frame: FrameType | None) -> None:
    """Until the command has a handler of its own: leave through every `finally`."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_starter, daemon=True).start()
    runpy.run_module("fieldpack", run_name="__main__")
