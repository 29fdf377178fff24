"""HTML in a form that can be judged by its length: every tag is written out plainly, and none is nested deeply.

The time that an HTML parser takes grows with the square of how deeply elements are nested, and how deeply they are
depends on rules by which some end tags count, some are implied and some are passed over (HTML Standard §13.2.6). `tidy`
reads the tags (§13.2.5), writes them out so that every parser finds the same ones, and counts what may be open: an
element is only taken as closed where it is by those rules, so that what it counts is never less than what there is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["MAX_NESTING", "TooDeep", "tidy"]

MAX_NESTING = 200
MOST_REPEATED, ALWAYS_REPEATED = 10, 10_000
"""Characters of tags that a parser may write out again, for each character of the text, and at all."""

VOID = frozenset(("br", "hr", "img"))
# whose content is never shown, and has no tags in it
HIDDEN = frozenset(("script", "style"))
# what is open when something around it ends is opened again behind that, with its attributes (§13.2.4.3)
_FORMATTING = frozenset(("a", "b", "code", "em", "i", "s", "small", "strong", "u"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_CELLS, _SECTIONS = frozenset(("td", "th")), frozenset(("tbody", "tfoot", "thead"))
_OF_TABLES = _CELLS | _SECTIONS | {"tr"}
_SCOPE = _CELLS | {"table"}  # beyond these no end tag closes anything
# what ends a paragraph that is open (§13.2.6.4.7); of these only some stay
_ENDS_P = _HEADINGS | {
    *("address", "article", "aside", "blockquote", "center", "dd", "details", "dialog", "dir"),
    *("div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup"),
    *("hr", "li", "listing", "main", "menu", "nav", "ol", "p", "pre", "search", "section"),
    *("summary", "table", "ul"),
}
_ITEMS_AND_BLOCKS = {"blockquote", "dd", "div", "dl", "dt", "li", "ol", "p", "pre", "table", "ul"}
_SPECIAL = _HEADINGS | _OF_TABLES | _ITEMS_AND_BLOCKS
_BLOCKS = frozenset(("blockquote", "div", "dl", "ol", "pre", "ul"))
# which items end where another begins, and what an item's end tag does not look beyond
_ITEMS = {"li": frozenset(("li",)), "dd": frozenset(("dd", "dt")), "dt": frozenset(("dd", "dt"))}

_SPACE = r"[ \t\n\f\r]"
_NAME = re.compile(r"[a-zA-Z][^ \t\n\f\r/>]*")
_ATTRIBUTE = re.compile(rf"(?:{_SPACE}|/)*+([^ \t\n\f\r/>][^ \t\n\f\r/>=]*+)(?:{_SPACE}*+(=){_SPACE}*+)?")
_BEFORE_END = re.compile(rf"(?:{_SPACE}|/)*+")
_COMMENT_END = re.compile("--!?>")
_UNQUOTED = re.compile(r"[^ \t\n\f\r>]*+")


@dataclass(slots=True)
class _Open:
    """An element that is open, or that would be opened again.

    Attributes:
        tag: as it was written out.
        again: how many elements would be opened again when it began.
    """

    name: str
    tag: str
    again: int


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
        self._open: list[_Open] = []
        self._again: list[_Open] = []  # formatting that something around it has ended
        self._left = MOST_REPEATED * len(html) + ALWAYS_REPEATED

    def run(self) -> Iterator[str]:
        """The pieces of the text, in their order."""
        html, at = self._html, 0
        while (start := html.find("<", at)) >= 0:
            if start > at:
                self._open_again()
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
            elif at < len(html) and html.startswith(("!", "?", "/"), at) and html[at:] != "/":
                at = self._skip_to(">", at)
            else:
                self._open_again()
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
        ended = re.compile(f"</{name}(?=[ \\t\\n\\f\\r/>])", re.IGNORECASE).search(self._html, at)
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
            return "</p>" if name in _ENDS_P and self._close({"p"}) else ""
        if name in _ITEMS:
            self._end_item(_ITEMS[name])
        if name in _ENDS_P:
            self._close({"p"})
        if name in _HEADINGS and self._open and self._open[-1].name in _HEADINGS:
            self._cut(len(self._open) - 1)
        if name == "table" or name in _OF_TABLES:
            at = self._find_table()
            if name == "table":
                if at >= 0 and not any(each.name in _CELLS for each in self._open[at:]):
                    self._cut(at)  # a table directly in a table ends that
            elif at < 0:
                return ""  # passed over by every parser
            else:
                self._cut(self._find_context(name, at) + 1)
        if name not in _SPECIAL and name != "hr":
            if name == "a":
                self._end_formatting("a")  # links don't nest
            self._open_again()
        kept = {*self._attributes.get(name, ()), *self._attributes.get("*", ())}
        written = "".join(
            f' {attribute}="{value.replace(chr(34), "&quot;")}"'
            for attribute, value in given
            if attribute in kept
        )
        tag = f"<{name}{written}>"
        if name not in VOID:
            self._open.append(_Open(name, tag, len(self._again)))
            if len(self._open) + len(self._again) > MAX_NESTING:
                raise TooDeep(
                    f"Its HTML is nested more than {MAX_NESTING} levels deep, or leaves elements open."
                )
        return tag

    def _end(self, name: str) -> str:
        if name not in self._tags:
            return ""
        if name in _FORMATTING:
            self._end_formatting(name)
        elif name == "table" or name in _OF_TABLES:
            table = self._find_table()
            for at in range(len(self._open) - 1, max(table, 0) - 1, -1):
                if table >= 0 and self._open[at].name == name:
                    self._cut(at)
                    break
        elif name in _HEADINGS:
            self._close(_HEADINGS)
        elif name in _BLOCKS or name in ("dd", "dt", "p"):
            self._close({name})
        elif name == "li":
            self._close({"li"}, beyond=("ol", "ul"))
        else:  # the last of this name, unless a block lies between
            self._close({name}, beyond=_SPECIAL)
        return f"</{name}>"

    def _repeat(self, elements: Iterable[_Open]) -> None:
        """Count what a parser writes out again."""
        self._left -= sum(len(each.tag) for each in elements)
        if self._left < 0:
            raise TooDeep(
                "Its HTML leaves so much formatting open that it would be written out over and over."
            )

    def _find_table(self) -> int:
        return next((at for at in range(len(self._open) - 1, -1, -1) if self._open[at].name == "table"), -1)

    def _find_context(self, name: str, table: int) -> int:
        """Where in the open elements a part of a table belongs: its row, section or table."""
        wanted = {"table"}
        if name not in _SECTIONS:
            wanted |= _SECTIONS
        if name in _CELLS:
            wanted.add("tr")
        return next(at for at in range(len(self._open) - 1, table - 1, -1) if self._open[at].name in wanted)

    def _end_item(self, names: Collection[str]) -> None:
        for at in range(len(self._open) - 1, -1, -1):
            name = self._open[at].name
            if name in names:
                self._cut(at)
                return
            if name in _SPECIAL and name not in ("div", "p"):
                return

    def _close(self, names: Collection[str], beyond: Collection[str] = ()) -> bool:
        """End the last element of these names, and all within it; whether there was one."""
        for at in range(len(self._open) - 1, -1, -1):
            name = self._open[at].name
            if name in names:
                self._cut(at)
                return True
            if name in _SCOPE or name in beyond:
                break
        return False

    def _cut(self, at: int) -> None:
        """End the open elements from this one on: formatting among them is opened again behind it."""
        ended = self._open[at:]
        del self._open[at:]
        cell = next((number for number, each in enumerate(ended) if each.name in _CELLS), None)
        if cell is not None:  # what is left open in a cell ends with it
            del self._again[ended[cell].again :]
        self._again += [each for each in ended[:cell] if each.name in _FORMATTING]

    def _open_again(self) -> None:
        """Text, or an element within a line, stands within the formatting that was open before."""
        first = self._first_again()
        if first < len(self._again):
            self._repeat(self._again[first:])
            self._open += self._again[first:]
            del self._again[first:]

    def _first_again(self) -> int:
        """Which of the elements that are opened again are the first of the cell that is open, if one is."""
        return next((each.again for each in reversed(self._open) if each.name in _CELLS), 0)

    def _end_formatting(self, name: str) -> None:
        """End the last formatting of this name (§13.2.6.4.7, "adoption agency"): blocks within it stay open."""
        for at in range(len(self._again) - 1, self._first_again() - 1, -1):
            if self._again[at].name == name:
                del self._again[at]
                return
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at].name == name:
                del self._open[at]
                within = range(len(self._open) - 1, at - 1, -1)
                last = next((each for each in within if self._open[each].name in _SPECIAL), at - 1)
                self._cut(last + 1)
                stay = _SPECIAL | _FORMATTING
                self._open[at:] = [each for each in self._open[at:] if each.name in stay]
                self._repeat(each for each in self._open[at:] if each.name in _FORMATTING)
                return
            if self._open[at].name in _SCOPE:
                break
