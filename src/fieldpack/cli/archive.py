"""`fieldpack inspect`, `verify`, `extract`, `convert`: work on an archive, on disk or behind a link."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.options import AsJson
from fieldpack.cli.output import print_json, print_left_out, print_note, print_text
from fieldpack.errors import FieldpackError, UsageError
from fieldpack.export import Export, open_export
from fieldpack.reading.source import NO_LIMITS
from fieldpack.text import say_bytes, say_count

__all__ = ["register"]

Archive = Annotated[
    str, typer.Argument(metavar="ARCHIVE", help="A .zip, an extracted folder, or an http(s) link.")
]
NoLimit = Annotated[
    bool,
    typer.Option(
        "--no-limit", help="Unpack to as much as it claims, and whatever room the disk says it has."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]

Report = Callable[[int, int], None]

_EXTRACT_EXAMPLES = """\b
Examples:
  fieldpack extract ARCHIVE.zip -o data/                          as it is
  fieldpack extract ARCHIVE.zip -o photos/ --by instruction       a folder for each question
  fieldpack extract ARCHIVE.zip -o photos/ --type 'image/*'       pictures only
"""
_CONVERT_EXAMPLES = """\b
Examples:
  fieldpack convert ARCHIVE.zip --to csv -o answers.csv
  fieldpack convert ARCHIVE.zip --to sav -o answers.sav --codebook codebook.html
  fieldpack convert ARCHIVE.zip --to media -o dataset/
"""


class _By(StrEnum):
    submission = "submission"
    instruction = "instruction"
    flat = "flat"


class _Format(StrEnum):
    csv = "csv"
    parquet = "parquet"
    xlsx = "xlsx"
    sav = "sav"
    dta = "dta"
    media = "media"


class _Numbers(StrEnum):
    safe = "safe"
    coerce = "coerce"
    text = "text"


class _Columns(StrEnum):
    question = "question"
    id = "id"
    slug = "slug"


def register(app: typer.Typer) -> None:
    """Add the commands to a Typer app."""
    app.command("inspect")(inspect)
    app.command("verify")(verify)
    app.command("extract", epilog=_EXTRACT_EXAMPLES)(extract)
    app.command("convert", epilog=_CONVERT_EXAMPLES)(convert)


def inspect(
    archive: Archive,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report as one HTML file.")
    ] = None,
    as_json: AsJson = False,
    force: Force = False,
    no_limit: NoLimit = False,
) -> None:
    """Show what is inside an archive: counts, period, and how each question was answered."""
    from fieldpack.report.gathering import summarize

    with _open(archive, no_limit) as export:
        _refuse_existing(html, force)
        with _progress("Reading", "submissions") as report:
            summary = summarize(export, progress=report)
        if html is not None:
            from fieldpack.report.page import render_page

            _write_text(html, render_page(summary, export))
    if as_json:
        print_json(summary.as_dict())
    elif html is not None:
        print_text(f"Wrote {html}")
    else:
        from rich.console import Console

        from fieldpack.report.terminal import render_summary

        render_summary(summary, Console(highlight=False))


def verify(
    archive: Archive,
    quick: Annotated[
        bool, typer.Option("--quick", help="Don't read the files: names, sizes and counts only.")
    ] = False,
    as_json: AsJson = False,
    no_limit: NoLimit = False,
) -> None:
    """Check an archive: structure, CRCs, hashes, counts, and every reference both ways. Exit 1 if it is
    damaged."""
    with (
        open_export(archive, limits=NO_LIMITS if no_limit else None) as export,
        _progress("Checking", "bytes") as report,
    ):
        result = export.verify(contents=not quick, progress=report)
    if as_json:
        print_json(result.as_dict())
    else:
        for finding in result.findings:
            print_text(f"{finding.level}: {finding.message}")
        if result.left_out:
            print_text(f"… and {say_count(result.left_out, 'more error')}.")
        if result.warnings_left_out:
            print_text(f"… and {say_count(result.warnings_left_out, 'more warning')}.")
        counted = f"{say_count(result.submissions, 'submission')}, {say_count(result.files, 'file')}"
        if result.ok:
            how = "names, sizes and counts agree" if quick else "every checksum and reference agrees"
            print_text(f"OK: {counted}; {how}.")
        else:
            errors = sum(finding.level == "error" for finding in result.findings) + result.left_out
            print_text(f"Damaged: {say_count(errors, 'error')} in {counted}.")
    if not result.ok:
        raise typer.Exit(1)


def extract(
    archive: Archive,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write to.")],
    by: Annotated[
        _By | None, typer.Option("--by", help="Sort the uploaded files; else the archive's layout is kept.")
    ] = None,
    submission: Annotated[
        list[str] | None,
        typer.Option("--submission", metavar="ID", help="Only this submission's files; repeatable."),
    ] = None,
    question: Annotated[
        list[str] | None,
        typer.Option("--question", metavar="ID|TEXT", help="Only files of this question; repeatable."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="T", help="Only this type (image/png, 'image/*', .png); repeatable."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    no_limit: NoLimit = False,
) -> None:
    """Unpack an archive: as it is, or its uploaded files by submission, by instruction, or flat.

    Nothing but an archive's own members is written, and nothing outside the folder.
    """
    with (
        open_export(archive, limits=NO_LIMITS if no_limit else None) as export,
        _progress("Extracting", "bytes") as report,
    ):
        done = export.extract(
            output,
            by=by.value if by else None,
            submissions=submission or (),
            instructions=question or (),
            types=kind or (),
            force=force,
            progress=report,
        )
    if as_json:
        print_json(
            {
                "folder": str(done.folder),
                "files": [path.relative_to(done.folder).as_posix() for path in done.paths],
                "size_bytes": done.size_bytes,
                "missing": done.missing,
                "ignored": done.ignored,
            }
        )
    else:
        print_text(
            f"Wrote {say_count(len(done.paths), 'file')} ({say_bytes(done.size_bytes)}) to {done.folder}"
        )
    print_left_out(done.ignored)
    if done.missing:
        raise FieldpackError(
            f"The archive lacks {say_count(len(done.missing), 'file')} that answers name, {done.missing[0]!r} first; "
            "`fieldpack verify` lists what is missing."
        )


def convert(
    archive: Archive,
    to: Annotated[_Format | None, typer.Option("--to", help="The format.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="The file (or folder) to write.")
    ] = None,
    codebook: Annotated[
        Path | None,
        typer.Option("--codebook", metavar="FILE", help="Also write the codebook: .md or .html."),
    ] = None,
    columns: Annotated[_Columns | None, typer.Option("--columns", help="Name columns by this.")] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Options by their values instead of their labels.")
    ] = False,
    joined: Annotated[
        bool, typer.Option("--joined", help="Several choices in one column, not one each (csv, xlsx).")
    ] = False,
    numbers: Annotated[
        _Numbers,
        typer.Option(
            "--numbers",
            help="Questions that ask for a number: a number column if all answers are plain numbers (safe), "
            "others made missing (coerce), or always text.",
        ),
    ] = _Numbers.safe,
    bom: Annotated[bool, typer.Option("--bom", help="Mark a CSV as UTF-8 for Excel.")] = False,
    force: Force = False,
    as_json: AsJson = False,
    no_limit: NoLimit = False,
) -> None:
    """Turn an archive into CSV, Parquet, XLSX, SPSS, Stata, or folders of media for machine learning."""
    if to is None and codebook is None:
        raise UsageError("Say what to make: --to csv, parquet, xlsx, sav, dta or media, or --codebook FILE.")
    if to is not None and output is None:
        raise UsageError("Say where to write it: -o OUT.")
    if bom and to is not _Format.csv:
        raise UsageError("--bom is for --to csv only.")
    written: dict[str, Any] = {}
    warnings: list[str] = []
    with _open(archive, no_limit) as export:
        _refuse_existing(codebook, force)
        if codebook is not None:
            from fieldpack.tables.codebook import render_codebook

            text = render_codebook(export.collection, codebook.suffix)
        if to is not None and output is not None:
            from fieldpack.convert.conversion import convert_export

            with _progress("Converting", "bytes") as report:
                done = convert_export(
                    export,
                    to.value,
                    output,
                    columns=columns.value if columns else None,
                    labels=not values,
                    several="joined" if joined else "onehot",
                    numbers=numbers.value,
                    bom=bom,
                    force=force,
                    progress=report,
                )
            written = {"path": str(done.path), "rows": done.rows, "columns": done.columns}
            warnings = done.warnings
        if codebook is not None:
            _write_text(codebook, text)
            written["codebook"] = str(codebook)
    for warning in warnings:
        print_note(warning)
    if as_json:
        print_json({**written, "warnings": warnings})
    else:
        if "path" in written:
            print_text(
                f"Wrote {written['path']}: {say_count(written['rows'], 'row')}, "
                f"{say_count(written['columns'], 'column')}"
            )
        if codebook is not None:
            print_text(f"Wrote {codebook}")


def _open(archive: str, no_limit: bool) -> Export:
    return open_export(archive, limits=NO_LIMITS if no_limit else None)


def _refuse_existing(path: Path | None, force: bool) -> None:
    if path is not None and not force and os.path.lexists(path):
        raise FieldpackError(f"{path} is there already; use --force to replace it.")


def _write_text(path: Path, text: str) -> None:
    from fieldpack.convert.output import write_converted

    with write_converted(path) as draft:
        draft.write_text(text, encoding="utf-8")


@contextmanager
def _progress(verb: str, noun: str) -> Iterator[Report | None]:
    """A bar on standard error when that is a terminal; nothing otherwise, so that logs stay short."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    amount = DownloadColumn() if noun == "bytes" else MofNCompleteColumn()
    bar = Progress(TextColumn(verb), BarColumn(), amount, console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task(verb, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield report
