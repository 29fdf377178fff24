"""XLSX: the answers, the files, and a codebook sheet that says what each column is."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fieldpack.convert.output import Converted, require, write_converted
from fieldpack.errors import FieldpackError
from fieldpack.tables.codebook import list_variables
from fieldpack.tables.long import build_files
from fieldpack.tables.wide import Column
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["write_xlsx"]

# Excel, "Specifications and limits"
_MOST_ROWS = 1_048_576
_MOST_COLUMNS = 16_384
_LONGEST_TEXT = 32_767
# ECMA-376 part 1 §22.9.2.19: what XML can't hold is written _xHHHH_, and so is what looks like it.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0d\x0e-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_BATCH = 10_000


def write_xlsx(export: OpenArchive, columns: list[Column], path: Path) -> Converted:
    """Write a workbook with the sheets `Responses`, `Codebook` and, if there are any, `Files`.

    Texts are text cells, so nothing is run as a formula. Times are UTC, as Excel knows no zones.
    """
    openpyxl = require("openpyxl")
    rows = len(columns[0].data)
    if rows + 1 > _MOST_ROWS or len(columns) > _MOST_COLUMNS:
        raise FieldpackError(
            f"A sheet of Excel holds {_MOST_ROWS - 1:,} rows and {_MOST_COLUMNS:,} columns; this has "
            f"{rows:,} and {len(columns):,}. Convert to csv or parquet instead."
        )
    converted = Converted(path, rows, len(columns))
    writer = _Writer(openpyxl, converted)
    with _open_book(openpyxl) as book:
        table = pa.table([column.data for column in columns], names=[column.name for column in columns])
        writer.write(book.create_sheet("Responses"), table.column_names, _iter_rows(table))
        heads = ["column", "question", "type", "instruction_id", "value", "label"]
        left = writer.write(book.create_sheet("Codebook"), heads, list_variables(columns))
        if left:
            converted.warnings.append(
                f"The sheet Codebook lacks its last {say_count(left, 'row')}, as a sheet holds {_MOST_ROWS:,}; "
                "`fieldpack convert --codebook` writes all of it."
            )
        files = build_files(export, None)
        if files.num_rows:
            if files.num_rows + 1 > _MOST_ROWS:
                converted.warnings.append(
                    f"{say_count(files.num_rows, 'file')} don't fit a sheet, so none is listed."
                )
            else:
                writer.write(book.create_sheet("Files"), files.column_names, _iter_rows(files))
        with write_converted(path) as draft:
            book.save(draft)
    if writer.cut:
        verb = "text is" if writer.cut == 1 else "texts are"
        converted.warnings.append(
            f"{writer.cut:,} {verb} longer than the {_LONGEST_TEXT:,} characters of a cell and cut; "
            "csv and parquet hold them whole."
        )
    return converted


@contextmanager
def _open_book(openpyxl: Any) -> Iterator[Any]:
    """A workbook to be written row by row. When that fails its sheets are closed, which otherwise complain on standard
    error when they are collected, and their temporary files removed."""
    book = openpyxl.Workbook(write_only=True)
    try:
        yield book
    except BaseException:
        for sheet in book.worksheets:
            with suppress(Exception):
                sheet.close()
            with suppress(Exception):
                sheet._writer.cleanup()
        raise


# Before, a serial number of Excel is negative or a day off; after, it is rounded to a day that Excel does not have.
_FIRST, _LAST = dt.datetime(1900, 3, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_000)


class _Writer:
    def __init__(self, openpyxl: Any, converted: Converted) -> None:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Font

        self._cell = WriteOnlyCell
        self._bold = Font(bold=True)
        self.cut = 0

    def write(self, sheet: Any, heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> int:
        """Write as many rows as a sheet holds; how many are left."""
        sheet.freeze_panes = "A2"
        cells = [self._make(sheet, head) for head in heads]
        for cell in cells:
            cell.font = self._bold
        sheet.append(cells)
        rest = iter(rows)
        for row in itertools.islice(rest, _MOST_ROWS - 1):
            sheet.append([self._make(sheet, value) for value in row])
        return sum(1 for _ in rest)

    def _make(self, sheet: Any, value: Any) -> Any:
        if isinstance(value, dt.datetime):
            plain = value.replace(tzinfo=None)
            said = plain.isoformat() + ("" if value.tzinfo is None else "Z")
            value = plain if _FIRST <= plain <= _LAST else said
        if not isinstance(value, str):
            return value
        text = _cut(value)
        self.cut += text is not value
        text = _UNWRITABLE.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
        cell = self._cell(sheet, value=None)
        cell._value = text
        cell.data_type = "s"
        return cell


def _cut(text: str) -> str:
    """As much of a text as a cell holds, counted in UTF-16 units, never half of a surrogate pair."""
    if len(text) * 2 <= _LONGEST_TEXT:  # at most two units a character
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    if len(raw) <= _LONGEST_TEXT * 2:
        return text
    return raw[: _LONGEST_TEXT * 2].decode("utf-16-le", "ignore")


def _iter_rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    for batch in table.to_batches(_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
