"""The content of the workbench's templates: answers as short texts, filters as text, the addresses of other views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode
from uuid import UUID

import orjson

from fieldpack.filetypes import extension_of
from fieldpack.server.collections.schemas import value_key
from fieldpack.server.problems import Problem
from fieldpack.server.responses.rows import FileRow, QuestionRow
from fieldpack.server.responses.service import View
from fieldpack.server.selection.filters import TRUTHS, Condition, ResponseFilter
from fieldpack.server.submissions.schemas import RejectionCategory
from fieldpack.server.thumbnails.formats import kind_of
from fieldpack.server.web.catalogue import Catalogue, message

__all__ = [
    "Chip",
    "cell_of",
    "describe_conditions",
    "fields_of_decision",
    "link_to",
    "pages_of",
    "say_all",
    "say_answer",
    "say_conditions",
    "say_length",
    "say_problem",
    "state_text",
]

MOST_CHARACTERS = 200
STATE_TEXTS = {
    "ACTIVE": message("researcher.active"),
    "APPROVED": message("researcher.approved"),
    "AWAITING REVIEW": message("researcher.review"),
    "PARTIALLY APPROVED": message("state_of.partly"),
    "REJECTED": message("overview.rejected"),
    "RESERVED": message("state_of.reserved"),
    "RETURNED": message("overview.returned"),
    "SCREENED OUT": message("state_of.screened"),
    "TIMED-OUT": message("overview.timed_out"),
}
TEST_TEXTS = {
    "is": message("filter.is"),
    "contains": message("filter.contains"),
    "between": message("filter.between"),
    "unit": message("filter.unit"),
    "type": message("filter.type"),
    "answered": message("filter.answered"),
    "missing": message("filter.missing"),
    "left": message("filter.left"),
}
ORDER_TEXTS = {
    "completed": message("order.completed"),
    "started": message("order.started"),
    "duration": message("order.duration"),
    "state": message("order.state"),
    "participant": message("order.participant"),
}
CATEGORY_TEXTS = {
    "TOO_QUICKLY": message("category.too_quickly"),
    "TOO_SLOWLY": message("category.too_slowly"),
    "FAILED_INSTRUCTIONS": message("category.failed_instructions"),
    "INCOMP_LONGITUDINAL": message("category.incomp_longitudinal"),
    "FAILED_CHECK": message("category.failed_check"),
    "LOW_EFFORT": message("category.low_effort"),
    "MALINGERING": message("category.malingering"),
    "NO_CODE": message("category.no_code"),
    "BAD_CODE": message("category.bad_code"),
    "NO_DATA": message("category.no_data"),
    "UNSUPP_DEVICE": message("category.unsupp_device"),
    "OTHER": message("researcher.other"),
}
# what a message of rejection begins with
REASON_TEXTS = {
    "TOO_QUICKLY": message("reason.too_quickly"),
    "TOO_SLOWLY": message("reason.too_slowly"),
    "FAILED_INSTRUCTIONS": message("reason.failed_instructions"),
    "INCOMP_LONGITUDINAL": message("reason.incomp_longitudinal"),
    "FAILED_CHECK": message("reason.failed_check"),
    "LOW_EFFORT": message("reason.low_effort"),
    "MALINGERING": message("reason.malingering"),
    "NO_CODE": message("reason.no_code"),
    "BAD_CODE": message("reason.bad_code"),
    "NO_DATA": message("reason.no_data"),
    "UNSUPP_DEVICE": message("reason.unsupp_device"),
}


@dataclass(frozen=True, slots=True)
class Given:
    """An option, a text or a number that was given.

    Attributes:
        heading: over what explains it, as its participant saw it.
        explanation: what they wrote there.
    """

    text: str
    heading: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A condition of a filter as text, and the address of the same view without it."""

    text: str
    without: str


def say_all(keys: Mapping[str, str], catalogue: Catalogue) -> dict[str, str]:
    """The text of each name, where a mapping gives its key."""
    return {name: catalogue.text(key) for name, key in keys.items()}


def fields_of_decision(catalogue: Catalogue, category: str, text: str) -> dict[str, Any]:
    """What `reasons.html` and the field of the message show: reasons for a rejection, and what was given before."""
    return {
        "categories": get_args(RejectionCategory),
        "category_texts": say_all(CATEGORY_TEXTS, catalogue),
        "reason_texts": say_all(REASON_TEXTS, catalogue),
        "given_category": category,
        "given_message": text,
    }


def state_text(status: str, catalogue: Catalogue) -> str:
    """A submission's state as text."""
    return catalogue.text(STATE_TEXTS[status])


def say_problem(problem: Problem) -> str:
    """A refusal as one or several sentences of the API."""
    detail = problem.detail
    if isinstance(detail, dict):
        return " ".join(message for messages in detail.values() for message in messages)
    return detail if isinstance(detail, str) else " ".join(detail)


def link_to(path: str, *groups: Iterable[tuple[str, str]]) -> str:
    """A path with parameters."""
    query = urlencode([pair for group in groups for pair in group])
    return f"{path}?{query}" if query else path


def _labels(options: Iterable[Mapping[str, Any]]) -> Callable[[Any], str]:
    known = {value_key(option["value"]): str(option["label"]) for option in options}

    def label(value: Any) -> str:
        found = known.get(value_key(value))
        return (
            found if found is not None else value if isinstance(value, str) else orjson.dumps(value).decode()
        )

    return label


def say_answer(item: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[str]:
    """An answer as lines of text; None for files. An option that the question does not have any more is shown by its
    value."""
    if answer is None or answer.get("type") == "file_upload":
        return []
    value = answer.get("value")
    if answer["type"] == "free_text_with_unit":
        unit = _labels(item.get("unit_options", []))(answer["unit"])
        pair = (str(value), unit) if item.get("unit_position") == "suffix" else (unit, str(value))
        return [" ".join(pair)]
    if not isinstance(value, list):
        return [str(value)]
    label = _labels(item.get("options", []))
    return [
        f"{label(each['value'])}: {each.get('explanation', '')}".removesuffix(": ")
        if isinstance(each, dict)
        else label(each)
        for each in value
    ]


def show_answer(item: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Given]:
    """An answer as it was given, each option with what explains it; nothing for files."""
    value = (answer or {}).get("value")
    if item["type"] != "multiple_choice_with_free_text" or not isinstance(value, list):
        return [Given(line) for line in say_answer(item, answer)]
    label = _labels(item.get("options", []))
    headings = {value_key(option["value"]): option.get("heading", "") for option in item.get("options", [])}
    return [
        Given(label(each["value"]), headings.get(value_key(each["value"]), ""), each.get("explanation", ""))
        if isinstance(each, dict)
        else Given(label(each))
        for each in value
    ]


def shorten(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1].rstrip() + "…"


def say_length(seconds: float | None, catalogue: Catalogue) -> str:
    """A duration in its two largest units; empty for None."""
    if seconds is None:
        return ""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return catalogue.text("length.hours", hours=hours, minutes=minutes)
    if minutes:
        return catalogue.text("length.minutes", minutes=minutes, seconds=whole % 60)
    return catalogue.text("length.seconds", seconds=whole)


def describe_conditions(
    view: View,
    studies: Mapping[UUID, str],
    reviewers: Mapping[str, str],
    catalogue: Catalogue,
    path: str,
    kept: Sequence[tuple[str, str]],
) -> list[Chip]:
    """The conditions of a filter as text, each with the address without it.

    Args:
        studies: names by id.
        reviewers: names by id, as a text.
        kept: other parameters that the addresses keep.
    """
    parameters = view.parameters()
    said = say_conditions(view.wanted, view.questions, studies, reviewers, catalogue)
    return [
        Chip(text, link_to(path, [each for each in parameters if each != pair], kept)) for pair, text in said
    ]


def say_conditions(
    wanted: ResponseFilter,
    questions: Sequence[QuestionRow],
    studies: Mapping[UUID, str],
    reviewers: Mapping[str, str],
    catalogue: Catalogue,
) -> list[tuple[tuple[str, str], str]]:
    """The conditions of a filter, each as the parameter of a URL that it is and as text.

    Args:
        questions: everything that the collection asks or ever asked.
        studies: names by id.
        reviewers: names by id, as a text.
    """
    bodies = {question.id: question.body for question in questions}
    conditions = {str(each): each for each in wanted.where}
    found = []
    for pair in wanted.parameters():
        name, text = pair
        if name == "where":
            said = _say_condition(conditions[text], bodies, catalogue)
        elif name == "state":
            said = state_text(text, catalogue)
        elif name == "study":
            said = studies.get(UUID(text), text)
        elif name == "assigned" and text == "nobody":
            said = catalogue.text("assigned.nobody")
        elif name == "assigned":
            said = catalogue.text("assigned.to", name=reviewers.get(text, text))
        else:
            said = catalogue.text(FILTER_TEXTS[name], value=_say_value(name, text, catalogue))
        found.append((pair, said))
    return found


FILTER_TEXTS = {
    "submission": message("filter.chip_submission"),
    "participant": message("filter.chip_participant"),
    "since": message("filter.chip_since"),
    "before": message("filter.chip_before"),
    "files": message("filter.chip_files"),
    "note": message("filter.chip_note"),
    "pending": message("filter.chip_pending"),
    "submitted": message("filter.chip_submitted"),
    "tests": message("filter.chip_tests"),
    "shorter": message("filter.chip_shorter"),
    "longer": message("filter.chip_longer"),
    "search": message("filter.chip_search"),
}


def _say_value(name: str, text: str, catalogue: Catalogue) -> str:
    if name in TRUTHS:
        return catalogue.text("filter.yes") if text == "yes" else catalogue.text("filter.no")
    if name in ("since", "before"):
        return text[:16].replace("T", " ")
    if name in ("shorter", "longer"):
        return say_length(int(text.removesuffix("s")), catalogue)
    return text


def _say_condition(
    condition: Condition,
    bodies: Mapping[UUID, dict[str, Any]],
    catalogue: Catalogue,
) -> str:
    operand, body = condition.operand, bodies.get(condition.instruction_id, {})
    if condition.test == "is":
        operand = _labels(body.get("options", []))(condition.option)
    elif condition.test == "unit":
        operand = _labels(body.get("unit_options", []))(condition.option)
    elif condition.test == "between":
        low, _, high = operand.removesuffix(")").partition(",")
        operand = f"{low} – {'<' if condition.is_open else ''}{high}"
    title = shorten(body.get("description", str(condition.instruction_id)))
    return " ".join(filter(None, (title, catalogue.text(TEST_TEXTS[condition.test]), operand)))


def cell_of(
    question: QuestionRow, answers: Mapping[str, Any] | None, files: Sequence[FileRow]
) -> dict[str, Any]:
    """A cell of the table: the lines of the answer to a question, shortened, and its files."""
    return {
        "lines": [shorten(line) for line in say_answer(question.body, (answers or {}).get(str(question.id)))],
        "files": [file for file in files if file.instruction_id == question.id],
    }


def say_extension(file_name: str) -> str:
    """What a card shows of a file that can't be shown: its extension, or nothing."""
    return extension_of(file_name).removeprefix(".").upper()[:5]


def _with_paths(
    question: str, answers: Mapping[str, Any] | None, files: Sequence[FileRow]
) -> list[tuple[FileRow, str]]:
    """The files of a question, each with its path in an archive."""
    own = [file for file in files if str(file.instruction_id) == question]
    if not own:
        return []
    answer = (answers or {}).get(question) or {}
    paths = (
        [str(each.get("path", "")) for each in answer["value"]] if answer.get("type") == "file_upload" else []
    )
    return list(zip(own, paths if len(paths) == len(own) else [""] * len(own), strict=True))


def pages_of(
    body: Mapping[str, Any], answers: Mapping[str, Any] | None, files: Sequence[FileRow]
) -> list[list[dict[str, Any]]]:
    """The questions of a version, page by page, each with its answer in lines and its files."""
    return [
        [
            {
                "id": item["id"],
                "title": item["description"],
                "help": item.get("helper_text") or "",
                "lines": say_answer(item, (answers or {}).get(item["id"])),
                "given": show_answer(item, (answers or {}).get(item["id"])),
                "files": [
                    {
                        "file": file,
                        "path": path,
                        "kind": kind_of(file.content_type),
                        "extension": say_extension(file.file_name),
                    }
                    for file, path in _with_paths(item["id"], answers, files)
                ],
                "answered": item["id"] in (answers or {}),
            }
            for item in page["page_items"]
            if item["type"] not in ("rich_text", "image")
        ]
        for page in body["collection_items"]
    ]
