"""The long tables of an archive, as Arrow: a row per answer, a row per file. Needs pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fieldpack.reading.model import CHOICE_TYPES, Instruction
from fieldpack.tables.wide import combine, find_answers, read_raw

# isort: split
# After `tables`, which says what to install when these are missing.
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fieldpack.tables.raw import STRING, TIME, RawTable

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["build_answers", "build_files"]


def build_answers(export: OpenArchive) -> pa.Table:
    """The long form; see `Export.answers`."""
    raw = read_raw(export)
    tables = []
    for order, instruction in enumerate(raw.instructions.values()):
        data = find_answers(raw, instruction)
        if data is not None and data.null_count < len(data):
            tables.append(_build_long(raw, instruction, order, combine(data)))
    schema = pa.schema(
        [
            ("row", pa.int64()), ("instruction_order", pa.int32()), ("instruction_id", STRING),
            ("question", STRING), ("type", STRING), ("page", pa.int64()), ("item", pa.int64()),
            ("value", STRING), ("label", STRING), ("unit", STRING), ("explanation", STRING),
        ]
    )  # fmt: skip
    long = pa.concat_tables([schema.empty_table(), *(answers.cast(schema) for answers in tables)])
    long = long.sort_by([("row", "ascending"), ("instruction_order", "ascending"), ("item", "ascending")])
    base = raw.table.select(["m:submission_id", "m:participant_id", "m:status", "m:completed_at"])
    base = base.rename_columns([name[2:] for name in base.column_names]).take(long["row"])
    for name in long.column_names[2:]:
        base = base.append_column(name, long[name])
    return base


def _build_long(raw: RawTable, instruction: Instruction, order: int, data: pa.Array) -> pa.Table:
    key = instruction.id
    if instruction.type in CHOICE_TYPES or instruction.type == "file_upload":
        valid = pc.is_valid(data)
        # An empty list is an answer too: it takes one row without a value.
        lengths = pc.if_else(valid, pc.max_element_wise(pc.list_value_length(data), 1), 0)
        rows = np.repeat(np.arange(len(data)), lengths.fill_null(0).to_numpy(zero_copy_only=False))
        starts = (
            np.concatenate([[0], np.flatnonzero(np.diff(rows)) + 1]) if len(rows) else np.array([], dtype=int)
        )
        item = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
        counts = pc.fill_null(pc.list_value_length(data), 0).to_numpy(zero_copy_only=False)
        empty = counts[rows] == 0
        flat = np.full(len(rows), -1, dtype=np.int64)
        flat[~empty] = np.arange(int(counts.sum()))
        take = pa.array(flat, mask=empty)
        values = data.flatten().take(take)
        label = unit = said = pa.nulls(len(rows), STRING)
        if instruction.type == "file_upload":
            value = pc.struct_field(values, "path")
        else:
            codes = raw.codes[key]
            value = pa.array([*codes.get_texts()], STRING).take(values)
            label = pa.array([*codes.get_labels()], STRING).take(values)
            explanations = raw.find("e", key)
            if explanations is not None:
                said = combine(explanations).flatten().take(take)
        item = item + 1
    else:
        rows = np.flatnonzero(pc.is_valid(data).to_numpy(zero_copy_only=False))
        item = np.ones(len(rows), dtype=np.int64)
        value = data.take(pa.array(rows))
        label = said = pa.nulls(len(rows), STRING)
        units = raw.find("u", key)
        unit = pa.nulls(len(rows), STRING) if units is None else combine(units).take(pa.array(rows))
    count = len(rows)
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "instruction_order": pa.array(np.full(count, order), pa.int32()),
            "instruction_id": _repeat(key, count),
            "question": _repeat(instruction.title, count),
            "type": _repeat(instruction.type, count),
            "page": pa.nulls(count, pa.int64())
            if instruction.page is None
            else pa.array(np.full(count, instruction.page)),
            "item": pa.array(item, pa.int64()),
            "value": value,
            "label": label,
            "unit": unit,
            "explanation": said,
        }
    )


def build_files(export: OpenArchive, root: str | None) -> pa.Table:
    """A row per file; see `Export.files`."""
    names = (
        "submission_id", "participant_id", "completed_at", "instruction_id", "question", "path", "file_name",
        "content_type", "size_bytes", "sha256", "present",
    )  # fmt: skip
    kinds = {"completed_at": TIME, "size_bytes": pa.int64(), "present": pa.bool_()}
    values: dict[str, list[Any]] = {name: [] for name in names}
    prefix = "" if root is None else root.rstrip("/") + "/"
    titles = {instruction.id: instruction.title for instruction in export.instructions}
    for submission in export.iter_submissions():
        for file in submission.files:
            member = export.find_member(file.path)
            row = (
                submission.submission_id,
                submission.participant_id,
                submission.completed_at,
                file.instruction_id,
                titles.get(file.instruction_id, file.instruction_id),
                prefix + file.path,
                file.file_name,
                file.content_type,
                file.size_bytes,
                file.sha256,
                member is not None and member.problem is None,
            )
            for name, value in zip(names, row, strict=True):
                values[name].append(value)
    return pa.table({name: pa.array(values[name], kinds.get(name, STRING)) for name in names})


def _repeat(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, STRING), count)
