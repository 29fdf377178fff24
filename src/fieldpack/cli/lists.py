"""Commands that list: every one of them prints JSON, CSV or a table, with the columns that are asked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer

from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError

__all__ = ["AsCsv", "AsTable", "Fields", "cut", "list_command", "show_list"]

Row = Mapping[str, Any]
Work = TypeVar("Work", bound=Callable[..., Sequence[Row]])

AsCsv = Annotated[bool, typer.Option("--csv", "-c", help="Print CSV.")]
AsTable = Annotated[
    bool, typer.Option("--table", "-t", "--non-interactive", "-n", help="Print a table (the default).")
]
Fields = Annotated[
    str | None,
    typer.Option("--fields", "-f", metavar="A,B", help="Columns of CSV and table, separated by commas."),
]
_OPTIONS = {
    "json": (AsJson, False),
    "csv": (AsCsv, False),
    "table": (AsTable, False),
    "fields": (Fields, None),
}


def list_command(
    app: typer.Typer,
    name: str,
    columns: Sequence[str],
    *,
    empty: str,
    flatten: Callable[[Row], Row] | None = None,
    in_csv: Sequence[str] | None = None,
    in_json: Callable[[Sequence[Row]], Any] | None = None,
) -> Callable[[Work], Work]:
    """Make a command of a function that returns rows: it gets the options of every list, and prints them.

    Args:
        app: where it is added.
        name: of the command.
        columns: of CSV and table, unless `--fields` names others.
        empty: what a table without rows says.
        flatten: a row as CSV and table show it; JSON has it as it came.
        in_json: what JSON has in place of the rows.
        in_csv: the columns of CSV where they are others than the table's.
    """

    def register(work: Work) -> Work:
        # `typer` reads the options off the signature
        taken = inspect.signature(work, eval_str=True)
        added = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for option, (kind, default) in _OPTIONS.items()
        ]

        @functools.wraps(work)
        def command(*, json: bool, csv: bool, table: bool, fields: str | None, **given: Any) -> None:
            show_list(
                lambda: work(**given),
                columns,
                empty=empty,
                flatten=flatten,
                in_csv=in_csv,
                in_json=in_json,
                json=json,
                csv=csv,
                table=table,
                fields=fields,
            )

        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in taken.parameters.values()]
        signature = inspect.Signature([*parameters, *added])
        command.__signature__ = signature  # type: ignore[attr-defined]  # which `inspect.signature` looks for
        command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
        app.command(name)(command)
        return work

    return register


def show_list(
    work: Callable[[], Sequence[Row]],
    columns: Sequence[str],
    *,
    empty: str,
    flatten: Callable[[Row], Row] | None = None,
    in_csv: Sequence[str] | None = None,
    in_json: Callable[[Sequence[Row]], Any] | None = None,
    json: bool,
    csv: bool,
    table: bool,
    fields: str | None,
) -> None:
    """Print rows in the layout that the options of every list ask for; see `list_command`.

    Args:
        work: gives the rows, once the options are known to go together.

    Raises:
        UsageError: they don't.
    """
    from fieldpack.cli.output import pick_format, print_csv, print_json, print_table

    layout = pick_format(json=json, csv=csv, table=table)
    rows = work()
    if layout == "json":
        print_json(in_json(rows) if in_json else rows)
        return
    shown = [flatten(row) for row in rows] if flatten else rows
    usual = in_csv if layout == "csv" and in_csv else columns
    chosen = _choose(fields, shown, usual) if fields else usual
    if layout == "csv":
        print_csv(shown, chosen)
    else:
        print_table(shown, chosen, empty=empty)


def cut(rows: list[dict[str, Any]], limit: int | None, offset: int) -> list[dict[str, Any]]:
    """At most `limit` rows after the first `offset`."""
    return rows[offset : None if limit is None else offset + limit]


def _choose(fields: str, rows: Sequence[Row], usual: Sequence[str]) -> list[str]:
    """The columns that `--fields` names, in any case and with or without underscores: `InternalName` as well.

    One that no row has stays empty, and is said: the hosted service has some that have no meaning here.

    Raises:
        UsageError: it names none.
    """
    from fieldpack.cli.output import print_note

    there = dict.fromkeys([*usual, *(name for row in rows for name in row)])
    by_fold = {_fold(name): name for name in reversed(there)}
    asked = [name.strip() for name in fields.split(",") if name.strip()]
    if not asked:
        raise UsageError("--fields names no column: give it some, separated by commas.")
    missing = [name for name in asked if name not in there and _fold(name) not in by_fold]
    if missing and rows:
        print_note(f"there is no {', '.join(missing)} here; there are {', '.join(there)}.")
    return [name if name in there else by_fold.get(_fold(name), name) for name in asked]


def _fold(name: str) -> str:
    return name.replace("_", "").lower()
