"""A server under load whose processes are killed, each at a random moment; then everything acknowledged is there.

Killed are the supervisor, web processes, the worker, PostgreSQL's postmaster, single backends of it, its keeper, and
all of them at once. After each the ledger is compared with what the server has; at the end nothing of an erased
person is found in any file of the data folder.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.installation import Installation
from tests.integration.rows import insert_submissions

from .ledger import Ledger
from .load import Load
from .outside import Outside

__all__ = ["kill"]

PAUSES_SECONDS = (0.5, 5.0)
"""From one kill to the next, once it serves again."""
GONE_SECONDS = 180.0
"""Until nothing of the erased is left; 10 are promised on a machine with nothing else to do."""
MARKER = re.compile(rb"participant-[0-9a-f]{16}")


class Victims:
    """The processes of one installation, and how to kill them."""

    def __init__(self, server: Installation, rng: random.Random) -> None:
        self.server = server
        self.rng = rng

    def kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "supervisor": self._kill_supervisor,
            "a web process": lambda: self._kill_one(self.server.children("web")),
            "all web processes": lambda: _kill_all(self.server.children("web")),
            "worker": lambda: _kill_all(self.server.children("worker")),
            "postmaster": lambda: _kill_all(self._find_postmaster()),
            "a backend": lambda: self._kill_one(self._find_backends()),
            "keeper": lambda: _kill_all(self._find_keepers()),
            "everything": self._kill_everything,
        }

    def _kill_one(self, pids: list[int]) -> None:
        if pids:
            _kill_all([self.rng.choice(pids)])

    def _kill_supervisor(self) -> None:
        self.server.kill()
        self.server.start()

    def _kill_everything(self) -> None:
        """As when the power goes: but for what the kernel had not written yet."""
        assert self.server.process is not None
        _kill_all(
            [
                self.server.process.pid,
                *self.server.children("web"),
                *self.server.children("worker"),
                *self._find_keepers(),
                *self._find_postmaster(),
            ]
        )
        self.server.process.wait()
        self.server.start()

    def _find_postmaster(self) -> list[int]:
        try:
            text = (self.server.data_dir / "postgres" / "data" / "postmaster.pid").read_text()
        except FileNotFoundError:  # it is down at this moment
            return []
        pid = int(text.split()[0])
        return [pid] if psutil.pid_exists(pid) else []

    def _find_backends(self) -> list[int]:
        try:
            return [child.pid for pid in self._find_postmaster() for child in psutil.Process(pid).children()]
        except psutil.NoSuchProcess:
            return []

    def _find_keepers(self) -> list[int]:
        base = str(self.server.data_dir.resolve() / "postgres")
        lines = [(process.pid, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        return [pid for pid, line in lines if base in line and any("keeper.py" in part for part in line)]


def _kill_all(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself
            continue


def kill(seconds: float, seed: int, *, rows: int = 0) -> Ledger:
    """Run it in a folder of its own; what was promised and what was broken.

    The seed decides what the participants do, which processes are killed in which order, and the pauses between.

    Args:
        rows: responses beside those of the load, so that tables are large.
    """
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-kills-"))
    folder.chmod(0o755)
    server = Installation(folder / "data", ["--workers", "2"], {"FIELDPACK_LOG_FORMAT": "json"})
    outside = None
    try:
        server.start()
        rng = random.Random(seed)
        outside = Outside([server.url], server.token)
        load = Load(outside, rng)
        if rows:
            insert_submissions(server, load.study, rows)
            load.others = rows
        load.start()
        _kill_in_turn(server, load, seconds)
        load.stop()
        _wait_until_ready(server)
        load.audit()
        load.settle()
        _look_for_the_erased(server, load)
        load.ledger.counts["passing faults met by clients"] = sum(outside.passing_faults.values())
        return load.ledger
    finally:
        if outside is not None:
            outside.close()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _kill_in_turn(server: Installation, load: Load, seconds: float) -> None:
    """Every kind of process once before any is killed again, in random order."""
    # the pauses and victims come from a generator of their own: how much the load draws depends on the time
    rng = random.Random(load.rng.random())
    victims = Victims(server, rng)
    end = time.monotonic() + seconds
    turns: list[str] = []
    while time.monotonic() < end or turns:
        if not turns:
            turns = list(victims.kinds())
            rng.shuffle(turns)
        time.sleep(rng.uniform(*PAUSES_SECONDS))
        kind = turns.pop()
        try:
            victims.kinds()[kind]()
            _wait_until_ready(server)
            load.audit()
        except Exception as error:
            load.ledger.blame(f"After killing {kind}: {type(error).__name__}: {error}")
        load.ledger.count(f"killed: {kind}")


def _wait_until_ready(server: Installation) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while not server.is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The server does not come back: {server.log[-2000:]}")
        time.sleep(0.1)


def _look_for_the_erased(server: Installation, load: Load) -> None:
    """One more is erased, so that what cleans up has something to do; then all of them are gone from the disk."""
    left = load.ledger.select(erasing_at=False, accepted_at=True)
    if left:
        load.erase(load.rng.choice(left))
    erased = {each.marker.encode() for each in load.ledger.select(erased_at=True)}
    deadline = time.monotonic() + GONE_SECONDS
    while found := _find_on_disk(server.data_dir, erased):
        if time.monotonic() > deadline:
            names = {path: [marker.decode() for marker in markers] for path, markers in found.items()}
            load.ledger.blame(f"Something of erased people is on the disk: {names}")
            return
        time.sleep(0.5)
    load.ledger.counts["erased people looked for on the disk"] = len(erased)


def _find_on_disk(folder: Path, markers: set[bytes]) -> dict[str, list[bytes]]:
    """Files anywhere in the folder that hold one of the markers, deflated members of exports too."""
    found = {}
    for path in folder.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        if "exports" in path.parts and path.suffix in (".jsonl", ".json", ".md"):
            with contextlib.suppress(zlib.error):  # one that is being written
                data += zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
        if held := markers & set(MARKER.findall(data)):
            found[str(path.relative_to(folder))] = sorted(held)
    return found
