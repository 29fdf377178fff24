"""An installation made by an earlier version, with a study under way, is taken over: nothing lost, nobody locked out.

The earlier version is the first one that was given to anybody, run from this repository's own history.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gates import wait_for
from tests.installation import FIELDPACK, Installation, environment
from tests.integration.rows import connected
from tests.proxy import Proxy
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Participant, Scenario, expect

EARLIER = "d5b09bade8799a4ca79b94102dc8043a1464efef"
ROOT = Path(__file__).parents[2]
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
FILM = PNG + hashlib.shake_128(b"film").digest(5_000_000)
HAVE = 3_000_000
ODD_IDS = [" spaced ", "zero\u200bwidth", "Zoe\u0308", "\u202dmarked\u202c"]
TWINS = ["ann", "ann\u200b"]
"""Two participants of today who are one when what can't be seen is left out."""
MAKE_LATE = """
import sys
from pathlib import Path
import psycopg
from fieldpack.server.db.embedded import open_embedded
with open_embedded(Path(sys.argv[1])) as held, psycopg.connect(held.url) as connection:
    connection.execute("UPDATE submissions SET deadline_at = now() - interval '1 minute' WHERE id = %s", [sys.argv[2]])
"""


@dataclass
class Study:
    """What the earlier version left behind, and what it promised to whom."""

    server: Installation
    network: Proxy
    scenario: Scenario
    folder: Path
    token: str
    second_token: str
    pages: dict[str, httpx.Cookies] = field(default_factory=dict)
    people: dict[str, Participant] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    upload_url: str = ""
    export: dict[str, Any] = field(default_factory=dict)
    archive: bytes = b""
    part_bytes: int = 0

    def browser(self, name: str) -> httpx.Client:
        """A browser with the cookies that this visitor had."""
        return make_browser(self.server, self.pages.get(name))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line of this version, as the researcher uses it from elsewhere."""
        return subprocess.run(
            [*FIELDPACK, *arguments],
            env=environment(PROLIFIC_TOKEN=self.token, PROLIFIC_URL=self.network.endpoint),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def make_browser(server: Installation, cookies: httpx.Cookies | None = None) -> httpx.Client:
    return httpx.Client(
        base_url=server.url,
        headers={"Origin": server.url, "Accept": "text/html"},
        cookies=cookies,
        follow_redirects=True,
        timeout=60,
        trust_env=False,
    )


def extract_earlier(folder: Path) -> Path:
    """The source of the earlier version; skips where there is no history to take it from."""
    if shutil.which("git") is None:
        pytest.skip("needs git, for the source of an earlier version")
    made = subprocess.run(
        ["git", "-C", str(ROOT), "archive", EARLIER, "src", "examples"], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"needs the history of this repository back to {EARLIER}: {made.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


@pytest.fixture(scope="module")
def study() -> Iterator[Study]:
    """A study under way that the earlier version began, in the hands of this one."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-upgrade-"))
    server = Installation(folder / "data")
    try:
        earlier = extract_earlier(folder / "earlier")
        server.settings["PYTHONPATH"] = str(earlier)
        server.start()
        with Proxy(server.port) as network:
            begun = begin(server, network, folder)
            server.stop()
            del server.settings["PYTHONPATH"]
            server.start()
            with server.client(begun.token) as api:
                begun.scenario.api = api
                for person in begun.people.values():
                    person.http = api
                yield begun
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def begin(server: Installation, network: Proxy, folder: Path) -> Study:
    """With the earlier version: participants in every state, an export, and what is half-way."""
    created = server.run(
        "token", "create", "--name", "second", "--researcher", "second@example.org", "--json"
    )
    second = json.loads(created.stdout)["token"]
    with server.client() as api:
        scenario = Scenario.create(api, FREE_TEXT, {**UPLOAD, "max_file_size_mb": 20})
        study = Study(server, network, scenario, folder, server.token, second)
        people = study.people

        people["started"] = scenario.start("started")
        for name in ("half", "submitted", "approved", "returned", "late", *ODD_IDS, *TWINS):
            people[name] = scenario.start(name)
            expect(people[name].answer(people[name].item(0), {"value": f"Answer of {name}"}), 200)
        for name in ("submitted", "approved", TWINS[0], TWINS[1], ODD_IDS[0]):
            people[name].upload(people[name].item(1), f"{name.strip()}.png", PNG + name.encode() * 300_000)
            people[name].submit()
        decision = {"action": "APPROVE"}
        expect(api.post(f"/submissions/{people['approved'].submission_id}/transition", json=decision), 200)
        returned = people["returned"]
        expect(api.post(f"{returned.path}/return", headers=returned.headers), 200)
        subprocess.run(
            [sys.executable, "-c", MAKE_LATE, str(server.data_dir), people["late"].submission_id],
            env=environment(**server.settings),
            check=True,
        )

        people["uploading"] = uploading = scenario.start("uploading")
        study.upload_url = begin_upload(uploading)

        with make_browser(server) as browser:
            data = {"participant_id": "on the page", "session_id": "page-session"}
            begun = browser.post(f"/participate/{scenario.study['id']}", data=data)
            assert begun.status_code == 200, begun.text
            study.pages["participant"] = httpx.Cookies(browser.cookies)
        with make_browser(server) as browser:
            signed_in = browser.post("/sign-in", data={"token": server.token, "next": "/researcher"})
            assert "Test collection" in signed_in.text
            study.pages["researcher"] = httpx.Cookies(browser.cookies)

        study.export = scenario.export()
        study.archive = scenario.download(study.export)
        for name, person in people.items():
            study.states[name] = expect(api.get(person.path, headers=person.headers), 200)
        assert study.states["late"]["status"] == "TIMED-OUT"

    synced = study_command(
        study, server, "collection", "sync", scenario.collection["id"], str(folder / "synced")
    )
    assert synced.wait(120) == 0
    network.hold(1_000_000, answers=True)
    part = folder / "archive.zip.part"
    downloading = study_command(
        study, server, "collection", "export", scenario.collection["id"], "-o", str(folder / "archive.zip")
    )
    network.wait_until_held()
    wait_for(lambda: part.exists() and part.stat().st_size > 500_000)
    os.kill(downloading.pid, signal.SIGKILL)
    downloading.wait()
    network.cut()
    study.part_bytes = part.stat().st_size
    return study


def study_command(study: Study, server: Installation, *arguments: str) -> subprocess.Popen[bytes]:
    """The command line of the earlier version."""
    access = {"PROLIFIC_TOKEN": study.token, "PROLIFIC_URL": study.network.endpoint}
    return subprocess.Popen([*FIELDPACK, *arguments], env=environment(**server.settings, **access))


def begin_upload(participant: Participant) -> str:
    """An upload of which the server has `HAVE` bytes."""
    import base64

    values = (("instruction_id", participant.item(1)), ("filename", "film.png"))
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values)
    headers = {**participant.headers, **TUS, "Upload-Length": str(len(FILM)), "Upload-Metadata": metadata}
    created = participant.http.post(f"{participant.path}/uploads", headers=headers)
    assert created.status_code == 201, created.text
    url = str(created.url.join(created.headers["Location"]))
    headers = {**participant.headers, **BYTES, "Upload-Offset": "0"}
    assert participant.http.patch(url, content=FILM[:HAVE], headers=headers).status_code == 204
    return url


def lines_of(archive: bytes) -> list[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return [json.loads(line) for line in opened.read("responses.jsonl").splitlines()]


# before anybody goes on: what there is


def test_tokens_are_known(study: Study) -> None:
    for token in (study.token, study.second_token):
        with study.server.client(token) as api:
            expect(api.get("/users/me"), 200)


def test_a_signed_in_researcher_stays_signed_in(study: Study) -> None:
    with study.browser("researcher") as browser:
        page = browser.get("/researcher")
        assert page.url.path == "/researcher"
        assert "Test collection" in page.text


def test_old_links_give_the_same_bytes(study: Study) -> None:
    answer = httpx.get(study.export["url"], trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert answer.content == study.archive


def test_an_export_is_never_stale(study: Study) -> None:
    """The one there is, or a new one: what it holds is what the server has."""
    export = study.scenario.export()
    archive = study.scenario.download(export)
    if export["export_id"] == study.export["export_id"]:
        assert archive == study.archive
    submissions = expect(study.scenario.api.get(f"/studies/{study.scenario.study['id']}/submissions"), 200)
    known = {each["id"]: each["participant_id"] for each in submissions["results"]}
    lines = lines_of(archive)
    assert {line["submission_id"]: line["participant_id"] for line in lines}.items() <= known.items()
    before = {line["submission_id"]: line["responses"] for line in lines_of(study.archive)}
    assert {line["submission_id"]: line["responses"] for line in lines} == before


@pytest.mark.parametrize(
    "name", ["started", "half", "submitted", "approved", "returned", "late", "uploading", *ODD_IDS, *TWINS]
)
def test_what_participants_gave_is_there(study: Study, name: str) -> None:
    person = study.people[name]
    state = expect(person.http.get(person.path, headers=person.headers), 200)
    before = study.states[name]
    for key in ("submission_id", "status", "answers", "files"):
        assert state[key] == before[key], key


def test_synced_folders_are_taken_over(study: Study) -> None:
    collection = study.scenario.collection["id"]
    done = study.command("collection", "sync", collection, str(study.folder / "synced"), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["removed"] == 0
    # at most the three heads are new: when ids were made plain, they are
    assert report["fetched"] <= 3, report
    assert report["unchanged"] >= 5, report


def test_a_download_under_way_is_finished(study: Study) -> None:
    before = served_bytes(study.server)
    target = study.folder / "archive.zip"
    done = study.command("collection", "export", study.scenario.collection["id"], "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert lines_of(target.read_bytes())
    assert list(target.parent.glob("archive.zip.*")) == []
    if target.read_bytes() == study.archive:
        wait_for(lambda: served_bytes(study.server) - before >= len(study.archive) - study.part_bytes)
        assert served_bytes(study.server) - before < len(study.archive)


def served_bytes(server: Installation) -> float:
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    found = [line for line in text.splitlines() if line.startswith("fieldpack_archive_bytes_served_total ")]
    return float(found[0].split()[1]) if found else 0.0


# participants go on


def test_an_upload_goes_on_where_it_was(study: Study) -> None:
    person = study.people["uploading"]
    head = person.http.head(study.upload_url, headers={**person.headers, **TUS})
    assert int(head.headers["Upload-Offset"]) == HAVE
    headers = {**person.headers, **BYTES, "Upload-Offset": str(HAVE)}
    assert person.http.patch(study.upload_url, content=FILM[HAVE:], headers=headers).status_code == 204
    found = expect(person.http.get(study.upload_url, headers=person.headers), 200)
    assert (found["status"], found["sha256"]) == ("complete", hashlib.sha256(FILM).hexdigest())
    expect(person.answer(person.item(0), {"value": "With a film"}), 200)
    assert person.submit()["status"] == "AWAITING REVIEW"


def test_a_page_goes_on(study: Study) -> None:
    with study.browser("participant") as browser:
        page = browser.get(f"/participate/{study.scenario.study['id']}?PROLIFIC_PID=on the page")
        assert page.status_code == 200
        assert "/participate/submissions/" in page.url.path, page.text
        assert page.url.path.endswith("/1")


@pytest.mark.parametrize("name", ["started", "half", *ODD_IDS, *TWINS])
def test_the_same_link_finds_the_same_submission(study: Study, name: str) -> None:
    """By id and session, as a participant who comes by the link again."""
    again = study.scenario.start(name)
    mine = {study.people[name].submission_id}
    if name in TWINS:  # they are one person now, who has two
        mine = {study.people[twin].submission_id for twin in TWINS}
    assert again.submission_id in mine
    old = study.people[name]
    expect(old.http.get(old.path, headers=old.headers), 200)


@pytest.mark.parametrize("name", ["started", "half", *ODD_IDS[1:], "late"])
def test_they_can_finish(study: Study, name: str) -> None:
    person = study.people[name]
    expect(person.answer(person.item(0), {"value": "Finished later"}), 200)
    assert person.submit()["status"] == ("TIMED-OUT" if name == "late" else "AWAITING REVIEW")


def test_everyone_is_in_the_last_export(study: Study) -> None:
    """After all of the above, and counted by PostgreSQL itself."""
    export = study.scenario.export()
    lines = lines_of(study.scenario.download(export))
    with connected(study.server) as database:
        active = database.execute(
            "SELECT id::text FROM submissions WHERE response = 'active' AND study_id = %s",
            [study.scenario.study["id"]],
        ).fetchall()
    assert {line["submission_id"] for line in lines} == {row[0] for row in active}
    names = ["submitted", "approved", *TWINS, *ODD_IDS, "uploading", "started", "half", "late"]
    assert {line["submission_id"] for line in lines} == {study.people[name].submission_id for name in names}
