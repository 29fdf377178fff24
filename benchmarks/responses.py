"""Rows a second into a deflated responses.jsonl, beside PostgreSQL handing over the same rows plain."""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from tests.installation import installed

from fieldpack.server.exports.build import job_queries
from fieldpack.server.exports.build.archive import _deflate

from .exports import ROWS, drain
from .machine import MIB, keep, show
from .population import connected, populate

SUBMISSIONS = 200_000
FULL_SUBMISSIONS = 1_000_000
TIMES = 5


def run(full: bool = False, times: int = TIMES) -> dict[str, Any]:
    rows = FULL_SUBMISSIONS if full else SUBMISSIONS
    taken: dict[str, list[float]] = {"ours": [], "copy": []}
    with (
        installed("--no-worker") as installation,
        connected(installation) as connection,
        tempfile.TemporaryDirectory() as name,
    ):
        population = populate(installation, rows, [], files_each=0)
        selection = job_queries.select_exported(uuid.UUID(population.collection_id), {})
        for _ in range(times):
            started = time.perf_counter()
            batches = (lines for _, lines in job_queries.iter_lines(connection, selection))
            member = _deflate(Path(name), "responses.jsonl", batches)
            taken["ours"].append(time.perf_counter() - started)
            started = time.perf_counter()
            drain(connection, ROWS, {"collection": population.collection_id})
            taken["copy"].append(time.perf_counter() - started)
    ours, copy = min(taken["ours"]), min(taken["copy"])
    figures = {
        "rows": rows,
        "line_bytes": member.size_bytes,
        "deflated_bytes": member.compressed_bytes,
        "rows_per_second": round(rows / ours),
        "copy_rows_per_second": round(rows / copy),
        "of_copy": copy / ours,
        "all_seconds": taken,
    }
    show(
        f"responses.jsonl of {rows:,} submissions: lines made, deflated ({member.size_bytes / MIB:,.0f} MiB to"
        f" {member.compressed_bytes / MIB:,.0f}), hashed and written",
        ["", "rows/s", "of COPY"],
        [
            ["fieldpack", f"{rows / ours:,.0f}", f"{copy / ours:.2f}×"],
            ["PostgreSQL COPY (SELECT …) TO STDOUT", f"{rows / copy:,.0f}", "1.00×"],
        ],
    )
    keep("responses", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1,000,000 submissions")
    run(parser.parse_args().full)


if __name__ == "__main__":
    main()
