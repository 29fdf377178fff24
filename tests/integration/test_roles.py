"""Every route and page does for each role what the table says, and nothing else. One without a row fails."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import RouteContext, iter_route_contexts

from fieldpack.documents.collection_files import write_collection
from fieldpack.server.accounts.access import ResearcherRoute
from fieldpack.server.accounts.permissions.roles import ALLOWED, WIRE_NAMES, Action, Role, covers, may
from fieldpack.server.app import API, create_app
from fieldpack.server.config import load_settings
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import insert_researcher
from tests.integration.test_routes_table import STUDY, TABLE, World, world
from tests.refusals import refused
from tests.scenario import Scenario, collection_body, expect

__all__ = ["world"]

OWNER, EDITOR, REVIEWER, ANALYST, VIEWER = Role
EVERYONE = frozenset(Role)
PERSONAL = EVERYONE - {VIEWER}
REVIEWERS = frozenset({OWNER, EDITOR, REVIEWER})
EXPORTERS = frozenset({OWNER, EDITOR, ANALYST})
WRITERS = frozenset({OWNER, EDITOR})
OWNERS = frozenset({OWNER})

Allowed = frozenset[Role]

# Who may use a route, with a role in the workspace, with one on the collection alone, or by a token with this role.
ROUTES: dict[str, Allowed] = {
    "GET /users/me": EVERYONE,
    "GET /users/me/sessions": EVERYONE,
    "DELETE /users/me/sessions": EVERYONE,
    "DELETE /users/me/sessions/{session_id}": EVERYONE,
    "GET /users/me/tokens": EVERYONE,
    "DELETE /users/me/tokens/{token_id}": EVERYONE,
    "GET /workspaces": EVERYONE,
    "POST /workspaces": WRITERS,
    "GET /workspaces/{workspace_id}": EVERYONE,
    "GET /workspaces/{workspace_id}/balance": EVERYONE,
    "GET /workspaces/{workspace_id}/audit": OWNERS,
    "POST /workspaces/{workspace_id}/pictures": WRITERS,
    "GET /participant-groups": PERSONAL,
    "POST /participant-groups": WRITERS,
    "GET /participant-groups/{group_id}": PERSONAL,
    "PATCH /participant-groups/{group_id}": WRITERS,
    "DELETE /participant-groups/{group_id}": WRITERS,
    "GET /participant-groups/{group_id}/participants": PERSONAL,
    "POST /participant-groups/{group_id}/participants": WRITERS,
    "DELETE /participant-groups/{group_id}/participants": WRITERS,
    "GET /hooks/event-types": EVERYONE,
    "GET /hooks/secrets": WRITERS,
    "POST /hooks/secrets": WRITERS,
    "GET /hooks/subscriptions": WRITERS,
    "POST /hooks/subscriptions": WRITERS,
    "GET /hooks/subscriptions/{subscription_id}": WRITERS,
    "POST /hooks/subscriptions/{subscription_id}": WRITERS,
    "PATCH /hooks/subscriptions/{subscription_id}": WRITERS,
    "DELETE /hooks/subscriptions/{subscription_id}": WRITERS,
    "GET /hooks/subscriptions/{subscription_id}/events": WRITERS,
    "POST /hooks/subscriptions/{subscription_id}/test": WRITERS,
    "POST /hooks/subscriptions/{subscription_id}/events/{event_id}/resend": WRITERS,
    "GET /workspaces/{workspace_id}/members": EVERYONE,
    "POST /workspaces/{workspace_id}/members": OWNERS,
    "PATCH /workspaces/{workspace_id}/members/{researcher_id}": OWNERS,
    "DELETE /workspaces/{workspace_id}/members/{researcher_id}": OWNERS,
    "GET /data-collection/collections/{collection_id}/members": OWNERS,
    "POST /data-collection/collections/{collection_id}/members": OWNERS,
    "PATCH /data-collection/collections/{collection_id}/members/{researcher_id}": OWNERS,
    "DELETE /data-collection/collections/{collection_id}/members/{researcher_id}": OWNERS,
    "GET /workspaces/{workspace_id}/invitations": OWNERS,
    "POST /workspaces/{workspace_id}/invitations": OWNERS,
    "DELETE /workspaces/{workspace_id}/invitations/{invitation_id}": OWNERS,
    "POST /users/me/tokens": EVERYONE,
    "POST /users/me/tokens/{token_id}/rotate": EVERYONE,
    "GET /workspaces/{workspace_id}/projects": EVERYONE,
    "POST /workspaces/{workspace_id}/projects": WRITERS,
    "GET /projects/{project_id}": EVERYONE,
    "PATCH /projects/{project_id}": WRITERS,
    "GET /projects/{project_id}/studies": EVERYONE,
    "POST /data-collection/collections": WRITERS,
    "GET /data-collection/collections": EVERYONE,
    "GET /data-collection/collections/{collection_id}": EVERYONE,
    "PUT /data-collection/collections/{collection_id}": WRITERS,
    "POST /data-collection/collections/{collection_id}/check": WRITERS,
    "POST /data-collection/collections/{collection_id}/archive": WRITERS,
    "POST /data-collection/collections/{collection_id}/unarchive": WRITERS,
    "POST /data-collection/collections/{collection_id}/duplicate": WRITERS,
    "DELETE /data-collection/collections/{collection_id}": WRITERS,  # 409: participants' data is in it
    "GET /data-collection/collections/{collection_id}/responses": PERSONAL,
    "GET /data-collection/collections/{collection_id}/files/{file_key}": PERSONAL,
    "POST /data-collection/collections/{collection_id}/export": EXPORTERS,
    "GET /data-collection/collections/{collection_id}/export": EXPORTERS,
    "GET /data-collection/collections/{collection_id}/export/{export_id}": EXPORTERS,
    "DELETE /data-collection/collections/{collection_id}/export/{export_id}": EXPORTERS,
    "POST /data-collection/collections/{collection_id}/export/{export_id}/conversions/{format}": EXPORTERS,
    "GET /data-collection/collections/{collection_id}/export/{export_id}/conversions": EXPORTERS,
    "GET /data-collection/collections/{collection_id}/export/{export_id}/conversions/{format}": EXPORTERS,
    "DELETE /data-collection/collections/{collection_id}/export/{export_id}/conversions/{format}": EXPORTERS,
    "POST /studies": WRITERS,
    "GET /studies": EVERYONE,
    "GET /studies/{study_id}": EVERYONE,
    "PATCH /studies/{study_id}": WRITERS,
    "DELETE /studies/{study_id}": WRITERS,
    "POST /studies/{study_id}/clone": WRITERS,
    "POST /studies/{study_id}/test-study": WRITERS,
    "GET /studies/{study_id}/links": EVERYONE,
    "DELETE /studies/{study_id}/test-study": WRITERS,
    "GET /studies/{study_id}/cost": EVERYONE,
    "POST /studies/{study_id}/transition": WRITERS,
    "POST /studies/{study_id}/links": WRITERS,
    "GET /studies/{study_id}/submissions": PERSONAL,
    "GET /studies/{study_id}/submissions/counts": EVERYONE,
    "GET /submissions": PERSONAL,
    "GET /submissions/{submission_id}": PERSONAL,
    "PATCH /submissions/{submission_id}": WRITERS,
    "DELETE /submissions/{submission_id}": WRITERS,
    "POST /submissions/{submission_id}/transition": REVIEWERS,
    "POST /submissions/{submission_id}/request-return": REVIEWERS,
    "POST /submissions/bulk-approve": REVIEWERS,
    "POST /submissions/{submission_id}/decisions": REVIEWERS,
    "GET /decisions/{decision_id}": PERSONAL,
    "DELETE /decisions/{decision_id}": REVIEWERS,
    "GET /data-collection/collections/{collection_id}/decisions": PERSONAL,
    "GET /data-collection/collections/{collection_id}/submissions/reviewable": PERSONAL,
    "POST /data-collection/collections/{collection_id}/submissions/decisions": REVIEWERS,
    "GET /data-collection/collections/{collection_id}/reviewers": PERSONAL,
    "POST /data-collection/collections/{collection_id}/submissions/assign": REVIEWERS,
    "POST /data-collection/collections/{collection_id}/submissions/unassign": REVIEWERS,
    "GET /data-collection/collections/{collection_id}/submissions/approved": PERSONAL,
    "GET /data-collection/collections/{collection_id}/overview": EVERYONE,
    "GET /data-collection/collections/{collection_id}/submissions": PERSONAL,
    "POST /data-collection/collections/{collection_id}/submissions/approve": REVIEWERS,
    "POST /data-collection/collections/{collection_id}/erasures/check": WRITERS,
    "POST /data-collection/collections/{collection_id}/erasures": WRITERS,
    "GET /data-collection/collections/{collection_id}/erasures": WRITERS,
    "GET /data-collection/collections/{collection_id}/erasures/{erasure_id}": WRITERS,
    "GET /submissions/{submission_id}/erasure": WRITERS,
    "GET /submissions/{submission_id}/history": PERSONAL,
    "GET /submissions/{submission_id}/response": PERSONAL,
    "GET /submissions/{submission_id}/corrections": PERSONAL,
    "POST /submissions/{submission_id}/corrections": WRITERS,
    "POST /submissions/{submission_id}/corrections/files/{file_key}": WRITERS,
    "GET /submissions/{submission_id}/notes": PERSONAL,
    "POST /submissions/{submission_id}/notes": PERSONAL,
    "DELETE /submissions/{submission_id}/notes/{note_id}": PERSONAL,
}
# What no role allows: they are for operators of the installation.
OPERATORS = {
    "GET /installation",
    "GET /installation/jobs",
    "POST /installation/jobs/{job}/retry",
    "GET /installation/exports",
    "GET /installation/sweeps",
    "GET /installation/sweeps/{sweep_id}",
    "POST /installation/sweeps",
}
# what a role on one collection is not enough for, whatever role it is, and what it is answered
OF_THE_WORKSPACE = {
    "GET /workspaces/{workspace_id}/members": 403,
    "POST /workspaces/{workspace_id}/members": 403,
    "PATCH /workspaces/{workspace_id}/members/{researcher_id}": 403,
    "DELETE /workspaces/{workspace_id}/members/{researcher_id}": 403,
    "GET /workspaces/{workspace_id}/invitations": 403,
    "POST /workspaces/{workspace_id}/invitations": 403,
    "DELETE /workspaces/{workspace_id}/invitations/{invitation_id}": 403,
    "GET /workspaces/{workspace_id}/audit": 403,
    "GET /workspaces/{workspace_id}/projects": 403,
    "POST /workspaces/{workspace_id}/projects": 403,
    "GET /participant-groups": 403,
    "POST /participant-groups": 403,
    "GET /participant-groups/{group_id}": 404,
    "PATCH /participant-groups/{group_id}": 404,
    "DELETE /participant-groups/{group_id}": 404,
    "GET /participant-groups/{group_id}/participants": 404,
    "POST /participant-groups/{group_id}/participants": 404,
    "DELETE /participant-groups/{group_id}/participants": 404,
    "GET /hooks/secrets": 403,
    "POST /hooks/secrets": 403,
    "GET /hooks/subscriptions": 403,
    "POST /hooks/subscriptions": 403,
    "GET /hooks/subscriptions/{subscription_id}": 404,
    "POST /hooks/subscriptions/{subscription_id}": 404,
    "PATCH /hooks/subscriptions/{subscription_id}": 404,
    "DELETE /hooks/subscriptions/{subscription_id}": 404,
    "GET /hooks/subscriptions/{subscription_id}/events": 404,
    "POST /hooks/subscriptions/{subscription_id}/test": 404,
    "POST /hooks/subscriptions/{subscription_id}/events/{event_id}/resend": 404,
    "GET /projects/{project_id}": 404,
    "PATCH /projects/{project_id}": 404,
    "GET /projects/{project_id}/studies": 404,
    "POST /data-collection/collections": 403,
    "POST /data-collection/collections/{collection_id}/duplicate": 403,
}

# Pages of researchers.
PAGES: dict[str, Allowed] = {
    "GET /researcher": EVERYONE,
    "GET /researcher/workspaces/{workspace_id}/invitations": OWNERS,
    "POST /researcher/workspaces/{workspace_id}/invitations": OWNERS,
    "POST /researcher/workspaces/{workspace_id}/invitations/{invitation_id}/revoke": OWNERS,
    "GET /workbench/members": OWNERS,
    "GET /workbench/style": EVERYONE,
    "GET /workbench/workspaces/{workspace_id}/members": OWNERS,
    "POST /workbench/workspaces/{workspace_id}/members": OWNERS,
    "GET /workbench/workspaces/{workspace_id}/audit": OWNERS,
    "POST /researcher/collections/{collection_id}/export": EXPORTERS,
    "GET /researcher/collections/{collection_id}/exports/{export_id}": EXPORTERS,
    "POST /researcher/collections/{collection_id}/exports/{export_id}": EXPORTERS,
    "GET /workbench/collections/{collection_id}/exports": EXPORTERS,
    "GET /data-collection-tool/collections/{collection_id}": EVERYONE,
    "POST /data-collection-tool/collections/{collection_id}": EVERYONE,
    "GET /workbench/workspaces/{workspace_id}/hooks": WRITERS,
    "POST /workbench/workspaces/{workspace_id}/hooks": WRITERS,
    "GET /workbench/collections/{collection_id}": EVERYONE,
    "GET /workbench/collections/{collection_id}/live": EVERYONE,
    "GET /workbench/workspaces/{workspace_id}/collections/new": WRITERS,
    "POST /workbench/workspaces/{workspace_id}/collections/new": WRITERS,
    "GET /workbench/collections/{collection_id}/edit": WRITERS,
    "POST /workbench/collections/{collection_id}/edit": WRITERS,
    "GET /workbench/collections/{collection_id}/collection.yaml": EVERYONE,
    "GET /workbench/collections/{collection_id}/manage": WRITERS,
    "POST /workbench/collections/{collection_id}/manage": WRITERS,
    "POST /workbench/collections/{collection_id}/delete": WRITERS,
    "GET /workbench/collections/{collection_id}/studies/new": WRITERS,
    "POST /workbench/collections/{collection_id}/studies/new": WRITERS,
    "GET /workbench/studies/{study_id}": EVERYONE,
    "POST /workbench/studies/{study_id}": WRITERS,
    "GET /workbench/studies/{study_id}/qr/{kind}.svg": EVERYONE,
    "POST /workbench/studies/{study_id}/links": WRITERS,
    "GET /workbench/collections/{collection_id}/responses": PERSONAL,
    "POST /workbench/collections/{collection_id}/responses/decide": REVIEWERS,
    "POST /workbench/collections/{collection_id}/undo": PERSONAL,
    "POST /workbench/collections/{collection_id}/responses/assign": REVIEWERS,
    "GET /workbench/collections/{collection_id}/approved.csv": PERSONAL,
    "GET /workbench/collections/{collection_id}/files/{file_key}": PERSONAL,
    "GET /workbench/collections/{collection_id}/files/{file_key}/thumbnail": PERSONAL,
    "GET /workbench/collections/{collection_id}/gallery": PERSONAL,
    "POST /workbench/collections/{collection_id}/gallery": PERSONAL,
    "GET /workbench/collections/{collection_id}/gallery/files": PERSONAL,
    "GET /workbench/submissions/{submission_id}/answers": PERSONAL,
    "GET /workbench/submissions/{submission_id}/history": PERSONAL,
    "GET /workbench/collections/{collection_id}/files/{file_key}/pages/{page}": PERSONAL,
    "GET /workbench/submissions/{submission_id}": PERSONAL,
    "POST /workbench/submissions/{submission_id}": PERSONAL,
    "POST /workbench/submissions/{submission_id}/corrections": WRITERS,
    "POST /workbench/submissions/{submission_id}/corrections/files/{file_key}": WRITERS,
    "GET /workbench/submissions/{submission_id}/erase": WRITERS,
    "POST /workbench/submissions/{submission_id}/erase": WRITERS,
    "GET /workbench/collections/{collection_id}/erase": WRITERS,
    "POST /workbench/collections/{collection_id}/erase": WRITERS,
    "GET /workbench/collections/{collection_id}/erasures": WRITERS,
}
SOURCE = write_collection(collection_body(""))
# for operators of the installation
OPERATORS_PAGES = {"GET /workbench/administration", "POST /workbench/administration"}
# what pages' forms send, where an empty one is refused before anybody's role is asked for
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "POST /researcher/workspaces/{workspace_id}/invitations": ("", {"role": "viewer", "days": "7"}),
    "POST /workbench/workspaces/{workspace_id}/members": (
        "",
        {"go": "change", "researcher": "{researcher_id}", "role": "viewer"},
    ),
    "POST /researcher/collections/{collection_id}/exports/{export_id}": ("", {"go": "delete"}),
    "POST /workbench/collections/{collection_id}/responses/decide": (
        "?participant=nobody",
        {"go": "approve", "count": "0"},
    ),
    "POST /workbench/collections/{collection_id}/responses/assign": (
        "?participant=nobody",
        {"go": "unassign"},
    ),
    "POST /workbench/collections/{collection_id}/gallery": (
        "",
        {"go": "note", "chosen": "{submission_id}", "message": "x"},
    ),
    "POST /workbench/collections/{collection_id}/manage": ("", {"go": "unarchive"}),
    "POST /workbench/workspaces/{workspace_id}/collections/new": ("", {"go": "save", "source": SOURCE}),
    "POST /workbench/collections/{collection_id}/edit": (
        "",
        {"go": "check", "source": SOURCE, "version": "1"},
    ),
    "POST /workbench/submissions/{submission_id}": ("", {"go": "note"}),
    "POST /workbench/submissions/{submission_id}/corrections": (
        "",
        {"question": "{instruction_id}", "a.{instruction_id}": "x", "reason": "x"},
    ),
    "POST /workbench/collections/{collection_id}/studies/new": ("", {"name": "x", "places": "1"}),
    "POST /workbench/studies/{study_id}": ("", {"go": "change", "places": "100"}),
    "POST /workbench/studies/{study_id}/links": ("", {"participants": "a"}),
}
# Pages of one's own account, for whoever is signed in.
ACCOUNT = {
    "GET /researcher/account",
    "POST /researcher/account/sessions/{session_id}/end",
    "POST /researcher/account/sessions/end-others",
    "POST /researcher/account/tokens",
    "POST /researcher/account/tokens/{token_id}/revoke",
    "POST /researcher/account/passkeys",
    "POST /researcher/account/passkeys/options",
    "POST /researcher/account/passkeys/remove",
    "POST /researcher/account/password",
    "POST /researcher/account/password/remove",
    "GET /researcher/account/second-factor",
    "POST /researcher/account/second-factor",
    "POST /researcher/account/second-factor/codes",
    "POST /researcher/account/second-factor/remove",
}
# Pages and files that ask for no role: signing in and out, participants', those that programs watch.
OPEN = re.compile(
    r"/|/sign-(in|in/once|in/code|in/passkey(/options)?|in/provider(/return)?|out)|/join|/participate(/.*)?|/(static|assets)/.*|/health/(live|ready)|/metrics|/favicon.*|/robots.*"
)


@dataclass
class Cast:
    """A client for each role, held in the workspace, on the collection, or by a token of an owner."""

    world: World
    server: Installation
    scenario: Scenario  # another study of the collection, which nobody pauses
    numbers: Iterator[int] = field(default_factory=itertools.count)
    clients: dict[tuple[str, Role], httpx.Client] = field(default_factory=dict)
    browsers: dict[Role, httpx.Client] = field(default_factory=dict)

    def fresh(self, route: str, client: httpx.Client) -> dict[str, str]:
        """Something new for what ends the thing it is about, or is about the caller's own."""
        if "token_id" in route:
            return {
                "token_id": expect(client.post("/users/me/tokens", json={"name": "own"}), 201)["token_id"]
            }
        if not route.startswith("DELETE"):
            return {}
        if "/sessions" in route:
            given = {"token": client.headers["Authorization"].partition(" ")[2]}
            with httpx.Client(base_url=self.server.url, trust_env=False) as browser:
                browser.post("/sign-in", data=given, headers={"Origin": self.server.url})
            return {"session_id": expect(client.get("/users/me/sessions"), 200)["results"][0]["id"]}
        if "invitation_id" in route:
            path = self.world.fill(route.partition(" ")[2].rpartition("/")[0])
            return {"invitation_id": self._make(path, '{"role": "viewer"}')}
        if "researcher_id" in route:
            given = {"email": f"fresh-{uuid4()}@example.org", "role": "viewer"}
            members = self.world.fill(route.partition(" ")[2].rpartition("/")[0])
            return {"researcher_id": expect(self.world.api.post(members, json=given), 201)["id"]}
        if "note_id" in route:  # only who wrote one may take it back
            notes = f"/submissions/{self.world.ids['submission_id']}/notes"
            return {"note_id": expect(client.post(notes, json={"text": "x"}), 201)["id"]}
        if "decision_id" in route:  # only whose it is may undo it
            decisions = f"/submissions/{self.scenario.take_part(f'decided-{next(self.numbers)}')}/decisions"
            return {"decision_id": expect(client.post(decisions, json={"action": "APPROVE"}), 201)["id"]}
        if "export_id" in route:
            until = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self.numbers))
            export_id = self.scenario.export(to=until.isoformat())["export_id"]
            if "format" in route:
                path = f"{self.scenario.export_path}/{export_id}/conversions/codebook"
                assert self.world.api.post(path).status_code == 202
            return {"export_id": export_id}
        if "/studies/" in route:
            return {"study_id": self._make("/studies", self.world.fill(json.dumps(STUDY)))}
        for kind, path in (("group_id", "/participant-groups"), ("subscription_id", "/hooks/subscriptions")):
            if kind in route:
                body = self.world.fill(json.dumps(TABLE[f"POST {path}"].body))
                return {kind: self._make(path, body)}
        return {"submission_id": self.scenario.take_part(f"fresh-{next(self.numbers)}")}

    def _make(self, path: str, body: str) -> str:
        made: str = expect(self.world.api.post(path, content=body), 201)["id"]
        return made


HELD = ("workspace", "collection", "token")


@pytest.fixture(scope="module")
def cast(world: World, server: Installation) -> Iterator[Cast]:
    workspace, collection = world.ids["workspace_id"], world.ids["collection_id"]
    study = expect(
        world.api.post(
            "/studies", json={**STUDY, "data_collection_id": collection, "total_available_places": 500}
        ),
        201,
    )
    expect(world.api.post(f"/studies/{study['id']}/transition", json={"action": "PUBLISH"}), 200)
    made = Cast(world, server, Scenario(world.api, {"id": collection}, study))
    with ExitStack() as stack:
        for role in Role:
            _, by_workspace = insert_researcher(server, role=role, workspace_id=workspace)
            _, by_collection = insert_researcher(server, collection_roles={collection: role})
            _, by_token = insert_researcher(server, role=OWNER, workspace_id=workspace, cap=role)
            _, in_browser = insert_researcher(server, role=role, workspace_id=workspace)
            for held, token in zip(HELD, (by_workspace, by_collection, by_token), strict=True):
                made.clients[held, role] = stack.enter_context(server.client(token))
            browser = stack.enter_context(
                httpx.Client(
                    base_url=server.url, trust_env=False, timeout=60, headers={"Accept": "text/html"}
                )
            )
            signed_in = browser.post("/sign-in", data={"token": in_browser}, headers={"Origin": server.url})
            assert signed_in.status_code == 303, signed_in.text
            made.browsers[role] = browser
        yield made


def app_routes() -> list[RouteContext]:
    return list(iter_route_contexts(create_app(load_settings(), "postgresql://nowhere").routes))


def test_every_route_has_a_row() -> None:
    assert set(ROUTES) | OPERATORS == {route for route, row in TABLE.items() if row.access == "researcher"}
    assert set(OF_THE_WORKSPACE) <= set(ROUTES)


def test_every_page_has_a_row() -> None:
    pages = {
        f"{method} {route.path}"
        for route in app_routes()
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
        if route.path and not route.path.startswith(API) and not OPEN.fullmatch(route.path)
    }
    assert pages == set(PAGES) | ACCOUNT | OPERATORS_PAGES


def test_what_takes_a_body_is_asked_for_before_it_is_read() -> None:
    """A route that takes one and names something in its path is marked with what it asks for."""
    asked = {}
    for context in app_routes():
        route = context.original_route
        if isinstance(route, ResearcherRoute) and route.body_field is not None and "{" in route.path:
            asked[route.path] = route.action
    assert asked
    assert None not in asked.values(), asked


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("held", HELD)
def test_every_route_for_every_role(cast: Cast, held: str, route: str, role: Role) -> None:
    is_outside = held == "collection" and route in OF_THE_WORKSPACE
    allowed = role in ROUTES[route] and not is_outside
    client = cast.clients[held, role]
    changed = cast.fresh(route, client) if allowed else {}
    answer = cast.world.valid(client, route, **changed)
    if is_outside:
        refused(answer, OF_THE_WORKSPACE[route])
        return
    if not allowed:
        assert role in refused(answer, 403)
        return
    # 409: what another role did before leaves nothing to do
    assert answer.status_code in (200, 201, 202, 204, 409), (answer.status_code, answer.text)


@pytest.mark.parametrize("route", sorted(OPERATORS))
def test_no_role_looks_after_the_installation(cast: Cast, route: str) -> None:
    for client in cast.clients.values():
        refused(cast.world.valid(client, route), 403)
    assert cast.world.valid(cast.world.api, route).is_success


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_for_every_role(cast: Cast, page: str, role: Role) -> None:
    method, _, path = page.partition(" ")
    origin = {"Origin": cast.server.url}
    query, form = FORMS.get(page, ("", {}))
    form = {cast.world.fill(name): cast.world.fill(text) for name, text in form.items()}
    if page.endswith("/pages/{page}"):  # the file of the table is a photo, which has none
        answer = cast.browsers[role].get(cast.world.fill(path, page="1"))
        assert answer.status_code == (404 if role in PAGES[page] else 403), answer.text
        return
    if page.endswith("/thumbnail"):  # it is made by and by
        wait_for(lambda: cast.browsers[OWNER].get(cast.world.fill(path)).status_code == 200)
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    changed = cast.fresh("DELETE {export_id}", cast.world.api) if form.get("go") == "delete" else {}
    answer = cast.browsers[role].request(
        method,
        cast.world.fill(path, **changed) + query,
        data=form,
        headers={**origin, **urlencoded} if method == "POST" else {},
    )
    if role in PAGES[page]:
        # 400: the participant's id, or the collection's name, was not typed
        is_typed = page.endswith(("/erase", "/delete"))
        # 409: nothing is there to decide on, or to undo
        is_nothing = page.endswith(("/decide", "/undo"))
        # that there is no file, or that another role has made of the answer what this one makes of it
        is_correcting = "/corrections" in page
        refusals = [400] if is_typed else [409] if is_nothing else [400, 409] if is_correcting else []
        assert answer.status_code in (200, 303, *refusals), answer.text
        assert "/sign-in" not in answer.headers.get("location", "")
    else:
        assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("page", sorted(ACCOUNT))
def test_ones_own_account_is_everybodys(cast: Cast, page: str, role: Role) -> None:
    """What is refused there is for another reason than a role: no second factor yet, nothing of this id."""
    method, _, path = page.partition(" ")
    headers = {"Origin": cast.server.url} if method == "POST" else {}
    path = cast.world.fill(path, session_id=str(uuid4()), token_id=str(uuid4()))
    answer = cast.browsers[role].request(method, path, headers=headers)
    assert answer.status_code < 500
    assert "/sign-in" not in answer.headers.get("location", "")
    assert "Your role here" not in answer.text


@pytest.mark.parametrize("role", sorted(EVERYONE - WRITERS))
def test_a_role_is_in_the_way_before_the_body_is_looked_at(cast: Cast, role: Role) -> None:
    for route, row in TABLE.items():
        is_other = row.access != "researcher" or row.body is None or "{" not in route or route in OPERATORS
        if not is_other and role not in ROUTES[route]:
            refused(cast.world.send(cast.clients["workspace", role], route, body=b"{"), 403)


def test_a_viewer_learns_nothing_of_a_person(cast: Cast) -> None:
    """Nor whom a study is for: its lists of participants are ids, and unknown fields could be."""
    ids = cast.world.ids
    secret = f"P-{uuid4().hex}"
    body = {
        "filters": [{"filter_id": "custom_blocklist", "selected_values": [secret]}],
        "eligibility_requirements": [{"_cls": "web.x.CustomBlacklist", "attributes": [{"value": [secret]}]}],
        "their_own_list": [secret],
    }
    expect(cast.world.api.patch(f"/studies/{ids['study_id']}", json=body), 200)
    study_list = f"/studies?workspace_id={ids['workspace_id']}&limit=1000"
    for role in Role:
        client = cast.clients["workspace", role]
        for path in (f"/studies/{ids['study_id']}", study_list):
            assert (secret in client.get(path).text) == (role != VIEWER), (role, path)
    viewer = cast.clients["workspace", VIEWER]
    counts = expect(viewer.get(f"/studies/{ids['study_id']}/submissions/counts"), 200)
    assert counts["TOTAL"] >= 3
    # nor, by the way something is refused, who took part
    for participant in ("first", "nobody"):
        given = {"study_id": ids["study_id"], "participant_ids": [participant]}
        refused(viewer.post("/submissions/bulk-approve", json=given), 403)
    path = f"/researcher?search={ids['collection_id']}"
    home = cast.browsers[VIEWER].get(path).text
    assert f"/researcher/collections/{ids['collection_id']}/export" not in home
    assert f"/researcher/collections/{ids['collection_id']}/export" in cast.browsers[ANALYST].get(path).text


def test_who_has_one_collection_sees_that_and_the_workspaces_title(cast: Cast) -> None:
    world, ids = cast.world, cast.world.ids
    other = Scenario.create(world.api)
    client = cast.clients["collection", REVIEWER]
    [workspace] = expect(client.get("/workspaces"), 200)["results"]
    assert workspace == expect(client.get(f"/workspaces/{ids['workspace_id']}"), 200)
    assert (workspace["id"], workspace["users"], workspace["description"]) == (ids["workspace_id"], [], "")
    assert workspace["title"]
    listed = expect(client.get(f"/data-collection/collections?workspace_id={ids['workspace_id']}"), 200)
    assert [row["id"] for row in listed["results"]] == [ids["collection_id"]]
    assert listed["meta"]["count"] == 1
    studies = expect(client.get("/studies?limit=1000"), 200)["results"]
    assert {row["data_collection_id"] for row in studies} == {ids["collection_id"]}
    refused(client.get(f"/data-collection/collections/{other.collection['id']}"), 404)
    refused(client.get(f"/studies/{other.study['id']}"), 404)
    submission = other.take_part("of-another")
    refused(client.get(f"/submissions/{submission}"), 404)
    by_ids = {"submission_ids": [submission]}
    refused(client.post("/submissions/bulk-approve", json=by_ids), 400, "submission_ids")


def test_a_role_on_a_collection_stands_for_that_in_its_workspace(cast: Cast) -> None:
    """In both directions; but an owner of the workspace stays one everywhere in it."""
    ids = cast.world.ids
    responses = f"/data-collection/collections/{ids['collection_id']}/responses"
    for role, narrower, status in ((EDITOR, VIEWER, 403), (VIEWER, REVIEWER, 200), (OWNER, VIEWER, 200)):
        _, token = insert_researcher(
            cast.server,
            role=role,
            workspace_id=ids["workspace_id"],
            collection_roles={ids["collection_id"]: narrower},
        )
        with cast.server.client(token) as client:
            assert client.get(responses).status_code == status, (role, narrower)


def test_a_token_with_a_role_opens_no_more_than_its_researcher_may(cast: Cast) -> None:
    """Both roles have to allow it, those that are in no order too."""
    ids = cast.world.ids
    _, token = insert_researcher(cast.server, role=REVIEWER, workspace_id=ids["workspace_id"], cap=ANALYST)
    with cast.server.client(token) as client:
        expect(client.get(f"/data-collection/collections/{ids['collection_id']}/responses"), 200)
        refused(client.post(f"/data-collection/collections/{ids['collection_id']}/export"), 403)
        approve = {"action": "APPROVE"}
        refused(client.post(f"/submissions/{ids['submission_id']}/transition", json=approve), 403)


def test_with_collections_off_the_role_is_not_what_is_told(cast: Cast) -> None:
    made = expect(cast.world.api.post("/workspaces", json={"title": "Off"}), 201)
    collection = expect(
        cast.world.api.post("/data-collection/collections", json=collection_body(made["id"])), 201
    )
    _, token = insert_researcher(cast.server, role=VIEWER, workspace_id=made["id"])
    cast.server.run("workspace", "features", made["id"], "--collections", "off")
    path = f"/data-collection/collections/{collection['id']}"
    with cast.server.client(token) as client:
        for method, where in (("GET", path), ("GET", f"{path}/responses"), ("POST", f"{path}/export")):
            assert "permission" in refused(client.request(method, where), 404)


def test_the_table_says_what_it_must() -> None:
    assert set(ALLOWED) == set(Role) == set(WIRE_NAMES)
    assert ALLOWED[OWNER] == set(Action)
    assert set().union(*(ALLOWED[role] for role in Role)) == set(Action)
    for role in Role:
        assert covers(OWNER, role)
        assert covers(role, VIEWER)
        assert covers(EDITOR, role) == (role != OWNER)
    assert not covers(REVIEWER, ANALYST)
    assert not covers(ANALYST, REVIEWER)
    personal = {Action.SUBMISSIONS_READ, Action.RESPONSES_READ, Action.FILES_READ, Action.EXPORTS_READ}
    assert not personal & ALLOWED[VIEWER]
    assert not may(None, Action.WORKSPACE_READ)
    assert (WIRE_NAMES[OWNER], WIRE_NAMES[EDITOR]) == ("WORKSPACE_ADMIN", "WORKSPACE_COLLABORATOR")


def test_the_roles_in_the_documentation_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "roles.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z.]+)` \|.*?\|((?: [✓ ] \|){5})$", text, re.MULTILINE)
    documented = {
        name: {role for role, mark in zip(Role, marks.split("|"), strict=False) if "✓" in mark}
        for name, marks in rows
    }
    assert documented == {action: {role for role in Role if may(role, action)} for action in Action}
    for role in Role:
        assert f"`{WIRE_NAMES[role]}`" in text
