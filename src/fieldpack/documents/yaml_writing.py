"""Writing YAML that people can go on with, and that is read back as the same values, by readers of YAML 1.1 too.

Text is written plainly only where no reader can take it for something else; text of several lines stands as a block
(https://yaml.org/spec/1.2.2, §8.1.2) where a block keeps it as it is, and everything else in double quotes (§7.3.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["write_yaml"]

_PLAIN = re.compile(r"[^\W\d_](?:[\w ./()-]*[\w./()-])?")
# what some version of YAML takes for a truth value, or for nothing
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_INDENT = "  "


def write_yaml(value: dict[str, Any]) -> str:
    """A document of an object as JSON has them: texts, numbers, truth values, null, lists and objects."""
    return "".join(f"{line}\n" for line in _write_mapping(value, ""))


def _write_mapping(mapping: dict[str, Any], indent: str) -> Iterator[str]:
    if not mapping:
        yield f"{indent}{{}}"
    for name, value in mapping.items():
        yield from _write_after(f"{indent}{_quote(name)}:", value, indent)


def _write_after(beginning: str, value: Any, indent: str) -> Iterator[str]:
    """What stands after the name of a field, on its line or below it."""
    if isinstance(value, dict) and value:
        yield beginning
        yield from _write_mapping(value, indent + _INDENT)
    elif isinstance(value, list) and value:
        yield beginning
        yield from _write_sequence(value, indent + _INDENT)
    elif isinstance(value, str) and _is_block(value):
        yield f"{beginning} {'|' if value.endswith(chr(10)) else '|-'}"
        for line in value.removesuffix("\n").split("\n"):
            yield f"{indent}{_INDENT}{line}" if line else ""
    else:
        yield f"{beginning} {_write_scalar(value)}"


def _write_sequence(sequence: list[Any], indent: str) -> Iterator[str]:
    for value in sequence:
        if isinstance(value, dict) and value:
            lines = _write_mapping(value, indent + _INDENT)
            # the first field stands beside the dash
            yield f"{indent}- {next(lines).removeprefix(indent + _INDENT)}"
            yield from lines
        elif isinstance(value, list) and value:
            yield f"{indent}-"
            yield from _write_sequence(value, indent + _INDENT)
        else:
            yield f"{indent}- {_write_scalar(value)}"


def _is_block(text: str) -> bool:
    """Whether a block keeps a text as it is: no line only looks empty, and nothing in it is invisible."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and bool(lines[0])
        and bool(lines[-1])
        and lines[0][0] != " "
        and all(line.isprintable() and (not line or bool(line.strip())) for line in lines)
    )


def _write_scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return repr(value)
    return "[]" if isinstance(value, list) else "{}"


def _quote(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return f'"{"".join(map(_escape, text))}"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
