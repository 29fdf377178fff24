"""Every route refuses what it must: a table of routes and callers. A route without a row fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.pictures import MOST_BYTES
from fieldpack.server.app import API, create_app
from fieldpack.server.config import load_settings
from tests.installation import Installation
from tests.integration.rows import insert_failed_job
from tests.refusals import refused
from tests.scenario import PNG, Participant, Scenario, collection_body, expect


@dataclass(frozen=True)
class Row:
    """What a route answers to each kind of caller.

    Attributes:
        access: `researcher` and `participant` need a token, `link` a signature, `open` nothing.
        other: status for a valid token of another workspace, or of another submission.
        body: a valid body, when the route takes JSON.
        wrong: bodies with a field of the wrong type, and the field that the refusal names.
        large: status for a body over the limit; None where bodies are not read, or are not JSON.
        limit_bytes: that limit.
        content_type: of the body, where it is none of JSON.
        success: status of what an `open` route answers anybody.
        query: what the route needs in its query.
    """

    access: str = "researcher"
    other: int = 404
    body: Any = None
    wrong: list[tuple[Any, str]] = field(default_factory=list)
    large: int | None = None
    query: str = ""
    limit_bytes: int = 4096 * 1024
    content_type: str = ""
    success: int = 201


def form_of(**parts: bytes) -> bytes:
    """A form with these fields, of which `file` is a file."""
    body = b""
    for name, data in parts.items():
        file_name = '; filename="new.png"' if name == "file" else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file_name}\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


COLLECTION = collection_body("{workspace_id}")
PUT_COLLECTION = {key: value for key, value in COLLECTION.items() if key != "workspace_id"}
STUDY = {
    "name": "Study",
    "total_available_places": 5,
    "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
    "data_collection_id": "{collection_id}",
}
WRONG_COLLECTION = [
    ({**COLLECTION, "name": 5}, "name"),
    ({**COLLECTION, "task_details": "x"}, "task_details"),
    ({**COLLECTION, "collection_items": {}}, "collection_items"),
    (
        {**COLLECTION, "collection_items": [{"page_items": [{"type": 5}]}]},
        "collection_items.0.page_items.0.type",
    ),
]
HOOK = {
    "event_type": "study.status.change",
    "target_url": "https://receiver.invalid/hook",
    "workspace_id": "{workspace_id}",
}
WRONG_STUDY = [
    ({**STUDY, "name": ["x"]}, "name"),
    ({**STUDY, "total_available_places": "5"}, "total_available_places"),
    ({**STUDY, "reward": "5"}, "reward"),
    ({**STUDY, "completion_codes": "x"}, "completion_codes"),
    ({**STUDY, "submissions_config": {"max_submissions_per_participant": "x"}},
     "submissions_config.max_submissions_per_participant"),
]  # fmt: skip
CORRECTION = {"instruction_id": "{instruction_id}", "answer": {"value": "corrected"}, "reason": "x"}
BOUNDARY = "boundary-of-the-form"
UNKNOWN = str(uuid4())  # the id of nothing
MEMBER = {"email": "member@example.org", "role": "reviewer"}
WRONG_MEMBER = [
    ({**MEMBER, "email": "nobody"}, "email"),
    ({**MEMBER, "email": 5}, "email"),
    ({**MEMBER, "role": "boss"}, "role"),
    ({"email": MEMBER["email"]}, "role"),
]
TUS = "/participate/submissions/{submission_id}/uploads"

TABLE: dict[str, Row] = {
    "GET /users/me": Row(other=200),
    "GET /users/me/sessions": Row(other=200),
    "DELETE /users/me/sessions": Row(other=204, large=413),
    "DELETE /users/me/sessions/{session_id}": Row(large=413),
    "GET /users/me/tokens": Row(other=200),
    "DELETE /users/me/tokens/{token_id}": Row(large=413),
    "GET /workspaces": Row(other=200),
    "POST /workspaces": Row(
        other=201, body={"title": "x"}, wrong=[({"title": 5}, "title"), ({}, "title")], large=413
    ),
    "GET /workspaces/{workspace_id}": Row(),
    "GET /workspaces/{workspace_id}/balance": Row(),
    "GET /workspaces/{workspace_id}/audit": Row(other=403),
    "POST /workspaces/{workspace_id}/pictures": Row(
        other=403, body=PNG, wrong=[({"picture": "x"}, "picture")], large=413, limit_bytes=MOST_BYTES
    ),
    "GET /workspaces/{workspace_id}/members": Row(other=403),
    "POST /workspaces/{workspace_id}/members": Row(other=403, body=MEMBER, wrong=WRONG_MEMBER, large=413),
    "PATCH /workspaces/{workspace_id}/members/{researcher_id}": Row(
        other=403, body={"role": "viewer"}, wrong=[({"role": "boss"}, "role"), ({}, "role")], large=413
    ),
    "DELETE /workspaces/{workspace_id}/members/{researcher_id}": Row(other=403, large=413),
    "GET /workspaces/{workspace_id}/invitations": Row(other=403),
    "POST /workspaces/{workspace_id}/invitations": Row(
        other=403,
        body={"role": "viewer"},
        wrong=[({}, "role"), ({"role": "king"}, "role"), ({"role": "viewer", "email": 5}, "email"),
               ({"role": "viewer", "expires_in_days": "7"}, "expires_in_days")],
        large=413,
    ),
    "DELETE /workspaces/{workspace_id}/invitations/{invitation_id}": Row(other=403, large=413),
    "GET /data-collection/collections/{collection_id}/members": Row(),
    "POST /data-collection/collections/{collection_id}/members": Row(
        body=MEMBER, wrong=WRONG_MEMBER, large=413
    ),
    "PATCH /data-collection/collections/{collection_id}/members/{researcher_id}": Row(
        body={"role": "viewer"}, wrong=[({"role": "boss"}, "role"), ({}, "role")], large=413
    ),
    "DELETE /data-collection/collections/{collection_id}/members/{researcher_id}": Row(large=413),
    "POST /users/me/tokens": Row(
        other=201,
        body={"name": "x"},
        wrong=[
            ({"name": " "}, "name"),
            ({"name": "x", "role": "boss"}, "role"),
            ({"name": "x", "expires_in_days": 0}, "expires_in_days"),
        ],
        large=413,
    ),
    "POST /users/me/tokens/{token_id}/rotate": Row(large=413),
    "GET /workspaces/{workspace_id}/projects": Row(other=403),
    "POST /workspaces/{workspace_id}/projects": Row(
        other=403, body={"title": "x"}, wrong=[({"title": 5}, "title"), ({}, "title")], large=413
    ),
    "GET /projects/{project_id}": Row(),
    "PATCH /projects/{project_id}": Row(
        body={"title": "x"}, wrong=[({"title": 5}, "title"), ({"title": " "}, "title")], large=413
    ),
    "GET /projects/{project_id}/studies": Row(),
    "GET /participant-groups": Row(other=403, query="?workspace_id={workspace_id}"),
    "POST /participant-groups": Row(
        other=403,
        body={"workspace_id": "{workspace_id}", "name": "x"},
        wrong=[({"name": "x"}, "workspace_id"), ({"workspace_id": "{workspace_id}", "name": 5}, "name")],
        large=413,
    ),
    "GET /participant-groups/{group_id}": Row(),
    "PATCH /participant-groups/{group_id}": Row(body={"name": "x"}, wrong=[({"name": 5}, "name")], large=413),
    "DELETE /participant-groups/{group_id}": Row(large=413),
    "GET /participant-groups/{group_id}/participants": Row(),
    "POST /participant-groups/{group_id}/participants": Row(
        body={"participant_ids": ["x"]},
        wrong=[({"participant_ids": "x"}, "participant_ids"), ({"participant_ids": [5]}, "participant_ids.0")],
        large=413,
    ),
    "DELETE /participant-groups/{group_id}/participants": Row(
        body={"participant_ids": ["x"]}, wrong=[({"participant_ids": "x"}, "participant_ids")], large=413
    ),
    "GET /hooks/event-types": Row(other=200),
    "GET /hooks/secrets": Row(other=403, query="?workspace_id={workspace_id}"),
    "POST /hooks/secrets": Row(
        other=403,
        body={"workspace_id": "{workspace_id}"},
        wrong=[({}, "workspace_id"), ({"workspace_id": 5}, "workspace_id")],
        large=413,
    ),
    "GET /hooks/subscriptions": Row(other=403, query="?workspace_id={workspace_id}"),
    "POST /hooks/subscriptions": Row(
        other=403,
        body=HOOK,
        wrong=[({**HOOK, "event_type": "x"}, "event_type"), ({**HOOK, "target_url": 5}, "target_url"),
               ({**HOOK, "target_url": "http://example.org"}, "target_url"),
               ({**HOOK, "workspace_id": "x"}, "workspace_id")],
        large=413,
    ),
    "GET /hooks/subscriptions/{subscription_id}": Row(),
    "POST /hooks/subscriptions/{subscription_id}": Row(
        body={"secret": "{hook_secret}"}, wrong=[({}, "secret"), ({"secret": "wrong"}, "secret")], large=413
    ),
    "PATCH /hooks/subscriptions/{subscription_id}": Row(
        body={"is_enabled": True},
        wrong=[({"is_enabled": "x"}, "is_enabled"), ({"target_url": "https://127.0.0.1"}, "target_url")],
        large=413,
    ),
    "DELETE /hooks/subscriptions/{subscription_id}": Row(large=413),
    "GET /hooks/subscriptions/{subscription_id}/events": Row(),
    "POST /hooks/subscriptions/{subscription_id}/test": Row(large=413),
    "POST /hooks/subscriptions/{subscription_id}/events/{event_id}/resend": Row(large=413),
    "GET /pictures/{picture_id}": Row(access="open", success=200),
    "HEAD /pictures/{picture_id}": Row(access="open", success=200),
    "POST /data-collection/collections": Row(other=403, body=COLLECTION, wrong=WRONG_COLLECTION, large=413),
    "GET /data-collection/collections": Row(other=403, query="?workspace_id={workspace_id}"),
    "GET /data-collection/collections/{collection_id}": Row(),
    "PUT /data-collection/collections/{collection_id}": Row(
        body=PUT_COLLECTION, wrong=WRONG_COLLECTION, large=413
    ),
    "POST /data-collection/collections/{collection_id}/check": Row(
        body=PUT_COLLECTION, wrong=WRONG_COLLECTION, large=413
    ),
    "POST /data-collection/collections/{collection_id}/archive": Row(large=413),
    "POST /data-collection/collections/{collection_id}/unarchive": Row(large=413),
    "POST /data-collection/collections/{collection_id}/duplicate": Row(large=413),
    "DELETE /data-collection/collections/{collection_id}": Row(query="?name=Test+collection", large=413),
    "GET /data-collection/collections/{collection_id}/responses": Row(),
    "GET /data-collection/collections/{collection_id}/files/{file_key}": Row(),
    "POST /data-collection/collections/{collection_id}/export": Row(other=403, large=413),
    "GET /data-collection/collections/{collection_id}/export": Row(),
    "GET /data-collection/collections/{collection_id}/export/{export_id}": Row(),
    "DELETE /data-collection/collections/{collection_id}/export/{export_id}": Row(large=413),
    "POST /data-collection/collections/{collection_id}/export/{export_id}/conversions/{format}": Row(large=413),
    "GET /data-collection/collections/{collection_id}/export/{export_id}/conversions": Row(),
    "GET /data-collection/collections/{collection_id}/export/{export_id}/conversions/{format}": Row(),
    "DELETE /data-collection/collections/{collection_id}/export/{export_id}/conversions/{format}": Row(
        large=413
    ),
    "GET /data-collection/exports/{export_id}/conversions/{conversion_id}": Row(access="link"),
    "HEAD /data-collection/exports/{export_id}/conversions/{conversion_id}": Row(access="link"),
    "GET /data-collection/exports/{export_id}/archive": Row(access="link"),
    "HEAD /data-collection/exports/{export_id}/archive": Row(access="link"),
    "POST /studies": Row(other=400, body=STUDY, wrong=WRONG_STUDY, large=413),
    "GET /studies": Row(other=200),
    "GET /studies/{study_id}": Row(),
    "PATCH /studies/{study_id}": Row(body={"name": "x"}, wrong=WRONG_STUDY, large=413),
    "POST /studies/{study_id}/transition": Row(
        body={"action": "PAUSE"},
        wrong=[({"action": 5}, "action"), ({"action": "pause"}, "action")],
        large=413,
    ),
    "DELETE /studies/{study_id}": Row(large=413),
    "POST /studies/{study_id}/clone": Row(large=413),
    "POST /studies/{study_id}/test-study": Row(large=413),
    "GET /studies/{study_id}/links": Row(),
    "DELETE /studies/{study_id}/test-study": Row(large=413),
    "GET /studies/{study_id}/cost": Row(),
    "POST /studies/{study_id}/links": Row(
        body={"participant_ids": ["x"]},
        wrong=[({"participant_ids": "x"}, "participant_ids"), ({"participant_ids": [5]}, "participant_ids.0"),
               ({}, "participant_ids")],
        large=413,
    ),
    "GET /studies/{study_id}/submissions": Row(),
    "GET /studies/{study_id}/submissions/counts": Row(),
    "GET /submissions": Row(query="?study={study_id}"),
    "GET /submissions/{submission_id}": Row(),
    "PATCH /submissions/{submission_id}": Row(
        body={"test": False}, wrong=[({"test": "x"}, "test"), ({}, "test")], large=413
    ),
    "DELETE /submissions/{submission_id}": Row(large=413),
    "POST /submissions/{submission_id}/transition": Row(
        body={"action": "APPROVE"},
        wrong=[({"action": []}, "action"), ({"action": "APPROVE", "message": 5}, "message")],
        large=413,
    ),
    "POST /submissions/{submission_id}/request-return": Row(
        body={"request_return_reasons": ["x"]},
        wrong=[({"request_return_reasons": "x"}, "request_return_reasons"),
               ({"request_return_reasons": [5]}, "request_return_reasons.0")],
        large=413,
    ),
    "GET /data-collection/collections/{collection_id}/overview": Row(),
    "GET /data-collection/collections/{collection_id}/submissions": Row(),
    "POST /data-collection/collections/{collection_id}/submissions/approve": Row(
        body={"count": 0}, query="?participant=nobody", wrong=[({"count": "x"}, "count"), ({}, "count")], large=413
    ),
    "POST /data-collection/collections/{collection_id}/erasures/check": Row(
        body={"participant_ids": ["nobody"]},
        wrong=[({"participant_ids": "x"}, "participant_ids"), ({"participant_ids": [5]}, "participant_ids.0"),
               ({}, "participant_ids")],
        large=413,
    ),
    "POST /data-collection/collections/{collection_id}/erasures": Row(
        body={"count": 0},
        query="?participant=nobody",
        wrong=[({"count": "x"}, "count"), ({}, "count"), ({"count": 0, "batch": "x"}, "batch")],
        large=413,
    ),
    "GET /data-collection/collections/{collection_id}/erasures": Row(),
    "GET /data-collection/collections/{collection_id}/erasures/{erasure_id}": Row(),
    "GET /submissions/{submission_id}/erasure": Row(),
    "GET /submissions/{submission_id}/history": Row(),
    "GET /installation": Row(other=403),
    "GET /installation/jobs": Row(other=403),
    "POST /installation/jobs/{job}/retry": Row(other=403, large=413),
    "GET /installation/exports": Row(other=403),
    "GET /installation/sweeps": Row(other=403),
    "GET /installation/sweeps/{sweep_id}": Row(other=403),
    "POST /installation/sweeps": Row(
        other=403, body={"dry_run": True}, wrong=[({"dry_run": "x"}, "dry_run"), ({}, "dry_run")], large=413
    ),
    "GET /submissions/{submission_id}/response": Row(),
    "GET /submissions/{submission_id}/corrections": Row(),
    "POST /submissions/{submission_id}/corrections": Row(
        body=CORRECTION,
        wrong=[
            ({**CORRECTION, "reason": " "}, "reason"),
            ({**CORRECTION, "reason": "x" * 2001}, "reason"),
            ({**CORRECTION, "instruction_id": "x"}, "instruction_id"),
            ({**CORRECTION, "version": 0}, "version"),
            ({**CORRECTION, "answer": "x"}, "answer"),
            ({**CORRECTION, "answer": {"value": 5}}, "answer.value"),
            ({**CORRECTION, "answer": None}, "answer"),
            ({"instruction_id": "{instruction_id}", "reason": "x"}, "answer"),
        ],
        large=413,
    ),
    "POST /submissions/{submission_id}/corrections/files/{file_key}": Row(
        body=form_of(file=PNG, reason=b"x"),
        wrong=[
            (form_of(file=PNG), "reason"),
            (form_of(reason=b"x"), "file"),
            (form_of(file=PNG, reason=b"x", version=b"0"), "version"),
        ],
        large=413,
        limit_bytes=5 * 1024 * 1024,
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    ),
    "GET /submissions/{submission_id}/notes": Row(),
    "POST /submissions/{submission_id}/notes": Row(
        body={"text": "x"}, wrong=[({"text": 5}, "text"), ({"text": " "}, "text")], large=413
    ),
    "DELETE /submissions/{submission_id}/notes/{note_id}": Row(large=413),
    "POST /submissions/{submission_id}/decisions": Row(
        body={"action": "APPROVE"},
        wrong=[
            ({"action": "DELETE"}, "action"),
            ({"action": "REJECT"}, "message"),
            ({"action": "REJECT", "message": "x"}, "rejection_category"),
            ({"action": "REQUEST_RETURN", "message": " "}, "message"),
        ],
        large=413,
    ),
    "GET /decisions/{decision_id}": Row(),
    "DELETE /decisions/{decision_id}": Row(large=413),
    "GET /data-collection/collections/{collection_id}/decisions": Row(),
    "GET /data-collection/collections/{collection_id}/submissions/reviewable": Row(),
    "POST /data-collection/collections/{collection_id}/submissions/decisions": Row(
        body={"action": "APPROVE", "count": 1},
        query="?participant=nobody",
        wrong=[
            ({"action": "APPROVE", "count": "x"}, "count"),
            ({"action": "APPROVE", "count": 0}, "count"),
            ({"action": "REJECT", "count": 1}, "message"),
        ],
        large=413,
    ),
    "GET /data-collection/collections/{collection_id}/reviewers": Row(),
    "POST /data-collection/collections/{collection_id}/submissions/assign": Row(
        body={"reviewer": "me", "share": 50},
        wrong=[({"reviewer": 5}, "reviewer"), ({"reviewer": "me", "share": 0}, "share"),
               ({"reviewer": "nobody@example.org"}, "reviewer")],
        large=413,
    ),
    "POST /data-collection/collections/{collection_id}/submissions/unassign": Row(large=413),
    "GET /data-collection/collections/{collection_id}/submissions/approved": Row(),
    "POST /submissions/bulk-approve": Row(
        other=400,
        body={"submission_ids": ["{submission_id}"]},
        wrong=[({"submission_ids": "x"}, "submission_ids"), ({"submission_ids": [5]}, "submission_ids.0")],
        large=413,
    ),
    "POST /participate/studies/{study_id}/submissions": Row(
        access="open",
        body={"participant_id": "x"},
        wrong=[({"participant_id": 5}, "participant_id"), ({"participant_id": ""}, "participant_id"),
               ({"participant_id": "x", "session_id": 5}, "session_id")],
        large=413,
    ),
    "GET /participate/submissions/{submission_id}": Row(access="participant"),
    "PUT /participate/submissions/{submission_id}/answers": Row(
        access="participant",
        body={},
        wrong=[([], "body"), ({"x": None}, "x"), ({UNKNOWN: {"value": "x"}}, UNKNOWN)],
        large=413,
    ),
    "PUT /participate/submissions/{submission_id}/answers/{instruction_id}": Row(
        access="participant",
        body={"value": "x"},
        wrong=[({"value": 5}, "value"), ({"value": ["x"]}, "value"), ({"values": "x"}, "body"), ([], "body")],
        large=413,
    ),
    "POST /participate/submissions/{submission_id}/submit": Row(access="participant", large=413),
    "POST /participate/submissions/{submission_id}/return": Row(access="participant", large=413),
    f"POST {TUS}": Row(access="participant"),
    f"HEAD {TUS}/{{upload_id}}": Row(access="participant"),
    f"GET {TUS}/{{upload_id}}": Row(access="participant"),
    f"PATCH {TUS}/{{upload_id}}": Row(access="participant"),
    f"DELETE {TUS}/{{upload_id}}": Row(access="participant"),
}  # fmt: skip


@dataclass
class World:
    """One thing of each kind, and callers of each kind."""

    api: httpx.Client
    other: httpx.Client
    revoked: httpx.Client
    nobody: httpx.Client
    participant: Participant
    stranger: Participant
    ids: dict[str, str]

    def fill(self, text: str, **changed: str) -> str:
        for name, value in {**self.ids, **changed}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def send(
        self, client: httpx.Client, route: str, token: str | None = None, body: Any = None, **changed: str
    ) -> httpx.Response:
        """Call a route of the table; `body` may be raw bytes or JSON."""
        method, _, template = route.partition(" ")
        row = TABLE[route]
        headers = {"Tus-Resumable": "1.0.0"} if "/uploads" in route else {}
        if method == "PATCH" and "/uploads" in route:
            headers |= {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if row.content_type:
            headers["Content-Type"] = row.content_type
        content = body
        if body is not None and not isinstance(body, bytes):
            content = self.fill(json.dumps(body)).encode()
        path = self.fill(template + row.query, **changed)
        return client.request(method, path, content=content, headers=headers)

    def valid(
        self, client: httpx.Client, route: str, token: str | None = None, **changed: str
    ) -> httpx.Response:
        return self.send(client, route, token, TABLE[route].body, **changed)

    def owner(self, route: str) -> tuple[httpx.Client, str | None]:
        """The caller who may use a route."""
        access = TABLE[route].access
        if access == "participant":
            return self.nobody, self.participant.token
        return (self.api, None) if access == "researcher" else (self.nobody, None)


def subscribe(api: httpx.Client, workspace: str) -> dict[str, str]:
    """A confirmed subscription with an event."""
    expect(api.post("/hooks/secrets", json={"workspace_id": workspace}), 201)
    made = api.post("/hooks/subscriptions", json={**HOOK, "workspace_id": workspace})
    path, secret = f"/hooks/subscriptions/{expect(made, 201)['id']}", made.headers["x-hook-secret"]
    expect(api.post(path, json={"secret": secret}), 200)
    event = expect(api.post(f"{path}/test"), 201)["id"]
    return {"subscription_id": made.json()["id"], "hook_secret": secret, "event_id": event}


def undone_decision(api: httpx.Client, scenario: Scenario) -> str:
    """The id of a decision that nobody will make."""
    path = f"/submissions/{scenario.take_part('decided')}/decisions"
    made: str = expect(api.post(path, json={"action": "APPROVE"}), 201)["id"]
    expect(api.delete(f"/decisions/{made}"), 204)
    return made


def _session_of(server: Installation) -> str:
    """The id of a session in a browser."""
    form = {"token": server.token}
    headers = {"Origin": server.url}
    assert httpx.post(f"{server.url}/sign-in", data=form, headers=headers, trust_env=False).status_code == 303
    with server.client() as api:
        found: str = expect(api.get("/users/me/sessions"), 200)["results"][0]["id"]
        return found


@pytest.fixture(scope="module")
def world(server: Installation) -> Iterator[World]:
    made = json.loads(server.run("workspace", "create", "--title", "Other", "--json").stdout)
    arguments = ["token", "create", "--workspace", made["id"], "--researcher", "other@example.org", "--json"]
    tokens = [json.loads(server.run(*arguments, "--name", name).stdout) for name in ("kept", "revoked")]
    server.run("token", "revoke", tokens[1]["token_id"])
    url = f"{server.url}/api/v1"
    with (
        server.client() as api,
        server.client(tokens[0]["token"]) as other,
        server.client(tokens[1]["token"]) as revoked,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as nobody,
    ):
        scenario = Scenario.create(api)
        submission = scenario.take_part("done", files=[("a.png", PNG)])
        erased = scenario.take_part("erased")
        expect(api.delete(f"/submissions/{erased}"), 204)
        participant, stranger = scenario.start("first"), scenario.start("second")
        upload = participant.upload(participant.item(1), "b.png", PNG)
        records = expect(api.get(f"/data-collection/collections/{scenario.collection['id']}/responses"), 200)[
            "results"
        ]
        workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        email = f"{scenario.study['id']}@example.org"
        for members in (
            f"/data-collection/collections/{scenario.collection['id']}/members",
            f"/workspaces/{workspace}/members",
        ):
            member = expect(api.post(members, json={"email": email, "role": "viewer"}), 201)
        export = scenario.export()
        conversions = f"{scenario.export_path}/{export['export_id']}/conversions"
        assert api.post(f"{conversions}/codebook").status_code == 202
        ids = {
            "researcher_id": member["id"],
            "invitation_id": expect(
                api.post(f"/workspaces/{workspace}/invitations", json={"role": "viewer"}), 201
            )["id"],
            "token_id": expect(api.post("/users/me/tokens", json={"name": "x"}), 201)["token_id"],
            "workspace_id": workspace,
            "collection_id": scenario.collection["id"],
            "study_id": scenario.study["id"],
            "submission_id": submission,
            "erasure_id": erased,
            "export_id": export["export_id"],
            "format": "codebook",
            "kind": "own",
            "conversion_id": UNKNOWN,
            "file_key": next(
                answer["file_key"]
                for record in records
                for answer in record["response"]["answer"]
                if "file_key" in answer
            ),
            "instruction_id": participant.item(0),
            "picture_id": api.post(f"/workspaces/{workspace}/pictures", content=PNG).json()[
                "id"
            ],  # 200 when it has it
            "project_id": expect(api.post(f"/workspaces/{workspace}/projects", json={"title": "P"}), 201)[
                "id"
            ],
            **subscribe(api, workspace),
            "group_id": expect(
                api.post("/participant-groups", json={"workspace_id": workspace, "name": "G"}), 201
            )["id"],
            "upload_id": upload.rpartition("/")[2],
            "note_id": expect(api.post(f"/submissions/{submission}/notes", json={"text": "x"}), 201)["id"],
            "session_id": _session_of(server),
            "job": str(insert_failed_job(server)),
            "sweep_id": expect(api.post("/installation/sweeps", json={"dry_run": True}), 202)["id"],
            "decision_id": undone_decision(api, scenario),
        }
        yield World(api, other, revoked, nobody, participant, stranger, ids)


def parameters(route: str) -> list[str]:
    return [part.strip("{}") for part in route.split("/") if part.startswith("{")]


def own(world: World, route: str) -> dict[str, str]:
    """Participants have a submission that is under way."""
    participates = TABLE[route].access == "participant"
    return {"submission_id": world.participant.submission_id} if participates else {}


def with_access(*kinds: str) -> list[str]:
    return [route for route, row in TABLE.items() if row.access in kinds]


def refuse(response: httpx.Response, status: int, *fields: str) -> None:
    """`refused`, but an answer to HEAD has no body."""
    if response.request.method == "HEAD":
        assert response.status_code == status
        assert response.content == b""
    else:
        refused(response, status, *fields)


def test_the_table_has_every_route() -> None:
    paths = create_app(load_settings(), "postgresql://nowhere").openapi()["paths"]
    routes = {
        f"{method.upper()} {path.removeprefix(API)}"
        for path, operations in paths.items()
        if path.startswith(API)
        for method in operations
    }
    assert routes == set(TABLE)


@pytest.mark.parametrize("route", TABLE)
def test_without_a_token(world: World, route: str) -> None:
    access = TABLE[route].access
    answer = world.valid(world.nobody, route, **own(world, route))
    if access == "open":
        assert answer.status_code == TABLE[route].success
    else:
        refuse(answer, 403 if access == "link" else 401)


@pytest.mark.parametrize("route", with_access("researcher", "participant"))
def test_bad_tokens_are_401_before_anything_else(world: World, route: str) -> None:
    """Also with a malformed body, and for what does not exist: a stranger learns nothing."""
    refuse(world.valid(world.revoked, route, **own(world, route)), 401)
    refuse(world.send(world.nobody, route, "wrong", body=b"{", **own(world, route)), 401)
    if TABLE[route].access == "researcher":
        everything = {name: str(uuid4()) for name in parameters(route)}
        refuse(world.valid(world.nobody, route, "wrong", **everything), 401)
        refuse(world.valid(world.nobody, route, world.participant.token), 401)
    else:
        refuse(world.valid(world.api, route, **own(world, route)), 401)


@pytest.mark.parametrize("route", with_access("researcher"))
def test_another_workspaces_token(world: World, route: str) -> None:
    answer = world.valid(world.other, route)
    if TABLE[route].other < 400:
        assert answer.status_code == TABLE[route].other
        assert world.ids["study_id"] not in answer.text
        assert world.ids["workspace_id"] not in answer.text
    else:
        refused(answer, TABLE[route].other)


@pytest.mark.parametrize("route", with_access("participant"))
def test_another_submissions_token(world: World, route: str) -> None:
    refuse(world.valid(world.nobody, route, world.stranger.token, **own(world, route)), 404)
    refuse(world.valid(world.nobody, route, world.participant.token, submission_id=str(uuid4())), 404)


@pytest.mark.parametrize("route", [route for route in TABLE if parameters(route)])
@pytest.mark.parametrize("identifier", ["3f0c9a52-5f1e-4a0e-9f5b-1d6f0d6a7e11", "no-id", "%00", "0"])
def test_unknown_and_malformed_ids(world: World, route: str, identifier: str) -> None:
    client, token = world.owner(route)
    for name in parameters(route):
        changed = {**own(world, route), name: identifier}
        refuse(world.valid(client, route, token, **changed), 403 if TABLE[route].access == "link" else 404)
        if name == "researcher_id":
            continue  # who may manage members may see them: what they send is looked at first
        if TABLE[route].access == "researcher" and TABLE[route].body is not None:
            refuse(world.send(client, route, token, {}, **changed), 404)


@pytest.mark.parametrize("route", [route for route, row in TABLE.items() if row.body is not None])
def test_malformed_and_wrong_bodies(world: World, route: str) -> None:
    client, token = world.owner(route)
    for body in (b"{", b"", b"\xff", b'{"a": NaN}', b'"\\ud800"', b'{"\\u0000": 1}'):
        refused(world.send(client, route, token, body, **own(world, route)), 400)
    for wrong, name in TABLE[route].wrong:
        refused(world.send(client, route, token, wrong, **own(world, route)), 400, name)


def test_every_route_with_a_body_has_wrong_ones() -> None:
    for route, row in TABLE.items():
        assert (row.body is None) == (not row.wrong), route


@pytest.mark.parametrize("route", [route for route, row in TABLE.items() if row.large is not None])
def test_bodies_over_the_limit(world: World, route: str) -> None:
    client, token = world.owner(route)
    large = TABLE[route].large
    assert large is not None
    oversize = b'"' + b"x" * TABLE[route].limit_bytes + b'"'
    refused(world.send(client, route, token, oversize, **own(world, route)), large)


@pytest.mark.parametrize(
    "route", [route for route in TABLE if route.partition(" ")[0] not in ("GET", "HEAD")]
)
def test_every_route_that_changes_something_limits_its_body(route: str) -> None:
    assert TABLE[route].large == 413 or "/uploads" in route  # uploads have limits of their own


@pytest.mark.parametrize("route", TABLE)
def test_every_route_works_for_whom_it_is(world: World, route: str) -> None:
    """Last, as some of them end things: the refusals above are not those of a route that never works."""
    method = route.partition(" ")[0]
    if TABLE[route].access == "link" or method == "DELETE" or route.endswith(("/submit", "/return")):
        return
    client, token = world.owner(route)
    answer = world.valid(client, route, token, **own(world, route))
    assert answer.status_code < 500
    if method == "GET":
        assert answer.status_code == 200, answer.text
    if answer.headers.get("content-type") == "application/json":
        check_times(answer.json())


TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
IN_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_times(value: Any) -> None:
    """Whatever looks like a time is RFC 3339 in UTC with `Z`."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            check_times(inner)
    elif isinstance(value, str) and TIME.fullmatch(value):
        assert IN_UTC.fullmatch(value), value


def test_times_of_lists_that_are_tables_too(world: World) -> None:
    """Routes that answer in two formats have no shape of their own, and once had another encoder."""
    expect(
        world.api.post(f"/submissions/{world.ids['submission_id']}/transition", json={"action": "APPROVE"}),
        200,
    )
    approved = world.valid(world.api, "GET /data-collection/collections/{collection_id}/submissions/approved")
    assert approved.json()["results"][0]["completed_at"]
    check_times(approved.json())
    links = world.valid(world.api, "POST /studies/{study_id}/links")
    assert links.json()["results"][0]["expires_at"]
    check_times(links.json())
