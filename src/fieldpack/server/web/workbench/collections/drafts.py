"""What somebody writes of a collection on its page: read, checked, and everything wrong with it by its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from uuid import uuid4

import orjson

from fieldpack.documents.nodes import DocumentError, Path
from fieldpack.documents.reading import Document, parse_path, read_document
from fieldpack.server.collections.inputs import parse_collection
from fieldpack.server.collections.schemas import CollectionReplacement
from fieldpack.server.collections.service import in_order
from fieldpack.server.config import Settings
from fieldpack.server.http.routing import parse_json
from fieldpack.server.problems import Problem
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.participants.views import view_pages

__all__ = ["Draft", "Fault", "begin_draft", "list_faults", "preview_draft", "read_draft"]

PLACE_TEXTS = {
    "collection_items": message("editor.page"),
    "page_items": message("editor.item"),
    "options": message("editor.option"),
    "unit_options": message("editor.unit"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong.

    Attributes:
        line: of the text, from 1.
        path: of the field, by name and number.
        messages: what is wrong with it, in sentences.
    """

    line: int
    path: Path
    messages: Sequence[str]

    def place(self, catalogue: Catalogue) -> str:
        """Where it is in words: `page 2, question 3, label`."""
        words: list[str] = []
        for name, after in zip_longest(self.path, self.path[1:]):
            if isinstance(name, int):
                continue
            if isinstance(after, int) and name in PLACE_TEXTS:
                words.append(catalogue.text(PLACE_TEXTS[name], number=after + 1))
            elif name != "body":
                words.append(name)
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that was read.

    Attributes:
        document: what it holds, with the line of everything; None for what is no YAML and no JSON.
        given: the collection that it describes; None while something is wrong.
        faults: what is, in the order of the lines.
    """

    document: Document | None
    given: CollectionReplacement | None
    faults: list[Fault]


def read_draft(source: str, settings: Settings) -> Draft:
    """Read a text: JSON if it begins as one, else YAML. A large one takes seconds: not on the event loop."""
    try:
        document = read_document(source, is_json=source.lstrip().startswith("{"))
    except DocumentError as error:
        return Draft(None, None, [Fault(error.line or 1, (), [_as_sentence(str(error))])])
    try:
        # by the API's own reader, which refuses what no text may hold
        given = parse_collection(parse_json(orjson.dumps(document.body)), settings, CollectionReplacement)
    except Problem as problem:
        return Draft(document, None, list_faults(document, problem))
    return Draft(document, given, [])


def list_faults(document: Document, problem: Problem) -> list[Fault]:
    """What a refusal names by field path, by line."""
    detail = problem.detail
    if not isinstance(detail, Mapping):
        return [Fault(1, (), [detail] if isinstance(detail, str) else detail)]
    found = []
    for name, messages in detail.items():
        path = parse_path(name)
        found.append(Fault(document.find_line(path), path, messages))
    return sorted(found, key=lambda fault: fault.line)


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def begin_draft(catalogue: Catalogue) -> dict[str, Any]:
    """What an empty page begins with: a collection of one question."""
    question = {"type": "free_text", "description": catalogue.text("editor.sample_question")}
    return {
        "name": catalogue.text("editor.sample_name"),
        "task_details": {
            "task_name": catalogue.text("editor.sample_name"),
            "task_introduction": f"<p>{catalogue.text('editor.sample_introduction')}</p>",
            "task_steps": f"<p>{catalogue.text('editor.sample_steps')}</p>",
        },
        "collection_items": [{"page_items": [question]}],
    }


def preview_draft(given: CollectionReplacement, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The pages as participants would see them."""

    def show(item: Any) -> dict[str, Any]:
        return {**item.model_dump(exclude_none=True), "id": str(item.id or uuid4())}

    body = {
        "collection_items": [
            {"page_items": [show(item) for _, item in in_order(page.page_items)]}
            for _, page in in_order(given.collection_items)
        ]
    }
    return view_pages(body, catalogue, answers={}, revisions={}, files=[], errors={})
