"""An archive in the format of another tool: CSV, Parquet, XLSX, SPSS, Stata, or a folder of media.

Each writer makes its file under a temporary name and moves it into place when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from fieldpack.errors import ConfigError, FieldpackError, UsageError

if TYPE_CHECKING:
    from fieldpack.archive.columns import Columns
    from fieldpack.archive.reader import OpenArchive
    from fieldpack.archive.tables import Column, Numbers

__all__ = ["Converted", "Format", "convert_export", "require", "write_whole"]

Format = Literal["csv", "parquet", "xlsx", "sav", "dta", "media"]


@dataclass
class Converted:
    """What was written, and what the format could not hold (`warnings`, a sentence each)."""

    path: Path
    rows: int
    columns: int
    warnings: list[str] = field(default_factory=list)


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
        FieldpackError: the output is there already, or can't be written.
        UsageError: a library is missing, or the format can't hold so much.
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
        from fieldpack.archive.convert.media import write_media

        return write_media(
            export,
            path,
            columns=columns or "slug",
            labels=labels,
            numbers=numbers,
            force=force,
            progress=progress,
        )
    from fieldpack.archive.tables import TableOptions, build_columns, read_raw

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
        from fieldpack.archive.convert.spss import write_spss

        return write_spss(export, columns, path)
    if to == "dta":
        from fieldpack.archive.convert.stata import write_stata

        return write_stata(export, columns, path)
    if to == "csv":
        from fieldpack.archive.convert.csv import write_csv

        return write_csv(columns, path, bom=bom)
    if to == "parquet":
        from fieldpack.archive.convert.parquet import write_parquet

        return write_parquet(columns, path)
    from fieldpack.archive.convert.xlsx import write_xlsx

    return write_xlsx(export, columns, path)


def explain_numbers(columns: list[Column], numbers: Numbers) -> list[str]:
    """A sentence for each column with answers that are no plain number although one was asked for."""
    found = []
    for column in columns:
        if column.not_numeric:
            answered = len(column.data) - column.data.null_count
            if numbers == "coerce":
                answered += column.not_numeric
                what = "they are missing; --numbers safe keeps them, and the column as text"
            else:
                what = "the column is text; --numbers coerce makes them missing"
            found.append(
                f"{column.name}: {column.not_numeric:,} of {answered:,} answers are no plain number, so {what}."
            )
    return found


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; what was written there takes its place at the end, and only
    then."""
    part = path.with_name(f".{path.name[:80]}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise FieldpackError(f"{path} can't be written: {(error.strerror or str(error)).lower()}.") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def require(module: str, extra: str = "convert") -> Any:
    """Import a library that comes with an extra, or say which."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ConfigError(f"This needs {name}: pip install 'fieldpack[{extra}]'.") from error
