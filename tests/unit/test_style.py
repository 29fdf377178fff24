"""The style sheets: every colour is a token, every token is shown, and text can be read on its ground."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from fieldpack.server.web.workbench.style.pages import read_tokens

STATIC = files("fieldpack.server.web").joinpath("static")
SHEETS = sorted(each.name for each in STATIC.iterdir() if each.name.endswith(".css"))
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|rgba|hsl|hsla|hwb|lab|lch|oklab|oklch|color)\(")
USED = re.compile(r"var\(--([a-z-]+)[,)]")
OWN = {"side"}  # of one component, set where it is used
# text and what it stands on
PAIRS = [
    (ink, ground) for ground in ("ground", "card") for ink in ("ink", "soft", "accent-deep", "wrong", "warn")
] + [
    ("accent-ink", "accent"),
    ("accent-deep", "accent-soft"),
    ("wrong", "wrong-soft"),
    ("warn", "warn-soft"),
    ("ink", "accent-soft"),
]


def read(name: str) -> str:
    return STATIC.joinpath(name).read_text(encoding="utf-8")


def test_colours_are_written_in_one_file() -> None:
    for name in SHEETS:
        if name != "tokens.css":
            assert COLOUR.findall(read(name)) == [], name


def test_every_token_that_is_used_is_one_and_every_one_is_used() -> None:
    used = {token for name in SHEETS for token in USED.findall(read(name))}
    assert used - OWN == {token.name for token in read_tokens()}


def test_dark_has_every_colour_that_it_changes() -> None:
    tokens = {token.name: token for token in read_tokens()}
    same = {name for name, token in tokens.items() if token.is_colour and token.light == token.dark}
    assert same == {"stage", "paper"}  # what a picture and a code to be photographed stand on


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_can_be_read(look: str, ink: str, ground: str) -> None:
    tokens = {token.name: getattr(token, look) for token in read_tokens()}
    low, high = sorted((brightness(tokens[ink]), brightness(tokens[ground])))
    assert (high + 0.05) / (low + 0.05) >= 4.5
