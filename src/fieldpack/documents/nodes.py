"""A YAML or JSON document with the line of everything in it.

Both are read into the same few nodes, JSON here and YAML in `yaml_reading`; `build` makes the data of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = [
    "Allowance",
    "DocumentError",
    "Mapping",
    "Node",
    "Path",
    "Scalar",
    "Sequence",
    "build",
    "read_json",
]

MOST_VALUES = 200_000
"""Values that a document may have once its aliases are replaced: some bytes of aliases can stand for billions."""
MOST_LEVELS = 64
LONGEST_NUMBER = 400
"""Characters of a number; a longer one is no number that JSON has."""

Path = tuple[str | int, ...]


class DocumentError(Exception):
    """The document cannot be used: `str()` says why, in `line` (from 1) if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Scalar:
    """A single value: the text it is written as, and what it means where no text is wanted."""

    line: int
    text: str
    value: Any
    is_null: bool = False


@dataclass(slots=True)
class Sequence:
    """A list."""

    line: int
    items: list[Node]


@dataclass(slots=True)
class Mapping:
    """An object: the keys as they are written."""

    line: int
    entries: list[tuple[Scalar, Node]]


Node = Scalar | Sequence | Mapping
IsText = Callable[[Path, Scalar], bool]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|\n')


class Allowance:
    """What is left of the values that a document may have."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def take(self, count: int, line: int) -> None:
        """Count values.

        Raises:
            DocumentError: there are too many of them, with this one in `line`.
        """
        self._left -= count
        if self._left < 0:
            raise DocumentError(f"this stands for more than {MOST_VALUES:,} values.", line)


def read_json(raw: bytes) -> Node:
    """The nodes of a JSON document.

    Raises:
        DocumentError: it is not JSON, is nested too deep, or has too many values.
    """
    try:
        orjson.loads(raw)  # says where JSON ends being JSON; what follows may rely on it
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"this is not JSON: {error.msg}.", error.lineno) from error
    line = 1
    root: Node | None = None
    open_: list[Sequence | Mapping] = []
    keys: list[Scalar | None] = []
    allowance = Allowance()
    for found in _TOKEN.finditer(raw.decode()):
        token = found[0]
        if token == "\n":
            line += 1
            continue
        if token in "]}":
            open_.pop()
            keys.pop()
            continue
        if token in ",:":
            continue
        node: Node
        if token == "[":
            node = Sequence(line, [])
        elif token == "{":
            node = Mapping(line, [])
        else:
            value = (
                json.loads(token) if len(token) <= LONGEST_NUMBER or token[0] == '"' else orjson.loads(token)
            )
            node = Scalar(line, value if isinstance(value, str) else token, value, is_null=value is None)
        if not open_:
            root = node
        elif isinstance(parent := open_[-1], Sequence):
            parent.items.append(node)
        elif (key := keys[-1]) is None:
            assert isinstance(node, Scalar)
            keys[-1] = node
            continue
        else:
            parent.entries.append((key, node))
            keys[-1] = None
        allowance.take(1, line)
        if not isinstance(node, Scalar):
            open_.append(node)
            keys.append(None)
            if len(open_) > MOST_LEVELS:
                raise DocumentError(f"this is nested more than {MOST_LEVELS} levels deep.", line)
    assert root is not None
    return root


def build(node: Node, is_text: IsText) -> tuple[Any, dict[Path, int], dict[Path, str]]:
    """The data of a document.

    Args:
        node: its root.
        is_text: whether what is no text by itself is text as it is written, because of where it stands.

    Returns:
        The data; the line of everything in it by its path (an object's fields by the line of their name); and
        what numbers are written as, by their path.

    Raises:
        DocumentError: a field is given twice, an alias stands within what it stands for, or there is too much.
    """
    builder = _Builder(is_text)
    return builder.build(node, ()), builder.lines, builder.written


class _Builder:
    def __init__(self, is_text: IsText) -> None:
        self._is_text = is_text
        self._above: set[int] = set()
        self._values = Allowance()
        self._merged = Allowance()
        self.lines: dict[Path, int] = {}
        self.written: dict[Path, str] = {}

    def build(self, node: Node, path: Path) -> Any:
        self.lines.setdefault(path, node.line)
        self._values.take(1, node.line)
        if isinstance(node, Scalar):
            return self._read(node, path)
        if id(node) in self._above:
            raise DocumentError("an alias (*) stands within what it stands for.", node.line)
        if len(path) > MOST_LEVELS:
            raise DocumentError(f"this is nested more than {MOST_LEVELS} levels deep.", node.line)
        self._above.add(id(node))
        try:
            if isinstance(node, Sequence):
                return [self.build(item, (*path, number)) for number, item in enumerate(node.items)]
            made: dict[str, Any] = {}
            for key, value in self._fields(node).values():
                inner = (*path, key.text)
                self.lines[inner] = key.line
                made[key.text] = self.build(value, inner)
            return made
        finally:
            self._above.discard(id(node))

    def _read(self, node: Scalar, path: Path) -> Any:
        value = node.value
        if not isinstance(value, str) and self._is_text(path, node):
            return node.text
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.written[path] = node.text
        shown = node.text if len(node.text) <= 40 else node.text[:39] + "…"
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentError(
                f"{shown} is no number that JSON has: put it in quotes if it is text.", node.line
            )
        try:
            orjson.dumps(value)
        except TypeError as error:
            if isinstance(value, str):
                what = "a character that is none (half of a pair) stands here."
            else:
                what = f"{shown} is too large a number: put it in quotes if it is text."
            raise DocumentError(what, node.line) from error
        return value

    def _fields(self, node: Mapping) -> dict[str, tuple[Scalar, Node]]:
        """A mapping's entries by name; those merged in (`<<`) stand behind its own."""
        own: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        for key, value in node.entries:
            if key.text == "<<":
                for source in value.items if isinstance(value, Sequence) else [value]:
                    if not isinstance(source, Mapping):
                        raise DocumentError(
                            "<< takes the fields of an object (*alias), and this is none.", key.line
                        )
                    if id(source) in self._above:
                        raise DocumentError("an alias (*) stands within what it stands for.", key.line)
                    if len(self._above) > 2 * MOST_LEVELS:
                        raise DocumentError("this is merged (<<) into each other too many times.", key.line)
                    self._above.add(id(source))
                    fields = self._fields(source)
                    # each time that it is merged in: few bytes can have that be done billions of times
                    self._merged.take(len(fields) + 1, source.line)
                    for name, entry in fields.items():
                        merged.setdefault(name, entry)
                    self._above.discard(id(source))
            elif key.text in own:
                first = own[key.text][0].line
                where = "in this line" if first == key.line else f"in line {first}"
                raise DocumentError(f"the field {key.text!r} is given twice, first {where}.", key.line)
            else:
                own[key.text] = (key, value)
        return own | {name: entry for name, entry in merged.items() if name not in own}
