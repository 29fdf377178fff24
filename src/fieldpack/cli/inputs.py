"""What commands read from files: lists of ids, and objects in YAML or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fieldpack.errors import UsageError

__all__ = ["read_ids", "read_object"]


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
