"""Ways to write a number, by the locale of who writes so, and what each of them says."""

from __future__ import annotations

from typing import NamedTuple

Two = tuple[str, str]


class Way(NamedTuple):
    """One of them.

    Attributes:
        text: as it is typed.
        read: the normal form; the two numbers of an ambiguous text; None for no number.
        asked: the same on a page of this locale, where that asks about more.
    """

    text: str
    read: str | Two | None
    asked: Two | None = None


A: Two = ("1234", "1.234")
WAYS: dict[str, list[Way]] = {
    "en-US": [
        Way("72", "72"),
        Way("72.50", "72.50"),
        Way("007", "007"),
        Way("1,234", A),
        Way("-1,234", ("-1234", "-1.234")),
        Way("1,234,567", "1234567"),
        Way("1,234.5", "1234.5"),
        Way("1.234", "1.234"),
        Way("12,345.678", "12345.678"),
        Way(".5", ".5"),
        Way("5.", "5"),
        Way("+5", "5"),
        Way("1e5", "1e5"),
        Way("1,23,4", None),
        Way("$5", None),
    ],
    "de-DE": [
        Way("1,5", "1.5"),
        Way("-0,25", "-0.25"),
        Way("0,123", "0.123"),
        Way("1.234", "1.234", asked=A),
        Way("-12.345", "-12.345", asked=("-12345", "-12.345")),
        Way("0.123", "0.123"),
        Way("1234.567", "1234.567"),
        Way("1.234.567", "1234567"),
        Way("1.234,5", "1234.5"),
        Way("1.234.567,89", "1234567.89"),
        Way("1234,567", "1234.567"),
        Way("1,234", A),
        Way(",5", ".5"),
        Way("1.23,4", None),
        Way("72 kg", None),
    ],
    "de-CH": [
        Way("1’234", "1234"),
        Way("1'234.50", "1234.50"),
        Way("1’234’567.8", "1234567.8"),
        Way("1'234,5", "1234.5"),
        Way("1.234", "1.234"),
        Way("1’23", None),
    ],
    "fr-FR": [
        Way("1\u202f234,5", "1234.5"),
        Way("1\xa0234\xa0567", "1234567"),
        Way("1 234", "1234"),
        Way("12\u2009345,67", "12345.67"),
        Way("\u22125,5", "-5.5"),
        Way(" 72 ", "72"),
        Way("3,14e-2", "3.14e-2"),
        Way("12 34", None),
    ],
    "es-ES": [
        Way("1.234", "1.234", asked=A),
        Way("12.345,6", "12345.6"),
        Way("999.999", "999.999", asked=("999999", "999.999")),
        Way("1'5", None),
    ],
    "pt-BR": [Way("1.000", "1.000", asked=("1000", "1.000")), Way("1.000.000", "1000000"), Way("9,90", "9.90")],
    "en-IN": [
        Way("1,23,456", "123456"),
        Way("12,34,567.89", "1234567.89"),
        Way("1,00,00,000", "10000000"),
        Way("12,345", ("12345", "12.345")),
        Way("123,45,678", None),
    ],
    "hi-IN": [Way("१२३", "123"), Way("१२,३४,५६७.८", "1234567.8"), Way("१,२३४", A), Way("-४.५", "-4.5")],
    "ar-EG": [
        Way("٤٢", "42"),
        Way("١٬٢٣٤٫٥", "1234.5"),
        Way("٠٫٥", "0.5"),
        Way("\u061c-٧٫٢٥", "-7.25"),
        Way("١٬٢٣", None),
        Way("١2", None),
    ],
    "fa-IR": [Way("۱۲۳۴", "1234"), Way("\u200e\u2212۱۲٫۵", "-12.5"), Way("۱٬۲۳۴", "1234"), Way("۱٬۲۳۴٬۵۶۷", "1234567")],
    "ja-JP": [
        Way("１２．５", "12.5"),
        Way("\u3000５\u3000", "5"),
        Way("－３", "-3"),
        Way("＋３", "3"),
        Way("１，２３４", A),
        Way("１，２３４，５６７", "1234567"),
        Way("ー３", None),
    ],
    "bn-BD": [Way("১২৩.৪", "123.4"), Way("১,২৩,৪৫৬", "123456")],
    "th-TH": [Way("๑๒๓", "123"), Way("๑,๒๓๔.๕", "1234.5")],
    "my-MM": [Way("၁၂.၅", "12.5")],
}  # fmt: skip
EVERY = [(locale, way) for locale, ways in WAYS.items() for way in ways]
