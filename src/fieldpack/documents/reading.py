"""Reading a collection or study that somebody wrote as YAML or JSON, with the line of everything in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fieldpack.documents.nodes import DocumentError, Mapping, Path, Scalar, build, read_json
from fieldpack.documents.yaml_reading import read_yaml

__all__ = ["Document", "parse_path", "read_document"]

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


@dataclass(frozen=True)
class Document:
    """What a file holds.

    Attributes:
        body: the object in it.
        lines: the line of everything in it, by path.
        written: what numbers are written as, by path.
    """

    body: dict[str, Any]
    lines: dict[Path, int] = field(repr=False)
    written: dict[Path, str] = field(repr=False)

    def find_line(self, path: Path) -> int:
        """The line of the thing at `path`, or of what it is missing from."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(text: str, *, is_json: bool) -> Document:
    """The object that a text holds.

    Raises:
        DocumentError: it does not hold one object; the line is named.
    """
    node = read_json(text.encode()) if is_json else read_yaml(text)
    if not isinstance(node, Mapping):
        raise DocumentError(
            "the file does not hold one object with named fields, such as `name: …`.",
            node.line if node else None,
        )
    return Document(*build(node, _is_never_text if is_json else _is_text))


def _is_text(path: Path, node: Scalar) -> bool:
    """Whether what stands at `path` is text, so that a number or a word such as `no` is too.

    A word for nothing is one where there must be text; a collection's own description may be left out.
    """
    if node.is_null:
        is_needed = path[-1] in _NEEDED_FIELDS and (path[-1] != "description" or len(path) > 1)
        return is_needed and node.text != ""
    if isinstance(path[-1], str):
        return path[-1] in _TEXT_FIELDS
    return len(path) > 1 and path[-2] in _TEXT_LISTS


def _is_never_text(path: Path, node: Scalar) -> bool:
    """JSON's quotes say what is text."""
    return False


def parse_path(text: str) -> Path:
    """A field path as the API writes it, `collection_items.0.page_items.1.type`, as a tuple of names and indices."""
    return tuple(int(name) if re.fullmatch("[0-9]{1,9}", name) else name for name in text.split("."))
