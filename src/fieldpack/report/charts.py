"""Charts as inline SVG: no script, nothing fetched."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Callable, Sequence

from fieldpack.report.summary import Bar, Histogram
from fieldpack.report.wording import ENGLISH, Words, say_number, say_percent
from fieldpack.text import make_line

__all__ = ["Links", "draw_bars", "draw_days", "draw_histogram"]

_WIDTH = 720
_ROW = 26
_LABEL = 276
_MOST_BARS = 24


def _text(value: str, limit: int | None = None) -> str:
    return html.escape(make_line(value, limit))


Links = Sequence[str | None]
"""An address for each bar or column; None for those that lead nowhere."""


def draw_bars(bars: list[Bar], whole: int, links: Links = (), words: Words = ENGLISH) -> str:
    """Horizontal bars, each with its label, count and share of `whole`."""
    shown = bars[:_MOST_BARS]
    most = max((bar.count for bar in shown), default=0) or 1
    longest = max((len(make_line(bar.label, 32)) for bar in shown), default=0)
    left = min(_LABEL, 18 + longest * 8)
    room = _WIDTH - left - 110
    rows = []
    for number, bar in enumerate(shown):
        y = number * _ROW
        width = max(room * bar.count / most, 1 if bar.count else 0)
        row = (
            f'<text class="label" x="{left - 10}" y="{y + 17}" text-anchor="end">{_text(bar.label, 32)}'
            f"<title>{_text(bar.label, 400)}</title></text>"
            f'<rect class="bar" x="{left}" y="{y + 4}" width="{width:.1f}" height="18" rx="2"/>'
            f'<text class="count" x="{left + width + 8:.1f}" y="{y + 17}">{bar.count:,}'
            f'<tspan class="share" dx="6">{html.escape(say_percent(bar.count, whole))}</tspan></text>'
        )
        rows.append(_link(row, links, number, f"{bar.label}: {bar.count:,}"))
    more = ""
    if len(shown) < len(bars):
        count = f"{len(bars) - len(shown):,}"
        more = f'<p class="more">{html.escape(words.more.format(count=count))}</p>'
    return _wrap("".join(rows), max(1, len(shown)) * _ROW, words.bars, links) + more


def draw_histogram(
    histogram: Histogram, unit: str | None = None, links: Links = (), words: Words = ENGLISH
) -> str:
    """Columns over a number line, which is labelled with the numbers' unit; heights are counts of answers."""
    height, base = 190 if unit else 170, 140
    count = len(histogram.counts)
    most = max(histogram.counts) or 1
    step = (_WIDTH - 60) / count
    elements = [f'<line class="axis" x1="30" x2="{_WIDTH - 30}" y1="{base}" y2="{base}"/>']
    every = max(1, count // 14 + 1)
    edges = [say_number(edge) for edge in histogram.edges]
    for number, value in enumerate(histogram.counts):
        x, tall = 30 + number * step, (base - 22) * value / most
        column = (
            f'<rect class="column" x="{x + 1:.1f}" y="{base - tall:.1f}" '
            f'width="{step - 2:.1f}" height="{tall:.1f}"/>'
        )
        if value:
            column += (
                f'<text class="count" x="{x + step / 2:.1f}" y="{base - tall - 5:.1f}" '
                f'text-anchor="middle">{value:,}</text>'
            )
        elements.append(_link(column, links, number, f"{edges[number]} – {edges[number + 1]}: {value:,}"))
        if number % every == 0:
            elements.append(
                f'<text class="tick" x="{x:.1f}" y="{base + 18}" text-anchor="middle">{edges[number]}</text>'
            )
    end = edges[-1]
    elements.append(f'<text class="tick" x="{_WIDTH - 30}" y="{base + 18}" text-anchor="middle">{end}</text>')
    if unit:
        elements.append(
            f'<text class="tick" x="{_WIDTH / 2}" y="{base + 40}" text-anchor="middle">{_text(unit, 80)}</text>'
        )
    name = words.histogram.format(unit=make_line(unit or words.number, 80))
    return _wrap("".join(elements), height, name, links)


def draw_days(
    days: list[tuple[dt.date, int]],
    link: Callable[[dt.date, dt.date], str] | None = None,
    words: Words = ENGLISH,
) -> str:
    """Completed submissions over time, a column per day (or per several, when the time is long).

    Args:
        days: those with any, oldest first, and how many.
        link: the address of what was completed from one day to another, both included.
    """
    first, last = days[0][0], days[-1][0]
    span = (last - first).days + 1
    columns = min(span, 120)
    counts = [0] * columns
    for day, count in days:
        counts[(day - first).days * columns // span] += count
    height, base, most = 120, 92, max(counts) or 1
    step = (_WIDTH - 60) / columns
    elements = [f'<line class="axis" x1="30" x2="{_WIDTH - 30}" y1="{base}" y2="{base}"/>']
    for number, value in enumerate(counts):
        if value:
            tall = max(1.0, (base - 20) * value / most)
            # of the days `n` with `n * columns // span == number`, which are those that are counted in it
            begins, ends = (-(-at * span // columns) for at in (number, number + 1))
            # the last day and not the one after, which there is none of at the end of the year 9999
            begin, end = first + dt.timedelta(days=begins), first + dt.timedelta(days=ends - 1)
            column = (
                f'<rect class="column" x="{30 + number * step + step * 0.1:.1f}" y="{base - tall:.1f}" '
                f'width="{min(step * 0.8, 60):.1f}" height="{tall:.1f}">'
                f"<title>{begin}: {value:,}</title></rect>"
            )
            links = [link(begin, end)] if link else ()
            elements.append(_link(column, links, 0, f"{begin}: {value:,}"))
    elements.append(f'<text class="tick" x="30" y="{base + 18}">{first}</text>')
    elements.append(f'<text class="tick" x="{_WIDTH - 30}" y="{base + 18}" text-anchor="end">{last}</text>')
    said = html.escape(words.column.format(count=f"{most:,}"))
    elements.append(f'<text class="tick" x="30" y="12">{said}</text>')
    return _wrap("".join(elements), height, words.days, [""] if link else ())


def _link(drawn: str, links: Links, number: int, name: str) -> str:
    """A bar or column that leads to what it counts; `name` is what it says to whoever does not see it."""
    href = links[number] if number < len(links) else None
    return f'<a href="{html.escape(href)}" aria-label="{_text(name, 400)}">{drawn}</a>' if href else drawn


def _wrap(inner: str, height: float, name: str, links: Links = ()) -> str:
    # an image has no parts, so one with links is a group of them
    role = "group" if any(link is not None for link in links) else "img"
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="{role}" aria-label="{html.escape(name)}">{inner}</svg>'
