"""Whether content may stay, and what goes on record for it: by the table, then by a closer look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import puremagic

from fieldpack.filetypes import (
    OCTETS,
    SCANNED_BYTES,
    SIGNATURES,
    TYPES,
    Listing,
    Signature,
    extension_of,
    guess_content_type,
    medium_of,
)
from fieldpack.server.uploads.content_types.containers import (
    look_at_asf,
    look_at_boxes,
    look_at_ebml,
    look_at_ogg,
    look_at_pictures,
)
from fieldpack.server.uploads.content_types.looking import Look, Read, Types, run_look
from fieldpack.server.uploads.content_types.packages import look_at_ole, look_at_tiff, look_at_zip
from fieldpack.server.uploads.content_types.streams import (
    look_at_mpeg_audio,
    look_at_tagged,
    look_at_transport,
)
from fieldpack.server.uploads.content_types.texts import (
    find_text,
    look_at_mention,
    look_at_program,
    look_at_word,
)

__all__ = ["ENOUGH_BYTES", "HEAD_BYTES", "Verdict", "judge_content", "judge_head"]

HEAD_BYTES = 4096
"""With this much of a file, or all of it, `judge_head` always decides."""
ENOUGH_BYTES = SCANNED_BYTES
"""With this much, whether there is a signature can be told."""
CONFIDENT = 0.6

_LOOKS: dict[str, Callable[[Types, bytes, int], Look]] = {
    "asf": look_at_asf,
    "ebml": look_at_ebml,
    "heif": look_at_pictures,
    "iso": look_at_boxes,
    "mention": look_at_mention,
    "mpeg-audio": look_at_mpeg_audio,
    "ogg": look_at_ogg,
    "ole": look_at_ole,
    "program": look_at_program,
    "tagged": look_at_tagged,
    "tiff": look_at_tiff,
    "ts": look_at_transport,
    "word": look_at_word,
    "zip": look_at_zip,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`content_type` is for the record; `refusal` says why the content may not stay, or is None if it may."""

    content_type: str
    refusal: str | None = None


def _matches(signature: Signature, head: bytes, *, whole: bool) -> bool | None:
    """Whether a file begins so; None when more bytes are needed to tell."""
    for offset, pattern in signature.patterns:
        if offset is None:
            if pattern in head[:SCANNED_BYTES]:
                continue
            return None if not whole and len(head) < SCANNED_BYTES else False
        found = head[offset : offset + len(pattern)]
        if found != pattern:
            return None if not whole and pattern.startswith(found) else False
    return True


def _find_signature(head: bytes, *, whole: bool) -> Signature | bool | None:
    """The signature that a file has; None if it has none, False when more bytes are needed."""
    for signature in SIGNATURES:
        matched = _matches(signature, head, whole=whole)
        if matched is None:
            return False
        if matched:
            return signature
    return None


def judge_head(head: bytes, file_name: str, listing: Listing, *, whole: bool) -> Verdict | None:
    """Decide on a file by its beginning; None when more bytes are needed first.

    A refusal is final. Otherwise the content may stay as far as can be told by now, and the type is provisional.

    Args:
        head: its first bytes, `HEAD_BYTES` of them when there are as many.
        file_name: the participant's name for it.
        listing: what is accepted.
        whole: `head` is all there is.
    """
    whole = whole or len(head) >= HEAD_BYTES
    signature = _find_signature(head, whole=whole)
    if signature is False:
        return None
    if isinstance(signature, Signature):
        return _conclude(signature.types, head, file_name, listing)
    types = find_text(head)
    return None if types and not whole else _conclude(types, head, file_name, listing)


async def judge_content(read: Read, head: bytes, length: int, file_name: str, listing: Listing) -> Verdict:
    """Decide on a file that is whole.

    Args:
        read: reads bytes of it; called a limited number of times for at most 64 KiB, whatever the file contains.
        head: its first bytes, `HEAD_BYTES` of them when there are as many.
        length: its size, in bytes.
        file_name: the participant's name for it.
        listing: what is accepted.
    """
    if not length:
        return _judge_empty(file_name, listing)
    return _conclude(await find_types(read, head, length), head, file_name, listing)


async def find_types(read: Read, head: bytes, length: int) -> Types:
    """The types that content can be of, likeliest first; none when nothing is known of it."""
    signature = _find_signature(head, whole=True)
    if not isinstance(signature, Signature):
        return find_text(head)
    if not signature.look:
        return signature.types
    look = _LOOKS[signature.look](signature.types, head, length)
    found = await run_look(look, read, head, length)
    return signature.types if found is None else found


def _judge_empty(file_name: str, listing: Listing) -> Verdict:
    row = listing.find(file_name)
    if row is not None and "text" in row.holds:
        return Verdict(listing.name_content(file_name, "text"))
    return Verdict(OCTETS)


def _conclude(types: Types, head: bytes, file_name: str, listing: Listing) -> Verdict:
    """The verdict on content that is of one of these types, or of none that the table knows."""
    fitting = listing.judge(file_name, types)
    if fitting is not None:
        return Verdict(listing.name_content(file_name, fitting))
    if types:
        kind = TYPES[types[0]]
        return Verdict(kind.content_type, _refuse(kind.label, listing))
    label, content_type = _ask_library(head, extension_of(file_name))
    if listing.admits_any(file_name):
        return Verdict(content_type or _guess(file_name) or OCTETS)
    return Verdict(content_type or OCTETS, _refuse(label, listing))


def _guess(file_name: str) -> str | None:
    """The content type by name of what has no signature. It makes no text and no web page of it."""
    guessed = guess_content_type(extension_of(file_name))
    return None if guessed is None or guessed.startswith("text/") else guessed


def _ask_library(head: bytes, extension: str) -> tuple[str, str | None]:
    """What puremagic, which knows a thousand signatures more, calls it; and its content type."""
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return "", None
    match = next((each for each in matches if each.extension == extension), matches[0])
    if match.extension != extension and match.confidence < CONFIDENT:
        return "", None
    # a short signature makes no picture of what is not called one
    doubtful = match.extension != extension and medium_of(match.mime_type) is not None
    return match.name, None if doubtful else match.mime_type or None


def _refuse(label: str, listing: Listing) -> str:
    names = ", ".join(sorted(listing.listed))
    if label:
        return f"The content of this file is {label}, which is not accepted here. Accepted: {names}."
    return f"The content of this file is of no type that is accepted here. Accepted: {names}."
