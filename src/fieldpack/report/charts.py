"""Charts as inline SVG: no script, nothing fetched."""

from __future__ import annotations

import datetime as dt
import html

from fieldpack.report.summary import Bar, Histogram
from fieldpack.report.wording import say_number, say_percent
from fieldpack.text import make_line

__all__ = ["draw_bars", "draw_days", "draw_histogram"]

_WIDTH = 720
_ROW = 26
_LABEL = 276
_MOST_BARS = 24


def _text(value: str, limit: int | None = None) -> str:
    return html.escape(make_line(value, limit))


def draw_bars(bars: list[Bar], whole: int) -> str:
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
        rows.append(
            f'<text class="label" x="{left - 10}" y="{y + 17}" text-anchor="end">{_text(bar.label, 32)}'
            f"<title>{_text(bar.label, 400)}</title></text>"
            f'<rect class="bar" x="{left}" y="{y + 4}" width="{width:.1f}" height="18" rx="2"/>'
            f'<text class="count" x="{left + width + 8:.1f}" y="{y + 17}">{bar.count:,}'
            f'<tspan class="share" dx="6">{html.escape(say_percent(bar.count, whole))}</tspan></text>'
        )
    more = ""
    if len(shown) < len(bars):
        more = f'<p class="more">and {len(bars) - len(shown):,} more</p>'
    return _wrap("".join(rows), max(1, len(shown)) * _ROW, "Bar chart") + more


def draw_histogram(histogram: Histogram, unit: str | None = None) -> str:
    """Columns over a number line, which is labelled with the numbers' unit; heights are counts of answers."""
    height, base = 190 if unit else 170, 140
    count = len(histogram.counts)
    most = max(histogram.counts) or 1
    step = (_WIDTH - 60) / count
    elements = [f'<line class="axis" x1="30" x2="{_WIDTH - 30}" y1="{base}" y2="{base}"/>']
    every = max(1, count // 14 + 1)
    for number, value in enumerate(histogram.counts):
        x, tall = 30 + number * step, (base - 22) * value / most
        elements.append(
            f'<rect class="column" x="{x + 1:.1f}" y="{base - tall:.1f}" '
            f'width="{step - 2:.1f}" height="{tall:.1f}"/>'
        )
        if value:
            elements.append(
                f'<text class="count" x="{x + step / 2:.1f}" y="{base - tall - 5:.1f}" '
                f'text-anchor="middle">{value:,}</text>'
            )
        if number % every == 0:
            edge = say_number(round(histogram.start + number * histogram.step, 10))
            elements.append(
                f'<text class="tick" x="{x:.1f}" y="{base + 18}" text-anchor="middle">{edge}</text>'
            )
    end = say_number(round(histogram.start + count * histogram.step, 10))
    elements.append(f'<text class="tick" x="{_WIDTH - 30}" y="{base + 18}" text-anchor="middle">{end}</text>')
    if unit:
        elements.append(
            f'<text class="tick" x="{_WIDTH / 2}" y="{base + 40}" text-anchor="middle">{_text(unit, 80)}</text>'
        )
    return _wrap("".join(elements), height, "Histogram, answers by " + _text(unit or "number", 80))


def draw_days(days: list[tuple[dt.date, int]]) -> str:
    """Completed submissions over time, a column per day (or per several, when the time is long)."""
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
            day = first + dt.timedelta(days=number * span // columns)
            elements.append(
                f'<rect class="column" x="{30 + number * step + step * 0.1:.1f}" y="{base - tall:.1f}" '
                f'width="{min(step * 0.8, 60):.1f}" height="{tall:.1f}">'
                f"<title>{day}: {value:,}</title></rect>"
            )
    elements.append(f'<text class="tick" x="30" y="{base + 18}">{first}</text>')
    elements.append(f'<text class="tick" x="{_WIDTH - 30}" y="{base + 18}" text-anchor="end">{last}</text>')
    elements.append(f'<text class="tick" x="30" y="12">submissions a column, at most {most:,}</text>')
    return _wrap("".join(elements), height, "Completed submissions over time")


def _wrap(inner: str, height: float, name: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{name}">{inner}</svg>'
