"""The index of an archive of many members: seconds to write it, to open it and to find any range; memory."""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tests.whole_archives import iter_spans, open_index

from fieldpack.archive.index import PAGE_ENTRY, Index
from fieldpack.archive.layout import STORED, IndexWriter, Member

from .machine import keep, show

MEMBERS = 1_000_000
MEMBER_BYTES = 20_480
RANGES = 15


def iter_members(count: int) -> Iterator[Member]:
    for number in range(count):
        name = f"files/0198c0de-0000-7000-8000-{number:012}_photo.jpg"
        blob = number.to_bytes(16, "big")
        yield Member(name, STORED, MEMBER_BYTES, MEMBER_BYTES, number, 1_772_366_400 + number, blob)


def measure(count: int, path: Path) -> dict[str, Any]:
    before = peak_mib()
    started = time.perf_counter()
    with path.open("wb") as out:
        writer = IndexWriter(out)
        writer.add_all(iter_members(count))
        summary = writer.finish()
    figures: dict[str, Any] = {
        "members": count,
        "index_bytes": summary.index_bytes,
        "write_seconds": time.perf_counter() - started,
    }
    with path.open("rb") as file:
        started = time.perf_counter()
        index = open_index(file)
        figures["open_seconds"] = time.perf_counter() - started
        figures["page_table_bytes"] = index.page_count * PAGE_ENTRY.size
        for where, share in (("start", 0.02), ("middle", 0.5), ("end", 0.98)):
            figures[f"range_near_{where}_seconds"] = statistics.median(
                time_range(index, file, int(index.size_bytes * share)) for _ in range(RANGES)
            )
        started = time.perf_counter()
        for _ in iter_spans(index, file):
            pass
        figures["every_segment_seconds"] = time.perf_counter() - started
    return figures | {"peak_mib_before": round(before, 1), "peak_mib": round(peak_mib(), 1)}


def time_range(index: Index, file: BinaryIO, start: int) -> float:
    """Seconds to the first segment from here."""
    started = time.perf_counter()
    next(iter_spans(index, file, start))
    return time.perf_counter() - started


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(count: int = MEMBERS) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(count, Path(folder) / "index")
    names = {
        "write_seconds": "write the index",
        "open_seconds": "open it",
        "range_near_start_seconds": "find a range near the start",
        "range_near_middle_seconds": "in the middle",
        "range_near_end_seconds": "near the end",
        "every_segment_seconds": "every segment of the archive",
    }
    show(
        f"Index of {count:,} members: {figures['index_bytes'] / 2**20:.0f} MiB, of which"
        f" {figures['page_table_bytes'] / 1024:.0f} KiB are held; peak memory {figures['peak_mib_before']:.0f} MiB"
        f" before, {figures['peak_mib']:.0f} MiB after",
        ["", "ms"],
        [[name, f"{figures[key] * 1000:,.2f}"] for key, name in names.items()],
    )
    keep("layout", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS)
    run(parser.parse_args().members)


if __name__ == "__main__":
    main()
