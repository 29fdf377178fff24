"""Reading a collection or study from a YAML or JSON file, and saying in which line of it something is wrong."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack.documents import nodes as documents
from fieldpack.documents.nodes import DocumentError
from fieldpack.documents.reading import Document, parse_path, read_document
from fieldpack.errors import ApiError, TemplateError, UsageError
from fieldpack.text import say_bytes

__all__ = ["Template", "read_template", "split_path"]

MOST_BYTES = 16 * 1024 * 1024

_CONTAINERS = {
    "collection_items": "page",
    "page_items": "item",
    "options": "option",
    "unit_options": "unit",
    "completion_codes": "completion code",
    "filters": "filter",
}


@dataclass(frozen=True)
class Template(Document):
    """What a file holds, and which one that is.

    Attributes:
        shown: the file as errors name it.
        folder: where it is, for files that it names; the current folder for standard input.
    """

    shown: str
    folder: Path

    def locate(self, path: documents.Path) -> str:
        """`survey.yaml:14`: where the thing at `path` stands, or should stand."""
        return f"{self.shown}:{self.find_line(path)}"

    def say(self, path: documents.Path, message: str) -> str:
        """One line about what stands at `path`: where it is, in the file and in words, and what of it."""
        place, _ = split_path(path)
        return f"{self.locate(path)}: {place + ': ' if place else ''}{message}"

    @contextmanager
    def explain(self) -> Iterator[None]:
        """Name the lines of this file in a server's refusal of what it holds.

        Raises:
            TemplateError: the server named fields that it does not take.
        """
        try:
            yield
        except ApiError as error:
            if error.status != 400 or not isinstance(error.detail, dict) or not error.detail:
                raise
            raise TemplateError(self._explain(error.detail)) from error

    def _explain(self, detail: dict[str, Any]) -> list[str]:
        from fieldpack.cli.collections.files.rules import check_collection

        ours: dict[documents.Path, list[str]] = {}
        if {"collection_items", "task_details"} & self.body.keys() or "collection_items" in detail:
            for finding in check_collection(self.body):
                if finding.is_error:
                    ours.setdefault(finding.path, []).append(finding.message)
        said: dict[str, documents.Path] = {}
        for name, messages in detail.items():
            path = parse_path(str(name))
            if path == ("body",):
                path = ()
            for message in ours.get(path) or _flatten(messages, path):
                said.setdefault(self.say(path, message), path)
        return sorted(said, key=lambda line: self.find_line(said[line]))


def read_template(path: Path) -> Template:
    """The object in a `.json` file, or in a YAML file of any other name; `-` is standard input.

    Raises:
        UsageError: there is no such file.
        TemplateError: it does not hold one object; the line is named.
    """
    shown = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}.") from error
    if len(raw) > MOST_BYTES:
        raise TemplateError(
            [f"{shown}: the file is larger than {say_bytes(MOST_BYTES)}: is it the one you mean?"]
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TemplateError([f"{shown}: this is UTF-16: save the file as UTF-8."])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TemplateError([f"{shown}:{line}: this is not UTF-8 text: save the file as UTF-8."]) from error
    try:
        read = read_document(text, is_json=path.suffix.lower() == ".json")
    except DocumentError as error:
        where = f"{shown}:{error.line}" if error.line else shown
        raise TemplateError([f"{where}: {error}"]) from error
    folder = Path() if str(path) == "-" else path.parent
    return Template(read.body, read.lines, read.written, shown, folder)


def split_path(path: documents.Path) -> tuple[str, str]:
    """Where in a collection or study a path leads, and the field there: `page 2, item 3` and `validation.max`."""
    places, rest = [], 0
    for number, (name, index) in enumerate(itertools.pairwise(path)):
        if isinstance(index, int) and name in _CONTAINERS:
            places.append(f"{_CONTAINERS[str(name)]} {index + 1}")
            rest = number + 2
    return ", ".join(places), ".".join(str(name) for name in path[rest:])


def _flatten(messages: Any, path: documents.Path) -> list[str]:
    """A server's messages about a field, with the field's name in front."""
    name = split_path(path)[1]
    found = messages if isinstance(messages, list) else [messages]
    return [f"{name}: {message}" if name else str(message) for message in found]
