"""The participant behind a request: a submission's token in the header, or in the page's cookie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

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
from fieldpack.server.submissions.rows import HeldRow, SubmissionRow

__all__ = [
    "ParticipantRoute",
    "ParticipantSubmission",
    "earlier_token",
    "find_participant",
    "given_token",
]

Row = TypeVar("Row", HeldRow, SubmissionRow)

_scheme = HTTPBearer(scheme_name="SubmissionToken", auto_error=False)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


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


class ParticipantRoute(ApiRoute):
    """A route below `/participate/submissions/{submission_id}` that only its participant reaches."""

    async def authenticate(self, request: Request) -> None:
        submission_id = parse_id("Submission", request.path_params["submission_id"])  # others come later
        request.state.submission = await _authenticate(request, submission_id, queries.find_held)


async def find_participant(request: Request, submission_id: UUID) -> SubmissionRow:
    """The submission's row, for whoever holds one of its tokens, in the header or in the page's cookie.

    Raises:
        Problem: 401 without a known token, 403 for a write from another site, 404 with another's token, 429.
    """
    return await _authenticate(request, submission_id, queries.find_opened)


async def _authenticate(
    request: Request,
    submission_id: UUID,
    find: Callable[[Connection, bytes, datetime | None], Awaitable[Row | None]],
) -> Row:
    given = given_token(request)
    held = Cookie(given) if given is not None else _cookie_token(request, submission_id)
    if held is None:
        raise Problem(
            UNAUTHENTICATED,
            "Send the header `Authorization: Bearer <submission token>`,"
            " as starting the submission answered it.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    async with request.app.state.context.database.reading() as connection:
        row = await find(connection, hash_token(held.value), held.made_before)
    if row is None:
        raise Problem(
            UNAUTHENTICATED,
            "This token is unknown. Start the submission again to get another.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if row.id != submission_id:
        raise not_found("Submission", submission_id)
    mark_authenticated(request)
    if held.made_before is not None:
        request.state.old_key = (row.study_id, submission_id, held.value)
    # asked last, so that nobody can use up the requests of a submission that isn't theirs
    if _limits(request).wait_seconds(submission_id.hex):
        raise Problem(
            TOO_MANY_REQUESTS,
            "Too many requests for this submission: wait a second and send this again.",
            headers={"Retry-After": "1"},
        )
    return row


def _current(request: Request, _: Annotated[Any, Depends(_scheme)]) -> HeldRow:
    row: HeldRow = request.state.submission
    return row


ParticipantSubmission = Annotated[HeldRow, Depends(_current)]
