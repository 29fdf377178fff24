"""File names that are safe on every system, and unique within a submission.

responses.jsonl keeps the participant's own file name unchanged. The member's path, which becomes a file on
somebody's disk, is derived from it by `safe_name` and `MemberNames`.
"""

from __future__ import annotations

import re

from fieldpack.archive.members import FILES
from fieldpack.text import CONTROL, RESERVED_BY_WINDOWS, is_device_name, normalise

MAX_NAME_BYTES = 200
"""Longest name in UTF-8, suffix and extension included, without `files/<submission id>_`."""

_MAX_EXTENSION_BYTES = 64  # longer text after the last dot is not an extension, but words after a full stop

_FORBIDDEN = re.compile(f"[{CONTROL}{RESERVED_BY_WINDOWS}]")
_DOTS = re.compile(r"\.{2,}")


def safe_name(file_name: str) -> str:
    """A file name made safe, in NFC, at most `MAX_NAME_BYTES` long; `file` if nothing is left.

    Only what follows the last `/` or `\\` counts. Control, bidirectional and reserved characters go, runs of
    dots become one, dots and spaces at either end go. A device name gets a leading `_`. A long name is cut
    before its extension, never within a character. Applied again, it changes nothing.
    """
    name = re.split(r"[/\\]", file_name)[-1]
    name = normalise(_FORBIDDEN.sub("", name))
    name = _strip(_DOTS.sub(".", name)) or "file"
    stem, extension = _split(name)
    name = _fit(stem, "", extension)
    if is_device_name(name):  # checked last, because cutting a name can make it a device name
        name = _fit("_" + stem, "", extension)
    return name


class MemberNames:
    """Chooses the member paths of one submission's files, `files/<submission id>_<safe name>`.

    Names that are equal without regard to case get `-2`, `-3` … before the extension, in the order of the calls.
    """

    def __init__(self, submission_id: str) -> None:
        self._prefix = f"{FILES}{submission_id}_"
        self._next: dict[str, int] = {}

    def reserve(self, path: str) -> None:
        """Keep a path from being chosen: a file has it."""
        self._next.setdefault(_key(path.removeprefix(self._prefix)), 2)

    def add(self, file_name: str) -> str:
        """The path for the next file, whose own name is `file_name`."""
        name = safe_name(file_name)
        key = _key(name)
        if key not in self._next:
            self._next[key] = 2
            return self._prefix + name
        stem, extension = _split(name)
        while True:
            number = self._next[key]
            self._next[key] = number + 1
            numbered = _fit(stem, f"-{number}", extension)
            numbered_key = _key(numbered)
            if numbered_key not in self._next:
                self._next[numbered_key] = 2
                return self._prefix + numbered


def _key(name: str) -> str:
    """A key that is equal for names that are the same file where case, or Unicode normalisation, is ignored."""
    return normalise(name.casefold())


def _split(name: str) -> tuple[str, str]:
    """Stem and extension (with its dot, or empty)."""
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) >= _MAX_EXTENSION_BYTES:
        return name, ""
    return stem, dot + extension


def _fit(stem: str, suffix: str, extension: str) -> str:
    """The three joined, the stem cut so that all fit."""
    room = MAX_NAME_BYTES - len((suffix + extension).encode())
    raw = stem.encode()
    if len(raw) > room:
        stem = _strip(raw[:room].decode(errors="ignore"))
    return stem + suffix + extension


def _strip(name: str) -> str:
    start, end = 0, len(name)
    while start < end and (name[start] == "." or name[start].isspace()):
        start += 1
    while end > start and (name[end - 1] == "." or name[end - 1].isspace()):
        end -= 1
    return name[start:end]
