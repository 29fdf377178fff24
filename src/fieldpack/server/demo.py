"""`fieldpack demo`: the whole of it, on real parts and through the public routes, in about a minute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..client.api import Client
from ..errors import FieldpackError
from ..text import say_bytes, say_count
from .administration import CREDENTIALS
from .demo_people import Person, make_people
from .example import find_example

__all__ = ["run_demo"]

AT_ONCE = 12
READY_SECONDS = 60.0
RETURNED_EVERY = 23
ERASED_EVERY = 37
CELL_CHARACTERS = 20
HIDDEN = ["submission_id", "study_id", "started_at", "completed_at"]

console = Console(highlight=False)


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Path]:
    """A server of its own, as `fieldpack serve` runs it; its data folder."""
    data_dir = folder / "fieldpack-data"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FIELDPACK_", "PROLIFIC_"))}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "fieldpack", "serve", "--data-dir", str(data_dir), "--port", "0"],
            env={**environment, "FIELDPACK_LOG_LEVEL": "warning"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while "fieldpack serves " not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise FieldpackError(f"The demo's server did not start; {log} says why.")
            time.sleep(0.1)
        yield data_dir
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def run_demo(submissions: int, folder: Path | None, *, keep_running: bool) -> None:
    """Run the demo in `folder`, or in a temporary folder that is kept for a look.

    Raises:
        FieldpackError: the folder is in use, or the server did not start.
    """
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="fieldpack-demo-"))
    elif folder.exists() and any(folder.iterdir()):
        raise FieldpackError(f"{folder} is not empty; choose a new folder for the demo.")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with running_server(folder) as data_dir:
        os.environ.pop("PROLIFIC_TOKEN", None)
        os.environ.pop("PROLIFIC_URL", None)
        os.environ["FIELDPACK_DATA_DIR"] = str(data_dir)
        with Client() as client:
            console.print(
                f"A server runs at [b]{client.base_url}[/b], with embedded PostgreSQL, in {data_dir}"
            )
            collection, study = _create(client, submissions)
            people = make_people(submissions)
            outcome = asyncio.run(_take_part(str(client.base_url), study["id"], people))
            _review(client, study["id"], outcome)
            archive = _export(collection["id"], folder)
            _show(archive)
            took = time.monotonic() - started
            _say_where(folder, archive, client, collection, study, took)
            if keep_running:
                console.print("\nThe server stays up until Ctrl-C.")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()


def _create(client: Client, submissions: int) -> tuple[dict[str, Any], dict[str, Any]]:
    command = ["collection", "create", "-t", str(find_example()), "--json"]
    done = subprocess.run([sys.executable, "-m", "fieldpack", *command], check=True, stdout=subprocess.PIPE)
    collection = orjson.loads(done.stdout)
    study = client.publish_collection(collection["id"], submissions)
    console.print(
        f"Collection [b]{collection['name']}[/b] is published as a study of {say_count(submissions, 'place')}."
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


def _export(collection_id: str, folder: Path) -> Path:
    """The archive, by the command line."""
    archive = folder / "export.zip"
    command = ["collection", "export", collection_id, "-o", str(archive)]
    console.print(f"\n[b]$ fieldpack {' '.join(command)}[/b]")
    subprocess.run([sys.executable, "-m", "fieldpack", *command], check=True)
    return archive


def _show(archive: Path) -> None:
    """The first rows, as pandas has them."""
    console.print(f"\n[b]>>> fieldpack.open_export({archive.name!r}).to_pandas()[/b]")
    try:
        import pandas
    except ModuleNotFoundError:
        console.print("pandas is not installed: pip install 'fieldpack[pandas]'")
        return
    from ..archive.reader import open_export

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
    with pandas.option_context("display.width", max(console.width, 60), "display.expand_frame_repr", False):
        while shown.shape[1] > 2 and len(shown.to_string(index=False).splitlines()[0]) > console.width:
            shown = shown.iloc[:, :-1]
        text: str = shown.to_string(index=False)
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def _say_where(
    folder: Path,
    archive: Path,
    client: Client,
    collection: dict[str, Any],
    study: dict[str, Any],
    took: float,
) -> None:
    console.print(f"\nDone in {took:.0f} s. Everything is in {folder}:")
    console.print(f"  {archive.name:33} the archive, {say_bytes(archive.stat().st_size)}")
    console.print(f"  {'fieldpack-data/' + CREDENTIALS:33} the token that the command line uses")
    console.print(f"  {'server.log':33} what the server said")
    console.print("To look further, start the server again and try:")
    console.print(f"  fieldpack serve --data-dir {folder}/fieldpack-data")
    console.print(f"  fieldpack inspect {archive}")
