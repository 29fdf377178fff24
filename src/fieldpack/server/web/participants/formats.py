"""The table of file types as a script, so that pages judge files by the same rows as the server."""

from __future__ import annotations

import orjson

from fieldpack.filetypes import CONTROLS, EXTENSIONS, SCANNED_BYTES, SIGNATURES, TEXTS, TYPES, WEB_TAGS

__all__ = ["build_script"]


def build_script() -> bytes:
    """The module `formats.js`."""
    rows = {row.names: row.holds for row in EXTENSIONS.values()}
    constants = {
        "EXTENSIONS": list(rows.items()),
        "TYPES": {name: [kind.page_word, kind.medium] for name, kind in TYPES.items()},
        "SIGNATURES": [
            [each.types, [[offset, list(pattern)] for offset, pattern in each.patterns]]
            for each in SIGNATURES
        ],
        "TEXTS": TEXTS,
        "CONTROLS": CONTROLS,
        "WEB_TAGS": sorted(WEB_TAGS),
        "SCANNED_BYTES": SCANNED_BYTES,
    }
    lines = [f"export const {name} = {orjson.dumps(value).decode()};" for name, value in constants.items()]
    return "\n".join(["// Made by the server from its table of file types.", *lines, ""]).encode()
