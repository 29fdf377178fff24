"""A collection written as YAML is read back as the same, by our reader and by another one, whatever it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fieldpack.documents.collection_files import file_of, write_collection
from fieldpack.documents.reading import read_document
from fieldpack.documents.yaml_writing import write_yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
# what JSON texts hold, U+0000 aside, which the API refuses
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
HARD = st.sampled_from(
    ("", " ", "a ", " a", "no", "NULL", "~", "1", "1e5", "0x1F", "- a", "a: b", "a #b", "'", '"', "\\", "%a", "@",
     "`", "*a", "&a", "!a", "|", ">", "{", "[", "---", "...", "<<", "=", "2026-01-31", "12:30:45", "a\nb", "a\n\nb\n",
     "a\n b", " a\nb", "a\n", "\na", "a\n\n", "a\n \nb", "a\tb", "\ta\nb", "a\r\nb", "\x85", "\u2028", "\ufeff",
     "\uffff", "\U0001f600", "ا", "a\n---\nb", "a\n# b", "Ende.\n", "x" * 500)
)  # fmt: skip
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = TEXTS | HARD | NUMBERS | st.booleans()
OPTIONS = st.lists(st.fixed_dictionaries({"label": TEXTS | HARD, "value": SCALARS}), min_size=1, max_size=4)
ITEMS = st.fixed_dictionaries(
    {"type": st.just("multiple_choice"), "description": TEXTS | HARD, "options": OPTIONS},
    optional={
        "id": st.uuids().map(str),
        "helper_text": TEXTS | HARD,
        "required": st.booleans(),
        "answer_limit": NUMBERS,
    },
)
COLLECTIONS = st.fixed_dictionaries(
    {
        "name": TEXTS | HARD,
        "task_details": st.fixed_dictionaries(
            dict.fromkeys(("task_name", "task_introduction", "task_steps"), TEXTS | HARD)
        ),
        "collection_items": st.lists(
            st.fixed_dictionaries({"page_items": st.lists(ITEMS, min_size=1, max_size=3)}),
            min_size=1,
            max_size=3,
        ),
    },
    optional={"description": TEXTS | HARD},
)
NAMES = TEXTS.filter(lambda name: name != "<<")
VALUES = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(COLLECTIONS)
def test_a_collection_is_read_back_as_it_was(collection: dict[str, Any]) -> None:
    text = write_collection(collection)
    assert read_document(text, is_json=False).body == file_of(collection)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
@example({"a": [[1, [2]], {}, [], [{"b": {}}]]})
def test_another_reader_reads_the_same(value: dict[str, Any]) -> None:
    """A reader that knows nothing of our fields."""
    text = write_yaml(value)
    if value:
        assert YAML(typ="safe", pure=True).load(text) == value


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_lose_nothing(path: Path) -> None:
    body = read_document(path.read_text(encoding="utf-8"), is_json=False).body
    written = write_yaml(body)
    assert read_document(written, is_json=False).body == body
    assert read_document(write_yaml(file_of(body)), is_json=False).body == file_of(body)


def test_it_reads_as_people_write() -> None:
    item = {"id": "6f", "type": "free_text", "description": "How was it?", "order": 0, "created_at": "x"}
    page = {"id": "a1", "order": 3, "schema_version": 1, "page_items": [item]}
    collection = {
        "id": "c",
        "name": "Walks",
        "description": None,
        "task_details": {
            "task_name": "Walk",
            "task_introduction": "<p>One</p>\n<p>Two</p>",
            "task_steps": "yes",
        },
        "collection_items": [page],
    }
    assert write_collection(collection) == (
        "name: Walks\n"
        "task_details:\n"
        "  task_name: Walk\n"
        "  task_introduction: |-\n"
        "    <p>One</p>\n"
        "    <p>Two</p>\n"
        '  task_steps: "yes"\n'
        "collection_items:\n"
        "  - id: a1\n"
        "    order: 3\n"
        "    page_items:\n"
        '      - id: "6f"\n'
        "        type: free_text\n"
        '        description: "How was it?"\n'
    )
