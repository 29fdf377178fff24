"""Hundreds of slow downloads, and what those who poll feel of them; what they cost in memory."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from tests.installation import installed

from .clients import Worker
from .exports import request_export
from .machine import MIB, PeakMemory, keep, resident_mib, show
from .population import make_blobs, populate

DOWNLOADS = 200
RATE = 100_000
POLLERS = 50
POLL_SECONDS = 3.0  # what `Retry-After` tells clients
SECONDS = 15.0
PROCESSES = 2
ROUNDS = 3
SHAPES = {"large members": (256, MIB), "small members": (12_800, 20 * 1024)}


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, (count, size) in SHAPES.items():
        with installed("--workers", str(PROCESSES)) as installation:
            population = populate(installation, count, make_blobs(installation, count, size))
            with installation.client() as api:
                _, export = request_export(api, population)
            servers = installation.children("web")
            status = f"{installation.url}/api/v1{population.export_path}/{export['export_id']}"
            polling = (status, installation.token, POLLERS, POLL_SECONDS)
            measured: list[dict[str, Any]] = []
            for _ in range(rounds):
                alone = Worker("poll", *polling, SECONDS)
                alone.go()
                without = alone.result()
                before = resident_mib(servers)
                with PeakMemory(servers) as peak:
                    slow = Worker("slow", export["url"], DOWNLOADS, RATE, SECONDS + 4)
                    slow.go()
                    slow.wait_until(b"connected")
                    time.sleep(1)
                    polls = Worker("poll", *polling, SECONDS)
                    polls.go()
                    found: dict[str, Any] = {
                        "without": without,
                        "with": polls.result(),
                        "taken": slow.result(),
                    }
                found["memory_growth_mib"] = round(peak.together_mib - before, 1)
                found["p95_ratio"] = found["with"]["p95"] / without["p95"]
                measured.append(found)
            results[name] = {
                "rounds": measured,
                "p95_ratio": statistics.median(m["p95_ratio"] for m in measured),
                "memory_growth_mib": max(m["memory_growth_mib"] for m in measured),
            }
    show(
        f"{DOWNLOADS} downloads at {RATE // 1000} KB/s each and {POLLERS} pollers, {PROCESSES} server processes",
        ["archive", "p95 without ms", "p95 with ms", "ratio", "MB/s taken", "memory + MiB"],
        [
            [
                name,
                f"{statistics.median(m['without']['p95'] for m in r['rounds']) * 1000:.1f}",
                f"{statistics.median(m['with']['p95'] for m in r['rounds']) * 1000:.1f}",
                f"{r['p95_ratio']:.2f}×",
                f"{statistics.median(m['taken']['bytes'] / m['taken']['seconds'] for m in r['rounds']) / 1e6:.1f}",
                f"{r['memory_growth_mib']:.0f}",
            ]
            for name, r in results.items()
        ],
    )
    keep("slow_clients", results)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    run(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
