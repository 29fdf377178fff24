"""Which server to talk to, and with which token."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from fieldpack.errors import ConfigError
from fieldpack.links import check_link, show_link

__all__ = ["DEFAULT_URL", "Connection", "find_connection", "is_loopback", "make_ssl_context"]

DEFAULT_URL = "http://127.0.0.1:8000"
_CREDENTIALS = "credentials.json"


@dataclass(frozen=True)
class Connection:
    """A server's address and the token for it.

    Attributes:
        url: scheme and address, with any path prefix, without `/api/v1` and without a trailing slash.
        token: sent to this server's API and nowhere else.
        ca_file: a PEM file of a certificate authority to trust besides the usual ones.
    """

    url: str
    token: str
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r}, token=…, ca_file={self.ca_file!r})"


def find_connection(
    token: str | None = None,
    base_url: str | None = None,
    *,
    ca_file: str | None = None,
    env: Mapping[str, str] = os.environ,
) -> Connection:
    """Find the address and the token, from arguments, environment and the local server's own file.

    `PROLIFIC_TOKEN` and `PROLIFIC_URL` stand in for arguments left out. The token that the local server keeps
    in its data folder (`FIELDPACK_DATA_DIR`, default `./fieldpack-data`) is used when neither an argument nor
    the environment gives one, and only for the very origin that the server wrote beside it.

    Raises:
        ConfigError: there is no token, or the address is not one.
    """
    wanted = base_url or env.get("PROLIFIC_URL") or None
    data_dir = Path(env.get("FIELDPACK_DATA_DIR") or "fieldpack-data")
    given = (token or env.get("PROLIFIC_TOKEN") or "").strip()
    try:
        stored = _read_credentials(data_dir / _CREDENTIALS)
    except ConfigError:
        if not (wanted and given):
            raise
        stored = None  # nothing of it is needed
    url = normalize_url(wanted or (stored.url if stored else DEFAULT_URL))
    is_stored = stored is not None and _origin(url) == _origin(stored.url)
    if stored is not None and is_stored:
        ca_file = ca_file or stored.ca_file
    if given:
        if not given.isascii() or any(c.isspace() or not c.isprintable() for c in given):
            raise ConfigError(
                "The token holds characters no token has: check PROLIFIC_TOKEN for a copying slip."
            )
        return Connection(url, given, ca_file)
    if stored is not None and is_stored:
        return Connection(url, stored.token, ca_file)
    if wanted:
        kept = f" The one kept in {data_dir} is for {stored.url} alone." if stored else ""
        raise ConfigError(
            f"There is no token for {url}: set PROLIFIC_TOKEN to an API token of that server.{kept}"
        )
    raise ConfigError(
        f"There is no token, and no local server has kept one in {data_dir}: start a server here with "
        "`fieldpack serve`, name its data folder in FIELDPACK_DATA_DIR, or set PROLIFIC_TOKEN "
        "(and PROLIFIC_URL for a server elsewhere)."
    )


def normalize_url(url: str) -> str:
    """`url` without `/api/v1` and trailing slashes.

    Raises:
        ConfigError: it is not an http(s) address.
    """
    text = url.strip().rstrip("/")
    text = text.removesuffix("/api/v1").rstrip("/")
    split = urlsplit(text) if check_link(text) is None else None
    if split is None or split.query or split.fragment or split.username is not None:
        raise ConfigError(
            f"{show_link(url.strip())} is not the address of a server: PROLIFIC_URL should look like "
            "https://api.example.org, without a user name, a query or a fragment."
        )
    return text


def is_loopback(url: str) -> bool:
    """Whether `url` is on this very machine, where no proxy can be meant."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_ssl_context(ca_file: str | None) -> ssl.SSLContext:
    """A context that trusts `SSL_CERT_FILE`/`SSL_CERT_DIR` or else the usual authorities, and `ca_file`.

    Raises:
        ConfigError: a certificate file is missing or is not one.
    """
    bundle, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not bundle and not folder:
        import certifi  # comes with httpx

        bundle = certifi.where()
    source = bundle or folder
    try:
        context = ssl.create_default_context(cafile=bundle, capath=folder)
        if ca_file:
            source = ca_file
            context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The certificate file {source} cannot be used: {error}.") from error
    return context


def _read_credentials(path: Path) -> Connection | None:
    """What the local server wrote for its own machine, or None when there is no such file."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"The local server's {path} cannot be read: {error.strerror}.") from error
    try:
        body: Any = orjson.loads(raw)
        url, token, ca_file = body["url"], body["token"], body.get("ca_file")
        if not (isinstance(url, str) and isinstance(token, str) and isinstance(ca_file, str | None)):
            raise TypeError
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is not what a fieldpack server writes: remove it and restart the server."
        ) from error
    if ca_file and not os.path.isabs(ca_file):
        ca_file = str(path.parent / ca_file)
    return Connection(normalize_url(url), token, ca_file)


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    return split.scheme, split.hostname or "", split.port or (443 if split.scheme == "https" else 80)
