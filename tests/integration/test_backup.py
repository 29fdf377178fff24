"""Backups: everything comes back, from any kind of installation into any other, as docs/operations.md tells it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest

from fieldpack.cli import main
from fieldpack.server.db.embedded.server import open_embedded
from tests.bucket import Bucket
from tests.files_there import iter_contents
from tests.foreign import ForeignPostgres, foreign_postgres
from tests.forked import Done, run_program
from tests.gates import wait_for
from tests.installation import FIELDPACK, Installation, environment, installed
from tests.lengths import length
from tests.pictures import make_drawing, save
from tests.refusals import refused
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Participant, Scenario, expect

ROOT = Path(__file__).parents[2]
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[ForeignPostgres]:
    with foreign_postgres() as made:
        yield made


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach, too."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Filled:
    """An installation with a study under way."""

    server: Installation
    scenario: Scenario
    export: dict[str, Any]
    archive: bytes
    under_way: Participant
    upload: str
    picture: tuple[str, bytes]

    @property
    def facts(self) -> dict[str, Any]:
        return facts_of(self.server, self.scenario)


def fill(server: Installation, api: httpx.Client) -> Filled:
    """Submitted, erased and unfinished submissions, an upload under way, an export whose link was handed out."""
    workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    data = save(make_drawing(), "JPEG")
    url = expect(api.post(f"/workspaces/{workspace}/pictures", content=data), 201)["url"]
    scenario = Scenario.create(api, FREE_TEXT, UPLOAD, {"type": "image", "url": url, "alt_text": "A drawing"})
    one = scenario.take_part("one", "Fine", [("photo.png", PNG), ("more.png", PNG + b"more")])
    correct(scenario, one)
    expect(api.delete(f"/submissions/{scenario.take_part('gone', 'Gone', [('gone.png', PNG)])}"), 204)
    scenario.take_part("two", "Well", [("photo.png", PNG + b"two")])
    under_way = scenario.start("three")
    expect(under_way.answer(under_way.item(0), {"value": "begun"}), 200)
    under_way.upload(under_way.item(1), "done.png", PNG + b"done")
    upload = begin_upload(under_way)
    export = scenario.export(history="true")
    return Filled(server, scenario, export, scenario.download(export), under_way, upload, (url, data))


def correct(scenario: Scenario, submission_id: str) -> None:
    """An answer and a file become others."""
    api = scenario.api
    responses = expect(api.get(f"/submissions/{submission_id}/response"), 200)["responses"]
    questions = {
        answer["type"]: question for question, answer in responses.items()
    }  # which come in any order
    files = responses[questions["file_upload"]]
    path = f"/submissions/{submission_id}/corrections"
    body = {"instruction_id": questions["free_text"], "answer": {"value": "Corrected"}, "reason": "As told."}
    expect(api.post(path, json=body), 201)
    key = files["value"][0]["file_key"]
    sent = {"file": ("other.png", PNG + b"other")}
    expect(api.post(f"{path}/files/{key}", data={"reason": "Blurred."}, files=sent), 201)


def begin_upload(participant: Participant) -> str:
    """An upload of 1,000 bytes, 100 of which have arrived; its path."""
    import base64

    metadata = ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}"
        for key, value in (("instruction_id", participant.item(1)), ("filename", "half.png"))
    )
    created = participant.http.post(
        f"{participant.path}/uploads",
        headers={**participant.headers, **TUS, "Upload-Length": "1000", "Upload-Metadata": metadata},
    )
    assert created.status_code == 201, created.text
    url = str(created.url.join(created.headers["Location"]))
    sent = participant.http.patch(
        url,
        content=PNG + bytes(100 - len(PNG)),
        headers={
            **participant.headers,
            **TUS,
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        },
    )
    assert sent.status_code == 204, sent.text
    return urlsplit(url).path


def facts_of(server: Installation, scenario: Scenario) -> dict[str, Any]:
    """Everything that can be asked about the scenario, counters included."""
    api = scenario.api
    collection = f"/data-collection/collections/{scenario.collection['id']}"
    study = f"/studies/{scenario.study['id']}"
    submissions = expect(api.get(f"{study}/submissions"), 200)
    return {
        **rows_of(server, scenario),
        "corrections": [
            expect(api.get(f"/submissions/{each['id']}/corrections"), 200) for each in submissions["results"]
        ],
        "collection": expect(api.get(collection, headers={"Host": "any.example"}), 200),
        "responses": expect(api.get(f"{collection}/responses"), 200),
        "submissions": submissions,
        "counts": expect(api.get(f"{study}/submissions/counts"), 200),
        "exports": [
            {key: value for key, value in export.items() if key not in ("url", "expires_at")}
            for export in results_of(expect(api.get(f"{collection}/export"), 200))
        ],
    }


def rows_of(server: Installation, scenario: Scenario) -> dict[str, Any]:
    """What only the database tells."""
    with database_of(server) as database:
        return {
            "counters": database.execute(
                "SELECT counter FROM collection_changes WHERE collection_id = %s", [scenario.collection["id"]]
            ).fetchall(),
            "places": database.execute(
                "SELECT places_taken, upload_bytes FROM studies WHERE id = %s", [scenario.study["id"]]
            ).fetchall(),
            "tokens": {row[0] for row in database.execute("SELECT id FROM tokens").fetchall()},
        }


def results_of(answer: Any) -> list[Any]:
    found: list[Any] = answer if isinstance(answer, list) else answer["results"]
    return found


@contextmanager
def database_of(server: Installation) -> Iterator[psycopg.Connection[Any]]:
    if "FIELDPACK_DATABASE_URL" in server.settings:
        with psycopg.connect(server.settings["FIELDPACK_DATABASE_URL"], autocommit=True) as connection:
            yield connection
        return
    with open_embedded(server.data_dir) as held, psycopg.connect(held.url, autocommit=True) as connection:
        yield connection
    held.wait_stopped()


def at(server: Installation, url: str) -> str:
    """The same link on another server: only its host is not signed."""
    parts = urlsplit(url)
    return parts._replace(netloc=urlsplit(server.url).netloc).geturl()


def check_restored(
    filled: Filled, facts: dict[str, Any], restored: Installation, token: str, *, keys: bool
) -> None:
    """The restored server has all that there was, and goes on."""
    with restored.client(token) as api:
        again = Scenario(api, filled.scenario.collection, filled.scenario.study)
        found = facts_of(restored, again)
        assert {**found, "tokens": None} == {**facts, "tokens": None}
        assert facts["tokens"] <= found["tokens"]
        answer = httpx.get(at(restored, filled.export["url"]), trust_env=False)
        if keys:
            assert answer.content == filled.archive
        else:
            refused(answer, 403)
        state = expect(api.get(f"{again.export_path}/{filled.export['export_id']}"), 200)
        assert again.download(state) == filled.archive
        url, picture = filled.picture
        assert httpx.get(at(restored, url), trust_env=False).content == picture
        # who was on the way goes on; the upload under way begins anew, and no offset promises bytes
        headers = {**filled.under_way.headers, **TUS}
        head = httpx.head(f"{restored.url}{filled.upload}", headers=headers, trust_env=False)
        assert (head.status_code, head.headers["Upload-Offset"]) == (200, "0")
        expect(api.delete(f"{restored.url}{filled.upload}", headers=headers), 204)
        participant = Participant(
            api, filled.under_way.submission_id, filled.under_way.token, filled.under_way.state
        )
        participant.upload(participant.item(1), "new.png", PNG + b"new")
        participant.submit()
        again.take_part("four", "Later", [("four.png", PNG)])
        later = again.export()
        assert later["submission_count"] == 4
        assert again.download(later)


def run(arguments: Sequence[str | Path], data_dir: Path | None = None, **settings: str) -> Done:
    more = {"FIELDPACK_DATA_DIR": str(data_dir)} if data_dir else {}
    return run_program(arguments, more | settings)


def run_json(server: Installation, *arguments: str, **settings: str) -> Any:
    done = run([*arguments, "--json"], server.data_dir, **server.settings, **settings)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def call(*arguments: str | Path) -> int:
    """The exit code of the program."""
    return run(arguments).code


@pytest.mark.parametrize(
    ("source", "target", "way", "keys"),
    [
        ("embedded+files", "foreign+bucket", "folder", True),
        ("foreign+bucket", "embedded+files", "stream", False),
        ("foreign+bucket", "foreign+files", "folder", False),
        ("embedded+bucket", "embedded+bucket", "stream", True),
    ][: length(2, 4)],
)
def test_everything_comes_back_from_any_kind_into_any_other(
    postgres: ForeignPostgres, bucket: Bucket, place: Path, source: str, target: str, way: str, keys: bool
) -> None:
    def settings_of(kind: str) -> dict[str, str]:
        settings = {}
        if "foreign" in kind:
            settings["FIELDPACK_DATABASE_URL"] = postgres.create()
        if "bucket" in kind:
            settings |= bucket.environment | {"FIELDPACK_STORAGE_URL": bucket.url(f"backup/{uuid4()}")}
        return settings

    options = ["--keys"] if keys else []
    with installed(**settings_of(source)) as server, server.client() as api:
        filled = fill(server, api)
        facts, token = filled.facts, server.token
        if way == "folder":
            done = run(["backup", str(place / "backups"), *options], server.data_dir, **server.settings)
            kept = str(place / "backups")
        else:
            done = run(["backup", "-", *options], server.data_dir, **server.settings)
            (place / "backup.tar").write_bytes(done.stdout)
            kept = str(place / "backup.tar")
        assert done.code == 0, done.stderr
        filled.scenario.take_part("later")
    assert call("backup", "verify", kept) == 0
    restored = Installation(place / "restored", settings=settings_of(target))
    try:
        done = run(["restore", kept], restored.data_dir, **restored.settings)
        assert done.code == 0, done.stderr
        assert (b"new ones sign" in done.stdout) is (not keys)
        # nothing that was put back is swept, however short the patience
        swept = run(["sweep"], restored.data_dir, **restored.settings, FIELDPACK_ORPHAN_HOURS="0.000001")
        assert swept.code == 0, swept.stderr
        # small pictures are in no backup: they are made again
        assert not (restored.data_dir / "storage" / "thumbnails").exists()
        restored.start()
        check_restored(filled, facts, restored, token, keys=keys)
        again = run(["restore", kept], restored.data_dir, **restored.settings)
        assert (again.code, "is not empty" in again.stderr) == (1, True), again.stderr
    finally:
        restored.stop()


# what the documentation says


def blocks_of(heading: str) -> list[str]:
    """The shell lines of a part of docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text()
    part = re.split(r"^## ", text.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    return re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE)


def test_the_documented_procedures(postgres: ForeignPostgres, bucket: Bucket, place: Path) -> None:
    blocks = iter(blocks_of("Backup and restore"))
    programs = place / "programs"
    programs.mkdir()
    (programs / "fieldpack").write_text(f'#!/bin/sh\nexec {sys.executable} -m fieldpack "$@"\n')
    (programs / "fieldpack").chmod(0o755)
    shell = environment(
        PATH=f"{programs}:{os.environ['PATH']}",
        BACKUPS=str(place / "backups"),
        NEW_DATABASE_URL=postgres.create(),
        NEW_STORAGE_URL=bucket.url(f"backup/{uuid4()}"),
        **bucket.environment,
    )

    def follow() -> None:
        done = subprocess.run(
            ["sh", "-e", "-c", next(blocks)],
            cwd=place,
            env=shell,
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr

    def check(folder: str, **settings: str) -> None:
        restored = Installation(place / folder, settings=settings)
        try:
            restored.start()
            check_restored(filled, facts, restored, token, keys=True)
        finally:
            restored.stop()

    def blobs_below(folder: Path) -> set[str]:
        return {path.name for path in (folder / "blobs").rglob("*-*")}

    def look(folder: str) -> None:
        """Without starting it: the other ways of the same are tested at length above."""
        found = rows_of(Installation(place / folder), filled.scenario)
        assert {**found, "tokens": facts["tokens"] & found["tokens"]} == {name: facts[name] for name in found}
        assert blobs_below(place / "backups") <= blobs_below(place / folder / "storage")

    server = Installation(place / "fieldpack-data").start()
    try:
        with server.client() as api:
            filled = fill(server, api)
            facts, token = filled.facts, server.token
        follow()  # into a folder
        follow()  # as a stream
    finally:
        server.stop()
    follow()  # into a new data folder
    look("new-data")
    shutil.rmtree(place / "new-data")
    follow()  # from the stream
    look("new-data")
    follow()  # into a PostgreSQL and a bucket
    used = {name.removeprefix("NEW_"): shell[name] for name in ("NEW_DATABASE_URL", "NEW_STORAGE_URL")}
    check("elsewhere", **bucket.environment, **{f"FIELDPACK_{name}": value for name, value in used.items()})
    shutil.rmtree(place / "fieldpack-data" / "storage" / "blobs")  # some files are lost as well
    follow()  # only the database, and what is missing
    look("fieldpack-data")
    follow()  # the stopped folder as it is
    check("copied-data")
    assert next(blocks, None) is None


# whole, or not at all


@pytest.fixture(scope="module")
def filled() -> Iterator[Filled]:
    """An installation that is only read."""
    with installed() as server, server.client() as api:
        yield fill(server, api)


def test_one_that_was_cut_short_is_never_taken_for_whole(filled: Filled, place: Path) -> None:
    data = {"FIELDPACK_DATA_DIR": str(filled.server.data_dir)}
    counted = run_program(["backup", str(place / "counted")], data, dying_at=0)
    assert counted.code == 0, counted.stderr
    steps = int(counted.stderr.split()[-1])
    points = sorted({max(1, steps * n // 9) for n in range(8)} | {steps - 1, steps - 3})
    assert len(points) >= 10
    for step in points:
        folder = place / f"cut-{step}"
        died = run_program(["backup", str(folder)], data, dying_at=step)
        assert died.code == -9, (step, steps, died.stderr)
        whole = list((folder / "backups").glob("*")) if (folder / "backups").is_dir() else []
        if whole:  # killed after the one step that makes it count: then it is whole
            assert call("backup", "verify", folder) == 0
            continue
        assert call("backup", "verify", folder) in (1, 2), step
        assert call("restore", folder, "--data-dir", place / "never") in (1, 2), step
        assert not (place / "never").exists()
        assert call("backup", folder, "--data-dir", filled.server.data_dir) == 0
        assert call("backup", "verify", folder) == 0
        assert list((folder / "partial").iterdir()) == []


def test_a_stream_that_was_cut_short_is_never_taken_for_whole(filled: Filled, place: Path) -> None:
    made = run(["backup", "-"], filled.server.data_dir)
    assert made.code == 0, made.stderr
    # what follows the end of a tar file is padding
    end = made.stdout.rindex(b"}\n") + 1
    kept = place / "backup.tar"
    for size in [end * n // 10 for n in range(10)] + [end - 1]:
        kept.write_bytes(made.stdout[:size])
        assert call("backup", "verify", kept) == 1, size
    for size in (end // 2, end - 1):
        kept.write_bytes(made.stdout[:size])
        done = run(["restore", str(kept), "--data-dir", str(place / f"to-{size}")])
        assert (done.code, "not whole" in done.stderr) == (1, True), done.stderr
        served = run(["serve", "--data-dir", str(place / f"to-{size}"), "--port", "0"])
        assert (served.code, "has not come to its end" in served.stderr) == (1, True), served.stderr
    kept.write_bytes(made.stdout)
    assert call("backup", "verify", kept) == 0


def test_a_restore_that_was_cut_short_goes_on_and_nothing_starts_meanwhile(
    filled: Filled, place: Path
) -> None:
    backups, target = str(place / "backups"), place / "restored"
    assert run(["backup", backups, "--keys"], filled.server.data_dir).code == 0
    counted = run_program(["restore", backups, "--data-dir", str(place / "counted")], dying_at=0)
    assert counted.code == 0, counted.stderr
    steps = int(counted.stderr.split()[-1])
    begun = False
    for step in [steps * n // 5 for n in range(1, 5)] + [steps - 1]:
        died = run_program(["restore", backups, "--data-dir", str(target)], dying_at=step)
        assert died.code in (-9, 0), died.stderr
        if died.code == 0:  # what was there already saved it so many steps
            break
        begun = begun or (target / "storage" / "installation.json").exists()
        if begun:
            for command in ("serve", "worker"):
                started = run([command, "--data-dir", str(target)])
                assert (started.code, "run the same" in started.stderr) == (1, True), started.stderr
    else:
        done = run(["restore", backups, "--data-dir", str(target)])
        assert done.code == 0, done.stderr
    assert begun
    assert not list((target / "tmp").glob("restore-*"))
    restored = Installation(target)
    try:
        restored.start()
        check_restored(filled, filled.facts, restored, filled.server.token, keys=True)
    finally:
        restored.stop()


def test_damage_is_found_and_nothing_damaged_is_restored(filled: Filled, place: Path) -> None:
    backups = place / "backups"
    assert call("backup", backups, "--data-dir", filled.server.data_dir) == 0
    [name] = [path.name for path in (backups / "backups").iterdir()]
    blobs = sorted((backups / "blobs").rglob("*-*"))
    victims = [
        blobs[0],
        *sorted((backups / "exports").rglob("index")),
        *sorted((backups / "backups" / name).iterdir()),
    ]
    for victim in victims:
        data = victim.read_bytes()
        for harm in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], None):
            victim.unlink()
            if harm is not None:
                victim.write_bytes(harm)
            if harm is not None and victim.name == "manifest.json" and len(harm) == len(data) - 1:
                assert call("backup", "verify", backups) == 0  # the last line break says nothing
            else:
                assert call("backup", "verify", backups) == 1, victim
                if harm is None or victim not in blobs:
                    assert call("restore", backups, "--data-dir", place / uuid4().hex) == 1
            victim.write_bytes(data)
    assert call("backup", "verify", backups, "--quick") == 0
    # a file that rotted in the folder is copied again once it is removed, for every backup that has it
    blobs[0].write_bytes(bytes(blobs[0].stat().st_size))
    assert call("backup", "verify", backups) == 1
    blobs[0].unlink()
    assert call("backup", backups, "--data-dir", filled.server.data_dir) == 0
    assert call("backup", "verify", backups) == 0


def test_what_a_strangers_backup_is_called_does_not_act_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = {
        "name": "\x1b[2J\x9b\u202ea",
        "installation": None,
        "schema": "1",
        "postgres": 18,
        "dumped_by": 18,
        "format": 1,
    }
    data = json.dumps(head).encode()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("backup.json")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    assert main(["backup", "verify", str(tmp_path / "a.tar")]) == 1
    shown = capsys.readouterr()
    assert "NOT whole" in shown.out
    assert all(line.isprintable() for line in (shown.out + shown.err).splitlines())


# what storage lost, what went meanwhile


def test_files_that_storage_lost_are_named(place: Path) -> None:
    with installed() as server, server.client() as api:
        fill(server, api)
        blobs = sorted(
            (server.data_dir / "storage" / "blobs").rglob("*-*"), key=lambda path: path.stat().st_size
        )
        blobs = [path for path in blobs if path.stat().st_size in (len(PNG), len(PNG) + 3)]
        blobs[0].unlink()
        data = blobs[1].read_bytes()
        blobs[1].write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        for target in (str(place / "backups"), "-"):
            done = run(["backup", target], server.data_dir)
            assert done.code == 3, done.stderr
            assert f"{blobs[0].name} is missing" in done.stderr
            assert f"{blobs[1].name} is damaged" in done.stderr
            (place / "backup.tar").write_bytes(done.stdout)
        for kept in ("backups", "backup.tar"):
            assert call("backup", "verify", place / kept) == 3
            done = run(["restore", str(place / kept), "--data-dir", str(place / f"from-{kept}")])
            assert done.code == 3, done.stderr


@pytest.mark.parametrize("way", ["folder", "stream"])
def test_who_is_erased_while_a_backup_is_made_is_in_no_restore(place: Path, way: str) -> None:
    """The dump has the rows already; files, and the person, must not come back all the same."""
    from fieldpack.server.backup.making import back_up_to_folder, back_up_to_stream
    from fieldpack.server.config import load_settings

    with installed() as server, server.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("stays", "Stays", [("stays.png", PNG)])
        erased = scenario.take_part("leaves", "Leaves", [("leaves.png", PNG + b"leaves")])
        participant = scenario.start("changes")
        removed = participant.upload(participant.item(1), "removed.png", PNG + b"removed")
        participant.upload(participant.item(1), "kept.png", PNG + b"kept")
        told: list[str] = []

        def tell(step: str, done: int, total: int) -> None:
            if step == "database" and not told:
                told.append(step)
                expect(api.delete(f"/submissions/{erased}"), 204)
                headers = {**participant.headers, **TUS}
                assert api.delete(removed, headers=headers).status_code == 204

        settings = load_settings(data_dir=server.data_dir)
        if way == "folder":
            made = back_up_to_folder(
                settings, place / "kept", keys=True, keep=None, keep_days=None, tell=tell
            )
        else:
            with (place / "kept").open("wb") as out:
                made = back_up_to_stream(settings, out, keys=True, tell=tell)
        assert made.manifest.counts["submissions"] == 3
        assert {entry.reason for entry in made.manifest.absent} == {"removed"}
        assert made.manifest.lost == []
        token = server.token
    assert call("backup", "verify", place / "kept") == 0
    done = run(["restore", str(place / "kept"), "--data-dir", str(place / "restored")])
    assert done.code == 0, done.stderr
    restored = Installation(place / "restored")
    try:
        restored.start()
        with restored.client(token) as api:
            again = Scenario(api, scenario.collection, scenario.study)
            refused(api.get(f"/submissions/{erased}"), 404)
            state = expect(
                api.get(f"/participate/submissions/{participant.submission_id}", headers=participant.headers),
                200,
            )
            assert [file["file_name"] for file in state["files"]] == ["kept.png"]
            assert again.export()["submission_count"] == 1
    finally:
        restored.stop()


def find_on_disk(folder: Path, markers: list[bytes]) -> list[str]:
    return [str(path) for path, data in iter_contents(folder) if any(marker in data for marker in markers)]


@pytest.mark.parametrize("listed", ["beside the backups", "in a file"])
def test_who_was_erased_since_stays_erased(place: Path, listed: str) -> None:
    backups, listing = place / "backups", place / "erased.txt"
    settings = {"FIELDPACK_ERASURE_LIST": str(listing)} if listed == "in a file" else {}
    person, secret, content = (uuid4().hex for _ in range(3))
    with installed(**settings) as server, server.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("stays", "Stays", [("stays.png", PNG)])
        erased = scenario.take_part(person, secret, [("leaves.png", PNG + content.encode())])
        export = scenario.export()
        assert call("backup", backups, "--keys", "--data-dir", server.data_dir) == 0
        expect(api.delete(f"/submissions/{erased}"), 204)
        if listed == "in a file":
            assert erased in listing.read_text()  # as soon as it is answered
            (backups / "erasures.txt").unlink()
        else:
            deadline = time.monotonic() + 60
            while erased not in (backups / "erasures.txt").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.1)
        token = server.token
    options = ["--erasures", str(listing)] if settings else []
    restored = Installation(place / "restored")
    done = run(["restore", str(backups), *options], restored.data_dir)
    assert (done.code, b"Erased again: 1" in done.stdout) == (0, True), (done.stdout, done.stderr)
    assert find_on_disk(restored.data_dir, [text.encode() for text in (person, secret, content)]) == []
    try:
        restored.start()
        with restored.client(token) as api:
            again = Scenario(api, scenario.collection, scenario.study)
            refused(api.get(f"/submissions/{erased}"), 404)
            refused(httpx.get(at(restored, export["url"]), trust_env=False), 410)
            after = again.export()
            assert (after["submission_count"], after["file_count"]) == (1, 1)
            # and the list is carried on: the next backup's restore knows, too
            (backups / "erasures.txt").unlink(missing_ok=True)
            assert call("backup", backups, "--data-dir", restored.data_dir) == 0
            assert erased in (backups / "erasures.txt").read_text()
        assert find_on_disk(restored.data_dir, [text.encode() for text in (person, secret, content)]) == []
    finally:
        restored.stop()


# thinning out


def test_old_backups_go_with_the_files_that_only_they_had(place: Path) -> None:
    backups = place / "backups"
    with installed() as server, server.client() as api:
        scenario = Scenario.create(api)
        erased = scenario.take_part("leaves", "Leaves", [("leaves.png", PNG + b"leaves")])
        for _ in range(2):
            assert call("backup", backups, "--data-dir", server.data_dir) == 0
        scenario.take_part("stays", "Stays", [("stays.png", PNG)])
        before = {path.name: path.stat().st_ino for path in (backups / "blobs").rglob("*-*")}
        expect(api.delete(f"/submissions/{erased}"), 204)
        done = run_json(server, "backup", str(backups), "--keep", "2")
        assert len(done["removed"]) == 1
        after = {path.name: path.stat().st_ino for path in (backups / "blobs").rglob("*-*")}
        assert before.items() < after.items()  # copied once; those of another backup stay
        assert len(run_json(server, "backup", "list", str(backups))) == 2
        pruned = run_json(server, "backup", "prune", str(backups), "--keep", "1")
        assert (len(pruned["removed"]), pruned["objects_removed"]) == (1, 1)
        assert not find_on_disk(backups, [PNG + b"leaves"])
        assert call("backup", "verify", backups) == 0
        assert run_json(server, "backup", "prune", str(backups), "--keep-days", "1")["removed"] == []


# database and storage know each other


def test_nothing_starts_fresh_beside_the_files_of_a_lost_database(place: Path) -> None:
    with installed() as server, server.client() as api:
        filled = fill(server, api)
        facts, token = filled.facts, server.token
        assert run(["backup", str(place / "backups"), "--keys"], server.data_dir).code == 0
        server.stop()
        shutil.rmtree(server.data_dir / "postgres")
        marker = server.data_dir / "storage" / "installation.json"
        content = marker.read_bytes()
        for kept in (content, None):  # installations of before have no marker
            if kept is None:
                marker.unlink()
            for command in (
                ["serve", "--port", "0"],
                ["worker"],
                ["token", "create", "--name", "new"],
                ["sweep"],
            ):
                done = run(command, server.data_dir)
                assert (done.code, "the database that knows them is missing" in done.stderr) == (
                    1,
                    True,
                ), (
                    command,
                    done.stderr,
                )
        done = run(["restore", str(place / "backups")], server.data_dir)
        assert (done.code, "--reuse-storage" in done.stderr) == (1, True)
        done = run(["restore", str(place / "backups"), "--reuse-storage"], server.data_dir)
        assert done.code == 0, done.stderr
        server.start()
        check_restored(filled, facts, server, token, keys=True)


def test_a_database_and_a_storage_of_two_installations(place: Path) -> None:
    with installed() as one:
        one.stop()
        with installed() as two:
            two.stop()
            done = run(
                ["serve", "--port", "0"],
                one.data_dir,
                FIELDPACK_STORAGE_URL=(two.data_dir / "storage").as_uri(),
            )
            assert (done.code, "of installation" in done.stderr) == (1, True), done.stderr


def test_files_younger_than_a_database_that_was_taken_back_are_not_swept(place: Path) -> None:
    short = {"FIELDPACK_ORPHAN_HOURS": "0.000001"}
    with installed() as server, server.client() as api:
        scenario = Scenario.create(api)
        server.stop()
        subprocess.run(["cp", "-a", str(server.data_dir / "postgres"), str(place / "postgres")], check=True)
        server.start()  # which counts on in both
        with server.client() as again:
            Scenario(again, scenario.collection, scenario.study).take_part(
                "later", files=[("later.png", PNG)]
            )
        server.stop()
        shutil.rmtree(server.data_dir / "postgres")
        subprocess.run(["cp", "-a", str(place / "postgres"), str(server.data_dir / "postgres")], check=True)
        blobs = list((server.data_dir / "storage" / "blobs").rglob("*-*"))
        assert run_json(server, "sweep", **short)["objects_orphaned"] == 0
        assert all(blob.exists() for blob in blobs)
        found = run_json(server, "sweep", "--after-restore", "--dry-run", **short)
        assert found["objects_orphaned"] >= len(blobs) > 0
        run_json(server, "sweep", "--after-restore", **short)
        assert not any(blob.exists() for blob in blobs)


# versions


def test_a_backup_of_an_older_schema_is_brought_up_to_date(postgres: ForeignPostgres, place: Path) -> None:
    from fieldpack.server.db import migrate as runner

    scripts = place / "migrations"
    shutil.copytree(Path(runner.__file__).with_name("migrations"), scripts)
    for path in (scripts / "versions").glob("0*.py"):
        if path.name[:4] > "0002":
            path.unlink()
    url = postgres.create()
    runner.migrate(url, migrations=scripts)
    with psycopg.connect(url) as connection:
        workspace, collection, study, researcher = (uuid4() for _ in range(4))
        connection.execute("INSERT INTO workspaces (id, title) VALUES (%s, 'Old')", [workspace])
        connection.execute("INSERT INTO researchers (id, email) VALUES (%s, 'a@b')", [researcher])
        connection.execute(
            "INSERT INTO collections (id, workspace_id, name, created_by) VALUES (%s, %s, 'Old', %s)",
            [collection, workspace, researcher],
        )
        connection.execute(
            "INSERT INTO collection_versions (collection_id, version, body) VALUES (%s, 1, '{}')",
            [collection],
        )
        connection.execute(
            "INSERT INTO studies (id, workspace_id, collection_id, created_by, name, total_available_places)"
            " VALUES (%s, %s, %s, %s, 'Old', 5)",
            [study, workspace, collection, researcher],
        )
        connection.execute(
            "INSERT INTO submissions (id, study_id, collection_id, collection_version, ordinal, response, erased_at)"
            " VALUES (gen_random_uuid(), %s, %s, 1, 1, 'deleted', now())",
            [study, collection],
        )
    backups = place / "backups"
    done = run(["backup", str(backups)], place / "data", FIELDPACK_DATABASE_URL=url)
    assert done.code == 0, done.stderr
    assert len((backups / "erasures.txt").read_text().splitlines()) == 1
    with psycopg.connect(url) as connection:  # the backup before an upgrade changes nothing
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]
    done = run(["restore", str(backups), "--data-dir", str(place / "restored")])
    assert done.code == 0, done.stderr
    restored = Installation(place / "restored")
    with database_of(restored) as database:
        assert database.execute("SELECT title FROM workspaces").fetchall() == [("Old",)]
        assert database.execute("SELECT count(*) FROM installation").fetchall() == [(1,)]
    assert len(list((place / "restored" / "storage" / "erasures").iterdir())) == 1


def test_a_backup_of_a_newer_fieldpack_is_refused(filled: Filled, place: Path) -> None:
    backups = place / "backups"
    assert call("backup", backups, "--data-dir", filled.server.data_dir) == 0
    [manifest] = (backups / "backups").rglob("manifest.json")
    text = manifest.read_text()
    for newer in (
        re.sub(r'"schema": "\d+"', '"schema": "9999"', text),
        text.replace('"format": 2', '"format": 3'),
    ):
        assert newer != text
        manifest.write_text(newer)
        done = run(["restore", str(backups), "--data-dir", str(place / "restored")])
        assert (done.code, "newer fieldpack" in done.stderr) == (1, True), done.stderr
    assert not (place / "restored" / "storage" / "installation.json").exists()


# what makes no sense


def test_what_can_not_be_is_said_in_a_sentence(filled: Filled, place: Path) -> None:
    (place / "other").mkdir()
    (place / "other" / "notes.txt").write_text("mine")
    (place / "empty").mkdir()
    inside = filled.server.data_dir / "backups"
    cases: list[tuple[list[str], int, str]] = [
        (["backup", str(inside)], 2, "on another disk"),
        (["backup", str(place / "other")], 2, "folder of"),
        (["backup", "-", "--keep", "2"], 2, "nothing to thin out"),
        (["backup", "prune", str(place / "empty"), "--keep", "1"], 2, "no backups"),
        (["backup", "prune", str(place / "empty")], 2, "--keep"),
        (["backup"], 2, "DIR"),
        (["backup", "verify", str(place / "empty")], 1, "no whole backup"),
        (["backup", "verify", str(place / "other" / "notes.txt")], 1, "no backup of fieldpack"),
        (["backup", "verify", str(place / "nowhere")], 1, "no folder"),
        (["restore", str(place / "nowhere"), "--data-dir", str(place / "a")], 2, "no backup at"),
        (["restore", str(place / "empty"), "--data-dir", str(place / "a")], 1, "no whole backup"),
        (["restore", str(place / "empty"), "--erasures", str(place / "b")], 2, "no erasure list"),
        (["restore", str(place / "other" / "notes.txt"), "--backup", "x"], 2, "--backup"),
    ]
    for arguments, code, words in cases:
        done = run(arguments, filled.server.data_dir if "--data-dir" not in arguments else None)
        assert (done.code, done.stdout) == (code, b""), (arguments, done.stderr)
        assert words in done.stderr, (arguments, done.stderr)
        assert done.stderr.count("\n") == 1, (arguments, done.stderr)
    done = run(["backup", str(place / "new"), "--data-dir", str(place / "fresh")])
    assert (done.code, "There is no installation in" in done.stderr) == (1, True), done.stderr


def test_an_erasure_list_that_is_named_is_read_or_nothing_is_restored(filled: Filled, place: Path) -> None:
    """A disk that is not mounted, or a line that names nobody, would bring somebody back."""
    assert call("backup", place / "kept", "--data-dir", filled.server.data_dir) == 0
    erased = place / "third-disk" / "erased.txt"
    into = ("restore", place / "kept", "--data-dir", place / "restored")
    missing = run(into, FIELDPACK_ERASURE_LIST=str(erased))
    assert (missing.code, "is its disk mounted?" in missing.stderr) == (2, True), missing.stderr
    erased.parent.mkdir()
    erased.write_text(f"{uuid4()},by mail\nsomebody else\n")
    strange = run([*into, "--erasures", erased])
    assert (strange.code, "Line 2" in strange.stderr) == (2, True), strange.stderr
    assert not (place / "restored" / "storage" / "installation.json").exists()


def test_a_reader_that_closes_its_input_early_is_told_of(filled: Filled) -> None:
    with subprocess.Popen(
        [*FIELDPACK, "backup", "-"],
        env=environment(FIELDPACK_DATA_DIR=str(filled.server.data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert (process.returncode, said.count("\n")) == (1, 1), said
    assert "The backup is not whole" in said


@pytest.mark.skipif(sys.platform != "linux", reason="files without a name are listed by /proc")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_checking_a_stream_leaves_nothing_of_it(signum: int, filled: Filled, place: Path) -> None:
    made = run(["backup", "-"], filled.server.data_dir).stdout
    with tarfile.open(fileobj=io.BytesIO(made)) as whole, io.BytesIO() as begun:
        with tarfile.open(fileobj=begun, mode="w") as tar:
            head = whole.next()
            assert head is not None
            tar.addfile(head, whole.extractfile(head))
            rows = tarfile.TarInfo("database.dump.000001")
            rows.size = 8 << 20
            tar.addfile(rows, io.BytesIO(bytes(rows.size)))
        sent = begun.getvalue()[: 4 << 20]
    scratch = place / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [*FIELDPACK, "backup", "verify", "-"],
        env=environment(TMPDIR=str(scratch)),
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(sent)
        process.stdin.flush()
        wait_for(lambda: any(holds_file_in(process.pid, scratch)))
        assert list(scratch.iterdir()) == []
        process.send_signal(signum)
        process.stdin.close()
    assert process.returncode == -signum
    assert list(scratch.iterdir()) == []


def holds_file_in(pid: int, folder: Path) -> Iterator[bool]:
    """For each open file of a process, whether it lies in this folder, with a name or without."""
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield os.readlink(each).startswith(str(folder.resolve()))


def test_a_terminal_gets_no_backup(filled: Filled) -> None:
    import pty

    main, side = pty.openpty()
    try:
        done = subprocess.run(
            [*FIELDPACK, "backup", "-"],
            env=environment(FIELDPACK_DATA_DIR=str(filled.server.data_dir)),
            stdout=side,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(main)
        os.close(side)
    assert (done.returncode, b"send it somewhere" in done.stderr) == (2, True)


def test_programs_are_as_new_as_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldpack.errors import ConfigError
    from fieldpack.server.db import dumps

    assert dumps.find_dump_programs(18).major >= 18
    with pytest.raises(ConfigError, match=r"version 99 or later.*install"):
        dumps.find_dump_programs(99)


def test_a_password_is_in_no_list_of_processes() -> None:
    from fieldpack.server.db.dumps import _split_password

    connection, environment = _split_password("host=h user=u password='ge heim' dbname=d")
    assert "heim" not in connection
    assert environment["PGPASSWORD"] == "ge heim"
