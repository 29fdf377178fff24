"""Styles and scripts: read once at start, and served under a digest of all of them, so that browsers may cache them."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from fieldpack.server.problems import not_found
from fieldpack.server.web.participants.formats import build_script

__all__ = ["asset_url", "router"]

CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _read() -> dict[str, bytes]:
    folder = files(__package__).joinpath("static")
    found = {entry.name: entry.read_bytes() for entry in folder.iterdir() if _suffix(entry.name)}
    # one sheet on the way to a phone; the tokens are a file of their own for who reads them
    found["style.css"] = found.pop("tokens.css") + found["style.css"]
    return {**found, "formats.js": build_script()}


def _suffix(name: str) -> str:
    return next((suffix for suffix in CONTENT_TYPES if name.endswith(suffix)), "")


_assets = _read()
_digest = hashlib.sha256(b"".join(name.encode() + _assets[name] for name in sorted(_assets))).hexdigest()[:16]

router = APIRouter(include_in_schema=False)


def asset_url(name: str) -> str:
    """The path of a file in `static/`; scripts import each other by relative paths below it."""
    return f"/static/{_digest}/{name}"


@router.get("/static/{digest}/{name}")
async def get_asset(request: Request, digest: str, name: str) -> Response:
    """One file. Under an older digest, which pages from before an update ask for, the current file."""
    content = _assets.get(name)
    if content is None:
        raise not_found("File", name)
    etag = f'"{_digest}"'
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if digest == _digest else "no-cache",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=CONTENT_TYPES[_suffix(name)], headers=headers)
