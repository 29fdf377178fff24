"""A study's completion codes as rows of a form, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import FormData

from fieldpack.server.problems import conflict, invalid
from fieldpack.server.studies.completion_codes import PARTICIPANT, RESEARCHER

__all__ = ["ACTORS", "APPROVE", "KEPT", "REVIEW", "CodeRow", "digest", "read_codes", "rows_of"]

ACTORS = (PARTICIPANT, RESEARCHER)
APPROVE, REVIEW = "AUTOMATICALLY_APPROVE", "MANUALLY_REVIEW"
KEPT = "KEPT"  # what it does now, which a form can't say
MOST_CODES = 50


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A code as a form has it.

    Attributes:
        code: its text; empty for none.
        code_type, actor: as the API has them.
        does: `APPROVE`, `REVIEW` or `KEPT`.
        actions: names of what it does now.
    """

    code: str = ""
    code_type: str = "COMPLETED"
    actor: str = PARTICIPANT
    does: str = REVIEW
    actions: str = ""


def rows_of(codes: Sequence[Mapping[str, Any]]) -> list[CodeRow]:
    """The codes of a study, and an empty row for another."""
    return [*(_row_of(code) for code in codes), CodeRow()]


def _row_of(code: Mapping[str, Any]) -> CodeRow:
    actions = code.get("actions", [])
    names = [str(action.get("action")) for action in actions]
    simple = {(): REVIEW, (REVIEW,): REVIEW, (APPROVE,): APPROVE}.get(tuple(names), KEPT)
    return CodeRow(
        code.get("code") or "",
        str(code.get("code_type", "COMPLETED")),
        str(code.get("actor", PARTICIPANT)),
        simple,
        ", ".join(names),
    )


def digest(codes: Sequence[Mapping[str, Any]]) -> str:
    """What tells whether codes are those that a form was made of."""
    return hashlib.sha256(orjson.dumps(list(codes), option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_codes(form: FormData, now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The codes that a form says; one without a text is removed, unless it had none.

    Args:
        now: the codes of the study as they are.

    Raises:
        Problem: 409 when they are others than the form was made of; 400 for a form that is none of ours.
    """
    if str(form.get("seen", "")) != digest(now):
        raise conflict(
            "Somebody has changed the completion codes meanwhile, so nothing was saved: look at them, then try again."
        )
    columns = [
        [str(text).strip() for text in form.getlist(name)] for name in ("code", "type", "actor", "does")
    ]
    if len({len(column) for column in columns}) != 1 or len(columns[0]) > MOST_CODES:
        raise invalid(
            "code", f"Give a text, type, actor and action of each code, and at most {MOST_CODES} codes."
        )
    found = []
    for at, (text, code_type, actor, does) in enumerate(zip(*columns, strict=True)):
        old = dict(now[at]) if at < len(now) else None
        if not text and (old is None or old.get("code") is not None):
            continue
        before = old or {}
        actions = [{"action": does}] if does in (APPROVE, REVIEW) else before.get("actions", [])
        if does == REVIEW and not before.get("actions") and old is not None:
            actions = []
        given = {"code": text or None, "code_type": code_type or "COMPLETED", "actor": actor}
        found.append({**before, **given, "actions": actions})
    if not found:
        raise invalid("code", "A study needs a completion code: change this one, or add another first.")
    return found
