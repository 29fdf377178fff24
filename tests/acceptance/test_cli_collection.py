"""`fieldpack collection …` as a program: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fieldpack.cli import main
from tests.hostile_server import COLLECTION, TOKEN, HostileServer, make_archive, serve_hostile

ARCHIVE = make_archive(members=5)
COMMAND = [sys.executable, "-c", "import sys; from fieldpack.cli import main; sys.exit(main())"]
COMMANDS = ("check", "create", "update", "list", "get", "preview", "publish", "export", "sync", "erase")


@pytest.fixture
def peer() -> Iterator[HostileServer]:
    with serve_hostile(ARCHIVE) as server:
        yield server


def make_env(server: HostileServer | None = None, **more: str) -> dict[str, str]:
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PROLIFIC_", "FIELDPACK_"))
    }
    if server is not None:
        env |= {"PROLIFIC_TOKEN": TOKEN, "PROLIFIC_URL": server.url}
    return env | {"TZ": "Asia/Tokyo", **more}


def run(*args: str, cwd: Path, env: dict[str, str], code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which is what a shell would see of it and much quicker."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, env, clear=True),
        contextlib.chdir(cwd),
        patch.object(sys, "stdin", io.StringIO()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        time.tzset()
        got = main(args)
    time.tzset()
    done = subprocess.CompletedProcess(args, got, out.getvalue(), err.getvalue())
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("fieldpack: ") or re.match(r"\S+\.(yaml|json)(:\d+)?: ", last), last
        assert "This is a bug" not in done.stderr
    return done


# Export, against a peer of our own making


def test_export_saves_it_under_its_own_time(peer: HostileServer, tmp_path: Path) -> None:
    peer.polls = 1
    done = run("collection", "export", COLLECTION, cwd=tmp_path, env=make_env(peer))
    name = f"{COLLECTION}-export-20260304-140607.zip"
    assert (tmp_path / name).read_bytes() == ARCHIVE
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert re.fullmatch(rf"{name}: \d+ kB, 3 submissions, 9 files\n", done.stdout)
    lines = done.stderr.splitlines()
    assert lines[0] == "generating 50%"
    assert lines[-1].startswith("downloading ")
    assert lines[-1].endswith("100%")
    assert "\x1b" not in done.stderr

    again = run("collection", "export", COLLECTION, cwd=tmp_path, env=make_env(peer), code=1)
    assert "exists already: give --force" in again.stderr
    run("collection", "export", COLLECTION, "--force", cwd=tmp_path, env=make_env(peer))


def test_export_prints_json_and_takes_folders_and_names(peer: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = run("collection", "export", COLLECTION, "-o", "data", "--json", cwd=tmp_path, env=make_env(peer))
    said = json.loads(done.stdout)
    assert said["path"] == os.path.join("data", f"{COLLECTION}-export-20260304-140607.zip")
    assert (said["size_bytes"], said["submission_count"], said["file_count"]) == (len(ARCHIVE), 3, 9)
    run("collection", "export", COLLECTION, "-o", "mine.zip", cwd=tmp_path, env=make_env(peer))
    assert (tmp_path / "mine.zip").read_bytes() == ARCHIVE
    for bad in ("missing/", "missing/a.zip"):
        done = run("collection", "export", COLLECTION, "-o", bad, cwd=tmp_path, env=make_env(peer), code=1)
        assert "The folder missing does not exist" in done.stderr


def test_export_passes_filters_on(peer: HostileServer, tmp_path: Path) -> None:
    args = ["--study-id", "s1", "--from", "2026-01-01", "--to", "2026-02-01T00:00:00+01:00"]
    run("collection", "export", COLLECTION, *args, cwd=tmp_path, env=make_env(peer))
    assert peer.requests[0].query == {
        "study_id": ["s1"],
        "from": ["2026-01-01T00:00:00Z"],
        "to": ["2026-01-31T23:00:00Z"],
    }
    done = run("collection", "export", COLLECTION, "--from", "noon", cwd=tmp_path, env=make_env(peer), code=2)
    assert "'noon' is not a time" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_says_how_to_go_on_and_the_next_run_does(tmp_path: Path) -> None:
    large = make_archive(members=20, member_bytes=1_000_000)
    with serve_hostile(large) as peer:
        peer.hold(len(large) // 2)
        process = subprocess.Popen(
            [*COMMAND, "collection", "export", COLLECTION],
            cwd=tmp_path,
            env=make_env(peer),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert peer.held.wait(180)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        name = f"{COLLECTION}-export-20260304-140607.zip"
        assert said.splitlines()[-1] == (
            f"fieldpack: Stopped: what has come is kept in {name}.part; run the same command again to go on."
        )
        assert not (tmp_path / name).exists()
        peer.release()
        run("collection", "export", COLLECTION, cwd=tmp_path, env=make_env(peer))
        assert (tmp_path / name).read_bytes() == large
        assert peer.sent_bytes < len(large)


def test_an_export_that_fails_ends_with_its_reason(peer: HostileServer, tmp_path: Path) -> None:
    peer.fails_with = "The file receipt.jpg\nof submission 7 is missing"
    done = run("collection", "export", COLLECTION, cwd=tmp_path, env=make_env(peer), code=1)
    assert "The export failed: The file receipt.jpg of submission 7 is missing. Run it again" in done.stderr
    assert list(tmp_path.iterdir()) == []


# How it ends when it cannot


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["colection"], "Did you mean 'collection'?"),
        (["collection"], "Missing command. See 'fieldpack collection --help'."),
        (["collection", "exprot"], "Did you mean 'export'?"),
        (["collection", "get"], "COLLECTION_ID"),
        (["collection", "export", "x", "--wrong"], "--wrong"),
        (["collection", "publish", "x", "-p", "0"], "-p"),
        (["collection", "publish", "x"], "-p N"),
        (["collection", "export", "x", "-o", "-"], "give -o a file"),
        (["collection", "create", "-t", "none.yaml"], "none.yaml cannot be read"),
        (["collection", "check", "none.yaml"], "none.yaml cannot be read"),
    ],
)
def test_usage_errors_are_one_line_and_code_2(args: list[str], said: str, tmp_path: Path) -> None:
    done = run(*args, cwd=tmp_path, env=make_env(), code=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_without_a_token_it_says_what_to_do(tmp_path: Path) -> None:
    done = run("collection", "list", cwd=tmp_path, env=make_env(), code=1)
    assert "`fieldpack serve`" in done.stderr
    done = run(
        "collection", "list", cwd=tmp_path, env=make_env(PROLIFIC_URL="https://api.example.org"), code=1
    )
    assert "no token for https://api.example.org" in done.stderr


def test_the_server_extra_is_asked_for_by_name(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('fastapi', 'pydantic_settings', 'psycopg', 'uvicorn', 'structlog', 'procrastinate'):\n"
        "    sys.modules[name] = None\n"
        "from fieldpack.cli import main\n"
        "sys.exit(main())"
    )
    for command in (["serve"], ["token", "list"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *command],
            cwd=tmp_path,
            env=make_env(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"fieldpack: fieldpack {command[0]} needs the server extra: pip install 'fieldpack[server]'\n"
        )


def test_help_and_version_are_there_for_every_command(tmp_path: Path) -> None:
    assert re.fullmatch(
        r"fieldpack \d+\.\d+\.\d+\S*\n", run("--version", cwd=tmp_path, env=make_env()).stdout
    )
    root = run("--help", cwd=tmp_path, env=make_env()).stdout
    assert run(cwd=tmp_path, env=make_env()).stdout == root
    for command in (
        "collection",
        "inspect",
        "verify",
        "extract",
        "convert",
        "serve",
        "worker",
        "token",
        "workspace",
    ):
        assert re.search(rf"^  {command} +\S", root, re.MULTILINE)
    group = run("collection", "--help", cwd=tmp_path, env=make_env()).stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\S", group, re.MULTILINE)
        if command != "sync":
            assert run("collection", command, "-h", cwd=tmp_path, env=make_env()).stdout.startswith(
                "Usage: fieldpack"
            )


def test_a_reader_that_goes_away_is_no_error(peer: HostileServer, tmp_path: Path) -> None:
    script = f"{' '.join(map(_quote, COMMAND))} --help | head -1"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=make_env(peer), capture_output=True, text=True
    )
    assert done.stderr == ""


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# The whole, against this project's own server

TEMPLATE = """
name: Receipts
description: A week of shopping
task_details:
  task_name: Receipts
  task_introduction: <p>Photograph your receipts</p>
  task_steps: <ol><li>Shop</li></ol>
collection_items:
  - page_items:
      - type: free_text
        description: What did you buy?
      - type: multiple_choice
        description: Was it cheap?
        options:
          - {label: Yes, value: yes}
          - {label: No, value: no}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `fieldpack serve` runs with everything at its default but the port."""
    pytest.importorskip("uvicorn", reason="needs the server extra")
    folder = tmp_path_factory.mktemp("home")
    log = (folder / "serve.log").open("w")
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], cwd=folder, env=make_env(), stdout=log, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 180
        while not _is_ready(folder):
            assert process.poll() is None, (folder / "serve.log").read_text()
            assert time.monotonic() < deadline, (folder / "serve.log").read_text()
            time.sleep(0.2)
        yield folder
    finally:
        process.terminate()
        process.wait(timeout=120)
        log.close()


def _is_ready(folder: Path) -> bool:
    import httpx

    try:
        kept = json.loads((folder / "fieldpack-data" / "credentials.json").read_text())
        return httpx.get(kept["url"] + "/health/ready", trust_env=False).status_code == 200
    except (OSError, ValueError, httpx.TransportError):
        return False


def call(home: Path, *args: str, code: int = 0) -> Any:
    done = run("collection", *args, "--json", cwd=home, env=make_env(), code=code)
    return json.loads(done.stdout) if code == 0 else done.stderr


def complete(home: Path, asked: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, cwd=home, env=make_env() | asked, capture_output=True, text=True, check=False
    )


def test_from_a_template_to_an_archive_and_away(home: Path) -> None:
    (home / "t.yaml").write_text(TEMPLATE)
    made = call(home, "create", "-t", "t.yaml")
    options = made["collection_items"][0]["page_items"][1]["options"]
    assert [option["value"] for option in options] == ["yes", "no"]

    assert [item["id"] for item in call(home, "list")] == [made["id"]]
    listed = run("collection", "list", "-w", made["workspace_id"], "-c", cwd=home, env=make_env()).stdout
    assert listed.splitlines()[0] == "id,name,item_count,created_at,last_modified_at"
    assert f"{made['id']},Receipts,1," in listed
    table = run("collection", "list", cwd=home, env=make_env()).stdout
    assert table.splitlines()[0].split() == [
        "ID",
        "NAME",
        "PAGES",
        "ITEMS",
        "CREATED",
        "AT",
        "LAST",
        "MODIFIED",
        "AT",
    ]
    assert re.search(r" Receipts  1      2      \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", table.splitlines()[1])
    shown = run("collection", "get", made["id"], cwd=home, env=make_env()).stdout
    assert "What did you buy?" in shown
    assert "- Yes [yes]" in shown
    seen = run("collection", "preview", made["id"], "--no-open", cwd=home, env=make_env()).stdout
    assert seen.endswith(f"/data-collection-tool/collections/{made['id']}?preview=true\n")
    assert call(home, "preview", made["id"], "--no-open")["url"] == seen.strip()

    for line, offered in (
        (f"fieldpack collection get {made['id'][:3]}", made["id"]),
        ("fieldpack collection list -w ", made["workspace_id"]),
    ):
        asked = {"_FIELDPACK_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
        done = complete(home, asked)
        while offered not in done.stdout:  # a shell waits a second for the server, which has other work
            assert done.stdout in ("", "_files\n")
            done = complete(home, asked)
        assert done.stderr == ""
        assert "Receipts" in done.stdout or "-w" in line

    (home / "u.json").write_text(json.dumps({**made, "name": "=Receipts"}))
    assert call(home, "update", made["id"], "-t", "u.json")["name"] == "=Receipts"
    assert ",'=Receipts," in run("collection", "list", "--csv", cwd=home, env=make_env()).stdout

    draft = call(home, "publish", made["id"], "-p", "2", "--draft", "-n", "Draft", "--reward", "150")
    assert (draft["status"], draft["name"], draft["reward"]) == ("UNPUBLISHED", "Draft", 150)
    study = call(home, "publish", made["id"], "-p", "3")
    assert (study["status"], study["total_available_places"]) == ("ACTIVE", 3)

    (home / "s.yaml").write_text("total_available_places: 4\nname: From a file\n")
    study_of_file = call(home, "publish", made["id"], "-t", "s.yaml", "--draft")
    assert (study_of_file["total_available_places"], study_of_file["name"]) == (4, "From a file")

    take_part(home, study["id"], made)
    brought = call(home, "export", made["id"])
    assert brought["submission_count"] == 1
    assert (home / brought["path"]).is_file()

    refused = run("collection", "erase", made["id"], cwd=home, env=make_env(), code=2)
    assert "--yes" in refused.stderr
    assert call(home, "erase", made["id"], "--yes")["erased_submissions"] == 1
    assert call(home, "export", made["id"], "-o", "after.zip")["submission_count"] == 0
    assert call(home, "erase", made["id"])["erased_submissions"] == 0


def take_part(home: Path, study_id: str, collection: dict[str, Any]) -> None:
    import httpx

    kept = json.loads((home / "fieldpack-data" / "credentials.json").read_text())
    text, choice = collection["collection_items"][0]["page_items"]
    with httpx.Client(base_url=kept["url"] + "/api/v1/participate", trust_env=False) as http:
        begun = http.post(f"/studies/{study_id}/submissions", json={"participant_id": "p1"}).json()
        http.headers["Authorization"] = f"Bearer {begun['token']}"
        base = f"/submissions/{begun['submission_id']}"
        assert http.put(f"{base}/answers/{text['id']}", json={"value": "Bread"}).status_code == 200
        assert http.put(f"{base}/answers/{choice['id']}", json={"value": ["yes"]}).status_code == 200
        assert http.post(f"{base}/submit").status_code == 200


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("name: x\n", "bad.yaml:1: collection_items is missing"),
        (
            TEMPLATE.replace("type: free_text", "type: free_txt"),
            "bad.yaml:10: page 1, item 1: there is no type 'free_txt'; did you mean 'free_text'?",
        ),
    ],
)
def test_a_template_that_is_refused_names_the_line(home: Path, template: str, said: str) -> None:
    (home / "bad.yaml").write_text(template)
    assert said in call(home, "create", "-t", "bad.yaml", code=2).splitlines()


def test_an_unknown_collection_is_said(home: Path) -> None:
    for command in (["get"], ["export"], ["erase", "--yes"], ["publish", "-p", "1"]):
        assert COLLECTION in call(home, command[0], COLLECTION, *command[1:], code=1)


def test_the_page_on_the_command_line_names_every_command_and_option(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"fieldpack collection {command} " in page
        if command == "sync":
            continue
        told = run("collection", command, "--help", cwd=tmp_path, env=make_env()).stdout
        for line in told.split("Examples:")[0].splitlines():
            names = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line) if line.startswith("  -") else []
            assert not names or "--help" in names or any(name in page for name in names), line


def test_creating_and_updating_say_how_extensions_will_be_judged(home: Path) -> None:
    item = "      - {type: file_upload, description: Files, accepted_file_types: [.JPG, .nef, .omv2]}\n"
    (home / "files.yaml").write_text(TEMPLATE + item)
    made = run("collection", "create", "-t", "files.yaml", cwd=home, env=make_env()).stdout.splitlines()
    judged = [
        "  page 1, item 3: .jpg (also .jpeg .jpe .jfif): by signature",
        "  page 1, item 3: .nef: by family, a TIFF picture",
        "  page 1, item 3: .omv2: not known, any content is accepted",
    ]
    assert made[1:] == judged
    found = re.search(r"[0-9a-f-]{36}", made[0])
    assert found is not None
    done = run("collection", "update", found.group(), "-t", "files.yaml", cwd=home, env=make_env())
    assert done.stdout.splitlines()[1:] == judged
