"""Mixed load on an installation whose parts come and go, and the checks that every promise was kept.

Participants answer, upload (also large files, in chunks) and submit, or leave half-way; some are erased; exports
are requested, downloaded and read all the while. Only public routes are used.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Scenario

from .ledger import Ledger, Promised, Sent
from .outside import PATIENCE_SECONDS, PAUSE_SECONDS, Outside, Unreachable

__all__ = ["Load"]

PARTICIPANTS = 5
PER_SECOND = 3.0
"""Submissions a second that are aimed at, by all participants together."""
ERASE_EVERY = 3.0
EXPORT_EVERY = 1.0
LEAVE_SHARE = 0.15
LARGE_SHARE = 0.04
LARGE_BYTES = 7_000_000
CHUNK_BYTES = 1 << 20
PLACES = 1_000_000
AUDITED = 12
"""Submissions of each kind that are looked at after a restart."""
TUS = {"Tus-Resumable": "1.0.0"}
CLOCKS_DIFFER_SECONDS = 0.05


class Load:
    """The load, and the checks of what came of it.

    Attributes:
        others: active responses that are there beside those of the load.
    """

    def __init__(self, outside: Outside, rng: random.Random) -> None:
        self.outside = outside
        self.rng = rng
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self.others = 0
        with httpx.Client(
            base_url=f"{outside.urls[0]}/api/v1",
            headers={"Authorization": f"Token {outside.token}"},
            timeout=60,
            trust_env=False,
        ) as api:
            scenario = Scenario.create(api, FREE_TEXT, {**UPLOAD, "max_file_size_mb": 20}, places=PLACES)
        self.study = scenario.study["id"]
        self.export_path = scenario.export_path
        items = scenario.collection["collection_items"][0]["page_items"]
        self.text_id, self.upload_id = items[0]["id"], items[1]["id"]

    # the load

    def start(self) -> None:
        loads: list[Callable[[random.Random], None]] = [self._participate] * PARTICIPANTS
        loads += [self._erase, self._export]
        self._threads = [
            threading.Thread(target=self._loop, args=(load, self.rng.random()), daemon=True) for load in loads
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Everyone comes to the end of what they are doing."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS * 2)
            if thread.is_alive():
                self.ledger.blame("A client did not come to an end.")

    def _loop(self, load: Callable[[random.Random], None], seed: float) -> None:
        rng = random.Random(seed)
        while not self.stopping.is_set():
            try:
                load(rng)
            except Unreachable as error:
                self.ledger.blame(f"unreachable: {error}")
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.ledger.blame(f"{type(error).__name__} at line {where.lineno}: {error}")
                time.sleep(1)

    def _participate(self, rng: random.Random) -> None:
        started = time.monotonic()
        promised = self._begin(rng)
        leaves = rng.random() < LEAVE_SHARE
        for turn in range(rng.choice((1, 1, 2, 3))):
            self._answer(promised, f"{promised.marker} says {turn}")
        for number in range(rng.choice((0, 1, 1, 1, 2))):
            size = LARGE_BYTES if rng.random() < LARGE_SHARE else rng.randrange(1, 60_000)
            data = PNG + promised.marker.encode() + rng.randbytes(size)
            # who leaves, leaves in the middle of a file
            self._upload(promised, f"photo-{number}.png", data, up_to=len(data) // 2 if leaves else len(data))
            if leaves:
                break
        if leaves:
            with self.ledger.lock:
                promised.is_left = True
        else:
            self._submit(promised)
        self.stopping.wait(max(started + PARTICIPANTS / PER_SECOND - time.monotonic(), 0))

    def _begin(self, rng: random.Random) -> Promised:
        marker = f"participant-{rng.getrandbits(64):016x}"
        state = self.outside.request(
            "POST",
            f"/participate/studies/{self.study}/submissions",
            json={"participant_id": marker, "session_id": "only"},
            expected=(200, 201),
        ).json()
        promised = Promised(state["submission_id"], state["token"], marker)
        with self.ledger.lock:
            self.ledger.submissions[promised.submission_id] = promised
        return promised

    def _answer(self, promised: Promised, text: str) -> None:
        with self.ledger.lock:
            promised.asked = text
        self.outside.request(
            "PUT",
            f"{promised.path}/answers/{self.text_id}",
            json={"value": text},
            headers=promised.headers,
            expected=(200,),
        )
        with self.ledger.lock:
            promised.answer, promised.asked = text, None

    def _upload(self, promised: Promised, name: str, data: bytes, up_to: int) -> None:
        """By tus, in chunks; after a break it goes on where the server says."""
        values = (("instruction_id", self.upload_id), ("filename", name))
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values)
        headers = {**promised.headers, **TUS}
        created = self.outside.request(
            "POST",
            f"{promised.path}/uploads",
            headers={**headers, "Upload-Length": str(len(data)), "Upload-Metadata": metadata},
            expected=(201,),
        )
        sent = Sent(httpx.URL(created.headers["Location"]).path.removeprefix("/api/v1"), data)
        with self.ledger.lock:
            promised.uploads.append(sent)
        offset = 0
        while offset < up_to:
            answer = self.outside.request(
                "PATCH",
                sent.url,
                content=data[offset : min(offset + CHUNK_BYTES, up_to)],
                headers={
                    **headers,
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
                expected=(204, 409, 423),
            )
            if answer.status_code != 204:  # an earlier try went further than was heard
                answer = self.outside.request("HEAD", sent.url, headers=headers, expected=(200,))
            offset = int(answer.headers["Upload-Offset"])
            self.ledger.count("chunks acknowledged")
            if offset < sent.offset:
                self.ledger.blame(f"{sent.url} fell back from {sent.offset} to {offset} bytes.")
            with self.ledger.lock:
                sent.offset = offset

    def _submit(self, promised: Promised) -> None:
        self._remove_unknown(promised)
        with self.ledger.lock:
            promised.submitting_at = time.time()
        self.outside.request("POST", f"{promised.path}/submit", headers=promised.headers, expected=(200,))
        with self.ledger.lock:
            promised.accepted_at = time.time()

    def _remove_unknown(self, promised: Promised) -> None:
        """Remove uploads that were begun by a request whose answer never came."""
        state = self.outside.request("GET", promised.path, headers=promised.headers, expected=(200,)).json()
        known = {sent.url for sent in promised.uploads}
        for file in state["files"]:
            url = f"{promised.path}/uploads/{file['id']}"
            if url not in known:
                self.ledger.count("uploads begun twice")
                headers = {**promised.headers, **TUS}
                self.outside.request("DELETE", url, headers=headers, expected=(204, 404))

    def _erase(self, rng: random.Random) -> None:
        self.stopping.wait(ERASE_EVERY)
        candidates = self.ledger.select(erasing_at=False, accepted_at=True)
        candidates += self.ledger.select(erasing_at=False, is_left=True)
        if candidates:
            self.erase(rng.choice(candidates))

    def erase(self, chosen: Promised) -> None:
        with self.ledger.lock:
            chosen.erasing_at = time.time()
        self.outside.request("DELETE", f"/submissions/{chosen.submission_id}", expected=(204, 404))
        with self.ledger.lock:
            chosen.erased_at = time.time()

    def _export(self, rng: random.Random) -> None:
        self.stopping.wait(EXPORT_EVERY)
        started = time.monotonic()
        answer = self.request_export(PATIENCE_SECONDS)
        began = time.time()
        with self.ledger.lock:
            self.ledger.export_seconds.append(time.monotonic() - started)
        data = self.download(answer)
        if data is None:
            self.ledger.count("exports withdrawn by an erasure")
            return
        self.ledger.count("exports downloaded")
        self.check(self.read(data), datetime.fromisoformat(answer["snapshot_at"]).timestamp(), began)

    # exports

    def request_export(self, patience: float) -> dict[str, Any]:
        """A complete export, requested and polled; one that an erasure made fail is requested again."""
        deadline = time.monotonic() + patience
        answer = self.outside.request("POST", self.export_path, expected=(200, 202)).json()
        while answer["status"] != "complete":
            if time.monotonic() > deadline:
                raise TimeoutError(f"An export is still {answer['status']} after {patience:.0f} s: {answer}")
            if answer["status"] == "failed":
                self.ledger.count("exports failed")
                answer = self.outside.request("POST", self.export_path, expected=(200, 202)).json()
                continue
            url = f"{self.export_path}/{answer['export_id']}"
            answer = self.outside.request("GET", url, headers={"Prefer": "wait=5"}, expected=(200,)).json()
        found: dict[str, Any] = answer
        return found

    def download(self, answer: dict[str, Any]) -> bytes | None:
        """The archive, resumed at another process when one dies; None when it was withdrawn meanwhile."""
        target = httpx.URL(answer["url"]).raw_path.decode()
        got = io.BytesIO()
        etag = ""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while got.tell() < answer["size_bytes"]:
            if time.monotonic() > deadline:
                raise TimeoutError("A download did not come to an end.")
            headers = {"Range": f"bytes={got.tell()}-", "If-Range": etag} if got.tell() else {}
            try:
                with self.outside.client().stream(
                    "GET", self.outside.origin() + target, headers=headers
                ) as response:
                    if response.status_code == 410:
                        return None
                    if response.status_code not in (200, 206):
                        time.sleep(PAUSE_SECONDS)
                        continue
                    if got.tell() and response.status_code == 200:
                        self.ledger.blame(
                            "A range of an archive was answered with the whole: its tag changed."
                        )
                        got.seek(0)
                    etag = response.headers["ETag"]
                    for chunk in response.iter_raw():
                        got.write(chunk)
            except httpx.TransportError:
                self.ledger.count("downloads resumed")
                time.sleep(PAUSE_SECONDS)
        return got.getvalue()

    def read(self, data: bytes) -> dict[str, tuple[str | None, list[str]]]:
        """Submission id → its answer and the SHA-256 of its files in the archive; every member is checked.

        Those that are not of the load are counted and left out.
        """
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if bad := archive.testzip():
                self.ledger.blame(f"{bad} is damaged in an archive.")
            lines = [json.loads(line) for line in archive.read("responses.jsonl").splitlines()]
            found = {}
            others = 0
            for line in lines:
                if not line["participant_id"].startswith("participant-"):
                    others += 1
                    continue
                files = line["responses"].get(self.upload_id, {"value": []})["value"]
                found[line["submission_id"]] = (
                    line["responses"].get(self.text_id, {"value": None})["value"],
                    [hashlib.sha256(archive.read(file["path"])).hexdigest() for file in files],
                )
            if len(found) + others != len(lines):
                self.ledger.blame("An archive holds a submission twice.")
            if others != self.others:
                self.ledger.blame(
                    f"An archive holds {others} of {self.others} responses that nobody touches."
                )
        return found

    def check(
        self, lines: dict[str, tuple[str | None, list[str]]], snapshot_at: float, fetched_at: float
    ) -> None:
        """An export holds exactly what it must.

        Args:
            snapshot_at: what was accepted before is in it.
            fetched_at: what was erased before is not.
        """
        with self.ledger.lock:
            everyone = dict(self.ledger.submissions)
            must = {
                name
                for name, each in everyone.items()
                if each.accepted_at is not None
                and each.accepted_at < snapshot_at - CLOCKS_DIFFER_SECONDS
                and each.erasing_at is None
            }
            must_not = {
                name for name, each in everyone.items() if each.erased_at and each.erased_at < fetched_at
            }
            may = {name for name, each in everyone.items() if each.submitting_at is not None}
        for what, names in (
            ("accepted submissions are missing in", must - lines.keys()),
            ("submissions erased before are in", lines.keys() & must_not),
            ("submissions that nobody submitted are in", lines.keys() - may),
        ):
            if names:
                self.ledger.blame(f"{len(names)} {what} an export: {sorted(names)[:5]}")
        for name, (answer, hashes) in lines.items():
            each = everyone.get(name)
            if each is None:
                continue
            if answer != each.answer:
                self.ledger.blame(f"The answer of {name} is not what was acknowledged: {answer!r}")
            if hashes != [sent.sha256 for sent in each.uploads]:
                self.ledger.blame(f"The files of {name} are not as they were sent.")

    # after a restart

    def audit(self) -> None:
        """What was acknowledged is there: of some submissions of each kind, and of every complete export."""
        kinds = {
            "left": self.ledger.select(is_left=True, erasing_at=False),
            "under way": self.ledger.select(is_left=False, submitting_at=False),
            "submitted": self.ledger.select(accepted_at=True, erasing_at=False),
            "erased": self.ledger.select(erased_at=True),
        }
        for kind, found in kinds.items():
            for promised in self.rng.sample(found, min(AUDITED, len(found))):
                self._audit(kind, promised)
                self.ledger.count("submissions looked at again")

    def _audit(self, kind: str, promised: Promised) -> None:
        """One submission; it may change, be submitted or erased meanwhile."""
        with self.ledger.lock:
            before = promised.answers
            offsets = {sent.url: sent.offset for sent in promised.uploads}
        answer = self.outside.request(
            "GET", promised.path, headers=promised.headers, expected=(200, 401, 404)
        )
        with self.ledger.lock:
            allowed = before | promised.answers
            erasing = promised.erasing_at is not None
        if answer.status_code != 200:
            if not erasing:
                self.ledger.blame(f"{promised.path} ({kind}) is answered with {answer.status_code}.")
            return
        if kind == "erased":
            self.ledger.blame(f"{promised.path} was erased, and is there.")
            return
        state = answer.json()
        value = (state["answers"].get(self.text_id) or {"value": None})["value"]
        if value not in allowed:
            self.ledger.blame(f"{promised.path} ({kind}) has the answer {value!r}, not one of {allowed}.")
        if kind == "submitted" and state["status"] not in ("AWAITING REVIEW", "APPROVED"):
            self.ledger.blame(f"{promised.path} was submitted, and is {state['status']}.")
        for url, offset in offsets.items():
            found = self.outside.request(
                "GET", url, headers={**promised.headers, **TUS}, expected=(200, 401, 404)
            )
            if found.status_code == 200 and found.json()["offset"] >= offset:
                continue
            if not promised.erasing_at:
                self.ledger.blame(
                    f"{url} ({kind}) had {offset} bytes: {found.status_code} {found.text[:200]}"
                )

    # the end

    def settle(self) -> dict[str, tuple[str | None, list[str]]] | None:
        """The final export, which holds exactly what the ledger says; nothing is stuck. Its lines."""
        answer = self.request_export(PATIENCE_SECONDS)
        data = self.download(answer)
        if data is None:
            self.ledger.blame("The final export was withdrawn, with nobody erasing.")
            return None
        lines = self.read(data)
        self.check(lines, time.time(), time.time())
        listed = self.outside.request("GET", self.export_path, expected=(200,)).json()
        # a bare array, or as it was: {"results": […]}
        kept = listed if isinstance(listed, list) else listed["results"]
        looked_at = self.rng.sample(range(len(kept)), min(AUDITED, len(kept)))
        for number, entry in enumerate(kept):
            if entry["status"] == "generating":
                self.ledger.blame(f"Export {entry['export_id']} is still generating, with nobody waiting.")
            elif entry["status"] == "failed":
                if "erased" not in entry["failure_reason"]:
                    self.ledger.blame(f"An export failed: {entry['failure_reason']}")
            elif number in looked_at:
                self._check_kept(entry["export_id"])
        self.ledger.counts["submissions in the final export"] = len(lines)
        return lines

    def _check_kept(self, export_id: str) -> None:
        """A complete export of earlier is still whole."""
        url = f"{self.export_path}/{export_id}"
        answer = self.outside.request("GET", url, expected=(200, 404)).json()
        if answer.get("status") == "complete":
            data = self.download(answer)
            if data is None:
                self.ledger.blame(f"Export {export_id} is complete, and can't be downloaded.")
            else:
                taken_at = datetime.fromisoformat(answer["snapshot_at"]).timestamp()
                self.check(self.read(data), taken_at, time.time())
                self.ledger.count("exports of earlier looked at again")
