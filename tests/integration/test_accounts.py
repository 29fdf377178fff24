"""Researchers, workspaces and tokens, by the API and by command."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import expect

ME = {
    "id", "email", "first_name", "last_name", "name", "username", "user_type", "currency_code", "balance",
    "available_balance",
}  # fmt: skip


def run(server: Installation, *arguments: str) -> Any:
    return json.loads(server.run(*arguments, "--json").stdout)


def test_who_am_i(api: httpx.Client) -> None:
    me = expect(api.get("/users/me"), 200)
    assert set(me) == ME
    UUID(me["id"])
    assert "@" in me["email"]
    assert me["name"]
    assert all(isinstance(me[name], int | float) for name in ("balance", "available_balance"))


def test_workspaces(api: httpx.Client) -> None:
    made = expect(api.post("/workspaces", json={"title": "Field trip", "description": "About", "x": 1}), 201)
    assert set(made) == {"id", "title", "description", "users"}
    assert (made["title"], made["description"]) == ("Field trip", "About")
    me = expect(api.get("/users/me"), 200)
    [user] = made["users"]
    assert set(user) == {"id", "name", "email", "roles"}
    assert (user["id"], user["email"]) == (me["id"], me["email"])
    assert isinstance(user["roles"], list)
    assert expect(api.get(f"/workspaces/{made['id']}"), 200) == made
    assert made in expect(api.get("/workspaces?limit=1000"), 200)["results"]
    assert expect(api.post("/workspaces", json={"title": "Bare"}), 201)["description"] == ""


@pytest.mark.parametrize(
    "body", [{}, {"title": ""}, {"title": " "}, {"title": None}, {"title": 5}, {"title": "x" * 1001}]
)
def test_malformed_workspaces(api: httpx.Client, body: Any) -> None:
    refused(api.post("/workspaces", json=body), 400, "title")


def test_the_first_token_is_stored_for_its_owner_only(server: Installation) -> None:
    path = server.data_dir / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert server.log.count(server.token) == 1


def test_tokens_by_command(server: Installation) -> None:
    workspace = run(server, "workspace", "create", "--title", "By command")
    assert set(workspace) == {"id", "title"}
    arguments = ["token", "create", "--name", "laptop", "--workspace", workspace["id"]]
    made = run(server, *arguments, "--researcher", "new@example.org")
    assert set(made) == {"token", "token_id", "researcher_id", "workspace_id"}
    assert made["workspace_id"] == workspace["id"]
    with server.client(made["token"]) as client:
        me = expect(client.get("/users/me"), 200)
        assert (me["id"], me["email"]) == (made["researcher_id"], "new@example.org")
        found = expect(client.get("/workspaces"), 200)
        assert [row["id"] for row in found["results"]] == [workspace["id"]]
        refused(client.get(f"/workspaces/{server_workspace(server)}"), 404)
        second = run(server, *arguments, "--researcher", "NEW@example.org")  # the same person
        assert second["researcher_id"] == made["researcher_id"]
        listed = server.run("token", "list", "--json").stdout
        assert made["token"] not in listed
        assert made["token_id"] in listed
        server.run("token", "revoke", made["token_id"])
        refused(client.get("/users/me"), 401)
    with server.client(second["token"]) as client:
        expect(client.get("/users/me"), 200)
    with connected(server) as database:
        rows = database.execute("SELECT t::text FROM tokens t").fetchall()
    assert rows
    for (row,) in rows:
        assert made["token"] not in row  # stored hashed
        assert server.token not in row


def server_workspace(server: Installation) -> str:
    with server.client() as client:
        found: str = expect(client.get("/workspaces"), 200)["results"][0]["id"]
        return found


def test_who_names_the_place_may_make_an_installation_there_and_nobody_else(
    server: Installation, tmp_path: Path
) -> None:
    with connected(server) as database:
        database.execute("CREATE DATABASE empty")
        [(place,)] = database.execute("SELECT current_setting('unix_socket_directories')").fetchall()
        url = f"host={place.strip(chr(34))} user=fieldpack dbname=empty"
        files = (tmp_path / "files").as_uri()
        for command in (["worker"], ["keys", "rotate"]):
            refused_there = server.run(
                *command, check=False, FIELDPACK_DATABASE_URL=url, FIELDPACK_STORAGE_URL=files
            )
            assert (refused_there.returncode, refused_there.stdout) == (1, "")
            assert "There is no installation in the database empty" in refused_there.stderr
            assert "`fieldpack serve`" in refused_there.stderr
        beside = server.run("token", "create", "--name", "x", check=False, FIELDPACK_DATABASE_URL=url)
        assert beside.returncode == 1
        assert "holds files" in beside.stderr  # of another database, which may only be missing
        made = server.run(
            "token",
            "create",
            "--name",
            "x",
            "--json",
            FIELDPACK_DATABASE_URL=url,
            FIELDPACK_STORAGE_URL=files,
        )
        assert json.loads(made.stdout)["token"]
        assert "a new installation is made in the database empty" in made.stderr
        again = server.run("token", "list", FIELDPACK_DATABASE_URL=url, FIELDPACK_STORAGE_URL=files)
        assert "new installation" not in again.stderr
        assert "x" in again.stdout
        database.execute("DROP DATABASE empty WITH (FORCE)")


def test_mistakes_are_one_line(server: Installation) -> None:
    for code, arguments in (
        (1, ["token", "revoke", str(uuid4())]),
        (1, ["token", "create", "--name", "x", "--workspace", str(uuid4())]),
        (2, ["token", "create", "--name", "x", "--researcher", "no address"]),
        (1, ["workspace", "features", str(uuid4()), "--collections", "off"]),
    ):
        done = server.run(*arguments, check=False)
        assert done.returncode == code, arguments
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()
