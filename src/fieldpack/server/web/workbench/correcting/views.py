"""The content of a response's page that is about corrections: what each answer was, and a form that corrects it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from fieldpack.archive.records import FILE_UPLOAD
from fieldpack.server.problems import Problem
from fieldpack.server.submissions.answering.answers import normalise
from fieldpack.server.submissions.corrections.rows import CorrectionRow
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.participants.views import view_item
from fieldpack.server.web.workbench import views

__all__ = ["Draft", "add_corrections", "find_stretches"]

MOST_WORDS = 400  # of a text whose words are compared; comparing takes the square of it
_WORD = re.compile(r"\s+|[^\s]+")

Kind = Literal["same", "gone", "new"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of an answer before and after: in both, only before, or only after.

    Attributes:
        file: the key of the file that it names.
    """

    kind: Kind
    text: str
    file: UUID | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A correction that was refused: what was typed, so that nothing is lost.

    Attributes:
        place: id of the question, or key of the file.
        given: the answer in the API's shape; None where none was given.
    """

    place: str
    given: dict[str, Any] | None
    reason: str


def add_corrections(
    pages: Sequence[Sequence[dict[str, Any]]],
    items: Mapping[str, dict[str, Any]],
    answers: Mapping[str, Any],
    corrections: Sequence[CorrectionRow],
    catalogue: Catalogue,
    *,
    refusal: str,
    draft: Draft | None,
) -> None:
    """Add to each question of a response's page its version, what it was before, and its field.

    Args:
        pages: as `views.pages_of` makes them.
        items: the questions as the participant saw them, by id.
        answers: the archive's responses.
        refusal: why the draft was refused.
    """
    for page in pages:
        for each in page:
            identifier = each["id"]
            mine = [row for row in corrections if str(row.instruction_id) == identifier]
            item = items[identifier]
            is_drafted = draft is not None and draft.place == identifier
            each["version"] = 1 + len(mine)
            each["history"] = [
                {"row": row, "lines": list(_lines_of(item, row)), "is_text": item["type"] == "free_text"}
                for row in mine
            ]
            each["is_open"] = is_drafted
            each["reason"] = draft.reason if draft is not None and is_drafted else ""
            each["can_clear"] = each["answered"] and not item["required"]
            each["field"] = None
            if item["type"] != FILE_UPLOAD:
                answer = answers.get(identifier)
                if draft is not None and is_drafted:
                    answer = draft.given
                each["field"] = view_item(
                    item,
                    catalogue,
                    answer=_fitting(item, answer),
                    revision=each["version"],
                    files=[],
                    errors=[refusal] if is_drafted else [],
                )


def _fitting(item: dict[str, Any], answer: Any) -> dict[str, Any] | None:
    """An answer that a field can show; None for one of another shape, as an archive may bring it."""
    if answer is None:
        return None
    if isinstance(answer.get("value"), str):
        return {"value": answer["value"], "unit": answer.get("unit")}
    try:
        return normalise(item, answer)
    except Problem:
        return None


def _lines_of(item: dict[str, Any], row: CorrectionRow) -> Iterator[list[Stretch]]:
    """A correction in lines, each of stretches."""
    if item["type"] == FILE_UPLOAD:
        yield from _compare(_files_of(row.before, row.before_files), _files_of(row.after, row.after_files))
    elif item["type"] == "free_text" and row.before is not None and row.after is not None:
        yield list(find_stretches(row.before["value"], row.after["value"]))
    else:
        before, after = (
            [Stretch("same", line) for line in views.say_answer(item, response)]
            for response in (row.before, row.after)
        )
        yield from _compare(before, after)


def _files_of(response: dict[str, Any] | None, keys: list[UUID] | None) -> list[Stretch]:
    if response is None or keys is None:
        return []
    return [
        Stretch("same", entry["file_name"], key) for entry, key in zip(response["value"], keys, strict=True)
    ]


def _compare(before: list[Stretch], after: list[Stretch]) -> Iterator[list[Stretch]]:
    """What was there and what is, line by line."""
    for stretch in before:
        yield [stretch if stretch in after else Stretch("gone", stretch.text, stretch.file)]
    for stretch in after:
        if stretch not in before:
            yield [Stretch("new", stretch.text, stretch.file)]


def find_stretches(before: str, after: str) -> Iterator[Stretch]:
    """What of a text is the same, gone and new, word by word; of long ones as a whole."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if len(old) > MOST_WORDS or len(new) > MOST_WORDS:
        yield Stretch("gone", before)
        yield Stretch("new", after)
        return
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, start, stop, new_start, new_stop in matcher.get_opcodes():
        if kind == "equal":
            yield Stretch("same", "".join(old[start:stop]))
            continue
        if stop > start:
            yield Stretch("gone", "".join(old[start:stop]))
        if new_stop > new_start:
            yield Stretch("new", "".join(new[new_start:new_stop]))
