"""Layout of an archive of many members: seconds and peak memory.

Run: python benchmarks/layout.py [members]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fieldpack.archive.index import PAGE_ENTRY
from fieldpack.archive.layout import STORED, IndexWriter, Member, iter_segments, open_index

MEMBER_BYTES = 20_480


def iter_members(count: int) -> Iterator[Member]:
    for number in range(count):
        name = f"files/0198c0de-0000-7000-8000-{number:012}_photo.jpg"
        blob = number.to_bytes(16, "big")
        yield Member(name, STORED, MEMBER_BYTES, MEMBER_BYTES, number, 1_772_366_400 + number, blob)


def measure(count: int, path: Path) -> None:
    before = peak_mib()
    start = time.perf_counter()
    with path.open("wb") as out:
        writer = IndexWriter(out)
        writer.add_all(iter_members(count))
        summary = writer.finish()
    show("write the index", start, f"{summary.index_bytes / 2**20:.0f} MiB")
    with path.open("rb") as file:
        start = time.perf_counter()
        index = open_index(file)
        show("open it", start, f"{index.page_count * PAGE_ENTRY.size / 1024:.0f} KiB of page table")
        start = time.perf_counter()
        next(iter_segments(index, file, index.size_bytes // 2))
        show("first segment from the middle", start)
        start = time.perf_counter()
        segments = sum(1 for _ in iter_segments(index, file))
        seconds = show("every segment", start, f"{segments} of them")
    print(
        f"{count / seconds:,.0f} members/s; peak memory {before:.0f} MiB before, {peak_mib():.0f} MiB after"
    )


def show(what: str, start: float, note: str = "") -> float:
    seconds = time.perf_counter() - start
    print(f"{what:32} {seconds * 1000:10.2f} ms  {note}")
    return seconds


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"{count:,} members of {MEMBER_BYTES:,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        measure(count, Path(folder) / "index")


if __name__ == "__main__":
    main()
