"""How the extensions that a collection lists will be judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["list_file_types", "say_file_types"]


def _iter_listings(body: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Every question for files, as `page 2, item 3`, and its accepted extensions."""
    for page_number, page in enumerate(body.get("collection_items") or (), 1):
        for number, item in enumerate(page.get("page_items") or (), 1):
            if item.get("type") == "file_upload" and item.get("accepted_file_types"):
                yield f"page {page_number}, item {number}", item["accepted_file_types"]


def list_file_types(body: dict[str, Any]) -> list[dict[str, Any]]:
    """For `--json`: each listed extension with `place`, `also`, `judged_by` and `what`."""
    from dataclasses import asdict

    from fieldpack.filetypes.manner import explain_extension

    return [
        {"place": place, **asdict(explain_extension(extension))}
        for place, listed in _iter_listings(body)
        for extension in dict.fromkeys(listed)
    ]


def say_file_types(body: dict[str, Any]) -> None:
    """Print, a line for each way of judging, how content is held against the listed extensions."""
    from fieldpack.cli.output import print_text
    from fieldpack.filetypes.manner import explain_listing

    for place, listed in _iter_listings(body):
        for line in explain_listing(listed):
            print_text(f"  {place}: {line}")
