"""Which files fit: one table of types, and what follows from it for a name. Needs nothing but the standard library."""

from fieldpack.filetypes.extensions import EXTENSIONS
from fieldpack.filetypes.listing import (
    OCTETS,
    Listing,
    extension_of,
    find_extension,
    find_medium,
    guess_content_type,
    name_content_type,
)
from fieldpack.filetypes.model import MEDIA, Extension, FileType, Signature, medium_of
from fieldpack.filetypes.signatures import SCANNED_BYTES, SIGNATURES
from fieldpack.filetypes.types import CONTROLS, TEXTS, TYPES, WEB_TAGS

__all__ = [
    "CONTROLS",
    "EXTENSIONS",
    "MEDIA",
    "OCTETS",
    "SCANNED_BYTES",
    "SIGNATURES",
    "TEXTS",
    "TYPES",
    "WEB_TAGS",
    "Extension",
    "FileType",
    "Listing",
    "Signature",
    "extension_of",
    "find_extension",
    "find_medium",
    "guess_content_type",
    "medium_of",
    "name_content_type",
]
