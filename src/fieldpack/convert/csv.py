"""CSV that a spreadsheet can open without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from fieldpack.convert.output import Converted, write_converted
from fieldpack.tables.wide import Column
from fieldpack.text import FORMULA, NUMBER

__all__ = ["neutralise", "restore", "write_csv"]


def neutralise(texts: pa.ChunkedArray | pa.Array) -> Any:
    """Put an apostrophe before every text that a spreadsheet would run; plain numbers stay as they are."""
    risky = pc.and_(
        pc.match_substring_regex(texts, FORMULA), pc.invert(pc.match_substring_regex(texts, NUMBER))
    )
    return pc.if_else(risky, pc.binary_join_element_wise("'", texts, ""), texts)


def restore(texts: pa.ChunkedArray | pa.Array) -> Any:
    """Undo `neutralise`."""
    marked = pc.and_(pc.starts_with(texts, "'"), pc.match_substring_regex(texts, FORMULA))
    return pc.if_else(marked, pc.utf8_slice_codeunits(texts, 1), texts)


def write_csv(columns: list[Column], path: Path, *, bom: bool = False) -> Converted:
    """Write RFC 4180 CSV in UTF-8 with `\\n` line ends.

    Texts are quoted and numbers are not; a missing value is an empty field, an empty text is `""`. Times are
    RFC 3339 in UTC, one-hot columns 1 and 0.
    """
    names = neutralise(pa.array([column.name for column in columns], pa.string())).to_pylist()
    table = pa.table([_flatten(column.data) for column in columns], names=names)
    with write_converted(path) as draft, draft.open("wb") as out:
        if bom:
            out.write(b"\xef\xbb\xbf")
        pyarrow.csv.write_csv(table, out)
    return Converted(path, table.num_rows, table.num_columns)


def _flatten(data: Any) -> Any:
    kind = data.type
    if pa.types.is_dictionary(kind):
        data = data.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return pc.strftime(data, format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_boolean(kind):
        return data.cast(pa.int8())
    if pa.types.is_string(data.type):
        return neutralise(data)
    return data
