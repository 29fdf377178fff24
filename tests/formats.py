"""Files as phones, cameras, recorders and offices write them, and what becomes of each."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from dataclasses import dataclass

from tests.containers import (
    ASF_FILM,
    ASF_SOUND,
    asf,
    flv,
    id3,
    iso,
    matroska,
    mpeg_frames,
    ogg,
    ole,
    package,
    picture,
    tiff,
    transport,
    wav,
    workbook,
)

__all__ = ["FORMATS", "Format"]

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."


@dataclass(frozen=True)
class Format:
    """One file.

    Attributes:
        name: the participant's name for it.
        accepted: what its question lists.
        content_type: what goes on record; for a refused one, what it was found to be.
        fits: whether it is accepted.
    """

    name: str
    data: bytes
    accepted: tuple[str, ...]
    content_type: str
    fits: bool = True

    @property
    def medium(self) -> str | None:
        """The media folder it belongs in, or None."""
        first = self.content_type.partition("/")[0]
        return first if first in ("image", "audio", "video") else None


def _accept(name: str, data: bytes, content_type: str, *accepted: str) -> Format:
    return Format(name, data, accepted or (name[name.index(".") :].lower(),), content_type)


def _refuse(name: str, data: bytes, content_type: str, *accepted: str) -> Format:
    return Format(name, data, accepted, content_type, fits=False)


def _tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        made.addfile(tarfile.TarInfo("a"))
    return target.getvalue()


_WORD = package(("[Content_Types].xml", "<x/>"), ("_rels/.rels", "<x/>"), ("word/document.xml", "<x/>"))
_GOOGLE = package(
    ("word/numbering.xml", "<x/>"), ("[Content_Types].xml", "<x/>"), ("word/document.xml", "<x/>")
)
_SLIDES = package(("[Content_Types].xml", "<x/>"), ("ppt/presentation.xml", "<x/>"))
_XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'

FORMATS: list[Format] = [
    # phones and cameras: pictures
    _accept("photo.jpg", picture("JPEG"), "image/jpeg"),
    _accept("scan.JPEG", picture("JPEG"), "image/jpeg", ".jpg"),
    _accept("saved from the web.jfif", picture("JPEG"), "image/jpeg", ".jpeg"),
    _accept("burst.mpo", picture("JPEG"), "image/jpeg"),
    _accept("screen.png", picture("PNG"), "image/png"),
    _accept("a.gif", picture("GIF"), "image/gif"),
    _accept("a.webp", picture("WEBP"), "image/webp"),
    _accept("a.bmp", picture("BMP"), "image/bmp"),
    _accept("a.tif", picture("TIFF"), "image/tiff", ".tiff"),
    _accept("a.ico", picture("ICO"), "image/vnd.microsoft.icon"),
    _accept("a.jp2", picture("JPEG2000"), "image/jp2"),
    _accept("a.ppm", picture("PPM"), "image/x-portable-pixmap"),
    _accept("IMG_0001.HEIC", iso(b"heic", compatible=(b"mif1", b"MiHB", b"heic")), "image/heic"),
    _accept("samsung.heic", iso(b"mif1", compatible=(b"mif1", b"heic")), "image/heic"),
    _accept("DSC0001.HIF", iso(b"heix", compatible=(b"mif1", b"heix")), "image/heic", ".heic"),
    _accept("a.heif", iso(b"mif1", compatible=(b"mif1", b"miaf")), "image/heif"),
    _accept("a.avif", iso(b"avif", compatible=(b"avif", b"mif1")), "image/avif"),
    _accept("b.avif", iso(b"mif1", compatible=(b"mif1", b"avif")), "image/avif"),
    _accept("a.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "image/jxl"),
    _accept("a.psd", b"8BPS\0\1" + bytes(600), "image/vnd.adobe.photoshop"),
    _accept("drawing.svg", _XML + b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
    _accept("drawing.svgz", gzip.compress(b"<svg/>"), "image/svg+xml"),
    # raw photos
    _accept("pixel.dng", tiff(50706), "image/x-adobe-dng"),
    _accept("leica.DNG", tiff(50706, order=">", pad=50_000), "image/x-adobe-dng"),
    _accept("canon.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(600), "image/x-canon-cr2"),
    _accept("canon.cr3", iso(b"crx ", compatible=(b"crx ", b"isom")), "image/x-canon-cr3"),
    _accept("nikon.NEF", tiff(order=">"), "image/x-nikon-nef"),
    _accept("sony.arw", tiff(pad=9000), "image/x-sony-arw"),
    _accept("pentax.pef", tiff(order=">"), "image/x-pentax-pef"),
    _accept("samsung.srw", tiff(), "image/x-samsung-srw"),
    _accept("olympus.orf", b"IIRO\x08\0\0\0" + bytes(600), "image/x-olympus-orf"),
    _accept("panasonic.rw2", b"IIU\0\x18\0\0\0" + bytes(600), "image/x-panasonic-rw2"),
    _accept("fuji.raf", b"FUJIFILMCCD-RAW 0201FF123456" + bytes(600), "image/x-fuji-raf"),
    # films
    _accept("iphone.MOV", iso(b"qt  ", b"vide", b"soun", b"meta", compatible=(b"qt  ",)), "video/quicktime"),
    _accept("android.mp4", iso(b"mp42", b"soun", b"vide", media_bytes=100_000), "video/mp4"),
    _accept("dji.mp4", iso(b"isom", b"vide", moov_first=True), "video/mp4"),
    _accept("a.m4v", iso(b"M4V ", b"vide", b"soun"), "video/mp4"),
    _accept("old phone.3gp", iso(b"3gp4", b"vide", b"soun"), "video/3gpp", ".3gpp"),
    _accept("cdma.3g2", iso(b"3g2a", b"vide"), "video/3gpp2"),
    _accept("quicktime 2.mov", b"\0\0\1\0moov" + bytes(600), "video/quicktime"),
    _accept("browser.webm", matroska(b"webm", 1, 2, live=True), "video/webm"),
    _accept("obs.mkv", matroska(b"matroska", 1, 2, 2, 17), "video/x-matroska"),
    _accept("camera.avi", b"RIFF\x24\0\0\0AVI LIST" + bytes(600), "video/x-msvideo"),
    _accept("windows.wmv", asf(ASF_SOUND, ASF_FILM), "video/x-ms-wmv"),
    _accept("stream.asf", asf(ASF_FILM), "video/x-ms-asf"),
    _accept("00001.MTS", transport(0x1B, 0x81, stride=192), "video/mp2t", ".m2ts"),
    _accept("tv.ts", transport(0x02, 0x04), "video/mp2t"),
    _accept("dvd.mpg", b"\0\0\1\xba\x44" + bytes(600), "video/mpeg", ".mpeg"),
    _accept("a.ogv", ogg(b"\x80theora", b"\x01vorbis"), "video/ogg"),
    _accept("a.flv", flv(5), "video/x-flv"),
    # recorders: sound
    _accept("voice memo.m4a", iso(b"M4A ", b"soun", compatible=(b"M4A ", b"isom")), "audio/mp4"),
    _accept("android memo.m4a", iso(b"mp42", b"soun"), "audio/mp4"),
    _accept("memo.mp4", iso(b"isom", b"soun"), "audio/mp4"),
    _accept("memo.3gp", iso(b"3gp5", b"soun"), "audio/3gpp"),
    _accept("samsung.3ga", iso(b"3gp4", b"soun"), "audio/3gpp"),
    _accept("memo.mov", iso(b"qt  ", b"soun"), "audio/quicktime"),
    _accept("book.m4b", iso(b"M4B ", b"soun", b"vide"), "audio/mp4"),
    _accept("memo.webm", matroska(b"webm", 2, live=True), "audio/webm"),
    _accept("memo.weba", matroska(b"webm", 2), "audio/webm"),
    _accept("memo.mka", matroska(b"matroska", 2), "audio/x-matroska"),
    _accept("whatsapp.opus", ogg(b"OpusHead"), "audio/ogg"),
    _accept("telegram.oga", ogg(b"OpusHead"), "audio/ogg", ".ogg"),
    _accept("recorder.ogg", ogg(b"\x01vorbis"), "audio/ogg"),
    _accept("memo.wma", asf(ASF_SOUND), "audio/x-ms-wma"),
    _accept("memo.wav", wav(), "audio/wav", ".wave"),
    _accept("zoom.WAV", b"RF64\xff\xff\xff\xffWAVEds64" + bytes(600), "audio/wav"),
    _accept("a.mp3", mpeg_frames(), "audio/mpeg"),
    _accept("with a cover.mp3", id3(100_000, mpeg_frames()), "audio/mpeg"),
    _accept("a.aac", b"\xff\xf1\x50\x80" + b"\1" * 600, "audio/aac"),
    _accept("tagged.aac", id3(63, b"\xff\xf1\x50\x80" + b"\1" * 600), "audio/aac"),
    _accept("a.flac", b"fLaC\0\0\0\x22" + bytes(600), "audio/flac"),
    _accept("a.aif", b"FORM\0\0\0\x30AIFFCOMM" + bytes(600), "audio/aiff", ".aiff"),
    _accept("a.caf", b"caff\0\1\0\0desc" + bytes(600), "audio/x-caf"),
    _accept("a.amr", b"#!AMR\n" + bytes(600), "audio/amr"),
    _accept("wide.awb", b"#!AMR-WB\n" + bytes(600), "audio/amr-wb"),
    _accept("a.mid", b"MThd\0\0\0\6" + bytes(100), "audio/midi", ".midi"),
    _accept("dictation.ds2", b"\3ds2" + bytes(600), "audio/x-ds2"),
    _accept("newer dictation.ds2", b"\7ds2" + bytes(600), "audio/x-ds2"),
    _accept("locked dictation.ds2", b"\3enc" + bytes(600), "audio/x-ds2"),
    _accept("radio.ts", transport(0x03), "audio/mp2t"),
    # offices
    _accept("a.pdf", picture("PDF"), "application/pdf"),
    _accept("printed.pdf", b"\x1b%-12345X@PJL\r\n%PDF-1.4\n" + bytes(600), "application/pdf"),
    _accept("a.docx", _WORD, f"{OOXML}wordprocessingml.document"),
    _accept("google.docx", _GOOGLE, f"{OOXML}wordprocessingml.document"),
    _accept("a.xlsx", workbook(), f"{OOXML}spreadsheetml.sheet"),
    _accept("a.pptx", _SLIDES, f"{OOXML}presentationml.presentation"),
    _accept("a.docm", _WORD, "application/vnd.ms-word.document.macroEnabled.12"),
    _accept("password.xlsx", ole("EncryptionInfo", "EncryptedPackage"), f"{OOXML}spreadsheetml.sheet"),
    _accept("a.doc", ole("WordDocument", "1Table"), "application/msword"),
    _accept("a.xls", ole("Workbook"), "application/vnd.ms-excel"),
    _accept("a.ppt", ole("Current User", "PowerPoint Document"), "application/vnd.ms-powerpoint"),
    _accept("a.msg", ole("__properties_version1.0"), "application/vnd.ms-outlook"),
    _accept("a.vsd", ole("VisioDocument"), "application/vnd.visio"),
    _accept("a.odt", package(("mimetype", f"{ODF}text")), f"{ODF}text"),
    _accept("a.ods", package(("mimetype", f"{ODF}spreadsheet")), f"{ODF}spreadsheet"),
    _accept("a.epub", package(("mimetype", "application/epub+zip")), "application/epub+zip"),
    _accept("a.odp", package(("mimetype", f"{ODF}presentation")), f"{ODF}presentation"),
    _accept("a.odg", package(("mimetype", f"{ODF}graphics")), f"{ODF}graphics"),
    _accept("a.ott", package(("mimetype", f"{ODF}text-template")), f"{ODF}text-template"),
    _accept("a.odf", package(("mimetype", f"{ODF}formula")), f"{ODF}formula"),
    _accept("unordered.odt", package(("META-INF/manifest.xml", "x"), ("content.xml", "x")), f"{ODF}text"),
    _accept("a.hwpx", package(("mimetype", "application/hwp+zip")), "application/hwp+zip"),
    _accept(
        "a.xps", package(("_rels/.rels", "x"), ("FixedDocSeq.fdseq", "x")), "application/vnd.ms-xpsdocument"
    ),
    _accept("a.pages", package(("Index/Document.iwa", "x")), "application/vnd.apple.pages"),
    _accept("a.rtf", b"{\\rtf1\\ansi hello}", "application/rtf"),
    _accept("word.doc", b"{\\rtf1\\ansi hello}", "application/rtf"),
    _accept("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", "application/postscript"),
    _accept("windows.ps", b"\4%!PS-Adobe-3.0\r\n", "application/postscript"),
    _accept("printed.ps", b"\x1b%-12345X@PJL\r\n%!PS-Adobe-3.0\r\n\4", "application/postscript"),
    _accept("clipboard.wmf", b"\1\0\x09\0\0\3" + bytes(600), "image/wmf"),
    # texts and data
    _accept("a.txt", b"BM is no bitmap, II* no TIFF\n", "text/plain"),
    _accept("xmoov.txt", b"the moov atom\n", "text/plain"),
    _accept("mz.txt", b"MZ is how it begins\n", "text/plain"),
    _accept("utf16.txt", "Grüße".encode("utf-16"), "text/plain"),
    _accept("utf32.srt", "1\n00:00:00 --> 00:01:00\nGrüße".encode("utf-32"), "application/x-subrip"),
    _accept("keynote.key", package(("Index/Document.iwa", "x")), "application/vnd.apple.keynote"),
    _accept("private.key", b"-----BEGIN PRIVATE KEY-----\n", "text/plain"),
    _accept("graph.dot", b"digraph { a -> b }\n", "text/plain"),
    _accept("go.mod", b"module example.org/a\n", "text/plain"),
    _accept("jvc.mod", b"\0\0\1\xba\x44" + bytes(600), "video/mpeg"),
    _accept("favicon.ico", picture("PNG"), "image/png"),
    _accept("excel.csv", "größe;preis\n1;2\n".encode("cp1252"), "text/csv"),
    _accept("dos.csv", b"a;b\r\n1;2\r\n\x1a", "text/csv"),
    _accept("shift jis.csv", "大きさ,値段\n".encode("shift_jis"), "text/csv"),
    _accept("a.tab", b"a\tb\n1\t2\n", "text/tab-separated-values", ".tsv"),
    _accept("a.json", b'{"a": 1}', "application/json"),
    _accept("a.md", b"<p>markdown may begin so</p>\n", "text/markdown"),
    _accept("a.htm", b"\xef\xbb\xbf\n<!-- x --><!DOCTYPE html><title>x</title>", "text/html", ".html"),
    _accept("a.xml", _XML + b"<data/>", "application/xml"),
    _accept("track.gpx", _XML + b"<gpx/>", "application/gpx+xml"),
    _accept(
        "place.kml", b'<kml xmlns="http://www.opengis.net/kml/2.2"/>', "application/vnd.google-earth.kml+xml"
    ),
    _accept("code.ts", b"const a: number = 1;\n", "text/plain"),
    _accept("a.sav", b"$FL2@(#) SPSS DATA FILE" + bytes(600), "application/x-spss-sav"),
    _accept("a.dta", b"<stata_dta><header><release>118</release>" + bytes(600), "application/x-stata-dta"),
    _accept("old.dta", b"\x73\2\1\0" + bytes(600), "application/x-stata-dta"),
    _accept("large.nc", b"CDF\5" + bytes(600), "application/x-netcdf"),
    _accept("old.feather", b"FEA1\0\0\0\0" + bytes(600), "application/vnd.apache.arrow.file"),
    _accept("a.dcm", bytes(128) + b"DICM" + bytes(600), "application/dicom"),
    _accept("brain.nii.gz", gzip.compress(bytes(400)), "application/gzip"),
    _accept("a.zip", package(("notes.txt", "hello")), "application/zip"),
    _accept("a.jar", package(("META-INF/MANIFEST.MF", "x")), "application/java-archive"),
    _accept("a.tar.gz", gzip.compress(_tar()), "application/gzip", ".tgz"),
    _accept("a.tar", _tar(), "application/x-tar"),
    _accept("a.bz2", bz2.compress(b"hello"), "application/x-bzip2"),
    _accept("a.xz", lzma.compress(b"hello"), "application/x-xz"),
    _accept("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), "application/x-7z-compressed"),
    _accept("a.rar", b"Rar!\x1a\x07\1\0" + bytes(100), "application/vnd.rar"),
    _accept("study.omv2", b"\1\2binary\0" * 100, "application/octet-stream"),
    _accept("jpeg.omv2", picture("JPEG"), "image/jpeg"),
    _accept("no extension", picture("PNG"), "image/png", ".png"),
    # what does not fit
    _refuse("png.jpg", picture("PNG"), "image/png", ".jpg"),
    _refuse("film.m4a", iso(b"mp42", b"vide", b"soun"), "video/mp4", ".m4a", ".mp3"),
    _refuse("film.weba", matroska(b"webm", 1, 2), "video/webm", ".weba"),
    _refuse("film.wma", asf(ASF_SOUND, ASF_FILM), "video/x-ms-wmv", ".wma"),
    _refuse("film.opus", ogg(b"\x80theora"), "video/ogg", ".opus"),
    _refuse("film.heic", iso(b"isom", b"vide"), "video/mp4", ".heic", ".jpg"),
    _refuse("heic.mp4", iso(b"heic", compatible=(b"mif1", b"heic")), "image/heic", ".mp4", ".mov"),
    _refuse("dng.nef", tiff(50706), "image/x-adobe-dng", ".nef"),
    _refuse("workbook.docx", workbook(), f"{OOXML}spreadsheetml.sheet", ".docx"),
    _refuse("workbook.doc", ole("Workbook"), "application/vnd.ms-excel", ".doc"),
    _refuse("archive.docx", package(("a.txt", "x")), "application/zip", ".docx"),
    _refuse("page.txt", b"<!DOCTYPE html><script>alert(1)</script>", "text/html", ".txt"),
    _refuse("noise.mp3", b"\1\2\3\4" * 300, "application/octet-stream", ".mp3"),
    _refuse("text.pdf", b"just text\n" * 100, "text/plain", ".pdf"),
    _refuse("program.jpg", b"\x7fELF\2\1\1" + bytes(600), "application/x-executable", ".jpg"),
]
