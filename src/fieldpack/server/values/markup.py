"""HTML in a form that can be judged by its length: every tag is written out plainly, and none is nested deeply.

The time that an HTML parser takes grows with the square of how deeply elements are nested, and how deeply they are
depends on rules by which some end tags count, some are implied and some are passed over (HTML Standard §13.2.6). `tidy`
reads the tags (§13.2.5), writes them out so that every parser finds the same ones, and counts what may be open: an
element is only taken as closed where it is by those rules, so that what it counts is never less than what there is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

__all__ = ["MAX_NESTING", "TooDeep", "tidy"]

MAX_NESTING = 200

VOID = frozenset(("br", "hr", "img"))
# whose content is never shown, and has no tags in it
HIDDEN = frozenset(("script", "style"))
_CELLS, _ROWS = ("td", "th"), ("tr", "td", "th")
_SECTIONS = ("tbody", "tfoot", "thead")
_OF_TABLES = frozenset((*_ROWS, *_SECTIONS))
# elements whose end is implied by others
_OPTIONAL = frozenset(("dd", "dt", "li", "p", *_OF_TABLES))
# whose end tag closes what has an optional end within them
_CONTAINERS = frozenset(("blockquote", "div", "dl", "ol", "pre", "table", "ul", *(_OPTIONAL - {"p"})))
# which elements end where another begins directly within them
_ENDED_BY = {
    **dict.fromkeys(("li", "p"), ("p",)),
    **dict.fromkeys(
        ("blockquote", "div", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "pre", "ul"), ("p",)
    ),
    "li": ("p", "li"),
    **dict.fromkeys(("dd", "dt"), ("p", "dd", "dt")),
    **dict.fromkeys(_CELLS, _CELLS),
    "tr": _ROWS,
    **dict.fromkeys(_SECTIONS, (*_ROWS, *_SECTIONS)),
}
# what a part of a table stands in
_WITHIN = {
    **dict.fromkeys(_CELLS, ("tr", "table", *_SECTIONS)),
    "tr": ("table", *_SECTIONS),
    **dict.fromkeys(_SECTIONS, ("table",)),
}
_LOST = ""  # an element of which it is not known when it ends

_NAME = re.compile(r"[a-zA-Z][^\s/>]*")
_ATTRIBUTE = re.compile(r"[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+(=)\s*+)?")
_BEFORE_END = re.compile(r"[\s/]*+")
_COMMENT_END = re.compile("--!?>")
_UNQUOTED = re.compile(r"[^\s>]*+")


class TooDeep(ValueError):
    """HTML is nested more deeply than any sensible text."""


def tidy(html: str, tags: Collection[str], attributes: Mapping[str, Collection[str]]) -> str:
    """HTML with nothing but text and these tags, whose attributes are quoted; in time proportional to its length.

    Args:
        tags: names of elements that stay; of any other its content does, but for `HIDDEN`.
        attributes: names of attributes that stay, by the element's name, or `*` for all elements.

    Raises:
        TooDeep: elements are nested more than `MAX_NESTING` levels deep, or left open.
    """
    return "".join(_Tidying(html, tags, attributes).run())


class _Tidying:
    def __init__(self, html: str, tags: Collection[str], attributes: Mapping[str, Collection[str]]) -> None:
        self._html = html
        self._tags = tags
        self._attributes = attributes
        self._open: list[str] = []

    def run(self) -> Iterator[str]:
        """The pieces of the text, in their order."""
        html, at = self._html, 0
        while (start := html.find("<", at)) >= 0:
            yield html[at:start]
            at = start + 1
            if html.startswith("!--", at):
                at = self._skip_comment(at + 3)
            elif name := _NAME.match(html, at):
                at, given = self._read_attributes(name.end())
                if at < 0:
                    return  # the text ends within a tag
                yield self._begin(name[0].lower(), given)
                if name[0].lower() in HIDDEN:
                    at = self._skip_hidden(name[0].lower(), at)
            elif html.startswith("/", at) and (name := _NAME.match(html, at + 1)):
                at, _ = self._read_attributes(name.end())
                if at < 0:
                    return
                yield self._end(name[0].lower())
            elif html.startswith(("!", "?", "/"), at):
                at = self._skip_to(">", at)
            else:
                yield "&lt;"
        yield html[at:]

    def _skip_to(self, text: str, at: int) -> int:
        found = self._html.find(text, at)
        return found + len(text) if found >= 0 else len(self._html)

    def _skip_comment(self, at: int) -> int:
        if self._html.startswith((">", "->"), at):
            return self._skip_to(">", at)
        ended = _COMMENT_END.search(self._html, at)
        return ended.end() if ended else len(self._html)

    def _skip_hidden(self, name: str, at: int) -> int:
        ended = re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE).search(self._html, at)
        return ended.start() if ended else len(self._html)

    def _read_attributes(self, at: int) -> tuple[int, list[tuple[str, str]]]:
        """Where a tag ends, and its attributes; -1 where it does not."""
        html = self._html
        found: list[tuple[str, str]] = []
        while True:
            before = _BEFORE_END.match(html, at)
            assert before is not None
            if html.startswith(">", before.end()):
                return before.end() + 1, found
            named = _ATTRIBUTE.match(html, at)
            if named is None:
                return -1, found
            at = named.end()
            value = ""
            if named[2]:
                quote = html[at : at + 1]
                if quote in ('"', "'"):
                    end = html.find(quote, at + 1)
                    if end < 0:
                        return -1, found
                    value, at = html[at + 1 : end], end + 1
                elif unquoted := _UNQUOTED.match(html, at):
                    value, at = unquoted[0], unquoted.end()
            found.append((named[1].lower(), value))

    def _begin(self, name: str, given: list[tuple[str, str]]) -> str:
        if name not in self._tags:
            return ""
        open_ = self._open
        ended = _ENDED_BY.get(name, ())
        while open_ and open_[-1] in ended:
            open_.pop()
        counted = name
        if name in _OF_TABLES and (not open_ or open_[-1] not in _WITHIN[name]):
            if "table" not in open_:
                return ""  # passed over by every parser
            counted = _LOST
        if name not in VOID:
            open_.append(counted)
            if len(open_) > MAX_NESTING:
                raise TooDeep(
                    f"Its HTML is nested more than {MAX_NESTING} levels deep, or leaves elements open."
                )
        kept = {*self._attributes.get(name, ()), *self._attributes.get("*", ())}
        written = "".join(
            f' {attribute}="{value.replace(chr(34), "&quot;")}"'
            for attribute, value in given
            if attribute in kept
        )
        return f"<{name}{written}>"

    def _end(self, name: str) -> str:
        if name not in self._tags:
            return ""
        open_ = self._open
        at = len(open_) - 1
        if name in _CONTAINERS:
            while at >= 0 and open_[at] != name and open_[at] in _OPTIONAL:
                at -= 1
        if at >= 0 and open_[at] == name:
            del open_[at:]
        return f"</{name}>"
