"""Which server, and which token goes there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldpack.client.connection import find_connection, is_loopback, make_ssl_context, normalize_url
from fieldpack.errors import ConfigError


def keep(folder: Path, url: str = "https://127.0.0.1:8443", ca_file: str | None = None) -> dict[str, str]:
    (folder / "credentials.json").write_text(json.dumps({"url": url, "token": "kept", "ca_file": ca_file}))
    return {"FIELDPACK_DATA_DIR": str(folder)}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.example.org", "https://api.example.org"),
        ("https://api.example.org/", "https://api.example.org"),
        ("https://api.example.org/api/v1", "https://api.example.org"),
        (" https://api.example.org/api/v1/ ", "https://api.example.org"),
        ("https://example.org/field/api/v1/", "https://example.org/field"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_are_taken_with_or_without_the_api_path(given: str, url: str) -> None:
    assert normalize_url(given) == url


@pytest.mark.parametrize(
    "given",
    ["api.example.org", "ftp://example.org", "https://", "http://a:b@example.org", "http://x:99999", "x?y=1"],
)
def test_what_is_no_address_is_said(given: str) -> None:
    with pytest.raises(ConfigError, match="PROLIFIC_URL"):
        normalize_url(given)


@pytest.mark.parametrize(
    "given",
    [
        "http://ada:pass@host",
        "http://pass@host:99999/",
        "https://host/?key=pass",
        "ftp://a:pass@b",
        "ada:pass@host",
    ],
)
def test_what_may_be_secret_in_an_address_is_not_shown(given: str) -> None:
    with pytest.raises(ConfigError, match="without a user name") as caught:
        normalize_url(given)
    assert "pass" not in str(caught.value)


def test_the_local_servers_own_token_is_found(tmp_path: Path) -> None:
    found = find_connection(env=keep(tmp_path, ca_file="ca.pem"))
    assert (found.url, found.token) == ("https://127.0.0.1:8443", "kept")
    assert found.ca_file == str(tmp_path / "ca.pem")


def test_it_goes_to_no_other_origin(tmp_path: Path) -> None:
    env = keep(tmp_path)
    for url in (
        "https://api.example.org",
        "http://127.0.0.1:8443",
        "https://127.0.0.1",
        "https://localhost:8443",
    ):
        with pytest.raises(ConfigError, match=r"no token for .* is for https://127\.0\.0\.1:8443 alone"):
            find_connection(env={**env, "PROLIFIC_URL": url})
    assert find_connection(env={**env, "PROLIFIC_URL": "https://127.0.0.1:8443/api/v1"}).token == "kept"


def test_prolific_token_wins(tmp_path: Path) -> None:
    env = {**keep(tmp_path), "PROLIFIC_TOKEN": "mine\n"}
    assert find_connection(env=env).token == "mine"
    assert (
        find_connection(env={**env, "PROLIFIC_URL": "https://api.example.org"}).url
        == "https://api.example.org"
    )
    assert find_connection("argument", "https://x.example", env=env).token == "argument"


def test_without_a_token_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fieldpack serve.*PROLIFIC_TOKEN"):
        find_connection(env={"FIELDPACK_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"url": 1, "token": "x"}', "\x00"])
def test_a_spoilt_credentials_file_is_named(tmp_path: Path, body: str) -> None:
    (tmp_path / "credentials.json").write_text(body)
    env = {"FIELDPACK_DATA_DIR": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"credentials\.json is not what"):
        find_connection(env=env)
    assert find_connection("t", "https://x.example", env=env).token == "t"


def test_a_slip_in_the_token_is_said() -> None:
    with pytest.raises(ConfigError, match="copying slip"):
        find_connection("a b", "https://x.example", env={})


def test_the_token_is_not_printed() -> None:
    assert "secret" not in repr(find_connection("secret", "https://x.example", env={}))


def test_loopback_is_told_from_elsewhere() -> None:
    assert all(
        map(is_loopback, ("http://127.0.0.1:1", "http://localhost", "http://[::1]:8000", "http://127.9.9.9"))
    )
    assert not any(
        map(is_loopback, ("http://10.0.0.1", "http://localhost.example.org", "http://example.org"))
    )


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pem cannot be used"):
        make_ssl_context(str(tmp_path / "none.pem"))
