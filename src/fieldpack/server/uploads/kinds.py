"""The formats that are told apart by name: what each is called, its content type and its extensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kind:
    """A format, or a family of formats with one signature.

    Attributes:
        label: how to call it to a person, with its article.
        content_type: what goes on record, unless the extension says it finer.
        extensions: those it goes by, and the content type of each where that differs.
        container: formats unknown here may be built on it, so that it fits any extension unknown here.
    """

    label: str
    content_type: str
    extensions: Mapping[str, str] = field(default_factory=dict)
    container: bool = False


def _kind(label: str, content_type: str, extensions: str, *, container: bool = False, **finer: str) -> Kind:
    return Kind(label, content_type, _types(content_type, extensions, finer), container)


def _types(content_type: str, extensions: str, finer: Mapping[str, str]) -> dict[str, str]:
    return {f".{name}": finer.get(name, content_type) for name in extensions.split()}


_MEDIA = "mp4 m4v mov qt m4a m4b mp4v f4v 3gp 3g2"
_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_TEXT_TYPES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "tab": "text/tab-separated-values",
    "json": "application/json",
    "geojson": "application/geo+json",
    "jsonl": "application/x-ndjson",
    "ndjson": "application/x-ndjson",
    "ipynb": "application/x-ipynb+json",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "vtt": "text/vtt",
    "ics": "text/calendar",
    "vcf": "text/vcard",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}

JPEG = _kind("a JPEG picture", "image/jpeg", "jpg jpeg jpe jfif")
PNG = _kind("a PNG picture", "image/png", "png apng")
GIF = _kind("a GIF picture", "image/gif", "gif")
BMP = _kind("a BMP picture", "image/bmp", "bmp dib")
TIFF = _kind("a TIFF picture", "image/tiff", "tif tiff", container=True)
WEBP = _kind("a WebP picture", "image/webp", "webp")
HEIC = _kind("a HEIC picture", "image/heic", "heic heif heics heifs hif")
HEIF = _kind("a HEIF picture", "image/heif", "heic heif heics heifs hif")
AVIF = _kind("an AVIF picture", "image/avif", "avif avifs")
MP4 = _kind("an MP4 film", "video/mp4", _MEDIA, container=True, m4a="audio/mp4", m4b="audio/mp4")
MOV = _kind("a QuickTime film", "video/quicktime", "mov qt mp4 m4v", container=True)
M4A = _kind("an MPEG-4 sound recording", "audio/mp4", _MEDIA)
THREE_GP = _kind("a 3GP film", "video/3gpp", _MEDIA)
WEBM = _kind("a WebM film", "video/webm", "webm weba mkv mka", weba="audio/webm", mka="audio/webm")
MATROSKA = _kind(
    "a Matroska film", "video/x-matroska", "mkv mka mk3d", mka="audio/x-matroska", container=True
)
AVI = _kind("an AVI film", "video/x-msvideo", "avi")
MPEG = _kind("an MPEG film", "video/mpeg", "mpg mpeg mpe m2v vob")
MP3 = _kind("an MP3 recording", "audio/mpeg", "mp3 mp2 mpga")
AAC = _kind("an AAC recording", "audio/aac", "aac")
TAGGED = _kind("a sound recording", "audio/mpeg", "mp3 mp2 mpga aac", aac="audio/aac")
WAV = _kind("a WAV recording", "audio/wav", "wav wave bwf")
OGG_AUDIO = _kind("an Ogg recording", "audio/ogg", "ogg oga opus spx")
OGG_VIDEO = _kind("an Ogg film", "video/ogg", "ogg ogv")
FLAC = _kind("a FLAC recording", "audio/flac", "flac")
AIFF = _kind("an AIFF recording", "audio/aiff", "aif aiff aifc")
AMR = _kind("an AMR recording", "audio/amr", "amr awb")
PDF = _kind("a PDF", "application/pdf", "pdf")
RTF = _kind("an RTF document", "application/rtf", "rtf doc")
ZIP = _kind("a ZIP archive", "application/zip", "zip", container=True)
EPUB = _kind("an EPUB book", "application/epub+zip", "epub zip", zip="application/zip")
GZIP = _kind("a gzip archive", "application/gzip", "gz tgz", container=True)
BZIP2 = _kind("a bzip2 archive", "application/x-bzip2", "bz2 tbz2", container=True)
XZ = _kind("an xz archive", "application/x-xz", "xz txz", container=True)
SEVEN_ZIP = _kind("a 7z archive", "application/x-7z-compressed", "7z")
RAR = _kind("a RAR archive", "application/vnd.rar", "rar cbr")
TAR = _kind("a tar archive", "application/x-tar", "tar", container=True)
OLE = _kind(
    "an older Office document",
    "application/x-ole-storage",
    "doc xls ppt msg",
    container=True,
    doc="application/msword",
    xls="application/vnd.ms-excel",
    ppt="application/vnd.ms-powerpoint",
    msg="application/vnd.ms-outlook",
)
WORD = _kind(
    "a Word document", f"{_OOXML}wordprocessingml.document", "docx docm dotx zip", zip="application/zip"
)
EXCEL = _kind(
    "an Excel workbook", f"{_OOXML}spreadsheetml.sheet", "xlsx xlsm xltx zip", zip="application/zip"
)
SLIDES = _kind(
    "a PowerPoint presentation",
    f"{_OOXML}presentationml.presentation",
    "pptx pptm ppsx zip",
    zip="application/zip",
)
OFFICE = Kind(
    "an Office document",
    "application/zip",
    {**WORD.extensions, **EXCEL.extensions, **SLIDES.extensions},
)
OPEN_DOCUMENTS = {
    "text": _kind("an OpenDocument text", f"{_ODF}text", "odt ott zip", zip="application/zip"),
    "spreadsheet": _kind("an OpenDocument table", f"{_ODF}spreadsheet", "ods ots zip", zip="application/zip"),
    "presentation": _kind(
        "an OpenDocument presentation", f"{_ODF}presentation", "odp zip", zip="application/zip"
    ),
}
HTML = _kind("a web page", "text/html", "html htm xhtml xht")
SVG = _kind("an SVG drawing", "image/svg+xml", "svg")
XML = _kind("an XML document", "application/xml", "xml gpx kml", gpx="application/gpx+xml", container=True)
PROGRAM = _kind("a program", "application/x-executable", "exe dll so dylib elf app")
TEXT = Kind(
    "plain text",
    "text/plain",
    _types(
        "text/plain",
        "txt text log ini conf tex bib srt sql r rmd py do sps dat asc " + " ".join(_TEXT_TYPES),
        _TEXT_TYPES,
    ),
)

KNOWN_EXTENSIONS: frozenset[str] = frozenset(
    extension
    for kind in [*globals().values(), *OPEN_DOCUMENTS.values()]
    if isinstance(kind, Kind)
    for extension in kind.extensions
)
