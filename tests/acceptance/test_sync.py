"""`fieldpack collection sync` keeps a folder equal to a collection, and costs what has changed."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

import fieldpack
from fieldpack.client.progress import Progress
from fieldpack.client.sync import sync_collection
from tests.gates import wait_for
from tests.installation import Installation
from tests.scenario import PNG, Scenario


def sync(server: Installation, scenario: Scenario, folder: Path) -> dict[str, Any]:
    with fieldpack.Client(server.token, server.url) as client:
        return asdict(sync_collection(client, scenario.collection["id"], folder))


def submissions(folder: Path) -> set[str]:
    with fieldpack.open_export(folder) as export:
        return {submission.submission_id for submission in export}


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    made = Scenario.create(api)
    for number in range(6):
        made.take_part(f"p{number}", files=[("photo.png", PNG + os.urandom(60_000))])
    return made


def test_first_run_extracts_the_archive(server: Installation, scenario: Scenario, tmp_path: Path) -> None:
    printed = server.run(
        "collection", "sync", scenario.collection["id"], str(tmp_path / "data"), "--json"
    ).stdout
    done = json.loads(printed)
    assert (done["fetched"], done["removed"], done["unchanged"]) == (9, 0, 0)
    assert len(submissions(tmp_path / "data")) == 6
    assert json.loads(server.run("verify", str(tmp_path / "data"), "--json").stdout)


def test_again_costs_nothing(server: Installation, scenario: Scenario, tmp_path: Path) -> None:
    sync(server, scenario, tmp_path)
    done = sync(server, scenario, tmp_path)
    assert (done["fetched"], done["transferred_bytes"], done["unchanged"]) == (0, 0, 9)


def served_bytes(server: Installation) -> float:
    """Bytes of archives that the server says it has sent."""
    metrics = httpx.get(f"{server.url}/metrics", trust_env=False).text
    return sum(
        float(value) for value in re.findall(r"^fieldpack_archive_bytes_served_total (\S+)$", metrics, re.M)
    )


def test_news_cost_what_they_are(server: Installation, scenario: Scenario, tmp_path: Path) -> None:
    """Ten new submissions cost those and the directory, as the server counts it too."""
    sync(server, scenario, tmp_path)
    before = served_bytes(server)
    for number in range(10):
        scenario.take_part(f"late{number}", files=[("photo.png", PNG + os.urandom(5_000))])
    done = sync(server, scenario, tmp_path)
    assert done["fetched"] == 10 + 3
    assert done["unchanged"] == 6
    assert 10 * 5_000 < done["transferred_bytes"] < 10 * 5_000 + 100_000
    wait_for(lambda: served_bytes(server) - before == done["transferred_bytes"])  # counted once it has gone
    assert len(submissions(tmp_path)) == 16


def test_erased_files_are_removed(server: Installation, scenario: Scenario, tmp_path: Path) -> None:
    sync(server, scenario, tmp_path)
    erased = sorted(submissions(tmp_path))[0]
    (tmp_path / "mine.txt").write_text("not of the archive")
    assert scenario.api.delete(f"/submissions/{erased}").status_code == 204
    done = sync(server, scenario, tmp_path)
    assert done["removed"] == 1
    assert not list(tmp_path.glob(f"files/{erased}_*"))
    assert erased not in (tmp_path / "responses.jsonl").read_text()
    assert (tmp_path / "mine.txt").exists()


def test_what_is_missing_is_brought_and_what_was_changed_is_told(
    server: Installation, scenario: Scenario, tmp_path: Path
) -> None:
    sync(server, scenario, tmp_path)
    photos = sorted(tmp_path.glob("files/*"))
    photos[0].write_bytes(b"x" * photos[0].stat().st_size)
    photos[1].unlink()
    (tmp_path / ".fieldpack/sync.json").write_text("{ torn")
    done = server.run("collection", "sync", scenario.collection["id"], str(tmp_path), "--json", check=False)
    assert done.returncode == 1
    assert f"'files/{photos[0].name}' is a file that is there already." in done.stderr
    said = json.loads(done.stdout)
    assert (said["fetched"], list(said["conflicts"])) == (1, [f"files/{photos[0].name}"])
    photos[0].unlink()
    assert sync(server, scenario, tmp_path)["fetched"] == 1
    assert server.run("verify", str(tmp_path)).returncode == 0


def test_notes_of_earlier_versions_are_taken_over(
    server: Installation, scenario: Scenario, tmp_path: Path
) -> None:
    sync(server, scenario, tmp_path / "data")
    (tmp_path / "data/.fieldpack/sync.json").rename(tmp_path / "data/.fieldpack-sync.json")
    (tmp_path / "data/.fieldpack").rmdir()
    before = served_bytes(server)
    done = sync(server, scenario, tmp_path / "data")
    assert (done["fetched"], done["transferred_bytes"], done["unchanged"]) == (0, 0, 9)
    assert served_bytes(server) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        ".fieldpack", "README.md", "collection.json", "files", "responses.jsonl",
    ]  # fmt: skip


def test_another_collection_is_refused(
    server: Installation, scenario: Scenario, api: httpx.Client, tmp_path: Path
) -> None:
    sync(server, scenario, tmp_path)
    other = Scenario.create(api)
    with pytest.raises(fieldpack.UsageError, match="choose another folder"):
        sync(server, other, tmp_path)


def test_files_of_ones_own_are_not_replaced(server: Installation, scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(fieldpack.UsageError, match=r"holds other things already \('README\.md'\)"):
        sync(server, scenario, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_an_extracted_archive_is_brought_up_to_date(
    server: Installation, scenario: Scenario, tmp_path: Path
) -> None:
    with fieldpack.Client(server.token, server.url) as client:
        archive = client.export_collection(scenario.collection["id"], tmp_path / "a.zip")
    with fieldpack.open_export(archive) as export:
        export.extract(tmp_path / "data")
    scenario.take_part("later")
    done = sync(server, scenario, tmp_path / "data")
    assert (done["fetched"], done["unchanged"]) == (3, 6)
    assert len(submissions(tmp_path / "data")) == 7


def test_two_runs_at_once_do_not_mix(server: Installation, scenario: Scenario, tmp_path: Path) -> None:
    def start_another(progress: Progress) -> None:
        with pytest.raises(fieldpack.DownloadError, match="Another process"):
            sync(server, scenario, tmp_path)
        seen.append(progress.stage)

    seen: list[str] = []
    with fieldpack.Client(server.token, server.url) as client:
        sync_collection(client, scenario.collection["id"], tmp_path, on_progress=start_another)
    assert "downloading" in seen
    assert sync(server, scenario, tmp_path)["unchanged"] == 9


def test_no_proxy_is_asked_for_this_machine(
    server: Installation, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert sync(server, scenario, tmp_path)["fetched"] == 9
    with fieldpack.Client(server.token, server.url) as client:
        link = client.request_export(scenario.collection["id"]).url
    assert link is not None
    with fieldpack.open_export(link) as export:
        assert len(list(export)) == 6


def test_nothing_is_left_of_a_run_that_came_to_nothing(server: Installation, tmp_path: Path) -> None:
    with (
        fieldpack.Client(server.token, server.url) as client,
        pytest.raises(fieldpack.ApiError, match="does not exist"),
    ):
        sync_collection(client, "nowhere", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with (
        fieldpack.Client(server.token, server.url) as client,
        pytest.raises(fieldpack.UsageError, match="is a file"),
    ):
        sync_collection(client, "nowhere", tmp_path / "file")


def test_links_in_the_folder_lead_nowhere_else(
    server: Installation, scenario: Scenario, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "files").symlink_to(outside)
    with pytest.raises(fieldpack.UsageError, match="holds other things"):
        sync(server, scenario, folder)
    (folder / "files").unlink()
    sync(server, scenario, folder)
    scenario.take_part("later", files=[("photo.png", PNG)])
    (folder / "files").rename(outside / "files")
    (folder / "files").symlink_to(outside / "files")
    done = sync(server, scenario, folder)
    assert (done["fetched"], list(done["conflicts"])) == (3, ["files"])
    assert len(list((outside / "files").iterdir())) == 6
