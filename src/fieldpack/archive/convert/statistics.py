"""SPSS `.sav` and Stata `.dta`, with variable labels and value labels, by pyreadstat."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from fieldpack.archive.columns import make_slug
from fieldpack.archive.convert import Converted, require, write_whole
from fieldpack.archive.frames import arrow_to_pandas
from fieldpack.archive.tables import Column

if TYPE_CHECKING:
    from fieldpack.archive.reader import Export

__all__ = ["write_statistics"]

# IBM, "Variable names"; Stata, "[U] 11.3 Naming conventions". Both lists hold for both formats here.
_RESERVED = frozenset(
    (
        *("all", "and", "by", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "to", "with"),
        *("byte", "double", "float", "if", "in", "int", "long", "strl", "using"),
        *("_all", "_b", "_coef", "_cons", "_n", "_pi", "_pred", "_rc", "_skip"),
    )
)
_NAME_LENGTH = 27  # Stata takes 32, but pyreadstat names value labels so too, each with its number behind
_PART_LENGTH = 14
_LABEL_BYTES = {"sav": 255, "dta": 80 * 4}
_LABEL_CHARACTERS = {"sav": 255, "dta": 80}
_VALUE_LABEL_BYTES = {"sav": 120, "dta": 32_000}
_TEXT_BYTES = {"sav": 32_767, "dta": 2_045}


def write_statistics(
    export: Export, columns: list[Column], path: Path, kind: Literal["sav", "dta"] | str
) -> Converted:
    """Write one data set.

    A single choice becomes a number with value labels: the option's own value where all are whole numbers,
    else 1, 2, 3 … in the options' order. Each option of a several-choice question is a 0/1 variable. Neither
    format can tell an empty text from a missing one; both are the empty string. Times are UTC.

    Texts longer than the format's limit (32,767 bytes in SPSS, 2,045 in Stata) are cut, and a warning says
    so.
    """
    pyreadstat = require("pyreadstat")
    require("pandas")
    converted = Converted(path, len(columns[0].data), len(columns))
    names = _Names()
    data: dict[str, Any] = {}
    labels: dict[str, str] = {}
    value_labels: dict[str, dict[float, str]] = {}
    measures: dict[str, str] = {}
    for column in columns:
        name = names.add(column.name, _get_part(column))
        labels[name] = _describe(column, _LABEL_BYTES[kind], _LABEL_CHARACTERS[kind])
        data[name], options = _encode(column, kind, converted)
        if options:
            value_labels[name] = {
                code: _cut(label, _VALUE_LABEL_BYTES[kind]) or str(code) for code, label in options.items()
            }
            measures[name] = "nominal"
        elif column.role == "number":
            measures[name] = "scale"
    frame = arrow_to_pandas(pa.table(data))
    for name in frame.columns:
        if frame[name].dtype.kind not in "fM":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "")
    label = (
        _cut(" ".join(export.collection.name.split()), 60, 60) if "collection.json" in export.members else ""
    )
    with write_whole(path) as part:
        common = {"file_label": label, "column_labels": labels, "variable_value_labels": value_labels}
        if kind == "sav":
            pyreadstat.write_sav(frame, str(part), **common, variable_measure=measures)
        else:
            pyreadstat.write_dta(frame, str(part), **common, version=15)
    return converted


class _Names:
    """Variable names both programs take: a letter first, then letters, digits and `_`, at most 27, unique."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def add(self, wanted: str, part: str = "") -> str:
        """A name like `wanted`. A long one is cut in front of `part`, which tells columns apart."""
        name = re.sub(r"[^A-Za-z0-9_]+", "_", wanted).strip("_")
        if (
            not name
            or not name[0].isalpha()
            or name.lower() in _RESERVED
            or re.fullmatch(r"(?i)str\d+", name)
        ):
            name = f"v_{name}".rstrip("_")
        if len(name) > _NAME_LENGTH and part:
            part = re.sub(r"[^A-Za-z0-9_]+", "_", part).strip("_")[:_PART_LENGTH].strip("_")
            name = f"{name[: _NAME_LENGTH - 1 - len(part)].rstrip('_')}_{part}"
        name = unique = name[:_NAME_LENGTH].rstrip("_")
        number = 1
        while unique.casefold() in self._taken:
            number += 1
            suffix = f"_{number}"
            unique = name[: _NAME_LENGTH - len(suffix)] + suffix
        self._taken.add(unique.casefold())
        return unique


def _get_part(column: Column) -> str:
    """What a column's name has to keep of it to be told from its question's other columns."""
    if column.code is None or column.codes is None:
        return column.role if column.role in ("unit", "explanation") else ""
    label = make_slug(column.codes.get_labels()[column.code])
    return f"{label[:9].strip('_')}_expl" if column.role == "explanation" else label


def _describe(column: Column, most_bytes: int, most_characters: int) -> str:
    """The variable's label. A long question is cut in front of what tells its columns apart."""
    if column.instruction is None:
        return column.name
    ending = ""
    if column.code is not None and column.codes is not None:
        ending = f": {column.codes.get_labels()[column.code]}"
    if column.role in ("unit", "explanation"):
        ending += f" ({column.role})"
    title = " ".join(column.instruction.title.split())
    ending = _cut(ending, most_bytes // 2, most_characters // 2)
    room = most_characters - len(ending)
    return _cut(title, most_bytes - len(ending.encode()), room) + ending


def _encode(column: Column, kind: str, converted: Converted) -> tuple[Any, dict[float, str]]:
    data = column.data
    if column.role == "choice" and column.codes is not None:
        positions = data.indices if isinstance(data, pa.DictionaryArray) else data
        values = [float(number) for number in range(1, len(column.codes.values) + 1)]
        if column.codes.kind == "integer" and all(abs(float(v)) < 2**31 - 1000 for v in column.codes.values):
            values = [float(value) for value in column.codes.values]
        options = dict(zip(values, column.codes.get_labels(), strict=True))
        return pa.array(values, pa.float64()).take(positions), options
    if pa.types.is_dictionary(data.type):
        combined = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
        if isinstance(combined, pa.ChunkedArray):
            combined = (
                combined.chunk(0) if combined.num_chunks else pa.array([], pa.string()).dictionary_encode()
            )
        texts = combined.dictionary.to_pylist()
        values = [float(number) for number in range(1, len(texts) + 1)]
        if column.role == "unit":
            return pa.array(values, pa.float64()).take(combined.indices), dict(
                zip(values, texts, strict=True)
            )
        data = combined.cast(pa.string())
    if pa.types.is_boolean(data.type):
        return data.cast(pa.int8()).cast(pa.float64()), {0.0: "No", 1.0: "Yes"}
    if pa.types.is_timestamp(data.type):
        return data.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us")), {}
    if pa.types.is_string(data.type):
        return _limit_texts(column, data, _TEXT_BYTES[kind], converted), {}
    return data.cast(pa.float64()), {}


def _limit_texts(column: Column, data: Any, most: int, converted: Converted) -> Any:
    data = pc.replace_substring(data, "\x00", "")
    longest = pc.max(pc.binary_length(data)).as_py() or 0
    if longest <= most:
        return data
    cut = sum(1 for text in data.to_pylist() if text is not None and len(text.encode()) > most)
    converted.warnings.append(f"{column.name}: {cut:,} texts are longer than {most:,} bytes and are cut.")
    return pa.array([None if text is None else _cut(text, most) for text in data.to_pylist()], pa.string())


def _cut(text: str, most_bytes: int, most_characters: int | None = None) -> str:
    if most_characters is not None and len(text) > most_characters:
        text = text[: most_characters - 1] + "…"
    raw = text.encode()
    return text if len(raw) <= most_bytes else raw[:most_bytes].decode(errors="ignore")
