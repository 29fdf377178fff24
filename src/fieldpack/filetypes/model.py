"""What the table of file types is made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MEDIA", "Extension", "FileType", "Signature", "medium_of"]

MEDIA = ("image", "audio", "video")
_WORDS = {"image": "picture", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True)
class FileType:
    """A format, or a family of formats that only their names tell apart.

    Attributes:
        label: how to call it to a person, with its article.
        content_type: what goes on record.
        word: which of the catalogue's words the page has for it; by default that of its content type.
        open: a family: the content type of the name goes on record, if it is of the same kind of medium.
    """

    label: str
    content_type: str
    word: str = ""
    open: bool = False

    @property
    def medium(self) -> str | None:
        """`image`, `audio`, `video`, or None."""
        return medium_of(self.content_type)

    @property
    def page_word(self) -> str:
        """The last word of the key of its text in the message catalogue."""
        return self.word or _WORDS.get(self.medium or "", "data")


@dataclass(frozen=True, slots=True)
class Signature:
    """How files of a type, or of one of several, begin.

    Attributes:
        types: which it can be, the likeliest first.
        patterns: bytes at offsets, of which all must be there; an offset of None is anywhere in the first KiB.
        look: the name of the server's closer look, which tells the types apart; empty if there is none.
    """

    types: tuple[str, ...]
    patterns: tuple[tuple[int | None, bytes], ...]
    look: str = ""


@dataclass(frozen=True, slots=True)
class Extension:
    """Names that mean one type.

    Attributes:
        names: in small letters, with their dots; the first is the usual one.
        holds: the types that a file of this name may be; empty when nothing is known, and then it may be any.
        content_type: what goes on record for a held type that is `open`; empty: that type's own.
    """

    names: tuple[str, ...]
    holds: tuple[str, ...] = ()
    content_type: str = ""


def medium_of(content_type: str) -> str | None:
    """`image`, `audio` or `video` by a content type, or None."""
    first = content_type.partition("/")[0].lower()
    return first if first in MEDIA else None
