"""The summary as one HTML file that needs nothing else: charts drawn inline, thumbnails embedded, no script.

Everything from the archive is escaped, and a policy in the page forbids fetching anything at all.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from fieldpack.report.answers import draw_answers
from fieldpack.report.charts import draw_days
from fieldpack.report.summary import Question, Summary
from fieldpack.report.thumbnails import have_pillow, make_thumbnail
from fieldpack.report.wording import say_facts, say_percent, say_question
from fieldpack.text import make_line, say_bytes, say_count

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["render_page"]

_MOST_SAMPLES = 24


def render_page(summary: Summary, export: OpenArchive) -> str:
    """The HTML of the page. Without Pillow it has no thumbnails, and says so."""
    pictures = have_pillow()
    title = _text(summary.name or summary.archive)
    elements = [
        f"<header><h1>{title}</h1><p class='source'>{_text(summary.archive)} · "
        f"{say_bytes(summary.size_bytes)}</p></header>",
        _render_facts(summary),
    ]
    elements += [f"<p class='note'>{_text(note)}</p>" for note in summary.notes]
    if len(summary.days) > 1:
        elements.append(f"<section><h2>Completed submissions</h2>{draw_days(summary.days)}</section>")
    if len(summary.questions) > 1:
        elements.append(_render_overview(summary))
    for number, question in enumerate(summary.questions, 1):
        elements.append(_render_question(number, question, summary, export, pictures))
    # both in one pass: a title that reads `{body}` must not be replaced
    filled = {"{title}": title, "{body}": "\n".join(elements)}
    return re.sub("|".join(map(re.escape, filled)), lambda match: filled[match[0]], _PAGE)


def _text(value: str, limit: int | None = None) -> str:
    return html.escape(make_line(value, limit))


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
    number: int, question: Question, summary: Summary, export: OpenArchive, pictures: bool
) -> str:
    elements = [
        f"<section id='q{number}'><h2>{number}. {_text(question.instruction.title)}</h2>",
        f"<p class='facts-line'>{html.escape(say_question(question, summary.submissions))}</p>",
        draw_answers(question),
    ]
    if question.files:
        elements.append(_render_samples(number, question, export, pictures))
    elements.append("</section>")
    return "\n".join(elements)


def _render_samples(number: int, question: Question, export: OpenArchive, pictures: bool) -> str:
    """Some of a question's files: photos, which open in full size without a script, and a card for all else."""
    figures = []
    for at, sample in enumerate(question.samples[:_MOST_SAMPLES], 1):
        file = sample.file
        data = make_thumbnail(export, file) if pictures else None
        name = _text(file.file_name, 60)
        who = _text(f"{sample.participant_id or 'unknown participant'} · {file.submission_id}", 120)
        caption = f"<figcaption>{name}<br><small>{who}</small></figcaption>"
        if data is None:
            kind = _text(file.content_type or "unknown type", 60)
            size = "" if file.size_bytes is None else f"<br>{say_bytes(file.size_bytes)}"
            figures.append(f"<figure class='card'><div>{kind}{size}</div>{caption}</figure>")
            continue
        place = f"q{number}-{at}"
        figures.append(
            f"<figure id='{place}'><a href='#{place}'><img src='{data}' alt='{name}'></a>"
            f"{caption}<a class='close' href='#q{number}'>Close</a></figure>"
        )
    if not figures:
        return ""
    total = sum(kind.count for kind in question.files)
    more = (
        f"<p class='more'>{len(figures):,} of {say_count(total, 'file')}</p>" if total > len(figures) else ""
    )
    hint = "" if pictures else "<p class='more'>Photos need Pillow to be shown: pip install pillow</p>"
    return f"<div class='samples'>{''.join(figures)}</div>{more}{hint}"


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
anywhere; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .9rem .75rem;
  margin-top: .9rem; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: 10rem; object-fit: contain; background: var(--line);
  border-radius: 4px; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
figcaption small { color: var(--soft); }
.card div { height: 10rem; display: grid; place-content: center; text-align: center; border: 1px solid var(--line);
  border-radius: 4px; color: var(--soft); overflow-wrap: anywhere; padding: .5rem; }
.close { display: none; }
figure:target { position: fixed; inset: 0; z-index: 1; background: var(--paper); padding: 1rem; display: flex;
  flex-direction: column; align-items: center; justify-content: center; gap: .75rem; text-align: center; }
figure:target a:first-child { display: contents; }
figure:target img { width: auto; height: auto; max-width: 100%; max-height: 80vh; background: none; }
figure:target .close { display: inline; }
</style>
</head>
<body>
{body}
</body>
</html>
"""
