"""What an export's link serves, and when it refuses."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.installation import Installation
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect


@pytest.fixture(scope="module")
def linked(server: Installation) -> Iterator[tuple[Scenario, str, bytes]]:
    """A scenario, a link, and its archive: many small members, and one that takes several chunks."""
    with server.client() as api:
        scenario = Scenario.create(
            api,
            {"type": "free_text", "description": "How was it?"},
            {"type": "file_upload", "description": "Photos", "max_file_size_mb": 5, "required": False},
        )
        noise = random.Random(7).randbytes(1_700_000)
        for number in range(6):
            scenario.take_part(f"p{number}", f"Text {number}", [("a.png", PNG), ("b.png", PNG)])
        scenario.take_part("large", "Large", [("large.png", PNG + noise), ("empty-ish.png", PNG)])
        export = scenario.export()
        yield scenario, export["url"], scenario.download(export)


@pytest.fixture(scope="module")
def plain() -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


Linked = tuple[Scenario, str, bytes]


def test_the_whole(linked: Linked, plain: httpx.Client) -> None:
    scenario, url, archive = linked
    answer = plain.get(url)
    assert answer.status_code == 200
    assert answer.content == archive
    assert answer.headers["content-length"] == str(len(archive))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/zip"
    etag = answer.headers["etag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    assert len(etag) > 20
    created_at = expect(scenario.api.get(scenario.export_path), 200)[0]["created_at"]
    stamp = created_at[:19].replace("-", "").replace(":", "").replace("T", "-")
    name = f"{scenario.collection['id']}-export-{stamp}.zip"
    assert f'filename="{name}"' in answer.headers["content-disposition"]
    assert answer.headers["content-disposition"].startswith("attachment")


def test_head_says_what_get_would(linked: Linked, plain: httpx.Client) -> None:
    _, url, archive = linked
    head, get = plain.head(url), plain.get(url)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-length", "etag", "accept-ranges", "content-type", "content-disposition"):
        assert head.headers[name] == get.headers[name]
    ignored = plain.head(url, headers={"Range": "bytes=0-9"})  # RFC 9110 §14.2: ranges are for GET
    assert (ignored.status_code, ignored.headers["content-length"]) == (200, str(len(archive)))
    assert plain.head(url, headers={"If-None-Match": head.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, None),
        ("bytes=-100", -100, None),
        ("bytes=-99999999999", 0, None),
        ("bytes=-" + "9" * 5000, 0, None),
        ("bytes=5-99999999999", 5, None),
        ("bytes=5-" + "9" * 5000, 5, None),
        ("bytes=0000-0009", 0, 10),
        ("BYTES=0-9", 0, 10),
        ("bytes=-1", -1, None),
    ],
)
def test_ranges(linked: Linked, plain: httpx.Client, header: str, start: int, stop: int | None) -> None:
    _, url, archive = linked
    answer = plain.get(url, headers={"Range": header})
    assert answer.status_code == 206
    expected = archive[start:stop]
    assert answer.content == expected
    first = start if start >= 0 else len(archive) + start
    last = first + len(expected) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(archive)}"
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers["etag"] == plain.head(url).headers["etag"]


@pytest.mark.parametrize(
    "header", ["bytes={size}-", "bytes={size}-{size}", "bytes=-0", "bytes=9" + "9" * 5000 + "-"]
)
def test_unsatisfiable_ranges(linked: Linked, plain: httpx.Client, header: str) -> None:
    _, url, archive = linked
    answer = plain.get(url, headers={"Range": header.replace("{size}", str(len(archive)))})
    refused(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{len(archive)}"


@pytest.mark.parametrize(
    "header",
    ["bytes=0-1,4-5", "bytes=9-3", "bytes=", "bytes=-", "bytes=a-b", "bytes", "items=0-5", "bytes=0-5;",
     "0-5", "bytes=1", "bytes=+1-5", "bytes=1--5", "bytes=0x1-0x5", "bytes=\u0661-5".encode(), ""],
)  # fmt: skip
def test_several_and_malformed_ranges_get_the_whole(
    linked: Linked, plain: httpx.Client, header: str | bytes
) -> None:
    _, url, archive = linked
    raw = header if isinstance(header, bytes) else header.encode()
    answer = plain.get(url, headers={b"Range": raw})
    assert answer.status_code == 200
    assert answer.content == archive


def test_conditions(linked: Linked, plain: httpx.Client) -> None:
    _, url, archive = linked
    etag = plain.head(url).headers["etag"]
    for matching in (etag, f"W/{etag}", "*", f'"other", {etag}'):
        answer = plain.get(url, headers={"If-None-Match": matching})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert plain.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    part = {"Range": "bytes=0-9"}
    assert plain.get(url, headers={**part, "If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Mon, 23 Nov 2026 00:00:00 GMT", etag.strip('"')):
        answer = plain.get(url, headers={**part, "If-Range": other})
        assert (answer.status_code, answer.content) == (200, archive)
    assert plain.get(url, headers={**part, "If-None-Match": etag}).status_code == 304


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_range_is_the_slice(linked: Linked, plain: httpx.Client, data: st.DataObject) -> None:
    _, url, archive = linked
    start = data.draw(st.integers(0, len(archive) - 1))
    last = data.draw(st.one_of(st.integers(start, len(archive) + 10), st.integers(start, start + 300)))
    answer = plain.get(url, headers={"Range": f"bytes={start}-{last}"})
    assert answer.status_code == 206
    assert answer.content == archive[start : last + 1]


def test_pieces_make_the_whole(linked: Linked, plain: httpx.Client) -> None:
    _, url, archive = linked
    pieces = [
        plain.get(url, headers={"Range": f"bytes={start}-{start + 99_999}"}).content
        for start in range(0, len(archive), 100_000)
    ]
    assert b"".join(pieces) == archive


def altered(url: str) -> dict[str, str]:
    """Every way to change a link."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    expires, signature = query["expires"][0], query["signature"][0]
    export_id = parts.path.split("/")[-2]
    swapped = signature[:-1] + ("0" if signature[-1] != "0" else "1")

    def with_query(text: str) -> str:
        return urlunsplit(parts._replace(query=text))

    def with_path(text: str) -> str:
        return urlunsplit(parts._replace(path=text))

    return {
        "another export": with_path(parts.path.replace(export_id, str(uuid4()))),
        "no export": with_path(parts.path.replace(export_id, "x")),
        "another case of the id": with_path(parts.path.replace(export_id, export_id.upper())),
        "a trailing slash": with_path(parts.path + "/"),
        "another path": with_path(parts.path.replace("archive", "archives")),
        "a longer path": with_path(parts.path.replace("/api/", "//api/")),
        "an encoded letter": with_path(parts.path.replace("archive", "%61rchive")),
        "an encoded digit of the id": with_path(
            parts.path.replace(export_id, f"%{ord(export_id[0]):02x}{export_id[1:]}")
        ),
        "a later expiry": with_query(f"expires={int(expires) + 1}&signature={signature}"),
        "no expiry": with_query(f"signature={signature}"),
        "an empty expiry": with_query(f"expires=&signature={signature}"),
        "a huge expiry": with_query(f"expires={'9' * 5000}&signature={signature}"),
        "a padded expiry": with_query(f"expires=0{expires}&signature={signature}"),
        "a negative expiry": with_query(f"expires=-1&signature={signature}"),
        "another signature": with_query(f"expires={expires}&signature={swapped}"),
        "upper case": with_query(f"expires={expires}&signature={signature.upper()}"),
        "a shorter signature": with_query(f"expires={expires}&signature={signature[:-1]}"),
        "no signature": with_query(f"expires={expires}"),
        "an empty signature": with_query(f"expires={expires}&signature="),
        "a signature that is no ASCII": with_query(f"expires={expires}&signature=%ff"),
        "another order": with_query(f"signature={signature}&expires={expires}"),
        "one parameter more": url + "&download=1",
        "one parameter twice": url + f"&expires={expires}",
        "an ampersand more": url + "&",
        "no query": with_query(""),
    }


@pytest.mark.parametrize(
    "how", altered("http://h/api/v1/data-collection/exports/0a/archive?expires=1&signature=f")
)
def test_altered_links_are_403(linked: Linked, plain: httpx.Client, how: str) -> None:
    _, url, _ = linked
    changed = altered(url)[how]
    if how == "another case of the id" and changed == url:
        pytest.skip("an id without letters")
    detail = refused(plain.get(changed), 403)
    assert "fresh link" in detail
    assert plain.head(changed).status_code == 403


def test_a_link_needs_and_takes_no_token(linked: Linked, plain: httpx.Client) -> None:
    _, url, archive = linked
    for header in ("Token wrong", "Basic x"):
        assert plain.get(url, headers={"Authorization": header}).content == archive


def test_other_methods_are_405(linked: Linked, plain: httpx.Client) -> None:
    _, url, _ = linked
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused(plain.request(method, url), 405)


def test_unzippers_open_it(linked: Linked, tmp_path: Path) -> None:
    _, _, archive = linked
    path = tmp_path / "archive.zip"
    path.write_bytes(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert opened.namelist()[:3] == ["responses.jsonl", "collection.json", "README.md"]
        assert len(opened.namelist()) == 3 + 14
    tried = 0
    for program in (["unzip", "-tqq"], ["7z", "t", "-bso0"]):
        if shutil.which(program[0]):
            subprocess.run([*program, str(path)], check=True, capture_output=True)
            tried += 1
    if tried < 2:
        pytest.skip("unzip or 7z is not installed")


def test_an_uploaded_file_is_served_with_ranges(linked: Linked) -> None:
    scenario, _, _ = linked
    collection = f"/data-collection/collections/{scenario.collection['id']}"
    records = expect(scenario.api.get(f"{collection}/responses"), 200)["results"]
    answers = [
        answer for record in records for answer in record["response"]["answer"] if "file_key" in answer
    ]
    url = f"{collection}/files/{answers[0]['file_key']}"
    answer = scenario.api.get(url)
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = scenario.api.get(url, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, PNG[1:4])
    assert scenario.api.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    refused(scenario.api.get(url, headers={"Range": "bytes=9999-"}), 416)
    other = Scenario.create(scenario.api)
    refused(scenario.api.get(url.replace(scenario.collection["id"], other.collection["id"])), 404)
