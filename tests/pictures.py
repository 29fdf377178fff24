"""Pictures as cameras and programs write them, with what they tell beside what they show."""

from __future__ import annotations

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
