"""Every way a request can be refused: one registry of codes, one body.

The body is the hosted service's:

    {"error": {"status", "error_code", "title", "detail", "additional_information", "interactive"}}

`error_code` is `1` + a group digit + the HTTP status + a digit that tells apart those of one status,
and never changes its meaning. docs/api.md lists them; a test holds the list to this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["REGISTRY", "Detail", "Problem", "ProblemType", "problem_body"]

Detail = str | list[str] | dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One entry of the registry."""

    status: int
    error_code: int
    title: str


MALFORMED = ProblemType(400, 140000, "Bad request")
INVALID = ProblemType(400, 140001, "Validation error")
ANSWERS_INCOMPLETE = ProblemType(400, 140002, "Answers missing or against the rules")
UNAUTHENTICATED = ProblemType(401, 140100, "Authentication required")
FORBIDDEN = ProblemType(403, 140300, "Forbidden")
LINK_ALTERED = ProblemType(403, 140301, "Link not valid")
LINK_EXPIRED = ProblemType(403, 140302, "Link expired")
NOT_ADMITTED = ProblemType(403, 140303, "Not admitted")
SIGNED_LINK_NEEDED = ProblemType(403, 140304, "Signed link needed")
SIGNED_LINK_INVALID = ProblemType(403, 140305, "Signed link not valid")
SIGNED_LINK_EXPIRED = ProblemType(403, 140306, "Signed link expired")
SIGNED_LINK_USED = ProblemType(403, 140307, "Signed link used up")
NOT_FOUND = ProblemType(404, 140404, "Not found")
FEATURE_OFF = ProblemType(404, 140405, "Not found")
METHOD_NOT_ALLOWED = ProblemType(405, 140500, "Method not allowed")
REQUEST_TIMEOUT = ProblemType(408, 140800, "Request timeout")
CONFLICT = ProblemType(409, 140900, "Conflict")
STUDY_FULL = ProblemType(409, 140901, "Study full")
STUDY_PAUSED = ProblemType(409, 140902, "Study paused")
STUDY_CLOSED = ProblemType(409, 140903, "Study closed")
STUDY_UNPUBLISHED = ProblemType(409, 140904, "Study not published")
ALREADY_TAKEN_PART = ProblemType(409, 140905, "Already taken part")
RESUME_CODE_NEEDED = ProblemType(409, 140906, "Resume code needed")
RESUME_CODE_WRONG = ProblemType(409, 140907, "Resume code wrong")
GONE = ProblemType(410, 141000, "Gone")
PRECONDITION_FAILED = ProblemType(412, 141200, "Precondition failed")
TOO_LARGE = ProblemType(413, 141300, "Too large")
URI_TOO_LONG = ProblemType(414, 141400, "Request line too long")
UNSUPPORTED_TYPE = ProblemType(415, 141500, "Type not accepted")
RANGE_NOT_SATISFIABLE = ProblemType(416, 141600, "Range not satisfiable")
TOO_MANY_REQUESTS = ProblemType(429, 142900, "Too many requests")
HEAD_TOO_LARGE = ProblemType(431, 143100, "Request head too large")
CHECKSUM_MISMATCH = ProblemType(460, 146000, "Checksum mismatch")
INTERNAL = ProblemType(500, 150000, "Internal error")
UNAVAILABLE = ProblemType(503, 150300, "Unavailable")
BUSY = ProblemType(503, 150301, "Busy")
STORAGE_FULL = ProblemType(507, 150700, "Storage full")

REGISTRY: tuple[ProblemType, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, ProblemType)
)

RETRY_SECONDS = 2  # what a 503 says in Retry-After

FEATURE_OFF_DETAIL = "You do not currently have permission to access to this feature."


class Problem(Exception):
    """A refusal, raised anywhere below the routes, answered by the application.

    Args:
        type: entry of the registry.
        detail: a sentence, a list of them, or messages by field path. Says what to do.
        headers: extra response headers, such as Retry-After.
        information: the body's `additional_information`.
    """

    def __init__(
        self,
        type: ProblemType,
        detail: Detail,
        *,
        headers: Mapping[str, str] | None = None,
        information: str = "",
    ) -> None:
        super().__init__(str(detail))
        self.type = type
        self.detail = detail
        self.headers = dict(headers or {})
        self.information = information


def problem_body(type: ProblemType, detail: Detail, information: str = "") -> dict[str, Any]:
    """The one error body."""
    return {
        "error": {
            "status": type.status,
            "error_code": type.error_code,
            "title": type.title,
            "detail": detail,
            "additional_information": information,
            "interactive": False,
        }
    }


def not_found(kind: str, identifier: object) -> Problem:
    """A 404: `kind` is what was looked for, such as `Export`."""
    return Problem(NOT_FOUND, f"{kind} {identifier} does not exist.")


def conflict(detail: Detail) -> Problem:
    """A 409: the resource is not in a state that allows this."""
    return Problem(CONFLICT, detail)


def invalid(field: str, message: str) -> Problem:
    """A 400 for one field, named by its path."""
    return Problem(INVALID, {field: [message]})
