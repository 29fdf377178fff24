"""The wide table of an archive, as Arrow: a row per submission, a column or more per question.

Needs pyarrow, so `reader` imports this module only when a table is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import orjson

from fieldpack.errors import ConfigError, UsageError
from fieldpack.reading.model import CHOICE_TYPES, CONTENT_TYPES, Instruction
from fieldpack.tables.column_names import Columns, Names
from fieldpack.tables.option_codes import OptionCodes

try:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise ConfigError(
        "Tables need pyarrow: pip install 'fieldpack[pandas]', 'fieldpack[polars]' or 'fieldpack[convert]'."
    ) from error

from fieldpack.tables.raw import BASE, STRING, RawTable, read_raw, rebuild_list

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = [
    "Column",
    "Columns",
    "Numbers",
    "Several",
    "TableOptions",
    "build_columns",
    "build_table",
    "combine",
    "find_answers",
    "read_raw",
]

Several = Literal["list", "onehot", "joined"]
Numbers = Literal["safe", "coerce", "text"]
Role = Literal["base", "text", "number", "unit", "choice", "choices", "indicator", "explanation", "files"]

# A plain decimal number that says the same as a double: no leading zeros, at most 15 digits.
_PLAIN_NUMBER = re.compile(r"^-?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$")
_PLAIN_PATTERN = _PLAIN_NUMBER.pattern
_MANY_DIGITS = r"^-?\.?([0-9]\.?){16,}"
_ANY_NUMBER = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?\s*$"


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How `build_table` lays a table out; see `Export.to_arrow`."""

    columns: Columns = "question"
    labels: bool = True
    several: Several = "list"
    numbers: Numbers = "safe"
    root: str | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("columns", self.columns, ("question", "id", "slug")),
            ("several", self.several, ("list", "onehot", "joined")),
            ("numbers", self.numbers, ("safe", "coerce", "text")),
        ):
            if value not in allowed:
                raise UsageError(f"{name} is one of {', '.join(allowed)}, not {value!r}.")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a wide table, with where it comes from.

    Attributes:
        name: the column's name.
        data: its values.
        role: what it holds; `base` for the submission's own fields.
        instruction: the question it belongs to, if any.
        code: for an `indicator` or one-hot `explanation`, the option's code.
        codes: the question's option codes, for the roles about choices.
        not_numeric: of a question that asks for a number, how many answers are no plain number: they keep the
            column text, or are missing where numbers are coerced.
    """

    name: str
    data: pa.ChunkedArray | pa.Array
    role: Role
    instruction: Instruction | None = None
    code: int | None = None
    codes: OptionCodes | None = None
    not_numeric: int = 0


def build_table(export: OpenArchive, options: TableOptions) -> pa.Table:
    """A row per submission and a column per question; retired questions nobody answered are left out."""
    columns = build_columns(read_raw(export), options)
    return pa.table([column.data for column in columns], names=[column.name for column in columns])


def build_columns(raw: RawTable, options: TableOptions) -> list[Column]:
    """The columns of the wide table, in order, with their origin."""
    columns = []
    for name in BASE:
        data = raw.table["m:" + name]
        columns.append(Column(name, data.dictionary_encode() if name == "status" else data, "base"))
    names = Names(options.columns, BASE)
    for key in raw.table.column_names:
        columns += [Column(names.add(key[2:]), raw.table[key], "base")] if key.startswith("x:") else []
    for position, instruction in enumerate(list_questions(raw), 1):
        name = names.name_question(instruction, position)
        columns += _Question(raw, instruction, options, names, name).build()
    return columns


def list_questions(raw: RawTable) -> list[Instruction]:
    """The instructions that get columns."""
    return [
        instruction
        for instruction in raw.instructions.values()
        if not (instruction.retired or instruction.type in CONTENT_TYPES) or _is_answered(raw, instruction)
    ]


def _is_answered(raw: RawTable, instruction: Instruction) -> bool:
    data = find_answers(raw, instruction)
    return data is not None and data.null_count < len(data)


def find_answers(raw: RawTable, instruction: Instruction) -> pa.ChunkedArray | None:
    """The raw column that is null where the question is unanswered."""
    kind = "c" if instruction.type in CHOICE_TYPES else "f" if instruction.type == "file_upload" else "t"
    return raw.find(kind, instruction.id)


class _Question:
    """Makes one question's columns."""

    def __init__(
        self, raw: RawTable, instruction: Instruction, options: TableOptions, names: Names, name: str
    ) -> None:
        self._raw = raw
        self._instruction = instruction
        self._options = options
        self._names = names
        self._name = name

    def build(self) -> list[Column]:
        if self._instruction.type in CHOICE_TYPES:
            return self._build_choices()
        if self._instruction.type == "file_upload":
            return [self._build_files()]
        text = self._find("t", STRING)
        data, left = text, 0
        if self._instruction.asks_for_number and self._options.numbers != "text":
            data, left = parse_numbers(text, coerce=self._options.numbers == "coerce")
        role: Role = "number" if pa.types.is_floating(data.type) else "text"
        columns = [Column(self._name, data, role, self._instruction, not_numeric=left)]
        if self._instruction.type == "free_text_with_unit":
            columns.append(Column(self._name_detail("unit"), self._build_unit(), "unit", self._instruction))
        return columns

    def _find(self, kind: str, type_: pa.DataType) -> pa.ChunkedArray:
        found = self._raw.find(kind, self._instruction.id)
        if found is None:
            return pa.chunked_array([pa.nulls(self._raw.table.num_rows, type_)])
        return found

    def _name_detail(self, detail: str) -> str:
        return self._names.name_detail(self._name, detail)

    def _build_unit(self) -> pa.Array:
        """The unit as a category: the offered units in their order, then any other that was met."""
        item = self._instruction
        codes = OptionCodes(replace(item, options=item.unit_options))
        units = combine(self._find("u", STRING))
        if units.null_count == len(units):
            found = pa.array([], pa.int32())
        elif self._instruction.has_alike_units:
            values = [orjson.loads(text) for text in units.drop_null().to_pylist()]
            found = pa.array([codes.encode(value) for value in values], pa.int32())
        else:
            found = codes.encode_array(units.drop_null())
        positions = _scatter(found, pc.is_valid(units))
        texts = codes.get_labels() if self._options.labels else codes.get_texts()
        return pa.DictionaryArray.from_arrays(positions, pa.array(texts, STRING))

    def _build_files(self) -> Column:
        lists = combine(self._find("f", pa.list_(pa.struct([("path", STRING)]))))
        paths = lists.flatten().field("path") if len(lists.flatten()) else pa.array([], STRING)
        if self._options.root is not None:
            root = self._options.root.rstrip("/") + "/"
            paths = pc.binary_join_element_wise(root, paths, "")
        lists = rebuild_list(lists, paths)
        if self._instruction.extra.get("max_file_count") == 1 and _get_longest(lists) <= 1:
            return Column(self._name, _unlist(lists), "files", self._instruction)
        data = lists if self._options.several == "list" else _join(lists, "|")
        return Column(self._name, data, "files", self._instruction)

    def _build_choices(self) -> list[Column]:
        instruction = self._instruction
        codes = self._raw.codes[instruction.id]
        lists = combine(self._find("c", pa.list_(pa.int32())))
        explained = instruction.type == "multiple_choice_with_free_text"
        said = combine(self._find("e", pa.list_(STRING))) if explained else None
        if not instruction.takes_several and _get_longest(lists) <= 1:
            columns = [
                Column(self._name, self._decode(_unlist(lists), codes), "choice", instruction, codes=codes)
            ]
            if said is not None:
                columns.append(
                    Column(self._name_detail("explanation"), _unlist(said), "explanation", instruction)
                )
            return columns
        if self._options.several == "onehot":
            return self._build_onehot(lists, said, codes)
        texts = pa.array(codes.get_labels() if self._options.labels else codes.get_texts(), STRING)
        chosen = rebuild_list(lists, texts.take(lists.flatten()))
        if not self._options.labels and self._options.several == "list" and codes.kind != "text":
            chosen = rebuild_list(lists, _make_values(codes).take(lists.flatten()))
        joined = self._options.several == "joined"
        columns = [
            Column(self._name, _join(chosen, "; ") if joined else chosen, "choices", instruction, codes=codes)
        ]
        if said is not None:
            data = _join(said, "; ") if joined else said
            columns.append(Column(self._name_detail("explanation"), data, "explanation", instruction))
        return columns

    def _decode(self, positions: pa.Array, codes: OptionCodes) -> pa.Array:
        if self._options.labels:
            return pa.DictionaryArray.from_arrays(positions, pa.array(codes.get_labels(), STRING))
        if codes.kind != "text":
            return _make_values(codes).take(positions)
        return pa.DictionaryArray.from_arrays(positions, pa.array(codes.get_texts(), STRING))

    def _build_onehot(
        self, lists: pa.ListArray, said: pa.ListArray | None, codes: OptionCodes
    ) -> list[Column]:
        count = len(lists)
        rows = _get_rows(lists)
        chosen = lists.flatten().to_numpy(zero_copy_only=False)
        unanswered = pc.is_null(lists).to_numpy(zero_copy_only=False)
        columns = []
        for code, (label, text) in enumerate(zip(codes.get_labels(), codes.get_texts(), strict=True)):
            mine = chosen == code
            hit = np.zeros(count, dtype=bool)
            hit[rows[mine]] = True
            name = self._names.name_option(self._name, label if self._options.labels else text, text)
            data = pa.array(hit, mask=unanswered)
            columns.append(Column(name, data, "indicator", self._instruction, code, codes))
            if said is not None:
                at = np.full(count, -1, dtype=np.int64)
                at[rows[mine]] = np.flatnonzero(mine)
                texts = said.flatten().take(pa.array(at, mask=at < 0))
                detail = self._names.name_detail(name, "explanation")
                columns.append(Column(detail, texts, "explanation", self._instruction, code, codes))
        return columns


def parse_numbers(text: pa.ChunkedArray, *, coerce: bool) -> tuple[pa.ChunkedArray, int]:
    """Texts as doubles, and how many of them are no plain number.

    One that is none leaves all of them as they are, unless `coerce` makes that one null.
    """
    if coerce:
        fits = pc.match_substring_regex(text, _ANY_NUMBER)
        trimmed = pc.utf8_ltrim(pc.utf8_trim_whitespace(text), "+")  # Arrow knows no plus sign
        numbers = pc.if_else(fits, trimmed, pa.scalar(None, STRING)).cast(pa.float64())
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
        return numbers, numbers.null_count - text.null_count
    plain = pc.and_(
        pc.match_substring_regex(text, _PLAIN_PATTERN),
        pc.invert(pc.match_substring_regex(text, _MANY_DIGITS)),
    )
    left = pc.sum(pc.invert(plain)).as_py() or 0
    return (text if left else text.cast(pa.float64())), left


def combine(data: pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if data.num_chunks == 1:
        return data.chunk(0)
    combined = data.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _get_longest(lists: pa.ListArray) -> int:
    return pc.max(pc.list_value_length(lists)).as_py() or 0


def _get_rows(lists: pa.ListArray) -> Any:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths)


def _unlist(lists: pa.ListArray) -> pa.Array:
    """The only item of each list; null for null and for an empty list."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return _scatter(lists.flatten(), pc.equal(lengths, 1))


def _scatter(values: pa.Array, where: pa.Array) -> pa.Array:
    """`values`, one after the other, at the places that are true; null elsewhere."""
    mask = where.to_numpy(zero_copy_only=False)
    at = np.cumsum(mask) - 1
    return values.take(pa.array(at, mask=~mask))


def _join(lists: pa.ListArray, separator: str) -> pa.Array:
    """Each list as one text. Within an item the separator's first character and the backslash are escaped by a
    backslash, so that items can be told apart whatever they hold."""
    items = pc.replace_substring(pc.fill_null(lists.flatten(), ""), "\\", "\\\\")
    items = pc.replace_substring(items, separator[0], f"\\{separator[0]}")
    return pc.binary_join(rebuild_list(lists, items), separator)


def _make_values(codes: OptionCodes) -> pa.Array:
    kind = {"integer": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}[codes.kind]
    return pa.array(codes.values, kind)
