"""One event over the wire: signed, within bounds of time and size, never to an address inside.

Headers and signature are those of the hosted service: base64 of HMAC-SHA256 over timestamp and body.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import urljoin

import httpcore
import orjson

from fieldpack import __version__
from fieldpack.server.hooks.rows import MessageRow
from fieldpack.server.hooks.targets import Refused, check_target
from fieldpack.server.values.networks import Allowed

__all__ = ["Outcome", "send_event", "sign"]

ATTEMPT_SECONDS = 10.0  # for all of it, redirects included
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 4096
KEEPING_METHOD = (307, 308)  # RFC 9110 §15.4: these alone repeat a POST


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status_code: of the last answer; None when there was none.
        answer: the beginning of its body.
        error: why it counts as failed; None when the event arrived.
        seconds: how long it took.
    """

    status_code: int | None
    answer: str | None
    error: str | None
    seconds: float


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of an event: base64 of HMAC-SHA256 over timestamp and body, with the workspace's secret."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


async def send_event(pool: httpcore.AsyncConnectionPool, allowed: Allowed, message: MessageRow) -> Outcome:
    """Send one event. Whatever goes wrong is an outcome."""
    began = time.monotonic()
    url = message.target_url
    body = orjson.dumps(message.payload)
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"fieldpack/{__version__}",
        "X-Event-Id": str(message.id),
        "X-Timestamp": timestamp,
        "X-Prolific-Request-Timestamp": timestamp,
        "X-Prolific-Request-Signature": sign(message.secret, timestamp, body),
    }
    status_code: int | None = None
    answer: str | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            for _ in range(MAX_REDIRECTS + 1):
                status_code, answer, location = await _post(pool, allowed, url, headers, body)
                if status_code not in KEEPING_METHOD or not location:
                    break
                url = urljoin(url, location)
            if status_code is None or not 200 <= status_code < 300:
                error = f"The receiver answered {status_code}."
    except TimeoutError:
        error = f"The receiver took longer than {ATTEMPT_SECONDS:g} s."
    except Refused as refused:
        error = f"Not sent: {refused}"
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as broken:
        error = f"The receiver could not be reached: {str(broken) or type(broken).__name__}."
    except (ValueError, UnicodeError):
        error = "Not sent: the receiver redirects to what is no URL."
    return Outcome(status_code, answer, error, time.monotonic() - began)


async def _post(
    pool: httpcore.AsyncConnectionPool, allowed: Allowed, url: str, headers: dict[str, str], body: bytes
) -> tuple[int, str, str | None]:
    """Status, the beginning of the body, and where it redirects to."""
    check_target(url, allowed)
    async with pool.stream("POST", url, headers=list(headers.items()), content=body) as response:
        got = bytearray()
        async for chunk in response.aiter_stream():
            got += chunk
            if len(got) >= MAX_ANSWER_BYTES:
                break
    location = next((value for name, value in response.headers if name.lower() == b"location"), None)
    answer = bytes(got[:MAX_ANSWER_BYTES]).decode("utf-8", "replace").replace("\0", "\ufffd")
    return response.status, answer, location.decode("latin-1") if location else None
