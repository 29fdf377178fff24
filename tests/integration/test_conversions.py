"""Exports that the server converts: equal to `fieldpack convert`, served like the archive, gone with an erasure."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pandas
import pyarrow.parquet
import pyreadstat
import pytest

from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.exports.conversions.formats import FORMATS
from tests.conversions import conversion_path, convert, fetch, find_children, held_conversion
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected, insert_researcher
from tests.integration.test_erasure import find_on_disk, picture, wait_until_gone
from tests.integration.test_export_pages import page_path, sign_in
from tests.integration.test_responses import Answered
from tests.integration.test_workbench import HOSTILE, text_of
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect


@pytest.fixture(scope="module")
def answered(server: Installation) -> Iterator[Answered]:
    with server.client() as client:
        yield Answered(client)


@pytest.fixture(scope="module")
def export(answered: Answered) -> dict[str, Any]:
    return answered.scenario.export()


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api)


def read_table(format: str, path: Path) -> Any:
    if format == "xlsx":
        return pandas.read_excel(path, sheet_name=None)
    if format in ("sav", "dta"):
        read = pyreadstat.read_sav if format == "sav" else pyreadstat.read_dta
        frame, described = read(str(path))
        return {
            "": frame,
            "labels": described.column_names_to_labels,
            "values": described.variable_value_labels,
        }
    return {"": pyarrow.parquet.read_table(path).to_pandas()}


@pytest.mark.parametrize("format", FORMATS)
def test_it_is_what_the_program_makes_of_the_archive(
    server: Installation, answered: Answered, export: dict[str, Any], tmp_path: Path, format: str
) -> None:
    made = convert(answered.scenario, export, format)
    content = fetch(made)
    assert len(content) == made["size_bytes"]
    created = export["created_at"][:19].replace("-", "").replace(":", "").replace("T", "-")
    archive = tmp_path / f"{answered.scenario.collection['id']}-export-{created}.zip"
    archive.write_bytes(answered.scenario.download(export))
    own, theirs = tmp_path / f"own.{format}", tmp_path / f"theirs.{format}"
    theirs.write_bytes(content)
    if format == "codebook":
        own = tmp_path / "own.html"
        server.run("convert", str(archive), "--codebook", str(own))
    elif format == "report":
        server.run("inspect", str(archive), "--html", str(own))
    else:
        server.run("convert", str(archive), "--to", format, "-o", str(own))
    if format in ("csv", "codebook"):
        assert content == own.read_bytes()
    elif format == "report":  # the program calls the archive by its whole path
        assert content.decode() == own.read_text().replace(html.escape(str(archive)), archive.name)
        assert b"data:image/jpeg" in content or b"<img" not in own.read_bytes()
    else:
        found, wanted = read_table(format, theirs), read_table(format, own)
        assert found.keys() == wanted.keys()
        for name, table in wanted.items():
            if isinstance(table, pandas.DataFrame):
                pandas.testing.assert_frame_equal(found[name], table)
            else:
                assert found[name] == table
    if format not in ("codebook", "report"):
        assert made["rows"] == export["submission_count"]


def test_the_command_brings_it(
    server: Installation, answered: Answered, export: dict[str, Any], tmp_path: Path
) -> None:
    collection = answered.scenario.collection["id"]
    given = ("collection", "convert", collection, "--to", "csv", "--export", export["export_id"])
    server.run(*given, "-o", str(tmp_path))
    [path] = tmp_path.iterdir()
    assert path.read_bytes() == fetch(convert(answered.scenario, export, "csv"))
    assert path.name.startswith(f"{collection}-export-")
    assert path.suffix == ".csv"
    again = server.run(*given, "-o", str(path), check=False)
    assert again.returncode == 1
    assert "--force" in again.stderr
    server.run(*given, "-o", str(path), "--force")
    wrong = server.run("collection", "convert", collection, "--to", "docx", check=False)
    assert wrong.returncode == 2
    server.run(*given, "--delete")
    refused(answered.scenario.api.get(conversion_path(answered.scenario, export, "csv")), 404)


def test_it_is_made_once_and_listed(answered: Answered, export: dict[str, Any]) -> None:
    scenario = answered.scenario
    first = convert(scenario, export, "codebook")
    again = expect(scenario.api.post(conversion_path(scenario, export, "codebook")), 200)
    assert again["created_at"] == first["created_at"]
    assert again["url"] != first["url"]
    listed = expect(scenario.api.get(conversion_path(scenario, export)), 200)
    assert "codebook" in [each["format"] for each in listed["results"]]
    assert listed["meta"]["count"] == len(listed["results"])
    assert "url" not in listed["results"][0]


def test_ranges_and_what_a_browser_may_do_with_it(answered: Answered, export: dict[str, Any]) -> None:
    made = convert(answered.scenario, export, "report")
    content = fetch(made)
    head = httpx.head(made["url"], trust_env=False)
    assert head.headers["content-length"] == str(len(content))
    assert head.headers["etag"] == f'"{made["sha256"]}"'
    part = httpx.get(made["url"], headers={"Range": "bytes=10-19"}, trust_env=False)
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    beyond = httpx.get(made["url"], headers={"Range": f"bytes={len(content)}-"}, trust_env=False)
    assert beyond.status_code == 416
    known = httpx.get(made["url"], headers={"If-None-Match": head.headers["etag"]}, trust_env=False)
    assert known.status_code == 304
    assert head.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert head.headers["x-content-type-options"] == "nosniff"
    assert head.headers["content-disposition"].startswith("attachment")
    assert ".html" in head.headers["content-disposition"]
    refused(httpx.get(made["url"] + "0", trust_env=False), 403)
    refused(httpx.get(made["url"].replace(export["export_id"], str(uuid4())), trust_env=False), 403)


def test_an_erasure_takes_what_was_converted_along(scenario: Scenario, server: Installation) -> None:
    marker, secret = f"marker-{uuid4()}".encode(), f"secret {uuid4()}"
    scenario.take_part("stays", "Stays")
    erased = scenario.take_part("leaves", secret, [("leaves.png", picture(marker))])
    export = scenario.export()
    conversion = convert(scenario, export, "csv")
    assert secret.encode() in fetch(conversion)
    convert(scenario, export, "report")
    assert any("converted" in path for path in find_on_disk(server, secret.encode()))
    expect(scenario.api.delete(f"/submissions/{erased}"), 204)
    refused(httpx.get(conversion["url"], trust_env=False), 410)
    refused(scenario.api.get(conversion_path(scenario, export, "csv")), 404)
    refused(scenario.api.post(conversion_path(scenario, export, "csv")), 409)
    wait_until_gone(server, marker, secret.encode())
    after = scenario.export()
    assert secret.encode() not in fetch(convert(scenario, after, "csv"))


def test_an_erasure_while_it_is_converted_leaves_nothing(scenario: Scenario, server: Installation) -> None:
    secret = f"secret {uuid4()}"
    scenario.take_part("stays", "Stays")
    erased = scenario.take_part("leaves", secret)
    export = scenario.export()
    with held_conversion(server, scenario, export) as process:
        folder = server.data_dir / "tmp" / "conversions"
        assert list(folder.iterdir())
        expect(scenario.api.delete(f"/submissions/{erased}"), 204)
        wait_for(lambda: not process.is_running() or process not in find_children(server))
        wait_for(lambda: not list(folder.iterdir()))
    refused(scenario.api.get(conversion_path(scenario, export, "csv")), 404)
    wait_until_gone(server, secret.encode())
    with connected(server) as database:
        query = "SELECT 1 FROM procrastinate_jobs WHERE args->>'export_id' = %s"
        wait_for(lambda: database.execute(query, [export["export_id"]]).fetchone() is None)
    assert not find_on_disk(server, secret.encode())


def test_deleting_one_that_is_made_stops_it(scenario: Scenario, server: Installation) -> None:
    scenario.take_part("a")
    export = scenario.export()
    with held_conversion(server, scenario, export) as process:
        expect(scenario.api.delete(conversion_path(scenario, export, "csv")), 204)
        wait_for(lambda: not process.is_running() or process not in find_children(server))
    assert convert(scenario, export, "csv")["status"] == "complete"
    expect(scenario.api.delete(f"{scenario.export_path}/{export['export_id']}"), 204)
    with connected(server) as database:
        query = "SELECT count(*) FROM conversions WHERE export_id = %s"
        assert database.execute(query, [export["export_id"]]).fetchone() == (0,)


def test_a_process_that_dies_is_a_failure_in_words_and_may_be_tried_again(
    scenario: Scenario, server: Installation
) -> None:
    """As one does that takes more memory or time than it may."""
    scenario.take_part("a")
    export = scenario.export()
    path = conversion_path(scenario, export, "csv")
    with held_conversion(server, scenario, export) as process:
        process.kill()
        wait_for(lambda: expect(scenario.api.get(path), 200)["status"] == "failed")
    assert "memory" in expect(scenario.api.get(path), 200)["failure_reason"]
    wait_for(lambda: not list((server.data_dir / "tmp" / "conversions").iterdir()))
    assert convert(scenario, export, "csv")["status"] == "complete"


def test_a_job_that_was_lost_is_made_again(scenario: Scenario, server: Installation) -> None:
    scenario.take_part("a")
    export = scenario.export()
    id = uuid4()
    with connected(server) as database:
        database.execute(
            "INSERT INTO conversions (id, export_id, export_build, format, attempts)"
            " SELECT %s, id, build, 'codebook', 1 FROM exports WHERE id = %s",
            [id, export["export_id"]],
        )
    path = conversion_path(scenario, export, "codebook")
    wait_for(lambda: expect(scenario.api.get(path), 200)["status"] == "complete")
    with connected(server) as database:
        row = database.execute("SELECT attempts FROM conversions WHERE id = %s", [id]).fetchone()
    assert row is not None
    assert row[0] >= 2


def test_old_ones_are_swept(scenario: Scenario, server: Installation) -> None:
    scenario.take_part("a")
    export = scenario.export()
    kept, old = convert(scenario, export, "codebook"), convert(scenario, export, "report")
    with connected(server) as database:
        database.execute(
            "UPDATE conversions SET completed_at = now() - interval '8 days', links_expire_at = now()"
            " WHERE export_id = %s AND format = 'report'",
            [export["export_id"]],
        )
    server.run("sweep", "--json")
    assert httpx.get(old["url"], trust_env=False).status_code == 410
    assert httpx.get(kept["url"], trust_env=False).status_code == 200
    folder = server.data_dir / "storage" / "exports" / export["export_id"]
    assert len([path for path in folder.glob("*/converted/*/*") if path.is_file()]) == 1


def test_only_what_is_complete_is_converted(scenario: Scenario) -> None:
    scenario.take_part("a")
    export = scenario.export()
    refused(scenario.api.post(conversion_path(scenario, export, "docx")), 404)
    refused(scenario.api.post(conversion_path(scenario, {"export_id": str(UUID(int=1))}, "csv")), 404)


def test_the_page_converts_with_one_click(server: Installation, scenario: Scenario) -> None:
    scenario.take_part("a", HOSTILE, [("a.png", PNG)])
    export = scenario.export()
    path = page_path(scenario, export["export_id"])
    with sign_in(server, server.token) as browser:
        begun = browser.post(path, data={"go": "convert", "format": "csv"})
        assert begun.status_code == 303
        assert browser.post(path, data={"go": "convert", "format": "docx"}).status_code == 404
        convert(scenario, export, "csv")
        page = text_of(browser.get(path))
        link = re.search(r'href="(http[^"]*/conversions/[^"]*)"', page)
        assert link
        table = pandas.read_csv(io.BytesIO(httpx.get(link[1], trust_env=False).content))
        assert len(table) == 1
        elsewhere = {"Origin": "https://elsewhere.example"}
        drop = {"go": "drop", "format": "csv"}
        assert browser.post(path, data=drop, headers=elsewhere).status_code == 403
        assert browser.post(path, data=drop).status_code == 303
        assert browser.post(path, data=drop).status_code == 404
        assert httpx.get(link[1], trust_env=False).status_code == 410
        workspace = expect(scenario.api.post("/workspaces", json={"title": "Other"}), 201)["id"]
        _, token = insert_researcher(server, role=Role.OWNER, workspace_id=workspace)
        with sign_in(server, token) as stranger:
            given = {"go": "convert", "format": "csv"}
            assert stranger.post(path, data=given).status_code == 404
