"""Texts of others where they could act on something, and words for sizes and counts."""

from __future__ import annotations

import random
import unicodedata

import pyarrow as pa
import pytest

from fieldpack.convert.csv import neutralise, restore
from fieldpack.text import make_cell_safe, make_line, normalise, say_bytes, say_count


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("\r=x", "'\r=x"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("-5", "-5"),
        ("+3.25", "+3.25"),
        ("-5\n", "'-5\n"),
        ("-5 kg", "'-5 kg"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_cells_are_made_safe_alike_everywhere(text: str, cell: str) -> None:
    assert make_cell_safe(text) == cell
    column = pa.array([text])
    assert neutralise(column).to_pylist() == [cell]
    assert restore(neutralise(column)).to_pylist() == [text]


def test_lines() -> None:
    assert make_line(" a\n\x1b[2Jb\u202e\u00a0 c ") == "a [2Jb c"
    assert make_line("one two three", 8) == "one two…"
    assert make_line("one two", 7) == "one two"


def test_sizes_and_counts() -> None:
    assert [say_bytes(size) for size in (0, 1, 999, 48_213_000, 250e6, 4e18)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "48.2 MB",
        "250 MB",
        "4,000 PB",
    ]
    assert [say_count(1, "study", "studies"), say_count(1200, "file")] == ["1 study", "1,200 files"]


def test_long_texts_are_normalised_as_short_ones_are() -> None:
    """Whatever decomposes, or changes places with what stands beside it; runs of marks above all."""
    pick = random.Random(7)
    odd = [
        chr(code) for code in (*range(0x300, 0x370), *range(0xF71, 0xF85), 0x1E14, 0x1EBF, 0x1D160, 0xFDFA)
    ]
    odd += ["a", "e", "\u1100", "\u1161", "\u11a8", "가", "ﬁ", "²", "Å", "漢", "\u0334", "\u0345"]
    for _ in range(200):
        text = "".join(pick.choice(odd) for _ in range(300))
        assert normalise(text) == unicodedata.normalize("NFC", text)
        assert normalise(text, "NFKD") == unicodedata.normalize("NFKD", text)
