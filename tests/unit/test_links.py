"""Links that can't be opened are said to be so, wherever they come from, and are not asked for again."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fieldpack
from fieldpack.cli.root import main
from fieldpack.client.connection import is_loopback, normalize_url
from fieldpack.client.sync import sync_collection
from fieldpack.errors import ConfigError
from fieldpack.links import check_link, show_link
from tests.hostile_server import COLLECTION, TOKEN, HostileServer, make_archive, serve_hostile

MALFORMED = [
    "http://[",
    "http://[::1",
    "http://h:99999/",
    "http://h:abc/",
    "http://h:-1/",
    "http://h:0/",
    f"http://{'a' * 64}.org/",
    "http://a..b/",
    "http://.a/",
    "http://xn--/",
    "http://xn--zz.org/",
    "ftp://example.org/a.zip",
    "file:///etc/passwd",
    "javascript:1",
    "https:///a.zip",
]
PIECES = st.sampled_from(
    ["http", "https", "ftp", "://", ":", "/", "@", "[", "]", "?", "#", ".", "a", "xn--", "%", "80"]
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    with serve_hostile(make_archive(members=1)) as serving:
        monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
        monkeypatch.setenv("PROLIFIC_URL", serving.url)
        yield serving


@given(st.text(max_size=60) | st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join))
@example("http://" + ".".join(["a" * 63] * 5))
def test_what_passes_is_taken_by_whoever_opens_it(url: str) -> None:
    show_link(url)
    if check_link(url) is None:
        is_loopback(url)
        _ = httpx.URL(url).host
        urllib.request.Request(url)
        httpx.Client(trust_env=False).build_request("GET", url)


@pytest.mark.parametrize("url", MALFORMED)
def test_what_can_not_be_opened_is_told(url: str) -> None:
    assert check_link(url)
    with pytest.raises(ConfigError, match="is not the address of a server"):
        normalize_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://a/",
        "https://a.b:8443/c?d=e#f",
        "http://[::1]:80/",
        "http://ex\u00e4mple.org/",
        "http://my_b.s3.a/",
    ],
)
def test_what_can_be_opened_passes(url: str) -> None:
    assert check_link(url) is None


def ask(command: str, folder: Path) -> int:
    return main(
        [
            "collection",
            command,
            COLLECTION,
            *([str(folder / "data")] if command == "sync" else ["-o", str(folder)]),
        ]
    )


@pytest.mark.parametrize("way", ["as the link", "by a redirect"])
@pytest.mark.parametrize("command", ["export", "sync"])
@pytest.mark.parametrize("url", MALFORMED)
def test_a_server_that_gives_such_a_link_is_asked_once(
    url: str,
    command: str,
    way: str,
    server: HostileServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if way == "as the link":
        server.link = url
    else:
        server.location = url
    assert ask(command, tmp_path) == 1
    said = capsys.readouterr().err
    assert "can't be opened" in said or "not a link that can be opened" in said
    assert "This is a bug" not in said
    assert len(server.asked("/download/")) == (way == "by a redirect")
    # a sync looks first which exports there are
    assert len(server.requests) <= 2 + (command == "sync")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", MALFORMED)
def test_a_link_that_is_read_by_ranges_may_redirect_to_such_a_one(url: str, server: HostileServer) -> None:
    server.location = url
    with pytest.raises(fieldpack.TransportError, match=r"redirects to .* not a link that can be opened"):
        fieldpack.open_export(server.mint())
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", [url for url in MALFORMED if url.startswith("http")])
def test_such_a_link_on_the_command_line(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["inspect", url]) in (1, 2)
    assert "not a link that can be opened" in capsys.readouterr().err
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    monkeypatch.setenv("PROLIFIC_URL", url)
    assert main(["collection", "list"]) in (1, 2)
    assert "is not the address of a server" in capsys.readouterr().err


def test_redirects_in_a_circle_end(server: HostileServer, tmp_path: Path) -> None:
    server.redirects_to = server.url
    with pytest.raises(fieldpack.TransportError, match="redirects more than 20 times"):
        fieldpack.open_export(server.mint())
    with (
        fieldpack.Client(TOKEN, server.url) as client,
        pytest.raises(fieldpack.DownloadError, match="redirects too often"),
    ):
        client.export_collection(COLLECTION, tmp_path)
    with fieldpack.Client(TOKEN, server.url) as client, pytest.raises(fieldpack.TransportError):
        sync_collection(client, COLLECTION, tmp_path / "data")


def test_what_may_be_secret_is_not_shown() -> None:
    shown = show_link("https://user:pass@example.org/a?signature=secret#fragment")
    assert shown == "'https://example.org/a'"
