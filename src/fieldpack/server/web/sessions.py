"""Cookies: the participant's, bound to one submission, and the researcher's, bound to one token."""

from __future__ import annotations

import hashlib
import hmac
import time
from uuid import UUID

from fastapi import Request, Response

from ..accounts.service import Caller
from ..context import Context
from ..http.authentication import mark_authenticated
from ..submissions.access import cookie_name, remembered, study_cookie_name
from . import queries

__all__ = ["find_researcher", "forget_researcher", "keep_participant", "keep_researcher", "remembered"]

RESEARCHER = "fieldpack_researcher"
RESEARCHER_SECONDS = 12 * 3600
PARTICIPANT_SECONDS = 90 * 24 * 3600


def _set(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Out of reach of scripts, and not sent along by other sites' forms; Lax, because links lead here."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def keep_participant(
    request: Request, response: Response, study_id: UUID, submission_id: UUID, token: str
) -> None:
    """Remember the key to a submission, and that it is this browser's one in the study."""
    _set(request, response, cookie_name(submission_id), token, PARTICIPANT_SECONDS)
    _set(request, response, study_cookie_name(study_id), str(submission_id), PARTICIPANT_SECONDS)


def _sign(context: Context, content: str) -> str:
    return hmac.new(context.link_key, f"researcher:{content}".encode(), hashlib.sha256).hexdigest()


def keep_researcher(request: Request, response: Response, context: Context, token_id: UUID) -> None:
    """Sign a researcher in for half a day: the cookie names the token, and ends with it."""
    content = f"{token_id}.{int(time.time()) + RESEARCHER_SECONDS}"
    _set(request, response, RESEARCHER, f"{content}.{_sign(context, content)}", RESEARCHER_SECONDS)


def forget_researcher(response: Response) -> None:
    """Sign out in this browser."""
    response.delete_cookie(RESEARCHER, path="/", httponly=True, samesite="lax")


async def find_researcher(request: Request, context: Context) -> Caller | None:
    """Whoever is signed in; None for no cookie, a forged or expired one, or one whose token was revoked."""
    content, _, signature = request.cookies.get(RESEARCHER, "").rpartition(".")
    if not hmac.compare_digest(signature.encode(), _sign(context, content).encode()):
        return None
    token_id, _, expires_at = content.partition(".")
    if int(expires_at) < time.time():
        return None
    async with context.database.transaction() as connection:
        row = await queries.find_token_holder(connection, UUID(token_id))
    if row:
        mark_authenticated(request)
    return Caller(row["id"], row["email"], row["first_name"], row["last_name"]) if row else None
