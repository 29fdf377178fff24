"""Pictures of instructions: uploaded once, served by us, gone with the last collection that shows them."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from fieldpack.pictures import MOST_BYTES, clean_picture
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.integration.waiting import wait_for
from tests.pictures import SECRET, make_drawing, make_told, save, save_moving
from tests.refusals import refused
from tests.scenario import FREE_TEXT, Scenario, collection_body, expect

TOLD = make_told()
ELSEWHERE = "https://elsewhere.example/a.png"


@pytest.fixture(scope="module")
def place() -> Iterator[Installation]:
    with installed() as installation:
        yield installation


@pytest.fixture
def api(place: Installation) -> Iterator[httpx.Client]:
    with place.client() as client:
        yield client


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    return found


def new_picture(**options: Any) -> bytes:
    """One that nobody has uploaded before."""
    return save(make_drawing(), "PNG", **options)


def upload(api: httpx.Client, workspace: str, data: bytes, status: int = 201) -> dict[str, Any]:
    answer: dict[str, Any] = expect(api.post(f"/workspaces/{workspace}/pictures", content=data), status)
    assert list(answer) == ["id", "url"]
    return answer


def fetch(url: str, **headers: str) -> httpx.Response:
    """As a participant's browser does: without a token."""
    return httpx.get(url, headers=headers, trust_env=False)


def image(url: str) -> dict[str, Any]:
    return {"type": "image", "url": url, "alt_text": "A drawing"}


def text(html: str, format: str = "html") -> dict[str, Any]:
    return {"type": "rich_text", "content": html, "content_format": format}


def create(api: httpx.Client, workspace: str, *items: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = expect(
        api.post("/data-collection/collections", json=collection_body(workspace, FREE_TEXT, *items)), 201
    )
    return made


def replace(api: httpx.Client, collection: dict[str, Any], *items: dict[str, Any]) -> dict[str, Any]:
    body = {**collection, "collection_items": [{"page_items": [FREE_TEXT, *items]}]}
    made: dict[str, Any] = expect(api.put(f"/data-collection/collections/{collection['id']}", json=body), 200)
    return made


def url_of(collection: dict[str, Any], number: int = 1) -> str:
    found: str = collection["collection_items"][0]["page_items"][number]["url"]
    return found


@pytest.mark.parametrize("name", TOLD)
def test_a_picture_is_served_to_anyone_without_what_it_told(
    api: httpx.Client, workspace: str, place: Installation, name: str
) -> None:
    picture = upload(api, workspace, TOLD[name])
    assert picture["url"] == f"{place.url}/api/v1/pictures/{picture['id']}"
    answer = fetch(picture["url"])
    assert answer.status_code == 200
    assert answer.content == clean_picture(TOLD[name]).data
    assert SECRET not in answer.content
    assert answer.headers["content-type"] == f"image/{name.partition(',')[0]}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert "sandbox" in answer.headers["content-security-policy"]
    etag = answer.headers["etag"]
    assert re.fullmatch('"[0-9a-f]{64}"', etag)
    assert fetch(picture["url"], **{"If-None-Match": etag}).status_code == 304
    part = fetch(picture["url"], Range="bytes=0-9")
    assert (part.status_code, part.content) == (206, answer.content[:10])
    head = httpx.head(picture["url"], trust_env=False)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
    with place.client() as again:  # the same bytes, and those that were served
        assert upload(again, workspace, TOLD[name], 200) == picture
        assert upload(again, workspace, answer.content, 200) == picture


def test_a_picture_comes_as_a_form_too(api: httpx.Client, workspace: str) -> None:
    data = new_picture()
    path = f"/workspaces/{workspace}/pictures"
    made = expect(
        api.post(path, files={"file": ("../../x.svg", data, "image/svg+xml")}, data={"a": "b"}), 201
    )
    assert fetch(made["url"]).content == data
    refused(api.post(path, files={"a": data, "b": data}), 400, "picture")
    refused(api.post(path, files={"a": ("", b"")}), 400)
    large = api.post(path, files={"a": bytes(MOST_BYTES + 1)})
    assert "10.0 MB" in refused(large, 413)


def test_many_at_once_are_one(api: httpx.Client, workspace: str) -> None:
    data = new_picture()
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: api.post(f"/workspaces/{workspace}/pictures", content=data), range(16))
        )
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted({answer.status_code for answer in answers}) == [200, 201]
    assert [answer.status_code for answer in answers].count(201) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "SVG"),
        (new_picture()[:-20], "cut short"),
        # whole as far as its parts go, and yet nothing that can be shown
        (clean_picture(save(make_drawing(), "JPEG")).data[:200] + b"\xff\xd9", "JPEG"),
        (re.sub(rb"(?s)(IDAT.{8}).*", rb"\1", new_picture()), "PNG"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(
    api: httpx.Client, workspace: str, data: bytes, said: str
) -> None:
    detail = refused(api.post(f"/workspaces/{workspace}/pictures", content=data), 400, "picture")
    assert said in detail["picture"][0]
    assert detail["picture"][0].endswith(".")


def test_one_that_can_not_be_decoded_is_refused(api: httpx.Client, workspace: str) -> None:
    """Every part is there and has its checksum, but the image data is none."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    whole = new_picture()
    broken = whole[:33] + chunk(b"IDAT", b"nothing that was deflated") + chunk(b"IEND", b"")
    detail = refused(api.post(f"/workspaces/{workspace}/pictures", content=broken), 400, "picture")
    assert "damaged" in detail["picture"][0]


def test_a_body_is_read_no_further_than_a_picture_may_be(api: httpx.Client, workspace: str) -> None:
    def without_length() -> Iterator[bytes]:
        for _ in range(MOST_BYTES // 100_000 + 1):
            yield bytes(100_000)

    answer = api.post(f"/workspaces/{workspace}/pictures", content=without_length())
    assert "10.0 MB" in refused(answer, 413)
    url = str(api.base_url.join(f"/api/v1/workspaces/{workspace}/pictures"))
    refused(httpx.post(url, content=new_picture(), trust_env=False), 401)


def test_a_collection_keeps_a_reference_whatever_the_server_is_called(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    url = upload(api, workspace, new_picture())["url"]
    html = (
        f'<p title="&lt;b&gt;">Look: <img alt="a > b" src="{url}"> src="{url}" <a href="{url}">larger</a></p>'
    )
    collection = create(
        api, workspace, image(url), image(ELSEWHERE), text(html), text(f"![a]({url})", "markdown")
    )
    path = f"/data-collection/collections/{collection['id']}"

    def check(answer: dict[str, Any], origin: str) -> None:
        items = answer["collection_items"][0]["page_items"]
        here = url.replace(place.url, origin)
        assert [items[1]["url"], items[2]["url"]] == [here, ELSEWHERE]
        assert items[3]["content"].count(f'="{here}"') == (3 if origin == place.url else 2)
        assert f' src="{url}" <a' in items[3]["content"]  # a text is no reference
        assert items[4]["content"] == f'<p><img src="{here}" alt="a"></p>\n'

    check(collection, place.url)
    other = {"Host": "data.example", "X-Forwarded-Proto": "https"}
    moved = expect(api.get(path, headers=other), 200)
    check(moved, "https://data.example")
    # what one name answered is taken under any other, also one that the server has no longer
    check(expect(api.put(path, json=moved), 200), place.url)
    check(expect(api.put(path, json=moved, headers={"Host": "third.example"}), 200), "http://third.example")
    listed = expect(api.get("/data-collection/collections", params={"workspace_id": workspace}), 200)
    check(next(found for found in listed["results"] if found["id"] == collection["id"]), place.url)
    with connected(place) as database:
        rows = database.execute(
            "SELECT body::text FROM collection_versions WHERE collection_id = %s", [collection["id"]]
        ).fetchall()
    assert len(rows) == 3
    for (body,) in rows:
        assert "data.example" not in body
        assert body.count(url) == 1  # the text
        assert body.count(url.removeprefix(place.url)) == 5


def test_every_way_to_write_its_address_is_the_reference(api: httpx.Client, workspace: str) -> None:
    """Each of them shows the picture, so each must keep it."""
    picture = upload(api, workspace, new_picture())
    url, name = picture["url"], picture["id"]
    path = f"/api/v1/pictures/{name}"
    for written in (
        *(path, f"{path}/", f"{path}?size=large", f"{url}#top", url.replace(name, name.upper())),
        *(f"https://data.example:443{path}", f"HTTP://Data.Example{path}/?a=/api/v1/pictures/"),
    ):
        assert url_of(create(api, workspace, image(written))) == url
        shown = create(api, workspace, text(f'<img alt="" src="{written}">'))
        assert f'src="{url}"' in shown["collection_items"][0]["page_items"][1]["content"], written


def test_participants_see_it_on_our_own_pages_and_through_the_api(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    url = upload(api, workspace, new_picture())["url"]
    path = url.removeprefix(place.url)
    scenario = Scenario.create(api, FREE_TEXT, image(url), text(f'<img src="{url}" alt="b">'))
    participant = scenario.start("p")
    assert participant.state["collection"]["collection_items"][0]["page_items"][1]["url"] == url
    state = expect(api.get(participant.path, headers={**participant.headers, "Host": "data.example"}), 200)
    seen = state["collection"]["collection_items"][0]["page_items"]
    assert seen[1]["url"] == f"http://data.example{path}"
    assert seen[2]["content"] == f'<img src="http://data.example{path}" alt="b">'
    with httpx.Client(base_url=place.url, trust_env=False, follow_redirects=True) as browser:
        page = browser.get(f"/participate/{scenario.study['id']}?PROLIFIC_PID=q&SESSION_ID=s")
        begin = re.search('<form[^>]* action="([^"]+)"', page.text)
        assert begin, page.text
        page = browser.post(
            begin[1], data={"participant_id": "q", "session_id": "s"}, headers={"Origin": place.url}
        )
    assert page.text.count(f'src="{path}"') == 2, page.text


def test_what_is_not_here_is_refused_by_field(api: httpx.Client, workspace: str, place: Installation) -> None:
    unknown = f"/api/v1/pictures/{uuid4()}"
    body = collection_body(
        workspace,
        FREE_TEXT,
        image(f"{place.url}{unknown}"),
        image(unknown),
        image(f"http://old.example{unknown}"),
        text(f'<img src="{place.url}{unknown}" alt="">'),
    )
    detail = refused(api.post("/data-collection/collections", json=body), 400)
    assert set(detail) == {
        *(f"collection_items.0.page_items.{number}.url" for number in (1, 2, 3)),
        "collection_items.0.page_items.4.content",
    }
    # another server's picture is its own: what is copied from there stays valid
    kept = create(api, workspace, image(f"https://other.example{unknown}"))
    assert url_of(kept) == f"https://other.example{unknown}"
    for wrong in (
        "http://example.org/a.png",
        "./photo.jpg",
        f"//x{unknown}",
        f"https:{unknown}",
        f"{unknown}?a",
    ):
        wrong_body = collection_body(workspace, image(wrong))
        answer = api.post("/data-collection/collections", json=wrong_body)
        refused(answer, 400, "collection_items.0.page_items.0.url")


def test_only_members_of_its_workspace_may_use_it(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    made = json.loads(place.run("workspace", "create", "--title", "Other", "--json").stdout)
    token = json.loads(
        place.run(
            "token", "create", "--workspace", made["id"], "--researcher", "o@example.org",
            "--name", "o", "--json",
        ).stdout
    )["token"]  # fmt: skip
    url = upload(api, workspace, new_picture())["url"]
    with place.client(token) as other:
        body = collection_body(made["id"], image(url))
        refused(
            other.post("/data-collection/collections", json=body), 400, "collection_items.0.page_items.0.url"
        )
        refused(other.post(f"/workspaces/{workspace}/pictures", content=new_picture()), 403)
        refused(other.post(f"/workspaces/{uuid4()}/pictures", content=new_picture()), 404)
    # a member of both may, and then it is the collection's: its other members keep it
    place.run("token", "create", "--workspace", made["id"], "--name", "both", "--json")
    shared = create(api, made["id"], image(url))
    with place.client(token) as other:
        path = f"/data-collection/collections/{shared['id']}"
        kept = expect(other.put(path, json=expect(other.get(path), 200)), 200)
        assert url_of(kept) == url


def test_it_goes_with_the_last_collection_that_shows_it(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    picture = upload(api, workspace, new_picture())
    url, blob = picture["url"], place.data_dir / "storage" / "blobs" / picture["id"][:2] / picture["id"]
    first, second = (
        create(api, workspace, image(url)),
        create(api, workspace, text(f'<img src="{url}" alt="">')),
    )
    replace(api, first)
    assert fetch(url).status_code == 200
    replace(api, second)
    refused(fetch(url), 404)
    wait_for(lambda: not blob.exists())


def test_who_takes_it_as_the_last_other_leaves_it_has_it_or_is_told(
    api: httpx.Client, workspace: str
) -> None:
    with ThreadPoolExecutor(2) as threads:
        for _ in range(12):
            url = upload(api, workspace, new_picture())["url"]
            first = create(api, workspace, image(url))
            body = collection_body(workspace, FREE_TEXT, image(url))
            leaving = threads.submit(replace, api, first)
            taking = threads.submit(api.post, "/data-collection/collections", json=body)
            leaving.result()
            answer = taking.result()
            if answer.status_code == 201:
                assert fetch(url).status_code == 200
            else:
                refused(answer, 400, "collection_items.0.page_items.1.url")
                refused(fetch(url), 404)


def test_collections_that_swap_their_pictures_do_not_wait_for_each_other(
    api: httpx.Client, workspace: str
) -> None:
    one, two = (upload(api, workspace, new_picture())["url"] for _ in range(2))
    kept = create(api, workspace, image(one), image(two))
    first, second = create(api, workspace, image(one)), create(api, workspace, image(two))
    with ThreadPoolExecutor(4) as threads:
        for _ in range(15):
            for url, other in ((two, one), (one, two)):
                swaps = [
                    threads.submit(replace, api, first, image(url)),
                    threads.submit(replace, api, second, image(other)),
                ]
                assert [url_of(swap.result()) for swap in swaps] == [url, other]
    assert url_of(kept) == one


def test_it_stays_for_who_began_with_it_and_goes_when_they_are_erased(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    url = upload(api, workspace, new_picture())["url"]
    scenario = Scenario.create(api, FREE_TEXT, image(url))
    participant = scenario.start("p")
    replace(api, scenario.collection)
    assert sweep(place)["pictures_unused"] == []
    state = expect(api.get(participant.path, headers=participant.headers), 200)
    assert fetch(state["collection"]["collection_items"][0]["page_items"][1]["url"]).status_code == 200
    expect(api.delete(f"/submissions/{participant.submission_id}"), 204)
    assert url.endswith(sweep(place)["pictures_unused"][0])
    refused(fetch(url), 404)


def test_one_that_is_uploaded_again_waits_for_its_collection(api: httpx.Client, workspace: str) -> None:
    data = new_picture()
    url = upload(api, workspace, data)["url"]
    first = create(api, workspace, image(url))
    assert upload(api, workspace, data, 200)["url"] == url
    replace(api, first)
    assert url_of(create(api, workspace, image(url))) == url


def test_one_that_nobody_used_goes_in_time_and_no_sweep_takes_one_in_use(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    import os
    import time

    kept, unused, fresh = (upload(api, workspace, new_picture()) for _ in range(3))
    create(api, workspace, image(kept["url"]))
    with connected(place) as database:
        database.execute(
            "UPDATE pictures SET awaited_at = awaited_at - interval '8 days' WHERE id <> %s", [fresh["id"]]
        )
    old = time.time() - 30 * 86400
    for path in (place.data_dir / "storage" / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (old, old))
    assert unused["id"] in sweep(place, "--dry-run")["pictures_unused"]
    assert fetch(unused["url"]).status_code == 200
    swept = sweep(place)
    assert unused["id"] in swept["pictures_unused"]
    assert swept["objects_orphaned"] == 0
    assert [fetch(found["url"]).status_code for found in (kept, unused, fresh)] == [200, 404, 200]


def sweep(server: Installation, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.run("sweep", "--json", *options, check=True).stdout)
    return found


def test_bytes_that_were_lost_come_back_with_the_next_upload(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    data = new_picture()
    picture = upload(api, workspace, data)
    (place.data_dir / "storage" / "blobs" / picture["id"][:2] / picture["id"]).unlink()
    assert upload(api, workspace, data, 200) == picture
    assert fetch(picture["url"]).content == data


def test_an_archive_names_the_picture_and_no_server(api: httpx.Client, workspace: str) -> None:
    url = upload(api, workspace, new_picture())["url"]
    body = collection_body(workspace)
    body["task_details"] = {**body["task_details"], "task_introduction": f'<img src="{url}" alt="">'}
    collection = expect(api.post("/data-collection/collections", json=body), 201)
    assert collection["task_details"]["task_introduction"] == f'<img src="{url}" alt="">'
    scenario = Scenario.create(api)
    again = Scenario(api, collection, scenario.study)
    import zipfile

    archive = zipfile.ZipFile(io.BytesIO(again.download(again.export())))
    described = json.loads(archive.read("collection.json"))
    path = "/api/v1/pictures/" + url.rpartition("/")[2]
    assert described["task_details"]["task_introduction"] == f'<img src="{path}" alt="">'


def test_a_large_photo_is_taken(api: httpx.Client, workspace: str) -> None:
    """Of 50 million pixels, and an animation."""
    grey = Image.new("L", (8000, 6250))
    for format in ("JPEG", "PNG"):
        upload(api, workspace, save(grey, format))
    over = api.post(f"/workspaces/{workspace}/pictures", content=save(Image.new("L", (8000, 6251)), "PNG"))
    assert "8,000 × 6,251" in refused(over, 400, "picture")["picture"][0]
    upload(api, workspace, save_moving("GIF"))


def test_the_command_line_uploads_what_lies_beside_the_file(
    api: httpx.Client, place: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "survey.json"
    data = new_picture()
    (tmp_path / "a.png").write_bytes(data)
    items = [FREE_TEXT, image("./a.png"), text("![a](a.png)", "markdown"), image(ELSEWHERE)]
    body = {key: value for key, value in collection_body("", *items).items() if key != "workspace_id"}

    def run(*arguments: str, code: int = 0) -> Any:
        file.write_text(json.dumps(body))
        done = place.run("collection", *arguments, "-t", str(file), "--json", check=False)
        assert done.returncode == code, done.stderr
        assert ("elsewhere.example, which learns their internet addresses" in done.stderr) == (code == 0)
        return json.loads(done.stdout) if code == 0 else done.stderr

    made = run("create")
    url = url_of(made)
    assert fetch(url).content == data
    assert f'src="{url}"' in made["collection_items"][0]["page_items"][2]["content"]
    (tmp_path / "a.png").write_bytes(again := new_picture())
    updated = run("update", made["id"])
    assert fetch(url_of(updated)).content == again
    refused(fetch(url), 404)
    # what a server answered is a file to go on with
    body = json.loads(place.run("collection", "get", made["id"], "--json").stdout)
    assert url_of(run("update", made["id"])) == url_of(updated)
    body["collection_items"][0]["page_items"][1]["url"] = "./b.png"
    assert "there is no such file" in run("update", made["id"], code=2)


def test_a_file_of_the_client_is_uploaded(place: Installation, workspace: str, tmp_path: Path) -> None:
    from fieldpack import ApiError, Client

    (tmp_path / "a.png").write_bytes(data := new_picture())
    with Client(place.token, place.url) as client:
        made = client.upload_picture(workspace, tmp_path / "a.png")
        assert client.upload_picture(workspace, data) == made
        with pytest.raises(ApiError, match="SVG"):
            client.upload_picture(workspace, b"<svg/>")
    assert fetch(made["url"]).content == data


def test_a_restore_has_the_pictures_and_not_those_that_went_while_the_backup_was_made(
    api: httpx.Client, workspace: str, place: Installation
) -> None:
    from fieldpack.server.backup.making import back_up_to_folder
    from fieldpack.server.config import load_settings

    data = save(make_drawing(), "JPEG")
    kept, gone = upload(api, workspace, data)["url"], upload(api, workspace, new_picture())["url"]
    create(api, workspace, image(kept))
    leaving = create(api, workspace, image(gone))
    told: list[str] = []

    def tell(step: str, done: int, total: int) -> None:
        if step == "database" and not told:  # the rows are in the dump by now, the files are copied later
            told.append(step)
            replace(api, leaving)
            blob = gone.rpartition("/")[2]
            wait_for(lambda: not (place.data_dir / "storage" / "blobs" / blob[:2] / blob).exists())

    with tempfile.TemporaryDirectory(prefix="fieldpack-test-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        backup = back_up_to_folder(
            load_settings(data_dir=place.data_dir), folder / "kept", keys=True, keep=None, keep_days=None, tell=tell
        )  # fmt: skip
        assert [entry.reason for entry in backup.manifest.absent] == ["removed"]
        place.run("restore", str(folder / "kept"), "--data-dir", str(folder / "restored"))
        restored = Installation(folder / "restored")
        try:
            restored.start()
            assert fetch(kept.replace(place.url, restored.url)).content == data
            refused(fetch(gone.replace(place.url, restored.url)), 404)
            with restored.client(place.token) as again:
                assert upload(again, workspace, data, 200)["url"] == kept.replace(place.url, restored.url)
        finally:
            restored.stop()
