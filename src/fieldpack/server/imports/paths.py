"""What files of an archive are called here: their member names, and their content types."""

from __future__ import annotations

import re

from fieldpack.archive.members import FILES
from fieldpack.archive.naming import MemberNames, safe_name
from fieldpack.server.imports.lines import Taken

__all__ = ["choose_paths", "clean_content_type"]

_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,100}", re.ASCII)


def choose_paths(submission_id: str, taken: Taken) -> list[str]:
    """The member names of a submission's files: those they have, if all of them could be ours, else new ones."""
    prefix = f"{FILES}{submission_id}_"
    paths = [file.path for file in taken.files]
    names = [path.removeprefix(prefix) for path in paths]
    if (
        submission_id == taken.submission_id
        and all(path.startswith(prefix) for path in paths)
        and all(safe_name(name) == name for name in names)
        and len({name.casefold() for name in names}) == len(names)
    ):
        return paths
    given = MemberNames(submission_id)
    return [given.add(file.file_name) for file in taken.files]


def clean_content_type(claimed: str | None) -> str | None:
    """A content type as it can go on record; None for what is none."""
    return claimed if claimed and _CONTENT_TYPE.fullmatch(claimed) else None
