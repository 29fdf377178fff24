"""The Tab key: commands without loading them, and silence where there is nothing to offer."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
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


HOSTILE = (
    r"\$(touch ran)",
    r"\`touch ran\`",
    "$(touch ran)`touch ran`",
    "it's'; touch ran; '",
    'say "$(touch ran)" ; touch ran #',
    "a:b(c) )) ; touch ran #",
    "[red]x[/red] {a,b} \\",
    "\x1b]0;ran\x07\nsecond \u202eline",
    "&& touch ran | touch ran > ran < ran * ? ~ ! % ^ =",
)


class Named:
    """A client whose server has what others named."""

    def __init__(self, **how: Any) -> None:
        pass

    def __enter__(self) -> Named:
        return self

    def __exit__(self, *how: Any) -> None:
        pass

    def list_studies(self) -> list[dict[str, Any]]:
        odd = ["$(touch${IFS}ran)", "';touch${IFS}ran;'", "*", "a b", "a:b", "", "a\nb"]
        return [
            *({"id": f"id-{n}", "name": name} for n, name in enumerate(HOSTILE)),
            *({"id": id, "name": "x"} for id in odd),
            {"id": "plain_1.a", "name": "Straßen, 2026/11 – тест"},
        ]


def complete(shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a shell is given for an id of a study."""
    monkeypatch.setattr("fieldpack.client.Client", Named)
    line = "fieldpack study view "
    with monkeypatch.context() as patch:
        patch.setenv("_FIELDPACK_COMPLETE", f"complete_{shell}")
        patch.setenv("COMP_WORDS", line)
        patch.setenv("COMP_CWORD", "3")
        patch.setenv("_TYPER_COMPLETE_ARGS", line)
        patch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        patch.setenv("_TYPER_COMPLETE_WORD_TO_COMPLETE", "")
        with pytest.raises(SystemExit):
            raise SystemExit(main([]))
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell", "pwsh"])
def test_a_name_is_nothing_that_a_shell_acts_on(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = complete(shell, monkeypatch, capsys)
    wanted = [f"id-{n}" for n in range(len(HOSTILE))] + ["plain_1.a"]
    assert re.findall(r"\b(?:id-\d+|plain_1\.a)\b", given) == wanted
    # what Typer itself writes around ids and names
    frames = {"zsh": r"""_arguments '\*: :\(\(|\)\)'$|":"|^"|"$""", "powershell": ":::", "pwsh": ":::"}
    rest = re.sub(frames.get(shell, r"\t"), "", given.rstrip("\n"), flags=re.MULTILINE)
    rest = re.sub(frames.get(shell, r"\t"), "", rest, flags=re.MULTILINE)
    assert not re.findall(r"""[\\$"':()\[\]{}`;&|<>*?~!%^=\x00-\x09\x0b-\x1f\x7f\u202e]""", rest)
    if shell != "bash":
        assert "Straßen, 2026/11 – тест" in given


def test_zsh_runs_nothing_of_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not on PATH")
    given = complete("zsh", monkeypatch, capsys)
    # as `_arguments` does with what stands between the brackets
    script = given.replace("_arguments", "spec=", 1).replace("spec= ", "spec=", 1)
    script += "\nspec=${spec#*: :}; eval ws\\=\\( ${spec[3,-3]} \\); print -rl -- $ws"
    done = subprocess.run([zsh, "-f", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(HOSTILE) + 1
    assert os.listdir(tmp_path) == []
