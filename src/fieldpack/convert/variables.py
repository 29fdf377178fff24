"""What SPSS and Stata have in common: named variables with labels, numbers with value labels, texts, times."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from fieldpack.archive.members import COLLECTION
from fieldpack.archive.slugs import Variants, make_slug
from fieldpack.convert.labels import LabelLimit, shorten_labels
from fieldpack.tables.frames import arrow_to_pandas
from fieldpack.tables.wide import Column

if TYPE_CHECKING:
    import pandas

    from fieldpack.reading.reader import OpenArchive

__all__ = ["DataSet", "FormatLimits", "build_data_set", "name_data_set"]

# IBM, "Variable names"; Stata, "[U] 11.3 Naming conventions" and "[M-2] reswords". All hold for both formats here.
_RESERVED = frozenset(
    (
        *("all", "and", "by", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "to", "with"),
        *("byte", "double", "float", "if", "in", "int", "long", "strl", "using"),
        *("_all", "_b", "_coef", "_cons", "_n", "_pi", "_pred", "_rc", "_se", "_skip"),
        *(
            "aggregate",
            "array",
            "boolean",
            "break",
            "case",
            "catch",
            "class",
            "colvector",
            "complex",
            "const",
        ),
        *("continue", "default", "delegate", "delete", "do", "else", "eltypedef", "end", "enum", "explicit"),
        *("export", "external", "for", "friend", "function", "global", "goto", "inline", "local", "null"),
        *("pragma", "protected", "quad", "rowvector", "short", "typedef", "typename", "virtual"),
    )
)
_NAME_LENGTH = 27  # Stata takes 32, but pyreadstat names value labels so too, each with its number behind
_DETAIL_LENGTH = 14


@dataclass(frozen=True, slots=True)
class FormatLimits:
    """What a format can hold.

    Attributes:
        variable_label: of the text that describes a variable.
        value_label: of the text that describes a value.
        name: how warnings call the format.
    """

    variable_label: LabelLimit
    value_label: LabelLimit
    name: str


@dataclass
class DataSet:
    """Variables ready to be written, by name.

    Attributes:
        frame: numbers as doubles (NaN where missing), texts ("" where missing), times in UTC without a zone.
        labels: what each variable is.
        value_labels: of those that have any, what each number means.
        measures: `nominal` or `scale` where it is known.
        warnings: what the format could not hold, a sentence each.
    """

    frame: pandas.DataFrame
    labels: dict[str, str]
    value_labels: dict[str, dict[float, str]]
    measures: dict[str, str]
    warnings: list[str] = field(default_factory=list)


def build_data_set(columns: list[Column], limits: FormatLimits) -> DataSet:
    """Make variables of a table's columns.

    A single choice becomes a number with value labels: the option's own value where all are whole numbers,
    else 1, 2, 3 … in the options' order. Each option of a several-choice question is a 0/1 variable. Neither
    format can tell an empty text from a missing one; both are the empty string. Labels too long for the format
    are cut so that they still differ.
    """
    names = _Names()
    data: dict[str, Any] = {}
    value_labels: dict[str, dict[float, str]] = {}
    measures: dict[str, str] = {}
    warnings: list[str] = []
    for column in columns:
        name = names.add(column.name, _get_detail(column))
        data[name], options = _encode(column)
        if options:
            texts, cut = shorten_labels(list(options.values()), limits.value_label)
            value_labels[name] = dict(zip(options, texts, strict=True))
            measures[name] = "nominal"
            if cut:
                warnings.append(f"{column.name}: {_count_labels(cut, limits.value_label, limits.name)}.")
        elif column.role == "number":
            measures[name] = "scale"
    described = [_describe(column) for column in columns]
    descriptions, cut = shorten_labels(
        [text + ending for text, ending in described],
        limits.variable_label,
        [ending for _, ending in described],
    )
    if cut:
        counted = _count_labels(cut, limits.variable_label, limits.name)
        warnings.append(f"Of the variables' own labels, {counted}.")
    frame = arrow_to_pandas(pa.table(data))
    # built anew: setting the columns of a wide frame one by one takes quadratic time
    frame = type(frame)(
        {
            name: series if series.dtype.kind in "fM" else series.astype(object).where(series.notna(), "")
            for name, series in frame.items()
        }
    )
    return DataSet(frame, dict(zip(data, descriptions, strict=True)), value_labels, measures, warnings)


def name_data_set(export: OpenArchive, most_characters: int) -> str:
    """The collection's name, for the data set's own label."""
    if COLLECTION not in export.members:
        return ""
    name = " ".join(export.collection.name.replace("\x00", "").split())
    return LabelLimit(most_characters, most_characters).cut(name)


def _count_labels(cut: int, limit: LabelLimit, format_name: str) -> str:
    most = (
        f"{limit.most_bytes:,} bytes"
        if limit.most_characters is None
        else f"{limit.most_characters:,} characters"
    )
    verb = "label is" if cut == 1 else "labels are"
    return f"{cut:,} {verb} longer than the {most} of {format_name} and cut"


class _Names:
    """Variable names both programs take: a letter first, then letters, digits and `_`, at most 27, unique."""

    def __init__(self) -> None:
        self._variants = Variants()

    def add(self, wanted: str, detail: str = "") -> str:
        """A name like `wanted`. A long one is cut in front of `detail`, which tells columns apart."""
        name = re.sub(r"[^A-Za-z0-9_]+", "_", wanted).strip("_")
        if (
            not name
            or not name[0].isalpha()
            or name.lower() in _RESERVED
            or re.fullmatch(r"(?i)str\d+", name)
        ):
            name = f"v_{name}".rstrip("_")
        if len(name) > _NAME_LENGTH and detail:
            detail = re.sub(r"[^A-Za-z0-9_]+", "_", detail).strip("_")[:_DETAIL_LENGTH].strip("_")
            name = f"{name[: _NAME_LENGTH - 1 - len(detail)].rstrip('_')}_{detail}"
        name = name[:_NAME_LENGTH].rstrip("_")

        def cut(digits: int) -> str:
            return name[: _NAME_LENGTH - len("_") - digits]

        return self._variants.add(name, lambda number: f"{cut(len(str(number)))}_{number}", cut)


def _get_detail(column: Column) -> str:
    """What a column's name has to keep of it to be told from its question's other columns."""
    if column.code is None or column.codes is None:
        return column.role if column.role in ("unit", "explanation") else ""
    label = make_slug(column.codes.get_labels()[column.code])
    return f"{label[:9].strip('_')}_expl" if column.role == "explanation" else label


def _describe(column: Column) -> tuple[str, str]:
    """The variable's label, whole: the question, and what tells its columns apart."""
    if column.instruction is None:
        return column.name, ""
    ending = ""
    if column.code is not None and column.codes is not None:
        ending = f": {column.codes.get_labels()[column.code]}"
    if column.role in ("unit", "explanation"):
        ending += f" ({column.role})"
    return " ".join(column.instruction.title.replace("\x00", "").split()), ending.replace("\x00", "")


def _encode(column: Column) -> tuple[Any, dict[float, str]]:
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
        return pc.replace_substring(data, "\x00", ""), {}
    return data.cast(pa.float64()), {}
