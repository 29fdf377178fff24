"""Small previews of uploaded images as data URIs, where Pillow is installed."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING

from fieldpack.errors import FieldpackError
from fieldpack.reading.model import UploadedFile

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["FORMATS", "have_pillow", "make_thumbnail"]

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
"""The formats that uploaded pictures, which are untrusted, are opened as. Without a list Pillow tries some forty, of
which some start a program (Ghostscript for EPS) and some have decoders that are little used and little tested."""

_LARGEST_FILE_BYTES = 64 << 20
_MOST_PIXELS = 100_000_000
_MOST_PIXELS_WHOLE = 50_000_000  # of formats that can't be decoded in a smaller size: 4 bytes each in memory
_SIDE = 800  # enough to look at when opened, some 60 KB each


def have_pillow() -> bool:
    """Whether Pillow is installed."""
    try:
        import PIL.Image
    except ImportError:
        return False
    return bool(PIL.Image)


def make_thumbnail(export: OpenArchive, file: UploadedFile) -> str | None:
    """A JPEG data URI, or None: no image, too large, not readable.

    What a participant uploaded is untrusted: only `FORMATS` are opened, and the image's size is checked before
    any of it is decoded.
    """
    if not (file.content_type or "").startswith("image/"):
        return None
    member = export.find_member(file.path)
    if member is None or member.size_bytes > _LARGEST_FILE_BYTES:
        return None
    from PIL import Image, ImageOps

    try:
        with export.open_file(file) as source, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(source.read()), formats=FORMATS) as image:
                # cameras store JPEG, also several in one (MPO), which is decoded in an eighth of its size
                most = _MOST_PIXELS if image.format in ("JPEG", "MPO") else _MOST_PIXELS_WHOLE
                if image.width * image.height > most:
                    return None
                image.draft("RGB", (_SIDE, _SIDE))
                small = ImageOps.exif_transpose(image) or image
                small.thumbnail((_SIDE, _SIDE))
                out = io.BytesIO()
                small.convert("RGB").save(out, "JPEG", quality=75)
    except (
        FieldpackError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        MemoryError,
        EOFError,
    ):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
