"""Commands that messages, help and documentation name: each is one, with options that it takes."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fieldpack.cli.root import app

ROOT = Path(__file__).parents[2]
_QUOTED = re.compile(r"`fieldpack\s+([^`]+)`")
_EXAMPLE = re.compile(r"^ *(?:\$ )?fieldpack ((?:[^\n\\]|\\\n)+)", re.MULTILINE)
_IN_HELP = re.compile(r"^  +fieldpack (.+?)(?:   *.*)?$", re.MULTILINE)  # what it does stands behind it
_WORD = re.compile(r"[a-z][a-z0-9-]*")
_OPTION = re.compile(r"--?[a-z][a-z0-9-]*")


def iter_texts(path: Path) -> Iterator[str]:
    """The texts of a module, with `{}` for what is put into them; all of any other file."""
    if path.suffix != ".py":
        yield path.read_text(encoding="utf-8")
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values]
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@functools.cache
def program() -> Any:
    """The whole of it: each command is imported once."""
    return typer.main.get_command(app)


def find_fault(named: str) -> str | None:
    """What is wrong with a command, as it is written after `fieldpack`; None if nothing is."""
    command = program()
    named = re.sub(r"\\\n", " ", named)
    try:
        words = shlex.split(named)
    except ValueError:  # an apostrophe of a sentence
        words = named.split()
    options = {"--help", "--version", "--debug", "--install-completion", "--show-completion"}
    for word in words:
        if word in ("|", "#", "&&", ">", ";") or word.startswith("#"):
            break
        children = command.list_commands(None) if hasattr(command, "list_commands") else []
        if children and (_WORD.fullmatch(word) or word in children):
            child = command.get_command(None, word)
            if child is not None:
                command = child
                options |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
                continue
            if not any(each.param_type_name == "argument" for each in command.params):
                return f"{word!r} is no command"
        elif children and command.name == "backup":  # `backup DIR` is `backup create DIR`
            command = command.get_command(None, "create")
            options |= {name for each in command.params for name in each.opts}
        if (option := _OPTION.match(word)) and option[0] not in options:
            return f"{option[0]!r} is no option"
    return None


SOURCES = [
    *sorted((ROOT / "src").rglob("*.py")),
    *sorted((ROOT / "src").rglob("*.html")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
]


def test_commands_that_are_named_are_there() -> None:
    faults, count = [], 0
    for path in SOURCES:
        example = _IN_HELP if path.suffix == ".py" else _EXAMPLE
        for text in iter_texts(path):
            for found in (*_QUOTED.finditer(text), *example.finditer(text)):
                count += 1
                if fault := find_fault(found[1]):
                    faults.append(
                        f"{path.relative_to(ROOT)}: fieldpack {' '.join(found[1].split())}: {fault}"
                    )
    assert count > 200
    assert faults == []


@pytest.mark.parametrize(
    ("named", "is_right"),
    [
        ("workspace members list WORKSPACE", True),
        ("workspace member list", False),
        ("collection export ID --history", True),
        ("collection export ID --with-history", False),
        ("backup DIR", True),
        ("nothing", False),
        ("--debug …", True),
    ],
)
def test_what_is_no_command_is_found(named: str, is_right: bool) -> None:
    assert (find_fault(named) is None) is is_right
