"""How types begin."""

from __future__ import annotations

from fieldpack.filetypes.model import Signature
from fieldpack.filetypes.types import ASF, MATROSKA, OGG, ZIPPED

__all__ = ["SCANNED_BYTES", "SIGNATURES"]

SCANNED_BYTES = 1024
"""Where a pattern has no offset, it is looked for in so many first bytes."""


def _signature(types: str, *patterns: tuple[int | None, bytes], look: str = "") -> Signature:
    return Signature(tuple(types.split()), patterns, look)


def _word(types: str, *patterns: tuple[int | None, bytes]) -> Signature:
    """A signature that a text may begin with as well."""
    return _signature(f"{types} text xml", *patterns, look="word")


SIGNATURES: tuple[Signature, ...] = (
    _signature("jpeg", (0, b"\xff\xd8\xff")),
    _signature("png", (0, b"\x89PNG\r\n\x1a\n")),
    _signature("gif", (0, b"GIF87a")),
    _signature("gif", (0, b"GIF89a")),
    _signature("cr2", (0, b"II*\0"), (8, b"CR\2")),
    _signature("tiff dng", (0, b"II*\0"), look="tiff"),
    _signature("tiff dng", (0, b"MM\0*"), look="tiff"),
    _signature("tiff", (0, b"II+\0")),
    _signature("tiff", (0, b"MM\0+")),
    _word("orf", (0, b"IIRO")),
    _word("orf", (0, b"IIRS")),
    _word("orf", (0, b"MMOR")),
    _signature("rw2", (0, b"IIU\0")),
    _signature("jxr", (0, b"II\xbc\1")),
    _signature("crw", (0, b"II"), (6, b"HEAPCCDR")),
    _signature("raf", (0, b"FUJIFILMCCD-RAW")),
    _word("x3f", (0, b"FOVb")),
    _signature("mrw", (0, b"\0MRM")),
    _signature("jxl", (0, b"\xff\x0a")),
    _signature("jxl", (0, b"\0\0\0\x0cJXL ")),
    _signature("jp2", (0, b"\0\0\0\x0cjP  ")),
    _signature("jp2", (0, b"\xff\x4f\xff\x51")),
    _signature("psd", (0, b"8BPS\0")),
    _signature("xcf", (0, b"gimp xcf ")),
    _signature("exr", (0, b"v/1\1")),
    _word("qoi", (0, b"qoif")),
    _signature("djvu", (0, b"AT&TFORM")),
    _signature("wmf", (0, b"\xd7\xcd\xc6\x9a")),
    _signature("emf", (0, b"\1\0\0\0"), (40, b" EMF")),
    _signature("bmp", (0, b"BM"), (6, b"\0\0\0\0"), (15, b"\0\0\0")),
    *(_word("pnm", (0, b"P" + kind + end)) for kind in (b"4", b"5", b"6", b"7") for end in (b"\n", b" ", b"\r")),
    *(_signature("heic", (4, b"ftyp" + brand)) for brand in
      (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")),
    *(_signature("avif", (4, b"ftyp" + brand)) for brand in (b"avif", b"avis")),
    *(_signature("heif heic avif", (4, b"ftyp" + brand), look="heif") for brand in
      (b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"1pic")),
    _signature("cr3", (4, b"ftypcrx ")),
    *(_signature("mp4-audio", (4, b"ftyp" + brand)) for brand in (b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ")),
    _signature("mov mov-audio", (4, b"ftypqt  "), look="iso"),
    _signature("3gp 3gp-audio", (4, b"ftyp3gp"), look="iso"),
    _signature("3gp 3gp-audio", (4, b"ftyp3ge"), look="iso"),
    _signature("3g2 3g2-audio", (4, b"ftyp3g2"), look="iso"),
    _signature("mp4 mp4-audio text", (4, b"ftyp"), look="iso"),
    _signature("mp4 mp4-audio text", (4, b"styp"), look="iso"),
    *(_signature("mov mov-audio text", (4, name), look="iso") for name in
      (b"moov", b"mdat", b"wide", b"pnot", b"skip", b"free")),
    _signature(MATROSKA, (0, b"\x1aE\xdf\xa3"), look="ebml"),
    _signature(OGG, (0, b"OggS\0"), look="ogg"),
    _signature(ASF, (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")), look="asf"),
    _signature("webp", (0, b"RIFF"), (8, b"WEBP")),
    _signature("wav", (0, b"RIFF"), (8, b"WAVE")),
    _signature("wav", (0, b"RF64"), (8, b"WAVE")),
    _signature("wav", (0, b"BW64"), (8, b"WAVE")),
    _signature("wav", (0, b"RIFX"), (8, b"WAVE")),
    _signature("avi", (0, b"RIFF"), (8, b"AVI ")),
    _signature("midi", (0, b"RIFF"), (8, b"RMID")),
    _signature("qcp", (0, b"RIFF"), (8, b"QLCM")),
    _signature("mp3", (0, b"RIFF"), (8, b"RMP3")),
    _signature("riff", (0, b"RIFF"), (7, b"\0")),
    _signature("aiff", (0, b"FORM"), (8, b"AIFF")),
    _signature("aiff", (0, b"FORM"), (8, b"AIFC")),
    _signature("flv-audio", (0, b"FLV\1\4")),
    _signature("flv", (0, b"FLV\1")),
    _signature("mxf", (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02")),
    _signature("dv", (0, b"\x1f\x07\x00")),
    _signature("realmedia", (0, b".RMF\0")),
    _signature("realmedia", (0, b".ra\xfd")),
    _signature("ts ts-audio text", (0, b"G"), (188, b"G"), (376, b"G"), look="ts"),
    _signature("ts ts-audio text", (4, b"G"), (196, b"G"), (388, b"G"), look="ts"),
    _signature("mpeg", (0, b"\0\0\1\xba")),
    _signature("mpeg", (0, b"\0\0\1\xb3")),
    _signature("w64", (0, b"riff\x2e\x91\xcf\x11")),
    _word("flac", (0, b"fLaC")),
    *(_signature("mp3 aac flac ape tta wavpack", (0, b"ID3" + bytes((version,))), look="tagged")
      for version in (2, 3, 4)),
    *(_signature("mp3", (0, b"\xff" + bytes((second,))), look="mpeg-audio") for second in
      (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2, 0xFD, 0xFC, 0xF5, 0xF4)),
    *(_signature("aac", (0, b"\xff" + bytes((second,)))) for second in (0xF1, 0xF9, 0xF0, 0xF8)),
    _word("aac", (0, b"ADIF")),
    _signature("amr-wb", (0, b"#!AMR-WB")),
    _signature("amr", (0, b"#!AMR")),
    _signature("caf", (0, b"caff\0")),
    _signature("au", (0, b".snd\0")),
    _signature("midi", (0, b"MThd\0")),
    _signature("ac3", (0, b"\x0b\x77")),
    _signature("dts", (0, b"\x7f\xfe\x80\x01")),
    _word("ape", (0, b"MAC ")),
    _word("wavpack", (0, b"wvpk")),
    _word("musepack", (0, b"MP+")),
    _word("musepack", (0, b"MPCK")),
    _word("tta", (0, b"TTA1")),
    _signature("dsd", (0, b"DSD \x1c\0")),
    _signature("dsd", (0, b"FRM8\0")),
    *(_signature("dss", (0, start)) for start in (b"\2dss", b"\3dss", b"\3ds2")),
    _signature("msv", (0, b"MS_VOICE")),
    _signature("voc", (0, b"Creative Voice File")),
    _signature("pdf", (0, b"%PDF-")),
    _signature("postscript", (0, b"%!PS")),
    _signature("postscript", (0, b"\xc5\xd0\xd3\xc6")),
    _signature("rtf", (0, b"{\\rtf")),
    _signature("ole doc xls ppt msg locked", (0, bytes.fromhex("d0cf11e0a1b11ae1")), look="ole"),
    _signature("doc", (0, b"\xdb\xa5\x2d\0")),
    *(_signature("xls", (0, start)) for start in (b"\x09\0\4\0", b"\x09\2\6\0", b"\x09\4\6\0", b"\x09\x08")),
    _signature("onenote", (0, bytes.fromhex("e4525c7b8cd8a74d"))),
    _signature("wordperfect", (0, b"\xffWPC")),
    _signature("mobi", (60, b"BOOKMOBI")),
    *(_signature(ZIPPED, (0, start), look="zip") for start in (b"PK\3\4", b"PK\5\6", b"PK\7\x08")),
    _signature("gzip", (0, b"\x1f\x8b\x08")),
    _signature("bzip2", (0, b"BZh"), (4, b"1AY&SY")),
    _signature("bzip2", (0, b"BZh"), (4, b"\x17rE8P\x90")),
    _signature("xz", (0, b"\xfd7zXZ\0")),
    _signature("zstd", (0, b"\x28\xb5\x2f\xfd")),
    _signature("7z", (0, b"7z\xbc\xaf\x27\x1c")),
    _signature("rar", (0, b"Rar!\x1a\x07")),
    _signature("spss", (0, b"$FL2")),
    _signature("spss", (0, b"$FL3")),
    _signature("stata", (0, b"<stata_dta>")),
    *(_signature("stata", (0, bytes((release, order, 1, 0))))
      for release in (0x69, *range(0x6C, 0x74)) for order in (1, 2)),
    _signature("sas", (12, bytes.fromhex("c2ea8160b31411cfbd92080009c7318c"))),
    *(_signature("rdata", (0, start)) for start in (b"RDX2\n", b"RDX3\n", b"X\n\0\0\0")),
    _word("parquet", (0, b"PAR1")),
    _signature("arrow", (0, b"ARROW1\0\0")),
    _signature("hdf5", (0, b"\x89HDF\r\n\x1a\n")),
    _signature("netcdf", (0, b"CDF\1")),
    _signature("netcdf", (0, b"CDF\2")),
    _signature("matlab", (0, b"MATLAB 5.0 MAT-file")),
    _signature("hdf5", (0, b"MATLAB 7.3 MAT-file")),
    _signature("sqlite", (0, b"SQLite format 3\0")),
    _word("glb", (0, b"glTF")),
    _signature("program", (0, b"\x7fELF")),
    *(_signature("program", (0, bytes.fromhex(start))) for start in
      ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe")),
    _signature("program text", (0, b"MZ"), look="program"),
    _signature("ico", (0, b"\0\0\1\0"), (5, b"\0")),
    _signature("ico", (0, b"\0\0\2\0"), (5, b"\0")),
    _signature("dicom", (128, b"DICM")),
    _signature("tar", (257, b"ustar")),
    _signature("pdf text xml html", (None, b"%PDF-"), look="mention"),
)  # fmt: skip
"""How types begin; the first that matches counts."""
