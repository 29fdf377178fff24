"""What commands read from files: lists of ids, and objects in YAML or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fieldpack.errors import UsageError

__all__ = ["read_filter", "read_ids", "read_object"]

_OF_PAGES = ("after", "upto", "column", "of", "sort")  # of addresses, what narrows nothing


def read_filter(text: str) -> dict[str, list[str]]:
    """A filter of submissions by name: from the query of a page's address, or from the whole address.

    Raises:
        UsageError: it is neither.
    """
    query = text.partition("#")[0].rpartition("?")[2]
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query):
        if name not in _OF_PAGES:
            found.setdefault(name, []).append(value)
    if query.strip() and not found and "=" not in query:
        raise UsageError(f"{text!r} is no filter; one reads `state=AWAITING+REVIEW&files=yes`.")
    return found


def read_ids(source: Path) -> list[str]:
    """The ids in a file, one on each line; `-` is standard input.

    Raises:
        UsageError: it can't be read, or is no text.
    """
    return [line.strip() for line in _read(source).splitlines() if line.strip()]


def read_object(source: Path) -> dict[str, Any]:
    """The object in a YAML or JSON file; `-` is standard input.

    Raises:
        UsageError: it can't be read, or holds something else.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(_read(source))
    except YAMLError as error:
        raise UsageError(f"{source} is neither YAML nor JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{source} must hold one object, such as `name: My study`.")
    return found


def _read(source: Path) -> str:
    try:
        return sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source}: {error}") from error
