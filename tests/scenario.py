"""What tests do over and over through the public routes: a collection, a study, participants, an export."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TASK = {"task_name": "Task", "task_introduction": "<p>Welcome</p>", "task_steps": "<ol><li>Do it</li></ol>"}
SESSION = "5f8a7c6b514d0e9b64f1c2aa"  # as long as the hosted service's, which nobody guesses
FREE_TEXT = {"type": "free_text", "description": "How was it?"}
UPLOAD = {"type": "file_upload", "description": "A photo, please.", "max_file_size_mb": 1, "required": False}


def collection_body(workspace_id: str, *items: dict[str, Any]) -> dict[str, Any]:
    """A collection of one page."""
    return {
        "workspace_id": workspace_id,
        "name": "Test collection",
        "task_details": TASK,
        "collection_items": [{"page_items": list(items) or [FREE_TEXT, UPLOAD]}],
    }


def expect(response: httpx.Response, status: int) -> Any:
    """The JSON body of a response that must have this status."""
    assert response.status_code == status, (response.request.url, response.status_code, response.text)
    return response.json() if response.content else None


@dataclass
class Participant:
    """One submission under way."""

    http: httpx.Client
    submission_id: str
    token: str
    state: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/participate/submissions/{self.submission_id}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def item(self, number: int) -> str:
        """Id of the number-th item of the first page."""
        found: str = self.state["collection"]["collection_items"][0]["page_items"][number]["id"]
        return found

    def answer(self, instruction_id: str, value: Any, **headers: str) -> httpx.Response:
        # not json=: httpx sends nothing for None, where null clears the answer
        return self.http.put(
            f"{self.path}/answers/{instruction_id}",
            content=json.dumps(value),
            headers={**self.headers, **headers},
        )

    def upload(self, instruction_id: str, name: str | bytes, data: bytes, chunk: int = 1 << 20) -> str:
        """Upload a file by tus; its URL."""
        raw = name.encode() if isinstance(name, str) else name
        metadata = ",".join(
            f"{key} {base64.b64encode(value).decode()}"
            for key, value in (("instruction_id", instruction_id.encode()), ("filename", raw))
        )
        headers = {**self.headers, "Tus-Resumable": "1.0.0"}
        created = self.http.post(
            f"{self.path}/uploads",
            headers={**headers, "Upload-Length": str(len(data)), "Upload-Metadata": metadata},
        )
        assert created.status_code == 201, created.text
        url = str(created.url.join(created.headers["Location"]))
        for offset in range(0, len(data), chunk):
            sent = self.http.patch(
                url,
                content=data[offset : offset + chunk],
                headers={
                    **headers,
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
            )
            assert sent.status_code == 204, sent.text
        return url

    def submit(self) -> Any:
        return expect(self.http.post(f"{self.path}/submit", headers=self.headers), 200)


@dataclass
class Scenario:
    """A published study of a new collection."""

    api: httpx.Client
    collection: dict[str, Any]
    study: dict[str, Any]

    @classmethod
    def create(cls, api: httpx.Client, *items: dict[str, Any], places: int = 1000, **study: Any) -> Scenario:
        workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        collection = expect(
            api.post("/data-collection/collections", json=collection_body(workspace, *items)), 201
        )
        made = expect(
            api.post(
                "/studies",
                json={
                    "name": "Study",
                    "total_available_places": places,
                    "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
                    "data_collection_id": collection["id"],
                    **study,
                },
            ),
            201,
        )
        expect(api.post(f"/studies/{made['id']}/transition", json={"action": "PUBLISH"}), 200)
        return cls(api, collection, made)

    @property
    def export_path(self) -> str:
        return f"/data-collection/collections/{self.collection['id']}/export"

    def start(self, participant_id: str, session_id: str | None = SESSION) -> Participant:
        """Start or resume a submission."""
        body = {"participant_id": participant_id, "session_id": session_id}
        response = self.api.post(f"/participate/studies/{self.study['id']}/submissions", json=body)
        assert response.status_code in (200, 201), response.text
        state = response.json()
        return Participant(self.api, state["submission_id"], state["token"], state)

    def take_part(
        self, participant_id: str, text: str = "Fine", files: list[tuple[str, bytes]] | None = None
    ) -> str:
        """A whole submission with a text and files; its id."""
        participant = self.start(participant_id)
        expect(participant.answer(participant.item(0), {"value": text}), 200)
        for name, data in files or []:
            participant.upload(participant.item(1), name, data)
        participant.submit()
        return participant.submission_id

    def export(self, **filter: str) -> dict[str, Any]:
        """A complete export."""
        answer = self.api.post(self.export_path, params=filter).json()
        deadline = time.monotonic() + 180
        while answer["status"] == "generating":
            assert time.monotonic() < deadline, answer
            headers = {"Prefer": "wait=10"}
            answer = self.api.get(f"{self.export_path}/{answer['export_id']}", headers=headers).json()
        assert answer["status"] == "complete", answer
        found: dict[str, Any] = answer
        return found

    def download(self, export: dict[str, Any] | None = None) -> bytes:
        """The bytes of an archive."""
        url = (export or self.export())["url"]
        with httpx.Client(verify=True, trust_env=False, timeout=60) as plain:
            response = plain.get(url)
        assert response.status_code == 200, response.text
        return response.content
