"""HTML that researchers write, made safe on the way in (nh3), and Markdown made HTML (markdown-it-py)."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

from .urls import is_plain_url

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

_markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute that may stay; a URL that leads elsewhere than it seems to goes."""
    if name not in URL_ATTRIBUTES:
        return value
    value = value.strip(" ")
    return value if is_plain_url(value) else None


def sanitise(text: str, *, markdown: bool = False) -> str:
    """`text` as HTML without anything that could run, load or disguise: only the tags above are kept."""
    html = _markdown.render(text) if markdown else text
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_keep_attribute,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer",
    )
