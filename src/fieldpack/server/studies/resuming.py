"""What a study asks of participants who go on with a submission, besides their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

__all__ = ["RESUME", "SECURED", "Resume", "choose_resume", "is_secured", "resume_on_page"]

Resume = Literal["link", "code", "signed"]
"""`link`: the ids in the link are enough. `code`: a short code, an earlier token or the page's cookie. `signed`: a
personal link that we signed, or the hosted service's secured link."""

RESUME: tuple[Resume, ...] = get_args(Resume)
SECURED = "is_external_study_url_secure"
SESSION_CHARACTERS = 16  # at least, of a session id that can't be guessed; the hosted service's have 24


def is_secured(fields: Mapping[str, Any]) -> bool:
    """Whether a study's fields say that participants come by the hosted service's secured links."""
    return fields.get(SECURED) is True


def choose_resume(fields: Mapping[str, Any], given: Resume | None, before: Resume) -> Resume:
    """What a study asks for, after a researcher has changed it.

    Args:
        fields: all fields of the study, with those just given.
        given: the researcher's choice; None if they made none now.
        before: the choice until now.

    Raises:
        ValueError: the hosted service's links are secured, and something weaker was chosen.
    """
    if not is_secured(fields):
        return given or before
    if given not in (None, "signed"):
        raise ValueError("Must be signed while is_external_study_url_secure is true.")
    return "signed"


def resume_on_page(resume: Resume, session_id: str | None) -> Resume:
    """What the pages ask for: as in the API, but where the session id is missing or can be guessed, a code instead
    of the link."""
    is_weak = len(session_id or "") < SESSION_CHARACTERS
    return "code" if resume == "link" and is_weak else resume
