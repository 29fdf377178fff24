"""What a client prefers, by its `Accept` headers (RFC 9110 §12.5)."""

from __future__ import annotations

import re

from fastapi import Request

__all__ = ["preferred_languages", "prefers_html"]

MOST_LANGUAGES = 10  # looked at in a header
_Q = re.compile(r"(0(\.\d{0,3})?|1(\.0{0,3})?)", re.ASCII)


def preferred_languages(accept_language: str) -> list[str]:
    """The tags of an `Accept-Language` header, the most preferred first, without those that are refused (`q=0`)."""
    weights: dict[str, float] = {}
    for entry in accept_language.split(",", MOST_LANGUAGES)[:MOST_LANGUAGES]:
        tag, *parameters = (part.strip() for part in entry.split(";"))
        weight = _weight([text.lower() for text in parameters])
        if tag and weight:
            weights.setdefault(tag, weight)
    return sorted(weights, key=lambda tag: -weights[tag])


def prefers_html(request: Request) -> bool:
    """Whether a client prefers HTML to JSON (RFC 9110 §12.5.1). One without a preference gets JSON."""
    accept = ",".join(request.headers.getlist("accept"))
    return _quality(accept, "text", "html") > _quality(accept, "application", "json")


def _quality(accept: str, kind: str, subtype: str) -> float:
    """How much an `Accept` header prefers a type: the weight of the most specific range that includes it."""
    ranges = {f"{kind}/{subtype}": 3, f"{kind}/*": 2, "*/*": 1}
    best, quality = 0, 0.0
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if ranges.get(name, 0) > best:
            best, quality = ranges[name], _weight(parameters)
    return quality


def _weight(parameters: list[str]) -> float:
    """The `q` of a range: 1 without one, 0 where it is not a number."""
    given = next(
        (text.partition("=")[2].strip() for text in parameters if text.replace(" ", "").startswith("q=")), "1"
    )
    return float(given) if _Q.fullmatch(given) else 0.0
