"""The demonstration, as `make demo` runs it, with fewer people: its end, and every way to cut it short."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.installation import FIELDPACK, environment

GONE_SECONDS = 120.0  # 30 are promised of a killed one, on a machine with nothing else to do
PATIENCE_SECONDS = 300.0


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where temporary files go, and whatever the demonstration leaves; PostgreSQL's user may enter."""
    with tempfile.TemporaryDirectory(prefix="fieldpack-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def demo(temporary: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FIELDPACK, "demo", "-n", "3", *options],
        env=environment(TMPDIR=str(temporary), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says, until it says this."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"It ended without {words!r}:\n{said}")


def users_of(folder: Path) -> list[psutil.Process]:
    """Processes whose command line or environment names the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            named = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in named):
            found.append(process)
    return found


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_it_ends_with_an_archive_and_commands_that_work(temporary: Path) -> None:
    said, _ = demo(temporary).communicate(timeout=PATIENCE_SECONDS)
    (archive,) = left_in(temporary)
    assert f"the archive is kept: {temporary / archive}" in said
    pasted = [line.strip() for line in said.splitlines() if line.startswith("  ") and f" {temporary}" in line]
    assert len(pasted) == 2
    for line in pasted:
        assert subprocess.run(line, shell=True, check=False, capture_output=True).returncode == 0, line


def test_it_stays_up_with_three_links_and_keeps_a_folder_that_was_named(temporary: Path) -> None:
    folder = temporary / "a demo"
    process = demo(temporary, "--keep-running", "--folder", str(folder))
    said = read_until(process, "until Ctrl-C")
    report = next(line.rsplit(" ", 1)[1] for line in said.splitlines() if "the report:" in line)
    assert report == (folder / "report.html").as_uri()
    assert said.count("http://127.0.0.1:") == 3  # where it runs, the researcher's and the participants' page
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    kept = {path.name for path in folder.iterdir()}
    assert kept == {"export.zip", "fieldpack-data", "report.html", "server.log"}
    again, _ = demo(temporary, "--folder", str(folder)).communicate(timeout=PATIENCE_SECONDS)
    assert "is not empty" in again


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (signal.SIGTERM, "Starting"),
        (signal.SIGINT, "is published"),
        (signal.SIGHUP, "to_pandas"),
    ],
)
def test_stopped_at_any_moment_it_leaves_the_archive_at_most(
    temporary: Path, how: signal.Signals, words: str
) -> None:
    process = demo(temporary)
    read_until(process, words)
    process.send_signal(how)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert [Path(left).name for left in left_in(temporary)] == (
        ["export.zip"] if words == "to_pandas" else []
    )
    deadline = time.monotonic() + GONE_SECONDS
    while users_of(temporary) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert users_of(temporary) == []


def test_killed_it_leaves_no_process_and_the_next_one_clears_up(temporary: Path) -> None:
    with demo(temporary) as process:
        read_until(process, "is published")
        process.kill()
    _, alive = psutil.wait_procs(users_of(temporary), GONE_SECONDS)
    assert alive == []
    assert left_in(temporary) != []
    with demo(temporary) as process:
        read_until(process, "Starting")
        process.terminate()
    assert left_in(temporary) == []


def test_it_ends_when_the_make_that_ran_it_is_killed(temporary: Path) -> None:
    makefile = temporary / "Makefile"
    command = shlex.join([*FIELDPACK, "demo", "-n", "3", "--keep-running"])
    makefile.write_text(f"demo:\n\t{command}\n")
    with subprocess.Popen(
        ["make", "-f", str(makefile)],
        env=environment(TMPDIR=str(temporary), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as make:
        read_until(make, "It runs at")
        make.kill()
    _, alive = psutil.wait_procs(users_of(temporary), GONE_SECONDS)
    assert alive == []
    assert [Path(left).name for left in left_in(temporary)] == ["Makefile"]
