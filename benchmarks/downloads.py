"""Downloads of an archive that exists only as index and blobs, beside nginx sending the finished file."""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from tests.installation import Installation, installed

from .clients import Worker, run_together
from .exports import request_export
from .machine import MIB, PeakMemory, keep, show
from .nginx import find_nginx, serving_files
from .population import make_blobs, populate

PROCESSES = 2
CLIENTS = (1, 8)
TIMES = 5
SHAPES = {"large": (1_000, MIB), "small": (20_000, 20 * 1024)}
FULL_SHAPES = {"large": (2_000, (2048 * MIB) // 2_000), "small": (20_000, 20 * 1024)}
RANGES = 15


def fetch(url: str, path: Path) -> None:
    """Keep an archive as a plain file."""
    with httpx.stream("GET", url, trust_env=False, timeout=600) as response, path.open("wb") as out:
        response.raise_for_status()
        for chunk in response.iter_raw(MIB):
            out.write(chunk)


def time_downloads(url: str, clients: int) -> float:
    """Seconds until the last of so many clients has the whole."""
    seconds, _ = run_together([Worker("download", url) for _ in range(clients)])
    return seconds


def warm(url: str) -> None:
    run_together([Worker("download", url)])


def compare(ours: str, theirs: str | None, size: int, clients: int, times: int) -> dict[str, Any]:
    """Best times of both, measured in turn."""
    taken: dict[str, list[float]] = {"ours": [], "nginx": []}
    for _ in range(times):
        taken["ours"].append(time_downloads(ours, clients))
        if theirs is not None:
            taken["nginx"].append(time_downloads(theirs, clients))
    result: dict[str, Any] = {
        "clients": clients,
        "bytes_each": size,
        "seconds": min(taken["ours"]),
        "mb_per_second": size * clients / min(taken["ours"]) / 1e6,
    }
    if theirs is not None:
        result["nginx_seconds"] = min(taken["nginx"])
        result["nginx_mb_per_second"] = size * clients / min(taken["nginx"]) / 1e6
        result["of_nginx"] = min(taken["nginx"]) / min(taken["ours"])
        # the same, from neighbouring pairs: less moved by what else the machine does
        result["of_nginx_median"] = statistics.median(
            n / o for o, n in zip(taken["ours"], taken["nginx"], strict=True)
        )
    return result


def measure_pings(
    installation: Installation, archive: str, clients: int, seconds: float = 4.0
) -> dict[str, Any]:
    """Waits of a small route while downloads run over and over, and without them."""
    url = f"{installation.url}/health/live"
    quiet = Worker("ping", url, 2.0)
    quiet.go()
    before = quiet.result()
    pings = Worker("ping", url, seconds)
    pings.go()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        time_downloads(archive, clients)
    return {"quiet": before, "loaded": pings.result()}


def measure_ranges(url: str, size: int) -> dict[str, float]:
    """Median seconds of a 64 KiB range near the start and near the end; and to the first byte of all."""

    def one(first: int, length: int = 65536) -> float:
        worker = Worker("download", url, first, first + length - 1)
        _, found = run_together([worker])
        return float(found[0]["seconds"])

    def first_byte() -> float:
        _, found = run_together([Worker("download", url, 0, 4 * MIB - 1)])
        return float(found[0]["first_byte"])

    starts, ends = [], []
    for _ in range(RANGES):
        starts.append(one(size // 50))
        ends.append(one(size - size // 50))
    return {
        "near_start_seconds": statistics.median(starts),
        "near_end_seconds": statistics.median(ends),
        "first_byte_seconds": statistics.median(first_byte() for _ in range(RANGES)),
    }


def run_shape(
    name: str, count: int, blob_bytes: int, folder: Path, *, times: int, processes: int
) -> dict[str, Any]:
    """One archive: its speed for each number of clients, waits and memory."""
    with installed("--workers", str(processes)) as installation:
        population = populate(installation, count, make_blobs(installation, count, blob_bytes))
        with installation.client() as api:
            _, export = request_export(api, population)
        size, url = export["size_bytes"], export["url"]
        plain = folder / "archive.zip"
        fetch(url, plain)
        servers = installation.children("web")
        if find_nginx() is None:
            print("nginx is not installed: no peer to compare downloads with.")
            results = [compare(url, None, size, clients, times) for clients in CLIENTS]
        else:
            with serving_files(folder, folder / "nginx", processes=processes) as nginx:
                theirs = f"{nginx}/{plain.name}"
                warm(theirs)
                results = [compare(url, theirs, size, clients, times) for clients in CLIENTS]
        with PeakMemory(servers) as peak:
            pings = {clients: measure_pings(installation, url, clients) for clients in CLIENTS}
        for result in results:
            result["pings"] = pings[result["clients"]]
        found = {
            "members": count,
            "member_bytes": blob_bytes,
            "archive_bytes": size,
            "processes": processes,
            "downloads": results,
            "ranges": measure_ranges(url, size),
            "server_before_mib": round(peak.before_mib, 1),
            "server_peak_mib": round(peak.largest_mib, 1),
            "servers_together_peak_mib": round(peak.together_mib, 1),
        }
        plain.unlink()
        return found


def run(full: bool = False, times: int = TIMES, shapes: list[str] | None = None) -> dict[str, Any]:
    results = {}
    for name, (count, blob_bytes) in (FULL_SHAPES if full else SHAPES).items():
        if shapes and name not in shapes:
            continue
        folder = Path(tempfile.mkdtemp(prefix="fieldpack-bench-"))
        folder.chmod(0o755)
        try:
            results[name] = run_shape(name, count, blob_bytes, folder, times=times, processes=PROCESSES)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    rows = [
        [
            f"{result['members']:,} × {result['member_bytes'] / 1024:,.0f} KiB, {r['clients']} client(s)",
            f"{r['mb_per_second']:,.0f}",
            f"{r['nginx_mb_per_second']:,.0f}" if "of_nginx" in r else "–",
            f"{r['of_nginx']:.2f}×" if "of_nginx" in r else "–",
            f"{r['pings']['loaded']['longest'] * 1000:.0f}",
            f"{r['pings']['loaded']['p99'] * 1000:.0f}",
            f"{r['pings']['quiet']['longest'] * 1000:.0f}",
        ]
        for result in results.values()
        for r in result["downloads"]
    ]
    show(
        f"Download over plain HTTP, {PROCESSES} server processes, {PROCESSES} nginx workers",
        ["archive", "MB/s", "nginx MB/s", "of nginx", "longest ping ms", "p99 ms", "longest quiet ms"],
        rows,
    )
    show(
        "Ranges of it (64 KiB, new connection each), and the servers' memory",
        [
            "archive",
            "near start ms",
            "near end ms",
            "first byte ms",
            "peak MiB of one",
            "before, all",
            "peak, all",
        ],
        [
            [
                f"{r['members']:,} members",
                *(
                    f"{r['ranges'][key] * 1000:.1f}"
                    for key in ("near_start_seconds", "near_end_seconds", "first_byte_seconds")
                ),
                f"{r['server_peak_mib']:.0f}",
                f"{r['server_before_mib']:.0f}",
                f"{r['servers_together_peak_mib']:.0f}",
            ]
            for r in results.values()
        ],
    )
    keep("downloads", results)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="2 GiB")
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--shape", action="append")
    arguments = parser.parse_args()
    run(arguments.full, arguments.times, arguments.shape)


if __name__ == "__main__":
    main()
