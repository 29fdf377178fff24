"""How participants go on with what they have begun: what a study asks of whoever gives a participant's id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

__all__ = ["RESUME", "SECURED", "Resume", "choose_resume", "is_secured", "resume_on_page"]

Resume = Literal["link", "code", "signed"]
"""`link`: the ids in the link are enough. `code`: a short code, an earlier token or the page's cookie. `signed`: a
personal link that we signed, or the hosted service's secured link."""

RESUME: tuple[Resume, ...] = get_args(Resume)
SECURED = "is_external_study_url_secure"
SESSION_CHARACTERS = 16  # of a session id that nobody guesses; the hosted service's have 24


def is_secured(fields: Mapping[str, Any]) -> bool:
    """Whether a study's fields say that participants come by the hosted service's secured links."""
    return fields.get(SECURED) is True


def choose_resume(fields: Mapping[str, Any], given: Resume | None, before: Resume) -> Resume:
    """What a study asks for, after something of it was given.

    Args:
        fields: all the study's fields, what was given among them.
        given: what the researcher chose now, if anything.
        before: what it was until now.

    Raises:
        ValueError: links are to be secured, and something weaker was chosen.
    """
    if not is_secured(fields):
        return given or before
    if given not in (None, "signed"):
        raise ValueError("Must be signed while is_external_study_url_secure is true.")
    return "signed"


def resume_on_page(resume: Resume, session_id: str | None) -> Resume:
    """What the pages ask for: as in the API, but a session id that can be guessed, or none, resumes nothing."""
    is_weak = len(session_id or "") < SESSION_CHARACTERS
    return "code" if resume == "link" and is_weak else resume
