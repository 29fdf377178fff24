"""Invitations: who makes one, and what following it does, by page, API and command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.integration.test_signing_in import (
    COOKIE,
    DEVICE,
    PASSWORD,
    Browser,
    by_link,
    make_researcher,
    make_token,
)
from tests.refusals import refused
from tests.scenario import Scenario, expect


@pytest.fixture(scope="module")
def own() -> Iterator[Installation]:
    """An installation of two web processes."""
    with installed("--workers", "2") as installation:
        yield installation


def workspace_of(server: Installation) -> str:
    with server.client() as api:
        found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        return found


def invite(server: Installation, **body: Any) -> dict[str, Any]:
    """An invitation of the first researcher's, an owner, with its link."""
    with server.client() as api:
        path = f"/workspaces/{workspace_of(server)}/invitations"
        made: dict[str, Any] = expect(api.post(path, json={"role": "reviewer", **body}), 201)
        return made


def code_of(url: str) -> str:
    parts = urlsplit(url)
    assert parts.path == "/join"
    return parts.query.removeprefix("code=")


def roles_of(server: Installation, email: str) -> tuple[list[str], list[str]]:
    """Somebody's roles in workspaces, and on collections."""
    with connected(server) as database:
        found = [
            [
                role
                for (role,) in database.execute(
                    f"SELECT m.role FROM {table} m JOIN researchers r ON r.id = m.researcher_id"
                    " WHERE r.email = %s",
                    [email],
                ).fetchall()
            ]
            for table in ("memberships", "collection_roles")
        ]
    return found[0], found[1]


def new_email() -> str:
    return f"new-{uuid4().hex[:8]}@example.org"


def test_somebody_new_follows_a_link_and_is_in(own: Installation) -> None:
    made = invite(own)
    assert (made["role"], made["status"], made["email"], made["collection_id"]) == (
        "reviewer",
        "open",
        None,
        None,
    )
    email, browser = new_email(), Browser(own)
    path = f"/join?code={code_of(made['url'])}"
    for _ in range(2):  # looking uses nothing up
        page = browser.get(path)
        assert page.status_code == 200
        assert "Reviewer: reads responses" in page.text
    assert browser.cookies == {}
    joined = browser.post("/join", code=code_of(made["url"]), name="  Bo  Li ", email=email)
    assert (joined.status_code, joined.headers["location"]) == (303, "/researcher/account")
    assert {COOKIE, DEVICE} <= set(browser.cookies)
    account = browser.get("/researcher/account").text
    assert "Bo Li" in account
    assert "Signed in by an invitation" in account
    assert 'name="password"' in account  # which may be set now
    assert roles_of(own, email) == (["reviewer"], [])
    again = Browser(own).post("/join", code=code_of(made["url"]), name="x", email=new_email())
    assert again.status_code == 403
    assert Browser(own).get(path).status_code == 403
    with own.client() as api:
        listed = expect(api.get(f"/workspaces/{made['workspace_id']}/invitations"), 200)["results"]
        row = next(each for each in listed if each["id"] == made["id"])
        assert (row["status"], row["accepted_by"]) == ("accepted", email)
        assert "url" not in row
    with connected(own) as database:
        assert code_of(made["url"]) not in str(
            database.execute("SELECT i::text FROM invitations i").fetchall()
        )
    assert code_of(made["url"]) not in own.log


def test_of_several_at_once_one_comes_in(own: Installation) -> None:
    code = code_of(invite(own)["url"])

    def follow(number: int) -> int:
        return Browser(own).post("/join", code=code, name="x", email=new_email()).status_code

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(follow, range(6))) == [303] + [403] * 5


def test_who_has_an_account_signs_in_and_accepts(own: Installation) -> None:
    email = make_researcher(own)
    code = code_of(invite(own)["url"])
    stranger = Browser(own).post("/join", code=code, name="Thief", email=email.upper())
    assert stranger.status_code == 409
    assert "sign in first" in stranger.text
    assert f"/sign-in?next=/join%3Fcode%3D{code}" in unescape(stranger.text)
    browser = by_link(own, email)
    assert 'name="email"' not in browser.get(f"/join?code={code}").text
    accepted = browser.post("/join", code=code)
    assert (accepted.status_code, accepted.headers["location"]) == (303, "/researcher")
    assert roles_of(own, email) == (["reviewer"], [])


def test_an_invitation_raises_a_role_and_lowers_none(own: Installation) -> None:
    email = make_researcher(own)
    browser = by_link(own, email)
    for role, held in (
        ("analyst", "analyst"),
        ("viewer", "analyst"),
        ("editor", "editor"),
        ("owner", "owner"),
        ("viewer", "owner"),
    ):
        assert browser.post("/join", code=code_of(invite(own, role=role)["url"])).status_code == 303
        assert roles_of(own, email) == ([held], [])


def test_an_invitation_to_a_collection_opens_that_alone(own: Installation) -> None:
    with own.client() as api:
        mine, other = Scenario.create(api), Scenario.create(api)
    made = invite(own, collection_id=mine.collection["id"], role="analyst")
    email, browser = new_email(), Browser(own)
    assert browser.post("/join", code=code_of(made["url"]), name="x", email=email).status_code == 303
    assert roles_of(own, email) == ([], ["analyst"])
    token, _ = make_token(own, email, "x")
    with own.client(token) as api:
        expect(api.get(f"/data-collection/collections/{mine.collection['id']}/responses"), 200)
        refused(api.get(f"/data-collection/collections/{other.collection['id']}/responses"), 404)


def test_one_for_an_address_is_for_nobody_else(own: Installation) -> None:
    email = new_email()
    code = code_of(invite(own, email=email)["url"])
    other = by_link(own, make_researcher(own))
    assert "is for" in other.get(f"/join?code={code}").text
    assert other.post("/join", code=code).status_code == 403
    browser = Browser(own)
    assert browser.post("/join", code=code, name="x", email="other@example.org").status_code == 303
    assert roles_of(own, email) == (["reviewer"], [])


@pytest.mark.parametrize(
    "email", ["bo\u017fs-{}@lab.org", "\u212aate-{}@lab.org", "x-{}@lab.org.", "\u202ex-{}@lab.org"]
)
def test_an_address_that_looks_like_another_makes_no_account(own: Installation, email: str) -> None:
    email = email.format(uuid4().hex[:8])
    browser = Browser(own)
    assert browser.post("/join", code=code_of(invite(own)["url"]), name="x", email=email).status_code == 400
    assert not browser.is_in
    with own.client() as api:
        path = f"/workspaces/{workspace_of(own)}/invitations"
        refused(api.post(path, json={"role": "viewer", "email": email}), 400, "email")


@pytest.mark.parametrize("odd", ["bo\u017fs-{}@lab.org", "bo\u00df-{}@lab.org"])
def test_one_for_an_address_is_for_none_that_looks_like_it(own: Installation, odd: str) -> None:
    """Accounts of before, with such addresses, go on: by link, by password and by command."""
    number = uuid4().hex[:8]
    odd, email = odd.format(number), f"boss-{number}@lab.org"
    with connected(own) as database:
        database.execute("INSERT INTO researchers (id, email) VALUES (gen_random_uuid(), %s)", [odd])
    browser = by_link(own, odd)
    code = code_of(invite(own, email=email)["url"])
    assert "is for" in browser.get(f"/join?code={code}").text
    assert browser.post("/join", code=code).status_code == 403
    assert browser.post("/researcher/account/password", password=PASSWORD, again=PASSWORD).status_code == 303
    again = Browser(own)
    assert again.sign_in(odd, PASSWORD).is_redirect
    assert again.is_in
    assert Browser(own).sign_in(email, PASSWORD).status_code != 303
    assert browser.post("/join", code=code_of(invite(own, email=odd)["url"])).status_code == 303
    own.run("token", "create", "--name", "x", "--researcher", odd)


def is_proven(server: Installation, email: str) -> bool:
    with connected(server) as database:
        row = database.execute(
            "SELECT address_proven_at IS NOT NULL FROM researchers WHERE email = %s", [email]
        ).fetchone()
        assert row is not None
        return bool(row[0])


def test_an_address_that_somebody_typed_gets_nothing_that_is_given_to_it(server: Installation) -> None:
    email, browser = new_email(), Browser(server)
    assert (
        browser.post("/join", code=code_of(invite(server)["url"]), name="x", email=email).status_code == 303
    )
    assert not is_proven(server, email)
    with server.client() as api:
        first = workspace_of(server)
        second = expect(api.post("/workspaces", json={"title": "Other"}), 201)["id"]
        collection = Scenario.create(api).collection["id"]
        paths = [f"/workspaces/{second}/members", f"/data-collection/collections/{collection}/members"]
        for path in paths:
            said = refused(api.post(path, json={"email": email.upper(), "role": "editor"}), 409)
            assert "make an invitation for the address" in said
        # where they are a member it is said that they are one, as ever
        listed = f"/workspaces/{first}/members"
        assert "has a role here" in refused(api.post(listed, json={"email": email, "role": "editor"}), 409)
        # the page shows who that is, and an owner may give them more there
        owner = by_link(server, expect(api.get("/users/me"), 200)["email"])
        page = f"/workbench/workspaces/{first}/members"
        assert "address not proven" in owner.get(page).text
        [id] = [each["id"] for each in expect(api.get(listed), 200)["results"] if each["email"] == email]
        given = {"go": "give", "role": "analyst", "collection": collection}
        assert "Invite the address instead" in owner.post(page, email=email, **given).text
        assert roles_of(server, email) == (["reviewer"], [])
        assert owner.post(page, researcher=id, **given).status_code == 303
        assert roles_of(server, email) == (["reviewer"], ["analyst"])
        other = f"/workbench/workspaces/{second}/members"
        assert owner.post(other, researcher=id, **given).status_code == 404
        # an invitation for the address proves it
        invited = expect(
            api.post(f"/workspaces/{second}/invitations", json={"role": "viewer", "email": email.title()}),
            201,
        )
        assert browser.post("/join", code=code_of(invited["url"])).status_code == 303
        assert is_proven(server, email)
        third = expect(api.post("/workspaces", json={"title": "Third"}), 201)["id"]
        expect(api.post(f"/workspaces/{third}/members", json={"email": email, "role": "viewer"}), 201)


def test_whose_addresses_are_proven(own: Installation) -> None:
    named, added, made = new_email(), new_email(), new_email()
    browser = Browser(own)
    assert browser.post(
        "/join", code=code_of(invite(own, email=named)["url"]), name="x", email=""
    ).is_redirect
    with own.client() as api:
        path = f"/workspaces/{workspace_of(own)}/members"
        # the answer has nothing to sign in with
        assert set(expect(api.post(path, json={"email": added, "role": "viewer"}), 201)) == {
            "id",
            "name",
            "email",
            "role",
            "roles",
            "created_at",
        }
        first = expect(api.get("/users/me"), 200)["email"]
    own.run("token", "create", "--name", "x", "--researcher", made)
    assert [is_proven(own, each) for each in (named, added, made, first)] == [True] * 4


@pytest.mark.parametrize("end", ["expires_at = now()", "revoked_at = now()"])
def test_one_that_is_over_lets_nobody_in(own: Installation, end: str) -> None:
    made = invite(own)
    with connected(own) as database:
        database.execute(f"UPDATE invitations SET {end} WHERE id = %s", [made["id"]])
    email = new_email()
    assert Browser(own).get(f"/join?code={code_of(made['url'])}").status_code == 403
    assert Browser(own).post("/join", code=code_of(made["url"]), name="x", email=email).status_code == 403
    assert roles_of(own, email) == ([], [])


def test_whoever_is_no_owner_any_more_lets_nobody_in(own: Installation) -> None:
    email = make_researcher(own)
    assert (
        by_link(own, email).post("/join", code=code_of(invite(own, role="owner")["url"])).status_code == 303
    )
    token, _ = make_token(own, email, "x")
    with own.client(token) as api:
        workspace = workspace_of(own)
        made = expect(api.post(f"/workspaces/{workspace}/invitations", json={"role": "owner"}), 201)
        with connected(own) as database:
            database.execute(
                "UPDATE memberships SET role = 'editor' FROM researchers r"
                " WHERE r.id = researcher_id AND r.email = %s",
                [email],
            )
        refused(api.post(f"/workspaces/{workspace}/invitations", json={"role": "viewer"}), 403)
        refused(api.get(f"/workspaces/{workspace}/invitations"), 403)
    assert (
        Browser(own).post("/join", code=code_of(made["url"]), name="x", email=new_email()).status_code == 403
    )


def test_what_an_invitation_must_be(own: Installation) -> None:
    workspace = workspace_of(own)
    with own.client() as api:
        path = f"/workspaces/{workspace}/invitations"
        for body, field in (
            ({}, "role"),
            ({"role": "admin"}, "role"),
            ({"role": "viewer", "email": "x"}, "email"),
            ({"role": "viewer", "expires_in_days": 91}, "expires_in_days"),
            ({"role": "viewer", "expires_in_days": 0}, "expires_in_days"),
            ({"role": "viewer", "collection_id": str(uuid4())}, "collection_id"),
        ):
            refused(api.post(path, json=body), 400, field)
    browser = Browser(own)
    code = code_of(invite(own)["url"])
    for name, email, said in (("", "x@example.org", "your name"), ("x", "no address", "not an e-mail")):
        answer = browser.post("/join", code=code, name=name, email=email)
        assert answer.status_code == 400
        assert said in answer.text


def test_an_owner_makes_and_withdraws_one_on_the_page(own: Installation) -> None:
    with connected(own) as database:
        [(first,)] = database.execute("SELECT email FROM researchers ORDER BY created_at LIMIT 1").fetchall()
    owner = by_link(own, first)
    path = f"/researcher/workspaces/{workspace_of(own)}/invitations"
    assert path in owner.get("/researcher").text
    made = owner.post(path, role="analyst", days="3", email="")
    link = re.search(r'value="(http[^"]+/join\?code=[^"]+)"', made.text)
    assert link
    assert link[1] not in owner.get(path).text
    assert Browser(own).get(urlsplit(link[1])._replace(scheme="", netloc="").geturl()).status_code == 200
    revoke = re.search(rf'action="({path}/[0-9a-f-]+/revoke)"', owner.get(path).text)
    assert revoke
    assert owner.post(revoke[1]).status_code == 303
    assert Browser(own).get(urlsplit(link[1])._replace(scheme="", netloc="").geturl()).status_code == 403
    assert owner.post(path, role="analyst", days="3", email="x").status_code == 400
    for wrong in (
        {"role": "king", "days": "3"},
        {"role": "viewer", "days": "1000"},
        {"role": "viewer", "days": "x"},
    ):
        assert owner.post(path, **wrong).status_code == 400
    member = Browser(own)
    code = code_of(invite(own, role="editor")["url"])
    member.post("/join", code=code, name="x", email=new_email())
    assert member.get(path).status_code == 403
    assert member.post(path, role="owner", days="3").status_code == 403
    assert path not in member.get("/researcher").text


def test_the_command_line_invites_lists_and_withdraws(own: Installation) -> None:
    made = json.loads(own.run("workspace", "invite", "--role", "editor", "--expires", "3", "--json").stdout)
    assert made["url"].startswith(f"{own.url}/join?code=")
    assert Browser(own).get(f"/join?code={code_of(made['url'])}").status_code == 200
    listed = json.loads(own.run("workspace", "invitations", "list", made["workspace_id"], "--json").stdout)
    assert listed[0]["id"] == made["id"]
    own.run("workspace", "invitations", "revoke", made["id"])
    assert Browser(own).get(f"/join?code={code_of(made['url'])}").status_code == 403
    for arguments, said in (
        (["invite", "--role", "king"], "is no role"),
        (["invite", "--role", "viewer", "--expires", "400"], "90 days at most"),
        (["invite", "--role", "viewer", "--collection", str(uuid4())], "There is no collection"),
        (["invite", str(uuid4()), "--role", "viewer"], "Workspace"),
        (["invitations", "revoke", str(uuid4())], "There is no invitation"),
    ):
        failed = own.run("workspace", *arguments, check=False)
        assert failed.returncode in (1, 2)
        assert said in failed.stderr, failed.stderr
        assert failed.stderr.count("\n") == 1


def test_a_browser_of_a_member_is_what_they_are_at_each_request(own: Installation) -> None:
    """In every process: six requests agree."""
    workspace, email, member = workspace_of(own), new_email(), Browser(own)
    page = f"/researcher/workspaces/{workspace}/invitations"
    member.post("/join", code=code_of(invite(own, role="owner")["url"]), name="x", email=email)

    def statuses() -> set[int]:
        return {member.get(page).status_code for _ in range(6)}

    assert statuses() == {200}
    with own.client() as api:
        members = expect(api.get(f"/workspaces/{workspace}/members"), 200)["results"]
        path = f"/workspaces/{workspace}/members/{next(each['id'] for each in members if each['email'] == email)}"
        for role, status in (("editor", 403), ("owner", 200)):
            expect(api.patch(path, json={"role": role}), 200)
            assert statuses() == {status}
        assert api.delete(path).status_code == 204
        assert statuses() <= {403, 404}
        assert page not in member.get("/researcher").text
