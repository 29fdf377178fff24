"""Texts as QR codes (ISO/IEC 18004)."""

from __future__ import annotations

from io import BytesIO

import segno

__all__ = ["draw_code"]


def draw_code(text: str, *, css_class: str | None = None) -> str:
    """A QR code as SVG, black on white whatever the colours around it, as cameras want it.

    Args:
        css_class: of the SVG, where it is part of a page; without one it is a file of its own.
    """
    drawn = BytesIO()
    segno.make(text, error="m", micro=False).save(
        drawn,
        kind="svg",
        omitsize=True,
        border=4,
        dark="#000",
        light="#fff",
        xmldecl=css_class is None,
        svgclass=css_class,
        lineclass=None,
    )
    return drawn.getvalue().decode()
