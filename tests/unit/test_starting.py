"""Ctrl-C while the program is still being imported ends it, silently."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# Sends the signal as soon as a module is looked for, so that it comes in the middle of that import.
RUN = """
import importlib.abc, os, runpy, signal, sys

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
        return None

wanted, signals = sys.argv[1:]
sys.meta_path.insert(0, Interrupting())
# whoever runs the tests may ignore it
signal.signal(signal.SIGINT, signal.SIG_IGN if signals == "ignored" else signal.default_int_handler)
sys.argv = ["fieldpack", "--version"]
runpy.run_module("fieldpack", run_name="__main__")
"""
LISTED = """
import sys
before = set(sys.modules) | {"fieldpack", "fieldpack.errors", "fieldpack.__main__"}
import importlib.abc, os, runpy, signal, fieldpack
before |= set(sys.modules)
import fieldpack.cli
print(*(name for name in sys.modules if name not in before))
"""


def start(name: str, signals: str = "usual") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, name, signals], capture_output=True, text=True, timeout=60, check=False
    )


def list_imports() -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LISTED], capture_output=True, text=True, timeout=60, check=True
    )
    return [name for name in done.stdout.split() if name.partition(".")[0] in ("fieldpack", "typer", "rich")]


def test_ctrl_c_ends_imports_silently() -> None:
    names = list_imports()
    assert len(names) > 8
    for name in ["fieldpack.cli", "typer", *names[:: len(names) // 8], names[-1]]:
        done = start(name)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", ""), name


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    done = start("typer", "ignored")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fieldpack ")


def test_pythons_own_handler_is_back_for_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldpack.__main__ import main

    seen: list[object] = []

    def run() -> int:
        seen.append(signal.getsignal(signal.SIGINT))
        return 0

    monkeypatch.setattr("fieldpack.cli.main", run)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main() == 0
        assert seen == [signal.default_int_handler]
    finally:
        signal.signal(signal.SIGINT, before)
