"""The Tab key: commands without loading them, and silence where there is nothing to offer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fieldpack.cli import main
from fieldpack.cli.root import app
from tests.hostile_server import TOKEN, make_archive, serve_hostile


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a server, and no settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("PROLIFIC_URL", "PROLIFIC_TOKEN", "FIELDPACK_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def offer(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[set[str], str]:
    """What bash is offered at the end of a line, and what stands on standard error."""
    with monkeypatch.context() as patch:
        patch.setenv("_FIELDPACK_COMPLETE", "complete_bash")
        patch.setenv("COMP_WORDS", line)
        patch.setenv("COMP_CWORD", str(line.count(" ")))
        with pytest.raises(SystemExit):
            raise SystemExit(main([]))
    said = capsys.readouterr()
    return set(said.out.split()), said.err


def test_commands_are_offered_without_loading_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fieldpack.cli.root._Root.commands", {}, raising=False)
    loaded: list[str] = []
    monkeypatch.setattr("fieldpack.cli.lazy.import_module", loaded.append)
    offered, said = offer("fieldpack ", monkeypatch, capsys)
    assert {"collection", "serve", "convert"} <= offered
    assert said == ""
    assert offer("fieldpack sw", monkeypatch, capsys) == ({"sweep"}, "")
    assert loaded == []


def test_subcommands_and_options_are_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offer("fieldpack collection e", monkeypatch, capsys) == ({"export", "exports", "erase"}, "")
    assert offer("fieldpack convert a.zip --num", monkeypatch, capsys) == ({"--numbers"}, "")


THINGS = ("collection", "study", "workspace", "project", "group", "subscription")


def iter_parameters(command: Any, context: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every parameter of every command, behind the command's names."""
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from iter_parameters(
                inner, typer.Context(inner, parent=context, info_name=name), (*path, name)
            )
        return
    for parameter in command.params:
        yield (*path, parameter)


def test_every_id_of_something_with_a_name_is_offered() -> None:
    pytest.importorskip("fieldpack.server.config", reason="needs the server extra")
    program = typer.main.get_command(app)
    bare = [
        (*path, parameter.name)
        for *path, parameter in iter_parameters(program, typer.Context(program, info_name="fieldpack"))
        if str(parameter.name).removesuffix("_id") in THINGS and parameter._custom_shell_complete is None
    ]
    assert bare == []


@pytest.mark.parametrize("word", ["export", "get", "sync", "erase", "publish"])
def test_without_a_server_nothing_is_offered_nor_said(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"fieldpack collection {word} "
    assert offer(line, monkeypatch, capsys) == (set(), "")
    monkeypatch.setenv("PROLIFIC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    assert offer(line, monkeypatch, capsys) == (set(), "")
    monkeypatch.setenv("PROLIFIC_URL", "not a server")
    assert offer(line, monkeypatch, capsys) == (set(), "")


def test_a_server_that_is_slow_or_wrong_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], silent_url: str
) -> None:
    monkeypatch.setattr("fieldpack.cli.completion.LONGEST_WAIT", 0.05)
    monkeypatch.setenv("PROLIFIC_URL", silent_url)
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    assert offer("fieldpack collection export ", monkeypatch, capsys) == (set(), "")
    monkeypatch.setattr("fieldpack.cli.completion.LONGEST_WAIT", 30)
    with serve_hostile(make_archive(members=1)) as peer:  # has workspaces and studies, and no collections
        monkeypatch.setenv("PROLIFIC_URL", peer.url)
        for line in (
            "fieldpack collection list -w item-44",
            "fieldpack collection export x --study-id item-44",
        ):
            assert offer(line, monkeypatch, capsys) == ({"item-44", *(f"item-44{n}" for n in range(10))}, "")
        assert offer("fieldpack collection export ", monkeypatch, capsys) == (set(), "")
