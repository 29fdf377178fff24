"""What the overview draws: charts of the answers, as reports have them, whose bars lead to the responses they count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

import orjson
from markupsafe import Markup

from fieldpack.reading.model import CHOICE_TYPES, Scalar
from fieldpack.report.answers import AnswerLinks, draw_answers
from fieldpack.report.charts import draw_days
from fieldpack.report.summary import Histogram, Question
from fieldpack.report.wording import Words, say_number, say_numbers, say_percent
from fieldpack.server.responses.overview.rows import DayRow
from fieldpack.server.selection.filters import MOST_TEXT
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.workbench import views

__all__ = ["Drawn", "draw_completed", "draw_question", "link_completed"]

TYPE_TEXTS = {
    "free_text": message("overview.type_text"),
    "multiple_choice": message("overview.type_choice"),
    "multiple_choice_with_free_text": message("overview.type_explained"),
    "free_text_with_unit": message("overview.type_unit"),
    "file_upload": message("overview.type_files"),
}
SUBMITTED = (("submitted", "yes"), ("tests", "no"))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A question with its charts.

    Attributes:
        facts: what is said under its text.
        charts: SVG, and texts.
    """

    id: str
    title: str
    facts: str
    charts: Markup


def link_completed(responses: str, first: date, last: date) -> str:
    """The address of what was completed from one day to another, both included."""
    return views.link_to(responses, [("since", f"{first}"), ("before", f"{last}"), *SUBMITTED])


def draw_completed(days: Sequence[DayRow], catalogue: Catalogue, responses: str | None) -> Markup:
    """Completed submissions over time.

    Args:
        days: at least one.
        responses: the path of the table of responses; None for who may not see it.
    """

    def link(first: date, last: date) -> str:
        return link_completed(responses or "", first, last)

    counts = [(each.day.date(), each.count) for each in days]
    return Markup(draw_days(counts, link if responses else None, _words_of(catalogue)))


def draw_question(question: Question, submissions: int, catalogue: Catalogue, responses: str | None) -> Drawn:
    """A question with the charts of its answers.

    Args:
        submissions: how many active responses there are.
        responses: the path of the table of responses; None for who may not see it.
    """
    words = _words_of(catalogue)
    links = _link(question, responses) if responses else None
    return Drawn(
        question.instruction.id,
        question.instruction.title,
        _say_facts(question, submissions, catalogue, words),
        Markup(draw_answers(question, links, words)),
    )


def _words_of(catalogue: Catalogue) -> Words:
    return Words(  # whose places are filled in later
        bars=catalogue.text("chart.bars"),
        more=catalogue.text("chart.more"),
        histogram=catalogue.text("chart.histogram"),
        number=catalogue.text("chart.number"),
        days=catalogue.text("chart.days"),
        column=catalogue.text("chart.column"),
        numbers=catalogue.text("chart.numbers"),
    )


def _say_facts(question: Question, submissions: int, catalogue: Catalogue, words: Words) -> str:
    """The line under a question: its type, and how many answered."""
    item = question.instruction
    phrases = [catalogue.text(TYPE_TEXTS[item.type])]
    if item.takes_several and item.options:
        phrases.append(catalogue.text("overview.several"))
    if item.retired:
        phrases.append(catalogue.text("overview.retired"))
    share = say_percent(question.answered, submissions)
    phrases.append(catalogue.text("overview.n_answered", count=question.answered, share=share))
    if question.missing:
        phrases.append(catalogue.text("overview.n_missing", count=question.missing))
    if len(question.numbers) == 1:
        phrases.append(say_numbers(question.numbers[0], words))
    if question.not_numbers:
        phrases.append(catalogue.text("overview.n_not_numbers", count=question.not_numbers))
    if question.lengths is not None and not question.numbers:
        shortest, median, longest = question.lengths
        if question.distinct is None:
            phrases.append(catalogue.text("overview.very_many_texts"))
        else:
            phrases.append(catalogue.text("overview.n_texts", count=question.distinct))
        phrases.append(
            catalogue.text("overview.lengths", low=shortest, high=longest, median=say_number(median))
        )
    if question.files:
        phrases.append(catalogue.text("files.count", count=sum(kind.count for kind in question.files)))
        phrases.append(catalogue.size(sum(kind.size_bytes for kind in question.files)))
    return " · ".join(phrases)


def _link(question: Question, responses: str) -> AnswerLinks:
    """Where the bars lead: to the responses that they count."""
    id = question.instruction.id

    def to(*conditions: str) -> str:
        return views.link_to(responses, [("where", f"{id}:{each}") for each in conditions], SUBMITTED)

    is_unit = bool(question.numbers) and question.instruction.type not in CHOICE_TYPES
    bars = [
        to(f"{'unit' if is_unit else 'is'}:{operand}") if operand is not None else None
        for operand in (_operand(bar.value) for bar in question.bars)
    ]
    columns = []
    for numbers in question.numbers:
        unit = _operand(numbers.unit_value)
        of_unit = [f"unit:{unit}"] if unit is not None else []
        columns.append([to(f"between:{bounds}", *of_unit) for bounds in _list_bounds(numbers.histogram)])
    files = [to(f"type:{kind.content_type}") for kind in question.files]
    return AnswerLinks(bars, tuple(columns), files)


def _list_bounds(histogram: Histogram) -> list[str]:
    """What is in each bin, as filters of responses have it: the first and the last are open to their sides."""
    edges = [f"{Decimal(repr(edge)):f}" for edge in histogram.edges]
    last = len(histogram.counts) - 1
    return [
        f"{low if at else ''},{f'{high})' if at < last else ''}"
        for at, (low, high) in enumerate(pairwise(edges))
    ]


def _operand(value: Scalar | None) -> str | None:
    """A value as filters of responses have it; None for one that is too long for them."""
    if value is None:
        return None
    text = orjson.dumps(value).decode()
    return text if len(text) <= MOST_TEXT else None
