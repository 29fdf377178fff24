"""Section 1 of the contract: what holds on every route."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.server.problems import REGISTRY
from tests.installation import Installation
from tests.refusals import refused
from tests.scenario import Scenario, collection_body, expect

COLLECTIONS = "/data-collection/collections"
FEATURE_OFF = "You do not currently have permission to access to this feature."


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    return found


@pytest.fixture(scope="module")
def scenario(server: Installation) -> Iterator[Scenario]:
    """One for all of these: none of them changes it in a way that another would see."""
    with server.client() as client:
        yield Scenario.create(client)


def test_every_path_answers_with_and_without_a_trailing_slash(scenario: Scenario, workspace: str) -> None:
    api = scenario.api
    paths = [
        "/users/me",
        "/workspaces",
        f"/workspaces/{workspace}",
        f"{COLLECTIONS}?workspace_id={workspace}",
        f"{COLLECTIONS}/{scenario.collection['id']}",
        f"{COLLECTIONS}/{scenario.collection['id']}/responses",
        scenario.export_path,
        "/studies",
        f"/studies/{scenario.study['id']}",
        f"/studies/{scenario.study['id']}/submissions",
        f"/studies/{scenario.study['id']}/submissions/counts",
    ]
    for path in paths:
        path, mark, query = path.partition("?")
        plain = api.get(path + mark + query, follow_redirects=False)
        slashed = api.get(f"{path}/{mark}{query}", follow_redirects=False)
        assert plain.status_code == slashed.status_code == 200, path
        assert plain.json() == slashed.json(), path
    made = api.post(f"{COLLECTIONS}/", json=collection_body(workspace), follow_redirects=False)
    expect(made, 201)
    transition = f"/studies/{scenario.study['id']}/transition/"
    expect(api.post(transition, json={"action": "PAUSE"}), 200)
    expect(api.post(transition, json={"action": "START"}), 200)


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token", "BEARER"])
def test_both_schemes_are_accepted(server: Installation, scheme: str) -> None:
    answer = httpx.get(f"{server.url}/api/v1/users/me", headers={"Authorization": f"{scheme} {server.token}"})
    assert expect(answer, 200)["email"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Token", "Basic abc", "nonsense", "Token wrong", "Token a b", "Bearer \xff"],
)
def test_a_missing_or_bad_token_is_401(server: Installation, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = httpx.get(f"{server.url}/api/v1/users/me", headers=headers)  # type: ignore[arg-type]
    refused(answer, 401)
    assert "www-authenticate" in answer.headers


def test_unknown_paths_and_methods(api: httpx.Client) -> None:
    for path in ("/nothing", "/", "", "/users", "/users/me/more", "//users/me", "/%00", "/%ff%fe"):
        refused(api.get(path), 404)
    for method, path in (
        ("DELETE", "/users/me"),
        ("PUT", "/workspaces"),
        ("PATCH", COLLECTIONS),
        ("TRACE", "/studies"),
        ("PROPFIND", "/studies"),
    ):
        answer = api.request(method, path)
        refused(answer, 405)
        allowed = set(answer.headers["allow"].split(", "))
        taken = {"GET"} if path == "/users/me" else {"GET", "POST"}
        assert allowed == {*taken, "OPTIONS"}, (path, allowed)
    root = httpx.get(str(api.base_url).replace("/api/v1/", "/no-such-page-at-all"))
    assert root.status_code == 404


WORDS = ("bonus-payments", "me", "bulk", "0", "x" * 300, "64f1c2b3a4d5e6f708192a3b")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("word", WORDS)
def test_a_word_where_an_id_goes_is_no_path(scenario: Scenario, word: str, method: str) -> None:
    """Whatever the method: a 405 would say that there is something."""
    api = scenario.api
    collection = f"{COLLECTIONS}/{scenario.collection['id']}"
    for path in (
        f"/submissions/{word}",
        f"/submissions/{word}/transition",
        f"/submissions/{word}/request-return",
        f"/studies/{word}",
        f"/studies/{word}/transition",
        f"/studies/{word}/submissions",
        f"/studies/{word}/submissions/counts",
        f"/workspaces/{word}",
        f"{COLLECTIONS}/{word}",
        f"{COLLECTIONS}/{word}/export",
        f"{COLLECTIONS}/{word}/responses",
        f"{collection}/export/{word}",
        f"{collection}/files/{word}",
        f"/participate/studies/{word}/submissions",
        f"/participate/submissions/{word}",
        f"/participate/submissions/{word}/submit",
        f"/participate/submissions/{word}/uploads",
        f"/participate/submissions/{uuid4()}/answers/{word}",
    ):
        for slash in ("", "/"):
            answer = api.request(
                method, path + slash, json={} if method in ("POST", "PUT", "PATCH") else None
            )
            if method == "HEAD":
                assert answer.status_code == 404, (path, answer.status_code)
            elif answer.status_code != 401:  # a participant's route: who has no token learns nothing
                detail = refused(answer, 404)
                assert "not possible" not in str(detail)


def test_what_a_known_path_allows(scenario: Scenario) -> None:
    for path, allowed in {
        "/submissions/bulk-approve": {"POST"},
        f"/submissions/{uuid4()}": {"GET", "PATCH", "DELETE"},
        f"/studies/{uuid4()}/transition": {"POST"},
        f"/studies/{scenario.study['id']}": {"GET", "PATCH", "DELETE"},
    }.items():
        answer = scenario.api.put(path, json={})
        refused(answer, 405)
        assert set(answer.headers["allow"].split(", ")) == {*allowed, "OPTIONS"}, path


def test_head_is_harmless_everywhere(scenario: Scenario) -> None:
    for path in ("/users/me", "/studies", f"{COLLECTIONS}/{scenario.collection['id']}", "/nothing"):
        answer = scenario.api.head(path)
        assert answer.status_code in (200, 404, 405), path
        assert answer.content == b""


MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "cut off": b'{"name": "x"',
    "not JSON": b"name=x",
    "a number": b"5",
    "a text": b'"name"',
    "a list": b"[]",
    "null": b"null",
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "1e999": b'{"name": 1e999}',
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "raw U+0000": b'{"name": "\x00"}',
    "U+0000": b'{"name": "\\u0000"}',
    "U+0000 in a key": b'{"a\\u0000b": 1}',
    "U+0000 deep inside": b'{"name": "x", "x": [{"y": ["\\u0000"]}]}',
    "a lone high surrogate": b'{"name": "\\ud800"}',
    "a lone low surrogate": b'{"name": "\\udc00"}',
    "surrogates the wrong way round": b'{"name": "\\udc00\\ud800"}',
    "an encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "deep lists": b'{"name":' + b"[" * 900 + b"]" * 900 + b"}",
    "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "very deep": b"[" * 100_000,
    "trailing text": b'{"name": "x"} {}',
    "a comment": b'{"name": "x"} // no',
    "a single quote": b"{'name': 'x'}",
    "gzip": gzip.compress(b'{"name": "x"}'),
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize(
    "route", ["collections", "collection", "studies", "study", "workspaces", "start", "bulk"]
)
def test_malformed_bodies_are_400(scenario: Scenario, route: str, kind: str) -> None:
    method, path = {
        "collections": ("POST", COLLECTIONS),
        "collection": ("PUT", f"{COLLECTIONS}/{scenario.collection['id']}"),
        "studies": ("POST", "/studies"),
        "study": ("PATCH", f"/studies/{scenario.study['id']}"),
        "workspaces": ("POST", "/workspaces"),
        "start": ("POST", f"/participate/studies/{scenario.study['id']}/submissions"),
        "bulk": ("POST", "/submissions/bulk-approve"),
    }[route]
    refused(scenario.api.request(method, path, content=MALFORMED[kind]), 400)


@pytest.mark.parametrize("kind", [kind for kind in MALFORMED if kind != "null"])
def test_malformed_answers_are_400(scenario: Scenario, kind: str) -> None:
    participant = scenario.start(str(uuid4()))
    path = f"{participant.path}/answers/{participant.item(0)}"
    refused(scenario.api.put(path, content=MALFORMED[kind], headers=participant.headers), 400)


def test_text_with_nul_names_the_field(api: httpx.Client, workspace: str) -> None:
    body = collection_body(workspace, {"type": "free_text", "description": "a\x00b"})
    refused(api.post(COLLECTIONS, json=body), 400, "collection_items.0.page_items.0.description")


def test_json_needs_no_content_type(api: httpx.Client) -> None:
    for kind in (
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "?",
    ):
        headers = {} if kind is None else {"Content-Type": kind}
        expect(api.post("/workspaces", content=b'{"title": "Any type"}', headers=headers), 201)


def test_of_duplicate_keys_the_last_counts(api: httpx.Client) -> None:
    made = api.post("/workspaces", content=b'{"title": "first", "title": "last"}')
    assert expect(made, 201)["title"] == "last"


def test_numbers_of_any_size_are_refused_or_kept(scenario: Scenario) -> None:
    api = scenario.api
    minimal = {
        "name": "Numbers",
        "total_available_places": 5,
        "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
        "data_collection_id": scenario.collection["id"],
    }
    refused(api.post("/studies", content=b'{"total_available_places": 1' + b"0" * 400 + b"}"), 400)
    for places in ("1e300", "-1", "0", "99999999999", "1.5", '"5"', "true", "[5]"):
        body = json.dumps(minimal).replace(
            '"total_available_places": 5', f'"total_available_places": {places}'
        )
        refused(api.post("/studies", content=body), 400, "total_available_places")
    kept = {"a": 1e300, "b": 2**63, "c": -(2**63), "d": 1e-300, "e": 12345678901234567890, "f": 0.1}
    made = expect(api.post("/studies", json={**minimal, "extra": kept}), 201)
    assert made["extra"] == kept
    found = expect(api.get(f"/studies/{made['id']}"), 200)
    assert found["extra"] == kept
    expect(api.get("/studies"), 200)


LIMIT = 4096 * 1024


def test_bodies_over_the_limit_are_413(scenario: Scenario) -> None:
    api = scenario.api
    body = b'{"title": "' + b"x" * LIMIT + b'"}'
    answer = api.post("/workspaces", content=body)
    refused(answer, 413)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    refused(api.post("/workspaces", content=pieces()), 413)
    refused(api.post(scenario.export_path, content=body), 413)
    participant = scenario.start("big")
    path = f"{participant.path}/answers/{participant.item(0)}"
    refused(api.put(path, content=body, headers=participant.headers), 413)
    expect(api.get("/users/me"), 200)  # the connection and the server are as good as before


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_arrives(server: Installation) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(
            b"POST /api/v1/workspaces HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n"
            + f"Authorization: Token {server.token}\r\n\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=" + "9" * 5000, "limit"),  # a number of so many digits is none that Python reads
        ("limit=%00", "limit"),
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("offset=" + "9" * 30, "offset"),
    ],
)
def test_limits_of_lists_are_checked(scenario: Scenario, workspace: str, query: str, field: str) -> None:
    for path in (
        "/workspaces",
        "/studies",
        f"{COLLECTIONS}?workspace_id={workspace}",
        f"{COLLECTIONS}/{scenario.collection['id']}/responses",
        scenario.export_path,
        f"/studies/{scenario.study['id']}/submissions",
    ):
        refused(scenario.api.get(f"{path}{'&' if '?' in path else '?'}{query}"), 400, field)


LISTS = ("/workspaces", "/studies", "collections", "responses", "exports", "submissions", "projects")


def lists(scenario: Scenario, workspace: str) -> dict[str, str]:
    """The path of each list, ready for one more parameter."""
    collection = f"{COLLECTIONS}/{scenario.collection['id']}"
    return {
        "/workspaces": "/workspaces?",
        "/studies": "/studies?",
        "collections": f"{COLLECTIONS}?workspace_id={workspace}&",
        "responses": f"{collection}/responses?",
        "exports": f"{collection}/export?",
        "submissions": f"/studies/{scenario.study['id']}/submissions?",
        "projects": f"/workspaces/{workspace}/projects?",
    }


@pytest.mark.parametrize("name", LISTS)
def test_both_ways_of_paging(scenario: Scenario, workspace: str, name: str) -> None:
    path = lists(scenario, workspace)[name]

    def rows(query: str) -> list[Any]:
        answer = scenario.api.get(path + query)
        assert "x-ignored-parameters" not in answer.headers
        found = expect(answer, 200)
        return list(found["results"] if isinstance(found, dict) else found)

    everything = rows("limit=1000")
    assert rows("limit=1001") == rows("limit=99999999999999999999") == rows("page_size=5000") == everything
    assert rows("limit=1&offset=1") == rows("page=2&page_size=1") == everything[1:2]
    assert (
        rows("")
        == rows("page=1")
        == rows("page_size=200")
        == rows("page=1&page_size=200")
        == everything[:200]
    )
    assert rows("page=1000000000000") == []
    for query in ("page=1&limit=1", "page_size=1&offset=0", "page=2&offset=5", "limit=1&page_size=1",
                  "limit=1&offset=1&page=1&page_size=1"):  # fmt: skip
        names = [pair.partition("=")[0] for pair in query.split("&")]
        refused(scenario.api.get(path + query), 400, *names)
    for query, field in {"page=0": "page", "page=-1": "page", "page=x": "page", "page=1.5": "page",
                         "page=" + "9" * 30: "page", "page_size=0": "page_size", "page_size=-5": "page_size",
                         "page_size=x": "page_size"}.items():  # fmt: skip
        refused(scenario.api.get(path + query), 400, field)


@pytest.mark.parametrize("name", LISTS)
def test_parameters_that_mean_nothing_are_named(scenario: Scenario, workspace: str, name: str) -> None:
    path = lists(scenario, workspace)[name]
    for query, ignored in {
        "limit=5": None,
        "nonsense=1": "nonsense",
        "nonsense": "nonsense",
        "b=1&a=2&b=3": "a, b",
        "Limit=1": "Limit",
        "a%2Cb=1&c%0D%0Ad=2": "a%2Cb, c%0D%0Ad",
        "%F0%9F%8D%95=1": "%F0%9F%8D%95",
        "=1": None,
    }.items():
        answer = scenario.api.get(path + query)
        expect(answer, 200)
        assert answer.headers.get("x-ignored-parameters") == ignored, query
    many = "&".join(f"p{number:04}=1" for number in range(900))
    answer = scenario.api.get(path + many)
    assert len(answer.headers["x-ignored-parameters"]) <= 1000
    refusal = scenario.api.get(f"{path}limit=0&nonsense=1")
    refused(refusal, 400, "limit")
    assert refusal.headers["x-ignored-parameters"] == "nonsense"


def test_every_route_names_what_it_ignores(scenario: Scenario) -> None:
    participant = scenario.start(str(uuid4()))
    study = f"/studies/{scenario.study['id']}"
    for method, path, body in (
        ("GET", "/users/me", None),
        ("GET", study, None),
        ("PATCH", study, {}),
        ("GET", f"{study}/submissions/counts", None),
        ("GET", f"/submissions/{participant.submission_id}", None),
        ("GET", f"{COLLECTIONS}/{scenario.collection['id']}", None),
        ("POST", "/workspaces", {"title": "x"}),
    ):
        answer = scenario.api.request(method, f"{path}?limit=5&a=b", json=body)
        assert answer.is_success
        assert answer.headers["x-ignored-parameters"] == "a, limit", path
    answer = scenario.api.get(f"{participant.path}?x=1", headers=participant.headers)
    assert answer.headers["x-ignored-parameters"] == "x"


def test_lists_are_cut_by_limit_and_offset(api: httpx.Client) -> None:
    for number in range(3):
        expect(api.post("/workspaces", json={"title": f"List {number}"}), 201)
    everything = expect(api.get("/workspaces"), 200)
    assert set(everything) == {"results", "meta"}
    assert set(everything["meta"]) == {"count"}
    count = everything["meta"]["count"]
    assert count == len(everything["results"]) >= 3
    one = expect(api.get("/workspaces?limit=1&offset=1"), 200)
    assert one["results"] == everything["results"][1:2]
    assert one["meta"]["count"] == count
    assert expect(api.get(f"/workspaces?offset={count + 5}"), 200) == {
        "results": [],
        "meta": {"count": count},
    }


NO_IDS = ("x", "0", "%00", "%ff", "%ED%A0%80", "..%2f..", "1e5", "a" * 5000, "%F0%9F%8D%95", "-", "null", "%7B%7D",
          "00000000000000000000000000000000", "{00000000-0000-0000-0000-000000000000}")  # fmt: skip


@pytest.mark.parametrize("identifier", NO_IDS)
def test_a_malformed_id_in_a_path_is_unknown(scenario: Scenario, identifier: str) -> None:
    api = scenario.api
    collection = f"{COLLECTIONS}/{scenario.collection['id']}"
    for method, path in (
        ("GET", f"/workspaces/{identifier}"),
        ("GET", f"{COLLECTIONS}/{identifier}"),
        ("GET", f"{COLLECTIONS}/{identifier}/responses"),
        ("GET", f"{collection}/files/{identifier}"),
        ("POST", f"{COLLECTIONS}/{identifier}/export"),
        ("GET", f"{collection}/export/{identifier}"),
        ("DELETE", f"{collection}/export/{identifier}"),
        ("GET", f"/studies/{identifier}"),
        ("GET", f"/submissions/{identifier}"),
        ("DELETE", f"/submissions/{identifier}"),
        ("GET", f"/participate/submissions/{identifier}"),
    ):
        refused(api.request(method, path), 404)


@pytest.mark.parametrize("text", ["x", "%00", "%ED%A0%80", "%ff", "'", "1;DROP TABLE exports", "a" * 5000])
def test_malformed_query_parameters_are_400(scenario: Scenario, text: str) -> None:
    api = scenario.api
    refused(api.get(f"{COLLECTIONS}?workspace_id={text}"), 400, "workspace_id")
    refused(api.get(f"/studies?workspace_id={text}"), 400, "workspace_id")
    refused(api.get(f"/studies?published={text}"), 400, "published")
    for name in ("study_id", "from", "to", text.replace("%", "")):
        refused(api.post(f"{scenario.export_path}?{name}={text}"), 400)


@pytest.mark.parametrize("text", ["%ED%A0%80", "%ff", "a%C3"])
def test_a_query_that_is_no_utf_8_names_the_parameter(scenario: Scenario, workspace: str, text: str) -> None:
    api = scenario.api
    for path, name in (
        ("/studies?", "search"),
        (f"{COLLECTIONS}?workspace_id={workspace}&", "search"),
        (f"{COLLECTIONS}/{scenario.collection['id']}/submissions?", "participant"),
    ):
        assert refused(api.get(f"{path}{name}={text}"), 400)[name] == ["Must be text in UTF-8."]
        expect(api.get(f"{path}{name}=%EF%BF%BD%C3%A9"), 200)
        expect(api.get(f"{path}nonsense={text}"), 200)


def test_a_parameter_of_one_value_is_given_once(scenario: Scenario, workspace: str) -> None:
    api = scenario.api
    collection = f"{COLLECTIONS}/{scenario.collection['id']}"
    study = scenario.study["id"]
    for path, name, other in (
        ("/studies?limit=1", "limit", "2"),
        ("/studies?search=a", "search", "b"),
        (f"/submissions?study={study}", "study", str(uuid4())),
        (f"{COLLECTIONS}?workspace_id={workspace}", "workspace_id", str(uuid4())),
        (f"{collection}/submissions?sort=started", "sort", "completed"),
        (f"{collection}/export?limit=1", "limit", "2"),
    ):
        assert refused(api.get(f"{path}&{name}={other}"), 400)[name] == ["Give this parameter once."]
        query = path.partition("?")[2]
        expect(api.get(f"{path}&{query}"), 200)
    for path in (
        "/studies?state=active&state=paused",
        f"{collection}/submissions?state=ACTIVE&state=APPROVED",
        "/studies?nonsense=1&nonsense=2",
    ):
        expect(api.get(path), 200)


def test_the_feature_switch_hides_every_collections_route(server: Installation) -> None:
    """In a workspace of its own, as other tests need theirs."""
    token = json.loads(
        server.run("token", "create", "--name", "t", "--researcher", "switch@example.org", "--json").stdout
    )["token"]
    with server.client(token) as api, server.client() as stranger:
        workspace = expect(api.post("/workspaces", json={"title": "Switched"}), 201)["id"]
        collection = expect(api.post(COLLECTIONS, json=collection_body(workspace)), 201)
        identifier = collection["id"]
        export = expect(api.post(f"{COLLECTIONS}/{identifier}/export"), 202)["export_id"]
        calls: list[tuple[str, str, Any]] = [
            ("GET", f"{COLLECTIONS}?workspace_id={workspace}", None),
            ("POST", COLLECTIONS, collection_body(workspace)),
            ("GET", f"{COLLECTIONS}/{identifier}", None),
            ("PUT", f"{COLLECTIONS}/{identifier}", collection),
            ("PUT", f"{COLLECTIONS}/{identifier}", {}),
            ("GET", f"{COLLECTIONS}/{identifier}/responses", None),
            ("GET", f"{COLLECTIONS}/{identifier}/files/{uuid4()}", None),
            ("POST", f"{COLLECTIONS}/{identifier}/export", None),
            ("GET", f"{COLLECTIONS}/{identifier}/export", None),
            ("GET", f"{COLLECTIONS}/{identifier}/export/{export}", None),
            ("DELETE", f"{COLLECTIONS}/{identifier}/export/{export}", None),
        ]
        server.run("workspace", "features", workspace, "--collections", "off")
        for method, path, body in calls:
            assert refused(api.request(method, path, json=body), 404) == FEATURE_OFF, (method, path)
        one = f"{COLLECTIONS}/{identifier}"
        for method, path, wrong in (
            ("POST", COLLECTIONS, b'{"workspace_id": "%s"}' % workspace.encode()),
            ("POST", COLLECTIONS, b'{"workspace_id": "%s", "name": "\\u0000"}' % workspace.encode()),
            ("GET", f"{COLLECTIONS}?workspace_id={workspace}&limit=x", b""),
            ("GET", f"{COLLECTIONS}?workspace_id={workspace}&state=x", b""),
            ("PUT", one, b"{"),
            ("PUT", one, b'"' + b"x" * (5 << 20) + b'"'),
            ("GET", f"{one}/responses?limit=x", b""),
            ("GET", f"{one}/files/x", b""),
            ("DELETE", one, b""),
            ("POST", f"{one}/check", b"["),
            ("POST", f"{one}/duplicate", b"["),
            ("POST", f"{one}/export", b"{"),
            ("POST", f"{one}/export?nonsense=1", b""),
            ("GET", f"{one}/export?limit=x", b""),
            ("GET", f"{one}/export/zz", b""),
            ("DELETE", f"{one}/export/zz", b""),
            ("GET", f"{one}/export/zz/conversions", b""),
            ("POST", f"{one}/export/{export}/conversions/zz", b""),
            ("POST", f"{one}/members", b"{"),
            ("PATCH", f"{one}/members/zz", b"{"),
            ("GET", f"{one}/submissions?state=x", b""),
            ("POST", f"{one}/submissions/decisions", b"{"),
            ("GET", f"{one}/erasures/zz", b""),
            ("GET", f"{one}/decisions?limit=1&page=1", b""),
        ):
            detail = refused(api.request(method, path, content=wrong), 404)
            assert detail == FEATURE_OFF, (method, path, detail)
            hidden = stranger.request(method, path, content=wrong)
            assert FEATURE_OFF not in hidden.text, (method, path)
        refused(api.post(COLLECTIONS, content=b"{"), 400)
        refused(api.post(COLLECTIONS, json={"workspace_id": str(uuid4())}), 400)
        expect(api.get("/studies"), 200)
        server.run("workspace", "features", workspace, "--collections", "on")
        for method, path, _ in calls[2:3]:
            expect(api.request(method, path), 200)


def test_error_codes_are_unique_and_stable() -> None:
    codes = [type.error_code for type in REGISTRY]
    assert len(codes) == len(set(codes))
    by_code = {type.error_code: (type.status, type.title) for type in REGISTRY}
    assert by_code[140404] == (404, "Not found")
    assert by_code[140100] == (401, "Authentication required")
    assert by_code[140001] == (400, "Validation error")


def test_times_are_utc_with_z(scenario: Scenario) -> None:
    submission = expect(scenario.api.get(f"/submissions/{scenario.take_part('times')}"), 200)
    collection = expect(scenario.api.get(f"{COLLECTIONS}/{scenario.collection['id']}"), 200)
    export = scenario.export()
    for text in (
        submission["started_at"],
        submission["completed_at"],
        collection["created_at"],
        collection["collection_items"][0]["created_at"],
        collection["collection_items"][0]["page_items"][0]["created_at"],
        scenario.study["date_created"],
        export["created_at"],
        export["snapshot_at"],
        export["completed_at"],
        export["expires_at"],
    ):
        assert text.endswith("Z"), text
        assert text[10] == "T", text


def test_every_answer_carries_a_request_id(api: httpx.Client) -> None:
    first, second = api.get("/users/me"), api.get("/nothing")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
