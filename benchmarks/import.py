"""Moving an archive in: submissions with a file each, beside the same files written and fsynced alone."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.installation import FIELDPACK, environment, installed

from .machine import MIB, PeakMemory, keep, show

SIZES = (10_000,)
FULL_SIZES = (10_000, 100_000)
FILE_BYTES = 20 * 1024
POOL_BYTES = 8 * MIB
THREADS = 8
TIMES = 2
TEXT, UPLOAD = str(uuid.uuid4()), str(uuid.uuid4())


def iter_contents(count: int, pool: bytes) -> Iterator[bytes]:
    """`count` files, all different."""
    for number in range(count):
        at = (number * 7919) % (len(pool) - FILE_BYTES)
        yield number.to_bytes(8, "little") + pool[at : at + FILE_BYTES - 8]


def write_archive(path: Path, count: int, pool: bytes) -> None:
    """An archive as this server makes it: a text and a file for each submission."""
    study = str(uuid.uuid4())
    lines: list[bytes] = []
    with zipfile.ZipFile(path, "w") as out:
        for number, content in enumerate(iter_contents(count, pool)):
            submission = str(uuid.uuid4())
            name = f"files/{submission}_photo.jpg"
            out.writestr(name, content)
            entry = {
                "path": name,
                "file_name": "photo.jpg",
                "content_type": "image/jpeg",
                "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            text = f"Answer number {number}: it went well, the street was quiet and the photo shows the north side."
            line = {
                "submission_id": submission,
                "participant_id": f"{number:024x}",
                "study_id": study,
                "status": "APPROVED",
                "started_at": "2026-03-01T09:30:00.000000Z",
                "completed_at": "2026-03-01T09:35:00.000000Z",
                "responses": {
                    TEXT: {"type": "free_text", "value": text},
                    UPLOAD: {"type": "file_upload", "value": [entry]},
                },
            }
            lines.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        collection = {
            "id": str(uuid.uuid4()),
            "name": "Imported",
            "created_at": "2026-02-01T08:00:00.000000Z",
            "task_details": {"task_name": "T", "task_introduction": "", "task_steps": ""},
            "export": {"submission_count": count, "file_count": count},
            "instructions": [
                {"id": TEXT, "type": "free_text", "description": "How was it?", "page": 0, "order": 0},
                {"id": UPLOAD, "type": "file_upload", "description": "A photo", "page": 0, "order": 1},
            ],
        }
        out.writestr("responses.jsonl", b"".join(lines), zipfile.ZIP_DEFLATED)
        out.writestr("collection.json", json.dumps(collection))


def write_and_sync(place: Path, count: int, pool: bytes, threads: int) -> float:
    """Seconds to write as many files of these bytes into one folder, each flushed to the disk before it counts."""
    folder = Path(tempfile.mkdtemp(dir=place))

    def write(each: tuple[int, bytes]) -> None:
        descriptor = os.open(folder / str(each[0]), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(descriptor, each[1])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool_of_threads:
        for start in range(0, count, 1_000):  # not all of them in memory
            some = [
                (start + number, content)
                for number, content in enumerate(iter_contents(min(1_000, count - start), pool))
            ]
            if threads == 1:
                for each in some:
                    write(each)
            else:
                list(pool_of_threads.map(write, some))
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return seconds


def measure_import(data_dir: Path, archive: Path) -> dict[str, Any]:
    """Seconds that the command takes, from its start to its end, and the memory it takes."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*FIELDPACK, "import", str(archive), "--json"],
        env=environment(FIELDPACK_DATA_DIR=str(data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=archive.parent,
    )
    with PeakMemory([process.pid]) as peak:
        out, err = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(err.decode())
    return {**json.loads(out), "seconds": seconds, "peak_mib": round(peak.largest_mib, 1)}


def measure(count: int, times: int) -> dict[str, Any]:
    """The best of some runs; the limits by turns with them, for the disk is not the same from minute to minute."""
    pool = os.urandom(POOL_BYTES)
    found: dict[str, list[float]] = {"import": [], "one": [], "threads": []}
    peak = 0.0
    with installed() as installation:
        place = installation.data_dir.parent
        for _ in range(times):
            archive = place / "archive.zip"
            write_archive(archive, count, pool)
            found["one"].append(write_and_sync(place, count, pool, 1))
            found["threads"].append(write_and_sync(place, count, pool, THREADS))
            done = measure_import(installation.data_dir, archive)
            assert (done["submissions"], done["files"]) == (count, count), done
            found["import"].append(done["seconds"])
            peak = max(peak, done["peak_mib"])
            archive.unlink()
    best = {name: min(seconds) for name, seconds in found.items()}
    return {
        "submissions": count,
        "files": count,
        "file_bytes": FILE_BYTES,
        "import_seconds": round(best["import"], 2),
        "write_seconds": round(best["one"], 2),
        f"write_seconds_{THREADS}_threads": round(best["threads"], 2),
        "all_seconds": {name: [round(each, 2) for each in seconds] for name, seconds in found.items()},
        "of_limit": round(best["one"] / best["import"], 2),
        f"of_limit_{THREADS}_threads": round(best["threads"] / best["import"], 2),
        "peak_mib": peak,
    }


def run(full: bool = False, times: int = TIMES) -> dict[str, Any]:
    results = [measure(size, times) for size in (FULL_SIZES if full else SIZES)]
    show(
        f"Import, a text and a file of {FILE_BYTES // 1024} KiB each (limit: the same files written and fsynced alone)",
        ["submissions", "seconds", "files/s", "of the limit", f"of {THREADS} threads", "peak MiB"],
        [
            [
                f"{r['submissions']:,}",
                f"{r['import_seconds']:.1f}",
                f"{r['submissions'] / r['import_seconds']:,.0f}",
                f"{r['of_limit']:.2f}×",
                f"{r[f'of_limit_{THREADS}_threads']:.2f}×",
                f"{r['peak_mib']:.0f}",
            ]
            for r in results
        ],
    )
    figures = {"imports": results}
    keep("import", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="also 100,000 submissions: 6 GB of disk meanwhile"
    )
    arguments = parser.parse_args()
    run(arguments.full)


if __name__ == "__main__":
    main()
