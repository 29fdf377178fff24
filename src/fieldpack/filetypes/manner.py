"""How a listed extension is judged, said in words: for the command line and the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fieldpack.filetypes.listing import find_extension
from fieldpack.filetypes.types import TYPES

__all__ = ["Manner", "explain_extension", "explain_listing"]

_FAMILIES = ("text", "xml")


@dataclass(frozen=True, slots=True)
class Manner:
    """How files of an extension are judged.

    Attributes:
        extension: the extension, in small letters.
        also: other names of the same type, which are accepted with it.
        judged_by: `signature`: content of another type is refused; `family`: content of another family is;
            `nothing`: it is not known here, and any content is accepted.
        what: the type or the family in words; empty when it is not known.
    """

    extension: str
    also: tuple[str, ...]
    judged_by: Literal["signature", "family", "nothing"]
    what: str


def explain_extension(extension: str) -> Manner:
    """How one extension is judged."""
    extension = extension.lower()
    row = find_extension(extension)
    also = tuple(name for name in row.names if name != extension)
    if not row.holds:
        return Manner(extension, also, "nothing", "")
    kind = TYPES[row.holds[0]]
    is_family = kind.open and (row.holds[0] in _FAMILIES or row.content_type not in ("", kind.content_type))
    return Manner(extension, also, "family" if is_family else "signature", kind.label)


def explain_listing(listed: Iterable[str]) -> list[str]:
    """Sentences on a question's accepted extensions: what is told by signature, what by family, what not at all."""
    manners = [explain_extension(each) for each in dict.fromkeys(each.lower() for each in listed)]
    told = [_name(each) for each in manners if each.judged_by == "signature"]
    lines = [f"{', '.join(told)}: by signature"] if told else []
    families: dict[str, list[str]] = {}
    for each in manners:
        if each.judged_by == "family":
            families.setdefault(each.what, []).append(_name(each))
    lines += [f"{', '.join(names)}: by family, {what}" for what, names in families.items()]
    unknown = [_name(each) for each in manners if each.judged_by == "nothing"]
    return lines + ([f"{', '.join(unknown)}: not known, any content is accepted"] if unknown else [])


def _name(manner: Manner) -> str:
    return f"{manner.extension} (also {' '.join(manner.also)})" if manner.also else manner.extension
