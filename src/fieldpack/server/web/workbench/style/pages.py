"""`/workbench/style`: every token and part that pages are made of, as it looks here and now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench.collections.sparks import HEIGHT, STEP, draw_spark
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute

__all__ = ["Token", "read_tokens", "router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

_TOKEN = re.compile(r"^ *--([a-z-]+): ([^;]+);$", re.MULTILINE)
EXAMPLE = [
    (date(2026, 1, 1) + timedelta(days=number), count)
    for number, count in enumerate((3, 5, 4, 8, 6, 9, 7, 4, 2, 6, 8, 11, 9, 12))
]


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the style sheets.

    Attributes:
        light, dark: its value, as it is written; the same where dark has none of its own.
    """

    name: str
    light: str
    dark: str

    @property
    def is_colour(self) -> bool:
        """Whether it is one colour and nothing else."""
        return self.light.startswith("#")


def read_tokens() -> list[Token]:
    """The tokens of `static/tokens.css`, in their order."""
    sheet = files("fieldpack.server.web").joinpath("static", "tokens.css").read_text(encoding="utf-8")
    light, _, dark = sheet.partition("@media (prefers-color-scheme: dark)")
    darker = dict(_TOKEN.findall(dark))
    return [Token(name, value, darker.get(name, value)) for name, value in _TOKEN.findall(light)]


TOKENS = read_tokens()


@router.get("/workbench/style")
async def show_style(request: Request, caller: SignedIn) -> Response:
    """Tokens, type, buttons, fields, states, tables, charts and notices."""
    return render(
        request,
        "style.html",
        caller=caller,
        colours=[token for token in TOKENS if token.is_colour],
        others=[token for token in TOKENS if not token.is_colour],
        spark=draw_spark(EXAMPLE, catalogue_of(request)),
        spark_step=STEP,
        spark_height=HEIGHT,
    )
