"""What files are told to be, by their first bytes."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from PIL import Image

from fieldpack.server.uploads.signatures import (
    ENOUGH_BYTES,
    HEAD_BYTES,
    accepts_empty,
    detect,
    extension_of,
    judge,
)


def picture(format: str) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((32, 32), 50).convert("RGB").save(target, format)
    return target.getvalue()


def iso_media(major: bytes, *compatible: bytes) -> bytes:
    brands = major + b"\0\0\2\0" + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\1\0mdat" + b"\7" * 600


def package(*members: tuple[str, str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name, content in members:
            made.writestr(name, content)
    return target.getvalue()


def matroska(kind: bytes) -> bytes:
    return b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84" + kind + b"B\x87\x81\x04" + b"\0\x01\x02" * 200


FILES = {
    "a.jpg": (picture("JPEG"), "image/jpeg"),
    "a.jpeg": (picture("JPEG"), "image/jpeg"),
    "a.png": (picture("PNG"), "image/png"),
    "a.gif": (picture("GIF"), "image/gif"),
    "a.webp": (picture("WEBP"), "image/webp"),
    "a.bmp": (picture("BMP"), "image/bmp"),
    "a.tif": (picture("TIFF"), "image/tiff"),
    "a.tiff": (picture("TIFF"), "image/tiff"),
    "a.pdf": (picture("PDF"), "application/pdf"),
    "a.heic": (iso_media(b"heic", b"mif1", b"heic"), "image/heic"),
    "b.heic": (iso_media(b"mif1", b"mif1", b"heic"), "image/heic"),
    "a.heif": (iso_media(b"mif1", b"mif1", b"miaf"), "image/heif"),
    "a.avif": (iso_media(b"avif", b"avif", b"mif1"), "image/avif"),
    "a.mp4": (iso_media(b"isom", b"isom", b"avc1"), "video/mp4"),
    "a.m4v": (iso_media(b"M4V ", b"isom"), "video/mp4"),
    "a.m4a": (iso_media(b"M4A ", b"isom"), "audio/mp4"),
    "phone.m4a": (iso_media(b"mp42", b"isom"), "audio/mp4"),
    "a.mov": (iso_media(b"qt  ", b"qt  "), "video/quicktime"),
    "old.mov": (b"\0\0\1\0moov" + b"\0" * 600, "video/quicktime"),
    "a.3gp": (iso_media(b"3gp4", b"isom"), "video/3gpp"),
    "a.webm": (matroska(b"webm"), "video/webm"),
    "a.mkv": (matroska(b"matroska"), "video/x-matroska"),
    "a.mp3": (b"ID3\4\0\0\0\0\0\x23TSSE" + b"\0" * 600, "audio/mpeg"),
    "untagged.mp3": (b"\xff\xfb\x90\x64" + b"\0" * 600, "audio/mpeg"),
    "a.aac": (b"\xff\xf1\x50\x80" + b"\1" * 600, "audio/aac"),
    "a.wav": (b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 600, "audio/wav"),
    "a.avi": (b"RIFF\x24\0\0\0AVI LIST" + b"\0" * 600, "video/x-msvideo"),
    "a.ogg": (b"OggS\0\2" + b"\0" * 20 + b"\x01\x1e\x01vorbis" + b"\0" * 600, "audio/ogg"),
    "a.ogv": (b"OggS\0\2" + b"\0" * 20 + b"\x01\x2a\x80theora" + b"\0" * 600, "video/ogg"),
    "a.flac": (b"fLaC\0\0\0\x22" + b"\0" * 600, "audio/flac"),
    "a.aiff": (b"FORM\0\0\0\x30AIFFCOMM" + b"\0" * 600, "audio/aiff"),
    "a.zip": (package(("notes.txt", "hello")), "application/zip"),
    "a.docx": (
        package(("[Content_Types].xml", "<x/>"), ("word/document.xml", "<x/>")),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    "a.xlsx": (
        package(("docProps/app.xml", "<x/>"), ("xl/workbook.xml", "<x/>")),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "a.odt": (
        package(("mimetype", "application/vnd.oasis.opendocument.text")),
        "application/vnd.oasis.opendocument.text",
    ),
    "a.epub": (package(("mimetype", "application/epub+zip")), "application/epub+zip"),
    "a.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "application/msword"),
    "a.rtf": (b"{\\rtf1\\ansi hello}", "application/rtf"),
    "a.html": (b"\xef\xbb\xbf\n<!-- x --><!DOCTYPE html><title>x</title>", "text/html"),
    "a.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
    "a.xml": (b'<?xml version="1.0"?><data/>', "application/xml"),
    "a.txt": (b"BM is no bitmap, II* no TIFF\n", "text/plain"),
    "utf16.txt": ("Grüße".encode("utf-16"), "text/plain"),
    "excel.csv": ("größe;preis\n1;2\n".encode("cp1252"), "text/csv"),
    "a.csv": (b"a,b\n1,2\n", "text/csv"),
    "a.json": (b'{"a": 1}', "application/json"),
    "a.md": (b"<p>markdown may begin so</p>\n", "text/markdown"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_it_says(name: str) -> None:
    data, content_type = FILES[name]
    verdict = judge(data[:HEAD_BYTES], name, {extension_of(name)}, whole=len(data) <= HEAD_BYTES)
    assert verdict is not None
    assert verdict.refusal is None
    assert verdict.content_type == content_type


@pytest.mark.parametrize("name", [name for name in FILES if extension_of(name) not in (".jpg", ".jpeg")])
def test_nothing_else_passes_for_a_picture(name: str) -> None:
    data, _ = FILES[name]
    verdict = judge(data[:HEAD_BYTES], "photo.jpg", {".jpg", ".jpeg"}, whole=len(data) <= HEAD_BYTES)
    assert verdict is not None
    assert verdict.refusal is not None
    assert "Accepted: .jpeg, .jpg." in verdict.refusal


@pytest.mark.parametrize(
    "data",
    [
        b"MZ\x90\0" + b"\0" * 56 + b"\x80\0\0\0" + b"\0" * 64 + b"PE\0\0" + b"\0" * 500,
        b"\x7fELF\2\1\1" + b"\0" * 600,
        b"#!/bin/sh\nrm -rf /\n",
        b"<script>alert(1)</script>",
        b"<svg onload=alert(1)>",
        "<html><script>alert(1)</script>".encode("utf-16"),
        b"\1\2\3\4" * 200,
    ],
)
def test_hostile_content_is_refused_under_any_picture_name(data: bytes) -> None:
    for name in ("a.jpg", "a.png", "a.heic", "no extension"):
        verdict = judge(data, name, {".jpg", ".jpeg", ".png", ".heic", ".heif"}, whole=True)
        assert verdict is not None
        assert verdict.refusal


def test_another_accepted_type_is_recorded_as_what_it_is() -> None:
    verdict = judge(picture("PNG"), "really.jpg", {".jpg", ".png"}, whole=True)
    assert verdict is not None
    assert (verdict.content_type, verdict.refusal) == ("image/png", None)


def test_families_go_by_any_of_their_names() -> None:
    for name, accepted in [("a.jpeg", ".jpg"), ("a.heif", ".heic"), ("a.mov", ".mp4"), ("a.tiff", ".tif")]:
        verdict = judge(FILES[name][0][:HEAD_BYTES], "photo", {accepted}, whole=True)
        assert verdict is not None
        assert verdict.refusal is None, name


def test_an_office_document_under_the_name_of_another_is_refused() -> None:
    verdict = judge(FILES["a.xlsx"][0], "a.docx", {".docx"}, whole=True)
    assert verdict is not None
    assert verdict.refusal


def test_formats_nobody_knows_are_kept_as_bytes() -> None:
    for data in (b"\x01\x02binary\x00" * 100, package(("data.json", "{}")), b"\x1f\x8b\x08" + b"\1" * 600):
        verdict = judge(data, "study.omv2", {".omv2"}, whole=True)
        assert verdict is not None
        assert (verdict.content_type, verdict.refusal) == ("application/octet-stream", None)
    program = judge(b"\x7fELF\2\1\1" + b"\0" * 600, "study.omv2", {".omv2"}, whole=True)
    assert program is not None
    assert program.refusal


def test_puremagic_knows_the_rest() -> None:
    photoshop = b"8BPS\0\1" + b"\0" * 600
    verdict = judge(photoshop, "a.psd", {".psd"}, whole=True)
    assert verdict is not None
    assert verdict.refusal is None
    assert "photoshop" in verdict.content_type


def test_it_waits_for_enough_bytes() -> None:
    page = b"<!--" + b" " * 3000 + b"--><html>"
    assert judge(page[: ENOUGH_BYTES - 1], "a.txt", {".txt"}, whole=False) is None
    assert judge(page[:1000], "a.txt", {".txt"}, whole=False) is None
    verdict = judge(page, "a.txt", {".txt"}, whole=True)
    assert verdict is not None
    assert verdict.refusal
    for head in (picture("PNG")[:20], b"%PDF-1.7\n"):
        plain = judge(head, "a.jpg", {".jpg"}, whole=False)
        assert plain is not None
        assert plain.refusal, "a plain case is decided at once"


def test_utf8_cut_in_a_character_is_text() -> None:
    text = ("é" * HEAD_BYTES).encode()[: HEAD_BYTES - 1]
    kind = detect(text)
    assert kind is not None
    assert kind.content_type == "text/plain"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.JPG", ".jpg"),
        ("a.tar.gz", ".gz"),
        (".jpg", ".jpg"),
        ("../../etc/passwd", ""),
        ("dir.d/file", ""),
        ("CON", ""),
        ("", ""),
        ("a.", ""),
        ("a.b c", ""),
    ],
)
def test_extensions(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_empty_files_can_be_text_only() -> None:
    assert not accepts_empty({".jpg", ".mp4"})
    assert accepts_empty({".jpg", ".txt"})
    assert accepts_empty({".foo"})
