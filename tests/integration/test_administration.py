"""Looking after an installation: for operators alone, on a page, in the API and by commands."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected, insert_failed_job, insert_researcher
from tests.refusals import refused
from tests.scenario import expect

HOSTILE = "<script>alert(1)</script>"
PAGE = "/workbench/administration"


@contextlib.contextmanager
def sign_in(server: Installation, token: str) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as browser:
        assert browser.post("/sign-in", data={"token": token}).status_code == 303
        yield browser


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with sign_in(server, server.token) as client:
        yield client


def test_whoever_starts_an_installation_is_its_operator_and_may_make_others(
    server: Installation, api: httpx.Client
) -> None:
    researcher, token = insert_researcher(server)
    with connected(server) as database:
        row = database.execute("SELECT email FROM researchers WHERE id = %s", [researcher]).fetchone()
    assert row is not None
    email = row[0]
    with server.client(token) as other, sign_in(server, token) as page:
        assert "operator add" in refused(other.get("/installation"), 403)
        assert page.get(PAGE).status_code == 403
        assert PAGE not in page.get("/researcher").text
        assert "now" in server.run("operator", "add", email).stdout
        assert "already" in server.run("operator", "add", email).stdout
        expect(other.get("/installation"), 200)
        assert PAGE in page.get("/researcher").text
        listed = json.loads(server.run("operator", "list", "--json").stdout)
        assert email in {each["email"] for each in listed}
        assert len(listed) >= 2  # the one who has started it, too
        server.run("operator", "remove", email)
        refused(other.get("/installation"), 403)
    assert server.run("operator", "add", "nobody@example.org", check=False).returncode == 1


def test_a_token_with_a_role_is_not_enough(server: Installation, api: httpx.Client) -> None:
    made = expect(api.post("/users/me/tokens", json={"name": "narrow", "role": "owner"}), 201)
    with server.client(made["token"]) as client:
        assert "role" in refused(client.get("/installation"), 403)


def test_the_status_says_how_it_is(server: Installation, api: httpx.Client, browser: httpx.Client) -> None:
    def look() -> bool:  # the worker registers by and by
        status = expect(api.get("/installation"), 200)
        codes = {each["code"] for each in status["findings"]}
        return {"database", "storage", "workers"} <= codes

    wait_for(look)
    status = expect(api.get("/installation"), 200)
    assert {"fieldpack", "python", "postgresql", "schema", "system"} == set(status["versions"])
    assert status["database"]["size_bytes"] > 0
    assert {each["kind"] for each in status["storage"]} == {"uploads", "pictures", "thumbnails", "under_way"}
    assert {each["kind"] for each in status["disks"]} == {"data", "storage"}
    page = browser.get(PAGE)
    assert page.status_code == 200
    for table in status["database"]["tables"][:3]:
        assert table["name"] in page.text
    done = server.run("status", "--json", check=False)
    assert json.loads(done.stdout)["versions"] == status["versions"]
    assert "The database answers." in server.run("status", check=False).stdout


def test_a_failed_job_says_why_and_is_tried_again(
    server: Installation, api: httpx.Client, browser: httpx.Client
) -> None:
    first, second, third = (insert_failed_job(server, f"Fault: {HOSTILE}") for _ in range(3))
    listed = expect(api.get("/installation/jobs"), 200)["results"]
    assert {first, second, third} <= {each["id"] for each in listed}
    assert next(each for each in listed if each["id"] == first)["reason"] == f"Fault: {HOSTILE}"
    page = browser.get(PAGE).text
    assert HOSTILE not in page
    assert f'value="{first}"' in page
    expect(api.post(f"/installation/jobs/{first}/retry"), 200)
    refused(api.post(f"/installation/jobs/{first}/retry"), 404)
    assert browser.post(PAGE, data={"go": "retry", "job": str(second)}).status_code == 303
    assert browser.post(PAGE, data={"go": "retry", "job": str(second)}).status_code == 404
    assert browser.post(PAGE, data={"go": "retry", "job": "x"}).status_code == 400
    assert browser.post(PAGE, data={"go": "reboot"}).status_code == 400
    assert str(third) in server.run("jobs", "list").stdout
    server.run("jobs", "retry", str(third))
    assert server.run("jobs", "retry", str(third), check=False).returncode == 1
    assert server.run("jobs", "retry", "x", check=False).returncode == 2

    def gone() -> bool:  # a worker has done them, and done jobs are deleted
        ids = {each["id"] for each in expect(api.get("/installation/jobs"), 200)["results"]}
        return not {first, second, third} & ids

    wait_for(gone)


def test_a_worker_keeps_why_a_job_failed_and_nothing_of_a_row(
    server: Installation, api: httpx.Client
) -> None:
    """A job whose arguments its task does not take fails at once."""
    with connected(server) as database:
        row = database.execute(
            """
            SELECT procrastinate_defer_jobs_v1(ARRAY[
                ROW('maintenance', 'fieldpack:sweep', 0, NULL, NULL, '{"sweep_id": "no-id"}'::jsonb, NULL)
                ::procrastinate_job_to_defer_v1])
            """
        ).fetchone()
    assert row is not None
    job = row[0][0]

    def reason() -> str:
        for each in expect(api.get("/installation/jobs"), 200)["results"]:
            if each["id"] == job and each["reason"]:
                return str(each["reason"])
        return ""

    wait_for(lambda: reason() != "")
    assert "ValueError" in reason()
    codes = {each["code"] for each in expect(api.get("/installation"), 200)["findings"]}
    assert "failed_jobs" in codes
    with connected(server) as database:
        database.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job])


def test_a_sweep_is_looked_at_and_made(
    server: Installation, api: httpx.Client, browser: httpx.Client
) -> None:
    looked = expect(api.post("/installation/sweeps", json={"dry_run": True}), 202)
    path = f"/installation/sweeps/{looked['id']}"
    wait_for(lambda: expect(api.get(path), 200)["status"] == "complete")
    result = expect(api.get(path), 200)["result"]
    command = json.loads(server.run("sweep", "--dry-run", "--json").stdout)
    assert set(result) == set(command) - {"dry_run"}
    assert browser.post(PAGE, data={"go": "sweep"}).status_code == 303
    made = expect(api.get("/installation/sweeps"), 200)["results"][0]
    assert made["dry_run"] is False
    wait_for(lambda: expect(api.get(f"/installation/sweeps/{made['id']}"), 200)["status"] == "complete")
    assert browser.get(PAGE).status_code == 200


def test_only_from_a_page_of_ours(browser: httpx.Client) -> None:
    answer = browser.post(PAGE, data={"go": "sweep"}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403


def test_details_of_the_database_are_not_kept() -> None:
    """They quote the row: an id of a participant, say."""
    import psycopg

    from fieldpack.server.run.worker import say_failure

    class Broken(psycopg.errors.UniqueViolation):
        @property
        def diag(self) -> object:  # type: ignore[override]  # as the server sends it
            return type("D", (), {"message_primary": "duplicate key value"})()

    assert (
        say_failure(Broken("duplicate key DETAIL: Key (participant_id)=(anna)"))
        == "Broken: duplicate key value"
    )
    assert say_failure(OSError("a\nb")) == "OSError: a b"
