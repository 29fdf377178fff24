"""Uploads as tus clients meet them, over a folder and over a bucket."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import gzip
import hashlib
import io
import os
import signal
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.run.administration import administer
from fieldpack.server.uploads.queries import move_offset, set_writer
from tests.bucket import Bucket
from tests.containers import iso
from tests.installation import Installation
from tests.integration.rows import connected
from tests.integration.waiting import wait_for, wait_until_read
from tests.scenario import FREE_TEXT, PNG, Participant, Scenario, expect

MIB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
ANY = {
    "type": "file_upload",
    "description": "Anything",
    "accepted_file_types": [".txt", ".csv", ".png", ".JPG", ".mp4"],
    "max_file_size_mb": 100,
    "max_file_count": 3,
    "required": False,
}
TEXT = {**FREE_TEXT, "required": False}
PICTURES = {
    "type": "file_upload",
    "description": "A picture",
    "accepted_file_types": [".jpg", ".png"],
    "max_file_size_mb": 0.5,
    "max_file_count": 2,
    "required": False,
}


def film(size_bytes: int) -> bytes:
    """Random bytes that begin as an MP4 does."""
    return b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + os.urandom(size_bytes - 24)


def encode(**values: str | bytes) -> str:
    """`Upload-Metadata`."""
    pairs = []
    for key, value in values.items():
        data = value.encode() if isinstance(value, str) else value
        pairs.append(f"{key} {base64.b64encode(data).decode()}".strip())
    return ",".join(pairs)


class Tus:
    """A participant's uploads to one instruction, request by request."""

    def __init__(self, participant: Participant, number: int = 0) -> None:
        self.participant = participant
        self.instruction_id = participant.item(number)
        self.http = participant.http

    def post(self, length: int | str, name: str | bytes = "a.mp4", **headers: str) -> httpx.Response:
        given = {
            **self.participant.headers,
            **TUS,
            "Upload-Length": str(length),
            "Upload-Metadata": encode(instruction_id=self.instruction_id, filename=name),
            **headers,
        }
        return self.http.post(f"{self.participant.path}/uploads", headers=given)

    def create(self, length: int, name: str | bytes = "a.mp4") -> str:
        created = self.post(length, name)
        assert created.status_code == 201, created.text
        assert created.headers["Tus-Resumable"] == "1.0.0"
        return str(created.url.join(created.headers["Location"]))

    def patch(self, url: str, offset: int | str, data: bytes, **headers: str) -> httpx.Response:
        given = {**self.participant.headers, **BYTES, "Upload-Offset": str(offset), **headers}
        return self.http.patch(url, content=data, headers=given)

    def head(self, url: str) -> httpx.Response:
        return self.http.head(url, headers={**self.participant.headers, **TUS})

    def offset(self, url: str) -> int:
        response = self.head(url)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        return int(response.headers["Upload-Offset"])

    def get(self, url: str) -> dict[str, Any]:
        state: dict[str, Any] = expect(self.http.get(url, headers=self.participant.headers), 200)
        return state

    def delete(self, url: str) -> httpx.Response:
        return self.http.delete(url, headers={**self.participant.headers, **TUS})

    def require_complete(self, url: str, data: bytes) -> dict[str, Any]:
        state = self.get(url)
        assert state["status"] == "complete", state
        assert state["offset"] == state["size_bytes"] == len(data)
        assert state["sha256"] == hashlib.sha256(data).hexdigest()
        assert self.offset(url) == len(data)
        return state


def open_request(url: str, headers: dict[str, str], length: int, method: str = "PATCH") -> socket.socket:
    """A request whose body is still to come, on a connection of its own."""
    parsed = httpx.URL(url)
    connection = socket.create_connection((parsed.host, parsed.port or 80))
    lines = [
        f"{method} {parsed.raw_path.decode()} HTTP/1.1",
        f"Host: {parsed.host}",
        f"Content-Length: {length}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


def wait_for_offset(tus: Tus, url: str, offset: int) -> None:
    wait_for(lambda: tus.offset(url) == offset)


@pytest.fixture(scope="session")
def s3_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation that keeps files in a bucket."""
    bucket: Bucket = request.getfixturevalue("bucket")
    installation = Installation(
        tmp_path_factory.mktemp("s3") / "data",
        settings={**bucket.environment, "FIELDPACK_STORAGE_URL": bucket.url("installation")},
    ).start()
    try:
        yield installation
    finally:
        installation.stop()


@pytest.fixture(params=["local", "s3"])
def installation(request: pytest.FixtureRequest) -> Installation:
    found: Installation = request.getfixturevalue("server" if request.param == "local" else "s3_server")
    return found


@pytest.fixture
def scenario(installation: Installation) -> Iterator[Scenario]:
    with installation.client() as client:
        yield Scenario.create(client, ANY, PICTURES, TEXT)


@pytest.fixture
def tus(scenario: Scenario) -> Tus:
    return Tus(scenario.start("p1"))


def check_archive(scenario: Scenario, contents: dict[str, bytes]) -> None:
    """The archive has files of these names and bytes."""
    import zipfile

    with zipfile.ZipFile(io.BytesIO(scenario.download())) as archive:
        found = {
            name.partition("_")[2]: archive.read(name)
            for name in archive.namelist()
            if name.startswith("files/")
        }
    assert found == contents


def test_a_file_in_one_request_and_in_many(scenario: Scenario, tus: Tus) -> None:
    whole, pieces = film(20 * MIB), film(3 * MIB + 17)
    url = tus.create(len(whole), "whole.mp4")
    assert tus.offset(url) == 0
    assert tus.head(url).headers["Upload-Length"] == str(len(whole))
    sent = tus.patch(url, 0, whole)
    assert (sent.status_code, sent.headers["Upload-Offset"]) == (204, str(len(whole))), sent.text
    state = tus.require_complete(url, whole)
    assert state["content_type"] == "video/mp4"
    assert state["file_name"] == "whole.mp4"

    url = tus.create(len(pieces), "pieces.mp4")
    offset = 0
    for size in (1, 3, 500, 5000, MIB, MIB + 1, len(pieces)):
        data = pieces[offset : offset + size]
        sent = tus.patch(url, offset, data)
        offset += len(data)
        assert (sent.status_code, sent.headers["Upload-Offset"]) == (204, str(offset)), sent.text
    tus.require_complete(url, pieces)

    # a second finish changes nothing, and more is refused
    assert tus.patch(url, len(pieces), b"").status_code == 204
    assert tus.patch(url, len(pieces), b"x").status_code in (409, 413)
    tus.participant.submit()
    check_archive(scenario, {"whole.mp4": whole, "pieces.mp4": pieces})


def test_an_empty_file(tus: Tus) -> None:
    url = tus.create(0, "empty.csv")
    assert tus.require_complete(url, b"")["content_type"] == "text/csv"
    refused = Tus(tus.participant, 1).post(0, "empty.png")
    assert expect(refused, 415)["error"]["status"] == 415


def test_offsets_and_lengths_that_lie(tus: Tus) -> None:
    data = film(2 * MIB)
    url = tus.create(len(data))
    assert tus.patch(url, 5, data[5:]).status_code == 409
    assert tus.patch(url, len(data) * 9, b"x").status_code in (409, 413)
    assert tus.patch(url, 0, data + b"more").status_code == 413
    for lie in ("-1", "1e3", "", "0x10"):
        assert tus.patch(url, lie, data).status_code == 400, lie
    assert tus.patch(url, "9" * 30, data).status_code == 409
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, data[:MIB]).status_code == 204
    assert tus.patch(url, 0, data[:MIB]).status_code == 409, "the same bytes again"
    assert tus.patch(url, MIB, data[MIB:]).status_code == 204
    tus.require_complete(url, data)
    for lie in ("-1", "x", "1.5", ""):
        assert tus.post(lie).status_code == 400


def test_more_bytes_than_announced_without_a_length(tus: Tus) -> None:
    """A chunked body says no length: the limit holds while bytes arrive."""
    data = film(MIB)
    url = tus.create(len(data))

    def endless() -> Iterator[bytes]:
        yield data
        for _ in range(64):
            yield os.urandom(MIB)

    headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
    try:
        answer = tus.http.patch(url, content=endless(), headers=headers)
        assert answer.status_code == 413
    except httpx.WriteError:
        pass  # the server hung up on a client that would not stop
    assert tus.offset(url) <= len(data)
    assert tus.get(url)["status"] == "uploading"
    assert tus.patch(url, tus.offset(url), data[tus.offset(url) :]).status_code == 204
    tus.require_complete(url, data)


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("sha256", lambda data: hashlib.sha256(data).digest()),
        ("sha1", lambda data: hashlib.sha1(data).digest()),
        ("crc32", lambda data: zlib.crc32(data).to_bytes(4, "big")),
    ],
)
def test_checksums_hold_for_all_or_none(tus: Tus, algorithm: str, digest: Any) -> None:
    data = film(11 * MIB)
    url = tus.create(len(data))

    def checksum(chunk: bytes) -> str:
        return f"{algorithm} {base64.b64encode(digest(chunk)).decode()}"

    first, second = data[: 10 * MIB], data[10 * MIB :]
    wrong = tus.patch(url, 0, first, **{"Upload-Checksum": checksum(b"other")})
    assert expect(wrong, 460)["error"]["error_code"] == 146000
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, first, **{"Upload-Checksum": checksum(first)}).status_code == 204
    assert tus.patch(url, 10 * MIB, second, **{"Upload-Checksum": checksum(first)}).status_code == 460
    assert tus.offset(url) == 10 * MIB
    assert tus.patch(url, 10 * MIB, second, **{"Upload-Checksum": checksum(second)}).status_code == 204
    tus.require_complete(url, data)


def test_a_whole_file_with_a_checksum(tus: Tus) -> None:
    data = film(10 * MIB)
    url = tus.create(len(data))
    right = f"sha256 {base64.b64encode(hashlib.sha256(data).digest()).decode()}"
    assert tus.patch(url, 0, data, **{"Upload-Checksum": right[:-6] + "AAAAA="}).status_code == 460
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, data, **{"Upload-Checksum": right}).status_code == 204
    tus.require_complete(url, data)


@pytest.mark.parametrize("header", ["md5 AAAA", "sha256 ???", "sha256", ""])
def test_malformed_checksums(tus: Tus, header: str) -> None:
    url = tus.create(5, "a.txt")
    answer = tus.patch(url, 0, b"hello", **{"Upload-Checksum": header})
    assert answer.status_code == 400
    assert tus.offset(url) == 0


def test_a_connection_that_breaks_keeps_what_arrived(tus: Tus) -> None:
    data = film(30 * MIB)
    url = tus.create(len(data))
    cut = 9 * MIB + 123
    headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
    with open_request(url, headers, len(data)) as connection:
        connection.sendall(data[:cut])
    wait_for_offset(tus, url, cut)
    assert tus.patch(url, cut, data[cut:]).status_code == 204
    tus.require_complete(url, data)


def test_a_broken_connection_with_a_checksum_counts_nothing(tus: Tus) -> None:
    data = film(2 * MIB)
    url = tus.create(len(data))
    checksum = f"sha1 {base64.b64encode(hashlib.sha1(data).digest()).decode()}"
    headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0", "Upload-Checksum": checksum}
    with open_request(url, headers, len(data)) as connection:
        connection.sendall(data[:MIB])
        wait_until_read(connection)
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, data, **{"Upload-Checksum": checksum}).status_code == 204
    tus.require_complete(url, data)


def test_a_newer_request_shuts_a_hanging_one_out(tus: Tus) -> None:
    data, lies = film(6 * MIB), os.urandom(6 * MIB)
    url = tus.create(len(data))
    headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
    with open_request(url, headers, len(data)) as hanging:
        hanging.sendall(data[: 2 * MIB])
        wait_until_read(hanging)
        at = tus.offset(url)
        assert tus.patch(url, at, data[at : 4 * MIB]).status_code == 204
        with contextlib.suppress(OSError):  # what the old request still sends must never land
            hanging.sendall(lies[: 3 * MIB])
        assert tus.offset(url) == 4 * MIB
        assert tus.patch(url, 4 * MIB, data[4 * MIB :]).status_code == 204
    tus.require_complete(url, data)


def test_of_two_requests_at_once_no_bytes_are_mixed(tus: Tus) -> None:
    data = film(4 * MIB)
    url = tus.create(len(data))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        codes = [answer.status_code for answer in pool.map(lambda _: tus.patch(url, 0, data), range(6))]
    assert 204 in codes
    assert set(codes) <= {204, 409}
    tus.require_complete(url, data)


def test_content_of_another_type_is_refused_and_removed(scenario: Scenario) -> None:
    tus = Tus(scenario.start("p1"), 1)
    hostile = {
        "page.jpg": b"<!DOCTYPE html><script>alert(1)</script>",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "program.jpg": b"\x7fELF\2\1\1" + os.urandom(3000),
        "notes.png": b"just text, no picture\n" * 3000,
        "noise.jpg": os.urandom(20_000),
        "no extension": b"%PDF-1.7\n" + os.urandom(5000),
    }
    for name, data in hostile.items():
        url = tus.create(len(data), name)
        refused = expect(tus.patch(url, 0, data), 415)
        assert "Accepted: .jpg, .png" in refused["error"]["detail"]
        state = tus.get(url)
        assert (state["status"], state["sha256"]) == ("failed", None)
        assert state["failure_reason"] == refused["error"]["detail"]
        assert tus.head(url).status_code == 410
        assert tus.patch(url, 0, data).status_code == 415
    # they count as nothing: two more fit, and the submission can be handed in
    for name in ("a.png", "really a png.jpg"):
        url = tus.create(len(PNG), name)
        assert tus.patch(url, 0, PNG).status_code == 204
        assert tus.get(url)["content_type"] == "image/png"
    tus.participant.submit()
    check_archive(scenario, {"a.png": PNG, "really a png.jpg": PNG})


def test_content_is_judged_before_it_is_whole(tus: Tus) -> None:
    page = b"<html>" + b"x" * (5 * MIB)
    url = tus.create(len(page), "a.png")
    assert tus.patch(url, 0, page[:100]).status_code == 204, "too few to tell"
    assert tus.patch(url, 100, page[100:5000]).status_code == 415
    assert tus.get(url)["status"] == "failed"
    url = tus.create(5 * MIB, "b.png")
    assert tus.patch(url, 0, b"GIF89a" + bytes(20)).status_code == 415, (
        "a signature at the very beginning tells"
    )


def test_tracks_decide_wherever_they_are(tus: Tus) -> None:
    """Recorders write what is in a file at its end, behind any number of pieces."""
    memo = iso(b"mp42", b"soun", media_bytes=9 * MIB)
    url = tus.create(len(memo), "memo.mp4")
    for offset in range(0, len(memo), 2 * MIB):
        assert tus.patch(url, offset, memo[offset : offset + 2 * MIB]).status_code == 204
    assert tus.require_complete(url, memo)["content_type"] == "audio/mp4"
    whole = tus.create(len(memo), "whole.mp4")
    assert tus.patch(whole, 0, memo).status_code == 204
    assert tus.require_complete(whole, memo)["content_type"] == "audio/mp4"


def test_a_film_under_the_name_of_a_recording_gets_no_receipt(installation: Installation) -> None:
    film = iso(b"mp42", b"vide", b"soun", media_bytes=MIB)
    with installation.client() as client:
        tus = Tus(Scenario.create(client, {**ANY, "accepted_file_types": [".m4a"]}).start("p1"))
        url = tus.create(len(film), "memo.m4a")
        assert tus.patch(url, 0, film[:-10]).status_code == 204
        refused = expect(tus.patch(url, len(film) - 10, film[-10:]), 415)
        assert "an MP4 film, which is not accepted here" in refused["error"]["detail"]
        state = tus.get(url)
        assert (state["status"], state["sha256"]) == ("failed", None)
        assert tus.head(url).status_code == 410


def test_names_of_types_not_accepted(tus: Tus) -> None:
    for name in ("a.exe", "a.mp4.html", "A.PDF"):
        assert tus.post(10, name).status_code == 415, name
    for name in (
        "A.MP4",
        "a.jpg",
        "a.jpeg",
        "a.JFIF",
        "a.text",
        "no extension",
        "../../etc/passwd",
        "",
        "v1.2",
        "a.png\0",
        "a.png\u200f",
    ):
        url = tus.create(len(PNG), name)
        assert tus.delete(url).status_code == 204


def test_a_type_of_two_extensions(server: Installation) -> None:
    data = gzip.compress(b"a,b")
    with server.client() as client:
        scenario = Scenario.create(client, {**ANY, "accepted_file_types": [".tar.gz"]})
        tus = Tus(scenario.start("p1"))
        assert tus.post(len(data), "a.gz").status_code == 415
        url = tus.create(len(data), "A.Tar.GZ")
        assert tus.patch(url, 0, data).status_code == 204
        tus.require_complete(url, data)


def test_file_names_are_kept(scenario: Scenario, tus: Tus) -> None:
    names: list[tuple[bytes, str]] = [
        (b"a\0b.txt", "a\N{REPLACEMENT CHARACTER}b.txt"),
        (b"\xff\xfe.txt", "\N{REPLACEMENT CHARACTER}" * 2 + ".txt"),
        ("📷".encode() * 1000, "📷" * 1000),
    ]
    for given, kept in names:
        url = tus.create(2, given)
        assert tus.patch(url, 0, b"hi").status_code == 204
        assert tus.get(url)["file_name"] == kept
    state = expect(tus.http.get(tus.participant.path, headers=tus.participant.headers), 200)
    assert [file["file_name"] for file in state["files"]] == [kept for _, kept in names]
    assert [file["status"] for file in state["files"]] == ["complete"] * 3


def test_limits_of_size_and_number(scenario: Scenario) -> None:
    tus = Tus(scenario.start("p1"), 1)
    assert tus.post(MIB // 2 + 1, "a.png").status_code == 413
    for huge in (10**17, 10**19, 10**40):
        assert tus.post(huge, "a.png").status_code == 413
    first = tus.create(MIB // 2, "a.png")
    tus.create(1000, "b.png")
    refused = expect(tus.post(1000, "c.png"), 409)
    assert "At most 2 files" in refused["error"]["detail"]
    assert tus.delete(first).status_code == 204
    assert tus.head(first).status_code == 404
    assert tus.delete(first).status_code == 404
    tus.create(1000, "c.png")


def test_many_at_once_never_pass_the_limit(scenario: Scenario) -> None:
    tus = Tus(scenario.start("p1"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = [answer.status_code for answer in pool.map(lambda _: tus.post(10, "a.txt"), range(12))]
    assert sorted(codes) == [201] * 3 + [409] * 9


def test_malformed_creations(tus: Tus) -> None:
    path, headers = f"{tus.participant.path}/uploads", {**tus.participant.headers, **TUS}
    good = encode(instruction_id=tus.instruction_id, filename="a.txt")
    malformed = [
        "instruction_id ???",
        "instruction_id",
        "",
        ",",
        "filename YQ==,filename YQ==",
        good + "," + "x" * 20_000,
        encode(instruction_id="no uuid", filename="a.txt"),
        encode(instruction_id="00000000-0000-4000-8000-000000000000", filename="a.txt"),
        encode(instruction_id=tus.participant.item(2), filename="a.txt"),
    ]
    for metadata in malformed:
        answer = tus.http.post(path, headers={**headers, "Upload-Length": "5", "Upload-Metadata": metadata})
        assert expect(answer, 400)["error"]["status"] == 400, metadata
    assert tus.http.post(path, headers={**headers, "Upload-Metadata": good}).status_code == 400
    for length in ("-1", "", "1.5", "0x10", "1e3", "five"):
        assert tus.post(length, "a.txt").status_code == 400, length
    deferred = {**headers, "Upload-Defer-Length": "1", "Upload-Metadata": good}
    assert tus.http.post(path, headers=deferred).status_code == 400


def test_the_protocol_is_named(tus: Tus) -> None:
    path = f"{tus.participant.path}/uploads"
    described = tus.http.options(path)
    assert described.status_code == 204
    assert described.headers["Tus-Version"] == "1.0.0"
    assert described.headers["Tus-Extension"] == "creation,creation-with-upload,termination,checksum"
    assert described.headers["Tus-Checksum-Algorithm"] == "sha256,sha1,crc32"
    assert int(described.headers["Tus-Max-Size"]) > 0
    url = tus.create(5, "a.txt")
    for method in ("POST", "PATCH", "HEAD", "DELETE"):
        target = path if method == "POST" else url
        for headers in ({}, {"Tus-Resumable": "0.2.2"}):
            answer = tus.http.request(method, target, headers={**tus.participant.headers, **headers})
            assert answer.status_code == 412, method
            assert answer.headers["Tus-Version"] == "1.0.0"
    assert tus.patch(url, 0, b"hello", **{"Content-Type": "text/plain"}).status_code == 415
    assert tus.patch(url, 9, b"hello").headers["Tus-Resumable"] == "1.0.0"


def test_creation_with_bytes_and_method_override(tus: Tus) -> None:
    metadata = encode(instruction_id=tus.instruction_id, filename="a.txt")
    headers = {**tus.participant.headers, **BYTES, "Upload-Length": "10", "Upload-Metadata": metadata}
    created = tus.http.post(f"{tus.participant.path}/uploads", content=b"hello", headers=headers)
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "5"), created.text
    url = str(created.url.join(created.headers["Location"]))
    given = {**tus.participant.headers, **BYTES, "Upload-Offset": "5", "X-HTTP-Method-Override": "PATCH"}
    assert tus.http.post(url, content=b"world", headers=given).status_code == 204
    tus.require_complete(url, b"helloworld")
    given = {**tus.participant.headers, **TUS, "X-HTTP-Method-Override": "DELETE"}
    assert tus.http.post(url, headers=given).status_code == 204
    assert tus.http.post(url, headers={**tus.participant.headers, **TUS}).status_code == 405


def begin(
    tus: Tus, key: str, length: int, data: bytes | Iterator[bytes] | None = None, **more: str
) -> httpx.Response:
    """A creation with a key, and with bytes if there are any."""
    fields = {"instruction_id": tus.instruction_id, "filename": "a.txt", "key": key, **more}
    headers = {**tus.participant.headers, **(TUS if data is None else BYTES), "Upload-Length": str(length)}
    return httpx.post(
        f"{tus.http.base_url}{tus.participant.path.removeprefix('/')}/uploads",
        content=data,
        headers={**headers, "Upload-Metadata": encode(**fields)},
        timeout=60,
        trust_env=False,
    )


def files_of(tus: Tus) -> list[dict[str, Any]]:
    state = expect(tus.http.get(tus.participant.path, headers=tus.participant.headers), 200)
    found: list[dict[str, Any]] = state["files"]
    return found


@pytest.mark.parametrize("with_bytes", [False, True])
def test_a_key_that_is_sent_again_names_the_same_upload(tus: Tus, with_bytes: bool) -> None:
    sent = b"hello" if with_bytes else None
    first = begin(tus, "k", 10, sent)
    assert first.status_code == 201, first.text
    for _ in range(5):  # more than there may be files
        again = begin(tus, "k", 10, sent)
        assert (again.status_code, again.headers["Location"]) == (201, first.headers["Location"])
        assert again.headers["Upload-Offset"] == ("5" if with_bytes else "0")
    url = str(first.url.join(first.headers["Location"]))
    at = 5 if with_bytes else 0
    assert tus.patch(url, at, b"helloworld"[at:]).status_code == 204
    for data in (None, b"hello", b"helloworld", b"otherbytes"):
        done = begin(tus, "k", 10, data)
        assert (done.status_code, done.headers["Upload-Offset"]) == (201, "10")
        assert done.headers["Location"] == first.headers["Location"]
    tus.require_complete(url, b"helloworld")
    assert len(files_of(tus)) == 1


def begin_and_leave(tus: Tus, key: str, data: bytes, part: int) -> None:
    """The same, of which only a part comes before the connection breaks."""
    fields = {"instruction_id": tus.instruction_id, "filename": "a.mp4", "key": key}
    head = {
        **tus.participant.headers,
        **BYTES,
        "Upload-Length": str(len(data)),
        "Content-Length": str(len(data)),
    }
    head |= {"Upload-Metadata": encode(**fields), "Host": "127.0.0.1"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    request = f"POST /api/v1{tus.participant.path}/uploads HTTP/1.1\r\n{lines}\r\n".encode()
    with socket.create_connection(("127.0.0.1", tus.http.base_url.port or 80), timeout=60) as connection:
        connection.sendall(request + data[:part])


@pytest.mark.parametrize("size_bytes", [20 * 1024, 900_000, 5 * MIB])
def test_who_was_cut_off_and_comes_again_at_once_is_told_where_to_go_on(tus: Tus, size_bytes: int) -> None:
    """The bytes that came are put on record just then: the key still names the upload, and nothing is refused."""
    data = film(size_bytes)
    for turn in range(12):
        key = f"{size_bytes} {turn}"
        begin_and_leave(tus, key, data, size_bytes * 7 // 10)
        again = begin(tus, key, len(data), data, filename="a.mp4")
        assert again.status_code == 201, again.text
        url, offset = str(again.url.join(again.headers["Location"])), int(again.headers["Upload-Offset"])
        if offset < len(data):
            assert tus.patch(url, offset, data[offset:]).status_code == 204
        tus.require_complete(url, data)
        assert [file["id"] for file in files_of(tus)] == [url.rpartition("/")[2]]
        assert tus.delete(url).status_code == 204


def test_a_creation_that_was_cut_off_is_sent_again(tus: Tus) -> None:
    """The bytes stop half-way and nobody hears the answer: the same key goes on, and there is one file."""
    data = film(2 * MIB)
    begin_and_leave(tus, "cut", data, MIB)
    for _ in range(20):
        again = begin(tus, "cut", len(data), filename="a.mp4")
        assert again.status_code == 201, again.text
    assert len(files_of(tus)) == 1
    url = str(again.url.join(again.headers["Location"]))
    whole = begin(tus, "cut", len(data), data, filename="a.mp4")
    offset = int(whole.headers["Upload-Offset"])
    while offset < len(data):
        sent = tus.patch(url, offset, data[offset:])
        offset = int(sent.headers["Upload-Offset"]) if sent.status_code == 204 else tus.offset(url)
    tus.require_complete(url, data)
    assert [file["status"] for file in files_of(tus)] == ["complete"]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size_bytes", [0, 20_000, 400_000, 6_000_000])
def test_one_key_at_the_same_time_is_one_file(tus: Tus, size_bytes: int, is_chunked: bool) -> None:
    """All are answered alike: who was shut out by a newer one hears of what that has brought."""
    text = base64.b64encode(os.urandom(size_bytes * 3 // 4))

    def send(_: int) -> httpx.Response:
        return begin(tus, "same", len(text), iter([text]) if is_chunked else text)

    with concurrent.futures.ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(send, range(5)))
    assert [(each.status_code, each.headers.get("Upload-Offset")) for each in answers] == [
        (201, str(len(text)))
    ] * 5, [each.text for each in answers]
    assert len({each.headers["Location"] for each in answers}) == 1
    assert [file["size_bytes"] for file in files_of(tus)] == [len(text)]
    tus.require_complete(str(answers[0].url.join(answers[0].headers["Location"])), text)


@pytest.mark.parametrize("key", [b"\x80", b"\xed\xa0\x80", b"a\0b", b"\xff\xfe"])
def test_a_key_that_is_no_text_is_refused(tus: Tus, key: bytes) -> None:
    """It would be read as another that is none either: two files would be one."""
    metadata = encode(instruction_id=tus.instruction_id, filename="a.txt", key=key)
    assert "key" in expect(tus.post(5, **{"Upload-Metadata": metadata}), 400)["error"]["detail"]
    assert files_of(tus) == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_more_bytes_than_announced_leave_no_upload_of_a_key(tus: Tus, is_chunked: bool) -> None:
    """Its answer names no upload, and an unfinished one would hold up whoever hands in."""
    data = b"x" * 150
    assert begin(tus, "long", 100, iter([data]) if is_chunked else data).status_code == 413
    assert files_of(tus) == []
    assert begin(tus, "long", 150, data).headers["Upload-Offset"] == "150"


def test_a_key_is_of_one_file_in_one_submission(tus: Tus) -> None:
    first = begin(tus, "k", 5, b"hello")
    assert begin(tus, "k", 6, b"hello!").status_code == 409
    assert begin(tus, "k", 5, b"hello", filename="b.txt").status_code == 409
    other = begin(tus, "K", 5, b"hello")  # another key
    assert (other.status_code, other.headers["Upload-Offset"]) == (201, "5")
    assert other.headers["Location"] != first.headers["Location"]
    scenario_key = begin(tus, "\u202e" * 200, 5, b"hello")
    assert scenario_key.status_code == 201
    for key in ("", "x" * 201):
        assert "key" in expect(begin(tus, key, 5, b"hello"), 400)["error"]["detail"]
    assert len(files_of(tus)) == 3
    # taken away, it is begun anew
    url = str(first.url.join(first.headers["Location"]))
    assert tus.http.delete(url, headers={**tus.participant.headers, **TUS}).status_code == 204
    anew = begin(tus, "k", 5, b"hello")
    assert (anew.status_code, anew.headers["Upload-Offset"]) == (201, "5")
    assert anew.headers["Location"] != first.headers["Location"]


def test_a_refused_upload_of_a_key_stays_refused(tus: Tus) -> None:
    assert begin(tus, "k", 8, b"%PDF-1.7", filename="a.mp4").status_code == 415
    assert begin(tus, "k", 8, b"%PDF-1.7", filename="a.mp4").status_code == 415
    mismatch = f"sha1 {base64.b64encode(bytes(20)).decode()}"
    headers = {**tus.participant.headers, **BYTES, "Upload-Length": "5", "Upload-Checksum": mismatch}
    headers["Upload-Metadata"] = encode(instruction_id=tus.instruction_id, filename="a.txt", key="sum")
    for _ in range(5):  # its bytes did not count: the same upload takes others
        assert (
            tus.http.post(f"{tus.participant.path}/uploads", content=b"hello", headers=headers).status_code
            == 460
        )
    assert begin(tus, "sum", 5, b"hello").headers["Upload-Offset"] == "5"
    assert [file["file_name"] for file in files_of(tus)] == ["a.txt"]


def test_a_creation_whose_bytes_are_refused_leaves_nothing(tus: Tus) -> None:
    """Its answer names no upload, so an unfinished one could be neither resumed nor removed."""
    metadata = encode(instruction_id=tus.instruction_id, filename="a.txt")
    given = {**tus.participant.headers, **BYTES, "Upload-Length": "5", "Upload-Metadata": metadata}
    mismatch = f"sha1 {base64.b64encode(bytes(20)).decode()}"
    refusals = [(460, b"hello", mismatch), (413, b"too long", None), (400, b"hello", "md5 AAAA")]
    for status, data, checksum in refusals * 2:  # six times, where three files are allowed
        headers = given if checksum is None else {**given, "Upload-Checksum": checksum}
        refused = tus.http.post(f"{tus.participant.path}/uploads", content=data, headers=headers)
        assert expect(refused, status)["error"]["status"] == status
    state = expect(tus.http.get(tus.participant.path, headers=tus.participant.headers), 200)
    assert state["files"] == []


def test_metadata_is_given_back(tus: Tus) -> None:
    metadata = f"{encode(instruction_id=tus.instruction_id, filename='ä.txt', filetype='x/y')}, private"
    created = tus.post(5, **{"Upload-Metadata": metadata})
    url = str(created.url.join(created.headers["Location"]))
    assert tus.head(url).headers["Upload-Metadata"] == metadata
    assert tus.patch(url, 0, b"hello").status_code == 204
    assert tus.head(url).headers["Upload-Metadata"] == metadata


def test_the_last_answer_may_be_asked_for_again(tus: Tus) -> None:
    url = tus.create(5, "a.txt")
    assert tus.patch(url, 0, b"hello").status_code == 204
    again = tus.patch(url, 5, b"")
    assert (again.status_code, again.headers["Upload-Offset"]) == (204, "5")
    headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "5"}
    assert tus.http.patch(url, content=iter([b"more"]), headers=headers).status_code == 413
    assert tus.patch(url, 10**19, b"").status_code == 409
    tus.participant.submit()
    assert tus.patch(url, 5, b"").status_code == 409


def test_extensions_of_two_parts(api: httpx.Client) -> None:
    item = {**ANY, "accepted_file_types": [".tar.gz"]}
    tus = Tus(Scenario.create(api, item).start("p1"))
    assert tus.post(10, "a.gz").status_code == 415
    url = tus.create(1000, "A.TAR.GZ")
    assert tus.patch(url, 0, b"\x1f\x8b\x08" + bytes(997)).status_code == 204
    tus.require_complete(url, b"\x1f\x8b\x08" + bytes(997))


def test_who_may(scenario: Scenario, tus: Tus) -> None:
    url = tus.create(5, "a.txt")
    other = scenario.start("p2")
    stranger = Tus(other)
    assert tus.http.head(url, headers=TUS | {"Authorization": "Bearer no"}).status_code == 401
    assert stranger.head(url).status_code == 404
    assert stranger.patch(url, 0, b"hello").status_code == 404
    assert stranger.delete(url).status_code == 404
    elsewhere = url.replace(tus.participant.submission_id, other.submission_id)
    assert stranger.patch(elsewhere, 0, b"hello").status_code == 404
    for unknown in ("x", "%00", "00000000-0000-4000-8000-000000000000"):
        assert tus.head(f"{url.rpartition('/')[0]}/{unknown}").status_code == 404
    assert tus.patch(url, 0, b"hello").status_code == 204


def test_after_submit_nothing_changes(scenario: Scenario, tus: Tus) -> None:
    done = tus.create(5, "a.txt")
    assert tus.patch(done, 0, b"hello").status_code == 204
    begun = tus.create(5, "b.txt")
    assert tus.http.post(f"{tus.participant.path}/submit", headers=tus.participant.headers).status_code == 400
    assert tus.delete(begun).status_code == 204
    tus.participant.submit()
    assert tus.post(5, "c.txt").status_code == 409
    assert tus.patch(done, 5, b"x").status_code == 409
    assert tus.delete(done).status_code == 409
    assert tus.get(done)["status"] == "complete"


def test_after_return_nothing_changes(tus: Tus) -> None:
    url = tus.create(5, "a.txt")
    expect(tus.http.post(f"{tus.participant.path}/return", headers=tus.participant.headers), 200)
    assert tus.post(5, "c.txt").status_code == 409
    assert tus.patch(url, 0, b"hello").status_code == 409
    assert tus.delete(url).status_code == 409


def test_an_erasure_ends_uploads(scenario: Scenario, tus: Tus) -> None:
    data = film(6 * MIB)
    url = tus.create(len(data))
    headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
    with open_request(url, headers, len(data)) as connection:
        connection.sendall(data[: 2 * MIB])
        wait_until_read(connection)
        erased = scenario.api.delete(f"/submissions/{tus.participant.submission_id}")
        assert erased.status_code == 204
        assert tus.head(url).status_code in (401, 404)
        connection.settimeout(60)
        assert connection.recv(12) == b"HTTP/1.1 404"


@contextlib.contextmanager
def dripping(connection: socket.socket, data: bytes) -> Iterator[None]:
    """Bytes that come steadily, a few at a time, until the other side ends it."""
    stopped = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in data:
                if stopped.wait(0.2):
                    return
                connection.sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_what_comes_slowly_and_steadily_is_kept_as_it_comes(server: Installation) -> None:
    """By the clock, not by the pace: no buffer is ever full, and no second silent."""
    with server.client() as client:
        tus = Tus(Scenario.create(client, ANY).start("p1"))
        data = film(6 * MIB)
        url = tus.create(len(data))
        headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
        with open_request(url, headers, len(data)) as connection:
            connection.sendall(data[:1000])
            with dripping(connection, data[1000:2000]):
                wait_for(lambda: tus.offset(url) > 1000)
                before = tus.offset(url)
                wait_for(lambda: tus.offset(url) > before)


@pytest.mark.parametrize("ends", ["erasure", "removal"])
@pytest.mark.parametrize("how", ["plain", "checksum", "creation", "small creation"])
def test_what_is_not_wanted_any_more_ends_however_steadily_it_comes(
    server: Installation, how: str, ends: str
) -> None:
    with server.client() as client:
        scenario = Scenario.create(client, ANY)
        tus = Tus(scenario.start("p1"))
        data = film(1000 if how == "small creation" else 6 * MIB)
        headers = {**tus.participant.headers, **BYTES}
        if how == "checksum":
            headers["Upload-Checksum"] = f"sha1 {base64.b64encode(hashlib.sha1(data).digest()).decode()}"
        if "creation" in how:
            headers["Upload-Length"] = str(len(data))
            headers["Upload-Metadata"] = encode(instruction_id=tus.instruction_id, filename="a.mp4")
            url, method = f"{server.url}/api/v1{tus.participant.path}/uploads", "POST"
        else:
            url, method = tus.create(len(data)), "PATCH"
            headers["Upload-Offset"] = "0"
        with open_request(url, headers, len(data), method) as connection:
            connection.sendall(data[:500])
            with dripping(connection, data[500:900]):
                wait_until_read(connection)
                if how == "creation" or ends == "removal":
                    wait_for(lambda: bool(files_of(tus)))  # a small one is there after some seconds
                if ends == "erasure":
                    expect(scenario.api.delete(f"/submissions/{tus.participant.submission_id}"), 204)
                else:
                    [file] = files_of(tus)
                    expect(tus.delete(f"{server.url}/api/v1{tus.participant.path}/uploads/{file['id']}"), 204)
                connection.settimeout(15)
                assert connection.recv(12) in (
                    b"HTTP/1.1 404",
                    b"HTTP/1.1 401",
                )  # the participant is gone too
        wait_for(lambda: unfinished(server) == [])


def unfinished(installation: Installation) -> list[str]:
    """Files of storage that processes hold open although they are gone."""
    found = []
    for child in installation.children("web"):
        for descriptor in Path(f"/proc/{child}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = os.readlink(descriptor)
                if str(installation.data_dir / "storage") in name and name.endswith(" (deleted)"):
                    found.append(name)
    return found


# those that look inside: over a folder, where one can


@pytest.fixture
def local(server: Installation) -> Iterator[Scenario]:
    with server.client() as client:
        yield Scenario.create(client, ANY, PICTURES, TEXT)


def stored_files(installation: Installation) -> dict[str, int]:
    root = installation.data_dir / "storage"
    return {path.name: path.stat().st_size for path in root.rglob("*") if path.is_file()}


def query(installation: Installation, sql: str, *values: Any) -> list[dict[str, Any]]:
    async def work(connection: Connection) -> list[dict[str, Any]]:
        cursor = await connection.execute(sql, values)
        return await cursor.fetchall() if cursor.description else []

    return administer(Settings(data_dir=installation.data_dir), work)


def test_only_the_newest_request_moves_the_offset(server: Installation, local: Scenario) -> None:
    """Bytes of an older one may be on their way still: what it commits after another took over is refused."""
    tus = Tus(local.start("p1"))
    upload_id = UUID(tus.create(1000).rpartition("/")[2])
    older, newer = uuid4(), uuid4()

    async def work(connection: Connection) -> list[bool]:
        await set_writer(connection, upload_id, older)
        moved = [await move_offset(connection, upload_id, older, 100, 1, None)]
        await set_writer(connection, upload_id, newer)
        moved.append(await move_offset(connection, upload_id, older, 500, 2, "text/plain"))
        moved.append(await move_offset(connection, upload_id, newer, 200, 3, None))
        return moved

    assert administer(Settings(data_dir=server.data_dir), work) == [True, False, True]
    query = "SELECT offset_bytes, crc32, content_type FROM uploads WHERE id = %s"
    with connected(server) as database:
        assert database.execute(query, [upload_id]).fetchone() == (200, 3, None)


def test_removed_bytes_leave_the_disk(server: Installation, local: Scenario) -> None:
    tus = Tus(local.start("p1"))
    data = film(MIB)
    url = tus.create(len(data))
    upload_id = url.rpartition("/")[2]
    assert tus.patch(url, 0, data).status_code == 204
    assert stored_files(server)[upload_id] == len(data)
    assert tus.delete(url).status_code == 204
    assert upload_id not in stored_files(server)
    refused = tus.create(5000, "a.png")
    assert tus.patch(refused, 0, b"<html>" + b"x" * 4994).status_code == 415
    assert refused.rpartition("/")[2] not in stored_files(server)
    counted = query(
        server, "SELECT upload_bytes FROM submissions WHERE id = %s", UUID(tus.participant.submission_id)
    )
    assert counted == [{"upload_bytes": 0}]


def test_late_work_is_kept(server: Installation, local: Scenario) -> None:
    tus = Tus(local.start("p1"))
    url = tus.create(10, "a.txt")
    query(
        server,
        "UPDATE submissions SET status = 'TIMED-OUT', response = 'no_submission', holds_place = false"
        " WHERE id = %s",
        UUID(tus.participant.submission_id),
    )
    assert tus.patch(url, 0, b"helloworld").status_code == 204
    tus.require_complete(url, b"helloworld")
    tus.create(5, "b.txt")


def test_rows_and_constraints_hold(server: Installation, local: Scenario) -> None:
    tus = Tus(local.start("p1"))
    url = tus.create(5, "a.txt")
    assert tus.patch(url, 0, b"hello").status_code == 204
    upload_id = UUID(url.rpartition("/")[2])
    (blob,) = query(
        server,
        "SELECT b.* FROM uploads u JOIN blobs b ON b.id = u.blob_id WHERE u.id = %s",
        upload_id,
    )
    assert (blob["size_bytes"], blob["crc32"]) == (5, zlib.crc32(b"hello"))
    assert bytes(blob["sha256"]) == hashlib.sha256(b"hello").digest()
    with pytest.raises(psycopg.errors.CheckViolation):
        query(server, "UPDATE uploads SET offset_bytes = 3 WHERE id = %s", upload_id)


def test_of_refused_uploads_the_last_are_known_and_nothing_needless(
    server: Installation, local: Scenario
) -> None:
    tus = Tus(local.start("p1"))
    submission = tus.participant.submission_id
    insert = """
        INSERT INTO uploads (id, submission_id, instruction_id, file_name, length_bytes, failure, key, updated_at)
        SELECT gen_random_uuid(), %s, %s, 'a.mp4', 8, 'No.', 'old' || n, now() - make_interval(secs => n)
        FROM generate_series(1, 120) AS n RETURNING id
    """
    query(server, insert, submission, tus.instruction_id)
    metadata = encode(instruction_id=tus.instruction_id, filename="a.mp4", key="new") + ",more " + "A" * 8000
    given = {**tus.participant.headers, **BYTES, "Upload-Length": "8", "Upload-Metadata": metadata}
    for _ in range(2):
        answer = tus.http.post(f"{tus.participant.path}/uploads", content=b"%PDF-1.7", headers=given)
        assert answer.status_code == 415
    rows = query(server, "SELECT key, metadata FROM uploads WHERE submission_id = %s", submission)
    assert {row["key"] for row in rows} == {"new", *(f"old{n}" for n in range(1, 100))}
    assert all(row["metadata"] is None for row in rows)
    assert begin(tus, "old7", 8, b"%PDF-1.7", filename="a.mp4").status_code == 415


def test_damage_in_storage_is_noticed_before_an_upload_completes(
    server: Installation, local: Scenario
) -> None:
    tus = Tus(local.start("p1"))
    data = film(3 * MIB)
    url = tus.create(len(data))
    assert tus.patch(url, 0, data[:MIB]).status_code == 204
    upload_id = url.rpartition("/")[2]
    path: Path = server.data_dir / "storage" / "blobs" / upload_id[:2] / upload_id
    path.unlink()
    answer = tus.patch(url, MIB, data[MIB:])
    assert answer.status_code == 410
    assert tus.get(url)["status"] == "failed"


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server of two web processes that tests may harm, with tight caps."""
    installation = Installation(
        tmp_path_factory.mktemp("fragile") / "data",
        options=["--workers", "2"],
        settings={"FIELDPACK_MAX_SUBMISSION_MB": "40", "FIELDPACK_MAX_STUDY_MB": "60"},
    ).start()
    try:
        yield installation
    finally:
        installation.stop()


def test_caps_of_submission_and_study(fragile: Installation) -> None:
    with fragile.client() as client:
        scenario = Scenario.create(client, {**ANY, "max_file_count": 9})
        tus = Tus(scenario.start("p1"))
        first = tus.create(30 * MIB)
        assert "one submission" in expect(tus.post(11 * MIB), 413)["error"]["detail"]
        other = Tus(scenario.start("p2"))
        other.create(30 * MIB)
        third = Tus(scenario.start("p3"))
        assert "This study" in expect(third.post(1), 413)["error"]["detail"]
        assert tus.delete(first).status_code == 204
        third.create(30 * MIB)


def test_kill_9_in_the_middle_and_on_with_another_process(fragile: Installation) -> None:
    data = film(40 * MIB)
    with fragile.client() as client:
        tus = Tus(Scenario.create(client, ANY).start("p1"))
        url = tus.create(len(data))
        headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
        sent = 33 * MIB
        with open_request(url, headers, len(data)) as connection:
            connection.sendall(data[:sent])
            wait_for(lambda: tus.offset(url) >= 16 * MIB)
            for pid in fragile.children("web"):
                os.kill(pid, signal.SIGKILL)
        wait_for(fragile.is_ready)
        offset = tus.offset(url)
        assert 16 * MIB <= offset <= sent
        path = next(
            path for path in (fragile.data_dir / "storage").rglob("*") if path.name == url.rpartition("/")[2]
        )
        with path.open("r+b") as file:  # whatever lies past the offset doesn't matter
            file.seek(offset)
            file.write(os.urandom(1000))
        for _ in range(3):  # each perhaps by the other process
            with fragile.client() as fresh:
                tus.http = fresh
                end = min(offset + 3 * MIB, len(data))
                assert tus.patch(url, offset, data[offset:end]).status_code == 204
                offset = end
        with fragile.client() as fresh:
            tus.http = fresh
            if offset < len(data):
                assert tus.patch(url, offset, data[offset:]).status_code == 204
            tus.require_complete(url, data)


@pytest.mark.slow
def test_a_server_that_stops_keeps_what_arrived(fragile: Installation) -> None:
    data = film(12 * MIB)
    with fragile.client() as client:
        tus = Tus(Scenario.create(client, ANY).start("p1"))
        url = tus.create(len(data))
        headers = {**tus.participant.headers, **BYTES, "Upload-Offset": "0"}
        with open_request(url, headers, len(data)) as connection:
            connection.sendall(data[: 5 * MIB])
            wait_until_read(connection)
            fragile.stop()
    fragile.start()
    with fragile.client() as client:
        tus.http = client
        assert tus.offset(url) == 5 * MIB
        assert tus.patch(url, 5 * MIB, data[5 * MIB :]).status_code == 204
        tus.require_complete(url, data)
