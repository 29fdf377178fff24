"""An independent client of tus against the server: tuspy."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.installation import Installation
from tests.scenario import Participant, Scenario

tusclient = pytest.importorskip("tusclient.client", reason="needs tuspy: pip install tuspy")

MIB = 1 << 20
FILMS = {
    "type": "file_upload",
    "description": "A film",
    "accepted_file_types": [".mp4"],
    "max_file_size_mb": 100,
}


@pytest.fixture
def participant(server: Installation) -> Iterator[Participant]:
    with server.client() as client:
        yield Scenario.create(client, FILMS).start("p1")


def make_client(server: Installation, participant: Participant) -> Any:
    url = f"{server.url}/api/v1{participant.path}/uploads"
    return tusclient.TusClient(url, headers=participant.headers)


def make_film() -> bytes:
    return b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + os.urandom(7 * MIB + 11)


@pytest.mark.parametrize("checksums", [False, True])
def test_tuspy_uploads(server: Installation, participant: Participant, checksums: bool) -> None:
    data = make_film()
    uploader = make_client(server, participant).uploader(
        file_stream=io.BytesIO(data),
        chunk_size=2 * MIB,
        upload_checksum=checksums,
        metadata={"instruction_id": participant.item(0), "filename": "film.mp4", "filetype": "video/mp4"},
    )
    uploader.upload()
    state = participant.http.get(uploader.url, headers=participant.headers).json()
    assert state["status"] == "complete"
    assert state["sha256"] == hashlib.sha256(data).hexdigest()
    participant.submit()


def test_tuspy_resumes(server: Installation, participant: Participant) -> None:
    data = make_film()
    client = make_client(server, participant)
    first = client.uploader(
        file_stream=io.BytesIO(data),
        chunk_size=MIB,
        metadata={"instruction_id": participant.item(0), "filename": "film.mp4"},
    )
    first.upload(stop_at=3 * MIB)
    second = client.uploader(file_stream=io.BytesIO(data), url=first.url, chunk_size=2 * MIB)
    assert second.offset == 3 * MIB
    second.upload()
    state = participant.http.get(first.url, headers=participant.headers).json()
    assert state["status"] == "complete"
    assert state["sha256"] == hashlib.sha256(data).hexdigest()
