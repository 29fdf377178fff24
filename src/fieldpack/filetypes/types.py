"""The types of files that are told apart, and the families of those that only their names tell apart.

This, `signatures` and `extensions` are one table: the server judges by it, the page gets it as a script, `collection
check` explains it, `convert --to media` sorts by it, and docs/file-types.md is held against it by a test. Sources: the
IANA registry of media types, RFC 9559 (Matroska), 5334 and 7845 (Ogg), ISO 14496-12 and mp4ra.org (brands), ISO
13818-1 (MPEG), TIFF 6.0, shared-mime-info for types that are not registered, and the formats' own descriptions.
"""

from __future__ import annotations

from fieldpack.filetypes.model import FileType

__all__ = ["CONTROLS", "TEXTS", "TYPES", "WEB_TAGS"]

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."

TYPES: dict[str, FileType] = {
    "jpeg": FileType("a JPEG picture", "image/jpeg"),
    "png": FileType("a PNG picture", "image/png"),
    "gif": FileType("a GIF picture", "image/gif"),
    "bmp": FileType("a BMP picture", "image/bmp"),
    "webp": FileType("a WebP picture", "image/webp"),
    "heic": FileType("a HEIC picture", "image/heic"),
    "heif": FileType("a HEIF picture", "image/heif"),
    "avif": FileType("an AVIF picture", "image/avif"),
    "jxl": FileType("a JPEG XL picture", "image/jxl"),
    "jp2": FileType("a JPEG 2000 picture", "image/jp2"),
    "jxr": FileType("a JPEG XR picture", "image/jxr"),
    "psd": FileType("a Photoshop picture", "image/vnd.adobe.photoshop"),
    "xcf": FileType("a GIMP picture", "image/x-xcf"),
    "ico": FileType("an icon", "image/vnd.microsoft.icon"),
    "exr": FileType("an OpenEXR picture", "image/x-exr"),
    "qoi": FileType("a QOI picture", "image/x-qoi"),
    "pnm": FileType("a PNM picture", "image/x-portable-anymap", open=True),
    "djvu": FileType("a DjVu document", "image/vnd.djvu"),
    "emf": FileType("an EMF drawing", "image/emf"),
    "wmf": FileType("a WMF drawing", "image/wmf"),
    "tiff": FileType("a TIFF picture", "image/tiff", open=True),
    "dng": FileType("a DNG raw photo", "image/x-adobe-dng"),
    "cr2": FileType("a Canon raw photo", "image/x-canon-cr2"),
    "cr3": FileType("a Canon raw photo", "image/x-canon-cr3"),
    "crw": FileType("a Canon raw photo", "image/x-canon-crw"),
    "raf": FileType("a Fujifilm raw photo", "image/x-fuji-raf"),
    "orf": FileType("an Olympus raw photo", "image/x-olympus-orf"),
    "rw2": FileType("a Panasonic raw photo", "image/x-panasonic-rw2", open=True),
    "x3f": FileType("a Sigma raw photo", "image/x-sigma-x3f"),
    "mrw": FileType("a Minolta raw photo", "image/x-minolta-mrw"),
    "svg": FileType("an SVG drawing", "image/svg+xml", word="web"),
    "mp4": FileType("an MP4 film", "video/mp4"),
    "mov": FileType("a QuickTime film", "video/quicktime"),
    "3gp": FileType("a 3GP film", "video/3gpp"),
    "3g2": FileType("a 3GPP2 film", "video/3gpp2"),
    "webm": FileType("a WebM film", "video/webm"),
    "matroska": FileType("a Matroska film", "video/x-matroska"),
    "asf-video": FileType("a Windows Media film", "video/x-ms-wmv", open=True),
    "avi": FileType("an AVI film", "video/x-msvideo"),
    "mpeg": FileType("an MPEG film", "video/mpeg"),
    "ts": FileType("an MPEG transport stream", "video/mp2t"),
    "flv": FileType("a Flash film", "video/x-flv"),
    "ogg-video": FileType("an Ogg film", "video/ogg"),
    "mxf": FileType("an MXF film", "application/mxf", word="video"),
    "dv": FileType("a DV film", "video/dv"),
    "realmedia": FileType(
        "a RealMedia file", "application/vnd.rn-realmedia", word="video", open=True
    ),
    "mp4-audio": FileType("an MPEG-4 sound recording", "audio/mp4"),
    "mov-audio": FileType("a QuickTime sound recording", "audio/quicktime"),
    "3gp-audio": FileType("a 3GP sound recording", "audio/3gpp"),
    "3g2-audio": FileType("a 3GPP2 sound recording", "audio/3gpp2"),
    "webm-audio": FileType("a WebM sound recording", "audio/webm"),
    "matroska-audio": FileType("a Matroska sound recording", "audio/x-matroska"),
    "asf-audio": FileType("a Windows Media sound recording", "audio/x-ms-wma"),
    "ogg-audio": FileType("an Ogg recording", "audio/ogg"),
    "flv-audio": FileType("a Flash sound recording", "audio/x-flv"),
    "ts-audio": FileType("a transport stream with sound alone", "audio/mp2t"),
    "mp3": FileType("an MP3 recording", "audio/mpeg"),
    "aac": FileType("an AAC recording", "audio/aac"),
    "wav": FileType("a WAV recording", "audio/wav"),
    "w64": FileType("a Wave64 recording", "audio/x-w64"),
    "flac": FileType("a FLAC recording", "audio/flac"),
    "aiff": FileType("an AIFF recording", "audio/aiff"),
    "caf": FileType("a Core Audio recording", "audio/x-caf"),
    "amr": FileType("an AMR recording", "audio/amr"),
    "amr-wb": FileType("an AMR wide-band recording", "audio/amr-wb"),
    "au": FileType("an AU recording", "audio/basic"),
    "midi": FileType("a MIDI file", "audio/midi"),
    "ac3": FileType("an AC-3 recording", "audio/ac3", open=True),
    "dts": FileType("a DTS recording", "audio/vnd.dts"),
    "ape": FileType("a Monkey's Audio recording", "audio/x-ape"),
    "wavpack": FileType("a WavPack recording", "audio/x-wavpack"),
    "musepack": FileType("a Musepack recording", "audio/x-musepack"),
    "tta": FileType("a TTA recording", "audio/x-tta"),
    "dsd": FileType("a DSD recording", "audio/x-dsd", open=True),
    "dss": FileType("a dictation", "audio/x-dss", open=True),
    "msv": FileType("a dictation", "audio/x-sony-msv"),
    "voc": FileType("a VOC recording", "audio/x-voc"),
    "qcp": FileType("a QCELP recording", "audio/qcelp"),
    "pdf": FileType("a PDF", "application/pdf", word="pdf"),
    "postscript": FileType("a PostScript document", "application/postscript", word="document", open=True),
    "rtf": FileType("an RTF document", "application/rtf", word="document"),
    "ole": FileType("an older Office document", "application/x-ole-storage", word="document", open=True),
    "doc": FileType("an older Word document", "application/msword", word="document"),
    "xls": FileType("an older Excel workbook", "application/vnd.ms-excel", word="document"),
    "ppt": FileType("an older PowerPoint presentation", "application/vnd.ms-powerpoint", word="document"),
    "msg": FileType("an Outlook message", "application/vnd.ms-outlook", word="document"),
    "locked": FileType(
        "an Office document with a password", "application/x-ole-storage", word="document", open=True
    ),
    "word": FileType("a Word document", f"{OOXML}wordprocessingml.document", word="document", open=True),
    "excel": FileType("an Excel workbook", f"{OOXML}spreadsheetml.sheet", word="document", open=True),
    "powerpoint": FileType(
        "a PowerPoint presentation", f"{OOXML}presentationml.presentation", word="document", open=True
    ),
    "visio": FileType(
        "a Visio drawing", "application/vnd.ms-visio.drawing.main+xml", word="document", open=True
    ),
    "xps": FileType("an XPS document", "application/vnd.ms-xpsdocument", word="document", open=True),
    "office": FileType("an Office document", "application/zip", word="document", open=True),
    "odt": FileType("an OpenDocument text", f"{ODF}text", word="document", open=True),
    "ods": FileType("an OpenDocument table", f"{ODF}spreadsheet", word="document", open=True),
    "odp": FileType("an OpenDocument presentation", f"{ODF}presentation", word="document", open=True),
    "odg": FileType("an OpenDocument drawing", f"{ODF}graphics", word="document", open=True),
    "odf": FileType("an OpenDocument formula", f"{ODF}formula", word="document", open=True),
    "epub": FileType("an EPUB book", "application/epub+zip", word="document"),
    "hwpx": FileType("a Hangul document", "application/hwp+zip", word="document"),
    "iwork": FileType("an iWork document", "application/vnd.apple.iwork", word="document", open=True),
    "onenote": FileType("OneNote notes", "application/onenote", word="document"),
    "wordperfect": FileType("a WordPerfect document", "application/vnd.wordperfect", word="document"),
    "mobi": FileType("a Kindle book", "application/x-mobipocket-ebook", word="document", open=True),
    "zip": FileType("a ZIP archive", "application/zip", word="archive", open=True),
    "gzip": FileType("a gzip archive", "application/gzip", word="archive", open=True),
    "bzip2": FileType("a bzip2 archive", "application/x-bzip2", word="archive", open=True),
    "xz": FileType("an xz archive", "application/x-xz", word="archive", open=True),
    "zstd": FileType("a Zstandard archive", "application/zstd", word="archive", open=True),
    "7z": FileType("a 7z archive", "application/x-7z-compressed", word="archive"),
    "rar": FileType("a RAR archive", "application/vnd.rar", word="archive", open=True),
    "tar": FileType("a tar archive", "application/x-tar", word="archive", open=True),
    "riff": FileType("a RIFF file", "application/x-riff", open=True),
    "spss": FileType("an SPSS file", "application/x-spss-sav"),
    "stata": FileType("a Stata file", "application/x-stata-dta"),
    "sas": FileType("a SAS file", "application/x-sas-data"),
    "rdata": FileType("an R file", "application/x-r-data"),
    "parquet": FileType("a Parquet file", "application/vnd.apache.parquet"),
    "arrow": FileType("an Arrow file", "application/vnd.apache.arrow.file"),
    "hdf5": FileType("an HDF5 file", "application/x-hdf5", open=True),
    "netcdf": FileType("a NetCDF file", "application/x-netcdf"),
    "matlab": FileType("a MATLAB file", "application/x-matlab-data"),
    "sqlite": FileType("an SQLite database", "application/vnd.sqlite3", open=True),
    "dicom": FileType("a DICOM file", "application/dicom"),
    "glb": FileType("a glTF model", "model/gltf-binary"),
    "text": FileType("plain text", "text/plain", word="text", open=True),
    "xml": FileType("an XML document", "application/xml", word="text", open=True),
    "html": FileType("a web page", "text/html", word="web", open=True),
    "program": FileType("a program", "application/x-executable", word="program", open=True),
}  # fmt: skip

TEXTS = ("text", "xml", "svg", "html")
"""Types that are told by reading them, not by how they begin."""
CONTROLS = r"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]"
"""What no text has, in any encoding but UTF-16 and UTF-32; a pattern that Python and browsers read alike."""
WEB_TAGS = frozenset(
    ("html", "head", "body", "script", "iframe", "object", "embed", "style", "meta", "frameset")
)
"""A text whose first element is one of these is a web page."""

# types that go together
FILM = "mp4 mov 3gp 3g2 mp4-audio mov-audio 3gp-audio 3g2-audio"
VOICE = "mp4-audio mov-audio 3gp-audio 3g2-audio"
MATROSKA = "matroska webm matroska-audio webm-audio"
OGG = "ogg-audio ogg-video"
ASF = "asf-video asf-audio"
OLE = "ole doc xls ppt msg"
OPEN_DOCUMENT = "odt ods odp odg odf"
ZIPPED = f"zip word excel powerpoint visio xps office {OPEN_DOCUMENT} epub hwpx iwork"
RAW = "tiff dng cr2 orf rw2"
