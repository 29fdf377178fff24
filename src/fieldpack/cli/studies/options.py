"""What these commands have in common: how lists are printed, and ids out of files."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.errors import UsageError

__all__ = [
    "AsCsv",
    "AsJson",
    "AsTable",
    "Fields",
    "Layout",
    "print_one",
    "print_rows",
    "read_ids",
    "read_object",
]

AsJson = Annotated[bool, typer.Option("--json", "-j", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", "-c", help="Print CSV.")]
AsTable = Annotated[
    bool, typer.Option("--table", "--non-interactive", "-n", help="Print a table (the default).")
]
Fields = Annotated[
    str | None,
    typer.Option("--fields", "-f", metavar="A,B", help="Columns of CSV and table, separated by commas."),
]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a list is to be printed.

    Attributes:
        fields: columns, separated by commas; None for the usual ones.
    """

    json: bool = False
    csv: bool = False
    table: bool = False
    fields: str | None = None


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], layout: Layout, *, empty: str
) -> None:
    """Print a list as it was asked for.

    Raises:
        UsageError: two ways at once.
    """
    from fieldpack.cli.output import pick_format, print_csv, print_json, print_table

    kind = pick_format(json=layout.json, csv=layout.csv, table=layout.table)
    chosen = [name.strip() for name in (layout.fields or "").split(",") if name.strip()] or list(columns)
    if kind == "json":
        print_json(rows)
    elif kind == "csv":
        print_csv(rows, chosen)
    else:
        print_table(rows, chosen, empty=empty)


def print_one(found: Mapping[str, Any], columns: Sequence[str], *, json: bool) -> None:
    """Print one thing: JSON, or a line for each of its main fields."""
    from fieldpack.cli.output import print_json, print_text

    if json:
        print_json(found)
        return
    width = max(map(len, columns))
    for name in columns:
        if found.get(name) not in (None, "", [], {}):
            print_text(f"{name:<{width}}  {found[name]}")


def read_ids(source: Path) -> list[str]:
    """The ids in a file, one on each line; `-` is standard input.

    Raises:
        UsageError: it can't be read, or is no text.
    """
    return [line.strip() for line in _read(source).splitlines() if line.strip()]


def read_object(source: Path) -> dict[str, Any]:
    """The object in a YAML or JSON file; `-` is standard input.

    Raises:
        UsageError: it can't be read, or holds something else.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(_read(source))
    except YAMLError as error:
        raise UsageError(f"{source} is neither YAML nor JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{source} must hold one object, such as `name: My study`.")
    return found


def _read(source: Path) -> str:
    try:
        return sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source}: {error}") from error
