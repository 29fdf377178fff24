"""How a collection refers to pictures that this server serves.

Stored is a path, `/api/v1/pictures/<id>`, whatever name the server had when the collection was sent: so pages show the
picture under any, and answers give the URL at which this request reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Any
from uuid import UUID

from fieldpack.server.values.urls import PICTURES, find_picture

__all__ = ["iter_urls", "make_absolute", "map_urls", "picture_path"]

# HTML as nh3 writes it: names in lower case, values in double quotes, none of these within a value or `<` in a text
_TAG = re.compile(r'<(?:a|img)(?: [a-z]+="[^"]*")*>')
_URL = re.compile(r' (href|src)="([^"]*)"')
_TASK = ("task_name", "task_introduction", "task_steps")


def picture_path(picture_id: UUID | str) -> str:
    """Where a picture is on any server that has it."""
    return f"{PICTURES}{picture_id}"


def iter_urls(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every URL of an image or in HTML, with the path of its field."""
    for name in _TASK:
        for url in _find_in_html(body["task_details"][name]):
            yield f"task_details.{name}", url
    for number, page in enumerate(body["collection_items"]):
        for place, item in enumerate(page["page_items"]):
            path = f"collection_items.{number}.page_items.{place}"
            if item["type"] == "image":
                yield f"{path}.url", item["url"]
            elif item["type"] == "rich_text":
                for url in _find_in_html(item["content"]):
                    yield f"{path}.content", url


def _find_in_html(html: str) -> list[str]:
    return [found[2] for tag in _TAG.finditer(html) for found in _URL.finditer(tag[0])]


def map_urls(body: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A copy of a collection's body with other URLs in the places that `iter_urls` finds."""

    def in_html(html: str) -> str:
        return _TAG.sub(lambda tag: _URL.sub(lambda found: f' {found[1]}="{change(found[2])}"', tag[0]), html)

    def in_item(item: dict[str, Any]) -> dict[str, Any]:
        if item["type"] == "image":
            return {**item, "url": change(item["url"])}
        return {**item, "content": in_html(item["content"])} if item["type"] == "rich_text" else item

    details = body["task_details"]
    return {
        **body,
        "task_details": {**details, **{name: in_html(details[name]) for name in _TASK}},
        "collection_items": [
            {**page, "page_items": [in_item(item) for item in page["page_items"]]}
            for page in body["collection_items"]
        ],
    }


def make_absolute(body: dict[str, Any], origin: str) -> dict[str, Any]:
    """A body whose pictures are URLs of `origin`, for who reads it away from our pages."""
    start = escape(origin)  # it comes from a header, and goes into HTML
    return map_urls(body, lambda url: start + url if url.startswith("/") and find_picture(url) else url)
