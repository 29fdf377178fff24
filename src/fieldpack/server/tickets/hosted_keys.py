"""The public keys of the hosted service's secured links: a JSON Web Key Set (RFC 7517), from a URL or a file."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

__all__ = ["HostedKeys", "KeysUnavailable", "parse_keys"]

FRESH_SECONDS = 24 * 3600.0
STALE_SECONDS = 7 * FRESH_SECONDS  # while they can't be fetched, old ones are good so long
PAUSE_SECONDS = 60.0  # between two attempts
TIMEOUT_SECONDS = 5.0
MOST_BYTES = 64 * 1024
MOST_KEYS = 32
LEAST_BITS, MOST_BITS = 2048, 8192

log = structlog.get_logger()


class KeysUnavailable(Exception):
    """There are no keys to check with, and none can be had just now."""


def parse_keys(data: bytes) -> dict[str, RSAKey]:
    """The keys of a set that RS256 signatures can be checked with, by `kid`.

    Raises:
        ValueError: it is no key set, or one without such a key.
    """
    found = orjson.loads(data)
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JSON Web Key Set")
    keys = {}
    for jwk in listed[:MOST_KEYS]:
        if isinstance(jwk, dict) and (key := _parse_key(jwk)) is not None:
            keys[jwk["kid"]] = key
    if not keys:
        raise ValueError("it holds no RSA key for RS256 with a kid")
    return keys


def _parse_key(jwk: Mapping[str, Any]) -> RSAKey | None:
    is_ours = (
        jwk.get("kty") == "RSA" and jwk.get("use", "sig") == "sig" and jwk.get("alg", "RS256") == "RS256"
    )
    if not is_ours or not isinstance(jwk.get("kid"), str):
        return None
    try:
        modulus = int.from_bytes(base64.urlsafe_b64decode(f"{jwk['n']}=="))
        if not LEAST_BITS <= modulus.bit_length() <= MOST_BITS:
            return None
        return RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e")})
    except (JoseError, KeyError, TypeError, ValueError):
        return None


class HostedKeys:
    """The keys of one process. They are fetched anew every day, and when a link names one that is not there, but never
    more often than once a minute.

    Args:
        source: an `https` URL, or the path of a file.
        clock: seconds that only grow.
    """

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str, RSAKey] = {}
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> RSAKey | None:
        """The key of this id.

        Raises:
            KeysUnavailable: there are none, or only old ones.
        """
        if kid in self._keys and self._is_younger(FRESH_SECONDS):
            return self._keys[kid]
        async with self._lock:
            if kid not in self._keys or not self._is_younger(FRESH_SECONDS):
                await self._refresh()
            if not self._is_younger(STALE_SECONDS):
                raise KeysUnavailable
            return self._keys.get(kid)

    def _is_younger(self, seconds: float) -> bool:
        return self._loaded_at is not None and self._clock() - self._loaded_at < seconds

    async def _refresh(self) -> None:
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < PAUSE_SECONDS:
            return
        self._tried_at = now
        try:
            self._keys = parse_keys(await self._read())
        except (httpx.HTTPError, OSError, ValueError) as error:
            log.warning(
                "hosted_keys.unavailable", source=self._source, reason=str(error) or type(error).__name__
            )
            return
        self._loaded_at = now

    async def _read(self) -> bytes:
        if not self._source.startswith(("https://", "http://")):
            return await asyncio.to_thread(_read_file, Path(self._source))
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS, headers={"Accept-Encoding": "identity"}) as client,
            asyncio.timeout(2 * TIMEOUT_SECONDS),
            client.stream("GET", self._source) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"it answers {response.status_code}")
            data = bytearray()
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > MOST_BYTES:
                    raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
            return bytes(data)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    return data
