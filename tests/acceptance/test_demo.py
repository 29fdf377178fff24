"""The demonstration, as `make demo` runs it, with fewer people."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.installation import FIELDPACK, environment


def test_the_demonstration_ends_with_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [*FIELDPACK, "demo", "-n", "8", "--folder", str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "export.zip").is_file()
    assert "Done in" in done.stdout
