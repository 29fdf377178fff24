"""Which URLs that people write may stand on a page: those that say plainly where they lead.

Browsers read URLs by the WHATWG standard (https://url.spec.whatwg.org/#concept-basic-url-parser), which takes a
backslash for a slash, drops tabs and line ends wherever they are, cuts off control characters and spaces at both ends
and skips any number of slashes after `https:`. What needs any of that to be understood is refused here, rather than
understood as one browser would.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv6Address

__all__ = [
    "PICTURES",
    "find_picture",
    "is_host",
    "is_own_path",
    "is_picture_url",
    "is_plain_url",
    "is_web_url",
]

PICTURES = "/api/v1/pictures/"
"""What the path of a picture that a server like this one serves begins with; its id is the rest."""

# a name or an IPv4 address, or an IPv6 address in brackets; no user, whom readers take for the host
_HOST = re.compile(r"(?:[\w.-]+|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?")
# what RFC 9110 §7.2 calls a host and its port: any name, underscores and a dot at its end too
_HOST_HEADER = re.compile(
    r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::0*(?P<port>[0-9]{0,5}))?"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)")
_TO_PEOPLE = ("mailto", "tel")


def _is_obscure(text: str) -> bool:
    """Whether anything in `text` is invisible, is taken for something else, or may be dropped on reading.

    A space between other characters stays what it is in every browser: it becomes %20.
    """
    return (
        "\\" in text
        or text != text.strip()
        or any(
            unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            or (character.isspace() and character != " ")
            for character in text
        )
    )


def is_host(text: str) -> bool:
    """Whether `text` is what the header `Host` may say: a host with or without a port."""
    return _fits(_HOST_HEADER, text)


def _is_host(text: str) -> bool:
    """Whether `text` is a host with or without a port, as it stands in a URL."""
    return _fits(_HOST, text)


def _fits(pattern: re.Pattern[str], text: str) -> bool:
    found = pattern.fullmatch(text)
    if found is None or int(found["port"] or 0) >= 65536:
        return False
    if found["ipv6"] is not None:
        try:
            IPv6Address(found["ipv6"])
        except AddressValueError:
            return False
    return True


def is_web_url(text: str, *, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    """Whether `text` is an absolute URL with a host and one of `schemes`, which every browser reads alike."""
    scheme, mark, rest = text.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return bool(mark) and scheme.lower() in schemes and not _is_obscure(text) and _is_host(host)


def is_own_path(text: str) -> bool:
    """Whether `text` is an absolute path that stays on the server of the page it stands on."""
    return text.startswith("/") and not text.startswith("//") and not _is_obscure(text)


def is_plain_url(text: str) -> bool:
    """Whether `text` may be the target of a link or a picture: http, https, mailto, tel, or a relative path."""
    if _is_obscure(text) or text.startswith("//"):
        return False
    scheme = _SCHEME.fullmatch(text)
    if scheme is not None:
        return is_web_url(text) or (scheme[1].lower() in _TO_PEOPLE and bool(scheme[2]))
    # a colon before the first slash makes a scheme of what stands before it, however odd
    return bool(text) and ":" not in re.split(r"[/?#]", text, maxsplit=1)[0]


# as the server takes it: in any case, with a slash behind; what follows as query or fragment changes nothing
_PICTURE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?(?:[?#].*)?", re.IGNORECASE)


def find_picture(text: str) -> str | None:
    """The id of the picture whose path `text` is, or whose URL, of whatever server it may be."""
    before, mark, rest = text.partition(PICTURES)
    found = _PICTURE.fullmatch(rest) if mark else None
    if found is None or _is_obscure(text):
        return None
    return found[1].lower() if not before or (is_web_url(text) and before.count("/") == 2) else None


def is_picture_url(text: str) -> bool:
    """Whether an item of type image may have this URL: https, or a picture that a server like this one serves."""
    return find_picture(text) is not None or (is_web_url(text, schemes=("https",)) and " " not in text)
