"""Where events may be sent: out into the world, over https, and never to an address inside.

Names are resolved here, every address is looked at, and the connection goes to the address that was looked at. So a
name which is somewhere else a moment later, or any odd way to write an address, leads nowhere else. What the operator
lists (`FIELDPACK_HOOK_TARGETS`) is exempt, and may be http.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from functools import partial
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from fieldpack.server.values.networks import Allowed, find_address, is_inside
from fieldpack.server.values.urls import is_web_url

__all__ = ["Authorities", "Refused", "check_target", "open_pool", "resolves_inside"]

RESOLVE_SECONDS = 5.0
LOOKUPS_AT_ONCE = 1  # of one job, whose events go to one host


class Refused(Exception):
    """A target that events are not sent to; says why."""


def check_target(url: str, allowed: Allowed) -> tuple[str, int]:
    """Host and port of a URL that events may be sent to, as far as it says so itself.

    Raises:
        Refused: it may not, or not every program reads it alike.
    """
    if not is_web_url(url) or not url.isascii() or " " in url:
        raise Refused("Must be a plain https URL in ASCII, without a user, such as https://example.org/hook.")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme.lower() != "https" and not allowed.has_host(host):
        raise Refused("Must be https.")
    address = find_address(host)
    if address is None and all(
        part.isdigit() or part.lower().startswith("0x") for part in host.split(".") if part
    ):
        raise Refused("Write an address as four numbers, or in brackets, or better a name.")
    if address is not None and is_inside(address) and not allowed.has_address(address):
        raise Refused("Leads to an address inside; the operator can list it in FIELDPACK_HOOK_TARGETS.")
    return host, parts.port or (443 if parts.scheme.lower() == "https" else 80)


async def resolve(
    host: str, port: int, allowed: Allowed, threads: anyio.CapacityLimiter | None = None
) -> list[str]:
    """The addresses of a host, all of which may be connected to.

    Args:
        threads: how many names are looked up at once; those of the process unless given.

    Raises:
        Refused: one of them is inside. One is enough: a name is either out in the world or not.
        OSError: the name is not known, or nobody answers what it is.
    """
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            # Not in the event loop's own few threads, which exports and storage need: a lookup that nobody answers
            # keeps its thread for as long as the system pleases.
            found = await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=threads)
    except (TimeoutError, UnicodeError) as error:
        raise OSError(f"The name {host} could not be looked up.") from error
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allowed.has_host(host):
        _require_outside(host, texts, allowed)
    return texts


def _require_outside(host: str, texts: Iterable[str], allowed: Allowed) -> None:
    for text in texts:
        address = find_address(text)
        if address is None or (is_inside(address) and not allowed.has_address(address)):
            raise Refused(f"{host} leads to an address inside.")


async def resolves_inside(url: str, allowed: Allowed) -> bool:
    """Whether the host of a URL is inside by now; a name that nobody knows yet is not."""
    parts = urlsplit(url)
    try:
        await resolve(parts.hostname or "", parts.port or 443, allowed)
    except Refused:
        return True
    except OSError:
        return False
    return False


class Guarded(AsyncNetworkBackend):
    """Connections to where events may be sent, and to nowhere else: the address that is connected to was looked at."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._network: AsyncNetworkBackend = httpcore.AnyIOBackend()
        # of its own: a name that nobody answers for keeps none of the threads in which others look up theirs
        self._threads = anyio.CapacityLimiter(LOOKUPS_AT_ONCE)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers.

        Raises:
            Refused: an address of it is inside.
            httpcore.ConnectError, httpcore.ConnectTimeout: none answers.
        """
        try:
            addresses = await resolve(host, port, self._allowed, self._threads)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failed: Exception = httpcore.ConnectError(f"{host} has no address.")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class Authorities:
    """Who may have signed receivers' certificates, as this machine's other programs have it (`SSL_CERT_FILE`).

    Read once a process: it takes 25 ms, in which nothing else runs.
    """

    def __init__(self) -> None:
        self.tls = ssl.create_default_context()


def open_pool(allowed: Allowed, connections: int, authorities: Authorities) -> httpcore.AsyncConnectionPool:
    """Connections for one job."""
    return httpcore.AsyncConnectionPool(
        ssl_context=authorities.tls,
        max_connections=connections,
        keepalive_expiry=5.0,
        network_backend=Guarded(allowed),
    )
