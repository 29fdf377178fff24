"""The commands that do with a filter what the page does."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from uuid import UUID

__all__ = ["write_export", "write_list"]

# of `fieldpack collection export`, where they are called as the export's own parameters are
_OF_EXPORTS = {"since": "from", "before": "to"}
_NOT_OF_EXPORTS = ("note", "pending", "assigned")


def write_list(collection_id: UUID, parameters: Iterable[tuple[str, str]]) -> str:
    """The command that lists what a view shows, for a shell."""
    return _write(["fieldpack", "collection", "responses", str(collection_id)], parameters)


def write_export(collection_id: UUID, parameters: Iterable[tuple[str, str]]) -> str:
    """The command that exports what a filter lets through; what is among researchers is in no export, and narrows
    none."""
    named = [(_OF_EXPORTS.get(name, name), text) for name, text in parameters if name not in _NOT_OF_EXPORTS]
    return _write(["fieldpack", "collection", "export", str(collection_id)], named)


def _write(words: list[str], parameters: Iterable[tuple[str, str]]) -> str:
    # `--name=value`: a value may begin with a dash
    return shlex.join([*words, *(f"--{name}={text}" for name, text in parameters)])
