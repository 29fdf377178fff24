"""Connecting to PostgreSQL for the first time, and saying in one sentence why that did not work."""

from __future__ import annotations

import os
import socket
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldpack.errors import ConfigError, FieldpackError

__all__ = ["connect", "explain_failed", "explain_unreachable", "with_timeout"]

_CONNECT_SECONDS = 10
_PROBE_SECONDS = 3.0


def with_timeout(conninfo: str) -> str:
    """`conninfo` with a bound on how long connecting takes, unless it has one: libpq waits for minutes."""
    seconds = os.environ.get("PGCONNECT_TIMEOUT", _CONNECT_SECONDS)
    return make_conninfo(conninfo, **{"connect_timeout": seconds, **conninfo_to_dict(conninfo)})


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """A blocking connection in autocommit.

    Raises:
        ConfigError: the server can't be reached, or doesn't let us in; says which.
    """
    try:
        return psycopg.connect(with_timeout(conninfo), autocommit=True)
    except psycopg.OperationalError as error:
        raise explain_unreachable(conninfo, error) from error


def explain_unreachable(conninfo: str, error: psycopg.OperationalError) -> ConfigError:
    """Why connecting failed, as something that a person can check. It never repeats the password.

    What libpq says takes several lines and differs by version and language, so the address is tried once more.
    """
    parts = conninfo_to_dict(conninfo)
    host = str(parts.get("host") or os.environ.get("PGHOST") or "localhost")
    port = str(parts.get("port") or os.environ.get("PGPORT") or 5432)
    reason = None if "," in host else _probe(host, port)
    return ConfigError(
        f"The database can't be reached: {reason or _last_words(host, port, error)}. "
        "Check FIELDPACK_DATABASE_URL."
    )


def explain_failed(error: psycopg.OperationalError, *, is_embedded: bool) -> FieldpackError:
    """Why the database did not go on with what was begun: what it said, and what to check where it is out of reach."""
    reason = str(error).strip().splitlines()[-1].rstrip(".")
    if is_embedded or (error.sqlstate or "08")[:2] != "08":  # the class of failed connections
        return FieldpackError(f"The database can't go on: {reason}.")
    return ConfigError(f"The database can't be reached: {reason}. Check FIELDPACK_DATABASE_URL.")


def _probe(host: str, port: str) -> str | None:
    """What is wrong with the address itself; None when something listens there."""
    if host.startswith(("/", "@")):
        path = f"{host}/.s.PGSQL.{port}"
        return None if host[0] == "@" or os.path.exists(path) else f"there is no socket {path}"
    if not port.isdecimal() or int(port) > 65535:
        return f"{port!r} is not the number of a port"
    try:
        socket.create_connection((host, int(port)), timeout=_PROBE_SECONDS).close()
    except socket.gaierror:
        return f"there is no machine with the name {host}"
    except ConnectionRefusedError:
        return f"nothing listens at {host}:{port}"
    except TimeoutError:
        return f"{host}:{port} does not answer"
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return None


def _last_words(host: str, port: str, error: psycopg.OperationalError) -> str:
    """What PostgreSQL itself answered, which is the end of what libpq says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line), "")
    return f"PostgreSQL at {host}:{port} says: {said or (lines or ['nothing'])[-1]}".rstrip(".")
