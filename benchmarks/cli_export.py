"""From files on the server to one whole, verified ZIP here: `fieldpack collection export` beside the others.

The others build the same archive from the same files on the same disk, with nothing between; cp copies the
finished one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as find_version
from pathlib import Path
from typing import Any

from tests.installation import installed

from .exports import request_export
from .machine import MIB, keep, show
from .population import make_blobs, populate

SHAPE = (1_000, MIB)
FULL_SHAPE = (2_000, (2048 * MIB) // 2_000)
TIMES = 3


def copy_file(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--reflink=never", str(source), str(target)], check=True)


def build_zipfile(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))


def build_zipstream(folder: Path, target: Path) -> None:
    from zipstream import ZipStream  # type: ignore[import-untyped, unused-ignore]

    stream = ZipStream.from_path(str(folder), compress_type=zipfile.ZIP_STORED)
    with target.open("wb") as out:
        out.writelines(stream)


def build_zip(folder: Path, target: Path) -> None:
    subprocess.run(["zip", "-0", "-q", "-r", str(target), "."], cwd=folder, check=True)


def run(full: bool = False, times: int = TIMES) -> dict[str, Any]:
    count, size = FULL_SHAPE if full else SHAPE
    base = Path(tempfile.mkdtemp(prefix="fieldpack-bench-"))
    taken: dict[str, list[float]] = {}

    def measure(name: str, work: Callable[[Path], None]) -> None:
        target = base / "out.zip"
        os.sync()  # nobody pays for what another left to be written
        started = time.perf_counter()
        work(target)
        taken.setdefault(name, []).append(time.perf_counter() - started)
        target.unlink()

    try:
        with installed("--workers", "2") as installation:
            population = populate(installation, count, make_blobs(installation, count, size))
            with installation.client() as api:
                request_export(api, population)

            def export(target: Path) -> None:
                installation.run(
                    "collection",
                    "export",
                    population.collection_id,
                    "-o",
                    str(target),
                    PROLIFIC_URL=installation.url,
                    PROLIFIC_TOKEN=installation.token,
                )

            whole = base / "whole.zip"
            export(whole)
            extracted = base / "extracted"
            with zipfile.ZipFile(whole) as archive:
                archive.extractall(extracted)
            ways: dict[str, Callable[[Path], None]] = {
                "cp of the finished archive": lambda target: copy_file(whole, target),
                "fieldpack collection export": export,
                "Python zipfile": lambda target: build_zipfile(extracted, target),
            }
            try:
                find_version("zipstream-ng")
                ways["zipstream-ng"] = lambda target: build_zipstream(extracted, target)
            except PackageNotFoundError:
                print("zipstream-ng is not installed.")
            if shutil.which("zip"):
                ways["Info-ZIP zip -0"] = lambda target: build_zip(extracted, target)
            else:
                print("zip is not installed.")
            for _ in range(times):
                for name, work in ways.items():
                    measure(name, work)
            archive_bytes = whole.stat().st_size
    finally:
        shutil.rmtree(base, ignore_errors=True)
    best = {name: min(seconds) for name, seconds in taken.items()}
    cp = best["cp of the finished archive"]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fieldpack", "--help"], capture_output=True, check=True)
    start_seconds = time.perf_counter() - started
    show(
        f"A whole local ZIP of {count:,} files, {archive_bytes / MIB:,.0f} MiB"
        f" (the command line's own start of {start_seconds:.1f} s included)",
        ["", "seconds", "of cp"],
        [[name, f"{seconds:.2f}", f"{seconds / cp:.1f}×"] for name, seconds in best.items()],
    )
    figures = {
        "files": count,
        "archive_bytes": archive_bytes,
        "seconds": best,
        "all_seconds": taken,
        "of_cp": best["fieldpack collection export"] / cp,
        "program_start_seconds": round(start_seconds, 2),
    }
    keep("cli_export", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="2 GiB in 2,000 files")
    parser.add_argument("--times", type=int, default=TIMES)
    arguments = parser.parse_args()
    run(arguments.full, arguments.times)


if __name__ == "__main__":
    main()
