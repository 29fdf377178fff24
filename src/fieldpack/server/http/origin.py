"""The origin that links begin with, and the one that a request's page has."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from fieldpack.server.context import Context

__all__ = ["is_same_origin", "origin_of"]

PORTS = {"http": 80, "https": 443}


def origin_of(request: Request, context: Context) -> str:
    """`--public-url` when given, else the scheme and address the request came to."""
    return context.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"


def is_same_origin(request: Request, context: Context) -> bool:
    """Whether a browser sent this from a page of ours.

    Every browser says so with one of two headers that pages can't set: `Sec-Fetch-Site`, which only https and
    the machine itself get, or `Origin`, which every POST, PUT, PATCH and DELETE has. An origin is scheme, host and
    port: a page that came over http is not ours where we serve https, for anyone on the way may have written it.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    given = _parse(request.headers.get("origin", ""))
    public = context.settings.public_url
    ours = {_parse(f"{request.url.scheme}://{request.url.netloc}"), _parse(public) if public else None}
    return given is not None and given in ours


def _parse(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin, its port by the scheme unless given; None for what is none, as `null`."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port if port is not None else PORTS[parts.scheme]
