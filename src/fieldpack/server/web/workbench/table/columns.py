"""The columns of the table: which there are, which are shown in what order, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldpack.server.responses.rows import FileRow, QuestionRow, ResponseRow
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.workbench import views

__all__ = ["Column", "choose_columns", "describe_choice", "list_columns", "move_column"]

QUESTIONS = 5  # that are shown unless others are chosen
MOST_COLUMNS = 30
FIELD_TEXTS = {
    "state": message("order.state"),
    "study": message("filter.study"),
    "started": message("order.started"),
    "completed": message("order.completed"),
    "duration": message("order.duration"),
    "flags": message("column.flags"),
}
SORTED = ("state", "started", "completed", "duration")  # a list can be sorted by these, and by any question


@dataclass(frozen=True, slots=True)
class Column:
    """What one column shows.

    Attributes:
        name: in the address: one of `FIELD_TEXTS`, or a question's id.
        title: its head.
        question: of which the answers are shown; None for a field.
    """

    name: str
    title: str
    question: QuestionRow | None = None

    @property
    def is_sorted(self) -> bool:
        """Whether the list can be sorted by it."""
        return self.question is not None or self.name in SORTED

    def show(self, row: ResponseRow, files: Sequence[FileRow], catalogue: Catalogue) -> dict[str, Any]:
        """The cell of a response."""
        cell: dict[str, Any] = {"field": "answer" if self.question else self.name, "lines": [], "files": []}
        if self.question is not None:
            cell |= views.cell_of(self.question, row.answers, files)
        elif self.name == "state":
            cell["text"] = views.state_text(row.status, catalogue)
        elif self.name == "duration":
            cell["text"] = views.say_length(row.seconds, catalogue)
        return cell


def list_columns(questions: Sequence[QuestionRow], catalogue: Catalogue) -> dict[str, Column]:
    """Every column that there is, by its name."""
    fields = {name: Column(name, catalogue.text(text)) for name, text in FIELD_TEXTS.items()}
    return fields | {
        str(question.id): Column(str(question.id), question.body["description"], question)
        for question in questions
    }


def choose_columns(given: Sequence[str], known: dict[str, Column], *, studies: int) -> list[str]:
    """Names of the columns that are shown: those that were given, in their order, else the first few.

    Args:
        studies: how many the collection has; of several it is shown which.
    """
    chosen = [name for name in dict.fromkeys(each.lower() for each in given) if name in known][:MOST_COLUMNS]
    if chosen:
        return chosen
    asked = [each.name for each in known.values() if each.question is not None and not each.question.retired]
    fields = [name for name in FIELD_TEXTS if name != "started" and (name != "study" or studies > 1)]
    return [*fields, *asked[:QUESTIONS]]


def move_column(names: Sequence[str], name: str, by: int) -> list[str]:
    """The same columns, one of them `by` places further on; the first and the last stay where they are."""
    at = names.index(name)
    moved = [each for each in names if each != name]
    moved.insert(max(0, min(at + by, len(moved))), name)
    return moved


def describe_choice(
    known: dict[str, Column], chosen: Sequence[str], link: Callable[[Sequence[str]], str]
) -> list[dict[str, Any]]:
    """Every column for the form that chooses them, the shown ones first, with the addresses that move them."""
    shown = [
        {
            "name": name,
            "title": known[name].title,
            "shown": True,
            "earlier": link(move_column(chosen, name, -1)) if at > 0 else None,
            "later": link(move_column(chosen, name, 1)) if at < len(chosen) - 1 else None,
        }
        for at, name in enumerate(chosen)
    ]
    rest = [
        {"name": name, "title": column.title, "shown": False, "earlier": None, "later": None}
        for name, column in known.items()
        if name not in chosen
    ]
    return shown + rest
