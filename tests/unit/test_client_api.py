"""The client's requests, over real HTTP to a server that answers as told."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import ssl
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

import fieldpack
from fieldpack import ApiError, ExportFailed, TransportError, UsageError
from fieldpack.cli import main
from fieldpack.client import Client
from fieldpack.client.backoff import Backoff, parse_retry_after
from fieldpack.client.problems import make_api_error
from fieldpack.client.progress import Progress, show_progress
from fieldpack.errors import ExportNotReady
from fieldpack.server.http.listing import parse_day
from tests.hostile_server import COLLECTION, EXPORT, TOKEN, HostileServer, make_archive, serve_hostile

ARCHIVE = make_archive(members=3)
EXPORT_PATH = f"/api/v1/data-collection/collections/{COLLECTION}/export"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with serve_hostile(ARCHIVE) as server:
        yield server


@pytest.fixture
def client(server: HostileServer) -> Iterator[Client]:
    with Client(TOKEN, server.url) as client:
        yield client


def test_it_says_who_it_is_and_nothing_more(client: Client, server: HostileServer) -> None:
    assert client.get_me()["name"] == "Ada"
    headers = server.requests[0].headers
    assert headers["authorization"] == f"Token {TOKEN}"
    assert headers["user-agent"] == f"fieldpack/{fieldpack.__version__}"
    assert server.requests[0].query == {}


def test_lists_are_read_to_their_end(client: Client, server: HostileServer) -> None:
    assert [item["id"] for item in client.list_workspaces()] == [f"item-{n}" for n in range(450)]
    assert [r.query["offset"] for r in server.requests] == [["0"], ["200"], ["400"]]


@pytest.mark.parametrize("kind", ["cut", "uncut"])
def test_bare_lists_are_read_to_their_end(client: Client, server: HostileServer, kind: str) -> None:
    server.bare_lists = kind
    assert [item["id"] for item in client.list_workspaces()] == [f"item-{n}" for n in range(450)]


def test_what_a_server_ignored_is_a_warning(client: Client, server: HostileServer) -> None:
    server.ignored = "search, state"
    with pytest.warns(fieldpack.IgnoredParameterWarning, match="ignored them: search, state") as caught:
        client.list_studies("(paused|active)", search="x")
    assert len(caught) == 3  # one a page, which Python shows once
    assert server.requests[0].query["state"] == ["(paused|active)"]
    assert server.requests[0].query["search"] == ["x"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_safe_is_repeated(client: Client, server: HostileServer, status: int) -> None:
    server.api_busy = [(status, {"Retry-After": "0"})] * 2
    assert client.get_me()["id"] == "r1"
    server.api_busy = [(status, {})]
    assert client.request_export(COLLECTION).status == "complete"


def test_why_an_export_waits_is_told(
    client: Client, server: HostileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.polls, server.waiting = 2, "The storage does not answer.\x1b[2J"
    told: list[Progress] = []
    client.wait_export(COLLECTION, EXPORT, progress=told.append)
    assert next(moment.waiting for moment in told) == server.waiting
    with show_progress() as tell:
        for moment in told:
            tell(moment)
    said = capsys.readouterr().err
    assert said.count("waiting: The storage does not answer. [2J") == 1


def test_what_may_have_been_done_is_not_repeated(client: Client, server: HostileServer) -> None:
    server.api_busy = [(503, {})]
    with pytest.raises(ApiError, match="Busy") as caught:
        client.create_study({"name": "x"})
    assert caught.value.status == 503
    assert len(server.requests) == 1


def test_repeating_has_an_end(server: HostileServer) -> None:
    server.api_busy = [(503, {})] * 10
    with Client(TOKEN, server.url, retries=2) as client, pytest.raises(ApiError):
        client.get_me()
    assert len(server.requests) == 3


def test_a_server_that_asks_for_an_hour_is_not_waited_for(client: Client, server: HostileServer) -> None:
    server.api_busy = [(429, {"Retry-After": "3600"})]
    with pytest.raises(ApiError, match="Busy"):
        client.get_me()


def test_a_bad_token_says_where_to_look(server: HostileServer) -> None:
    with (
        Client("other", server.url) as client,
        pytest.raises(ApiError, match=r"not known\. Check PROLIFIC_TOKEN"),
    ):
        client.get_me()


def test_no_server_says_what_to_do() -> None:
    with (
        Client(TOKEN, "http://127.0.0.1:9", retries=1) as client,
        pytest.raises(TransportError, match=r"Nothing answers at http://127.0.0.1:9 .*fieldpack serve"),
    ):
        client.get_me()


def test_an_https_address_of_a_plain_server_is_said(server: HostileServer) -> None:
    with (
        Client(TOKEN, server.url.replace("http:", "https:")) as client,
        pytest.raises(TransportError, match="does not speak TLS"),
    ):
        client.get_me()


def test_a_proxy_is_not_handed_the_local_servers_token(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Client(TOKEN, server.url) as client:
        path = client.export_collection(COLLECTION, tmp_path / "a.zip")
    assert path.read_bytes() == ARCHIVE


def test_a_proxy_is_used_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with (
        Client(TOKEN, "http://api.invalid", retries=0) as client,
        pytest.raises(TransportError, match="refused"),
    ):
        client.get_me()


def test_its_own_authority_is_trusted_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serve_hostile(ARCHIVE, tls=context) as server:
        with Client(TOKEN, server.url, ca_file=str(tmp_path / "ca.pem")) as client:
            assert client.export_collection(COLLECTION, tmp_path / "a.zip").read_bytes() == ARCHIVE
        with (
            Client(TOKEN, server.url) as client,
            pytest.raises(TransportError, match=r"not trusted.*SSL_CERT_FILE"),
        ):
            client.get_me()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with Client(TOKEN, server.url) as client:
            assert client.get_me()["id"] == "r1"


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (lambda client: client.create_workspace("W"), "/workspaces/"),
        (lambda client: client.create_collection({}), "/data-collection/collections"),
        (lambda client: client.update_collection("c", {}), "/data-collection/collections/c/"),
        (lambda client: client.get_collection("c"), "/data-collection/collections/c"),
        (lambda client: client.create_study({}), "/studies/"),
        (lambda client: client.update_study("s", {}), "/studies/s/"),
        (lambda client: client.transition_study("s", "PUBLISH"), "/studies/s/transition/"),
        (lambda client: client.list_submissions("s"), "/studies/s/submissions/"),
        (lambda client: client.get_submission_counts("s"), "/studies/s/submissions/counts/"),
        (lambda client: client.transition_submission("i", "APPROVE"), "/submissions/i/transition/"),
        (lambda client: client.bulk_approve_submissions(["i"]), "/submissions/bulk-approve/"),
        (lambda client: client.request_return("i", ["no"]), "/submissions/i/request-return/"),
        (lambda client: client.clone_study("i"), "/studies/i/clone/"),
        (lambda client: client.test_study("i"), "/studies/i/test-study/"),
        (lambda client: client.create_project("w", "P"), "/workspaces/w/projects/"),
        (lambda client: client.create_participant_group("w", "G"), "/participant-groups/"),
        (lambda client: client.add_group_participants("g", ["p"]), "/participant-groups/g/participants/"),
        (lambda client: client.create_hook_secret("w"), "/hooks/secrets/"),
        (lambda client: client.create_hook("t", "u", "w"), "/hooks/subscriptions/"),
        (lambda client: client.confirm_hook("i", "s"), "/hooks/subscriptions/i/"),
    ],
)
def test_paths_are_spelt_as_the_hosted_service_has_them(
    client: Client, server: HostileServer, ask: Callable[[Client], object], path: str
) -> None:
    with contextlib.suppress(ApiError):
        ask(client)
    assert server.requests[0].path == "/api/v1" + path


@pytest.mark.parametrize("day", [date.min, date(33, 4, 3), date(2026, 1, 31), date.max], ids=str)
def test_any_day_is_written_as_the_api_reads_it(client: Client, server: HostileServer, day: date) -> None:
    with contextlib.suppress(ApiError):
        client.page_submissions("s", submitted_from=day, submitted_before=day)
    given = server.requests[0].query
    assert given["submitted_from"] == given["submitted_before"]
    read = parse_day("submitted_from", given["submitted_from"][0])
    assert read is not None
    assert read.date() == day


@pytest.mark.parametrize("bad", ["", ".", "..", " "])
def test_ids_cannot_lead_elsewhere(client: Client, server: HostileServer, bad: str) -> None:
    with pytest.raises(UsageError, match="not an id"):
        client.get_collection(bad)
    with pytest.raises(ApiError):
        client.get_collection("../../users/me?x=1")
    assert "me" not in server.requests[-1].path.split("/")


# Exports


def test_an_export_is_waited_for_and_brought(client: Client, server: HostileServer, tmp_path: Path) -> None:
    server.polls = 1
    stages: list[str] = []
    path = client.export_collection(COLLECTION, tmp_path, progress=lambda p: stages.append(p.stage))
    local = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).astimezone()
    assert path.name == f"{COLLECTION}-export-{local:%Y%m%d-%H%M%S}.zip"
    assert path.read_bytes() == ARCHIVE
    assert [stages[0], stages[-1]] == ["generating", "downloading"]
    assert [r.headers["prefer"] for r in server.asked(EXPORT_PATH)] == ["wait=3", "wait=3"]
    assert all(r.query == {} and r.body == b"" for r in server.asked(EXPORT_PATH))
    assert all("authorization" not in r.headers for r in server.asked("/download/"))


def test_a_server_starting_again_behind_its_proxy_is_waited_for(
    server: HostileServer, tmp_path: Path
) -> None:
    server.polls = 1
    faults: list[list[tuple[int, dict[str, str]]]] = [[(503, {}), (502, {})]]

    def ask(progress: Progress) -> None:
        if faults:
            server.api_busy = faults.pop()

    with Client(TOKEN, server.url, retries=0) as client:
        assert client.export_collection(COLLECTION, tmp_path, progress=ask).read_bytes() == ARCHIVE


def test_the_hosted_services_bare_answers_are_enough(
    client: Client, server: HostileServer, tmp_path: Path
) -> None:
    server.is_hosted, server.polls = True, 1
    server.link_bytes = len(ARCHIVE) // 2
    path = client.export_collection(COLLECTION, tmp_path)
    assert path.read_bytes() == ARCHIVE
    assert path.name.startswith(f"{COLLECTION}-export-2")


def test_the_same_export_of_the_hosted_service_is_resumed(server: HostileServer, tmp_path: Path) -> None:
    server.is_hosted = True
    served = iter([200_000])
    server.cut_after = lambda: next(served, None)

    class Stop(BaseException):
        pass

    def stop(progress: object) -> None:
        if server.sent_bytes >= 100_000:
            raise Stop

    with Client(TOKEN, server.url) as client:
        with pytest.raises(Stop):
            client.export_collection(COLLECTION, tmp_path, progress=stop)
        (begun,) = tmp_path.glob("*.part")
        path = client.export_collection(COLLECTION, tmp_path)
    assert path.read_bytes() == ARCHIVE
    assert path.name == begun.name.removesuffix(".part")
    assert server.asked("/download/")[-1].headers["range"].startswith("bytes=")


def test_filters_are_sent_only_when_given(client: Client, server: HostileServer) -> None:
    east = timezone(timedelta(hours=2))
    client.request_export(COLLECTION, study_id="s", from_="2026-01-31", to=datetime(2026, 2, 1, tzinfo=east))
    assert server.requests[0].query == {
        "study_id": ["s"],
        "from": ["2026-01-31T00:00:00Z"],
        "to": ["2026-01-31T22:00:00Z"],
    }
    with pytest.raises(UsageError, match="'yesterday' is not a time"):
        client.request_export(COLLECTION, from_="yesterday")


def test_a_failed_export_says_why(client: Client, server: HostileServer, tmp_path: Path) -> None:
    server.fails_with = "A file is missing."
    with pytest.raises(ExportFailed, match=r"A file is missing\. Run it again") as caught:
        client.export_collection(COLLECTION, tmp_path)
    assert caught.value.reason == "A file is missing."
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_makes_many_others_is_waited_for(
    client: Client, server: HostileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For longer than other refusals are: `Retry-After` is kept to each time, and the person is told."""
    server.api_busy = [(429, {"Retry-After": "0"})] * 12 + [(429, {"Retry-After": "1"})]
    started = time.monotonic()
    path = client.export_collection(COLLECTION, tmp_path, progress=True)
    assert path.read_bytes() == ARCHIVE
    assert time.monotonic() - started >= 1
    assert len(server.asked("/api/", "POST")) == 14
    assert "waiting for the server, which makes as many exports at once as it may" in capsys.readouterr().err


def test_waiting_for_ones_turn_has_an_end(client: Client, server: HostileServer, tmp_path: Path) -> None:
    server.api_busy = [(429, {"Retry-After": "1"})] * 3
    with pytest.raises(ExportNotReady, match="could not be begun within 0 s"):
        client.export_collection(COLLECTION, tmp_path, timeout=0.5)
    server.api_busy = [(429, {"Retry-After": "3600"})]
    with pytest.raises(ApiError, match="Busy") as caught:
        client.export_collection(COLLECTION, tmp_path)
    assert (caught.value.status, caught.value.retry_after) == (429, 3600)


def test_waiting_has_an_end_when_asked(client: Client, server: HostileServer) -> None:
    server.polls = 100
    with pytest.raises(ExportNotReady, match="still being made"):
        client.wait_export(COLLECTION, EXPORT, timeout=0.5)


def test_an_existing_file_is_refused_before_anything_is_asked(
    client: Client, server: HostileServer, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").touch()
    with pytest.raises(fieldpack.DownloadError, match="exists already"):
        client.export_collection(COLLECTION, tmp_path / "a.zip")
    assert server.requests == []


# Small parts


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b'{"error": {"detail": "Export x does not exist."}}', "Export x does not exist."),
        (400, b'{"error": {"detail": ["One.", "Two."]}}', "One. Two."),
        (
            400,
            b'{"error": {"detail": {"name": ["is required."], "items.0.type": ["is unknown", "or old"]}}}',
            "name: is required; items.0.type: is unknown or old.",
        ),
        (
            403,
            b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
            "Request has expired.",
        ),
        (502, b"<html>", "http://x/y answered 502: the server behind the proxy did not answer."),
        (418, b"[]", "http://x/y answered 418: unexpected."),
        (400, b'{"error": {"detail": "a\\u001b[31m\\nb"}}', "a [31m b."),
    ],
)
def test_refusals_become_one_sentence(status: int, body: bytes, said: str) -> None:
    error = make_api_error(status, body, "http://x/y")
    assert str(error) == said
    assert error.status == status


def test_a_feature_switched_off_is_explained() -> None:
    body = b'{"error": {"detail": "You do not currently have permission to access to this feature."}}'
    assert "workspace features" in str(make_api_error(404, body, "http://x"))


@pytest.mark.parametrize("depth", [1, 15, 100, 340, 600, 1000, 1023, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('{"detail":[', "]}")])
def test_a_refusal_may_be_nested_as_deeply_as_json_goes(depth: int, begin: str, end: str) -> None:
    inner = begin * depth + '"why"' + end * depth
    error = make_api_error(400, f'{{"error": {{"detail": {inner}}}}}'.encode(), "http://x/y")
    assert 0 < len(str(error)) <= 1100
    assert ("why" in str(error)) == (depth * len(end) <= 16)


def test_a_long_refusal_is_cut() -> None:
    details: list[Any] = [
        ["x" * 300] * 10_000,
        {f"f{n}": ["x"] for n in range(100_000)},
        "x" * 10_000,
        {"x" * 5000: "y"},
    ]
    for detail in details:
        said = str(make_api_error(400, json.dumps({"detail": detail}).encode(), "http://x/y"))
        assert len(said) <= 1010
        assert "…" in said


def test_backoff_grows_stays_bounded_and_ends() -> None:
    for _ in range(100):
        backoff = Backoff(tries=8, first=1, most=10)
        delays = [backoff.next_delay() for _ in range(9)]
        assert delays[-1] is None
        assert all(d is not None and 0 <= d <= min(10, 2**n) for n, d in enumerate(delays[:-1]))
    assert (Backoff(tries=1).next_delay(retry_after=7) or 0) >= 7


def test_retry_after_is_a_number_or_a_date() -> None:
    assert parse_retry_after("12") == 12
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for odd in ("soon", "\u00b2", "\u0663", "-5", "", " ", "Wed, 21 Oct 99999999999999 07:28:00 GMT",
                "Wed, 21 Oct 2015 07:28:00 +99999999999999"):  # fmt: skip
        assert parse_retry_after(odd) is None
    assert parse_retry_after(None) is None


def test_importing_fieldpack_or_its_command_line_loads_nothing_heavy() -> None:
    script = (
        "import sys, fieldpack, fieldpack.cli\n"
        "heavy = {'httpx', 'rich', 'yaml', 'orjson', 'pandas', 'polars', 'pyarrow', 'fastapi', 'pydantic'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONWARNINGS": ""})
    script = (
        "import sys; from fieldpack import Client\n"
        "heavy = {'yaml', 'typer', 'pandas', 'polars', 'pyarrow', 'fastapi', 'fieldpack.server'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_everything_promised_is_there() -> None:
    for name in fieldpack.__all__:
        assert getattr(fieldpack, name) is not None
    with pytest.raises(AttributeError):
        _ = fieldpack.nothing


SPACES = bytes([32]) * (1 << 20)


def pack_spaces(count_mib: int, times: int = 1) -> bytes:
    """So many MiB of spaces as gzip, packed again as often as said."""
    body = gzip.compress(SPACES * count_mib)
    for _ in range(times - 1):
        body = gzip.compress(body)
    return body


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ({}, lambda: itertools.repeat(SPACES)),
        ({"Content-Encoding": "gzip"}, lambda: [pack_spaces(64)]),
        ({"Content-Encoding": "GZIP"}, lambda: [pack_spaces(64)]),
        ({"Content-Encoding": "gzip"}, lambda: (piece for piece in itertools.repeat(pack_spaces(1), 64))),
        ({"Content-Encoding": "gzip, gzip"}, lambda: [pack_spaces(64, 2)]),
        ({"Content-Encoding": "deflate"}, lambda: [zlib.compress(SPACES * 64)]),
        ({"Content-Encoding": "gzip"}, lambda: [b"no gzip"]),
    ],
)
@pytest.mark.parametrize("path", ["users/me", "lists/x"])
def test_answers_take_no_more_memory_than_is_allowed(
    path: str,
    headers: dict[str, str],
    pieces: Callable[[], Iterable[bytes]],
    client: Client,
    server: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fieldpack.client.transport._MOST_ANSWER_BYTES", 2 << 20)
    whole = pieces()
    server.api_answer = lambda: (headers, whole)
    tracemalloc.start()
    try:
        with pytest.raises(TransportError, match=r"more than|not asked for|damaged"):
            client._transport.request("GET", path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert len(server.requests) == 1


@pytest.mark.parametrize("encoding", ["", "identity", "gzip"])
def test_answers_come_packed_or_not(encoding: str, client: Client, server: HostileServer) -> None:
    body = json.dumps({"id": "r1", "name": "x" * 300_000}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else body
    pieces = [packed[at : at + 1000] for at in range(0, len(packed), 1000)]
    server.api_answer = lambda: ({"Content-Encoding": encoding} if encoding else {}, pieces)
    assert client._transport.request("GET", "users/me") == json.loads(body)
    assert server.requests[0].headers["accept-encoding"] == "gzip"


LISTS: list[Any] = [
    None, 5, "x", {}, {"results": 5}, {"results": [1]}, {"results": [{}, None]}, {"results": [["a"]]}, [1], [None, {}],
    {"results": [{"id": "a"}], "meta": 5}, {"results": [{"id": "a"}], "meta": [1]},
]  # fmt: skip
OBJECTS: list[Any] = [None, 5, "x", [], [{}], {}, {"unknown": 1}]


def answer_with(server: HostileServer, body: object) -> None:
    server.api_answer = lambda: ({}, [json.dumps(body).encode()])


@pytest.mark.parametrize("body", LISTS, ids=str)
def test_what_is_no_list_is_told(body: object, client: Client, server: HostileServer) -> None:
    answer_with(server, body)
    with pytest.raises(TransportError, match="did not answer with a list"):
        client.list_workspaces()


@pytest.mark.parametrize("meta", [None, {}, {"count": "3"}, {"count": True}, {"count": None}])
def test_a_list_that_does_not_say_how_many_ends_with_a_short_page(
    meta: object, client: Client, server: HostileServer
) -> None:
    answer_with(server, {"results": [{"id": "a"}], "meta": meta})
    assert client.list_workspaces() == [{"id": "a"}]


@pytest.mark.parametrize("body", OBJECTS, ids=str)
def test_what_lacks_a_field_is_told(
    body: object, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Nothing that a server leaves out is called a bug of this program."""
    answer_with(server, body)
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    (tmp_path / "c.yaml").write_text("name: N\ncollection_items: []\n")
    for args in (
        ["whoami"],
        ["collection", "get", "c"],
        ["collection", "export", "c", "-o", str(tmp_path)],
        ["collection", "sync", "c", str(tmp_path / "data")],
        ["collection", "export", "list", "c"],
        ["collection", "convert", "c", "--export", "e", "--to", "csv"],
        ["study", "get", "s"],
        ["study", "list"],
        ["submission", "list", "s"],
        ["submission", "approve", "s"],
        ["hook", "list"],
        ["project", "list"],
    ):
        main(args)
        err = capsys.readouterr().err
        assert "This is a bug" not in err, (args, err)


def test_a_field_that_is_left_out_is_named(client: Client, server: HostileServer) -> None:
    answer_with(server, {"name": "Ada"})
    with pytest.raises(TransportError, match="answered without 'id'"):
        client.get_me()["id"]


@pytest.mark.parametrize("said", ["0", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_no_server_is_asked_faster_than_it_is_polled(
    said: str, client: Client, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("fieldpack.client.export.time.sleep", slept.append)
    server.api_busy = [(429, {"Retry-After": said})] * 3
    client.export_collection(COLLECTION, tmp_path / "a.zip")
    assert slept == [3.0] * 3


@pytest.mark.parametrize(
    ("option", "moment"), [("--from", "0001-01-01T00:00:00+14:00"), ("--to", "9999-12-31T23:59:59-14:00")]
)
def test_times_beyond_the_calendar_are_refused_by_name(
    option: str, moment: str, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    assert main(["collection", "export", COLLECTION, option, moment]) == 2
    assert moment in capsys.readouterr().err
    server.created_at = moment  # and a server's are left out
    assert main(["collection", "export", COLLECTION, "-o", "a.zip"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        "study view \udcff",
        "collection export \udcff",
        "submission bulk-approve -i \udcff",
        "project create -t \udcff -w w",
        "submission list -s s --status \udcff",
    ],
)
def test_an_argument_that_is_no_text_is_refused(
    command: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    assert main(command.split(" ")) == 2
    assert "bug" not in capsys.readouterr().err


def test_damaged_json_is_said_to_be(client: Client, server: HostileServer) -> None:
    server.api_answer = lambda: ({"Content-Type": "application/json"}, [b'{"results": [}'])
    with pytest.raises(TransportError, match="JSON that is damaged"):
        client.get_me()
