"""`python -m benchmarks [NAME …] [--full]`: print the tables, and keep the figures in benchmarks/results."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from .machine import describe_machine

# each is a module of its own, run in a process of its own; those with True take --full
BENCHMARKS = {
    "startup": False,
    "layout": False,
    "exports": True,
    "responses": True,
    "downloads": True,
    "slow_clients": False,
    "attacks": False,
    "audit": False,
    "cli_export": True,
    "import": True,
    "intake": False,
    "live": False,
    "crowds": True,
    "uploads": False,
    "store": False,
    "tables": False,
    "workbench": False,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--full", action="store_true", help="the largest sizes too: 1,000,000 members, 2 GiB")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    machine = describe_machine()
    print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB,"
        f" Python {machine['python']}; load {os.getloadavg()[0]:.1f}"
    )
    failed = []
    for name in arguments.names or BENCHMARKS:
        started = time.monotonic()
        print(f"== {name}", flush=True)
        options = ["--full"] if arguments.full and BENCHMARKS[name] else []
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options])
        print(f"   ({time.monotonic() - started:.0f} s)", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
