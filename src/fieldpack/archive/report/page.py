"""The summary as one HTML file that needs nothing else: charts drawn inline, thumbnails embedded, no script.

Everything from the archive is escaped, and a policy in the page forbids fetching anything at all.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from fieldpack.archive.report.charts import draw_bars, draw_days, draw_histogram
from fieldpack.archive.report.summary import Bar, Question, Summary
from fieldpack.archive.report.thumbnails import have_pillow, make_thumbnail
from fieldpack.archive.report.wording import clean, say_bytes, say_facts, say_percent, say_question

if TYPE_CHECKING:
    from fieldpack.archive.reader import Export

__all__ = ["render_page"]

_MOST_THUMBNAILS = 24


def render_page(summary: Summary, export: Export) -> str:
    """The whole page. Without Pillow it has no thumbnails, and says so."""
    pictures = have_pillow()
    title = _text(summary.name or summary.archive)
    parts = [
        f"<header><h1>{title}</h1><p class='source'>{_text(summary.archive)} · "
        f"{say_bytes(summary.size_bytes)}</p></header>",
        _render_facts(summary),
    ]
    parts += [f"<p class='note'>{_text(note)}</p>" for note in summary.notes]
    if len(summary.days) > 1:
        parts.append(f"<section><h2>Completed submissions</h2>{draw_days(summary.days)}</section>")
    if len(summary.questions) > 1:
        parts.append(_render_overview(summary))
    for number, question in enumerate(summary.questions, 1):
        parts.append(_render_question(number, question, summary, export, pictures))
    # All at once: a text that reads `{body}` is no place to fill.
    filled = {"{title}": title, "{body}": "\n".join(parts)}
    return re.sub("|".join(map(re.escape, filled)), lambda match: filled[match[0]], _PAGE)


def _text(value: str, limit: int | None = None) -> str:
    return html.escape(clean(value, limit))


def _render_facts(summary: Summary) -> str:
    rows = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in say_facts(summary)
    )
    return f"<dl class='facts'>{rows}</dl>"


def _render_overview(summary: Summary) -> str:
    rows = []
    for number, question in enumerate(summary.questions, 1):
        share = say_percent(question.answered, summary.submissions)
        rows.append(
            f"<tr><td>{number}</td><td><a href='#q{number}'>{_text(question.instruction.title, 160)}</a></td>"
            f"<td class='number'>{question.answered:,}</td><td class='number'>{html.escape(share)}</td>"
            f"<td class='number'>{question.missing:,}</td></tr>"
        )
    return (
        "<section><h2>Questions</h2><table><thead><tr><th></th><th>Question</th>"
        "<th class='number'>Answered</th><th class='number'>Share</th><th class='number'>Missing</th>"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _render_question(
    number: int, question: Question, summary: Summary, export: Export, pictures: bool
) -> str:
    parts = [
        f"<section id='q{number}'><h2>{number}. {_text(question.instruction.title)}</h2>",
        f"<p class='facts-line'>{html.escape(say_question(question, summary.submissions))}</p>",
    ]
    if question.bars:
        parts.append(draw_bars(question.bars, question.answered))
    if question.histogram is not None and len(question.histogram.counts) > 1:
        parts.append(draw_histogram(question.histogram))
    if question.files:
        kinds = [
            Bar(f"{kind.content_type}, {say_bytes(kind.size_bytes)}", kind.count) for kind in question.files
        ]
        parts.append(draw_bars(kinds, sum(kind.count for kind in kinds)))
        parts.append(_render_thumbnails(question, export, pictures))
    if question.examples and not question.bars:
        quotes = "".join(f"<blockquote>{_text(text, 400)}</blockquote>" for text in question.examples)
        parts.append(quotes)
    parts.append("</section>")
    return "\n".join(parts)


def _render_thumbnails(question: Question, export: Export, pictures: bool) -> str:
    images = [file for file in question.samples if (file.content_type or "").startswith("image/")]
    if not images:
        return ""
    if not pictures:
        return "<p class='more'>Thumbnails need Pillow: pip install pillow</p>"
    figures: list[str] = []
    for file in images:
        if len(figures) >= _MOST_THUMBNAILS:
            break
        data = make_thumbnail(export, file)
        if data is not None:
            name = _text(file.file_name, 60)
            figures.append(f"<img src='{data}' alt='{name}' title='{name}' loading='lazy'>")
    if not figures:
        return ""
    total = sum(kind.count for kind in question.files if kind.content_type.startswith("image/"))
    more = f"<p class='more'>{len(figures):,} of {total:,} images</p>" if total > len(figures) else ""
    return f"<div class='thumbnails'>{''.join(figures)}</div>{more}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root { --ink: #1f2430; --soft: #5b6472; --line: #e2e6ec; --bar: #3867b0; --column: #7a5aa8; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #333a46; --bar: #7ba3e0; --column: #b394dd; --paper:
  #171b22; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 50rem;
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
section { margin-top: 2.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line); break-inside: avoid; }
.source, .facts-line, .more { color: var(--soft); margin: .25rem 0 .75rem; overflow-wrap: anywhere; }
.facts-line, .more { font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .9rem 1.5rem;
margin: 1.5rem 0 0; } .facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.note { border-left: 3px solid #c98a1b; padding-left: .75rem; }
table { width: 100%; border-collapse: collapse; margin-top: .75rem; font-size: .95rem; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
overflow-wrap: anywhere; } .number { text-align: right; white-space: nowrap; font-variant-numeric:
tabular-nums; } a { color: inherit; text-underline-offset: .2em; text-decoration-color: var(--line); }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; margin-top: .5rem; }
svg text { fill: var(--ink); } svg .share, svg .tick { fill: var(--soft); }
svg .bar { fill: var(--bar); } svg .column { fill: var(--column); } svg .axis { stroke: var(--line); }
blockquote { margin: .4rem 0; padding-left: .9rem; border-left: 3px solid var(--line); overflow-wrap:
anywhere; } .thumbnails { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap:
.6rem; margin-top: .9rem; } .thumbnails img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius:
4px; background: var(--line); } </style>
</head>
<body>
{body}
</body>
</html>
"""
