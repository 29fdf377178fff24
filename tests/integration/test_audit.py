"""Every write by a researcher and every read of personal data leaves its entry; a route without a row fails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest

from fieldpack.server.app import API
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.decisions import held_for_long
from tests.integration.rows import connected, insert_failed_job, insert_researcher
from tests.integration.test_roles import ACCOUNT, OPEN, SOURCE, app_routes
from tests.integration.test_routes_table import STUDY as STUDY_BODY
from tests.integration.test_routes_table import TABLE, World, subscribe, world
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

__all__ = ["world"]

SEALED_SECONDS = 300.0  # 1 on a machine with nothing else to do
COLLECTION, STUDY = "/data-collection/collections/{collection_id}", "/studies/{study_id}"
# after these nobody takes part any more
ENDS = (
    f"PUT {COLLECTION}",
    f"DELETE {COLLECTION}",
    f"POST {STUDY}/transition",
    "POST /workbench/collections/{collection_id}/edit",
    "POST /workbench/collections/{collection_id}/delete",
)
APPROVE = f"POST {COLLECTION}/submissions/approve"
ERASE = f"POST {COLLECTION}/erasures"
DECIDE = f"POST {COLLECTION}/submissions/decisions"

# Route: what one request leaves; nothing where nothing is written, and nothing of a participant is read.
AUDITED: dict[str, list[str]] = {
    "GET /users/me": [],
    "GET /users/me/sessions": [],
    "DELETE /users/me/sessions": ["session.end"],
    "DELETE /users/me/sessions/{session_id}": ["session.end"],
    "GET /users/me/tokens": [],
    "POST /users/me/tokens": ["token.create"],
    "POST /users/me/tokens/{token_id}/rotate": ["token.create"],
    "DELETE /users/me/tokens/{token_id}": ["token.revoke"],
    "GET /workspaces": [],
    "POST /workspaces": ["workspace.create"],
    "GET /workspaces/{workspace_id}": [],
    "GET /workspaces/{workspace_id}/audit": ["audit.list"],
    "GET /workspaces/{workspace_id}/balance": [],
    "GET /workspaces/{workspace_id}/invitations": [],
    "POST /workspaces/{workspace_id}/invitations": ["invitation.create"],
    "DELETE /workspaces/{workspace_id}/invitations/{invitation_id}": ["invitation.revoke"],
    f"GET {COLLECTION}/members": [],
    f"POST {COLLECTION}/members": ["member.create"],
    f"PATCH {COLLECTION}/members/{{researcher_id}}": ["member.update"],
    f"DELETE {COLLECTION}/members/{{researcher_id}}": ["member.delete"],
    "GET /workspaces/{workspace_id}/members": [],
    "POST /workspaces/{workspace_id}/members": ["member.create"],
    "PATCH /workspaces/{workspace_id}/members/{researcher_id}": ["member.update"],
    "DELETE /workspaces/{workspace_id}/members/{researcher_id}": ["member.delete"],
    "GET /participant-groups": [],
    "POST /participant-groups": ["group.create"],
    "GET /participant-groups/{group_id}": [],
    "PATCH /participant-groups/{group_id}": ["group.update"],
    "GET /participant-groups/{group_id}/participants": ["group.read"],
    "POST /participant-groups/{group_id}/participants": ["group.update"],
    "DELETE /participant-groups/{group_id}/participants": ["group.update"],
    "DELETE /participant-groups/{group_id}": ["group.delete"],
    "GET /hooks/event-types": [],
    "GET /hooks/secrets": [],
    "POST /hooks/secrets": ["hook.secret"],
    "GET /hooks/subscriptions": [],
    "POST /hooks/subscriptions": ["hook.create"],
    "GET /hooks/subscriptions/{subscription_id}": [],
    "POST /hooks/subscriptions/{subscription_id}": ["hook.update"],
    "PATCH /hooks/subscriptions/{subscription_id}": ["hook.update"],
    "GET /hooks/subscriptions/{subscription_id}/events": [],
    "POST /hooks/subscriptions/{subscription_id}/test": ["hook.send"],
    "POST /hooks/subscriptions/{subscription_id}/events/{event_id}/resend": ["hook.send"],
    "DELETE /hooks/subscriptions/{subscription_id}": ["hook.delete"],
    "POST /workspaces/{workspace_id}/pictures": ["picture.create"],
    "GET /workspaces/{workspace_id}/projects": [],
    "POST /workspaces/{workspace_id}/projects": ["project.create"],
    "GET /projects/{project_id}": [],
    "PATCH /projects/{project_id}": ["project.update"],
    "GET /projects/{project_id}/studies": [],
    "POST /data-collection/collections": ["collection.create"],
    "GET /data-collection/collections": [],
    f"GET {COLLECTION}": [],
    f"POST {COLLECTION}/check": [],
    f"POST {COLLECTION}/archive": ["collection.update"],
    f"POST {COLLECTION}/unarchive": ["collection.update"],
    f"POST {COLLECTION}/duplicate": ["collection.create"],
    f"DELETE {COLLECTION}": ["collection.delete"],
    f"GET {COLLECTION}/overview": [],
    f"GET {COLLECTION}/responses": ["response.list"],
    f"GET {COLLECTION}/submissions": ["response.list"],
    f"GET {COLLECTION}/files/{{file_key}}": ["file.read"],
    f"POST {COLLECTION}/export": ["export.request"],
    f"GET {COLLECTION}/export": [],
    f"GET {COLLECTION}/export/{{export_id}}": ["export.link"],
    f"DELETE {COLLECTION}/export/{{export_id}}": ["export.delete"],
    f"POST {COLLECTION}/export/{{export_id}}/conversions/{{format}}": ["export.convert"],
    f"GET {COLLECTION}/export/{{export_id}}/conversions": [],
    f"GET {COLLECTION}/export/{{export_id}}/conversions/{{format}}": ["export.link"],
    f"DELETE {COLLECTION}/export/{{export_id}}/conversions/{{format}}": ["export.delete"],
    "POST /studies": ["study.create"],
    "GET /studies": [],
    f"GET {STUDY}": [],
    f"PATCH {STUDY}": ["study.update"],
    f"POST {STUDY}/links": ["study.links"],
    f"POST {STUDY}/clone": ["study.create"],
    f"POST {STUDY}/test-study": ["study.create"],
    f"GET {STUDY}/links": [],
    f"DELETE {STUDY}/test-study": ["submission.erase"],
    f"GET {STUDY}/cost": [],
    f"DELETE {STUDY}": ["study.delete"],
    f"GET {STUDY}/submissions": ["submission.list"],
    f"GET {STUDY}/submissions/counts": [],
    "GET /submissions": ["submission.list"],
    "GET /submissions/{submission_id}": ["submission.read"],
    "PATCH /submissions/{submission_id}": ["submission.update"],
    "GET /submissions/{submission_id}/response": ["response.read"],
    "GET /submissions/{submission_id}/corrections": ["correction.list"],
    "POST /submissions/{submission_id}/corrections": ["correction.create"],
    "POST /submissions/{submission_id}/corrections/files/{file_key}": ["correction.create"],
    "GET /submissions/{submission_id}/notes": ["note.list"],
    "POST /submissions/{submission_id}/notes": ["note.create"],
    "DELETE /submissions/{submission_id}/notes/{note_id}": ["note.delete"],
    "POST /submissions/{submission_id}/decisions": ["decision.hold"],
    "GET /decisions/{decision_id}": [],
    "DELETE /decisions/{decision_id}": ["decision.undo"],
    f"GET {COLLECTION}/decisions": [],
    f"GET {COLLECTION}/submissions/reviewable": [],
    DECIDE: ["decision.hold"],
    f"GET {COLLECTION}/reviewers": [],
    f"POST {COLLECTION}/submissions/assign": ["assignment.create"],
    f"POST {COLLECTION}/submissions/unassign": ["assignment.delete"],
    f"GET {COLLECTION}/submissions/approved": ["submission.list"],
    APPROVE: ["submission.transition"],
    ERASE: ["submission.erase"],
    f"POST {COLLECTION}/erasures/check": ["submission.list"],
    f"GET {COLLECTION}/erasures": [],
    f"GET {COLLECTION}/erasures/{{erasure_id}}": [],
    "GET /submissions/{submission_id}/erasure": ["submission.read"],
    "GET /submissions/{submission_id}/history": ["submission.read"],
    "POST /submissions/{submission_id}/transition": ["submission.transition"],
    "POST /submissions/{submission_id}/request-return": ["submission.request_return"],
    "POST /submissions/bulk-approve": ["submission.transition"],
    "DELETE /submissions/{submission_id}": ["submission.erase"],
    "GET /installation": [],
    "GET /installation/jobs": [],
    "POST /installation/jobs/{job}/retry": ["installation.retry"],
    "GET /installation/exports": [],
    "GET /installation/sweeps": [],
    "GET /installation/sweeps/{sweep_id}": [],
    "POST /installation/sweeps": ["installation.sweep"],
    f"PUT {COLLECTION}": ["collection.update"],
    f"POST {STUDY}/transition": ["study.transition"],
}
PAGES: dict[str, list[str]] = {
    "GET /researcher": [],
    "GET /researcher/workspaces/{workspace_id}/invitations": [],
    "POST /researcher/workspaces/{workspace_id}/invitations": ["invitation.create"],
    "POST /researcher/workspaces/{workspace_id}/invitations/{invitation_id}/revoke": ["invitation.revoke"],
    "GET /workbench/members": [],
    "GET /workbench/style": [],
    "GET /workbench/workspaces/{workspace_id}/members": [],
    "POST /workbench/workspaces/{workspace_id}/members": ["member.update"],
    "GET /workbench/workspaces/{workspace_id}/audit": ["audit.list"],
    "POST /researcher/collections/{collection_id}/export": ["export.request"],
    "GET /researcher/collections/{collection_id}/exports/{export_id}": ["export.link"],
    "POST /researcher/collections/{collection_id}/exports/{export_id}": ["export.delete"],
    "GET /workbench/collections/{collection_id}/exports": [],
    "GET /workbench/collections/{collection_id}": [],
    "GET /workbench/collections/{collection_id}/live": [],
    "GET /workbench/workspaces/{workspace_id}/collections/new": [],
    "POST /workbench/workspaces/{workspace_id}/collections/new": ["collection.create"],
    "GET /workbench/collections/{collection_id}/edit": [],
    "POST /workbench/collections/{collection_id}/edit": ["collection.update"],
    "GET /workbench/collections/{collection_id}/collection.yaml": [],
    "GET /workbench/collections/{collection_id}/manage": [],
    "POST /workbench/collections/{collection_id}/manage": ["collection.update"],
    "POST /workbench/collections/{collection_id}/delete": ["submission.erase", "collection.delete"],
    "GET /workbench/collections/{collection_id}/responses": ["response.list"],
    "POST /workbench/collections/{collection_id}/responses/decide": ["decision.hold"],
    "POST /workbench/collections/{collection_id}/undo": ["decision.undo"],
    "POST /workbench/collections/{collection_id}/responses/assign": ["assignment.create"],
    "GET /workbench/collections/{collection_id}/approved.csv": ["submission.list"],
    "GET /workbench/collections/{collection_id}/files/{file_key}": ["file.read"],
    "GET /workbench/collections/{collection_id}/files/{file_key}/thumbnail": [],  # the page that shows it has one
    "GET /workbench/collections/{collection_id}/gallery": ["response.list"],
    "POST /workbench/collections/{collection_id}/gallery": ["decision.hold"],
    "GET /workbench/collections/{collection_id}/gallery/files": ["response.list"],
    "GET /workbench/submissions/{submission_id}/answers": ["response.read"],
    "GET /workbench/submissions/{submission_id}/history": ["submission.read"],
    "GET /workbench/collections/{collection_id}/files/{file_key}/pages/{page}": [],  # as of a thumbnail
    "GET /workbench/workspaces/{workspace_id}/hooks": [],
    "POST /workbench/workspaces/{workspace_id}/hooks": ["hook.update"],
    "GET /workbench/collections/{collection_id}/studies/new": [],
    "POST /workbench/collections/{collection_id}/studies/new": ["study.create"],
    "GET /workbench/studies/{study_id}": [],
    "POST /workbench/studies/{study_id}": ["study.update"],
    "GET /workbench/studies/{study_id}/qr/{kind}.svg": [],
    "POST /workbench/studies/{study_id}/links": ["study.links"],
    "GET /workbench/submissions/{submission_id}": ["response.read"],
    "POST /workbench/submissions/{submission_id}": ["decision.hold"],
    "POST /workbench/submissions/{submission_id}/corrections": ["correction.create"],
    "POST /workbench/submissions/{submission_id}/corrections/files/{file_key}": ["correction.create"],
    "GET /workbench/submissions/{submission_id}/erase": ["submission.read"],
    "POST /workbench/submissions/{submission_id}/erase": ["submission.erase"],
    "GET /workbench/collections/{collection_id}/erase": [],  # without a filter it shows nobody
    "POST /workbench/collections/{collection_id}/erase": ["submission.erase"],
    "GET /workbench/collections/{collection_id}/erasures": [],
    "GET /workbench/administration": [],
    "POST /workbench/administration": ["installation.retry"],
    "GET /data-collection-tool/collections/{collection_id}": [],
    "POST /data-collection-tool/collections/{collection_id}": [],
}
# What a page needs besides its path: its query and its form.
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "POST /researcher/workspaces/{workspace_id}/invitations": ("", {"role": "viewer", "days": "7"}),
    "POST /researcher/collections/{collection_id}/exports/{export_id}": ("", {"go": "delete"}),
    "POST /workbench/collections/{collection_id}/responses/decide": (
        "?participant={participant}",
        {"go": "approve", "count": "1"},
    ),
    "POST /workbench/collections/{collection_id}/undo": ("", {"decision": "{decision_id}"}),
    "POST /workbench/collections/{collection_id}/responses/assign": (
        "?participant={participant}",
        {"go": "assign", "reviewer": "me", "share": "100"},
    ),
    "POST /workbench/workspaces/{workspace_id}/members": (
        "",
        {"go": "change", "researcher": "{researcher_id}", "role": "analyst"},
    ),
    "POST /workbench/workspaces/{workspace_id}/hooks": (
        "",
        {"go": "enable", "hook": "{subscription_id}"},
    ),
    "POST /workbench/collections/{collection_id}/studies/new": ("", {"name": "x", "places": "1"}),
    "POST /workbench/workspaces/{workspace_id}/collections/new": ("", {"go": "save", "source": SOURCE}),
    "POST /workbench/collections/{collection_id}/edit": (
        "",
        {"go": "save", "source": SOURCE, "version": "1", "seen": sha256(SOURCE.encode()).hexdigest()},
    ),
    "POST /workbench/collections/{collection_id}/manage": ("", {"go": "archive"}),
    "POST /workbench/collections/{collection_id}/delete": ("", {"name": "Test collection"}),
    "POST /workbench/studies/{study_id}": ("", {"go": "change", "places": "1000"}),
    "POST /workbench/studies/{study_id}/links": ("", {"participants": "a"}),
    "POST /workbench/collections/{collection_id}/gallery": (
        "",
        {"go": "approve", "chosen": "{submission_id}"},
    ),
    "POST /workbench/submissions/{submission_id}": ("", {"go": "approve"}),
    "POST /workbench/administration": ("", {"go": "retry", "job": "{job}"}),
    "POST /workbench/submissions/{submission_id}/corrections": (
        "",
        {"question": "{instruction_id}", "a.{instruction_id}": "x", "reason": "x"},
    ),
    "POST /workbench/submissions/{submission_id}/corrections/files/{file_key}": ("", {"reason": "x"}),
    "POST /workbench/submissions/{submission_id}/erase": ("", {"participant": "{participant}"}),
    "POST /workbench/collections/{collection_id}/erase": (
        "?participant={participant}",
        {"go": "erase", "shown": "1", "count": "1"},
    ),
}


def entries_since(server: Installation, last: int) -> list[dict[str, Any]]:
    with connected(server) as database:
        rows = database.execute(
            "SELECT to_jsonb(e) FROM audit_entries e WHERE id > %s ORDER BY id", [last]
        ).fetchall()
    return [row[0] for row in rows]


def entries_of(server: Installation, work: Callable[[], Any]) -> list[dict[str, Any]]:
    """What `work` leaves."""
    with connected(server) as database:
        row = database.execute("SELECT coalesce(max(id), 0) FROM audit_entries").fetchone()
    assert row is not None
    work()
    return entries_since(server, row[0])


def actions_of(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["action"] for entry in entries]


@pytest.fixture(scope="module", autouse=True)
def _unhurried(server: Installation) -> Iterator[None]:
    """What is decided here, or was decided just before, is not made while something else is looked at."""
    with held_for_long(server):
        with connected(server) as database:
            database.execute("DELETE FROM decisions WHERE ended_at IS NULL")
        yield


@pytest.fixture(scope="module")
def scenario(world: World) -> Scenario:
    return Scenario.create(world.api)


@pytest.fixture
def changed(
    world: World, scenario: Scenario, server: Installation, request: pytest.FixtureRequest
) -> dict[str, str]:
    """Ids of things that no other test has used up."""
    if getattr(request.node, "callspec", None) and request.node.callspec.id.startswith(ENDS):
        scenario = Scenario.create(world.api)
    route = request.node.callspec.id if getattr(request.node, "callspec", None) else ""
    more: dict[str, str] = {}
    if "{erasure_id}" in route:
        more = {"erasure_id": scenario.take_part(f"{uuid4()}")}
        expect(world.api.delete(f"/submissions/{more['erasure_id']}"), 204)
    if "{job}" in route or "/administration" in route:
        more = {"job": str(insert_failed_job(server))}
    if route == "POST /installation/sweeps":  # else it is the one that is under way
        wait_for(
            lambda: all(
                each["finished_at"] for each in world.api.get("/installation/sweeps").json()["results"]
            )
        )
    if "/hooks" in route:
        more = subscribe(world.api, world.ids["workspace_id"])
    if "{group_id}" in route:
        body = {"workspace_id": world.ids["workspace_id"], "name": "G"}
        more = {"group_id": expect(world.api.post("/participant-groups", json=body), 201)["id"]}
    if "{invitation_id}" in route:
        path = f"/workspaces/{world.ids['workspace_id']}/invitations"
        more = {"invitation_id": expect(world.api.post(path, json={"role": "viewer"}), 201)["id"]}
    if "{session_id}" in route or "{token_id}" in route:
        more = new_credentials(server)
    person = f"{uuid4()}"
    submission = scenario.take_part(person, files=[("a.png", PNG)])
    export = scenario.export()
    path = f"/data-collection/collections/{scenario.collection['id']}/responses"
    records = expect(world.api.get(path, params={"limit": 1000}), 200)["results"]
    files = [
        answer["file_key"]
        for record in records
        if record["submission_id"] == submission
        for answer in record["response"]["answer"]
        if "file_key" in answer
    ]
    made = {
        "collection_id": scenario.collection["id"],
        "study_id": scenario.study["id"],
        "participant": person,
        "submission_id": submission,
        "export_id": export["export_id"],
        "file_key": files[0],
        "instruction_id": scenario.collection["collection_items"][0]["page_items"][0]["id"],
        "note_id": expect(world.api.post(f"/submissions/{submission}/notes", json={"text": "x"}), 201)["id"],
    }
    if "{decision_id}" in route or route.endswith("/undo"):
        path = f"/submissions/{submission}/decisions"
        made["decision_id"] = expect(world.api.post(path, json={"action": "APPROVE"}), 201)["id"]
    if route == f"DELETE {STUDY}":
        body = json.loads(world.fill(json.dumps(STUDY_BODY), **made))
        made["study_id"] = expect(world.api.post("/studies", json=body), 201)["id"]
    if "{format}" in route and not route.startswith("POST"):
        conversion = f"{scenario.export_path}/{export['export_id']}/conversions/codebook"
        expect(world.api.post(conversion), 202)
        wait_for(lambda: expect(world.api.get(conversion), 200)["status"] == "complete")
    if route == f"DELETE {STUDY}/test-study":
        trial = expect(world.api.post(f"/studies/{scenario.study['id']}/test-study"), 200)["study_id"]
        begin = {"participant_id": person, "session_id": str(uuid4())}
        expect(world.api.post(f"/participate/studies/{trial}/submissions", json=begin), 201)
    if "/members" in route:
        del made["collection_id"]  # that of the table, which has some
    if (
        route == "POST /workbench/workspaces/{workspace_id}/members"
    ):  # who is in the table may have been removed
        path = f"/workspaces/{world.ids['workspace_id']}/members"
        answer = world.api.post(
            path, json={"email": f"{world.ids['study_id']}@example.org", "role": "viewer"}
        )
        assert answer.status_code in (201, 409), answer.text
    return made | more


def new_credentials(server: Installation) -> dict[str, str]:
    """A session and a token of the first researcher that can be ended."""
    made = json.loads(server.run("token", "create", "--name", "to be revoked", "--json").stdout)
    form, headers = {"token": server.token}, {"Origin": server.url}
    answer = httpx.post(f"{server.url}/sign-in", data=form, headers=headers, trust_env=False)
    assert answer.status_code == 303
    with server.client() as api:
        sessions = expect(api.get("/users/me/sessions"), 200)["results"]
    return {"token_id": made["token_id"], "session_id": sessions[0]["id"]}


def test_every_route_has_a_row() -> None:
    assert set(AUDITED) == {route for route, row in TABLE.items() if row.access == "researcher"}
    pages = {
        f"{method} {route.path}"
        for route in app_routes()
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
        if route.path
        and not route.path.startswith(API)
        and not OPEN.fullmatch(route.path)
        and not route.path.startswith("/sign-in")
    }
    assert set(PAGES) | ACCOUNT == pages


def test_every_write_leaves_something() -> None:
    # a step of the preview, and what a change would do
    nothing_written = {"POST /data-collection-tool/collections/{collection_id}", f"POST {COLLECTION}/check"}
    for route, actions in (AUDITED | PAGES).items():
        assert actions or route.startswith("GET ") or route in nothing_written, route


@pytest.mark.parametrize("route", AUDITED)
def test_what_a_request_leaves(
    world: World, server: Installation, changed: dict[str, str], route: str
) -> None:
    # else an export is answered with the one there is, and its link, and a collection is not deleted
    if route in (f"POST {COLLECTION}/export", f"DELETE {COLLECTION}"):
        expect(world.api.delete(f"/submissions/{changed['submission_id']}"), 204)

    def work() -> None:
        if route in (APPROVE, ERASE):  # the table's own lets nobody through
            path = world.fill(route.partition(" ")[2] + f"?participant={changed['participant']}", **changed)
            expect(world.api.post(path, json={"count": 1}), 200)
            return
        if route == DECIDE:
            path = world.fill(route.partition(" ")[2] + f"?participant={changed['participant']}", **changed)
            expect(world.api.post(path, json={"action": "APPROVE", "count": 1}), 201)
            return
        row = TABLE[route]
        body = row.body
        if body is not None and not isinstance(body, bytes):
            body = json.loads(world.fill(json.dumps(body), **changed))
        answer = world.send(world.api, route, body=body, **changed)
        assert answer.is_success, answer.text

    subject = subject_of(server, "submission_id", changed["submission_id"])
    entries = entries_of(server, work)
    assert actions_of(entries) == AUDITED[route]
    for entry in entries:
        assert entry["actor_type"] == "researcher"
        assert entry["actor_id"] == subject_of(server, "researcher_id", me(world))
        assert (entry["credential_type"], entry["address"]) == ("token", "127.0.0.1")
        assert entry["credential_id"] is not None
        assert entry["workspace_id"] is not None or "/users/me/" in route or "/installation" in route
        if "{submission_id}" in route:
            is_thing = entry["action"].startswith(
                ("note.", "decision.", "correction.")
            )  # which has an id of its own
            is_object = is_thing and not route.startswith("GET")
            assert (entry["object_id"] is not None) == is_object
            assert entry["subject_id"] == subject
        assert not {changed["submission_id"], changed["participant"]} & set(
            re.findall(r"[0-9a-f-]{36}", str(entry))
        )


def me(world: World) -> str:
    found: str = expect(world.api.get("/users/me"), 200)["id"]
    return found


def subject_of(server: Installation, column: str, id: str) -> str | None:
    with connected(server) as database:
        row = database.execute(
            f"SELECT id::text FROM audit_subjects WHERE {column} = %s",
            [id],
        ).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("route", AUDITED)
def test_what_is_refused_leaves_nothing(world: World, server: Installation, route: str) -> None:
    def work() -> None:
        for client in (world.nobody, world.revoked):
            assert world.valid(client, route).status_code == 401
        if TABLE[route].other >= 400:
            assert world.valid(world.other, route).status_code == TABLE[route].other
        if TABLE[route].body is not None:
            assert world.send(world.api, route, body=b"{").status_code == 400

    assert entries_of(server, work) == []


@pytest.fixture
def browser(server: Installation) -> Iterator[httpx.Client]:
    """Somebody who has signed in."""
    with httpx.Client(
        base_url=server.url, headers={"Origin": server.url}, trust_env=False, timeout=60
    ) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_leaves(
    world: World, server: Installation, browser: httpx.Client, changed: dict[str, str], page: str
) -> None:
    method, _, path = page.partition(" ")

    def work() -> None:
        query, form = FORMS.get(page, ("", {}))
        data = {world.fill(name, **changed): world.fill(text, **changed) for name, text in form.items()}
        files = {"file": ("new.png", PNG)} if "/corrections/files/" in page else None
        answer = browser.request(method, world.fill(path + query, **changed), data=data or None, files=files)
        is_missing = page.endswith("/pages/{page}") and answer.status_code == 404  # a photo has no pages
        assert answer.status_code < 400 or is_missing, answer.text

    if page.endswith("/thumbnail"):  # it is made by and by
        wait_for(lambda: browser.get(world.fill(path, **changed)).status_code == 200)
    entries = entries_of(server, work)
    assert actions_of(entries) == PAGES[page]
    for entry in entries:
        assert (entry["credential_type"], entry["address"]) == ("session", "127.0.0.1")


def test_what_is_done_to_an_account(world: World, server: Installation) -> None:
    """Signed in by a link, which is what an account may be changed after."""
    email = expect(world.api.get("/users/me"), 200)["email"]

    def work() -> None:
        link = server.run("open", "--print", "--researcher", email).stdout.strip().splitlines()[-1]
        code = parse_qs(urlsplit(link).query)["code"][0]
        headers = {"Origin": server.url}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
            assert client.post("/sign-in/once", data={"code": code}).status_code == 303
            password = f"{uuid4()} and more"
            form = {"password": password, "again": password}
            assert client.post("/researcher/account/password", data=form).status_code == 303
            assert client.post("/researcher/account/sessions/end-others").status_code == 303
            assert client.post("/researcher/account/password/remove").status_code == 303
            made = new_credentials(server)
            token = f"/researcher/account/tokens/{made['token_id']}/revoke"
            assert client.post(token).status_code == 303
            assert client.post(f"/researcher/account/sessions/{made['session_id']}/end").status_code == 303
            assert client.post("/sign-out").status_code == 303

    entries = entries_of(server, work)
    assert [(entry["action"], entry["details"].get("step")) for entry in entries] == [
        ("session.begin", "link"),
        ("credential.update", "password set"),
        ("session.end", None),
        ("credential.update", "password removed"),
        ("token.create", None),
        ("session.begin", "token"),
        ("token.revoke", None),
        ("session.end", None),
        ("session.end", None),
    ]
    subject = subject_of(server, "researcher_id", me(world))
    assert {entry["subject_id"] for entry in entries} == {subject}


def invited(world: World, role: str) -> str:
    """The code of an invitation to the workspace."""
    path = f"/workspaces/{world.ids['workspace_id']}/invitations"
    made: dict[str, str] = expect(world.api.post(path, json={"role": role}), 201)
    return parse_qs(urlsplit(made["url"]).query)["code"][0]


def test_whoever_accepts_an_invitation_leaves_an_entry(world: World, server: Installation) -> None:
    """As somebody new, and as who is signed in; a look at the link, or following it again, leaves nothing."""
    headers, code = {"Origin": server.url}, invited(world, "viewer")
    email = f"{uuid4()}@example.org"

    def join() -> None:
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
            assert client.get("/join", params={"code": code}).status_code == 200
            form = {"code": code, "email": email, "name": "N N"}
            assert client.post("/join", data=form).status_code == 303
            assert client.post("/join", data={**form, "email": f"2-{email}"}).status_code == 403

    entries = entries_of(server, join)
    assert [(entry["action"], entry["details"]) for entry in entries] == [
        ("invitation.accept", {"role": "viewer"}),
        ("session.begin", {"step": "invitation"}),
    ]
    with connected(server) as database:
        row = database.execute("SELECT id::text FROM researchers WHERE email = %s", [email]).fetchone()
    assert row is not None
    subject = subject_of(server, "researcher_id", row[0])
    assert subject is not None
    for entry in entries:
        assert entry["actor_type"] == "researcher"
        assert (entry["actor_id"], entry["subject_id"]) == (subject, subject)
        assert email not in str(entry)
    assert entries[0]["workspace_id"] == world.ids["workspace_id"]
    assert entries[0]["object_id"] is not None

    code = invited(world, "reviewer")
    _, token = insert_researcher(server)

    def accept() -> None:
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
            assert client.post("/sign-in", data={"token": token}).status_code == 303
            assert client.post("/join", data={"code": code}).status_code == 303

    entries = entries_of(server, accept)
    assert actions_of(entries) == ["session.begin", "invitation.accept"]
    assert entries[1]["details"] == {"role": "reviewer"}
    assert entries[1]["actor_id"] == entries[0]["subject_id"]


def test_lists_say_what_was_asked_for_and_how_much_was_shown(
    world: World, server: Installation, changed: dict[str, str]
) -> None:
    path = f"/studies/{changed['study_id']}/submissions?status=(approved|awaiting_review)&limit=1&offset=0"
    [entry] = entries_of(server, lambda: expect(world.api.get(path), 200))
    total = entry["details"].pop("total")
    assert total >= 1
    assert entry["details"] == {
        "count": 1,
        "limit": 1,
        "offset": 0,
        "status": ["APPROVED", "AWAITING REVIEW"],
    }


def test_what_a_filter_looks_for_is_not_said_where_it_could_name_somebody(
    world: World, server: Installation, changed: dict[str, str]
) -> None:
    question = expect(world.api.get(f"/data-collection/collections/{changed['collection_id']}"), 200)[
        "collection_items"
    ][0]["page_items"][0]["id"]
    given = {
        "participant": changed["participant"],
        "search": "secret",
        "where": f"{question}:contains:secret",
        "state": "AWAITING REVIEW",
        "since": "2020-01-01",
    }
    path = f"/data-collection/collections/{changed['collection_id']}/submissions"
    [entry] = entries_of(server, lambda: expect(world.api.get(path, params=given), 200))
    assert "secret" not in str(entry)
    assert changed["participant"] not in str(entry)
    details = entry["details"]
    assert details["filters"] == ["participant", "search"]
    assert (details["questions"], details["status"]) == ([question], ["AWAITING REVIEW"])
    assert details["since"].startswith("2020-01-01")


def test_a_file_is_somebodys(world: World, server: Installation, changed: dict[str, str]) -> None:
    path = f"/data-collection/collections/{changed['collection_id']}/files/{changed['file_key']}"
    [entry] = entries_of(server, lambda: world.api.get(path).raise_for_status())
    assert entry["object_id"] == changed["file_key"]
    assert entry["subject_id"] == subject_of(server, "submission_id", changed["submission_id"])


def test_of_participants_only_start_submit_and_withdraw(world: World, server: Installation) -> None:
    scenario = Scenario.create(world.api)

    def take_part() -> None:
        participant = scenario.start("somebody", "a session")
        expect(participant.answer(participant.item(0), {"value": "It was fine."}), 200)
        participant.upload(participant.item(1), "a.png", PNG)
        expect(participant.http.get(participant.path, headers=participant.headers), 200)
        scenario.start("somebody", "a session")  # resumed
        participant.submit()
        participant.submit()  # changes nothing
        other = scenario.start("somebody else")
        expect(other.http.post(f"{other.path}/return", headers=other.headers), 200)

    entries = entries_of(server, take_part)
    assert actions_of(entries) == [
        "submission.start",
        "submission.submit",
        "submission.start",
        "submission.return",
    ]
    for entry in entries:
        assert entry["actor_type"] == "participant"
        assert entry["actor_id"] == entry["subject_id"] is not None
        assert entry["address"] is entry["credential_id"] is None
        assert entry["details"] == {}
        assert entry["collection_id"] == scenario.collection["id"]
        assert "somebody" not in json.dumps(entry)


def test_a_download_is_noted_once_a_link_address_and_hour(world: World, server: Installation) -> None:
    scenario = Scenario.create(world.api)
    scenario.take_part("one")
    export = scenario.export()

    def fetch(url: str) -> None:
        httpx.get(url, trust_env=False).raise_for_status()
        for start in (0, 10, 20):
            headers = {"Range": f"bytes={start}-{start + 9}"}
            httpx.get(url, headers=headers, trust_env=False).raise_for_status()
        httpx.head(url, trust_env=False).raise_for_status()

    entries = entries_of(server, lambda: fetch(export["url"]))
    assert len(entries) == len(
        {entry["at"][:13] for entry in entries}
    )  # one, but where an hour began meanwhile
    entry = entries[0]
    assert (entry["action"], entry["actor_type"], entry["address"]) == (
        "archive.download",
        "link",
        "127.0.0.1",
    )
    assert entry["credential_id"] == urlsplit(export["url"]).query.partition("=")[2].partition("&")[0]
    fresh = expect(world.api.get(f"{scenario.export_path}/{export['export_id']}"), 200)
    assert set(actions_of(entries_of(server, lambda: fetch(fresh["url"])))) == {"archive.download"}
    altered = export["url"][:-1] + ("0" if export["url"][-1] != "0" else "1")
    assert entries_of(server, lambda: refused(httpx.get(altered, trust_env=False), 403)) == []


def test_an_erasure_leaves_entries_that_name_nobody(world: World, server: Installation) -> None:
    scenario = Scenario.create(world.api)
    submission = scenario.take_part("leaves", "a secret")
    expect(world.api.get(f"/submissions/{submission}"), 200)
    subject = subject_of(server, "submission_id", submission)
    before = listed(server, "--object", submission)
    assert {entry["action"] for entry in before} >= {
        "submission.start",
        "submission.submit",
        "submission.read",
    }
    assert {entry["object"]["submission_id"] for entry in before} == {submission}
    expect(world.api.delete(f"/submissions/{submission}"), 204)
    assert subject_of(server, "submission_id", submission) is None
    assert listed(server, "--object", submission) == []
    after = listed(server, "--object", str(subject))
    assert [entry["id"] for entry in after[1:]] == [entry["id"] for entry in before]
    assert after[0]["action"] == "submission.erase"
    assert {entry["object"]["submission_id"] for entry in after} == {None}
    with connected(server) as database:
        for table in ("audit_entries", "audit_seals", "audit_subjects"):
            rows = database.execute(f"SELECT t::text FROM {table} t").fetchall()
            assert not [row for row in rows if submission in row[0] or "leaves" in row[0]]
    assert verified(server)["whole"]


def listed(server: Installation, *options: str) -> list[dict[str, Any]]:
    done = server.run("audit", "list", "--json", *options)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def verified(server: Installation) -> dict[str, Any]:
    done = server.run("audit", "verify", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_running_server_seals_what_is_written(world: World, server: Installation) -> None:
    expect(world.api.post("/workspaces", json={"title": "x"}), 201)
    deadline = time.monotonic() + SEALED_SECONDS
    while listed(server, "--action", "workspace.create", "--limit", "1")[0]["position"] is None:
        assert time.monotonic() < deadline, server.log[-3000:]
    verdict = verified(server)
    assert verdict["whole"]
    assert verdict["sealed"] > 0
    assert verdict["checkpoints"] >= 1
    said = server.run("audit", "verify").stdout
    assert "all as they were written" in said
    assert re.search(r"The chain ends at position \d+ with [0-9a-f]{64}\.", said)


def test_the_command_line_lists_exports_and_says_what_it_does_not_understand(
    world: World, server: Installation, tmp_path: Any
) -> None:
    target = tmp_path / "audit.jsonl"
    server.run("audit", "export", "-o", str(target))
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["position"] for line in lines] == list(range(1, len(lines) + 1))
    assert server.run("audit", "export", "-o", str(target), check=False).returncode == 1
    server.run("audit", "export", "-o", str(target), "--force")
    email = expect(world.api.get("/users/me"), 200)["email"]
    assert {entry["actor"]["email"] for entry in listed(server, "--actor", email)} == {email}
    assert listed(server, "--since", "2999-01-01") == []
    assert "submission.start" in server.run("audit", "list", "--actor", "participant", "--csv").stdout
    for wrong in (["--since", "yesterday"], ["--object", "x"], ["--action", "look"], ["--limit", "0"]):
        done = server.run("audit", "list", *wrong, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    done = server.run("audit", "verify", "--checkpoint", str(target), check=False)
    assert (done.returncode, "holds something else" in done.stderr) == (1, True)


def test_what_an_operator_does(server: Installation) -> None:
    def work() -> None:
        made = json.loads(server.run("workspace", "create", "--title", "Mine", "--json").stdout)
        server.run("workspace", "features", made["id"], "--collections", "off")
        token = json.loads(server.run("token", "create", "--name", "x", "--json").stdout)
        server.run("token", "revoke", token["token_id"])

    entries = entries_of(server, work)
    assert actions_of(entries) == ["workspace.create", "workspace.update", "token.create", "token.revoke"]
    assert {entry["actor_type"] for entry in entries} == {"operator"}


def test_only_owners_read_the_log(world: World, server: Installation, changed: dict[str, str]) -> None:
    path = f"/workspaces/{world.ids['workspace_id']}/audit"
    expect(world.api.get(f"/submissions/{changed['submission_id']}"), 200)
    found = expect(world.api.get(path, params={"object": changed["submission_id"], "limit": 1}), 200)
    assert found["meta"]["count"] >= 3
    [entry] = found["results"]
    assert entry["action"] == "submission.read"
    assert entry["object"]["submission_id"] == changed["submission_id"]
    refused(world.other.get(path), 403)
    for name, text in {"since": "x", "until": "99", "object": "x", "action": "look"}.items():
        refused(world.api.get(path, params={name: text}), 400, name)
    elsewhere = expect(world.other.get("/workspaces"), 200)["results"][0]["id"]
    found = expect(world.other.get(f"/workspaces/{elsewhere}/audit"), 200)["results"]
    assert {entry["workspace_id"] for entry in found} == {elsewhere}


def test_the_page(world: World, browser: httpx.Client, changed: dict[str, str]) -> None:
    path = f"/workbench/workspaces/{world.ids['workspace_id']}/audit"
    expect(world.api.get(f"/submissions/{changed['submission_id']}"), 200)
    page = browser.get(path, params={"object": changed["submission_id"]})
    assert page.status_code == 200
    assert changed["submission_id"] in page.text
    assert page.text.count("<tr>") >= 4
    assert browser.get(path, params={"since": "yesterday"}).status_code == 400
    assert 'rel="next"' in browser.get(path).text
    assert browser.get(path, params={"page": "2"}).status_code == 200
    with httpx.Client(base_url=browser.base_url, trust_env=False) as nobody:
        assert nobody.get(path).status_code == 303


def test_an_entry_is_there_only_if_what_it_is_about_was_done(world: World, server: Installation) -> None:
    """In the same transaction: what can't be noted is not done."""
    with connected(server) as database:
        database.execute(
            "ALTER TABLE audit_entries ADD CONSTRAINT none CHECK (action <> 'workspace.create') NOT VALID"
        )
        try:
            count = len(expect(world.api.get("/workspaces"), 200)["results"])
            refused(world.api.post("/workspaces", json={"title": "Unseen"}), 500)
            assert len(expect(world.api.get("/workspaces"), 200)["results"]) == count
        finally:
            database.execute("ALTER TABLE audit_entries DROP CONSTRAINT none")
    with connected(server) as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute("DELETE FROM audit_entries")
