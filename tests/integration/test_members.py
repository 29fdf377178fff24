"""Who is in a workspace, or on a collection, with which role: by the API and by command."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.server.accounts.permissions.roles import Role
from tests.installation import Installation
from tests.integration.rows import insert_researcher
from tests.refusals import refused
from tests.scenario import Scenario, collection_body, expect

MEMBER = {"id", "name", "email", "role", "roles", "created_at"}


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    """A workspace whose one owner is the first researcher."""
    made: str = expect(api.post("/workspaces", json={"title": "Members", "description": "About"}), 201)["id"]
    return made


@pytest.fixture
def people(server: Installation) -> Iterator[Any]:
    """Makes a researcher in a workspace; their id and client."""
    with ExitStack() as stack:

        def make(workspace: str, role: str) -> tuple[str, httpx.Client]:
            id, token = insert_researcher(server, role=Role(role), workspace_id=workspace)
            return id, stack.enter_context(server.client(token))

        yield make


def test_members_by_the_api(api: httpx.Client, workspace: str) -> None:
    path = f"/workspaces/{workspace}/members"
    me = expect(api.get("/users/me"), 200)
    [own] = expect(api.get(path), 200)["results"]
    assert set(own) == MEMBER
    assert (own["id"], own["role"], own["roles"]) == (me["id"], "owner", ["WORKSPACE_ADMIN"])
    email = f"{uuid4()}@example.org"
    made = expect(api.post(path, json={"email": email, "role": "editor", "name": "Ada B. Lovelace"}), 201)
    assert (made["email"], made["name"], made["roles"]) == (
        email,
        "Ada B. Lovelace",
        ["WORKSPACE_COLLABORATOR"],
    )
    refused(api.post(path, json={"email": email.upper(), "role": "viewer"}), 409)
    changed = expect(api.patch(f"{path}/{made['id']}", json={"role": "reviewer"}), 200)
    assert changed == {**made, "role": "reviewer", "roles": ["WORKSPACE_REVIEWER"]}
    listed = expect(api.get(path), 200)
    assert (listed["results"][1], listed["meta"]) == (changed, {"count": 2})
    assert [user["roles"] for user in expect(api.get(f"/workspaces/{workspace}"), 200)["users"]] == [
        ["WORKSPACE_ADMIN"],
        ["WORKSPACE_REVIEWER"],
    ]
    expect(api.delete(f"{path}/{made['id']}"), 204)
    refused(api.delete(f"{path}/{made['id']}"), 404)
    refused(api.patch(f"{path}/{made['id']}", json={"role": "owner"}), 404)
    again = expect(api.post(path, json={"email": email, "role": "viewer"}), 201)
    assert again["id"] == made["id"]


def test_the_last_owner_stays(api: httpx.Client, workspace: str, people: Any) -> None:
    path = f"/workspaces/{workspace}/members"
    me = expect(api.get("/users/me"), 200)["id"]
    for answer in (api.delete(f"{path}/{me}"), api.patch(f"{path}/{me}", json={"role": "editor"})):
        assert "last owner" in refused(answer, 409)
    expect(api.patch(f"{path}/{me}", json={"role": "owner"}), 200)
    second, client = people(workspace, "owner")
    expect(client.patch(f"{path}/{me}", json={"role": "viewer"}), 200)
    refused(api.get(f"{path}/{second}"), 405)
    refused(api.patch(f"{path}/{second}", json={"role": "viewer"}), 403)  # at once, in the same connection
    refused(client.delete(f"{path}/{second}"), 409)
    expect(api.delete(f"{path}/{me}"), 204)  # a viewer, who leaves
    refused(api.get(f"/workspaces/{workspace}"), 404)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_owners_who_push_each_other_out_leave_one(
    api: httpx.Client, server: Installation, workspace: str, people: Any, method: str
) -> None:
    """All at once: the check and the write are one, whoever comes second sees the first."""
    path = f"/workspaces/{workspace}/members"
    owners = [expect(api.get("/users/me"), 200)["id"], *(people(workspace, "owner")[0] for _ in range(3))]
    gate = threading.Barrier(len(owners))

    def push(researcher: str) -> int:
        with server.client() as client:
            client.get("/users/me")
            gate.wait()
            body = b'{"role": "viewer"}' if method == "PATCH" else None
            return client.request(method, f"{path}/{researcher}", content=body).status_code

    with ThreadPoolExecutor(len(owners)) as pool:
        answers = list(pool.map(push, owners))
    # the requests are all of the first researcher, who may be pushed out before the others are looked at
    assert set(answers) <= {200, 204, 403, 409}
    made = json.loads(server.run("workspace", "members", "list", workspace, "--json").stdout)
    assert sum(row["role"] == "owner" for row in made) >= 1


def test_a_removed_member_is_out_at_the_next_request(
    api: httpx.Client, server: Installation, workspace: str, people: Any
) -> None:
    """In the API and in a session, and with the roles on single collections too."""
    collection = expect(api.post("/data-collection/collections", json=collection_body(workspace)), 201)
    researcher, client = people(workspace, "viewer")
    expect(
        api.post(
            f"/data-collection/collections/{collection['id']}/members",
            json={"email": expect(client.get("/users/me"), 200)["email"], "role": "editor"},
        ),
        201,
    )
    token = client.headers["Authorization"].partition(" ")[2]
    preview = f"/data-collection-tool/collections/{collection['id']}"
    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        assert (
            browser.post("/sign-in", data={"token": token}, headers={"Origin": server.url}).status_code == 303
        )
        assert browser.get(preview).status_code == 200
        expect(client.get(f"/data-collection/collections/{collection['id']}/responses"), 200)
        expect(api.delete(f"/workspaces/{workspace}/members/{researcher}"), 204)
        refused(client.get(f"/data-collection/collections/{collection['id']}"), 404)
        refused(client.get(f"/data-collection/collections?workspace_id={workspace}"), 403)
        assert browser.get(preview).status_code == 404
    assert expect(client.get("/workspaces"), 200)["results"] == []
    refused(client.post("/workspaces", json={"title": "Mine"}), 403)  # who has a role nowhere makes none


def test_roles_on_a_collection(api: httpx.Client, people: Any) -> None:
    scenario = Scenario.create(api)
    workspace = scenario.collection["workspace_id"]
    path = f"/data-collection/collections/{scenario.collection['id']}"
    researcher, client = people(workspace, "analyst")
    email = expect(client.get("/users/me"), 200)["email"]
    expect(client.get(f"{path}/responses"), 200)
    refused(client.get(f"{path}/members"), 403)
    made = expect(api.post(f"{path}/members", json={"email": email, "role": "viewer"}), 201)
    assert (made["id"], made["role"]) == (researcher, "viewer")
    refused(client.get(f"{path}/responses"), 403)
    expect(api.patch(f"{path}/members/{researcher}", json={"role": "owner"}), 200)
    assert len(expect(client.get(f"{path}/members"), 200)["results"]) == 1
    owner = expect(api.get("/users/me"), 200)
    # whoever owns a collection takes it from nobody who owns the workspace
    refused(client.post(f"{path}/members", json={"email": owner["email"], "role": "viewer"}), 409)
    refused(
        client.post(f"/workspaces/{workspace}/members", json={"email": "x@example.org", "role": "owner"}), 403
    )
    expect(api.delete(f"{path}/members/{researcher}"), 204)
    refused(api.delete(f"{path}/members/{researcher}"), 404)
    refused(client.get(f"{path}/members"), 403)
    expect(client.get(f"{path}/responses"), 200)  # what they are in the workspace
    expect(client.delete(f"/workspaces/{workspace}/members/{researcher}"), 204)  # and then they leave


def test_members_by_command(server: Installation, api: httpx.Client, workspace: str) -> None:
    collection = expect(api.post("/data-collection/collections", json=collection_body(workspace)), 201)["id"]
    email = f"{uuid4()}@example.org"

    def run(*arguments: str) -> Any:
        return json.loads(server.run("workspace", "members", *arguments, "--json").stdout)

    def fails(*arguments: str, code: int = 1) -> str:
        done = server.run("workspace", "members", *arguments, check=False)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    added = run("add", workspace, email, "--role", "reviewer")
    assert set(added) == {"researcher_id", "email", "name", "role", "created_at"}
    assert "has a role here already" in fails("add", workspace, email, "--role", "viewer")
    assert run("role", workspace, email, "analyst") == {**added, "role": "analyst"}
    assert [row["role"] for row in run("list", workspace)] == ["owner", "analyst"]
    first = expect(api.get("/users/me"), 200)["email"]
    assert "last owner" in fails("remove", workspace, first)
    assert "last owner" in fails("role", workspace, first, "editor")
    here = ("--collection", collection)
    assert run("add", workspace, email, "--role", "viewer", *here)["role"] == "viewer"
    assert [row["email"] for row in run("list", workspace, *here)] == [email]
    assert run("role", workspace, email, "editor", *here)["role"] == "editor"
    assert run("remove", workspace, email, *here) == {"email": email, "removed": True}
    assert "has no role here" in fails("remove", workspace, email, *here)
    assert "no collection" in fails("list", workspace, "--collection", str(uuid4()))
    assert "no workspace" in fails("list", str(uuid4()))
    assert "owner, editor, reviewer, analyst, viewer" in fails(
        "add", workspace, email, "--role", "boss", code=2
    )
    assert "not an e-mail address" in fails("add", workspace, "nobody", "--role", "viewer")
    assert run("remove", workspace, email) == {"email": email, "removed": True}
    shown = server.run("workspace", "members", "list", workspace).stdout
    assert first in shown
    assert email not in shown


class TestPage:
    """The page of a workspace's members."""

    @pytest.fixture
    def browser(self, server: Installation) -> Iterator[httpx.Client]:
        """The first researcher, signed in."""
        with self.signed_in(server, server.token) as client:
            yield client

    @contextmanager
    def signed_in(self, server: Installation, token: str) -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=server.url, headers={"Origin": server.url}, trust_env=False, timeout=60
        ) as client:
            assert client.post("/sign-in", data={"token": token}).status_code == 303
            yield client

    def test_an_owner_lists_invites_changes_and_removes(
        self, api: httpx.Client, workspace: str, people: Any, browser: httpx.Client
    ) -> None:
        path = f"/workbench/workspaces/{workspace}/members"
        member, client = people(workspace, "viewer")
        page = browser.get(path)
        assert page.status_code == 200
        assert f"{member}@example.org" in page.text
        assert path in browser.get("/researcher").text
        invitations = f"/researcher/workspaces/{workspace}/invitations"
        assert f'action="{invitations}"' in page.text
        form = {"role": "editor", "days": "3", "email": "guest@example.org"}
        assert "/join?code=" in browser.post(invitations, data=form).text
        changed = browser.post(path, data={"go": "change", "researcher": member, "role": "editor"})
        assert (changed.status_code, changed.headers["location"]) == (303, path)
        [found] = [
            each
            for each in expect(client.get(f"/workspaces/{workspace}/members"), 200)["results"]
            if each["id"] == member
        ]
        assert found["role"] == "editor"
        removed = browser.post(path, data={"go": "remove", "researcher": member})
        assert removed.status_code == 303
        refused(client.get(f"/workspaces/{workspace}/members"), 403)
        again = browser.post(path, data={"go": "remove", "researcher": member})
        assert again.status_code == 404
        assert "no such role any more" in again.text

    def test_the_last_owner_stays(
        self, api: httpx.Client, workspace: str, people: Any, browser: httpx.Client
    ) -> None:
        path = f"/workbench/workspaces/{workspace}/members"
        me = expect(api.get("/users/me"), 200)["id"]
        for form in ({"go": "remove"}, {"go": "change", "role": "viewer"}):
            answer = browser.post(path, data={**form, "researcher": me})
            assert answer.status_code == 409
            assert "last owner" in answer.text
        german = browser.post(
            path, data={"go": "remove", "researcher": me}, headers={"Accept-Language": "de"}
        )
        assert "Machen Sie zuerst jemand anderen" in german.text
        people(workspace, "owner")
        left = browser.post(path, data={"go": "change", "role": "viewer", "researcher": me})
        assert (left.status_code, left.headers["location"]) == (303, "/researcher")
        assert browser.get(path).status_code == 403

    def test_roles_on_single_collections(
        self, api: httpx.Client, workspace: str, people: Any, browser: httpx.Client
    ) -> None:
        path = f"/workbench/workspaces/{workspace}/members"
        collection = expect(api.post("/data-collection/collections", json=collection_body(workspace)), 201)[
            "id"
        ]
        member, client = people(workspace, "viewer")
        roles = f"/data-collection/collections/{collection}/members"
        place = {"collection": collection}
        given = {"go": "give", "email": f"{member}@example.org", "role": "reviewer", **place}
        assert browser.post(path, data=given).status_code == 303
        assert [each["role"] for each in expect(api.get(roles), 200)["results"]] == ["reviewer"]
        assert browser.post(path, data=given).status_code == 409
        form = {"researcher": member, **place}
        assert browser.post(path, data={"go": "change", "role": "analyst", **form}).status_code == 303
        assert [each["role"] for each in expect(api.get(roles), 200)["results"]] == ["analyst"]
        assert browser.post(path, data={"go": "remove", **form}).status_code == 303
        assert expect(api.get(roles), 200)["results"] == []
        expect(client.get(f"/workspaces/{workspace}"), 200)  # the role in the workspace is still there
        owner, _ = people(workspace, "owner")
        answer = browser.post(path, data={**given, "email": f"{owner}@example.org"})
        assert answer.status_code == 409
        assert "owner of all its collections" in answer.text
        invitations = f"/researcher/workspaces/{workspace}/invitations"
        made = browser.post(invitations, data={"role": "viewer", "days": "1", **place})
        assert made.status_code == 200
        listed = expect(api.get(f"/workspaces/{workspace}/invitations"), 200)["results"]
        assert [each["collection_id"] for each in listed] == [collection]

    def test_what_a_form_of_ours_does_not_send_is_refused(
        self, api: httpx.Client, workspace: str, people: Any, server: Installation, browser: httpx.Client
    ) -> None:
        path = f"/workbench/workspaces/{workspace}/members"
        member, _ = people(workspace, "viewer")
        for form in (
            {"role": "owner"},
            {"go": "promote"},
            {"go": "change", "researcher": member, "role": "king"},
        ):
            assert browser.post(path, data=form).status_code == 400
        elsewhere = browser.post(
            path,
            data={"go": "change", "researcher": member, "role": "owner"},
            headers={"Origin": "https://elsewhere.example"},
        )
        assert elsewhere.status_code == 403
        _, token = insert_researcher(server, role=Role.EDITOR, workspace_id=workspace)
        with self.signed_in(server, token) as editor:
            for answer in (
                editor.get(path),
                editor.get("/workbench/members"),
                editor.post(path, data={"go": "change", "researcher": member, "role": "owner"}),
            ):
                assert answer.status_code == 403
        [found] = [
            each
            for each in expect(api.get(f"/workspaces/{workspace}/members"), 200)["results"]
            if each["id"] == member
        ]
        assert found["role"] == "viewer"

    def test_its_address_without_a_workspace_leads_to_one(
        self, workspace: str, browser: httpx.Client
    ) -> None:
        answer = browser.get("/workbench/members")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/workbench/workspaces/")
        page = browser.get(answer.headers["location"])
        assert f"/workbench/workspaces/{workspace}/members" in page.text
        with httpx.Client(base_url=str(browser.base_url), trust_env=False) as nobody:
            assert nobody.get("/workbench/members").headers["location"].startswith("/sign-in")
