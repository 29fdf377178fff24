"""From an open archive to a file of another format: which writer, with what."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from fieldpack.convert.output import Converted, explain_numbers
from fieldpack.errors import FieldpackError, UsageError

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive
    from fieldpack.tables.column_names import Columns
    from fieldpack.tables.wide import Column, Numbers

__all__ = ["ENDINGS", "Format", "convert_export"]

Format = Literal["csv", "parquet", "xlsx", "sav", "dta", "media"]

ENDINGS = {
    "csv": ".csv",
    "xlsx": ".xlsx",
    "sav": ".sav",
    "dta": ".dta",
    "parquet": ".parquet",
    "codebook": "-codebook.html",
    "report": "-report.html",
}
"""What the names of files end with that are made of an archive, one of each: converted, the codebook, the report."""


def convert_export(
    export: OpenArchive,
    to: Format,
    out: str | os.PathLike[str],
    *,
    columns: Columns | None = None,
    labels: bool = True,
    several: Literal["onehot", "joined"] = "onehot",
    numbers: Numbers = "safe",
    bom: bool = False,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Converted:
    """Write the whole archive as one file (or, for `media`, one folder) of another format.

    Args:
        export: the open archive.
        to: the format.
        out: the file or folder to write.
        columns: what columns are named by: `question` by default, `slug` where names must be short (sav, dta,
            media).
        labels: options by label or by value (CSV, Parquet, XLSX; SPSS and Stata always have both).
        several: how CSV and XLSX hold questions with several choices.
        numbers: what becomes of answers to questions that ask for a number, as in `Export.to_arrow`. A warning
            counts those that are none.
        bom: begin a CSV with a byte order mark, by which Excel knows UTF-8.
        force: replace what is there.
        progress: called with bytes done and bytes in all (`media` only).

    Raises:
        FieldpackError: the output is there already, or can't be written; the format can't hold so much, or nothing of
            what is in the archive; `ConfigError` where a library is missing.
        UsageError: there is no such format.
        ArchiveError: the archive is damaged.
    """
    path = Path(out)
    if to not in get_args(Format):
        raise UsageError(f"The format is one of {', '.join(get_args(Format))}, not {to!r}.")
    if (
        os.path.lexists(path)
        and not force
        and not (to == "media" and path.is_dir() and not any(path.iterdir()))
    ):
        raise FieldpackError(f"{path} is there already; use --force to replace it.")
    if to == "media":
        from fieldpack.convert.media import write_media

        return write_media(
            export,
            path,
            columns=columns or "slug",
            labels=labels,
            numbers=numbers,
            force=force,
            progress=progress,
        )
    from fieldpack.tables.wide import TableOptions, build_columns, read_raw

    if to in ("sav", "dta"):
        options = TableOptions(columns or "slug", True, "onehot", numbers)
    else:
        options = TableOptions(columns or "question", labels, "list" if to == "parquet" else several, numbers)
    table_columns = build_columns(read_raw(export), options)
    converted = _write_table(export, table_columns, to, path, bom)
    converted.warnings[:0] = explain_numbers(table_columns, numbers)
    return converted


def _write_table(export: OpenArchive, columns: list[Column], to: Format, path: Path, bom: bool) -> Converted:
    if to == "sav":
        from fieldpack.convert.spss import write_spss

        return write_spss(export, columns, path)
    if to == "dta":
        from fieldpack.convert.stata import write_stata

        return write_stata(export, columns, path)
    if to == "csv":
        from fieldpack.convert.csv import write_csv

        return write_csv(columns, path, bom=bom)
    if to == "parquet":
        from fieldpack.convert.parquet import write_parquet

        return write_parquet(columns, path)
    from fieldpack.convert.xlsx import write_xlsx

    return write_xlsx(export, columns, path)
