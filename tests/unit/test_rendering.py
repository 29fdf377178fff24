"""Small pictures of whatever strangers send: made by a process that can do nothing else, or not made at all."""

from __future__ import annotations

import asyncio
import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from fieldpack.server.thumbnails.formats import LARGE, MOST_PAGES, PAGE_SIDE, SMALL, sides_of
from fieldpack.server.thumbnails.rendering import (
    Limits,
    NotRendered,
    Rendered,
    can_render,
    read_answer,
    render,
)
from tests.pictures import HEIC, SECRET, make_drawing, make_exif, make_film, make_halves, make_profile, save

LIMITS = Limits(memory_bytes=1 << 30, seconds=30, pixels=120_000_000)


def make(data: bytes, content_type: str, limits: Limits = LIMITS) -> Rendered:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return asyncio.run(render(file.fileno(), content_type, limits))


def opened(rendered: Rendered, side: int = SMALL) -> Image.Image:
    (data,) = (image.data for image in rendered.images if image.side == side)
    return Image.open(io.BytesIO(data))


def is_red(image: Image.Image, x: int, y: int) -> bool:
    red, _, blue = image.convert("RGB").getpixel((x, y))  # type: ignore[misc]  # three bands
    return bool(red > 200 and blue < 60)


PICTURES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/jp2": "JPEG2000",
}


@pytest.mark.parametrize("content_type", PICTURES)
def test_pictures_are_made_small(content_type: str) -> None:
    rendered = make(save(make_halves(2000, 1000), PICTURES[content_type]), content_type)
    assert (rendered.width, rendered.height) == (2000, 1000)
    assert tuple(sorted(image.side for image in rendered.images)) == sides_of(content_type)
    small = opened(rendered)
    assert (small.format, small.size) == ("WEBP", (SMALL, SMALL // 2))
    assert is_red(small, 20, 80)
    assert not is_red(small, 300, 80)
    if LARGE in sides_of(content_type):
        assert opened(rendered, LARGE).size == (LARGE, LARGE // 2)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_what_was_held_upright_is_shown_upright_and_tells_nothing_else(format: str) -> None:
    told = save(make_halves(), format, exif=make_exif(6), icc_profile=make_profile())
    rendered = make(told, f"image/{format.lower()}")
    assert (rendered.width, rendered.height) == (48, 64)
    for image in rendered.images:
        assert SECRET not in image.data
        shown = opened(rendered, image.side)
        assert shown.size == (48, 64)
        assert is_red(shown, 24, 5)
        assert not is_red(shown, 24, 60)
        assert not {"exif", "xmp", "icc_profile"} & set(shown.info)


def test_photos_of_phones_are_shown() -> None:
    rendered = make(HEIC, "image/heic")
    assert sorted(image.side for image in rendered.images) == [SMALL, LARGE]
    shown = opened(rendered, LARGE)
    assert shown.size == (48, 64)
    assert is_red(shown, 24, 5)
    assert not is_red(shown, 24, 60)
    assert not any(SECRET in image.data for image in rendered.images)


def test_what_is_transparent_stays_so_and_deep_greys_are_seen() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert opened(make(save(clear, "PNG"), "image/png")).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]  # four bands
    deep = Image.new("I;16", (40, 40), 100)
    deep.paste(300, (20, 0, 40, 40))
    shown = opened(make(save(deep, "PNG"), "image/png")).convert("L")
    assert shown.getextrema() in [(low, high) for low in range(6) for high in range(250, 256)]
    cmyk = save(make_halves().convert("CMYK"), "JPEG")
    assert is_red(opened(make(cmyk, "image/jpeg")), 5, 5)


def test_of_an_animation_the_first_frame_is_shown() -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue", "blue")]
    moving = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert is_red(opened(make(moving, "image/gif")), 5, 5)


def test_documents_show_their_first_page() -> None:
    rendered = make(save(make_halves(600, 800), "PDF", save_all=True, append_images=[]), "application/pdf")
    assert opened(rendered).size == (240, 320)
    assert opened(rendered, LARGE).size == (1200, 1600)
    assert is_red(opened(rendered), 20, 100)


def test_documents_have_pictures_of_their_pages() -> None:
    pages = [Image.new("RGB", (60, 80), colour) for colour in ("red", "blue")] * 15
    thick = make(save(pages[0], "PDF", save_all=True, append_images=pages[1:]), "application/pdf")
    assert thick.page_count == 30
    assert len(thick.pages) == MOST_PAGES - 1  # besides the first, which is the large picture
    assert {(page.width, page.height) for page in thick.pages} == {(900, PAGE_SIDE)}
    second, third = (Image.open(io.BytesIO(page.data)).convert("RGB") for page in thick.pages[:2])
    assert is_red(third, 5, 5)
    assert not is_red(second, 5, 5)
    assert make(save(make_halves(), "PNG"), "image/png").page_count is None


@pytest.mark.parametrize(
    "more",
    [
        b'"page_count": 1, "pages": [{"side": 1200, "width": 4, "height": 4, "size": %d}]',
        b'"pages": [{"side": 1200, "width": 4, "height": 4, "size": %d}]',
        b'"page_count": 9, "pages": [{"side": 1600, "width": 4, "height": 4, "size": %d}]',
        b'"page_count": true, "pages": [{"side": 1200, "width": 4, "height": 4, "size": %d}]',
    ],
)
def test_pages_are_believed_in_nothing_either(more: bytes) -> None:
    picture = webp()
    head = b'{"width": 1, "height": 1, "images": [{"side": 320, "width": 4, "height": 4, "size": %d}], '
    with pytest.raises(NotRendered):
        read_answer(head % len(picture) + more % len(picture) + b"}\n" + picture * 2, (SMALL,))


@pytest.mark.parametrize(
    ("container", "codec", "content_type"),
    [("mp4", "mpeg4", "video/mp4"), ("mov", "mpeg4", "video/quicktime"), ("matroska", "mpeg4", "video/webm"),
     ("avi", "mpeg4", "video/x-msvideo")],
)  # fmt: skip
def test_films_have_a_poster(container: str, codec: str, content_type: str) -> None:
    pytest.importorskip("av")
    rendered = make(make_film(2, container, codec), content_type)
    assert (rendered.width, rendered.height) == (160, 90)
    assert opened(rendered, LARGE).size == (160, 90)


def png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def tiff_that_claims(width: int, height: int) -> bytes:
    tiff = bytearray(save(make_halves(), "TIFF"))
    (offset,) = struct.unpack_from("<I", tiff, 4)
    for entry in range(offset + 2, offset + 2 + 12 * struct.unpack_from("<H", tiff, offset)[0], 12):
        tag = struct.unpack_from("<H", tiff, entry)[0]
        if tag in (256, 257):
            struct.pack_into("<HHII", tiff, entry, tag, 4, 1, width if tag == 256 else height)
    return bytes(tiff)


def claiming(data: bytes, at: bytes, skip: int, claim: bytes) -> bytes:
    """The same with other bytes somewhere behind a mark."""
    place = data.index(at) + len(at) + skip
    return data[:place] + claim + data[place + len(claim) :]


def endless_gif() -> bytes:
    """A GIF whose picture goes on and on: blocks of data without an end."""
    gif = save(make_halves(), "GIF")
    return gif[: gif.rindex(b"\0;")] + (b"\xff" + b"\x55" * 255) * 40_000


def deep_pdf() -> bytes:
    """A PDF whose page draws itself, ten times at each of many levels."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    objects.append(
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9000000 9000000]/Resources<</XObject<</A 5 0 R>>>>/Contents 4 0 R>>"
    )
    draw = b"/A Do " * 10
    objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw))
    objects += [
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A %d 0 R>>>>/Length %d>>"
        b"stream\n%s\nendstream" % (number + 1, len(draw), draw)
        for number in range(5, 40)
    ]
    out = b"%PDF-1.7\n"
    for number, body in enumerate(objects, 1):
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    return out + b"trailer<</Root 1 0 R/Size 40>>\n%%EOF"


MANY = 100_000
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a PNG of 100,000 x 100,000": ("image/png", lambda: png(MANY, MANY, b"\0" * 5_000_000)),
    "a PNG of the largest width there is": ("image/png", lambda: png(2**31 - 1, 1, b"\0")),
    "a PNG of no size": ("image/png", lambda: png(0, 0, b"")),
    "a PNG cut short": ("image/png", lambda: save(make_drawing(600, 600), "PNG")[:5000]),
    "a JPEG that claims 65,500 x 65,500": (
        "image/jpeg",
        lambda: claiming(save(make_halves(), "JPEG"), b"\xff\xc0", 3, struct.pack(">HH", 65500, 65500)),
    ),
    "a JPEG cut short": ("image/jpeg", lambda: save(make_drawing(600, 600), "JPEG")[:400]),
    "a GIF that claims 65,535 x 65,535": (
        "image/gif",
        lambda: claiming(save(make_halves(), "GIF"), b"GIF8", 2, struct.pack("<HH", 65535, 65535)),
    ),
    "a WebP that claims 16,383 x 16,383": (
        "image/webp",
        lambda: claiming(save(make_halves(), "WEBP"), b"\x9d\x01\x2a", 0, struct.pack("<HH", 0x3FFF, 0x3FFF)),
    ),
    "a TIFF that claims more than fits": ("image/tiff", lambda: tiff_that_claims(2**31 - 1, 2**31 - 1)),
    "a TIFF of 100,000 x 1,000": ("image/tiff", lambda: tiff_that_claims(MANY, 1_000)),
    "a broken HEIC": ("image/heic", lambda: HEIC[:300] + bytes(291)),
    "a HEIC that claims 2^31 x 2^31": (
        "image/heic",
        lambda: claiming(HEIC, b"ispe", 4, struct.pack(">II", 2**31 - 1, 2**31 - 1)),
    ),
    "a HEIC that is none": ("image/heic", lambda: b"\0\0\0\x1cftypheic" + bytes(2000)),
    "an AVIF that is none": ("image/avif", lambda: b"\0\0\0\x1cftypavif" + bytes(2000)),
    "a film with lying headers": ("video/mp4", lambda: b"\0\0\0\x18ftypisom" + b"\xff" * 3000),
    "a playlist that calls itself a film": (
        "video/mp4",
        lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    ),
    "an SVG that calls itself a PNG": ("image/png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "a ZIP that calls itself a JPEG": ("image/jpeg", lambda: b"PK\3\4" + bytes(500)),
    "PostScript that calls itself a TIFF": ("image/tiff", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%EOF\n"),
    "a PDF that draws itself": ("application/pdf", deep_pdf),
    "a PDF that is none": ("application/pdf", lambda: b"%PDF-1.7\nnothing"),
    "nothing": ("image/jpeg", lambda: b""),
}


def try_to_make(data: bytes, content_type: str) -> Rendered | str:
    """What is made of it, or why nothing is."""
    try:
        return make(data, content_type, Limits(memory_bytes=600 << 20, seconds=3, pixels=50_000_000))
    except NotRendered as refused:
        return refused.reason


# of what decoders make something, as far as it goes
WHOLE_ENOUGH = ("a PDF that draws itself", "a HEIC that claims 2^31 x 2^31", "a TIFF of 100,000 x 1,000")


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_ended(name: str) -> None:
    """A bomb gives nothing, or a small picture of what is whole of it; in no case an error, or a long wait."""
    content_type, data = BOMBS[name]
    made = try_to_make(data(), content_type)
    if isinstance(made, str):
        assert made in ("unreadable", "limit", "time")
    else:
        assert name in WHOLE_ENOUGH


def test_an_endless_gif_ends() -> None:
    made = try_to_make(endless_gif(), "image/gif")
    assert made in ("unreadable", "limit") or (isinstance(made, Rendered) and made.width == 64)


def test_what_takes_more_than_it_may_is_ended() -> None:
    large = save(Image.new("RGB", (9000, 9000)), "PNG")
    with pytest.raises(NotRendered):
        make(large, "image/png", Limits(memory_bytes=300 << 20, seconds=30, pixels=100_000_000))
    with pytest.raises(NotRendered):
        make(large, "image/png", Limits(memory_bytes=1 << 30, seconds=30, pixels=80_000_000))
    assert make(large, "image/png").width == 9000


def test_polyglots_are_what_their_type_says() -> None:
    """A PNG that goes on as a page of HTML: what is made of it has the picture, and nothing of the page."""
    page = b"<!doctype html><script>alert(1)</script>"
    rendered = make(save(make_halves(), "PNG") + page, "image/png")
    assert opened(rendered).size == (64, 48)
    assert b"script" not in rendered.images[0].data


def test_who_shows_and_draws_what() -> None:
    for content_type in ("image/svg+xml", "text/html", "application/zip", "audio/mpeg", "image/x-adobe-dng"):
        assert not can_render(content_type)
        with pytest.raises(NotRendered, match="type"):
            make(b"x", content_type)


def webp(width: int = 4, height: int = 4) -> bytes:
    return save(Image.new("RGB", (width, height)), "WEBP")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}\n",
        b"not json\n",
        b'{"width": 1, "height": 1, "images": []}\n',
        b'{"width": 1, "height": 1, "images": [{"side": 320, "width": 4, "height": 4, "size": 4}]}\n<svg',
        b'{"width": true, "height": 1, "images": [{"side": 320, "width": 4, "height": 4, "size": %d}]}\n%s'
        % (len(webp()), webp()),
        b'{"width": 1, "height": 1, "images": [{"side": 320, "width": 400, "height": 4, "size": %d}]}\n%s'
        % (len(webp()), webp()),
        b'{"width": 1, "height": 1, "images": [{"side": 9000, "width": 4, "height": 4, "size": %d}]}\n%s'
        % (len(webp()), webp()),
        b'{"width": 1, "height": 1, "images": [{"side": 320, "width": 4, "height": 4, "size": %d}]}\n%smore'
        % (len(webp()), webp()),
    ],
)
def test_a_child_is_believed_in_nothing(answer: bytes) -> None:
    with pytest.raises(NotRendered):
        read_answer(answer, (SMALL,))


PROBE = """
import os, socket, subprocess, sys
from fieldpack.server.machine.sandbox import close_everything, limit_resources
limit_resources(1 << 30, 10)
done = close_everything()
def refused(work):
    try:
        work()
    except (OSError, PermissionError):
        return True
    return False
print(done, {
    "files": refused(lambda: open("/etc/passwd").read()),
    "write": refused(lambda: open("/tmp/from-the-sandbox", "w").write("x")),
    "network": refused(lambda: socket.socket()),
    "program": refused(lambda: subprocess.run(["/bin/true"])),
    "fork": refused(os.fork),
    "kill": refused(lambda: os.kill(os.getppid(), 0)),
    "memory": os.getuid() or True,
})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what is closed is Linux's")
def test_a_child_can_reach_nothing() -> None:
    shown = subprocess.run(
        [sys.executable, "-I", "-c", PROBE], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    done, _, found = shown.partition("] ")
    if "calls" not in done or "files" not in done:
        pytest.skip(f"this kernel closes only {done}]")
    assert "False" not in found, shown
