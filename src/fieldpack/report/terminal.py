"""The summary drawn in a terminal, with rich. Texts of participants and researchers are never taken as
markup."""

from __future__ import annotations

import datetime as dt

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fieldpack.report.summary import Bar, Histogram, Question, Summary
from fieldpack.report.wording import say_facts, say_number, say_numbers, say_percent, say_question
from fieldpack.text import make_line, say_bytes

__all__ = ["render_summary"]

_EIGHTHS, _LEVELS = " ▏▎▍▌▋▊▉█", " ▁▂▃▄▅▆▇█"
_ASCII_BAR, _ASCII_LEVELS = "#", " .:-=+*#@"
_BAR_CELLS = 32
_MOST_BARS = 12
_MOST_DAYS = 60


def render_summary(summary: Summary, console: Console) -> None:
    """Print the summary."""
    is_ascii = not _can_encode(_EIGHTHS + _LEVELS, console.encoding)
    title = make_line(summary.name or summary.archive, 200)
    console.print(Text(title, style="bold"))
    console.print(Text(f"{make_line(summary.archive)} · {say_bytes(summary.size_bytes)}", style="dim"))
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in say_facts(summary):
        facts.add_row(Text(name), Text(value))
    if len(summary.days) > 1:
        facts.add_row(Text("Per day"), _draw_days(summary.days, is_ascii))
    console.print(facts)
    for note in summary.notes:
        console.print(Text(f"! {make_line(note)}", style="yellow"))
    for number, question in enumerate(summary.questions, 1):
        console.print()
        console.print(_draw_question(number, question, summary.submissions, is_ascii))


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _draw_days(days: list[tuple[dt.date, int]], is_ascii: bool) -> Text:
    first, last = days[0][0], days[-1][0]
    span = (last - first).days + 1
    width = min(span, _MOST_DAYS)
    counts = [0] * width
    for day, count in days:
        counts[(day - first).days * width // span] += count
    most = max(counts)
    levels = _ASCII_LEVELS if is_ascii else _LEVELS
    line = "".join(levels[0 if not count else max(1, round(8 * count / most))] for count in counts)
    each = "" if span == width else f" ({span / width:.1f} days each)"
    return Text.assemble((line, "green"), (f"  at most {most:,}{each}", "dim"))


def _draw_question(number: int, question: Question, submissions: int, is_ascii: bool) -> RenderableType:
    lines: list[RenderableType] = [
        Text.assemble((f"{number}. ", "bold cyan"), (make_line(question.instruction.title, 300), "bold")),
        Padding(Text(say_question(question, submissions), style="dim"), (0, 0, 0, 3)),
    ]
    if question.bars:
        whole = question.answered
        lines.append(Padding(_draw_bars(question.bars, whole, is_ascii), (0, 0, 0, 3)))
    for numbers in question.numbers:
        if len(question.numbers) > 1:
            lines.append(Padding(Text(say_numbers(numbers)), (0, 0, 0, 3)))
        if len(numbers.histogram.counts) > 1:
            lines.append(Padding(_draw_histogram(numbers.histogram, is_ascii), (0, 0, 0, 3)))
    if question.files:
        bars = [
            Bar(f"{kind.content_type}, {say_bytes(kind.size_bytes)}", kind.count) for kind in question.files
        ]
        lines.append(Padding(_draw_bars(bars, sum(bar.count for bar in bars), is_ascii), (0, 0, 0, 3)))
    if question.examples and not question.bars:
        quotes = [Text(f"“{make_line(text, 90)}”", style="italic") for text in question.examples]
        lines += [Padding(quote, (0, 0, 0, 3)) for quote in quotes]
    return Group(*lines)


def _draw_bars(bars: list[Bar], whole: int, is_ascii: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(max_width=36, overflow="ellipsis", no_wrap=True)
    table.add_column(width=_BAR_CELLS, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", style="dim", no_wrap=True)
    shown = bars if len(bars) <= _MOST_BARS else bars[: _MOST_BARS - 1]
    most = max((bar.count for bar in bars), default=0)
    for bar in shown:
        label = Text(make_line(bar.label, 120))
        table.add_row(
            label,
            Text(_fill(bar.count, most, is_ascii), style="blue"),
            f"{bar.count:,}",
            say_percent(bar.count, whole),
        )
    if len(shown) < len(bars):
        rest = bars[len(shown) :]
        table.add_row(Text(f"… {len(rest)} more", style="dim"), "", f"{sum(bar.count for bar in rest):,}", "")
    return table


def _draw_histogram(histogram: Histogram, is_ascii: bool) -> Table:
    edges = [histogram.start + histogram.step * i for i in range(len(histogram.counts))]
    bars = [
        Bar(f"{say_number(round(edge, 10))} –", count)
        for edge, count in zip(edges, histogram.counts, strict=True)
    ]
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(width=_BAR_CELLS, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    most = max(histogram.counts)
    for bar in bars:
        table.add_row(bar.label, Text(_fill(bar.count, most, is_ascii), style="magenta"), f"{bar.count:,}")
    return table


def _fill(count: int, most: int, is_ascii: bool) -> str:
    """A bar of up to `_BAR_CELLS` cells, to the eighth (in ASCII to the cell); anything above zero shows."""
    if not most or not count:
        return ""
    if is_ascii:
        return _ASCII_BAR * max(1, round(_BAR_CELLS * count / most))
    eighths = max(1, round(8 * _BAR_CELLS * count / most))
    return _EIGHTHS[-1] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
