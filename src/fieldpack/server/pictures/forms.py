"""Forms that bring a picture, from programs and from pages."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from fieldpack.pictures import MOST_BYTES
from fieldpack.server.config import Settings
from fieldpack.server.http.intake.forms import read_known_form
from fieldpack.server.http.large import Researchers
from fieldpack.server.problems import TOO_LARGE, Problem
from fieldpack.text import say_bytes

__all__ = ["read_picture", "read_picture_form"]


class _OnePicture:
    """Room for the files of a form: each as large as a picture may be."""

    def take(self, name: str, size: int, more: int) -> bool:
        return size <= MOST_BYTES


async def read_picture_form(request: Request, settings: Settings, text_bytes: int) -> FormData:
    """A form that brings a picture, or could; whoever reads it closes it.

    Args:
        text_bytes: most that its texts may have together.

    Raises:
        Problem: 400 for a malformed one; 413.
    """
    folder = settings.data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return await read_known_form(
        request, Researchers, text_bytes=text_bytes, file_bytes=MOST_BYTES, room=_OnePicture(), folder=folder
    )


async def read_picture(file: UploadFile) -> bytes:
    """The bytes of a picture in a form.

    Raises:
        Problem: 413.
    """
    if (file.size or 0) > MOST_BYTES:
        raise Problem(TOO_LARGE, f"A picture may have at most {say_bytes(MOST_BYTES)}.")
    return await file.read()
