"""How the JSON of an archive is read into the objects of `model`.

The shapes are those of this project's archives (`responses.<id>` = `{type, value, …}`) and, more leniently,
those of the hosted service: bare values, single values where a list is expected, numbers where a text is.
Fields that are not known here are kept in `extra`. What can't be read raises `ValueError` with the reason;
the caller knows the line.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from fieldpack.archive.records import normalize_response, parse_time
from fieldpack.reading.model import (
    CHOICE_TYPES,
    KNOWN_TYPES,
    Answer,
    Choice,
    Collection,
    Instruction,
    Option,
    Submission,
    UploadedFile,
    dump_text,
    scalar_text,
)

__all__ = ["guess_type", "read_answer", "read_collection", "read_submission", "read_time"]


def read_time(value: Any, name: str) -> dt.datetime | None:
    """An RFC 3339 time as aware UTC; one without an offset is taken as UTC."""
    if value is None or value == "":
        return None
    try:
        when = dt.datetime.fromisoformat(value)  # twenty times as fast, and as right where it accepts a time
        return when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
    except (ValueError, TypeError, OverflowError):
        pass
    try:
        return parse_time(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is not a time: {_shorten(value)}") from error


def read_collection(data: Any) -> Collection:
    """Read the object of `collection.json`; `instructions` may also come nested in pages, as the API gives
    them."""
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    known = {
        "id", "name", "description", "workspace_id", "schema_version", "created_at", "task_details", "export",
        "instructions",
    }  # fmt: skip
    items = data.get("instructions")
    if items is None and isinstance(data.get("collection_items"), list):
        items = list(_flatten_pages(data["collection_items"]))
    if items is None:
        items = []
    if isinstance(items, dict):  # keyed by id
        items = [{"id": key, **value} for key, value in items.items() if isinstance(value, dict)]
    if not isinstance(items, list):
        raise ValueError("its instructions are not a list")
    instructions: dict[str, Instruction] = {}
    for position, item in enumerate(items):
        try:
            instruction = _read_instruction(item)
        except ValueError as error:
            raise ValueError(f"instructions[{position}]: {error}") from error
        if instruction.id in instructions:
            raise ValueError(f"the instruction {instruction.id} is there twice")
        instructions[instruction.id] = instruction
    version = data.get("schema_version")
    return Collection(
        id=_text(data.get("id")) or "",
        name=_text(data.get("name")) or "",
        description=_text(data.get("description")),
        workspace_id=_text(data.get("workspace_id")),
        schema_version=version if isinstance(version, int) else None,
        created_at=read_time(data.get("created_at"), "created_at"),
        task_details=_mapping(data.get("task_details")),
        export=_mapping(data.get("export")),
        instructions=tuple(instructions.values()),
        extra={key: value for key, value in data.items() if key not in known},
    )


def _flatten_pages(pages: list[Any]) -> Iterator[dict[str, Any]]:
    for number, page in enumerate(pages, 1):
        items = page.get("page_items") if isinstance(page, dict) else None
        for order, item in enumerate(items or []):
            if isinstance(item, dict):
                yield {"page": number, "order": order, **item}


def _read_instruction(item: Any) -> Instruction:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise ValueError("it is not an object with an id")
    known = {
        "id", "type", "description", "page", "order", "retired", "required", "options", "answer_limit",
        "unit_options", "retired_options", "validation",
    }  # fmt: skip
    limit = item.get("answer_limit")
    validation = item.get("validation")
    return Instruction(
        id=item["id"],
        type=_text(item.get("type")) or "free_text",
        description=_text(item.get("description")) or "",
        page=_integer(item.get("page")),
        order=_integer(item.get("order")),
        retired=bool(item.get("retired")),
        required=item.get("required") is not False,
        options=_read_options(item.get("options"), "options"),
        answer_limit=limit if isinstance(limit, int) else 1,
        unit_options=_read_options(item.get("unit_options"), "unit_options"),
        retired_options=_read_options(item.get("retired_options"), "retired_options"),
        validation=validation if isinstance(validation, dict) else None,
        extra={key: value for key, value in item.items() if key not in known},
    )


def _read_options(items: Any, name: str) -> tuple[Option, ...]:
    if items is None:
        return ()
    if not isinstance(items, list):
        raise ValueError(f"{name} is not a list")
    options = []
    for item in items:
        if not isinstance(item, dict):
            item = {"value": item}
        value = item.get("value", item.get("label"))
        if not isinstance(value, (str, int, float, bool)):
            raise ValueError(f"an option of {name} has no value")
        label = item.get("label")
        options.append(
            Option(
                value=value,
                label=str(label) if isinstance(label, (str, int, float)) else scalar_text(value),
                exclusive=bool(item.get("exclusive")),
                heading=_text(item.get("heading")),
                extra={k: v for k, v in item.items() if k not in ("value", "label", "exclusive", "heading")},
            )
        )
    return tuple(options)


def read_submission(data: Any, instructions: Mapping[str, Instruction]) -> Submission:
    """Read one line of `responses.jsonl`."""
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    submission_id = data.get("submission_id")
    if not isinstance(submission_id, str) or not submission_id:
        raise ValueError("it has no submission_id")
    responses = data.get("responses")
    if responses is None:
        responses = {}
    if not isinstance(responses, dict):
        raise ValueError("its responses are not an object keyed by instruction id")
    answers: dict[str, Answer] = {}
    for key, raw in responses.items():
        try:
            answer = read_answer(key, raw, instructions.get(key), submission_id)
        except ValueError as error:
            raise ValueError(f"the answer to {key}: {error}") from error
        if answer is not None:
            answers[key] = answer
    known = {
        "submission_id",
        "participant_id",
        "study_id",
        "status",
        "started_at",
        "completed_at",
        "responses",
    }
    return Submission(
        submission_id=submission_id,
        participant_id=_text(data.get("participant_id")),
        study_id=_text(data.get("study_id")),
        status=_text(data.get("status")),
        started_at=read_time(data.get("started_at"), "started_at"),
        completed_at=read_time(data.get("completed_at"), "completed_at"),
        answers=answers,
        extra={key: value for key, value in data.items() if key not in known},
    )


def read_answer(
    instruction_id: str, raw: Any, instruction: Instruction | None, submission_id: str = ""
) -> Answer | None:
    """Read one response, in its full shape or bare; None when there is no answer (null)."""
    raw = normalize_response(raw)
    kind: Any = raw.get("type")
    value = raw["value"] if "value" in raw else raw.get("answer")
    unit = _read_unit(raw.get("unit"), instruction)
    extra = {k: v for k, v in raw.items() if k not in ("type", "value", "unit", "answer")}
    if value is None:
        return None
    if instruction is not None and instruction.type in KNOWN_TYPES:
        kind = instruction.type
    elif not isinstance(kind, str) or kind not in KNOWN_TYPES:
        kind = guess_type(value, unit)
    if kind in CHOICE_TYPES:
        items = value if isinstance(value, list) else [value]
        choices = tuple(_read_choice(item) for item in items)
        return Answer(instruction_id, kind, choices=choices, extra=extra)
    if kind == "file_upload":
        items = value if isinstance(value, list) else [value]
        files = tuple(_read_file(item, submission_id, instruction_id) for item in items)
        return Answer(instruction_id, kind, files=files, extra=extra)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and "value" in value:
        unit = unit or _read_unit(value.get("unit"), instruction)
        value = value["value"]
    if isinstance(value, (list, dict)):
        raise ValueError(f"a text was expected, not {_shorten(value)}")
    if value is None:
        return None
    return Answer(instruction_id, kind, text=scalar_text(value), unit=unit, extra=extra)


def _read_unit(value: Any, instruction: Instruction | None) -> str | None:
    if instruction is not None and isinstance(value, (str, int, float, bool)):
        return instruction.unit_text(value)
    return _text(value)


def guess_type(value: Any, unit: str | None = None) -> str:
    """The type that a response most likely has by its shape, when nothing says its type."""
    if isinstance(value, list):
        if any(isinstance(item, dict) and ("path" in item or "file_name" in item) for item in value):
            return "file_upload"
        if any(isinstance(item, dict) for item in value):
            return "multiple_choice_with_free_text"
        return "multiple_choice"
    return "free_text_with_unit" if unit is not None else "free_text"


def _read_choice(item: Any) -> Choice:
    explanation = None
    if isinstance(item, dict):
        explanation = _text(item.get("explanation"))
        item = item.get("value")
    if not isinstance(item, (str, int, float, bool)):
        raise ValueError(f"a chosen option was expected, not {_shorten(item)}")
    return Choice(item, explanation)


def _read_file(item: Any, submission_id: str, instruction_id: str) -> UploadedFile:
    if isinstance(item, str):
        item = {"path": item}
    if not isinstance(item, dict):
        raise ValueError(f"a file was expected, not {_shorten(item)}")
    path = next((item[k] for k in ("path", "file_path", "file_key", "file_name") if _text(item.get(k))), None)
    if not isinstance(path, str):
        raise ValueError(f"a file without a path: {_shorten(item)}")
    known = ("path", "file_name", "content_type", "size_bytes", "sha256")
    return UploadedFile(
        submission_id=submission_id,
        instruction_id=instruction_id,
        path=path,
        file_name=_text(item.get("file_name")) or path.rsplit("/", 1)[-1],
        content_type=_text(item.get("content_type")),
        size_bytes=_integer(item.get("size_bytes")),
        sha256=_text(item.get("sha256")),
        extra={key: value for key, value in item.items() if key not in known},
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return dump_text(value)


def _integer(value: Any) -> int | None:
    """A whole number that fits 64 bits, or None."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shorten(value: Any) -> str:
    text = dump_text(value)
    return text if len(text) <= 60 else text[:57] + "..."
