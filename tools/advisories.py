"""Whether an advisory is out for a package that a server runs on: `python tools/advisories.py`; fails if there is.

pip-audit (https://github.com/pypa/pip-audit) asks OSV (https://osv.dev) about each version in `requirements/demo.lock`;
nothing is installed or downloaded for it. Where OSV can't be reached, or takes long, that is said, and nothing fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "demo.lock"
SERVICE = "https://api.osv.dev/v1/query"
REACH_SECONDS = 3.0
LONGEST_SECONDS = 60.0
ACCEPTED: dict[str, str] = {}
"""Advisories that don't concern us, by id, each with the reason why."""


def is_reachable(url: str, seconds: float = REACH_SECONDS) -> bool:
    """Whether the advisory service answers a question in time."""
    question = {"version": "0", "package": {"name": "fieldpack", "ecosystem": "PyPI"}}
    try:
        return httpx.post(url, json=question, timeout=seconds).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def audit_command(lock: Path) -> list[str]:
    """pip-audit on a lock, asking OSV, resolving and downloading nothing."""
    accepted = [word for name in ACCEPTED for word in ("--ignore-vuln", name)]
    return [
        sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip",
        "--vulnerability-service", "osv", "--timeout", "10", "--progress-spinner", "off", *accepted,
    ]  # fmt: skip


def main(service: str = SERVICE) -> int:
    """Ask, and print what is known; 1 if there is an advisory."""
    if not is_reachable(service):
        print("Advisories: OSV (api.osv.dev) can't be reached from here, so dependencies were not audited.")
        return 0
    environment = {**os.environ, "PIP_AUDIT_LOG": "ERROR"}
    try:
        done = subprocess.run(
            audit_command(LOCK), env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        print(
            f"Advisories: OSV took more than {LONGEST_SECONDS:.0f} s, so dependencies were not audited to the end."
        )
        return 0
    if done.returncode and not done.stdout.strip():  # no table: it could not be told
        print(f"Advisories: not audited, {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        return 0
    print((done.stdout.strip() or done.stderr.strip()).replace("\n", "\n  "))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
