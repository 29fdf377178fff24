"""Reading a collection or study from a YAML or JSON file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver

from fieldpack.errors import UsageError

__all__ = ["parse_yaml", "read_template"]


# Plain words after YAML 1.2's core schema (§10.3): only true, false, null and numbers as JSON writes them are
# something else than text. `yes`, `on`, `2024-01-01`, `0755` and `12:30` are the text they look like.
_PLAIN_WORDS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
    ("merge", r"<<", "<"),
)


_MOST_VALUES = 1_000_000


class _Resolver(VersionedResolver):
    """Tells plain words from text by our table, whatever version a file claims to be of."""

    @property
    def versioned_resolver(self) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
        table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        for tag, pattern, first in _PLAIN_WORDS:
            for character in first:
                entry = (f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"))
                table.setdefault(character, []).append(entry)
        return table


class _Constructor(SafeConstructor):
    """Numbers as JSON has them; everything else as it is safe."""


_Constructor.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))
_Constructor.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def parse_yaml(text: str) -> Any:
    """What a YAML document holds.

    Raises:
        YAMLError: it is not YAML, gives a key twice, or asks for objects.
    """
    parser = YAML(typ="safe", pure=True)
    parser.Resolver = _Resolver
    parser.Constructor = _Constructor
    return parser.load(text)


def _count_values(value: Any, counted: dict[int, int]) -> int:
    """How many values there are once every alias is written out, in time of what was written; nine lines of YAML
    can stand for a billion."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counted:
        counted[id(value)] = _MOST_VALUES + 1  # for what holds itself
        inner = value.values() if isinstance(value, dict) else value
        counted[id(value)] = 1 + sum(_count_values(each, counted) for each in inner)
    return counted[id(value)]


def read_template(path: Path) -> dict[str, Any]:
    """The object in a `.json` file, or in a YAML file of any other name; `-` is standard input.

    Raises:
        UsageError: there is no such file, or it does not hold one object; the line is named.
    """
    shown = "standard input" if str(path) == "-" else str(path)
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}.") from error
    try:
        if path.suffix.lower() == ".json":
            body = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        else:
            body = parse_yaml(raw.decode("utf-8-sig"))
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{shown}, line {error.lineno}, is not JSON: {error.msg}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown} is not UTF-8 text: save it as UTF-8.") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}," if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{shown}{line} is not YAML that can be used: {problem}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{shown} cannot be used: {error}.") from error
    if not isinstance(body, dict):
        raise UsageError(f"{shown} does not hold one object with named fields.")
    if _count_values(body, {}) > _MOST_VALUES:
        raise UsageError(f"{shown} refers to its own parts so often that it holds too much to be sent.")
    try:
        orjson.dumps(body)
    except TypeError as error:
        raise UsageError(f"{shown} holds something JSON has no word for: {error}.") from error
    return body
