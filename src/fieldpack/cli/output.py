"""Printing data: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import typer

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.text import escape_json, make_cell_safe, make_plain, say_bytes

__all__ = [
    "ProgressLine",
    "pick_format",
    "print_conflicts",
    "print_csv",
    "print_json",
    "print_left_out",
    "print_note",
    "print_one",
    "print_table",
    "print_text",
    "say_time",
]

_NARROWEST = 10
_COPIED = ("id", "url")  # columns that people copy out of a table
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")
_MOST_NAMED = 20
_TELL_SECONDS = 10.0
_TELL_ON_TERMINAL_SECONDS = 0.2


def pick_format(*, json: bool, csv: bool, table: bool) -> str:
    """The one of `json`, `csv`, `table` that was asked for; `table` by default.

    Raises:
        UsageError: more than one was.
    """
    asked = [name for name, is_asked in (("json", json), ("csv", csv), ("table", table)) if is_asked]
    if len(asked) > 1:
        raise UsageError(f"Give only one of {', '.join('--' + name for name in asked)}.")
    return asked[0] if asked else "table"


class ProgressLine:
    """Shows the progress of long work on standard error: in one line on a terminal, else now and then.

    Args:
        say: how much was done, in words.
    """

    def __init__(self, say: Callable[[int], str] = say_bytes) -> None:
        self._say = say
        self._on_terminal = sys.stderr.isatty()
        self._told_at = time.monotonic()
        self._is_open = False

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show it, if it is time to; a total of 0 is not known."""
        now = time.monotonic()
        if now - self._told_at < (_TELL_ON_TERMINAL_SECONDS if self._on_terminal else _TELL_SECONDS):
            return
        self._told_at = now
        text = f"{step}: {self._say(done)}" + (f" of {self._say(total)}" if total else "")
        if self._on_terminal:
            typer.echo(f"\r\033[K{text}", err=True, nl=False)
            self._is_open = True
        else:
            typer.echo(text, err=True)

    def end(self) -> None:
        """Clear the line away."""
        if self._is_open:
            typer.echo("\r\033[K", err=True, nl=False)


def print_json(data: Any) -> None:
    """Print indented JSON."""
    typer.echo(escape_json(_dump(data, orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)))


def _dump(data: Any, option: int = 0) -> str:
    """JSON, of what orjson refuses too: a file name that is not UTF-8 (as escapes), what is nested deeply."""
    try:
        return orjson.dumps(data, option=option).decode()
    except orjson.JSONEncodeError:
        pass
    try:
        is_indented = bool(option & orjson.OPT_INDENT_2)
        separators = None if is_indented else (",", ":")
        return json.dumps(data, indent=2 if is_indented else None, separators=separators, default=str)
    except RecursionError:
        raise FieldpackError("What the server answered is nested too deeply to be printed.") from None


def print_note(text: str) -> None:
    """Print a line to standard error, where it is no part of what was asked for."""
    typer.echo(f"fieldpack: {make_plain(text)}", err=True)


def print_text(text: str = "", *, err: bool = False) -> None:
    """Print a line that may hold what others wrote; no control character of theirs reaches the terminal.

    Args:
        text: the line.
        err: print it on standard error.
    """
    typer.echo(make_plain(text), err=err)


def print_left_out(ignored: Mapping[str, str]) -> None:
    """Name to standard error what stays in an archive, by name and why."""
    _print_some({name: f"stays in the archive: {why}" for name, why in ignored.items()})


def print_conflicts(conflicts: Mapping[str, str]) -> None:
    """Name to standard error what is in the way of a folder that is kept equal, by name and why."""
    _print_some(conflicts)


def _print_some(named: Mapping[str, str]) -> None:
    for name, what in list(named.items())[:_MOST_NAMED]:
        print_note(f"{make_plain(name)!r} {what}.")
    if len(named) > _MOST_NAMED:
        print_note(f"… and {len(named) - _MOST_NAMED:,} more; --json lists them all.")


def print_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print CSV with a header. Text that a spreadsheet would run as a formula gets an apostrophe in front.

    A file or another program gets the values as they are, a terminal without what could act on it.
    """
    is_shown = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [_make_cell(row.get(name)) for name in columns]
        writer.writerow([make_plain(c) if is_shown and isinstance(c, str) else c for c in cells])


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Print aligned columns; on a terminal the widest is cut to make a row a line, but none that is copied.

    Args:
        empty: what is said where there are no rows.
    """
    if not rows:
        print_text(empty)
        return
    heads = [name.upper().replace("_", " ") for name in columns]
    cells = [[make_plain(_make_text(row.get(name))) for name in columns] for row in rows]
    from rich.cells import cell_len

    widths = [max(len(head), *(cell_len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    if sys.stdout.isatty():
        excess = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
        if excess > 0:
            widest = max(range(len(widths)), key=lambda i: widths[i] if columns[i] not in _COPIED else 0)
            widths[widest] = max(_NARROWEST, widths[widest] - excess)
    for row in [heads, *cells]:
        typer.echo("  ".join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_one(found: Mapping[str, Any], columns: Sequence[str], *, json: bool) -> None:
    """Print one thing: JSON, or a line for each of its main fields."""
    if json:
        print_json(found)
        return
    width = max(map(len, columns))
    for name in columns:
        if found.get(name) not in (None, "", [], {}):
            print_text(f"{name:<{width}}  {_say(found[name])}")


def say_time(value: Any) -> Any:
    """A time as people read it, `2026-11-23T22:51:07Z`, whole seconds of UTC; anything else as it is."""
    if isinstance(value, datetime):
        at = value if value.tzinfo is None else value.astimezone(UTC)
        return at.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, str) and (found := _TIME.fullmatch(value)):
        return found[1] + (found[2] or "").replace("+00:00", "Z")
    return value


def _fit(text: str, width: int) -> str:
    """A text in as many columns of a terminal, where a character may take two or none."""
    from rich.cells import cell_len, set_cell_size

    size = cell_len(text)
    return text + " " * (width - size) if size <= width else set_cell_size(text, width - 1) + "…"


def _make_text(value: Any) -> str:
    value = say_time(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _say(value)


def _say(value: Any) -> str:
    """`str()`, which fails on what is nested deeply."""
    try:
        return str(value)
    except RecursionError:
        return "…"


def _make_cell(value: Any) -> Any:
    if isinstance(value, datetime):
        value = (value if value.tzinfo is None else value.astimezone(UTC)).isoformat().replace("+00:00", "Z")
    elif isinstance(value, dict | list):
        value = _dump(value, orjson.OPT_UTC_Z)
    return make_cell_safe(value) if isinstance(value, str) else value
