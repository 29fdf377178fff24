"""Forms that correct an answer, from programs and from pages: a reason, the version that was seen, and a file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.datastructures import FormData

from fieldpack.server.context import Context
from fieldpack.server.http.intake.forms import FormFile, read_known_form
from fieldpack.server.http.large import Researchers
from fieldpack.server.problems import TOO_LARGE, Problem, invalid
from fieldpack.server.submissions.corrections.files import GivenFile
from fieldpack.server.submissions.corrections.schemas import MOST_REASON
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.text import say_bytes

__all__ = ["FILE", "open_form", "read_file", "read_reason", "read_version"]

FILE = "file"


class _OneFile:
    """Room for the file of a form, which may be so large; other files are not kept."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes

    def take(self, name: str, size: int, more: int) -> bool:
        return name == FILE and size <= self._limit


@contextlib.asynccontextmanager
async def open_form(request: Request, context: Context, limit_bytes: int) -> AsyncIterator[FormData]:
    """A form with one file, which is on disk and gone at the end of the block.

    Args:
        limit_bytes: most that the file may have.

    Raises:
        Problem: 400 for a malformed one; 413.
        StorageFull: no room for the file.
    """
    settings = context.settings
    folder = settings.data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    form = await read_known_form(
        request,
        Researchers,
        text_bytes=settings.max_body_bytes,
        file_bytes=limit_bytes,
        room=_OneFile(limit_bytes),
        folder=folder,
    )
    try:
        yield form
    finally:
        await form.close()


def read_file(form: FormData, limit_bytes: int) -> GivenFile:
    """The file of a form.

    Raises:
        Problem: 400 without one, or with several; 413.
    """
    found = [value for value in form.getlist(FILE) if isinstance(value, FormFile) and value.filename]
    if len(found) != 1:
        raise invalid(FILE, f"Send one file; there are {len(found)}.")
    file = found[0]
    if not file.is_kept:
        raise Problem(TOO_LARGE, f"This file is too large: at most {say_bytes(limit_bytes)} are allowed.")
    return GivenFile((file.filename or "").replace("\0", "\ufffd"), file.size or 0, file.file)


def read_reason(text: str) -> str:
    """Why something is corrected.

    Raises:
        Problem: 400.
    """
    reason = text.strip()
    if not 1 <= len(reason) <= MOST_REASON:
        raise invalid("reason", f"Say why, in at most {MOST_REASON:,} characters.")
    return reason


def read_version(text: str) -> int | None:
    """The version of the answer that was seen; None where none is named.

    Raises:
        Problem: 400.
    """
    version = read_whole(text) if text else None
    if text and not version:
        raise invalid("version", "Must be a whole number from 1.")
    return version
