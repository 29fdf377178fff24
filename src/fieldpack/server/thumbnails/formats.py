"""Which files browsers show, of which a small picture is made, by which decoder and of what size."""

from __future__ import annotations

__all__ = [
    "CONTENT_TYPE",
    "FILMS",
    "LARGE",
    "MOST_PAGES",
    "PAGES",
    "PAGE_SIDE",
    "PICTURES",
    "SHOWN_TYPES",
    "SIDES",
    "SMALL",
    "SOUNDS",
    "decoder_of",
    "kind_of",
    "sides_of",
]

SMALL = 320
LARGE = 1600
SIDES = (SMALL, LARGE)
"""Longest side of what is made, in pixels; the large one of all but the pictures that browsers show."""

PAGES = 0
"""What stands for a side in the key of a document's pages, which are one object."""
PAGE_SIDE = 1200
MOST_PAGES = 20
"""Of a document: the longest side of a page's picture, and of how many pages there is one."""

CONTENT_TYPE = "image/webp"

# what browsers show themselves, and in which nothing can act; an SVG, say, could
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp")
FILMS = ("video/mp4", "video/webm", "video/ogg", "video/quicktime")
SOUNDS = (
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
    "audio/wav",
    "audio/x-wav",
    "audio/webm",
    "audio/flac",
    "audio/aac",
)
SHOWN_TYPES = frozenset((*PICTURES, *FILMS, *SOUNDS))

# Content types and the decoder that each is given to, and no other: what it claims to be decides nothing more.
_PICTURE_DECODERS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    "image/jp2": "JPEG2000",
}
# FFmpeg's demuxers by name: one that is not named, such as a playlist's, is never tried
_FILM_DECODERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/3gpp": "mov",
    "video/3gpp2": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/ogg": "ogg",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpeg",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "asf",
}


def decoder_of(content_type: str, *, with_films: bool) -> tuple[str, str] | None:
    """`picture`, `film` or `document`, and the decoder for it; None for what no small picture is made of."""
    if content_type in _PICTURE_DECODERS:
        return "picture", _PICTURE_DECODERS[content_type]
    if with_films and content_type in _FILM_DECODERS:
        return "film", _FILM_DECODERS[content_type]
    return ("document", "PDF") if content_type == "application/pdf" else None


def sides_of(content_type: str) -> tuple[int, ...]:
    """The sides of the pictures that are made of a file: of what browsers show as a picture no large one is needed."""
    return (SMALL,) if content_type in PICTURES else SIDES


def kind_of(content_type: str) -> str:
    """How a page shows a file by itself: `picture`, `film`, `sound`, or `other` for a card."""
    if content_type in PICTURES:
        return "picture"
    if content_type in FILMS:
        return "film"
    return "sound" if content_type in SOUNDS else "other"
