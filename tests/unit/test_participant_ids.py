"""Participants' ids: what is no part of them, and that it is told from what is."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.server.submissions.schemas import BulkApproval, StartInput
from fieldpack.server.values.participant_ids import DEFAULT_IGNORABLE, normalise_participant_id

IGNORABLE = re.compile(f"[{DEFAULT_IGNORABLE}]")
# Other_Default_Ignorable_Code_Point, PropList.txt
OTHER = {
    0x34F,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x2065,
    0x3164,
    0xFFA0,
    *range(0xFFF0, 0xFFF9),
    *range(0xE0000, 0xE1000),
}
SELECTORS = {*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
# Prepended_Concatenation_Mark, interlinear annotations and the controls of hieroglyphs are seen, or change what is
SEEN = {
    *range(0x600, 0x606),
    0x6DD,
    0x70F,
    0x890,
    0x891,
    0x8E2,
    0x110BD,
    0x110CD,
    *range(0xFFF9, 0xFFFC),
    *range(0x13430, 0x13440),
}


def test_the_table_is_what_the_standard_derives() -> None:
    """UAX #44, Default_Ignorable_Code_Point: Cf, variation selectors and others, less what is seen."""
    table = {code for code in range(sys.maxunicode + 1) if IGNORABLE.fullmatch(chr(code))}
    formats = {code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Cf"}
    assert table == OTHER | SELECTORS | (formats - SEEN)
    assert len(table) == 4174


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("5f2a", "5f2a"),
        ("  5F2a\r\n", "5F2a"),
        ("\ufeff5f2a\u200b", "5f2a"),
        ("5f\u00ad2a", "5f2a"),
        ("5f\t2a\x85", "5f2a"),
        ("\u202e5f2a\u202c\u2069", "5f2a"),
        ("a b\u3000c\u2003", "a b\u3000c"),
        ("Jose\u0301", "Jos\u00e9"),
        ("\u212bngstro\u0308m", "\u00c5ngstr\u00f6m"),
        ("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647", "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("\u0915\u094d\u200d\u200d\u200c\u0937", "\u0915\u094d\u200d\u0937"),
        ("a\u200b\u200d\u200bb", "a\u200db"),
        ("a\u200d", "a"),
        ("\u200ca", "a"),
        ("1\u200d2", "12"),
        (" \u200d \u200da \u200d ", "a"),
        ("\U0001f469\u200d\U0001f469", "\U0001f469\U0001f469"),
        ("a\ufe0f\U000e0041", "a"),
        ("\u3164\u115f \u200b\u2060\x07", ""),
        ("\u200d", ""),
    ],
)  # fmt: skip
def test_what_is_kept(given: str, kept: str) -> None:
    assert normalise_participant_id(given) == kept


@given(
    st.text(
        alphabet=st.one_of(
            st.characters(), st.sampled_from("a\u0301\u200d\u200c\u200b \x00\ufe0f\u0915\u094d")
        )
    )
)
def test_again_changes_nothing(text: str) -> None:
    once = normalise_participant_id(text)
    assert normalise_participant_id(once) == once
    assert once == once.strip()
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(character) == "Cc" for character in once)
    assert set(IGNORABLE.findall(once)) <= {"\u200c", "\u200d"}


def start(text: str) -> None:
    StartInput(participant_id=text)


def approve(text: str) -> None:
    BulkApproval(study_id="s", participant_ids=["a", text])


@pytest.mark.parametrize("send", [start, approve])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "at least 1 character"),
        ("\u200b\u3164", "a character that can be seen"),
        ("x" * 201, "at most 200 characters"),
        ("x" + "\u200b" * 1000, "at most 1000 characters"),
    ],
)
def test_what_is_refused(send: Callable[[str], None], given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        send(given)


def test_two_hundred_that_can_be_seen_are_taken() -> None:
    assert StartInput(participant_id="\u200b" + "\u00e9" * 200).participant_id == "\u00e9" * 200
