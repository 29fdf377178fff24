"""Pictures of strangers: opened as the few formats that cameras and browsers make, and as nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fieldpack
from fieldpack.cli import main
from fieldpack.export import open_export
from fieldpack.report.thumbnails import FORMATS, make_thumbnail
from tests.unit.archives import ask, make_members, write_zip


def make_picture(format_name: str, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, format_name, **how)
    return out.getvalue()


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 40 30
%%EndComments
(marker) print
showpage
%%EOF
"""
OTHERS = ["BMP", "DDS", "EPS", "ICNS", "ICO", "JPEG2000", "MSP", "PCX", "PDF", "PPM", "SGI", "SPIDER", "TGA",
          "TIFF", "XBM"]  # fmt: skip


def test_pictures_are_opened_as_few_formats_and_start_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their names and types say: no plugin but those of `FORMATS` sees a byte."""
    path = tmp_path / "programs"
    path.mkdir()
    started = tmp_path / "started"
    for program in ("gs", "gswin32c", "gswin64c"):
        (path / program).write_text(f"#!/bin/sh\necho x >> {started}\n")
        (path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    Image.init()
    pictures = {"eps": EPS}
    for name in OTHERS:
        with contextlib.suppress(KeyError, OSError, ValueError):
            image = Image.new("1" if name in ("XBM", "MSP") else "RGB", (64, 64), "red")
            out = io.BytesIO()
            image.save(out, name)
            pictures[name] = out.getvalue()
    assert len(pictures) > 10
    seen: list[str] = []
    for name, (factory, accept) in list(Image.OPEN.items()):

        def open_it(*args: Any, name: str = name, factory: Any = factory) -> Any:
            seen.append(name)
            return factory(*args)

        monkeypatch.setitem(Image.OPEN, name, (open_it, accept))
    uploads = [(f"{name}.png", "image/png", content) for name, content in pictures.items()]
    uploads += [
        (f"{name}.{name}", f"image/{name}", make_picture(name)) for name in ("jpeg", "png", "gif", "webp")
    ]
    members = make_members([ask("file_upload", "Photo", id="photo")], [{"uploads": {"photo": uploads}}])
    archive = write_zip(tmp_path / "a.zip", members)
    page = tmp_path / "page.html"
    assert main(["inspect", str(archive), "--html", str(page)]) == 0
    with open_export(archive) as export:
        made = [file.file_name for file in export.iter_files() if make_thumbnail(export, file)]
    assert made == ["jpeg.jpeg", "png.png", "gif.gif", "webp.webp"]
    assert set(seen) == set(FORMATS)
    assert not started.exists()


def test_every_picture_is_opened_with_the_fixed_list() -> None:
    package = Path(fieldpack.__file__).parent
    calls = [
        call
        for path in package.rglob("*.py")
        for call in re.findall(r"Image\.open\(.*", path.read_text(encoding="utf-8"))
    ]
    assert calls
    assert all(re.search(r"formats=\[?_?FORMATS\b", call) for call in calls)


def test_pictures_of_too_many_pixels_are_not_decoded(tmp_path: Path) -> None:
    """A few kB that would take a quarter of a GB, and more."""
    out = io.BytesIO()
    Image.new("1", (8000, 8000)).save(out, "PNG")
    assert out.tell() < 100_000
    uploads = [
        ("a.png", "image/png", out.getvalue()),
        ("b.gif", "image/gif", b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(20)),
        ("c.png", "image/png", make_picture("PNG")),
    ]
    members = make_members([ask("file_upload", "Photo", id="photo")], [{"uploads": {"photo": uploads}}])
    with open_export(write_zip(tmp_path / "a.zip", members)) as export:
        assert [bool(make_thumbnail(export, file)) for file in export.iter_files()] == [False, False, True]
