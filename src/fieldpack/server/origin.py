"""The origin that links begin with, and the one that a request's page has."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from .context import Context

__all__ = ["is_same_origin", "origin_of"]


def origin_of(request: Request, context: Context) -> str:
    """`--public-url` when given, else the scheme and address the request came to."""
    return context.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"


def is_same_origin(request: Request, context: Context) -> bool:
    """Whether a browser sent this from a page of ours.

    Every browser says so with one of two headers that pages can't set: `Sec-Fetch-Site`, which only https and
    the machine itself get, or `Origin`, which every POST, PUT, PATCH and DELETE has.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    host = urlsplit(request.headers.get("origin", "")).netloc
    public = context.settings.public_url
    return bool(host) and host in (request.url.netloc, urlsplit(public).netloc if public else None)
