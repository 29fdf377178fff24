"""API tokens: what they allow at most, how long they are good, where they were used, how one replaces another."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import collection_body, expect


def run(server: Installation, *arguments: str) -> Any:
    return json.loads(server.run("token", *arguments, "--json").stdout)


def row_of(server: Installation, token_id: str) -> Any:
    return next(row for row in run(server, "list") if row["token_id"] == token_id)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def new_workspace(api: httpx.Client) -> str:
    made: str = expect(api.post("/workspaces", json={"title": "Tokens"}), 201)["id"]
    return made


def test_tokens_by_command_are_good_for_ever_unless_a_time_is_given(server: Installation) -> None:
    assert row_of(server, run(server, "create", "--name", "cron")["token_id"])["expires_at"] is None
    made = run(server, "create", "--name", "month", "--expires", "30")
    left = instant(row_of(server, made["token_id"])["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=30) - timedelta(hours=1) < left <= timedelta(days=30)
    made = run(server, "create", "--name", "dated", "--expires", "2099-12-31")
    assert row_of(server, made["token_id"])["expires_at"] == "2100-01-01T00:00:00Z"  # good all that day
    for wrong in ("0", "-1", "soon", "2020-01-01", "2026-02-30", "9" * 30):
        done = server.run("token", "create", "--name", "x", f"--expires={wrong}", check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert "--expires" in done.stderr


def test_an_expired_token_opens_nothing_nor_does_its_session(server: Installation) -> None:
    made = run(server, "create", "--name", "short", "--expires", "1")
    with (
        server.client(made["token"]) as client,
        httpx.Client(base_url=server.url, trust_env=False) as browser,
    ):
        expect(client.get("/users/me"), 200)
        given = {"token": made["token"]}
        assert browser.post("/sign-in", data=given, headers={"Origin": server.url}).status_code == 303
        assert browser.get("/researcher").status_code == 200
        with connected(server) as database:
            database.execute("UPDATE tokens SET expires_at = now() WHERE id = %s", [made["token_id"]])
        assert "expired" in refused(client.get("/users/me"), 401)
        assert browser.get("/researcher").status_code == 303
        assert browser.post("/sign-in", data=given, headers={"Origin": server.url}).status_code == 403


def test_last_use_and_address_are_shown(server: Installation) -> None:
    made = run(server, "create", "--name", "seen")
    row = row_of(server, made["token_id"])
    assert (row["last_used_at"], row["last_used_address"]) == (None, None)
    with server.client(made["token"]) as client:
        client.headers["X-Forwarded-For"] = "203.0.113.9"  # of nobody trusted, unless it is this machine
        expect(client.get("/users/me"), 200)
        [own] = [
            row for row in expect(client.get("/users/me/tokens"), 200)["results"] if row["name"] == "seen"
        ]
    row = row_of(server, made["token_id"])
    assert row["last_used_at"]
    assert row["last_used_address"] in ("127.0.0.1", "203.0.113.9")
    assert own["last_used_address"] == row["last_used_address"]


def test_a_tokens_role_is_no_higher_than_its_researchers(server: Installation, api: httpx.Client) -> None:
    """When it is made, and, as roles change, whenever it is used."""
    workspace, email = new_workspace(api), f"{uuid4()}@example.org"
    base = ["create", "--name", "x", "--workspace", workspace, "--researcher", email]
    first = run(server, *base, "--role", "editor")  # a new member has this role
    [member] = [
        row
        for row in expect(api.get(f"/workspaces/{workspace}/members"), 200)["results"]
        if row["email"] == email
    ]
    assert member["role"] == "editor"
    refusal = server.run("token", *base, "--role", "owner", check=False)
    assert (refusal.returncode, refusal.stdout) == (2, "")
    assert "has the role editor" in refusal.stderr
    unlimited = run(server, *base)
    assert row_of(server, unlimited["token_id"])["role"] is None
    with server.client(first["token"]) as capped, server.client(unlimited["token"]) as whole:
        path = f"/workspaces/{workspace}/projects"
        for client in (capped, whole):
            expect(client.post(path, json={"title": "P"}), 201)
        expect(api.patch(f"/workspaces/{workspace}/members/{member['id']}", json={"role": "viewer"}), 200)
        for client in (capped, whole):
            refused(client.post(path, json={"title": "P"}), 403)
        expect(api.patch(f"/workspaces/{workspace}/members/{member['id']}", json={"role": "owner"}), 200)
        given = {"email": f"{uuid4()}@example.org", "role": "viewer"}
        assert "This token has the role editor" in refused(
            capped.post(f"/workspaces/{workspace}/members", json=given), 403
        )
        expect(whole.post(f"/workspaces/{workspace}/members", json=given), 201)


def test_who_left_is_not_taken_in_again_by_a_token(server: Installation, api: httpx.Client) -> None:
    workspace, email = new_workspace(api), f"{uuid4()}@example.org"
    base = ["create", "--name", "x", "--researcher", email]
    made = run(server, *base, "--workspace", workspace, "--role", "viewer")
    expect(api.delete(f"/workspaces/{workspace}/members/{made['researcher_id']}"), 204)
    done = server.run("token", *base, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--workspace" in done.stderr


def test_who_has_a_role_on_one_collection_only_gets_a_token_for_that(
    server: Installation, api: httpx.Client
) -> None:
    workspace, email = new_workspace(api), f"{uuid4()}@example.org"
    given = {"email": email, "role": "viewer"}
    body = collection_body(workspace)
    collection = expect(api.post("/data-collection/collections", json=body), 201)["id"]
    expect(api.post(f"/data-collection/collections/{collection}/members", json=given), 201)
    for named in ([], ["--workspace", workspace]):
        made = run(server, "create", "--name", "x", "--researcher", email, *named)
        assert made["workspace_id"] == workspace
    members = expect(api.get(f"/workspaces/{workspace}/members"), 200)["results"]
    assert email not in [member["email"] for member in members]


def test_rotation_by_command(server: Installation) -> None:
    old = run(server, "create", "--name", "nightly", "--role", "analyst", "--expires", "10")
    made = run(server, "rotate", old["token_id"], "--overlap", "2")
    assert set(made) == {"token", "token_id", "researcher_id", "replaces", "replaced_expires_at"}
    assert (made["replaces"], made["researcher_id"]) == (old["token_id"], old["researcher_id"])
    left = instant(made["replaced_expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=50) < left <= timedelta(hours=2)
    row = row_of(server, made["token_id"])
    assert (row["name"], row["role"]) == ("nightly", "analyst")
    assert instant(row["expires_at"]) - instant(row["created_at"]) == timedelta(days=10)
    with server.client(old["token"]) as before, server.client(made["token"]) as after:
        expect(before.get("/users/me"), 200)
        expect(after.get("/users/me"), 200)
        at_once = run(server, "rotate", made["token_id"], "--overlap", "0")
        refused(after.get("/users/me"), 401)
        expect(before.get("/users/me"), 200)
    with server.client(at_once["token"]) as client:
        expect(client.get("/users/me"), 200)
    for wrong in (made["token_id"], str(uuid4()), "x"):
        done = server.run("token", "rotate", wrong, check=False)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert "`fieldpack token list`" in done.stderr


def test_a_researchers_own_tokens(server: Installation, api: httpx.Client) -> None:
    workspace = new_workspace(api)
    email = f"{uuid4()}@example.org"
    first = run(
        server, "create", "--name", "a", "--workspace", workspace, "--researcher", email, "--role", "editor"
    )
    whole = run(server, "create", "--name", "b", "--workspace", workspace, "--researcher", email)
    with server.client(whole["token"]) as client, server.client(first["token"]) as capped:
        made = expect(client.post("/users/me/tokens", json={"name": "by browser"}), 201)
        assert set(made) == {"token", "token_id", "researcher_id", "expires_at"}
        life = instant(made["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=89) < life <= timedelta(days=90)
        listed = expect(client.get("/users/me/tokens"), 200)
        assert [row["name"] for row in listed["results"]] == ["a", "b", "by browser"]
        assert listed["meta"] == {"count": 3}
        assert made["token"] not in json.dumps(listed)
        # a token with a role makes, changes and ends none that opens more
        refused(capped.post("/users/me/tokens", json={"name": "x", "role": "owner"}), 403)
        refused(
            client.post("/users/me/tokens", json={"name": "x", "role": "owner"}), 403
        )  # an editor nowhere an owner
        refused(capped.post(f"/users/me/tokens/{whole['token_id']}/rotate"), 403)
        refused(capped.delete(f"/users/me/tokens/{whole['token_id']}"), 403)
        narrowed = expect(capped.post("/users/me/tokens", json={"name": "c", "expires_in_days": 5}), 201)
        [row] = [row for row in expect(capped.get("/users/me/tokens"), 200)["results"] if row["name"] == "c"]
        assert row["role"] == "editor"
        expect(capped.delete(f"/users/me/tokens/{narrowed['token_id']}"), 204)
        # a token can take its own place
        turned = expect(capped.post(f"/users/me/tokens/{first['token_id']}/rotate?overlap_hours=0"), 201)
        assert turned["replaces"] == first["token_id"]
        refused(capped.get("/users/me"), 401)
        # nobody else's
        for method, path in (("DELETE", ""), ("POST", "/rotate")):
            refused(api.request(method, f"/users/me/tokens/{whole['token_id']}{path}"), 404)
        refused(
            client.post(f"/users/me/tokens/{whole['token_id']}/rotate?overlap_hours=-1"), 400, "overlap_hours"
        )
        expect(client.delete(f"/users/me/tokens/{whole['token_id']}"), 204)
        refused(client.get("/users/me"), 401)


def test_a_session_is_no_more_than_the_token_it_was_begun_with(server: Installation) -> None:
    made = run(server, "create", "--name", "x", "--role", "viewer")
    with server.client() as api:
        workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        body = collection_body(workspace)
        collection = expect(api.post("/data-collection/collections", json=body), 201)["id"]
    with httpx.Client(base_url=server.url, trust_env=False, headers={"Accept": "text/html"}) as browser:
        signed_in = browser.post("/sign-in", data={"token": made["token"]}, headers={"Origin": server.url})
        assert signed_in.status_code == 303
        path = f"/researcher/collections/{collection}/export"
        assert browser.post(path, headers={"Origin": server.url}).status_code == 403
