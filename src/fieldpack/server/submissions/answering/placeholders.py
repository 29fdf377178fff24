"""Placeholders of study links that a recruiting service, or a researcher who tried the link, left unfilled."""

from __future__ import annotations

__all__ = ["is_no_participant", "is_no_session"]

NO_PARTICIPANT = ("{{%PROLIFIC_PID%}}", "{{PROLIFIC_PID}}", "%PROLIFIC_PID%")
NO_SESSION = ("{{%SESSION_ID%}}", "%SESSION_ID%")


def is_no_participant(text: str) -> bool:
    """Whether this names nobody."""
    return text.strip() in NO_PARTICIPANT


def is_no_session(text: str) -> bool:
    """Whether this names no session."""
    return text.strip() in NO_SESSION
