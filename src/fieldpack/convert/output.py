"""What all writers share: a file that is renamed into place when it is complete, the result, and optional imports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.errors import ConfigError, FieldpackError
from fieldpack.files import replace_file
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.tables.wide import Column, Numbers

__all__ = ["Converted", "explain_numbers", "require", "write_converted"]


@dataclass
class Converted:
    """What was written, and what the format could not hold (`warnings`, a sentence each)."""

    path: Path
    rows: int
    columns: int
    warnings: list[str] = field(default_factory=list)


@contextmanager
def write_converted(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; what was written there takes its place at the end, and only
    then."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as part:
            yield part
    except OSError as error:
        raise FieldpackError(f"{path} can't be written: {(error.strerror or str(error)).lower()}.") from error


def require(module: str, extra: str = "convert") -> Any:
    """Import a library that comes with an extra, or say which."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ConfigError(f"This needs {name}: pip install 'fieldpack[{extra}]'.") from error


def explain_numbers(columns: list[Column], numbers: Numbers) -> list[str]:
    """A sentence for each column with answers that are no plain number although one was asked for."""
    found = []
    for column in columns:
        if column.not_numeric:
            answered = len(column.data) - column.data.null_count
            verb, it, is_it = (
                ("is", "it", "it is") if column.not_numeric == 1 else ("are", "them", "they are")
            )
            if numbers == "coerce":
                answered += column.not_numeric
                what = f"{is_it} missing; --numbers safe keeps {it}, and the column as text"
            else:
                what = f"the column is text; --numbers coerce makes {it} missing"
            found.append(
                f"{column.name}: {column.not_numeric:,} of {say_count(answered, 'answer')} {verb} no plain number, so "
                f"{what}."
            )
    return found
