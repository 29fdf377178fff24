"""Placeholders of study links that a recruiting service, or a researcher who tried the link, left unfilled."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from fieldpack.server.values.participant_ids import ParticipantId

__all__ = ["NamedParticipantId", "is_no_participant", "is_no_session"]

NO_PARTICIPANT = ("{{%PROLIFIC_PID%}}", "{{PROLIFIC_PID}}", "%PROLIFIC_PID%")
NO_SESSION = ("{{%SESSION_ID%}}", "%SESSION_ID%")


def is_no_participant(text: str) -> bool:
    """Whether this names nobody."""
    return text.strip() in NO_PARTICIPANT


def is_no_session(text: str) -> bool:
    """Whether this names no session."""
    return text.strip() in NO_SESSION


def _require_somebody(text: str) -> str:
    if is_no_participant(text):
        raise ValueError("Is a placeholder that was not filled in: give the participant's own id.")
    return text


NamedParticipantId = Annotated[ParticipantId, AfterValidator(_require_somebody)]
"""The id of somebody who is to take part: no placeholder, though earlier versions may have kept one as an id."""
