"""`fieldpack demo`: a server, participants, an export and a table, through the public routes, in about a minute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fieldpack.client.api import Client
from fieldpack.demo.folder import ARCHIVE, DemoFolder, demo_folder
from fieldpack.demo.people import Person, make_people
from fieldpack.demo.programs import find_command, run_command, running_server
from fieldpack.demo.signals import Stopped, signals_raised
from fieldpack.example import find_example
from fieldpack.text import say_bytes, say_count

__all__ = ["run_demo"]

AT_ONCE = 12
RETURNED_EVERY = 23
ERASED_EVERY = 37
MORE_PLACES = 20  # for whoever opens the participants' link
CELL_CHARACTERS = 20
HIDDEN = ["submission_id", "study_id", "started_at", "completed_at"]
REPORT = "report.html"

console = Console(highlight=False)


def run_demo(submissions: int, folder: Path | None, *, port: int, keep_running: bool | None) -> None:
    """Run the demo, and clear away what it made; the archive stays, and with `folder` everything else.

    Args:
        submissions: how many people take part.
        folder: where everything is to be; None for a temporary folder.
        port: what the server listens on; 0 takes a free one.
        keep_running: whether the server stays up afterwards; None for yes at a terminal.

    Raises:
        FieldpackError: the folder is in use, or the server did not start.
        KeyboardInterrupt: a signal stopped it before its end.
    """
    with signals_raised(), _cleared(folder) as made:
        started = time.monotonic()
        console.print("Starting a server with an embedded PostgreSQL …")
        data_dir = made.path / "fieldpack-data"
        log = made.path / "server.log"
        with running_server(data_dir, log, port=port, lock_fd=made.lock_fd) as server:
            os.environ.pop("PROLIFIC_TOKEN", None)
            os.environ.pop("PROLIFIC_URL", None)
            os.environ["FIELDPACK_DATA_DIR"] = str(data_dir)
            with Client() as client:
                _print(f"It runs at {client.base_url}, in {data_dir}")
                collection, study = _create(client, submissions, data_dir)
                people = make_people(submissions)
                outcome = asyncio.run(_take_part(str(client.base_url), study["id"], people))
                _review(client, study["id"], outcome)
                archive = _export(collection["id"], made.path, data_dir)
                _show(archive)
                report = made.path / REPORT
                run_command("inspect", str(archive), "--html", str(report), data_dir=data_dir, is_read=True)
                console.print(f"\nDone in {time.monotonic() - started:.0f} s.")
                made.is_kept = folder is not None
                stays_up = sys.stdout.isatty() if keep_running is None else keep_running
                if stays_up:
                    _say_links(data_dir, f"{client.base_url}/participate/{study['id']}", report)
                # once it is said that Ctrl-C ends it, that is its end and no interruption
                with contextlib.suppress(Stopped) if stays_up else contextlib.nullcontext():
                    _say_next(made, archive, stays_up=stays_up)
                    if stays_up:
                        server.wait()


@contextlib.contextmanager
def _cleared(chosen: Path | None) -> Iterator[DemoFolder]:
    """The demo's folder, and at the end a word on what is left of it."""
    with demo_folder(chosen) as made:
        yield made
    archive = made.path / ARCHIVE
    # a terminal that hung up takes no more words
    with contextlib.suppress(OSError):
        if made.is_kept:
            _print(f"Everything is kept in {made.path}.")
        elif archive.exists():
            _print(f"The server and its data are gone; the archive is kept: {archive}")


def _print(text: str, style: str | None = None) -> None:
    """A line that is not broken, so that what is in it can be copied."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def _create(client: Client, submissions: int, data_dir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    said = run_command(
        "collection", "create", "-t", str(find_example()), "--json", data_dir=data_dir, is_read=True
    )
    collection = orjson.loads(said)
    places = submissions + MORE_PLACES
    study = client.publish_collection(collection["id"], places)
    console.print(
        f"Collection [b]{collection['name']}[/b] is published as a study of {say_count(places, 'place')}."
    )
    return collection, study


async def _take_part(base_url: str, study_id: str, people: list[Person]) -> dict[str, list[str]]:
    """Every person takes part, some at a time; submission ids by what became of them."""
    outcome: dict[str, list[str]] = {"submitted": [], "returned": []}
    turn = asyncio.Semaphore(AT_ONCE)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Participants answer and upload photos", total=len(people))
        limits = httpx.Limits(max_connections=AT_ONCE * 2)
        async with httpx.AsyncClient(
            base_url=f"{base_url}/api/v1", timeout=60, limits=limits, trust_env=False
        ) as http:

            async def take_part(number: int, person: Person) -> None:
                async with turn:
                    returns = number % RETURNED_EVERY == RETURNED_EVERY - 1
                    submission_id = await person.take_part(http, study_id, returns=returns)
                    outcome["returned" if returns else "submitted"].append(submission_id)
                    progress.advance(task)
                    done = len(outcome["submitted"]) + len(outcome["returned"])
                    if not console.is_terminal and done % 50 == 0:  # where no bar moves
                        console.print(f"  {done} of {say_count(len(people), 'participant')} are done")

            await asyncio.gather(*(take_part(number, person) for number, person in enumerate(people)))
    return outcome


def _review(client: Client, study_id: str, outcome: dict[str, list[str]]) -> None:
    """Approve most, and erase some, as participants may ask."""
    submitted = sorted(outcome["submitted"])
    erased = submitted[ERASED_EVERY - 1 :: ERASED_EVERY]
    for submission_id in erased:
        client.delete_submission(submission_id)
    kept = [submission_id for submission_id in submitted if submission_id not in erased]
    client.bulk_approve_submissions(kept[: len(kept) * 3 // 4])
    console.print(
        f"{say_count(len(kept), 'submission')} in, {len(outcome['returned'])} returned, "
        f"{len(erased)} erased on request."
    )


def _export(collection_id: str, folder: Path, data_dir: Path) -> Path:
    """The archive, by the command line."""
    archive = folder / ARCHIVE
    command = ["collection", "export", collection_id, "-o", str(archive)]
    _print(f"\n$ fieldpack {' '.join(command)}", style="bold")
    run_command(*command, data_dir=data_dir)
    return archive


def _show(archive: Path) -> None:
    """The first rows, as pandas has them."""
    console.print(f"\n[b]>>> fieldpack.open_export({archive.name!r}).to_pandas()[/b]")
    try:
        import pandas
    except ModuleNotFoundError:
        console.print("pandas is not installed: pip install 'fieldpack[pandas]'")
        return
    from fieldpack.export import open_export

    with open_export(archive) as export:
        table = export.to_pandas()
        file_table = export.files()
    console.print(_preview(pandas, table), markup=False, soft_wrap=True)
    console.print(
        f"\n{say_count(len(table), 'row')} × {say_count(len(table.columns), 'column')}; "
        f"{say_count(len(file_table), 'file')} in the archive."
    )


def _preview(pandas: Any, table: Any) -> str:
    """The first rows, in as many columns as the terminal has room for."""
    shown = table.head(8).drop(columns=HIDDEN, errors="ignore")
    shown.columns = [_shorten(str(name)) for name in shown.columns]
    shown = shown.map(lambda value: _shorten(str(value)))
    wide = "display.unicode.east_asian_width"  # a Japanese letter takes two columns
    with pandas.option_context(
        "display.width", max(console.width, 60), "display.expand_frame_repr", False, wide, True
    ):
        while shown.shape[1] > 2 and len(shown.to_string(index=False).splitlines()[0]) > console.width:
            shown = shown.iloc[:, :-1]
        text: str = shown.to_string(index=False)
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def _say_links(data_dir: Path, participants: str, report: Path) -> None:
    """Three places to look at in a browser."""
    signed_in = run_command("open", "--print", data_dir=data_dir, is_read=True).strip()
    console.print("\nIn the browser, for as long as this runs:")
    _print(f"  your page, signed in (once):  {signed_in}")
    _print(f"  as a participant:             {participants}")
    _print(f"  the report:                   {report.as_uri()}")


def _say_next(made: DemoFolder, archive: Path, *, stays_up: bool) -> None:
    """Commands to go on with, as they can be pasted."""
    command, path = find_command(), quote(str(archive))
    console.print(f"\nThe archive has {say_bytes(archive.stat().st_size)}. To look further:")
    _print(f"  {command} inspect {path}")
    _print(f"  {command} convert {path} --to csv -o {quote(str(archive.with_name('answers.csv')))}")
    where = f"--data-dir {quote(str(made.path / 'fieldpack-data'))}"
    if stays_up:
        prefix = f"FIELDPACK_DATA_DIR={quote(str(made.path / 'fieldpack-data'))}"
        console.print("In another terminal:")
        _print(f"  {prefix} {command} collection list")
        console.print("\nThe server stays up until Ctrl-C.")
    elif made.is_kept:
        _print(f"  {command} serve {where}")
