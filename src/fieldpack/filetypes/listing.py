"""What a list of accepted extensions admits, by the table."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable

from fieldpack.filetypes.extensions import EXTENSIONS
from fieldpack.filetypes.model import MEDIA, Extension, medium_of
from fieldpack.filetypes.types import TEXTS, TYPES

__all__ = ["OCTETS", "Listing", "extension_of", "find_extension", "find_medium", "guess_content_type"]

_EXTENSION = re.compile(r"\.\w{1,16}\Z")
OCTETS = "application/octet-stream"
"""The content type of what nothing is known of."""
_NOTHING = ("", OCTETS, "binary/octet-stream")
"""What other servers, too, record of what they know nothing of."""
_CONTAINERS = {
    "application/ogg": "video",
    "application/x-matroska": "video",
    "application/mp4": "video",
    **{kind.content_type: kind.word for kind in TYPES.values() if kind.word in MEDIA and kind.medium is None},
}
"""Registered types that name no medium, and which one they mostly hold."""
_PYTHONS_OWN = mimetypes.MimeTypes()
"""Python's table without the machine's, which differs from one to the next."""


def extension_of(file_name: str) -> str:
    """The extension of a name, in small letters and with its dot; empty if it has none.

    What follows the last dot is one if it is letters and digits, as those that can be accepted are.
    """
    found = _EXTENSION.search(file_name)
    return found.group().lower() if found else ""


def find_extension(name: str) -> Extension:
    """What an extension may hold. One with several dots that is not in the table is looked up from its last dot on."""
    name = name.lower()
    row = EXTENSIONS.get(name)
    if row is None:
        last = EXTENSIONS.get(name[name.rfind(".") :])
        row = Extension((name,), last.holds, last.content_type) if last else Extension((name,))
    return row


def find_medium(file_name: str, content_type: str | None) -> str | None:
    """Whether a file is `image`, `audio` or `video`, or None: by its type on record.

    The name decides where nothing is on record, or a container that may hold one or the other.
    """
    content_type = (content_type or "").partition(";")[0].strip().lower()
    if content_type not in (*_NOTHING, *_CONTAINERS):
        return medium_of(content_type)
    named = name_content_type(file_name)
    return medium_of(named or "") or _CONTAINERS.get(named or content_type)


def name_content_type(file_name: str) -> str | None:
    """The content type that a file's name alone tells; None for one that tells nothing."""
    extension = extension_of(file_name)
    row = find_extension(extension)
    return row.content_type or (
        TYPES[row.holds[0]].content_type if row.holds else guess_content_type(extension)
    )


def guess_content_type(extension: str) -> str | None:
    """What Python's own table says of an extension that ours lacks."""
    return _PYTHONS_OWN.guess_type(f"name{extension}", strict=False)[0]


class Listing:
    """A question's accepted extensions.

    Attributes:
        listed: they, as the researcher wrote them, in small letters.
        names: they, and every other name of their types.
        holds: the types that are known to fit.
        is_open: one of them is unknown here, so that a file without an extension may be anything.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self.listed = tuple(dict.fromkeys(extension.lower() for extension in listed))
        self._rows = {
            name: row for each in self.listed for row in (find_extension(each),) for name in row.names
        }
        self.names = tuple(self._rows)
        self.holds = frozenset(type_id for row in self._rows.values() for type_id in row.holds)
        self.is_open = any(not row.holds for row in self._rows.values())

    def find(self, file_name: str) -> Extension | None:
        """The row of the listed extension that a name ends with, the longest if there are several."""
        lowered = file_name.lower()
        fitting = [name for name in self._rows if lowered.endswith(name)]
        return self._rows[max(fitting, key=len)] if fitting else None

    def admits_name(self, file_name: str) -> bool:
        """Whether a name fits. One without an extension does, and leaves it to the content; so does `v1.2`."""
        extension = extension_of(file_name)
        return not extension or extension[1:].isdigit() or self.find(file_name) is not None

    def admits_any(self, file_name: str) -> bool:
        """Whether a file of this name may hold anything, as nothing is known of what it should."""
        row = self.find(file_name)
        return not row.holds if row is not None else self.is_open

    def admits_empty(self, file_name: str) -> bool:
        """Whether a file without a byte fits: text can be empty, and what is unknown here."""
        row = self.find(file_name)
        holds = row.holds if row is not None else self.holds
        return self.admits_any(file_name) or not set(TEXTS).isdisjoint(holds)

    def judge(self, file_name: str, types: Iterable[str]) -> str | None:
        """The first of the types, given from likely to less so, that fits a file of this name; None if none does.

        A file of another accepted type than its name says is fine.
        """
        types = tuple(types)
        row = self.find(file_name)
        for holds in (row.holds if row is not None else (), self.holds):
            for type_id in types:
                if type_id in holds:
                    return type_id
        return types[0] if types and self.admits_any(file_name) else None

    def name_content(self, file_name: str, type_id: str) -> str:
        """The content type to record: what the content is, and where only names tell, the name."""
        kind = TYPES[type_id]
        if not kind.open:
            return kind.content_type
        row = self.find(file_name)
        if row is not None and row.holds:
            named = row.content_type if type_id in row.holds else ""
            if type_id in TEXTS and row.holds[0] not in TEXTS and medium_of(named) is None:
                named = ""  # another meaning of the extension than the one it is best known for
        else:
            # a stranger's table may say finer what kind of ZIP, XML or text it is, but not make media of it
            named = guess_content_type(extension_of(file_name)) or ""
            if medium_of(named) is not None:
                named = ""
        if named and kind.medium in (None, medium_of(named)):
            return named
        return kind.content_type
