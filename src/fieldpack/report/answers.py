"""What a question was answered, drawn: the charts of reports of archives and of the pages of a server, which never
differ because both are these."""

from __future__ import annotations

import html
from dataclasses import dataclass

from fieldpack.report.charts import Links, draw_bars, draw_histogram
from fieldpack.report.summary import Bar, Question
from fieldpack.report.wording import ENGLISH, Words, say_numbers
from fieldpack.text import make_line, say_bytes

__all__ = ["AnswerLinks", "draw_answers"]


@dataclass(frozen=True, slots=True)
class AnswerLinks:
    """Where the bars and columns of a question lead.

    Attributes:
        bars: of the bars, in their order.
        columns: of the columns of each unit's histogram.
        files: of the types of files.
    """

    bars: Links = ()
    columns: tuple[Links, ...] = ()
    files: Links = ()


def draw_answers(question: Question, links: AnswerLinks | None = None, words: Words = ENGLISH) -> str:
    """HTML of a question's charts, or of a few of its texts where there is nothing to draw.

    Args:
        question: its answers, counted.
        links: where bars lead; nowhere without.
        words: those of the charts.
    """
    links = links or AnswerLinks()
    elements = []
    if question.bars:
        elements.append(draw_bars(question.bars, question.answered, links.bars, words))
    for at, numbers in enumerate(question.numbers):
        if len(question.numbers) > 1:
            elements.append(f"<p class='facts-line'>{html.escape(say_numbers(numbers, words))}</p>")
        if len(numbers.histogram.counts) > 1:
            columns = links.columns[at] if at < len(links.columns) else ()
            elements.append(draw_histogram(numbers.histogram, numbers.unit, columns, words))
    if question.files:
        kinds = [
            Bar(f"{kind.content_type}, {say_bytes(kind.size_bytes)}", kind.count) for kind in question.files
        ]
        elements.append(draw_bars(kinds, sum(kind.count for kind in kinds), links.files, words))
    if question.examples and not question.bars:
        elements += [
            f"<blockquote>{html.escape(make_line(text, 400))}</blockquote>" for text in question.examples
        ]
    return "\n".join(elements)
