"""How a summary's numbers are said, alike in a terminal and on a page."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fieldpack.report.summary import NumbersOfUnit, Question, Summary
from fieldpack.text import make_line, say_bytes, say_count

__all__ = [
    "ENGLISH",
    "Words",
    "say_duration",
    "say_facts",
    "say_number",
    "say_numbers",
    "say_percent",
    "say_question",
]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of charts. These are those of reports; pages bring those of their reader's language.

    Attributes:
        numbers: what is said of numbers in one unit.
        column: over the columns of days.
    """

    bars: str = "Bar chart"
    more: str = "and {count} more"
    histogram: str = "Histogram, answers by {unit}"
    number: str = "number"
    days: str = "Completed submissions over time"
    column: str = "submissions a column, at most {count}"
    numbers: str = "{low} to {high}{unit}, median {median}, mean {mean}, n = {count}"


ENGLISH = Words()

_TYPES = {
    "free_text": "text",
    "multiple_choice": "choice",
    "multiple_choice_with_free_text": "choice, explained",
    "free_text_with_unit": "text with a unit",
    "file_upload": "files",
}


def say_number(number: float) -> str:
    """Up to four significant digits, without trailing zeros."""
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.4g}"


def say_duration(seconds: float) -> str:
    """`4 min 30 s`, in the two largest units."""
    left = round(seconds)
    phrases: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not phrases):
            phrases.append(f"{left // size} {unit}")
            left %= size
    return " ".join(phrases[:2])


def say_percent(count: int, total: int) -> str:
    """`95 %`, never rounded to 0 or 100 when it isn't."""
    if not total:
        return "–"
    percent = 100 * count / total
    if 0 < percent < 1:
        return "<1 %"
    if 99 < percent < 100:
        return ">99 %"
    return f"{percent:.0f} %"


def say_facts(summary: Summary) -> list[tuple[str, str]]:
    """The head of the report: name and value."""
    facts = [
        ("Submissions", f"{summary.submissions:,}"),
        ("Participants", f"{summary.participants:,}"),
    ]
    if summary.studies > 1:
        facts.append(("Studies", f"{summary.studies:,}"))
    if summary.first_at and summary.last_at:
        first, last = summary.first_at.date().isoformat(), summary.last_at.date().isoformat()
        facts.append(("Completed", first if first == last else f"{first} to {last}"))
    if summary.median_seconds is not None:
        facts.append(("Median time", say_duration(summary.median_seconds)))
    if summary.statuses:
        facts.append(
            ("Status", ", ".join(f"{bar.count:,} {make_line(bar.label).lower()}" for bar in summary.statuses))
        )
    kinds = ", ".join(f"{kind.count:,} {make_line(kind.content_type)}" for kind in summary.files[:4])
    files = f"{summary.file_count:,}"
    if summary.file_count:
        files += f" ({say_bytes(summary.file_bytes)}): {kinds}" + (", …" if len(summary.files) > 4 else "")
    facts.append(("Files", files))
    if summary.files_missing:
        facts.append(("Missing files", f"{summary.files_missing:,}"))
    if isinstance(summary.exported_at, dt.datetime):
        facts.append(("Exported", f"{summary.exported_at:%Y-%m-%d %H:%M} UTC"))
    if summary.narrowed_by:
        facts.append(
            (
                "Narrowed to",
                ", ".join(
                    f"{make_line(str(k))} = {make_line(str(v))}" for k, v in summary.narrowed_by.items()
                ),
            )
        )
    return facts


def say_question(question: Question, submissions: int) -> str:
    """The line under a question: its type, and how many answered."""
    item = question.instruction
    phrases = [_TYPES.get(item.type, make_line(item.type))]
    if item.takes_several and item.options:
        phrases[0] += ", several"
    if item.retired:
        phrases.append("no longer asked")
    phrases.append(f"{question.answered:,} answered ({say_percent(question.answered, submissions)})")
    if question.missing:
        phrases.append(f"{question.missing:,} missing")
    if question.numbers:
        if len(question.numbers) == 1:
            phrases.append(say_numbers(question.numbers[0]))
        if question.not_numbers:
            phrases.append(f"{question.not_numbers:,} not numbers")
    elif question.lengths is not None:
        shortest, median, longest = question.lengths
        distinct = "very many" if question.distinct is None else f"{question.distinct:,}"
        phrases.append(
            f"{distinct} different, {shortest:,} to {longest:,} characters, median {say_number(median)}"
        )
    if question.files:
        total, size = sum(k.count for k in question.files), sum(k.size_bytes for k in question.files)
        phrases.append(f"{say_count(total, 'file')}, {say_bytes(size)}")
    return " · ".join(phrases)


def say_numbers(numbers: NumbersOfUnit, words: Words = ENGLISH) -> str:
    """`1 to 9 Kilo, median 4, mean 4.2, n = 12`."""
    found = numbers.histogram
    return words.numbers.format(
        low=say_number(found.minimum),
        high=say_number(found.maximum),
        unit=f" {make_line(numbers.unit)}" if numbers.unit else "",
        median=say_number(found.median),
        mean=say_number(found.mean),
        count=f"{numbers.count:,}",
    )
