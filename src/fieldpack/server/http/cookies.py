"""The names of our cookies, and how they are read, set and cleared away.

Over https names begin with `__Host-`: browsers take such a cookie from this very host only, over https, for all of its
paths, so that no sibling host can plant one (RFC 6265bis §4.1.3.2). For 90 days after the upgrade that brought
this, names without it are taken too, where nothing has the new one; what they hold must be from before the upgrade.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import Request, Response

from fieldpack.server.context import Context
from fieldpack.server.http.origin import origin_of
from fieldpack.server.values.uuids import is_uuid

__all__ = [
    "DEVICE",
    "PROVIDER",
    "RESEARCHER",
    "Cookie",
    "Remembered",
    "clear_cookie",
    "cookie_name",
    "keep_cookie",
    "keep_submission",
    "read_cookie",
    "read_remembered",
    "study_cookie_name",
    "ticket_cookie_name",
    "without_escapes",
]

HOST_PREFIX = "__Host-"
PREFIX = "fieldpack_"
STUDY_PREFIX = "fieldpack_study_"
TICKET_PREFIX = "fieldpack_ticket_"
RESEARCHER = "fieldpack_researcher"
DEVICE = "fieldpack_device"
PROVIDER = "fieldpack_provider"
OF_RESEARCHERS = (RESEARCHER, DEVICE, PROVIDER)
OLD_NAMES_LIFE = timedelta(days=90)
PARTICIPANT_SECONDS = 90 * 24 * 3600
MOST_STUDIES = 20
MOST_OTHERS = 10  # cookies of earlier submissions to the same study
MOST_CLEARED = 8  # by one answer: proxies bound the size of its head


@dataclass(frozen=True, slots=True)
class Cookie:
    """What a cookie holds.

    Attributes:
        made_before: what it names must be older than this, for it came under a name that others can set; None for a
            cookie under the name that it has now.
    """

    value: str
    made_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """The submission that this browser began in a study last, as far as its cookies say, and the key to it."""

    submission_id: UUID
    key: Cookie


def cookie_name(submission_id: UUID) -> str:
    """The page keeps one cookie per submission, so that two studies in one browser don't meet."""
    return f"{PREFIX}{submission_id.hex}"


def study_cookie_name(study_id: UUID) -> str:
    """The cookie that names this browser's submission to a study, and when it began or went on."""
    return f"{STUDY_PREFIX}{study_id.hex}"


def ticket_cookie_name(study_id: UUID) -> str:
    """The cookie of a secured link that was opened in this browser; it lives for a day."""
    return f"{TICKET_PREFIX}{study_id.hex}"


def _context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _is_https(request: Request) -> bool:
    return origin_of(request, _context_of(request)).startswith("https:")


def _full_name(request: Request, name: str) -> str:
    return HOST_PREFIX + name if _is_https(request) else name


def without_escapes(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a request, their cookies without backslashes.

    The framework takes those out of quoted values in time that grows with the square of their number, for every route
    and before anybody is known. No cookie of ours is quoted.
    """
    return [(name, value.replace(b"\\", b"") if name == b"cookie" else value) for name, value in headers]


def read_cookie(request: Request, name: str) -> Cookie | None:
    """The cookie of this name; over https one of the old name only while those are taken."""
    value = request.cookies.get(_full_name(request, name))
    if value is not None or not _is_https(request):
        return Cookie(value) if value is not None else None
    upgraded_at = _context_of(request).upgraded_at
    if upgraded_at is None or name not in request.cookies or datetime.now(UTC) > upgraded_at + OLD_NAMES_LIFE:
        return None
    return Cookie(request.cookies[name], upgraded_at)


def keep_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Out of reach of scripts, and not sent along by other sites' forms; Lax, because links lead here."""
    _set(response, _full_name(request, name), value, seconds, secure=_is_https(request))
    if _is_https(request) and name in request.cookies:
        _set(response, name, "", 0, secure=True)


def clear_cookie(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie, under its old name too."""
    keep_cookie(request, response, name, "", 0)


def _set(response: Response, full_name: str, value: str, seconds: int, *, secure: bool) -> None:
    response.set_cookie(
        full_name, value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=secure
    )


def read_remembered(request: Request, study_id: UUID) -> Remembered | None:
    """The submission that this browser began in a study last, if it holds the key to it."""
    named = read_cookie(request, study_cookie_name(study_id))
    text = named.value.partition(".")[0] if named else ""
    if not is_uuid(text):
        return None
    submission_id = UUID(text)
    key = read_cookie(request, cookie_name(submission_id))
    return Remembered(submission_id, key) if key and key.value else None


def keep_submission(
    request: Request, response: Response, study_id: UUID, submission_id: UUID, token: str
) -> None:
    """Remember the key to a submission, and that it is this browser's one in the study.

    Browsers bound how many cookies a host may have, and servers how long the header is that they come in: past
    twenty studies those of the oldest go.
    """
    for name in _surplus(request, study_id, submission_id):
        clear_cookie(request, response, name)
    keep_cookie(request, response, cookie_name(submission_id), token, PARTICIPANT_SECONDS)
    value = f"{submission_id}.{int(time.time())}"
    keep_cookie(request, response, study_cookie_name(study_id), value, PARTICIPANT_SECONDS)


def _surplus(request: Request, study_id: UUID, submission_id: UUID) -> list[str]:
    """Names of cookies that make way for a study's.

    Browsers send the oldest first (RFC 6265 §5.4), which decides where no time does.
    """
    named = {name.removeprefix(HOST_PREFIX): value for name, value in request.cookies.items()}
    studies: dict[str, tuple[int, str]] = {}
    submissions: list[str] = []
    for name, value in named.items():
        if name.startswith(STUDY_PREFIX):
            submission, _, at = value.partition(".")
            studies[name] = (int(at) if at.isdecimal() and len(at) < 20 else 0, submission.replace("-", ""))
        elif name.startswith(PREFIX) and not name.startswith((*OF_RESEARCHERS, TICKET_PREFIX)):
            submissions.append(name)
    studies.pop(study_cookie_name(study_id), None)
    oldest = sorted(studies, key=lambda name: studies[name][0])
    going = oldest[: max(len(oldest) - (MOST_STUDIES - 1), 0)]
    surplus = [each for name in going for each in (name, PREFIX + studies[name][1])]
    of_studies = {PREFIX + submission for _, submission in studies.values()} | {cookie_name(submission_id)}
    others = [name for name in submissions if name not in of_studies]
    surplus += others[: max(len(others) - MOST_OTHERS, 0)]
    return [name for name in surplus if name in named][:MOST_CLEARED]
