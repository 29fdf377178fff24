"""`python -m fieldpack` is the program `fieldpack`, and so is what `pip` installs under that name."""

import os
import signal
import sys
from typing import NoReturn


def main() -> int:
    """Run the command line; return the exit code.

    While the program is imported Ctrl-C ends it at once, as nothing has begun yet, and a traceback of imports says
    nothing. Where it is ignored it stays ignored.
    """
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, _end)
    from fieldpack.cli import main as run

    try:
        if is_usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:  # before the command line takes it itself
        return 130


def _end(number: int, frame: object) -> NoReturn:
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
