"""Numbers as people write them: the table of ways by locale, what is none, and texts that are made to be slow."""

from __future__ import annotations

import re
import string
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.server.submissions.answering.answers import check_rules, describe_reading, put_numbers_right
from fieldpack.server.submissions.answering.numbers import Ambiguous, read_number
from tests.number_ways import EVERY, Two, Way

NORMAL = re.compile(r"-?([0-9]+(\.[0-9]+)?|\.[0-9]+)(e-?[0-9]{1,3})?")
NONE = [
    "", " ", "-", "+", ".", ",", "e5", ".e5", "--1", "+-1", "- 1", "1-", "NaN", "Infinity", "inf",
    "0x1F", "1_000", "5 kg", "5%", "½", "²", "四", "Ⅳ", "1..2", "1,,2", "1.2.3", "1,2,3", "1.5,2,3",
    "1,234 567", "1 234'567", "1 23", "1  234", "1234 567", "1234,567,890", "1234.567.890", "1,234,56",
    "1.234,567,8", "1٫5٫5", "1٫234.5", "1٬5", "12٬34", "1e", "1e5.5", "1e1000", "1e5e5", "٣3", "٤۵",
    "1\n234", "1\u2007234", "1/2", "1:30", "24.12.2026", "2026-11-26", "\0", "5\0", "\ud800",
]  # fmt: skip


def as_pair(found: str | Ambiguous | None) -> str | Two | None:
    return (found.whole, found.decimal) if isinstance(found, Ambiguous) else found


def test_the_table_is_long_enough() -> None:
    assert len(EVERY) >= 60
    assert len({way.text for _, way in EVERY}) >= 60


@pytest.mark.parametrize(("locale", "way"), EVERY, ids=lambda value: getattr(value, "text", value))
def test_every_way_is_read(locale: str, way: Way) -> None:
    assert as_pair(read_number(way.text)) == way.read
    if way.asked:
        assert as_pair(read_number(way.text, point_groups=True)) == way.asked


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_number(text: str) -> None:
    assert read_number(text) is None
    assert read_number(text, point_groups=True) is None


@given(st.text(alphabet=string.digits + " ,.'-+e\u066b\u066c\u202f٣５", max_size=12), st.booleans())
def test_no_digit_is_added_or_dropped(text: str, point_groups: bool) -> None:
    found = read_number(text, point_groups=point_groups)
    for number in (found.whole, found.decimal) if isinstance(found, Ambiguous) else [found]:
        if number is None:
            continue
        assert NORMAL.fullmatch(number)
        digits = [str(unicodedata.decimal(letter)) for letter in text if letter.isdecimal()]
        assert re.sub("[^0-9]", "", number) == "".join(digits)
        assert number.startswith("-") == text.lstrip(" \u202f").startswith("-")
        Decimal(number)
        again = read_number(number)
        assert number in (again if isinstance(again, str) else (again.whole, again.decimal) if again else ())


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    read_number(text)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ("9" * MIB, True),
        ("\u0663" * MIB, True),
        ("1" + ",234" * (MIB // 4), True),
        ("1" + ",23" * (MIB // 3) + ",234", True),
        ("1" + ",23" * (MIB // 3), False),
        ("1," * (MIB // 2), False),
        ("1 .,'" * (MIB // 5), False),
        ("\u2003\u0663" * (MIB // 2), False),
        (" " * MIB, False),
        ("1" + " " * MIB + "x", False),
        ("\u200f" * MIB + "5", True),
        ("".join(chr(code) for code in range(0x700, 0x700 + MIB) if not 0xD800 <= code < 0xE000), False),
    ],
    ids=lambda value: value[:6] if isinstance(value, str) else None,
)
def test_megabytes_are_judged_too(text: str, is_read: bool) -> None:
    """What takes more than its length would not end here."""
    assert (read_number(text) is not None) is is_read
    if is_read:
        item = {"type": "free_text", "validation": {"type": "number", "min": 0, "max": 10}}
        check_rules(item, {"value": text})


UNITS = [
    {"label": "kg", "value": "kg", "validation": {"type": "number", "max": 300}},
    {"label": "words", "value": "words", "validation": {"type": "string", "max": 5}},
    {"label": "lb", "value": "lb"},
]
WEIGHT = {"id": "w", "type": "free_text_with_unit", "unit_options": UNITS}


@pytest.mark.parametrize(
    ("unit", "text", "beside", "reasons", "stored"),
    [
        ("kg", "72,5", {"read_as": "72.5"}, [], "72.5"),
        ("kg", "72.5", {"read_as": "72.5"}, [], "72.5"),
        ("kg", "3.000,5", {"read_as": "3000.5"}, ["number_high"], "3000.5"),
        ("kg", "1,234", {"ambiguous": ["1234", "1.234"]}, ["ambiguous"], "1,234"),
        ("kg", "much", {}, ["not_number"], "much"),
        ("words", "1,5", {}, [], "1,5"),
        ("lb", "1,5", {}, [], "1,5"),
    ],
)
def test_a_number_is_read_where_a_rule_asks_for_one(
    unit: str, text: str, beside: dict[str, object], reasons: list[str], stored: str
) -> None:
    answer = {"value": text, "unit": unit}
    assert describe_reading(WEIGHT, answer) == beside
    assert [broken.reason for broken in check_rules(WEIGHT, answer)] == reasons
    right = put_numbers_right([WEIGHT], {"w": answer})
    assert {"w": answer, **right} == {"w": {"value": stored, "unit": unit}}


def test_the_sentence_of_an_ambiguous_number_says_both() -> None:
    item = {"id": "a", "type": "free_text", "validation": {"type": "number"}}
    [broken] = check_rules(item, {"value": "-1,234"})
    assert broken.sentence == "Can be read as -1234 or as -1.234: write it in one of these ways."
