"""The names that members of an archive may have.

Anything else in a ZIP is never written to disk: it stays in the archive and is named in a warning. So no archive
can write a file where a program looks for its configuration (`.git/config`), nor where fieldpack keeps its notes
(`OWN_FOLDER`).
"""

from __future__ import annotations

import re

from fieldpack.text import holds_control

__all__ = [
    "COLLECTION",
    "FILES",
    "HEADS",
    "HISTORY",
    "LEADING",
    "MOST_FOLDERS",
    "OWN_FOLDER",
    "README",
    "RESPONSES",
    "explain_outsider",
    "explain_unsafe_name",
    "is_bystander",
    "is_member",
]

RESPONSES = "responses.jsonl"
COLLECTION = "collection.json"
README = "README.md"
HISTORY = "history.jsonl"

HEADS = (RESPONSES, COLLECTION, README)
"""The members that every archive has, in their order."""

LEADING = (*HEADS, HISTORY)
"""What may stand before the files, in this order: the last only where it was asked for."""

FILES = "files/"
"""What the names of all other members begin with: the files of the responses."""

OWN_FOLDER = ".fieldpack"
"""Where fieldpack keeps its notes in the folder of an extracted archive; never a member."""

_DRIVE = re.compile(r"^[A-Za-z]:")


# What systems and fieldpack itself put beside files, by the last part of a name. Participants' files begin with the
# id of their submission, so none of theirs is called so.
_BYSTANDERS = re.compile(
    r"\.DS_Store|\._.*|\.localized|Icon\r"  # macOS
    r"|Thumbs\.db|ehthumbs\.db|desktop\.ini"  # Windows
    r"|\.directory|\.nfs[0-9a-f]{8,}|\.fuse_hidden[0-9a-f]+|\.~lock\..*#"  # Linux and its programs
    r"|\.fieldpack-sync\.(?:json|part)"  # notes of earlier versions
    r"|\.[0-9a-f]{32}\.part",  # a file that was being written when the power went
    re.IGNORECASE | re.DOTALL,
)
_ARCHIVE_COMING = re.compile(r".*\.zip\.part(?:\.json)?", re.IGNORECASE | re.DOTALL)
MOST_FOLDERS = 16
"""That a member may lie in; those of archives made here lie in one. Each costs whoever writes or removes the file."""

_BYSTANDING_FOLDERS = frozenset(
    (OWN_FOLDER, "__MACOSX", "@eaDir", ".Trashes", ".Spotlight-V100", ".fseventsd")
)


def is_bystander(name: str) -> bool:
    """Whether a file of this name, in the folder of an extracted archive, does not belong to the archive: the
    operating system or fieldpack itself wrote it."""
    *folders, last = name.split("/")
    if not _BYSTANDING_FOLDERS.isdisjoint(folders) or _BYSTANDERS.fullmatch(last):
        return True
    # a participant may have uploaded `backup.zip.part`
    return not name.startswith(FILES) and _ARCHIVE_COMING.fullmatch(last) is not None


def is_member(name: str) -> bool:
    """Whether an archive has members of this name."""
    return name in LEADING or (name.startswith(FILES) and explain_unsafe_name(name) is None)


def explain_outsider(name: str) -> str | None:
    """Say why a member of this name stays in the archive, or return None when it may be written as a file
    of its name."""
    if name in LEADING:
        return None
    if unsafe := explain_unsafe_name(name):
        return unsafe
    if not name.startswith(FILES):
        return "an archive has no member of this name"
    if holds_control(name):
        return "its name holds control characters, or is not UTF-8"
    if name.count("/") > MOST_FOLDERS:
        return f"it lies more than {MOST_FOLDERS} folders deep"
    return None


def explain_unsafe_name(name: str) -> str | None:
    """Say why a member's name must not become a path, or return None when it may."""
    if not name or "\x00" in name:
        return "its name is empty or holds a NUL"
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "its name is an absolute path"
    names = re.split(r"[/\\]", name)
    if ".." in names:
        return "its name climbs out of the folder with '..'"
    if "\\" in name:
        return "its name holds a backslash"
    if "." in names or "" in names:
        return "its name has empty or '.' parts"
    return None
