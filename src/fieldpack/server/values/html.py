"""HTML that researchers write, made safe on the way in (nh3), and Markdown made HTML (markdown-it-py)."""

from __future__ import annotations

import re
from typing import Any

import nh3
from markdown_it import MarkdownIt

from fieldpack.server.values.markup import tidy
from fieldpack.server.values.urls import is_plain_url

__all__ = ["sanitise"]

TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2", "h3"),
    *("h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "small"),
    *("span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start", "type"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "*": {"dir", "lang"},
}
SCHEMES = {"http", "https", "mailto", "tel"}

URL_ATTRIBUTES = ("href", "src")

# A row of a Markdown table is filled up to its heading: a heading of n columns over n empty rows makes n times n cells.
MAX_TABLE_CELLS = 50_000

# Beyond so many characters of links for each of a Markdown text, and as many more, references repeat what they name.
MOST_LINKED, ALWAYS_LINKED = 10, 10_000

# What stands before the last dash of a delimiter row, and behind it. One pattern of three loops that all take a dash
# would try each way to share a line of dashes between them.
_DELIMITERS, _LAST_DELIMITER = (
    re.compile(r"[>\s*+0-9.)-]*+[|:\s-]*", re.ASCII),
    re.compile(r"[|:\s]*", re.ASCII),
)

_markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute that may stay; a URL that leads elsewhere than it seems to goes."""
    if name not in URL_ATTRIBUTES:
        return value
    value = value.strip(" ")
    return value if is_plain_url(value) else None


def sanitise(text: str, *, markdown: bool = False) -> str:
    """`text` as HTML without anything that could run, load or disguise: only the tags above are kept.

    Raises:
        ValueError: it is made to take far more time, or room, than its length.
    """
    if markdown and count_table_cells(text) > MAX_TABLE_CELLS:
        raise ValueError(f"Its tables have more than {MAX_TABLE_CELLS:,} cells, empty ones included.")
    html = _render(text) if markdown else text
    return nh3.clean(
        tidy(html, TAGS, ATTRIBUTES),
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_keep_attribute,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer",
    )


def _render(text: str) -> str:
    """The HTML of a Markdown text.

    Raises:
        ValueError: its references write out what they name far more often than a text of its length does.
    """
    env: dict[str, Any] = {}
    tokens = _markdown.parse(text, env)
    linked = sum(
        len(str(value))
        for token in tokens
        for child in token.children or ()
        for value in child.attrs.values()
    )
    if linked > MOST_LINKED * len(text) + ALWAYS_LINKED:
        raise ValueError(
            "Its links are far longer, written out, than the text is: it names long ones too often."
        )
    html: str = _markdown.renderer.render(tokens, _markdown.options, env)
    return html


def _is_delimiter_row(line: str) -> bool:
    before, dash, behind = line.rpartition("-")
    return bool(dash and _DELIMITERS.fullmatch(before) and _LAST_DELIMITER.fullmatch(behind))


def count_table_cells(text: str) -> int:
    """At most how many cells the tables of a Markdown text have once their rows are filled up."""
    cells = columns = 0
    for line in text.splitlines():
        if not line.strip("> \t"):
            columns = 0
        elif _is_delimiter_row(line):
            columns = line.count("|") + 1
        cells += columns
    return cells
