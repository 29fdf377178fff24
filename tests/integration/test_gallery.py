"""Small pictures of what participants upload, the gallery that shows them, and what goes with an erasure."""

from __future__ import annotations

import hashlib
import html
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from fieldpack.server.storage import thumbnail_key
from tests.files_there import iter_contents
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.decisions import make_held
from tests.integration.rows import connected, insert_researcher
from tests.pictures import HEIC, SECRET, make_drawing, make_exif, make_film, make_halves, save
from tests.scenario import FREE_TEXT, UPLOAD, Scenario, expect

ANYTHING = {
    **UPLOAD,
    "accepted_file_types": [".jpg", ".png", ".heic", ".mp4", ".mp3", ".pdf", ".svg", ".txt"],
    "required": False,
}


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api, FREE_TEXT, ANYTHING)


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    """Somebody who has signed in."""
    with httpx.Client(
        base_url=server.url,
        trust_env=False,
        timeout=60,
        headers={"Accept": "text/html", "Origin": server.url},
    ) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


def base_of(scenario: Scenario) -> str:
    return f"/workbench/collections/{scenario.collection['id']}"


def states(server: Installation, scenario: Scenario) -> dict[str, tuple[str | None, str | None]]:
    """How far the small pictures of a collection's files are, by file name, and why there are none."""
    with connected(server) as database:
        rows = database.execute(
            "SELECT u.file_name, t.state, t.reason FROM uploads u JOIN submissions s ON s.id = u.submission_id"
            " LEFT JOIN thumbnails t ON t.blob_id = u.blob_id WHERE s.collection_id = %s",
            [scenario.collection["id"]],
        ).fetchall()
    return {name: (state, reason) for name, state, reason in rows}


def wait_until_made(server: Installation, scenario: Scenario) -> dict[str, tuple[str | None, str | None]]:
    """Until nothing waits any more."""
    wait_for(
        lambda: "waiting" not in [state for state, _ in states(server, scenario).values()], seconds=300.0
    )
    return states(server, scenario)


def files_of(scenario: Scenario) -> dict[str, str]:
    """Keys of a collection's files by name."""
    path = f"/data-collection/collections/{scenario.collection['id']}/responses"
    records = expect(scenario.api.get(path, params={"limit": 1000}), 200)["results"]
    return {
        answer["file_name"]: answer["file_key"]
        for record in records
        for answer in record["response"]["answer"]
        if "file_key" in answer
    }


def tiles_of(page: str) -> list[dict[str, Any]]:
    return [json.loads(html.unescape(text)) for text in re.findall(r'data-tile="([^"]*)"', page)]


def test_small_pictures_are_made_of_what_arrives(
    scenario: Scenario, server: Installation, browser: httpx.Client
) -> None:
    photo = save(make_halves(1200, 900), "JPEG", exif=make_exif(6))
    given = [
        ("photo.jpg", photo),
        ("phone.heic", HEIC),
        ("film.mp4", make_film()),
        ("paper.pdf", save(make_halves(600, 800), "PDF", save_all=True, append_images=[make_drawing()] * 2)),
        ("broken.png", save(make_drawing(), "PNG")[:60]),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
        ("words.txt", b"only words"),
    ]
    submission = scenario.take_part("one", "Fine", given)
    found = wait_until_made(server, scenario)
    assert {name: state for name, (state, _) in found.items()} == {
        "photo.jpg": "made",
        "phone.heic": "made",
        "film.mp4": "made",
        "paper.pdf": "made",
        "broken.png": "unreadable",
        "drawing.svg": None,
        "words.txt": None,
    }
    base, keys = base_of(scenario), files_of(scenario)
    small = browser.get(f"{base}/files/{keys['photo.jpg']}/thumbnail")
    assert small.status_code == 200
    assert small.headers["content-type"] == "image/webp"
    assert small.headers["cache-control"] == "private, no-cache"
    assert small.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert small.headers["x-content-type-options"] == "nosniff"
    assert small.headers["etag"] == f'"{hashlib.sha256(small.content).hexdigest()}"'
    assert Image.open(io.BytesIO(small.content)).size == (240, 320)  # upright
    assert SECRET not in small.content
    again = browser.get(
        f"{base}/files/{keys['photo.jpg']}/thumbnail", headers={"If-None-Match": small.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert browser.get(f"{base}/files/{keys['photo.jpg']}/thumbnail?size=large").status_code == 404
    large = browser.get(f"{base}/files/{keys['paper.pdf']}/thumbnail?size=large")
    assert Image.open(io.BytesIO(large.content)).size == (1200, 1600)
    assert browser.get(f"{base}/files/{keys['broken.png']}/thumbnail").status_code == 404

    table = browser.get(f"{base}/responses").text
    assert f'src="{base}/files/{keys["photo.jpg"]}/thumbnail" width="240" height="320"' in table
    page = browser.get(f"/workbench/submissions/{submission}").text
    assert f'<img src="{base}/files/{keys["photo.jpg"]}"' in page  # browsers show it themselves, turned
    assert f'<img src="{base}/files/{keys["phone.heic"]}/thumbnail?size=large"' in page
    assert f'poster="{base}/files/{keys["film.mp4"]}/thumbnail?size=large"' in page
    assert f'<img src="{base}/files/{keys["paper.pdf"]}/thumbnail?size=large"' in page
    for number in (2, 3):
        assert f'<img src="{base}/files/{keys["paper.pdf"]}/pages/{number}"' in page
        shown = browser.get(f"{base}/files/{keys['paper.pdf']}/pages/{number}")
        assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
        assert max(Image.open(io.BytesIO(shown.content)).size) == 1200
    for wrong in ("1", "4", "21", "0", "x", "%00"):
        assert browser.get(f"{base}/files/{keys['paper.pdf']}/pages/{wrong}").status_code == 404
    assert f"files/{submission}_paper.pdf" in page  # its place in archives
    assert f'src="{base}/files/{keys["drawing.svg"]}' not in page
    assert ">SVG<" in page
    assert hashlib.sha256(photo).hexdigest() in page
    film = browser.get(f"{base}/files/{keys['film.mp4']}", headers={"Range": "bytes=10-19"})
    assert (film.status_code, film.headers["content-type"], len(film.content)) == (206, "video/mp4", 10)
    assert browser.get(f"{base}/files/{keys['film.mp4']}").headers["content-disposition"] == "inline"
    assert (
        browser.get(f"{base}/files/{keys['paper.pdf']}")
        .headers["content-disposition"]
        .startswith("attachment")
    )


def test_who_may_not_see_files_sees_no_small_ones(
    scenario: Scenario, server: Installation, browser: httpx.Client
) -> None:
    scenario.take_part("one", "Fine", [("photo.png", save(make_drawing(), "PNG"))])
    wait_until_made(server, scenario)
    path = f"{base_of(scenario)}/files/{files_of(scenario)['photo.png']}/thumbnail"
    assert browser.get(path).status_code == 200
    assert httpx.get(server.url + path, trust_env=False).status_code == 303  # who are you?
    _, stranger = insert_researcher(server)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as other:
        other.post("/sign-in", data={"token": stranger}, headers={"Origin": server.url})
        assert other.get(path).status_code == 404
        assert other.get(f"{base_of(scenario)}/gallery").status_code == 404
        assert other.post("/sign-out", headers={"Origin": server.url}).headers["clear-site-data"] == '"cache"'
    # a file of another collection is none of this one's
    foreign = Scenario.create(scenario.api)
    key = files_of(scenario)["photo.png"]
    assert browser.get(f"{base_of(foreign)}/files/{key}/thumbnail").status_code == 410


def test_files_from_before_are_made_small_when_they_are_looked_at(
    scenario: Scenario, server: Installation, browser: httpx.Client
) -> None:
    scenario.take_part("one", "Fine", [("photo.png", save(make_drawing(), "PNG"))])
    wait_until_made(server, scenario)
    with connected(server) as database:  # as an installation has them that was brought up to date
        database.execute(
            "DELETE FROM thumbnails WHERE blob_id IN (SELECT u.blob_id FROM uploads u"
            " JOIN submissions s ON s.id = u.submission_id WHERE s.collection_id = %s)",
            [scenario.collection["id"]],
        )
    assert states(server, scenario)["photo.png"][0] is None
    assert browser.get(f"{base_of(scenario)}/gallery").status_code == 200
    assert wait_until_made(server, scenario)["photo.png"][0] == "made"


def test_what_storage_has_lost_is_made_again(
    scenario: Scenario, server: Installation, browser: httpx.Client
) -> None:
    scenario.take_part("one", "Fine", [("photo.png", save(make_drawing(), "PNG"))])
    wait_until_made(server, scenario)
    path = f"{base_of(scenario)}/files/{files_of(scenario)['photo.png']}/thumbnail"
    (stored,) = stored_of(server, scenario)
    stored.unlink()
    assert browser.get(path).status_code == 404
    wait_until_made(server, scenario)
    wait_for(lambda: browser.get(path).status_code == 200)


def stored_of(server: Installation, scenario: Scenario) -> list[Path]:
    """Where the small pictures of a collection are."""
    with connected(server) as database:
        rows = database.execute(
            "SELECT f.blob_id, f.side FROM thumbnail_files f JOIN uploads u ON u.blob_id = f.blob_id"
            " JOIN submissions s ON s.id = u.submission_id WHERE s.collection_id = %s",
            [scenario.collection["id"]],
        ).fetchall()
    return [server.data_dir / "storage" / thumbnail_key(blob, side) for blob, side in rows]


def test_small_pictures_go_with_the_person(
    scenario: Scenario, server: Installation, browser: httpx.Client
) -> None:
    """Rows, objects and bytes: nothing of them is left anywhere, and their addresses are gone."""
    erased = scenario.take_part("one", "Fine", [("a.png", save(make_drawing(), "PNG")), ("b.heic", HEIC)])
    scenario.take_part("two", "Fine", [("c.png", save(make_drawing(), "PNG"))])
    wait_until_made(server, scenario)
    keys, stored = files_of(scenario), stored_of(server, scenario)
    assert len(stored) == 4
    base = base_of(scenario)
    small = {name: browser.get(f"{base}/files/{key}/thumbnail").content for name, key in keys.items()}
    expect(scenario.api.delete(f"/submissions/{erased}"), 204)
    assert [browser.get(f"{base}/files/{keys[name]}/thumbnail").status_code for name in keys] == [
        410 if name != "c.png" else 200 for name in keys
    ]
    wait_for(lambda: [path.exists() for path in stored].count(True) == 1)
    left = [path for path, data in iter_contents(server.data_dir / "storage") if small["a.png"] in data]
    assert left == []
    assert [tile["name"] for tile in tiles_of(browser.get(f"{base}/gallery").text)] == ["c.png"]


def test_an_upload_that_is_removed_takes_its_small_picture_along(
    scenario: Scenario, server: Installation
) -> None:
    participant = scenario.start("one")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    location = participant.upload(participant.item(1), "a.png", save(make_drawing(), "PNG"))
    wait_until_made(server, scenario)
    (stored,) = stored_of(server, scenario)
    assert stored.is_file()
    answer = scenario.api.delete(location, headers={**participant.headers, "Tus-Resumable": "1.0.0"})
    assert answer.status_code == 204, answer.text
    wait_for(lambda: not stored.exists())


def test_what_no_row_refers_to_is_swept(scenario: Scenario, server: Installation) -> None:
    scenario.take_part("one", "Fine", [("a.png", save(make_drawing(), "PNG"))])
    wait_until_made(server, scenario)
    (kept,) = stored_of(server, scenario)
    stray = server.data_dir / "storage" / thumbnail_key(uuid4(), 320)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"of a blob that nobody has")
    for path in (stray, kept):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    server.run("sweep", check=True)
    assert kept.is_file()
    assert not stray.exists()


# the gallery


@pytest.fixture(scope="module")
def shown(server: Installation) -> Iterator[Scenario]:
    """A collection of five responses, of which four have files."""
    with server.client() as api:
        scenario = Scenario.create(api, FREE_TEXT, ANYTHING, {**ANYTHING, "description": "Another."})
        for number in range(4):
            participant = scenario.start(f"p{number}")
            expect(participant.answer(participant.item(0), {"value": "sunny" if number < 2 else "rain"}), 200)
            participant.upload(participant.item(1), f"first-{number}.png", save(make_drawing(), "PNG"))
            if number % 2:
                participant.upload(participant.item(2), f"second-{number}.txt", b"only words")
            participant.submit()
        scenario.take_part("without", "sunny")
        wait_until_made(server, scenario)
        yield scenario


def names_in(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return sorted(tile["name"] for tile in tiles_of(page.text))


def test_the_gallery_shows_what_the_filter_lets_through(shown: Scenario, browser: httpx.Client) -> None:
    path = f"{base_of(shown)}/gallery"
    everything = names_in(browser.get(path))
    assert everything == sorted([*(f"first-{n}.png" for n in range(4)), "second-1.txt", "second-3.txt"])
    assert names_in(browser.get(path, params={"search": "sunny"})) == [
        "first-0.png",
        "first-1.png",
        "second-1.txt",
    ]
    assert names_in(browser.get(path, params={"participant": "p3"})) == ["first-3.png", "second-3.txt"]
    second = shown.collection["collection_items"][0]["page_items"][2]["id"]
    assert names_in(browser.get(path, params={"of": second})) == ["second-1.txt", "second-3.txt"]
    assert tiles_of(browser.get(path, params={"files": "no"}).text) == []
    first = shown.collection["collection_items"][0]["page_items"][0]["id"]
    assert browser.get(path, params={"of": first}).status_code == 400
    assert browser.get(path, params={"after": "nonsense"}).status_code == 400
    found = browser.get(f"{path}/files", params={"search": "sunny"})
    assert sorted(tile["name"] for tile in found.json()["tiles"]) == [
        "first-0.png",
        "first-1.png",
        "second-1.txt",
    ]
    assert found.json()["more"] is None
    of_second = browser.get(f"{path}/files", params={"of": second}).json()["tiles"]
    assert sorted(tile["name"] for tile in of_second) == ["second-1.txt", "second-3.txt"]
    submission = found.json()["tiles"][0]["submission"]
    beside = browser.get(f"/workbench/submissions/{submission}/answers").json()
    assert beside["answers"][0]["lines"] == ["sunny"]


def test_pages_of_the_gallery_follow_each_other(
    server: Installation, api: httpx.Client, browser: httpx.Client
) -> None:
    scenario = Scenario.create(api, FREE_TEXT, ANYTHING)
    for number in range(43):
        scenario.take_part(f"p{number:02}", "Fine", [(f"{number:02}.txt", b"words")])
    path = f"{base_of(scenario)}/gallery?sort=participant"
    first = browser.get(path).text
    seen = [tile["name"] for tile in tiles_of(first)]
    shown = len(seen)
    following = re.search(r'rel="next" href="([^"]*)"', first)
    more = re.search(r'data-more="([^"]*)"', first)
    assert following
    assert more
    second = browser.get(html.unescape(following[1])).text
    seen += [tile["name"] for tile in tiles_of(second)]
    assert seen == [f"{number:02}.txt" for number in range(43)]
    asked = browser.get(html.unescape(more[1])).json()
    assert [tile["name"] for tile in asked["tiles"]] == seen[shown:]
    previous = re.search(r'rel="prev" href="([^"]*)"', second)
    assert previous
    assert tiles_of(browser.get(html.unescape(previous[1])).text) == tiles_of(first)


def test_deciding_on_many(api: httpx.Client, browser: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api, FREE_TEXT, ANYTHING)
    ids = [scenario.take_part(f"p{n}", "Fine", [(f"{n}.txt", b"words")]) for n in range(5)]
    path = f"{base_of(scenario)}/gallery"

    def status_of(id: str) -> str:
        found: str = expect(api.get(f"/submissions/{id}"), 200)["status"]
        return found

    def post(go: str, *chosen: str, **more: str) -> httpx.Response:
        return browser.post(path, data={"go": go, "chosen": " ".join(chosen), **more})

    assert post("note", ids[0], ids[1], message="Blurred").status_code == 303
    notes = [expect(api.get(f"/submissions/{id}/notes"), 200)["meta"]["count"] for id in ids]
    assert notes == [1, 1, 0, 0, 0]
    # without scripts each that is chosen is a field of its own
    assert browser.post(path, data={"go": "approve", "submission": ids[:2]}).status_code == 303
    make_held(server)
    assert [status_of(id) for id in ids[:3]] == ["APPROVED", "APPROVED", "AWAITING REVIEW"]
    refused = post("reject", ids[2], message="Blurred & <b>dark</b>")
    assert refused.status_code == 400
    assert "A rejection needs a reason and a message" in refused.text
    assert f'value="{ids[2]}" checked' in refused.text  # nothing is lost
    assert "Blurred &amp; &lt;b&gt;dark" in refused.text
    # one of them can't be rejected any more: none is
    conflict = post("reject", ids[0], ids[3], message="No.", category="LOW_EFFORT")
    assert conflict.status_code == 409, conflict.text
    assert status_of(ids[3]) == "AWAITING REVIEW"
    assert post("reject", ids[2], ids[3], message="No.", category="LOW_EFFORT").status_code == 303
    make_held(server)
    assert [status_of(id) for id in ids] == [
        "APPROVED",
        "APPROVED",
        "REJECTED",
        "REJECTED",
        "AWAITING REVIEW",
    ]
    for go in ("approve", "note", "download", "reject"):
        assert post(go, message="x", category="OTHER").status_code == 400, go
    assert post("nothing", ids[4]).status_code == 400
    assert post("approve", str(uuid4())).status_code == 409
    elsewhere = Scenario.create(api).take_part("other")
    assert post("approve", elsewhere).status_code == 409
    assert status_of(elsewhere) == "AWAITING REVIEW"
    without_origin = browser.post(
        path, data={"go": "approve", "chosen": ids[4]}, headers={"Origin": "https://evil.example"}
    )
    assert without_origin.status_code == 403
    _, viewer = insert_researcher(server)
    with httpx.Client(base_url=server.url, trust_env=False, headers={"Origin": server.url}) as other:
        other.post("/sign-in", data={"token": viewer})
        assert other.post(path, data={"go": "approve", "chosen": ids[4]}).status_code == 404
    assert status_of(ids[4]) == "AWAITING REVIEW"


def test_what_was_chosen_comes_as_an_archive(api: httpx.Client, browser: httpx.Client) -> None:
    scenario = Scenario.create(api, FREE_TEXT, ANYTHING)
    ids = [scenario.take_part(f"p{n}", "Fine", [(f"{n}.txt", b"words")]) for n in range(3)]
    answer = browser.post(
        f"{base_of(scenario)}/gallery", data={"go": "download", "chosen": f"{ids[2]} {ids[0]}"}
    )
    assert answer.status_code == 303
    export_id = answer.headers["location"].rpartition("/")[2]
    wait_for(
        lambda: expect(api.get(f"{scenario.export_path}/{export_id}"), 200)["status"] != "generating",
        seconds=180,
    )
    export = expect(api.get(f"{scenario.export_path}/{export_id}"), 200)
    assert (export["status"], export["submission_count"], export["file_count"]) == ("complete", 2, 2)
    # the same two, in the other order, are the same archive; and the API says it in the same words
    same = expect(api.post(scenario.export_path, json={"filter": {"submission": [ids[0], ids[2]]}}), 200)
    assert same["export_id"] == export_id
    listed = expect(
        api.get(
            f"/data-collection/collections/{scenario.collection['id']}/submissions",
            params={"submission": [ids[1], ids[2]], "sort": "participant"},
        ),
        200,
    )
    assert [row["submission_id"] for row in listed["results"]] == ids[1:]
