"""Dependencies are audited where that can be, and listed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tools import advisories

from tests.installation import free_port

ROOT = Path(__file__).parents[2]


def test_where_nobody_answers_that_is_said_and_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert advisories.main(f"http://127.0.0.1:{free_port()}/v1/query") == 0
    assert "can't be reached" in capsys.readouterr().out


def test_every_package_of_the_lock_would_be_asked_about() -> None:
    command = [*advisories.audit_command(advisories.LOCK), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    locked = [line for line in advisories.LOCK.read_text().splitlines() if "==" in line]
    found = int(done.stderr.partition("would have audited ")[2].partition(" ")[0])
    assert 0.8 * len(locked) < found <= len(locked)  # some are for other systems


def test_the_bill_of_materials_names_every_package_of_the_lock(tmp_path: Path) -> None:
    """As `make sbom` makes it."""
    recipe = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx_py" in line)
    arguments = recipe.partition("-m cyclonedx_py ")[2].replace("sbom.cdx.json", str(tmp_path / "sbom.json"))
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *arguments.split()], cwd=ROOT, check=True)
    made = json.loads((tmp_path / "sbom.json").read_text())
    locked = {line.partition("==")[0] for line in advisories.LOCK.read_text().splitlines() if "==" in line}
    assert made["bomFormat"] == "CycloneDX"
    assert {component["name"] for component in made["components"]} == locked
    assert all(component["purl"].startswith("pkg:pypi/") for component in made["components"])
