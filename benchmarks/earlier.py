"""The source of an earlier version of this repository, to be measured beside this one."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["source_of"]

ROOT = Path(__file__).parents[1]


@contextmanager
def source_of(revision: str) -> Iterator[Path]:
    """Its `src`, to be first in `PYTHONPATH`; it runs with the packages that are installed here."""
    command = ["git", "-C", str(ROOT), "archive", revision, "src", "examples"]
    made = subprocess.run(command, capture_output=True, check=True)
    with tempfile.TemporaryDirectory(prefix="fieldpack-earlier-") as folder:
        with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder) / "src"
