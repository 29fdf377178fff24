"""The README.md inside an archive: what is in it, and how to read it.

Text that a researcher wrote (names, questions) is escaped: it can't add markup, links or code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fieldpack.text import CONTROL, say_count

_MAX_TEXT = 300  # characters of a question in the table; the whole text is in collection.json

_INVISIBLE = re.compile(f"[{CONTROL}]+")
_MARKUP = re.compile(r"[\\`*_\[\]|~$@#]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_BLOCK_START = re.compile(r"\A(\d*)([.)+=-])")

_CONTENT_TYPES = ("rich_text", "image")
_ANSWERED_WITH = {
    "free_text": "text",
    "multiple_choice": "a list of the values chosen",
    "multiple_choice_with_free_text": "a list of `{value, explanation}`",
    "free_text_with_unit": "text, and a `unit` beside it",
    "file_upload": "a list of files",
}

PANDAS_EXAMPLE = """\
import json

import pandas as pd

with open("collection.json", encoding="utf-8") as file:
    instructions = json.load(file)["instructions"]
asked = [item for item in instructions if item["type"] not in ("rich_text", "image")]

fields = ["submission_id", "participant_id", "study_id", "status", "started_at", "completed_at"]
titles, taken = {}, set(fields)
for item in asked:
    title = item.get("description") or item["id"]
    titles[item["id"]] = f"{title} [{item['id']}]" if title in taken else title
    taken.add(titles[item["id"]])


def cell(response):
    value = response.get("value")
    if isinstance(value, list):
        if response["type"] == "file_upload":
            value = [entry["path"] for entry in value]
        elif response["type"] == "multiple_choice_with_free_text":
            value = [f"{entry['value']} ({entry.get('explanation')})" for entry in value]
        return "; ".join(str(entry) for entry in value)
    return f"{value} {response['unit']}" if "unit" in response else value


rows = []
with open("responses.jsonl", encoding="utf-8") as file:
    for line in file:
        row = json.loads(line)
        responses = row.pop("responses")
        for item in asked:
            response = responses.get(item["id"])
            row[titles[item["id"]]] = None if response is None else cell(response)
        rows.append(row)

table = pd.DataFrame(rows, columns=fields + list(titles.values()))
for column in ("started_at", "completed_at"):
    table[column] = pd.to_datetime(table[column], utc=True)

print(table)
"""
"""Makes `table`, a row per submission and a column per question, in the extracted folder."""

FILES_EXAMPLE = """\
import json

import pandas as pd

rows = []
with open("responses.jsonl", encoding="utf-8") as file:
    for line in file:
        submission = json.loads(line)
        for instruction_id, response in submission["responses"].items():
            if response["type"] == "file_upload":
                for entry in response["value"]:
                    rows.append(
                        {
                            "submission_id": submission["submission_id"],
                            "participant_id": submission["participant_id"],
                            "instruction_id": instruction_id,
                            **entry,
                        }
                    )

files = pd.DataFrame(rows)
print(files)
"""
"""Makes `files`, a row per uploaded file."""


def render_readme(collection: Mapping[str, Any]) -> str:
    """The README.md of an archive, from its collection.json (with `export` and `instructions`).

    The same collection.json gives the same text.
    """
    export = collection["export"]
    submissions, files = int(export["submission_count"]), int(export["file_count"])
    blocks = [f"# {_text(collection.get('name') or 'Collection', block=True)}"]
    if collection.get("description"):
        blocks.append(_text(collection["description"], block=True))
    blocks += [
        _introduction(collection, export, submissions, files),
        _contents(submissions, files, len(_questions(collection)), export.get("correction_count")),
        _question_table(_questions(collection)),
        "## Quick start with pandas",
        "Extract the archive, open a terminal in the extracted folder, and run this with Python "
        "(`pip install pandas`). It makes one row per submission and one column per question.",
        _code(PANDAS_EXAMPLE),
        *_files_section(files),
        "## What a line of responses.jsonl holds",
        "`submission_id`, `participant_id`, `study_id`, `status`, `started_at`, `completed_at` (in UTC), and "
        "`responses`: one entry per answered question, under the question's id, with its `type` and `value`. "
        "A question left unanswered has no entry. Lines are ordered by completion time, then submission id. "
        "`edited_at` is there if a researcher corrected an answer: when it was done last.",
        *_history_section(export.get("correction_count")),
    ]
    return "\n\n".join(blocks) + "\n"


def _questions(collection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in collection["instructions"] if item["type"] not in _CONTENT_TYPES]


def _introduction(
    collection: Mapping[str, Any], export: Mapping[str, Any], submissions: int, files: int
) -> str:
    text = (
        f"This archive holds {say_count(submissions, 'submission')} and {say_count(files, 'uploaded file')}. "
    )
    text += f"It is export `{_id(export['id'])}` of collection `{_id(collection['id'])}`"
    if export.get("created_at"):
        text += f", made {_text(export['created_at'])}"
    narrowed = [f"{_text(key)} = {_text(value)}" for key, value in (export.get("filter") or {}).items()]
    if narrowed:
        text += f", narrowed to {', '.join(narrowed)}"
    return text + "."


def _contents(submissions: int, files: int, questions: int, corrections: int | None) -> str:
    rows = [
        "## What is inside",
        "",
        "| | |",
        "|---|---|",
        f"| `responses.jsonl` | {say_count(submissions, 'submission')}, one JSON object per line |",
        f"| `collection.json` | the collection: {say_count(questions, 'question')} with every setting |",
        "| `README.md` | this file |",
    ]
    if corrections is not None:
        rows.append(
            f"| `history.jsonl` | {say_count(corrections, 'correction')} of answers, one JSON object per line |"
        )
    if files:
        rows.append(f"| `files/` | {say_count(files, 'uploaded file')} |")
    return "\n".join(rows)


def _question_table(questions: Sequence[Mapping[str, Any]]) -> str:
    rows = ["## Questions", ""]
    if not questions:
        return "\n".join([*rows, "The collection asks no questions."])
    rows += ["| id | question | type | `value` |", "|---|---|---|---|"]
    for item in questions:
        text = _text(item.get("description") or "", limit=_MAX_TEXT)
        if item.get("retired"):
            text += " *(no longer asked)*"
        kind = str(item["type"])
        rows.append(f"| `{_id(item['id'])}` | {text} | {_text(kind)} | {_ANSWERED_WITH.get(kind, '')} |")
    return "\n".join(rows)


def _files_section(files: int) -> list[str]:
    heading = "## Which file belongs to whom"
    if not files:
        return [heading, "No files were uploaded."]
    return [
        heading,
        "Every file is called `files/<submission_id>_<name>`. The list under a `file_upload` question in "
        "`responses.jsonl` gives each file's `path`, which works as it stands in the extracted folder, the "
        "`file_name` it had on the participant's device, and its `content_type`, `size_bytes` and `sha256`. "
        "This makes a table of all files with their submissions:",
        _code(FILES_EXAMPLE),
    ]


def _history_section(corrections: int | None) -> list[str]:
    if corrections is None:
        return []
    return [
        "## What a line of history.jsonl holds",
        "A correction that a researcher made: `submission_id`, `participant_id`, `instruction_id`, `version` (of the "
        "answer from then on; what the participant handed in is 1), `edited_at`, `edited_by` (`id` and `name`), "
        "`reason`, and the response `before` and `after`, as `responses` has it; null for none. A file that was "
        "replaced is described, but not in this archive. Lines are in the order of responses.jsonl, then of time.",
    ]


def _code(source: str) -> str:
    return f"```python\n{source}```"


def _id(value: object) -> str:
    """An identifier, to stand between backticks: those and pipes can't be escaped there."""
    return re.sub(r"[^0-9A-Za-z._:-]", "", str(value))


def _text(value: object, *, block: bool = False, limit: int | None = None) -> str:
    """Text on one line, its markup disarmed. `block`: it starts a block, where `1.` would be a list."""
    text = " ".join(_INVISIBLE.sub(" ", str(value)).split())
    if limit is not None and len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    text = re.sub("[&<>]", lambda match: _ENTITIES[match[0]], text)
    text = _MARKUP.sub(lambda match: "\\" + match[0], text)
    return _BLOCK_START.sub(r"\1\\\2", text) if block else text
