"""Reading a collection or study from a YAML or JSON file, and saying in which line of it something is wrong."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldpack.cli.collections.files import documents
from fieldpack.cli.collections.files.documents import DocumentError
from fieldpack.cli.collections.files.yaml_documents import read_yaml
from fieldpack.errors import ApiError, TemplateError, UsageError
from fieldpack.text import say_bytes

__all__ = ["Template", "parse_path", "read_template", "split_path"]

MOST_BYTES = 16 * 1024 * 1024

# Fields whose words are text as they are written: `label: 1`, `name: 2026`, `description: no`.
_TEXT_FIELDS = frozenset(
    (
        *("name", "internal_name", "description", "task_name", "task_introduction", "task_steps"),
        *(
            "helper_text",
            "placeholder_text_input",
            "label",
            "heading",
            "content",
            "alt_text",
            "caption",
            "url",
        ),
        *("type", "content_format", "unit_position", "id", "workspace_id", "project", "data_collection_id"),
        *("external_study_url", "completion_code", "code", "actor", "filter_id", "contact"),
    )
)
# Of these, the ones that can't be left out: `label: Null` is an answer in German.
_NEEDED_FIELDS = frozenset(
    (
        *("name", "description", "task_name", "task_introduction", "task_steps"),
        *("label", "heading", "content", "alt_text"),
    )
)
_TEXT_LISTS = frozenset(("accepted_file_types", "selected_values"))
_CONTAINERS = {
    "collection_items": "page",
    "page_items": "item",
    "options": "option",
    "unit_options": "unit",
    "completion_codes": "completion code",
    "filters": "filter",
}


@dataclass(frozen=True)
class Template:
    """What a file holds.

    Attributes:
        shown: the file as errors name it.
        folder: where it is, for files that it names; the current folder for standard input.
        body: the object in it.
        lines: the line of everything in it, by path.
        written: what numbers are written as, by path.
    """

    shown: str
    folder: Path
    body: dict[str, Any]
    lines: dict[documents.Path, int] = field(repr=False)
    written: dict[documents.Path, str] = field(repr=False)

    def locate(self, path: documents.Path) -> str:
        """`survey.yaml:14`: where the thing at `path` stands, or should stand."""
        return f"{self.shown}:{self.find_line(path)}"

    def find_line(self, path: documents.Path) -> int:
        """The line of the thing at `path`, or of what it is missing from."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

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
        is_json = path.suffix.lower() == ".json"
        node = documents.read_json(text.encode()) if is_json else read_yaml(text)
        if not isinstance(node, documents.Mapping):
            raise DocumentError(
                "the file does not hold one object with named fields, such as `name: …`.",
                node.line if node else None,
            )
        body, lines, written = documents.build(node, _is_never_text if is_json else _is_text)
    except DocumentError as error:
        where = f"{shown}:{error.line}" if error.line else shown
        raise TemplateError([f"{where}: {error}"]) from error
    folder = Path() if str(path) == "-" else path.parent
    return Template(shown, folder, body, lines, written)


def _is_text(path: documents.Path, node: documents.Scalar) -> bool:
    """Whether what stands at `path` is text, so that a number or a word such as `no` is too.

    A word for nothing is one where there must be text; a collection's own description may be left out.
    """
    if node.is_null:
        is_needed = path[-1] in _NEEDED_FIELDS and (path[-1] != "description" or len(path) > 1)
        return is_needed and node.text != ""
    if isinstance(path[-1], str):
        return path[-1] in _TEXT_FIELDS
    return len(path) > 1 and path[-2] in _TEXT_LISTS


def _is_never_text(path: documents.Path, node: documents.Scalar) -> bool:
    """JSON's quotes say what is text."""
    return False


def parse_path(text: str) -> documents.Path:
    """A field path as the API writes it, `collection_items.0.page_items.1.type`, as a tuple of names and indices."""
    return tuple(int(name) if re.fullmatch("[0-9]{1,9}", name) else name for name in text.split("."))


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
