"""Blocks of `responses.jsonl` parsed in bulk, by Arrow's JSON reader, under a schema that they must fit
exactly."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from fieldpack.reading.model import CHOICE_TYPES, Instruction
from fieldpack.tables.option_codes import OptionCodes

__all__ = ["BASE", "FILE", "STRING", "TIME", "Plan", "Shape", "Unfit", "look_at", "rebuild_list"]

STRING = pa.string()
TIME = pa.timestamp("us", "UTC")
FILE = pa.struct(
    [
        ("path", STRING),
        ("file_name", STRING),
        ("content_type", STRING),
        ("size_bytes", pa.int64()),
        ("sha256", STRING),
    ]
)
BASE: dict[str, pa.DataType] = {
    "submission_id": STRING,
    "participant_id": STRING,
    "study_id": STRING,
    "status": STRING,
    "started_at": TIME,
    "completed_at": TIME,
}


_FIRST_US, _AFTER_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # years 1 and 10000, in µs since 1970
_DAY_US = 86_400_000_000


class Unfit(Exception):
    """A block isn't of the shapes that can be read in bulk."""


@dataclass
class Shape:
    """How one instruction's response was seen to look."""

    wrapped: bool = True
    listed: bool = True
    objects: bool = True
    extra: dict[str, list[Any]] = field(default_factory=dict)
    item_extra: dict[str, list[Any]] = field(default_factory=dict)


class Plan:
    """How blocks are read in bulk: the schema they must fit, and how its columns become flat ones."""

    def __init__(
        self,
        instructions: Mapping[str, Instruction],
        codes: Mapping[str, OptionCodes],
        shapes: Mapping[str, Shape],
        extra: list[str],
    ) -> None:
        self._instructions = dict(instructions)
        self._codes = codes
        self._shapes = shapes
        self._extra = extra
        self._schema = self._make_schema()

    def _make_schema(self) -> pa.Schema | None:
        responses = []
        for key, instruction in self._instructions.items():
            kind = self._make_type(instruction, self._shapes[key])
            if kind is None:
                return None
            responses.append((key, kind))
        fields = [
            *BASE.items(),
            *((name, STRING) for name in self._extra),
            ("responses", pa.struct(responses)),
        ]
        try:
            return pa.schema(fields)
        except pa.ArrowInvalid:
            return None

    def _make_type(self, instruction: Instruction, shape: Shape) -> pa.DataType | None:
        value: pa.DataType = STRING
        try:
            item_extra = [(name, pa.infer_type(seen)) for name, seen in shape.item_extra.items()]
            extra = [(name, pa.infer_type(seen)) for name, seen in shape.extra.items()]
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return None
        if instruction.type in CHOICE_TYPES:
            domain = self._codes[instruction.id].domain
            if domain == "mixed":
                return None
            value = {"text": STRING, "number": pa.float64(), "bool": pa.bool_()}[domain]
            if instruction.type == "multiple_choice_with_free_text" and shape.objects:
                value = pa.struct([("value", value), ("explanation", STRING), *item_extra])
        elif instruction.has_alike_units:
            return None
        elif instruction.type == "file_upload" and shape.objects:
            value = pa.struct([*FILE, *item_extra])
        if (instruction.type in CHOICE_TYPES or instruction.type == "file_upload") and shape.listed:
            value = pa.list_(value)
        if not shape.wrapped:
            return value
        fields = [("type", STRING), ("value", value), *extra]
        if "unit" not in shape.extra and instruction.type not in ("multiple_choice", "file_upload"):
            fields.append(("unit", STRING))
        return pa.struct(fields)

    def parse(self, block: bytes) -> pa.Table:
        """Parse a block. Raises `Unfit` or an Arrow error when it must be read line by line."""
        if self._schema is None:
            raise Unfit
        _require_utf8(block)
        _require_objects(block)
        parsed = pj.read_json(
            pa.BufferReader(block),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pj.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="error"),
        )
        if parsed.num_rows != block.count(b"\n") + (not block.endswith(b"\n")):
            raise Unfit  # blank lines, or two objects on one
        columns: dict[str, pa.Array] = {}
        ids = parsed["submission_id"]
        _require(ids.null_count == 0 and not pc.any(pc.equal(ids, "")).as_py())
        for name, kind in BASE.items():
            if kind == TIME:
                _require_years(parsed[name])
            columns["m:" + name] = parsed[name]
        for name in self._extra:
            if parsed[name].null_count < len(parsed[name]):
                columns["x:" + name] = parsed[name]
        responses = parsed["responses"].combine_chunks()
        if isinstance(responses, pa.ChunkedArray):
            responses = responses.chunk(0)
        for key, column in zip(self._instructions, responses.flatten(), strict=True):
            columns.update(self._flatten(self._instructions[key], self._shapes[key], column))
        return pa.table(columns)

    def _flatten(self, instruction: Instruction, shape: Shape, column: pa.Array) -> dict[str, pa.Array]:
        key, kind = instruction.id, instruction.type
        unit = None
        if shape.wrapped:
            names = [field.name for field in column.type]
            fields = dict(zip(names, column.flatten(), strict=True))
            column, unit = fields["value"], fields.get("unit")
        if kind not in CHOICE_TYPES and kind != "file_upload":
            if kind == "free_text_with_unit":
                unit = pa.nulls(len(column), STRING) if unit is None else unit
                return {"t:" + key: column, "u:" + key: pc.if_else(pc.is_valid(column), unit, None)}
            return {"t:" + key: column}
        if not shape.listed:
            column = _wrap_each(column)
        items = column.flatten()
        _require(items.null_count == 0)
        if kind == "file_upload":
            files = _flatten_files(items, shape)
            return {"f:" + key: rebuild_list(column, files)}
        explanations = pa.nulls(len(items), STRING)
        if kind == "multiple_choice_with_free_text" and shape.objects:
            inner = dict(zip([field.name for field in items.type], items.flatten(), strict=True))
            items, explanations = inner["value"], inner["explanation"]
            _require(items.null_count == 0)
        if pa.types.is_floating(items.type):
            _require(not pc.any(pc.greater(pc.abs(items), 2.0**53)).as_py())
        columns = {"c:" + key: rebuild_list(column, items)}
        if kind == "multiple_choice_with_free_text":
            columns["e:" + key] = rebuild_list(column, explanations)
        return columns


def _require_utf8(block: bytes) -> None:
    """Raise `pa.ArrowInvalid` unless the block is UTF-8, which Arrow's JSON reader takes for granted."""
    ends = pa.py_buffer(struct.pack("=2i", 0, len(block)))
    pa.Array.from_buffers(STRING, 1, [None, ends, pa.py_buffer(block)]).validate(full=True)


def _require_objects(block: bytes) -> None:
    """Raise `Unfit` unless every line begins and ends like an object.

    Arrow's JSON reader aborts the process on a line that is `null`, and ignores some other values.
    """
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    _require(block.startswith(b"{") and block.count(b"\n{") == lines - 1)
    _require(block.count(b"}\n") + block.endswith(b"}") == lines)


def _require_years(times: pa.ChunkedArray) -> None:
    """Raise `Unfit` for times outside the years 1 to 9999, which Python has not, but Arrow has.

    Those in UTC count. Of the first day it is not known here whether they were written in the year 0, so it is read
    line by line.
    """
    found = pc.min_max(times.cast(pa.int64()))
    least, most = found["min"].as_py(), found["max"].as_py()
    _require(least is None or _FIRST_US + _DAY_US <= least <= most < _AFTER_US)


def _require(fits: bool) -> None:
    if not fits:
        raise Unfit


def look_at(shape: Shape, raw: Any, first: bool) -> None:
    """Widen `shape` so that it holds one more response; `first` sets what the first one decides."""
    value = raw
    wrapped = isinstance(raw, dict)
    if wrapped:
        value = raw.get("value")
        for name, seen in raw.items():
            if name not in ("type", "value", "unit", "answer"):
                shape.extra.setdefault(name, []).append(seen)
    if first:
        shape.wrapped = wrapped
        shape.listed = isinstance(value, list)
    items = value if isinstance(value, list) else [value]
    if items and (first or not shape.listed):
        shape.objects = isinstance(items[0], dict)
    for item in items:
        if isinstance(item, dict):
            shape.objects = True
            for name, seen in item.items():
                if name not in ("value", "explanation", *(f.name for f in FILE)):
                    shape.item_extra.setdefault(name, []).append(seen)


def _flatten_files(items: pa.Array, shape: Shape) -> pa.Array:
    """The files as `FILE` structs; the file name falls back to the path's last part, as in the model."""
    if not shape.objects:
        path = items
        inner = {"path": path}
    else:
        inner = dict(zip([field.name for field in items.type], items.flatten(), strict=True))
        path = inner["path"]
    _require(path.null_count == 0 and not pc.any(pc.equal(path, "")).as_py())
    name = inner.get("file_name")
    if name is None or name.null_count or pc.any(pc.equal(name, "")).as_py():
        last = pc.replace_substring_regex(path, r"(?s)^.*/", "")
        name = (
            last
            if name is None
            else pc.if_else(pc.or_kleene(pc.is_null(name), pc.equal(name, "")), last, name)
        )
    arrays = [path, name] + [
        inner[f.name] if f.name in inner else pa.nulls(len(items), f.type) for f in list(FILE)[2:]
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(FILE))


def rebuild_list(lists: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """The same lists with other values; `values` are as many as `lists.flatten()` has."""
    offsets = lists.offsets
    if len(lists) and (offsets[0].as_py() != 0 or offsets[-1].as_py() != len(values)):
        lengths = pc.fill_null(pc.list_value_length(lists), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    mask = pc.is_null(lists) if lists.null_count else None
    if mask is None:
        return pa.ListArray.from_arrays(offsets, values)
    return pa.ListArray.from_arrays(offsets, values, mask=mask)


def _wrap_each(column: pa.Array) -> pa.ListArray:
    """A list of one for each value, null for null."""
    valid = pc.is_valid(column)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(valid.cast(pa.int32()))])
    values = column.drop_null()
    return pa.ListArray.from_arrays(offsets, values, mask=pc.invert(valid))
