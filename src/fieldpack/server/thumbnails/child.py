"""The program that makes small pictures of one file, which is its standard input: `python -I -m …thumbnails.child`.

It limits itself, imports what it needs, gives up all else, and only then looks at the file. It answers on standard
output: one line of JSON, `{"width", "height", "images": [{"side", "width", "height", "size"}], "pages": […],
"page_count"}` about the upright original and what was made, then the WebP files one after the other. Nothing of the
original's metadata is in them. Of a document the next pages are made besides, as far as half of its time goes.
It exits with 3 for a file that can't be read, whatever the reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from fieldpack.server.machine.sandbox import close_everything, limit_resources
from fieldpack.server.thumbnails.formats import PAGE_SIDE

if TYPE_CHECKING:
    from PIL import Image

UNREADABLE = 3
QUALITY = {320: 75, 1600: 80}
Made = tuple[int, int, int, bytes]  # side, width, height, the WebP file
_SKIPPED_SECONDS = 1  # of a film: its first moment is often black
_MOST_FRAMES = 300  # that are decoded for one that is worth showing
_MOST_PAGE_BYTES = 8 << 20


class Unreadable(Exception):
    """No small picture can be made of it."""


def main(arguments: list[str]) -> int:
    """Make the pictures.

    Args:
        arguments: `picture`, `film` or `document`, the decoder, the sides with commas between them, the most pixels,
            the most bytes of memory, the most seconds; of a document, how many pages.
    """
    kind, decoder, sides, pixels, memory, seconds, pages = arguments
    limit_resources(int(memory), int(seconds))
    _import_all(kind, decoder)
    close_everything()
    wanted = [int(side) for side in sides.split(",")]
    source = os.fdopen(0, "rb")
    try:
        image, size = OPENERS[kind](source, decoder, int(pixels), max(wanted))
        more = _make_pages(source, int(pixels), int(seconds) / 2, int(pages)) if kind == "document" else None
        answer = _make(image, size, wanted, more)
    except Exception:  # what decoders raise for what is damaged is of every kind
        return UNREADABLE
    with os.fdopen(1, "wb") as out:
        out.write(answer)
    return 0


def _import_all(kind: str, decoder: str) -> None:
    """Import everything that will be used, encoders' tables too: nothing can be opened afterwards."""
    from PIL import Image, ImageCms, ImageOps, WebPImagePlugin

    del ImageOps, WebPImagePlugin
    Image.preinit()
    ImageCms.createProfile("sRGB")
    if kind == "film":
        import av.logging

        av.logging.set_level(None)
    elif kind == "document":
        import pypdfium2

        pypdfium2.PdfDocument.new().close()
    elif decoder == "HEIF":
        import pi_heif

        pi_heif.options.DECODE_THREADS = 1
        pi_heif.register_heif_opener()
    else:
        if decoder not in Image.OPEN:
            Image.init()
        if decoder == "AVIF":
            from PIL import AvifImagePlugin

            AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        _try_out(decoder)
    _try_out("WEBP")


def _try_out(format: str) -> None:
    """Write and read a picture of two pixels, for what a library imports only then."""
    from PIL import Image

    tiny = io.BytesIO()
    Image.new("RGB", (2, 1)).save(tiny, format)
    _open_picture(tiny, format, 2, 2)


# several JPEGs in one file, as cameras write them, are a format of their own to Pillow
_FORMATS = {"JPEG": ("JPEG", "MPO")}


def _check_size(width: int, height: int, most_pixels: int) -> None:
    if width < 1 or height < 1 or width * height > most_pixels:
        raise Unreadable


def _open_picture(
    source: BinaryIO, decoder: str, most_pixels: int, side: int
) -> tuple[Image.Image, tuple[int, int]]:
    """The picture upright, no larger than is needed, and the size of the original, upright too."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = most_pixels
    with Image.open(source, formats=_FORMATS.get(decoder, (decoder,))) as image:
        width, height = image.size
        _check_size(width, height, most_pixels)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            shown = _spread(image)
        else:
            image.thumbnail((side, side), reducing_gap=2.0)
            shown = image
        upright = ImageOps.exif_transpose(shown) or shown
        turned = (upright.width > upright.height) != (shown.width > shown.height)
        upright = _to_plain(upright)
        upright.thumbnail((side, side))
        return upright, (height, width) if turned else (width, height)


def _spread(image: Image.Image) -> Image.Image:
    """A picture of more than 8 bits of grey in the greys there are, from its darkest to its lightest."""
    deep = image.convert("F")
    low, high = deep.getextrema()
    if not isinstance(low, float) or not isinstance(high, float) or not high > low:
        return deep.convert("L")
    spread = deep.point(lambda value: value * (255 / (high - low)) - low * 255 / (high - low))
    found: Image.Image = spread.convert("L")
    return found


def _to_plain(image: Image.Image) -> Image.Image:
    """The picture in sRGB, transparent where it was, without anything beside its pixels."""
    from PIL import Image, ImageCms

    profile = image.info.get("icc_profile")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        with contextlib.suppress(
            ImageCms.PyCMSError, OSError, ValueError
        ):  # a profile that is none is passed over
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = (
                ImageCms.profileToProfile(image, theirs, ImageCms.createProfile("sRGB"), outputMode=mode)
                or image
            )
    plain = image.convert("RGBA" if has_alpha else "RGB")
    bare = Image.new(plain.mode, plain.size)
    bare.paste(plain)
    return bare


def _open_film(
    source: BinaryIO, decoder: str, most_pixels: int, side: int
) -> tuple[Image.Image, tuple[int, int]]:
    """A frame of the film's beginning, upright, and the size of its frames."""
    import av

    with av.open(source, mode="r", format=decoder) as film:
        stream = film.streams.video[0]
        _check_size(stream.width, stream.height, most_pixels)
        stream.thread_type = "NONE"
        stream.thread_count = 1
        found: Any = None
        for number, frame in enumerate(film.decode(stream)):
            _check_size(frame.width, frame.height, most_pixels)
            found = frame
            if (frame.time or 0) >= _SKIPPED_SECONDS or number >= _MOST_FRAMES:
                break
        if found is None:
            raise Unreadable
        scale = min(1.0, side / max(found.width, found.height))
        small = found.to_image(
            width=max(1, round(found.width * scale)), height=max(1, round(found.height * scale))
        )
        turned = -int(getattr(found, "rotation", 0) or 0) % 360
        size = (found.width, found.height) if turned % 180 == 0 else (found.height, found.width)
        return small.rotate(-turned, expand=True) if turned else small, size


def _open_document(
    source: BinaryIO, decoder: str, most_pixels: int, side: int
) -> tuple[Image.Image, tuple[int, int]]:
    """The first page of a PDF, and its size in points."""
    import pypdfium2

    del decoder
    with pypdfium2.PdfDocument(source) as document:
        page = document[0]
        width, height = page.get_size()
        _check_size(max(1, round(width)), max(1, round(height)), most_pixels)
        shown = (
            page.render(scale=side / max(width, height, 1.0), may_draw_forms=False).to_pil().convert("RGB")
        )
        return shown, (max(1, round(width)), max(1, round(height)))


OPENERS = {"picture": _open_picture, "film": _open_film, "document": _open_document}


def _make_pages(source: BinaryIO, most_pixels: int, seconds: float, most: int) -> tuple[int, list[Made]]:
    """How many pages a PDF has, and pictures of its second and further ones; up to the first that is damaged.

    Args:
        seconds: of a processor, after which no further page is begun.
    """
    import pypdfium2

    made: list[Made] = []
    source.seek(0)
    with pypdfium2.PdfDocument(source) as document:
        count = len(document)
        for number in range(1, min(count, most)):
            if time.process_time() > seconds or sum(len(each[-1]) for each in made) > _MOST_PAGE_BYTES:
                break
            try:
                page = document[number]
                width, height = page.get_size()
                _check_size(max(1, round(width)), max(1, round(height)), most_pixels)
                scale = PAGE_SIDE / max(width, height, 1.0)
                shown = page.render(scale=scale, may_draw_forms=False).to_pil().convert("RGB")
                shown.thumbnail((PAGE_SIDE, PAGE_SIDE))
                made.append((PAGE_SIDE, shown.width, shown.height, _write(shown, PAGE_SIDE)))
                page.close()
            except Exception:  # of every kind, as above: what comes before it is there
                break
    return count, made


def _write(image: Image.Image, side: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY.get(side, 75), method=4, exif=b"", icc_profile=b"", xmp=b"")
    return out.getvalue()


def _make(
    image: Image.Image, size: tuple[int, int], sides: list[int], pages: tuple[int, list[Made]] | None
) -> bytes:
    """The answer: the largest picture first made smaller, the others out of it; then the pages."""
    made: list[Made] = []
    for side in sorted(sides, reverse=True):
        image.thumbnail((side, side))
        made.append((side, image.width, image.height, _write(image, side)))
    count, more = pages or (None, [])
    head = {
        "width": size[0],
        "height": size[1],
        "images": [_describe(each) for each in made],
        "pages": [_describe(each) for each in more],
        "page_count": count,
    }
    return json.dumps(head).encode() + b"\n" + b"".join(data for *_, data in [*made, *more])


def _describe(made: Made) -> dict[str, int]:
    side, width, height, data = made
    return {"side": side, "width": width, "height": height, "size": len(data)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
