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


def size_mb(folder: Path) -> tuple[float, float]:
    """Bytes of the files in it, and what they take on this disk in whole blocks, as `du` counts."""
    found = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    return sum(each.st_size for each in found) / MB, sum(each.st_blocks * 512 for each in found) / MB


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fieldpack-bench-") as folder:
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        before = size_mb(environment)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
        subprocess.run([*pip, str(ROOT)], check=True)
        weight, on_disk = (
            after - earlier for after, earlier in zip(size_mb(environment), before, strict=True)
        )
        program = str(environment / "bin" / "fieldpack")
        seconds_of([program, "--help"])
        helped = best_of(5, lambda: seconds_of([program, "--help"]))
        bare = best_of(5, lambda: seconds_of([str(environment / "bin" / "python"), "-c", "pass"]))
    show(
        "The light package",
        ("what", "figure", "limit"),
        [
            ("installed, with what it needs", f"{weight:.1f} MB", "15 MB"),
            ("the same in blocks of this disk", f"{on_disk:.1f} MB", ""),
            ("fieldpack --help, beyond python -c pass", f"{helped - bare:.3f} s", "0.300 s"),
        ],
    )
    keep(
        "startup",
        {
            "megabytes": round(weight, 1),
            "megabytes_on_disk": round(on_disk, 1),
            "help_seconds": helped,
            "python_seconds": bare,
        },
    )


if __name__ == "__main__":
    main()
