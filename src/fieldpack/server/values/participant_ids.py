"""Participants' ids as they are kept and looked up: what can't be seen is no part of them.

People copy ids out of mails and tables, and recruiting services put them into links. On the way an id may pick
up a line break, a zero width space or another way to write `é`. Without care each of these would be another person,
who takes another place.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

__all__ = ["MAX_GIVEN", "MAX_ID", "ParticipantId", "normalise_participant_id", "parse_participant_id"]

MAX_ID = 200
MAX_GIVEN = 1_000  # before what can't be seen is taken away; NFC of longer ones could take long

_JOINERS = "\u200c\u200d"  # ZWNJ and ZWJ, which make other words of the same letters in many scripts

# Default_Ignorable_Code_Point of the Unicode Character Database, DerivedCoreProperties.txt, versions 14.0 to 17.0
# (4,174 code points; those without a character yet are among them so that this does not change).
DEFAULT_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"(?![{_JOINERS}])[\x00-\x1f\x7f-\x9f{DEFAULT_IGNORABLE}]")
_RUN = re.compile(f"[{_JOINERS}]+")


def normalise_participant_id(text: str) -> str:
    """`text` as an id: equal for all who see the same. Empty when there is nothing to see. Done again, it changes
    nothing.

    Control characters (Cc) and default-ignorable ones go, joiners stay between two letters, then surrounding white
    space goes, and what is left is in NFC. Case stays.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    text = _RUN.sub(_keep_joiner, _INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", text.strip()).strip()


def _keep_joiner(run: re.Match[str]) -> str:
    """The first of a run of joiners, if it stands between letters (or the marks that letters carry)."""
    text, start, end = run.string, run.start(), run.end()
    between = start > 0 and end < len(text) and _is_letter(text[start - 1]) and _is_letter(text[end])
    return run[0][0] if between else ""


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


def parse_participant_id(text: str) -> str:
    """The id that somebody typed or sent.

    Raises:
        ValueError: nothing of it can be seen, or there is no end to it.
    """
    if len(text) > MAX_GIVEN:
        raise ValueError(f"Must have at most {MAX_GIVEN} characters.")
    found = normalise_participant_id(text)
    if not found:
        raise ValueError("Must have a character that can be seen.")
    if len(found) > MAX_ID:
        raise ValueError(f"Must have at most {MAX_ID} characters.")
    return found


ParticipantId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_GIVEN), AfterValidator(parse_participant_id)
]
"""A participant's id in what clients send, wherever it is: normalised before anything looks at it."""
