"""Commands to copy: what brings an export in a terminal."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from fieldpack.server.exports.keys import archive_name
from fieldpack.server.exports.rows import ExportRow

__all__ = ["Command", "for_archive"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        program: its first word, by which people know it.
        line: all of it, for a POSIX shell.
    """

    program: str
    line: str


def for_archive(export: ExportRow, url: str) -> list[Command]:
    """`curl`, which needs no token and goes on after a break, and our own, which checks what arrives besides."""
    name = archive_name(export.collection_id, export.created_at)
    return [
        Command("curl", shlex.join(["curl", "-fL", "-C", "-", "-o", name, url])),
        Command(
            "fieldpack",
            shlex.join(
                [
                    *("fieldpack", "collection", "export", "download"),
                    *(str(export.collection_id), str(export.id)),
                ]
            ),
        ),
    ]
