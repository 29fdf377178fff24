"""Pictures that a collection's file names: those beside it are uploaded, those elsewhere are warned of.

`url: ./photo.jpg`, or the same as a picture in HTML or Markdown, is a file in the folder of the collection's file or
in one below it. What leads out of that folder, by `..`, from the root or over a symbolic link, is refused: a file that
somebody sent must not pick others from the disk and publish them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fieldpack.cli.collections.files.checks import Finding
from fieldpack.cli.collections.template import Template
from fieldpack.containment import ContainedFolder
from fieldpack.documents.nodes import Path
from fieldpack.errors import ApiError, FieldpackError, InTheWay, PictureError, TemplateError
from fieldpack.pictures import MOST_BYTES, clean_picture

if TYPE_CHECKING:
    from fieldpack.client import Client

__all__ = ["Pictures", "find_strangers", "read_pictures"]

_STAND_IN = "/api/v1/pictures/00000000-0000-0000-0000-000000000000"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# the name is the last group that matched; nothing here crosses the next `<` or `[`, so that no text takes long
_IN_HTML = re.compile(r"""<img\b[^<>]*?\ssrc\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)'|([^\s"'<>]+))""", re.IGNORECASE)
_IN_MARKDOWN = re.compile(r"!\[(?:[^\[\]\\]|\\.)*\]\(\s*(?:<([^<>\n]*)>|([^\s()<>]+))")
_TASK = ("task_introduction", "task_steps")


@dataclass(frozen=True)
class Pictures:
    """The pictures beside a collection's file.

    Attributes:
        body: the collection, with an address in place of each of them that is no picture's.
        files: their bytes, by the name in the file.
        paths: where each name stands first.
        findings: what is wrong with them.
    """

    template: Template
    body: dict[str, Any]
    files: dict[str, bytes] = field(repr=False)
    paths: dict[str, Path]
    findings: list[Finding]

    def upload(self, client: Client, workspace_id: str) -> dict[str, Any]:
        """Upload them all; the collection with their addresses.

        Raises:
            TemplateError: there is something wrong with them, so that none was uploaded, or the server refused one.
            FieldpackError: the server takes no pictures.
        """
        if self.findings:
            raise TemplateError(
                [self.template.say(finding.path, finding.message) for finding in self.findings]
            )
        urls: dict[str, str] = {}
        for name, data in self.files.items():
            try:
                urls[name] = str(client.upload_picture(workspace_id, data)["url"])
            except ApiError as error:
                if error.status == 400:
                    raise TemplateError(
                        [self.template.say(self.paths[name], _refuse(name, error))]
                    ) from error
                if error.status not in (404, 405):
                    raise
                raise FieldpackError(
                    f"{client.base_url} did not take the picture {name}: {error} If that server takes no pictures, "
                    "give their https addresses in the file."
                ) from error
        return _map_names(self.template.body, lambda _, name: urls.get(name, name))


def read_pictures(template: Template) -> Pictures:
    """The pictures beside a file, checked as a server would."""
    files: dict[str, bytes] = {}
    wrong: dict[str, str] = {}
    findings: list[Finding] = []
    paths: dict[str, Path] = {}

    def read(path: Path, name: str) -> str:
        if not _is_beside(name):
            return name
        if name not in paths:
            paths[name] = path
            try:
                files[name] = _read(template, name)
            except PictureError as error:
                wrong[name] = _refuse(name, error)
        if name in wrong:
            findings.append(Finding(path, wrong[name]))
        return _STAND_IN

    return Pictures(template, _map_names(template.body, read), files, paths, findings)


def find_strangers(body: dict[str, Any]) -> list[Finding]:
    """A warning for every picture that participants' browsers would fetch from somebody else."""
    from fieldpack.server.values.urls import find_picture

    findings: list[Finding] = []

    def look(path: Path, url: str) -> str:
        if url.lower().startswith(("https://", "http://", "//")) and find_picture(url) is None:
            with suppress(ValueError):
                host = urlsplit(url).hostname
                message = (
                    f"participants' browsers fetch this picture from {host}, which learns their internet addresses; "
                    "put the file beside this one, and name it, as ./picture.png"
                )
                findings.append(Finding(path, message, is_error=False))
        return url

    _map_names(body, look)
    return findings


def _refuse(name: str, error: Exception) -> str:
    """What is wrong with a picture, by our own rules or by a server's."""
    said = str(error)
    if isinstance(error, ApiError) and isinstance(error.detail, dict):
        said = " ".join(str(message) for messages in error.detail.values() for message in messages)
    return f"the picture {name!r} can't be used: {said.removesuffix('.')}"


def _is_beside(name: str) -> bool:
    """Whether a picture's address is the name of a file, not a URL or a path on a server."""
    return bool(name.strip()) and not name.startswith(("/", "#", "?")) and _SCHEME.match(name) is None


def _read(template: Template, name: str) -> bytes:
    """The bytes of a picture that a server would take.

    Raises:
        PictureError: there is none.
    """
    if "\\" in name:
        raise PictureError("write / between folders, not \\")
    steps = [step for step in name.split("/") if step not in ("", ".")]
    if ".." in steps:
        raise PictureError("it must lie in the folder of this file, or in one below")
    try:
        with ContainedFolder(template.folder) as folder, folder.open("/".join(steps)) as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise PictureError("there is no such file in the folder of this one") from None
    except InTheWay as error:
        raise PictureError(f"{error.name} {error.reason}") from None
    except OSError as error:
        raise PictureError(f"it can't be read: {error.strerror}") from None
    clean_picture(data)
    return data


def _map_names(body: dict[str, Any], change: Callable[[Path, str], str]) -> dict[str, Any]:
    """A copy of a collection, whatever is in it, with other addresses of its pictures."""
    body = copy.deepcopy(body)
    details = body.get("task_details")
    if isinstance(details, dict):
        for name in _TASK:
            _change_text(details, name, ("task_details", name), change)
    for number, page in enumerate(_entries(body, "collection_items")):
        for place, item in enumerate(_entries(page, "page_items")):
            path: Path = ("collection_items", number, "page_items", place)
            if not isinstance(item, dict):
                continue
            if item.get("type") == "image" and isinstance(item.get("url"), str):
                item["url"] = change((*path, "url"), item["url"])
            elif item.get("type") == "rich_text":
                is_markdown = item.get("content_format") == "markdown"
                _change_text(item, "content", (*path, "content"), change, is_markdown=is_markdown)
    return body


def _entries(outer: Any, name: str) -> list[Any]:
    found = outer.get(name) if isinstance(outer, dict) else None
    return found if isinstance(found, list) else []


def _change_text(
    holder: dict[str, Any],
    name: str,
    path: Path,
    change: Callable[[Path, str], str],
    *,
    is_markdown: bool = False,
) -> None:
    text = holder.get(name)
    if not isinstance(text, str):
        return

    def swap(found: re.Match[str]) -> str:
        group = found.lastindex or 0
        start, stop = (at - found.start() for at in found.span(group))
        return found[0][:start] + change(path, unescape(found[group]).strip()) + found[0][stop:]

    for pattern in (_IN_HTML, _IN_MARKDOWN) if is_markdown else (_IN_HTML,):
        text = pattern.sub(swap, text)
    holder[name] = text
