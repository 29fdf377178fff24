"""A million lines of responses.jsonl into tables: fieldpack beside pandas alone, same file, same run.

The file is written to a temporary folder; each way runs in a process of its own. `streaming` reads one by one.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.whole_archives import encode_record

from fieldpack.archive.records import encode_responses

from .machine import keep

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTRUCTIONS: list[dict[str, Any]] = [
    {"id": str(uuid.UUID(int=1)), "type": "free_text", "description": "How was it?"},
    {
        "id": str(uuid.UUID(int=2)),
        "type": "multiple_choice",
        "description": "Which one?",
        "options": [{"value": f"response{n}", "label": f"Response {n}"} for n in range(1, 5)],
    },
    {
        "id": str(uuid.UUID(int=3)),
        "type": "multiple_choice",
        "description": "Which of these?",
        "answer_limit": -1,
        "options": [{"value": value, "label": value.upper()} for value in "abcdef"],
    },
    {
        "id": str(uuid.UUID(int=4)),
        "type": "free_text_with_unit",
        "description": "How heavy?",
        "unit_options": [{"value": "kg", "label": "Kilograms"}, {"value": "lb", "label": "Pounds"}],
    },
]


def write_folder(folder: Path, lines: int) -> None:
    """Write an extracted archive of so many submissions, without files."""
    rng = random.Random(1)
    text, one, some, weight = (item["id"] for item in INSTRUCTIONS)
    with (folder / "responses.jsonl").open("wb") as out:
        for number in range(lines):
            at = START + timedelta(seconds=number)
            answers: list[tuple[str, str, dict[str, Any]]] = [
                (text, "free_text", {"value": f"It was fine, thank you – {number % 9973}"}),
                (one, "multiple_choice", {"value": [f"response{rng.randrange(1, 5)}"]}),
                (some, "multiple_choice", {"value": rng.sample("abcdef", rng.randrange(1, 4))}),
                (weight, "free_text_with_unit", {"value": f"{rng.uniform(50, 99):.1f}", "unit": "kg"}),
            ]
            out.write(
                encode_record(
                    submission_id=str(uuid.UUID(int=rng.getrandbits(128))),
                    participant_id=f"{rng.getrandbits(96):024x}",
                    study_id="5f0000000000000000000000",
                    status="APPROVED",
                    started_at=at,
                    completed_at=at + timedelta(minutes=4),
                    responses=encode_responses(answers),
                )
            )
    collection = {
        "id": str(uuid.UUID(int=9)),
        "name": "Benchmark",
        "instructions": INSTRUCTIONS,
        "export": {"submission_count": lines, "file_count": 0},
    }
    (folder / "collection.json").write_text(json.dumps(collection))


def run_pandas_alone(folder: Path) -> int:
    """What one would write without fieldpack."""
    import pandas as pd

    frame = pd.read_json(folder / "responses.jsonl", lines=True)
    answers = pd.json_normalize(frame["responses"].tolist())
    return len(pd.concat([frame.drop(columns="responses"), answers], axis=1))


def run_pandas(folder: Path) -> int:
    import fieldpack

    return len(fieldpack.open_export(folder).to_pandas())


def run_polars(folder: Path) -> int:
    import fieldpack

    return int(fieldpack.open_export(folder).to_polars().height)


def run_arrow(folder: Path) -> int:
    import fieldpack

    return int(fieldpack.open_export(folder).to_arrow().num_rows)


def run_streaming(folder: Path) -> int:
    import fieldpack

    return sum(1 for _ in fieldpack.open_export(folder))


WAYS: dict[str, Callable[[Path], int]] = {
    "pandas.read_json + json_normalize": run_pandas_alone,
    "to_pandas": run_pandas,
    "to_polars": run_polars,
    "to_arrow": run_arrow,
    "streaming": run_streaming,
}


def measure(way: str, folder: Path) -> dict[str, float]:
    """Seconds (imports included) and peak resident MB, in a process of its own."""
    code = f"from benchmarks.tables import run_one; run_one({way!r}, {str(folder)!r})"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_one(way: str, folder: str) -> None:
    started = time.perf_counter()
    rows = WAYS[way](Path(folder))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": round(seconds, 3), "peak_mb": round(peak)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder, arguments.lines)
        size = (folder / "responses.jsonl").stat().st_size
        print(f"{arguments.lines:,} lines, {size / 1e6:,.0f} MB")
        with (folder / "responses.jsonl").open("rb") as file:  # the same warm page cache for all
            while file.read(1 << 20):
                pass
        results = {way: measure(way, folder) for way in WAYS}
    base = results["pandas.read_json + json_normalize"]
    print(f"{'way':36}{'seconds':>9}{'faster':>9}{'peak MB':>9}{'of pandas':>11}")
    for way, found in results.items():
        faster, share = base["seconds"] / found["seconds"], found["peak_mb"] / base["peak_mb"]
        print(f"{way:36}{found['seconds']:>9.2f}{faster:>8.1f}×{found['peak_mb']:>9,.0f}{share:>10.0%}")
    keep("tables", {"lines": arguments.lines, "bytes": size, "results": results})


if __name__ == "__main__":
    main()
