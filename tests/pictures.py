"""Pictures as cameras and programs write them, with what they tell beside what they show."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image, ImageCms, PngImagePlugin

SECRET = b"SECRET-CAMERA"
ORIENTATION = 0x0112


def make_exif(orientation: int = 6) -> Image.Exif:
    """Who made it, where, and which side is up."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = SECRET.decode()
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 1.0), 29: SECRET.decode()}
    return exif


def make_drawing(width: int = 60, height: int = 40) -> Image.Image:
    """A picture whose every corner is another colour."""
    return Image.effect_noise((width, height), 60).convert("RGB")


def make_profile() -> bytes:
    """A colour profile, whose text says what it is of."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def save(image: Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of a picture file."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def save_moving(format: str, **options: Any) -> bytes:
    """An animation of four frames that runs three times."""
    frames = [make_drawing() for _ in range(4)]
    return save(frames[0], format, save_all=True, append_images=frames[1:], duration=50, loop=3, **options)


def make_texts() -> PngImagePlugin.PngInfo:
    """Texts of a PNG, in all three kinds of chunk."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", SECRET.decode())
    texts.add_text("Comment", SECRET.decode() * 20, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return texts


def make_told() -> dict[str, bytes]:
    """Pictures of every format and make, each with secrets in all the places that its format has."""
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + SECRET
    told = {
        "jpeg": save(make_drawing(), "JPEG", exif=make_exif(), comment=SECRET, icc_profile=make_profile()),
        "jpeg, progressive": save(make_drawing(), "JPEG", progressive=True, exif=make_exif(3), xmp=xmp),
        "jpeg, grey": save(make_drawing().convert("L"), "JPEG", exif=make_exif(8), comment=SECRET),
        "jpeg, for print": save(make_drawing().convert("CMYK"), "JPEG", exif=make_exif(1), comment=SECRET),
        "png": save(
            make_drawing(), "PNG", pnginfo=make_texts(), exif=make_exif(), icc_profile=make_profile()
        ),
        "png, see-through": save(make_drawing().convert("RGBA"), "PNG", pnginfo=make_texts()),
        "png, of few colours": save(make_drawing().convert("P"), "PNG", pnginfo=make_texts()),
        "png, moving": save_moving("PNG", pnginfo=make_texts()),
        "webp": save(make_drawing(), "WEBP", exif=make_exif(), xmp=xmp, icc_profile=make_profile()),
        "webp, lossless": save(make_drawing(), "WEBP", lossless=True, exif=make_exif(), xmp=xmp),
        "webp, see-through": save(make_drawing().convert("RGBA"), "WEBP", exif=make_exif()),
        "webp, moving": save_moving("WEBP", exif=make_exif(), xmp=xmp),
        "gif": save(make_drawing(), "GIF", comment=SECRET),
        "gif, moving": save_moving("GIF", comment=SECRET),
    }
    # what phones hang on to the end: a film, another picture, an archive
    return {name: data + b"PK\3\4" + SECRET for name, data in told.items()}


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAA"
    "AERAAAIAAQAAAAAB7AABAAAAAAAAACUAAgAAAAACEQABAAAAAAAAAD4AAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZl"
    "AgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH/"
    "/wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29s"
    "cm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAA"
    "AwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAGttZGF0AAAAISgBrxmA70ml"
    "v//ihh/5rWv+v7IX//LxJ34ken/W5ENtbwAAAAZFeGlmAABNTQAqAAAACAACAQ8AAgAAAA4AAAAmARIAAwAAAAEABgAAAAAAAFNFQ1JFVC1DQU1F"
    "UkEA"
)
"""Written by a phone's encoder: 64 x 48, its left half red and its right half blue, to be shown turned to the right."""


def make_halves(width: int = 64, height: int = 48) -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


def make_film(seconds: int = 2, container: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A film of moving noise, 160 x 90."""
    import av

    frames: Any = av.VideoFrame
    out = io.BytesIO()
    with av.open(out, "w", format=container) as film:
        stream: Any = film.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for _ in range(10 * seconds):
            film.mux(stream.encode(frames.from_image(make_drawing(160, 90))))
        film.mux(stream.encode())
    return out.getvalue()
