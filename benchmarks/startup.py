"""What the light package weighs and how soon it speaks: `fieldpack --help` beside a bare Python."""

from __future__ import annotations

import subprocess
import tempfile
import time
import venv
from pathlib import Path

from .machine import best_of, keep, show

ROOT = Path(__file__).parents[1]
MB = 1_000_000


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def size_mb(folder: Path) -> float:
    """Bytes on disk, in whole blocks, as `du` counts."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / MB


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fieldpack-bench-") as folder:
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        before = size_mb(environment)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
        subprocess.run([*pip, str(ROOT)], check=True)
        weight = size_mb(environment) - before
        program = str(environment / "bin" / "fieldpack")
        seconds_of([program, "--help"])
        helped = best_of(5, lambda: seconds_of([program, "--help"]))
        bare = best_of(5, lambda: seconds_of([str(environment / "bin" / "python"), "-c", "pass"]))
    show(
        "The light package",
        ("what", "figure", "limit"),
        [
            ("installed, with what it needs", f"{weight:.1f} MB", "15 MB"),
            ("fieldpack --help, beyond python -c pass", f"{helped - bare:.3f} s", "0.300 s"),
        ],
    )
    keep("startup", {"megabytes": round(weight, 1), "help_seconds": helped, "python_seconds": bare})


if __name__ == "__main__":
    main()
