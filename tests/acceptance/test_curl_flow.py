"""The main job with curl and unzip alone, as the README has it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.installation import Installation
from tests.scenario import PNG, TASK

pytestmark = [
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed"),
]


class Curl:
    """Runs curl; keeps nothing but the token."""

    def __init__(self, server: Installation) -> None:
        self.base = f"{server.url}/api/v1"
        self.token = server.token

    def run(self, *arguments: str, url: str) -> tuple[int, str, str]:
        """Status, head and body of the answer."""
        target = url if url.startswith("http") else self.base + url
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "60", *arguments, target],
            capture_output=True,
            text=True,
            check=True,
        )
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        while re.match(r"HTTP/1.1 1\d\d", head):
            head, _, body = body.partition("\n\n")
        return int(head.split()[1]), head, body

    def json(self, method: str, url: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        arguments = ["-X", method, "-H", f"Authorization: Token {token or self.token}"]
        if body is not None:
            arguments += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        status, _, text = self.run(*arguments, url=url)
        return status, json.loads(text) if text else None


def download(url: str, path: Path, *arguments: str) -> bytes:
    subprocess.run(["curl", "-sS", "-f", *arguments, "-o", str(path), url], check=True, capture_output=True)
    return path.read_bytes()


def test_from_a_question_to_a_zip(server: Installation, tmp_path: Path) -> None:
    curl = Curl(server)
    status, workspaces = curl.json("GET", "/workspaces")
    assert status == 200
    items = [
        {"type": "free_text", "description": "How was lunch?"},
        {"type": "file_upload", "description": "Photograph the receipt."},
    ]
    status, collection = curl.json(
        "POST",
        "/data-collection/collections",
        {
            "workspace_id": workspaces["results"][0]["id"],
            "name": "Lunches",
            "task_details": TASK,
            "collection_items": [{"page_items": items}],
        },
    )
    assert status == 201
    text, upload = (item["id"] for item in collection["collection_items"][0]["page_items"])
    status, study = curl.json(
        "POST",
        "/studies",
        {
            "name": "Lunches",
            "total_available_places": 10,
            "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
            "data_collection_id": collection["id"],
        },
    )
    assert status == 201
    assert curl.json("POST", f"/studies/{study['id']}/transition", {"action": "PUBLISH"})[0] == 200

    def take_part(name: str) -> str:
        status, started = curl.json(
            "POST",
            f"/participate/studies/{study['id']}/submissions",
            {"participant_id": name, "session_id": "s"},
        )
        assert status == 201
        token, path = started["token"], f"/participate/submissions/{started['submission_id']}"
        assert curl.json("PUT", f"{path}/answers/{text}", {"value": "Good"}, token)[0] == 200
        picture = tmp_path / "receipt.png"
        picture.write_bytes(PNG)
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in (
                ("instruction_id", upload),
                ("filename", "receipt.png"),
                ("filetype", "image/png"),
            )
        )
        tus = ["-H", "Tus-Resumable: 1.0.0", "-H", f"Authorization: Bearer {token}"]
        created, head, _ = curl.run(
            "-X", "POST", *tus, "-H", f"Upload-Length: {len(PNG)}", "-H", f"Upload-Metadata: {metadata}",
            url=f"{path}/uploads",
        )  # fmt: skip
        assert created == 201
        location = re.search(r"(?im)^location: (\S+)$", head)
        assert location is not None
        target = location[1] if location[1].startswith("http") else f"{server.url}{location[1]}"
        patched, _, _ = curl.run(
            "-X", "PATCH", *tus, "-H", "Upload-Offset: 0", "-H", "Content-Type: application/offset+octet-stream",
            "--data-binary", f"@{picture}", url=target,
        )  # fmt: skip
        assert patched == 204
        status, answer = curl.json("POST", f"{path}/submit", None, token)
        assert status == 200
        assert answer["completion_code"] == study["completion_codes"][0]["code"]
        submission: str = started["submission_id"]
        return submission

    submission = take_part("first")
    export = f"/data-collection/collections/{collection['id']}/export"
    status, requested = curl.json("POST", export)
    assert (status, requested["status"]) == (202, "generating")
    deadline = time.monotonic() + 120
    while True:
        status, state = curl.json("GET", f"{export}/{requested['export_id']}")
        assert status == 200
        if state["status"] == "complete":
            break
        assert state["status"] == "generating"
        assert time.monotonic() < deadline
        time.sleep(0.2)

    archive = download(state["url"], tmp_path / "a.zip")
    tested = subprocess.run(
        ["unzip", "-t", str(tmp_path / "a.zip")], capture_output=True, text=True, check=True
    )
    assert "No errors detected" in tested.stdout
    path = f"files/{submission}_receipt.png"
    extracted = subprocess.run(
        ["unzip", "-p", str(tmp_path / "a.zip"), path], capture_output=True, check=True
    ).stdout
    assert extracted == PNG
    # a download that broke off is resumed
    (tmp_path / "b.zip").write_bytes(archive[:1000])
    assert download(state["url"], tmp_path / "b.zip", "-C", "-") == archive

    status, again = curl.json("POST", export)
    assert (status, again["status"], again["export_id"]) == (200, "complete", requested["export_id"])
    assert download(again["url"], tmp_path / "c.zip") == archive

    take_part("second")
    status, anew = curl.json("POST", export)
    assert (status, anew["status"]) == (202, "generating")
    assert anew["export_id"] != requested["export_id"]
