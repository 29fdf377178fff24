"""The participant behind a request: a submission's token in the header, or in the page's cookie."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from fieldpack.server.caches import Recent
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.authentication import mark_authenticated
from fieldpack.server.http.cookies import Cookie, cookie_name, read_cookie, read_remembered
from fieldpack.server.http.origin import is_same_origin
from fieldpack.server.http.rate_limit import RateLimit
from fieldpack.server.http.routing import ApiRoute, parse_id
from fieldpack.server.problems import FORBIDDEN, TOO_MANY_REQUESTS, UNAUTHENTICATED, Problem, not_found
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.lifecycle import hash_token
from fieldpack.server.submissions.rows import HeldRow, Key, NotOpened, SubmissionRow

__all__ = [
    "KnownRoute",
    "ParticipantRoute",
    "ParticipantSubmission",
    "earlier_token",
    "find_participant",
    "given_token",
    "key_of",
    "opened",
    "remember",
    "require_held",
]

Row = TypeVar("Row", HeldRow, SubmissionRow)

_scheme = HTTPBearer(scheme_name="SubmissionToken", auto_error=False)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
KNOWN = 8192  # tokens whose submissions are kept in memory, 400 bytes each


def given_token(request: Request) -> str | None:
    """The token of the `Authorization: Bearer` header, if there is one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() in ("bearer", "token") else None


def earlier_token(request: Request, study_id: UUID) -> str | None:
    """The token with which a submission to this study may be resumed: the header's, or else the one of the page's
    cookie."""
    token = given_token(request)
    if token is not None:
        return token
    found = read_remembered(request, study_id)
    if found is None or found.key.made_before is not None:
        return None
    return found.key.value if is_same_origin(request, request.app.state.context) else None


def _cookie_token(request: Request, submission_id: UUID) -> Cookie | None:
    """The token of the page's cookie. With it only pages of this origin may write."""
    cookie = read_cookie(request, cookie_name(submission_id))
    if cookie is None or request.method in SAFE_METHODS:
        return cookie
    if not is_same_origin(request, request.app.state.context):
        raise Problem(FORBIDDEN, "This request does not come from the study's own page.")
    return cookie


class _SubmissionLimit(RateLimit):
    """The limit of requests per second for each submission."""


def _limits(request: Request) -> RateLimit:
    context: Context = request.app.state.context
    return context.caches.get(
        _SubmissionLimit, lambda: _SubmissionLimit(context.settings.rate_per_submission)
    )


class _Known(Recent[bytes, HeldRow]):
    """The submissions of tokens that were good when they came last; what is kept of them never changes."""

    def __init__(self) -> None:
        super().__init__(KNOWN)


class ParticipantRoute(ApiRoute):
    """A route below `/participate/submissions/{submission_id}` that only its participant reaches."""

    async def authenticate(self, request: Request) -> None:
        await require_held(request)


class KnownRoute(ParticipantRoute):
    """The same where a token that was good before is asked about again by the statement that does the work.

    The endpoint has that statement see to it that the token still opens the submission (`key_of`), and where it does
    not, calls `require_held`.
    """

    async def authenticate(self, request: Request) -> None:
        context: Context = request.app.state.context
        submission_id = parse_id("Submission", request.path_params["submission_id"])
        held = _require_key(request, submission_id)
        key = Key(hash_token(held.value), held.made_before)
        known = context.caches.get(_Known).get(key.token_sha256)
        if known is None or known.id != submission_id:
            await super().authenticate(request)
            return
        _admit(request, known.id, known.study_id, held)
        request.state.submission, request.state.key = known, key


def key_of(request: Request) -> Key:
    """The key that came with a request of `KnownRoute`."""
    key: Key = request.state.key
    return key


@contextlib.asynccontextmanager
async def opened(request: Request) -> AsyncIterator[None]:
    """What is done within has the database ask whether the key still opens the submission; if not, say why.

    Raises:
        Problem: 401, 404 as `find_participant`.
    """
    try:
        yield
    except NotOpened:
        await require_held(request)
        raise not_found("Submission", request.path_params["submission_id"]) from None


def remember(context: Context, token: str, row: HeldRow) -> None:
    """Keep in memory what a token opens."""
    context.caches.get(_Known).put(hash_token(token), row)


async def require_held(request: Request) -> None:
    """Have the database say that the token which was sent opens the submission.

    Raises:
        Problem: as `find_participant`.
    """
    submission_id = parse_id("Submission", request.path_params["submission_id"])  # others come later
    row, key = await _authenticate(request, submission_id, queries.find_held)
    request.app.state.context.caches.get(_Known).put(key.token_sha256, row)
    request.state.submission, request.state.key = row, key


async def find_participant(request: Request, submission_id: UUID) -> SubmissionRow:
    """The submission's row, for whoever holds one of its tokens, in the header or in the page's cookie.

    Raises:
        Problem: 401 without a known token, 403 for a write from another site, 404 with another's token, 429.
    """
    row, _ = await _authenticate(request, submission_id, queries.find_opened)
    return row


def _require_key(request: Request, submission_id: UUID) -> Cookie:
    given = given_token(request)
    held = Cookie(given) if given is not None else _cookie_token(request, submission_id)
    if held is None:
        raise Problem(
            UNAUTHENTICATED,
            "Send the header `Authorization: Bearer <submission token>`,"
            " as starting the submission answered it.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return held


async def _authenticate(
    request: Request,
    submission_id: UUID,
    find: Callable[[Connection, Key], Awaitable[Row | None]],
) -> tuple[Row, Key]:
    held = _require_key(request, submission_id)
    key = Key(hash_token(held.value), held.made_before)
    async with request.app.state.context.database.statements() as connection:
        row = await find(connection, key)
    if row is None:
        raise Problem(
            UNAUTHENTICATED,
            "This token is unknown. Start the submission again to get another.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if row.id != submission_id:
        raise not_found("Submission", submission_id)
    _admit(request, row.id, row.study_id, held)
    return row, key


def _admit(request: Request, submission_id: UUID, study_id: UUID, held: Cookie) -> None:
    """Let the holder of a key in, who does not ask too often."""
    mark_authenticated(request)
    if held.made_before is not None:
        request.state.old_key = (study_id, submission_id, held.value)
    # asked last, so that nobody can use up the requests of a submission that isn't theirs
    if _limits(request).wait_seconds(submission_id.hex):
        raise Problem(
            TOO_MANY_REQUESTS,
            "Too many requests for this submission: wait a second and send this again.",
            headers={"Retry-After": "1"},
        )


async def _current(request: Request, _: Annotated[Any, Depends(_scheme)]) -> HeldRow:
    row: HeldRow = request.state.submission
    return row


ParticipantSubmission = Annotated[HeldRow, Depends(_current)]
