"""What files are told to be: by how they begin, and by a closer look where several types begin alike."""

from __future__ import annotations

import asyncio
import random
import struct

import pytest

from fieldpack.filetypes import EXTENSIONS, SIGNATURES, TEXTS, TYPES, Listing, extension_of, find_medium
from fieldpack.server.uploads.content_types import (
    ENOUGH_BYTES,
    HEAD_BYTES,
    Verdict,
    judge_content,
    judge_head,
)
from fieldpack.server.uploads.content_types.judging import find_types
from fieldpack.server.uploads.content_types.looking import MOST_READ_BYTES, MOST_READS
from fieldpack.server.uploads.content_types.texts import find_text
from tests.containers import box, ebml, id3, iso, matroska, ogg, ole, package, picture, tiff
from tests.formats import FORMATS, Format


class Reads:
    """Counts what is read of a file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0
        self.bytes = 0

    async def read(self, offset: int, size: int) -> bytes:
        assert 0 < size <= MOST_READ_BYTES
        assert 0 <= offset < len(self.data)
        self.count += 1
        self.bytes += size
        return self.data[offset : offset + size]


def judge(data: bytes, name: str, *accepted: str) -> Verdict:
    """As an upload is judged: by its beginning, then as a whole."""
    listing = Listing(accepted or [extension_of(name)])
    head = data[:HEAD_BYTES]
    if data:
        early = judge_head(head, name, listing, whole=len(data) <= HEAD_BYTES)
        assert early is not None
        if early.refusal is not None:
            return early
    reads = Reads(data)
    verdict = asyncio.run(judge_content(reads.read, head, len(data), name, listing))
    assert reads.count <= MOST_READS
    return verdict


@pytest.mark.parametrize("given", FORMATS, ids=lambda given: given.name)
def test_formats(given: Format) -> None:
    verdict = judge(given.data, given.name, *given.accepted)
    assert (verdict.content_type, verdict.refusal is None) == (given.content_type, given.fits), verdict


@pytest.mark.parametrize(
    "given", [given for given in FORMATS if given.content_type != "image/jpeg"], ids=lambda given: given.name
)
def test_nothing_else_passes_for_a_picture(given: Format) -> None:
    verdict = judge(given.data, "photo.jpg", ".jpg", ".jpeg")
    assert verdict.refusal is not None
    assert "Accepted: .jpeg, .jpg." in verdict.refusal


def test_the_table_is_consistent() -> None:
    told = {type_id for signature in SIGNATURES for type_id in signature.types} | set(TEXTS)
    held = {type_id for row in EXTENSIONS.values() for type_id in row.holds}
    assert told == set(TYPES), "every type can be told"
    assert held <= set(TYPES)
    for name, row in EXTENSIONS.items():
        assert row.holds
        assert name in row.names
        assert name == name.lower()


def test_no_listed_extension_is_one_that_no_file_can_satisfy() -> None:
    # a type that only its first bytes tell needs no sample: they are there
    found = {signature.types[0] for signature in SIGNATURES if signature.look in ("", "word")}
    for given in FORMATS:
        found |= set(
            asyncio.run(find_types(Reads(given.data).read, given.data[:HEAD_BYTES], len(given.data)))
        )
    for name, row in EXTENSIONS.items():
        assert found & set(row.holds), name
        for type_id in row.holds:
            assert Listing([name]).judge(f"a{name}", [type_id]) == type_id


def test_names_of_one_type_are_one() -> None:
    for one, row in EXTENSIONS.items():
        listing = Listing([one.upper()])
        for other in row.names:
            assert listing.admits_name(f"A{other.upper()}")
            assert listing.find(f"a{other}") == row


@pytest.mark.parametrize(
    "names",
    [".jpg .jpeg .jfif", ".tif .tiff", ".3gp .3gpp", ".htm .html", ".mpg .mpeg", ".aif .aiff", ".mid .midi",
     ".m2ts .mts", ".tgz .tar.gz", ".yml .yaml", ".heic .heif .hif", ".wav .wave", ".md .markdown", ".ogg .oga",
     ".mov .qt", ".jpeg .jpe", ".3g2 .3gp2", ".tsv .tab", ".jsonl .ndjson", ".dcm .dicom", ".h5 .hdf5"],
)  # fmt: skip
def test_names_that_people_know_for_one_type(names: str) -> None:
    first = names.split()[0]
    assert all(Listing([first]).admits_name(f"a{name}") for name in names.split())


@pytest.mark.parametrize("name", ["a.omv2", "a.xyz", "a.bin", "a.nii", "a.step", "a.raw", "a.dat", "a.por"])
def test_what_nobody_knows_may_be_anything_and_is_typed_as_what_it_is(name: str) -> None:
    known = {
        picture("JPEG"): "image/jpeg",
        b"plain text": "text/plain",
        b"PK\5\6" + bytes(18): "application/zip",
    }
    for data, content_type in known.items():
        verdict = judge(data, name)
        assert verdict.refusal is None
        assert verdict.content_type == content_type or verdict.content_type.startswith("application/")
    for data in (b"\x01\x02binary\x00" * 100, b"\x7fELF\2\1\1" + bytes(600), b"", b"\0"):
        verdict = judge(data, name)
        assert verdict.refusal is None
        assert not verdict.content_type.startswith(("text/", "image/"))
    assert judge(b"\x01\x02binary\x00" * 100, "a.omv2").content_type == "application/octet-stream"


@pytest.mark.parametrize(
    "data",
    [
        b"MZ\x90\0" + b"\0" * 56 + b"\x80\0\0\0" + b"\0" * 64 + b"PE\0\0" + b"\0" * 500,
        b"\x7fELF\2\1\1" + b"\0" * 600,
        b"#!/bin/sh\nrm -rf /\n",
        b"<script>alert(1)</script>",
        b"<svg onload=alert(1)>",
        b"<!-- " + b"-" * 2000 + b" --><?x ?>\n<!DOCTYPE html>",
        "<html><script>alert(1)</script>".encode("utf-16"),
        b"\1\2\3\4" * 200,
        b"GIF89a<script>alert(1)</script>",
        b"%PDF-1.7\n<script>",
        package(("word/document.xml", "<x/>"), ("a.jpg", "x")),
        b"\0\0\0\x18ftypisom" + b"\xff\xd8\xff" * 100,
        b"\xff",
        b"\0",
    ],
)
def test_hostile_content_is_refused_under_any_picture_name(data: bytes) -> None:
    for name in ("a.jpg", "a.png", "a.heic", "no extension"):
        assert judge(data, name, ".jpg", ".jpeg", ".png", ".heic", ".heif").refusal


WORDS = [
    "MAC addresses are 48 bits", "MP+ is a mark", "MPCK", "P5 said: yes\nP6 said: no", "MMORPG players", "OggS",
    "ID3 tags", "RIFF raff", "FORM A", "the skip list", "Softyp is no box", "Prostyp", "GIF files", "MZ", "BM", "II",
    "PK", "Rar!", "BZh", "fLaC", "wvpk", "TTA1", "PAR1", "glTF", "ADIF", "qoif",
    "FOVb", "IIRO", "8BPS", "DSD", "caff", "MThd",
    "FLV", "G" * 600, "xxxxG" * 200, "caffeine", "7z", "CDF", "$FL", "moov", "free", "wide", "#!AM", "{", "%PD",
    "%!", "RDX2", "X", "A",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_text_may_begin_with_the_letters_of_a_signature(word: str) -> None:
    for text in (word, f"{word} and more words\n" * 300):
        assert judge(text.encode(), "a.txt") == Verdict("text/plain")


def test_xml_may_call_its_root_what_web_pages_call_theirs() -> None:
    declared = b'<?xml version="1.0"?>\n'
    assert judge(declared + b"<object/>", "a.xml") == Verdict("application/xml")
    assert judge(declared + b"<html/>", "a.xml").refusal
    assert judge(declared + b"<script/>", "a.jpg").refusal


def test_a_text_may_speak_of_what_another_format_begins_with() -> None:
    said = b"A document begins with %PDF-1.7, a picture with GIF89a.\n"
    assert judge(said, "a.txt") == Verdict("text/plain")
    assert judge(b"<html>" + said, "a.txt").refusal
    assert judge(b"<html>" + said, "a.html") == Verdict("text/html")
    assert judge(b"\r\n" + said, "a.pdf") == Verdict("application/pdf")
    assert judge(b"\1\2\3" + said, "a.txt").refusal


POLYGLOTS = {
    "a picture with an archive behind it": (picture("JPEG") + package(("a.txt", "x")), "image/jpeg"),
    "an archive that holds a document": (package(("a.pdf", "%PDF-1.7")), "application/zip"),
    "a picture with a script in it": (picture("PNG") + b"<script>alert(1)</script>", "image/png"),
    "a document with a page in it": (b"%PDF-1.7\n<html><script>", "application/pdf"),
    "a film that calls itself a picture, too": (iso(b"isom", b"vide", compatible=(b"heic",)), "video/mp4"),
}


@pytest.mark.parametrize("case", POLYGLOTS)
def test_what_is_several_things_is_what_it_begins_as(case: str) -> None:
    data, content_type = POLYGLOTS[case]
    everything = (".jpg", ".png", ".pdf", ".zip", ".mp4", ".heic", ".html", ".txt")
    for name in ("a", "a.jpg", "a.html", "a.txt"):
        assert judge(data, name, *everything) == Verdict(content_type)


CUT = {
    **{given.name: given for given in FORMATS if given.fits},
}


@pytest.mark.parametrize("name", sorted(CUT))
def test_cut_and_damaged_files_cost_no_more_and_break_nothing(name: str) -> None:
    given = CUT[name]
    dice = random.Random(name)
    for _ in range(12):
        data = bytearray(given.data[: dice.randrange(len(given.data) + 1)])
        for _ in range(dice.randrange(4)):
            if data:
                at = dice.randrange(min(len(data), 600))
                data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        judge(bytes(data), given.name, *given.accepted)


def nest(name: bytes, depth: int) -> bytes:
    made = b""
    for _ in range(depth):
        made = box(name, made)
    return made


FTYP = box(b"ftyp", b"isom", b"\0\0\2\0")
HUGE = b"\xff" * 4
SEGMENT = b"\x18\x53\x80\x67\x01" + b"\xff" * 7
LOOPS = {
    "a box of 2^64 bytes": FTYP + struct.pack(">I", 1) + b"moov" + b"\xff" * 8 + bytes(100),
    "a box of no bytes, again and again": FTYP + (b"\0\0\0\0moov" * 3000),
    "boxes smaller than their header": FTYP + b"\0\0\0\4free" * 3000,
    "very many boxes": FTYP + b"\0\0\0\x08free" * 100_000,
    "boxes in boxes": FTYP + nest(b"moov", 3000),
    "tracks in tracks": FTYP + box(b"moov", nest(b"trak", 3000)),
    "far-apart boxes": FTYP + b"".join(box(b"free", bytes(20_000)) for _ in range(300)),
    "a segment of unknown size in itself": ebml(b"webm") + SEGMENT * 2000,
    "an element of 2^56 bytes": ebml(b"webm") + SEGMENT + b"\xec\x01" + b"\x7f" * 7 + bytes(99),
    "elements without an id": ebml(b"webm") + bytes(5000),
    "a header of 2^56 bytes": b"\x1aE\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xfe" + bytes(5000),
    "pages without an end": ogg(b"x") * 300,
    "a directory at 4 GB": b"II*\0" + HUGE + bytes(600),
    "a directory that is its own": b"II*\0\4\0\0\0" + b"\xff" * 600,
    "a ZIP whose directory is itself": b"PK\3\4" + bytes(600) + b"PK\5\6" + bytes(8) + HUGE + bytes(4) + bytes(2),
    "a compound file with sectors of 2^65535": bytes.fromhex("d0cf11e0a1b11ae1") + b"\xff" * 600,
    "a tag longer than the file": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(600),
    "tags in a row": id3(10, b"") * 3000,
    "a transport stream of nothing": (b"G" + bytes(187)) * 1000,
    "markup without an end": b"<?a?>" * 800 + b"x",
    "comments without an end": b"<!--" * 1000,
    "nothing but spaces": b" " * 5000 + b"<",
}  # fmt: skip


@pytest.mark.parametrize("case", LOOPS)
def test_hostile_containers_are_read_in_a_few_pieces(case: str) -> None:
    data = LOOPS[case]
    listing = Listing([".mp4", ".webm", ".ogg", ".tif", ".zip", ".doc", ".mp3", ".ts", ".txt"])
    reads = Reads(data)
    verdict = asyncio.run(judge_content(reads.read, data[:HEAD_BYTES], len(data), "a", listing))
    assert verdict.content_type
    assert reads.count <= MOST_READS
    assert reads.bytes <= MOST_READS * MOST_READ_BYTES


def test_a_track_behind_gigabytes_is_found_without_reading_them() -> None:
    film = iso(b"isom", b"vide", b"soun", media_bytes=0)
    beginning, rest = film[:20], film[28:]
    length = 10**12

    async def read(offset: int, size: int) -> bytes:
        whole = length - len(rest)
        return (
            rest[offset - whole : offset - whole + size]
            if offset >= whole
            else beginning[offset : offset + size]
        )

    media = struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", length - len(rest) - 20)
    head = (beginning + media).ljust(HEAD_BYTES, b"\0")
    verdict = asyncio.run(judge_content(read, head, length, "a", Listing([".m4a", ".mp4"])))
    assert verdict == Verdict("video/mp4")


def test_a_film_is_no_voice_memo() -> None:
    for film, name in ((iso(b"mp42", b"vide", b"soun"), "a.m4a"), (matroska(b"webm", 2, 1), "a.weba")):
        assert judge(film, name).refusal
        assert judge(film, name, ".mp4", ".webm", extension_of(name)).content_type.startswith("video/")


def test_another_accepted_type_is_recorded_as_what_it_is() -> None:
    assert judge(picture("PNG"), "really.jpg", ".jpg", ".png") == Verdict("image/png")
    assert judge(iso(b"qt  ", b"vide"), "a.mp4") == Verdict("video/quicktime")


def test_several_documents_in_one_go_by_the_name() -> None:
    both = ole("Workbook", "MBD0001", "WordDocument")
    assert judge(both, "a.xls") == Verdict("application/vnd.ms-excel")
    assert judge(both, "a.doc") == Verdict("application/msword")
    assert judge(ole("Workbook"), "a.doc").refusal


def test_puremagic_names_the_rest() -> None:
    font = b"wOF2" + b"\0\1\0\0" + bytes(600)
    assert "woff2" in judge(font, "a.woff2").content_type
    refused = judge(b"BLENDER-v300" + bytes(600), "a.jpg").refusal
    assert refused is not None
    assert "The content of this file is Blender scene, which is not accepted" in refused


def test_it_waits_for_enough_bytes() -> None:
    page = b"<!--" + b" " * 3000 + b"--><html>"
    text = Listing([".txt"])
    assert judge_head(page[: ENOUGH_BYTES - 1], "a.txt", text, whole=False) is None
    assert judge_head(page[:1000], "a.txt", text, whole=False) is None
    verdict = judge_head(page, "a.txt", text, whole=True)
    assert verdict is not None
    assert verdict.refusal
    for head in (picture("PNG")[:20], b"%PDF-1.7\n", iso(b"mp42")[:40]):
        plain = judge_head(head, "a.jpg", Listing([".jpg"]), whole=False)
        assert plain is not None
        assert plain.refusal, "a plain case is decided at once"


def test_utf8_cut_in_a_character_is_text() -> None:
    assert find_text(("é" * HEAD_BYTES).encode()[: HEAD_BYTES - 1]) == ("text",)


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
    listing = Listing([".jpg", ".txt", ".foo"])
    assert [listing.admits_empty(name) for name in ("a.jpg", "a.txt", "a.foo", "a")] == [
        False,
        True,
        True,
        True,
    ]
    assert not Listing([".jpg", ".mp4"]).admits_empty("a")


def test_media_by_type_and_where_that_says_nothing_by_name() -> None:
    assert find_medium("a.mp4", "audio/mp4") == "audio"
    assert find_medium("a.jpg", "application/pdf") is None
    for recorded in ("application/octet-stream", "", None):
        names = ("a.cr3", "a.m4a", "a.MTS", "a.docx", "a", "a.tga", "a.mxf", "a.pcx")
        found = [find_medium(name, recorded) for name in names]
        assert found == ["image", "audio", "video", None, None, found[5], "video", found[7]]
    assert find_medium("a.CR3", "Binary/Octet-Stream") == "image"
    assert find_medium("a", "Audio/MP4; codecs=mp4a.40.2") == "audio"
    assert find_medium("a.m4a", "application/mp4") == "audio"
    assert find_medium("a.mxf", "application/mxf") == "video"
    assert find_medium("a.mka", "application/x-matroska") == "audio"
    assert find_medium("a", "application/ogg") == "video"


def test_a_plain_tiff_is_no_dng_and_a_dng_no_jpeg() -> None:
    assert judge(tiff(50706, order=">"), "a", ".jpg").refusal
    assert judge(tiff(50706, order=">"), "a", ".dng") == Verdict("image/x-adobe-dng")
    assert judge(tiff(), "a", ".tiff") == Verdict("image/tiff")
