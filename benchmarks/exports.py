"""From POST to complete: how long an export takes by the number of submissions, and by the bytes in it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.installation import Installation, installed

from .machine import MIB, PeakMemory, keep, show
from .population import Population, connected, make_blobs, make_sparse_blobs, populate, touch

SIZES = (1_000, 10_000, 100_000)
FULL_SIZE = 1_000_000
SHARED_BLOBS = 1_000
BLOB_BYTES = 100
READY_BLOBS = 1_000
TIMES = 5
PAUSE_SECONDS = 0.25


def request_export(api: httpx.Client, population: Population) -> tuple[float, dict[str, Any]]:
    """Seconds from POST to complete, and the complete export."""
    started = time.perf_counter()
    answer = api.post(population.export_path).json()
    while answer["status"] == "generating":
        url = f"{population.export_path}/{answer['export_id']}"
        answer = api.get(url, headers={"Prefer": "wait=60"}, timeout=120).json()
    seconds = time.perf_counter() - started
    if answer["status"] != "complete":
        raise RuntimeError(f"The export failed: {answer}")
    return seconds, answer


def measure_export(installation: Installation, population: Population, times: int) -> dict[str, Any]:
    """Best time from POST to complete, and the worker's peak memory meanwhile."""
    seconds = []
    with installation.client() as api, PeakMemory(installation.children("worker")) as peak:
        for _ in range(times):
            touch(installation, population)
            time.sleep(PAUSE_SECONDS)
            taken, answer = request_export(api, population)
            seconds.append(taken)
    return {
        "submissions": population.submissions,
        "members": population.files + 3,
        "seconds": round(min(seconds), 3),
        "all_seconds": [round(s, 3) for s in seconds],
        "worker_peak_mib": round(peak.largest_mib, 1),
        "archive_bytes": answer["size_bytes"],
        "export": answer,
    }


# what responses.jsonl is made of, in the order it has there
ROWS = """
    SELECT s.id, s.participant_id, s.study_id, s.status, s.line_end
    FROM submissions s WHERE s.collection_id = %(collection)s AND s.response = 'active'
    ORDER BY s.completed_at, s.id
"""


def measure_copy(installation: Installation, population: Population, times: int) -> float:
    """Seconds PostgreSQL takes to hand over the same rows, plain: the limit of what an export could reach."""
    files = """
        SELECT u.path, b.size_bytes, b.crc32, u.completed_at, b.id
        FROM submissions s JOIN uploads u ON u.submission_id = s.id JOIN blobs b ON b.id = u.blob_id
        WHERE s.collection_id = %(collection)s AND s.response = 'active'
        ORDER BY s.completed_at, s.id, u.position
    """
    best = float("inf")
    with connected(installation) as connection:
        for _ in range(times):
            started = time.perf_counter()
            for query in (ROWS, files):
                drain(connection, query, {"collection": population.collection_id})
            best = min(best, time.perf_counter() - started)
    return best


def drain(connection: psycopg.Connection[Any], query: str, values: dict[str, Any]) -> int:
    """Bytes of `COPY (query) TO STDOUT`, thrown away."""
    total = 0
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT", values) as copy:
        for data in copy:
            total += len(data)
    return total


def check_openers(url: str, folder: Path) -> dict[str, str]:
    """Download an archive and open it with every unzip program there is; seconds, or what went wrong."""
    path = folder / "whole.zip"
    with httpx.stream("GET", url, trust_env=False, timeout=600) as response, path.open("wb") as out:
        for chunk in response.iter_bytes(MIB):
            out.write(chunk)
    found: dict[str, str] = {}
    commands = {
        "unzip -tqq": ["unzip", "-tqq", str(path)],
        "zipinfo -h": ["zipinfo", "-h", str(path)],
        "7z t": ["7z", "t", "-bso0", "-bsp0", str(path)],
    }
    for name, command in commands.items():
        if shutil.which(command[0]) is None:
            found[name] = "not installed"
            continue
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        took = f"ok, {time.perf_counter() - started:.0f} s"
        found[name] = took if done.returncode == 0 else f"{done.stdout}{done.stderr}"[-300:]
    started = time.perf_counter()
    with zipfile.ZipFile(path) as archive:
        bad = archive.testzip()
    found["zipfile"] = f"bad: {bad}" if bad else f"ok, {time.perf_counter() - started:.0f} s"
    path.unlink()
    return found


def measure_ready(installation: Installation, times: int) -> dict[str, Any]:
    """The time from POST to complete for 1,000 blobs of 1 MiB and of 1 GiB."""
    populations = {
        name: populate(installation, READY_BLOBS, make_sparse_blobs(installation, READY_BLOBS, size))
        for name, size in (("1 MiB", MIB), ("1 GiB", 1024 * MIB))
    }
    taken: dict[str, list[float]] = {name: [] for name in populations}
    with installation.client() as api:
        for _ in range(times * 2):  # in turn, so that what disturbs one disturbs the other
            for name, population in populations.items():
                touch(installation, population)
                taken[name].append(request_export(api, population)[0])
    return {name: {"seconds": min(s), "all_seconds": s} for name, s in taken.items()}


def run(full: bool = False, times: int = TIMES) -> dict[str, Any]:
    sizes = (*SIZES, FULL_SIZE) if full else SIZES
    results = []
    with installed() as installation, tempfile.TemporaryDirectory() as folder:
        blobs = make_blobs(installation, SHARED_BLOBS, BLOB_BYTES)
        for size in sizes:
            population = populate(installation, size, blobs)
            rounds = times if size < FULL_SIZE else 2
            result = measure_export(installation, population, rounds)
            result["copy_seconds"] = round(measure_copy(installation, population, rounds), 3)
            if size == FULL_SIZE:
                result["openers"] = check_openers(result["export"]["url"], Path(folder))
            del result["export"]
            results.append(result)
        ready = measure_ready(installation, times)
    show(
        "POST → complete, a text and a file each (limit beside it: COPY of the same rows TO STDOUT)",
        ["submissions", "seconds", "µs each", "of COPY", "worker peak MiB"],
        [
            [
                f"{r['submissions']:,}",
                f"{r['seconds']:.2f}",
                f"{r['seconds'] / r['submissions'] * 1e6:.1f}",
                f"{r['seconds'] / r['copy_seconds']:.1f}×",
                f"{r['worker_peak_mib']:.0f}",
            ]
            for r in results
        ],
    )
    for r in results:
        for program, outcome in r.get("openers", {}).items():
            print(f"  {r['submissions']:,} members, {program}: {outcome}")
    show(
        f"Ready time of {READY_BLOBS:,} blobs, by their size",
        ["each", "seconds", "of 1 MiB"],
        [
            [name, f"{r['seconds']:.3f}", f"{r['seconds'] / ready['1 MiB']['seconds']:.2f}×"]
            for name, r in ready.items()
        ],
    )
    figures = {"exports": results, "ready_by_blob_size": ready}
    keep("exports", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also 1,000,000 submissions")
    arguments = parser.parse_args()
    run(arguments.full)


if __name__ == "__main__":
    main()
