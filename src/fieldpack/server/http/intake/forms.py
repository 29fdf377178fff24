"""Reading a posted form within limits: of whoever is not known yet, and of those who are.

A stranger's form is url-encoded and small, and is held in memory. Others may send files along; these go to
temporary files that have no name, so nothing is left of them whatever happens.
"""

from __future__ import annotations

import asyncio
import errno
import tempfile
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import FormData, UploadFile

from fieldpack.errors import StorageFull
from fieldpack.server.http.large import LargeWork, run_large
from fieldpack.server.http.routing import read_limited, while_reading
from fieldpack.server.problems import INVALID, MALFORMED, TOO_LARGE, UNSUPPORTED_TYPE, Problem

__all__ = ["MULTIPART", "FormFile", "Room", "read_known_form", "read_unknown_form", "type_of"]

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MAX_UNKNOWN_BYTES = 64 * 1024
MAX_UNKNOWN_FIELDS = 100
MAX_FIELDS = 20_000
MAX_FILES = 200
MAX_NAME_BYTES = 16_384
MEMORY_BYTES = 64 * 1024  # of one file; beyond, it is on disk


class FormFile(UploadFile):
    """A file of a form. `size` is what came; `is_kept` whether it may be read, or there was no room for it."""

    is_kept = True


class Room(Protocol):
    """The place that files may take while a form is read."""

    def take(self, name: str, size: int, more: int) -> bool:
        """Whether `more` bytes of the file in field `name`, now of `size`, are kept; False: none of it is."""


def type_of(request: Request) -> str:
    """What the body calls itself, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _checked(form: FormData) -> FormData:
    for name, value in form.multi_items():
        if "\0" in name or (isinstance(value, str) and "\0" in value):
            raise Problem(INVALID, {name.replace("\0", ""): ["Text must not contain U+0000."]})
    return form


def _parse(body: bytes, most: int) -> FormData:
    try:
        pairs = parse_qsl(
            body.decode("ascii", "replace"), keep_blank_values=True, errors="replace", max_num_fields=most
        )
    except ValueError:
        raise Problem(MALFORMED, f"A form has at most {most} fields.") from None
    fields: list[tuple[str, str | UploadFile]] = [*pairs]
    return FormData(fields)


async def read_unknown_form(request: Request) -> FormData:
    """The fields of a form before anybody knows who sends it.

    Raises:
        Problem: 400 for too many fields, or U+0000; 413; 415 when it is not url-encoded.
    """
    if type_of(request) != URLENCODED:
        raise Problem(UNSUPPORTED_TYPE, f"Send this form as `Content-Type: {URLENCODED}`.")
    return _checked(_parse(await read_limited(request, MAX_UNKNOWN_BYTES), MAX_UNKNOWN_FIELDS))


async def read_known_form(
    request: Request, whose: type[LargeWork], *, text_bytes: int, file_bytes: int, room: Room, folder: Path
) -> FormData:
    """The fields and files of a form whose sender was found before.

    Args:
        whose: with what a large form takes turns.
        text_bytes: most that all names and texts may have together.
        file_bytes: most that is read of files, kept or not.
        room: asked as files grow, before anything of them is written.
        folder: where temporary files go.

    Raises:
        Problem: 400 for a malformed one, too many fields, or U+0000; 413; 503.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isdigit():
        raise Problem(MALFORMED, "A form has a Content-Length.")
    if type_of(request) != MULTIPART:
        body = await read_limited(request, text_bytes)
        return _checked(
            await run_large(request.app.state.context.caches, whose, len(body), _parse, body, MAX_FIELDS)
        )
    if int(declared) > text_bytes + file_bytes:
        raise Problem(TOO_LARGE, f"A form may have at most {text_bytes + file_bytes:,} bytes.")
    reading = _Multipart(request, text_bytes, room, folder)
    try:
        async with while_reading(request):
            return _checked(await reading.run())
    except BaseException:
        reading.close()
        raise


class _Part:
    """One part of a multipart body: a text, or a file on its way to disk."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.name = ""
        self.text = bytearray()
        self.file: FormFile | None = None


class _Multipart:
    """The state of the parser, which calls back for what it finds (RFC 7578)."""

    def __init__(self, request: Request, text_bytes: int, room: Room, folder: Path) -> None:
        self._request = request
        self._limit = text_bytes
        self._left = text_bytes
        self._room = room
        self._folder = folder
        self._items: list[tuple[str, str | UploadFile]] = []
        self._files: list[FormFile] = []
        self._texts = 0
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._unwritten: list[tuple[_Part, bytes]] = []

    async def run(self) -> FormData:
        _, options = parse_options_header(self._request.headers["content-type"])
        try:
            parser = MultipartParser(
                options.get(b"boundary", b""),
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._add,
                    "on_part_end": self._end,
                },
            )
            async for chunk in self._request.stream():
                parser.write(chunk)
                if self._unwritten:
                    await asyncio.to_thread(self._write)
            parser.finalize()
        except FormParserError as error:
            raise Problem(MALFORMED, f"This is no form: {error}.") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"{self._folder}: {error.strerror}") from error
            raise
        for file in self._files:
            await file.seek(0)
        return FormData(self._items)

    def close(self) -> None:
        for file in self._files:
            file.file.close()

    def _write(self) -> None:
        """Write what came, of files that are to be kept; in a thread."""
        unwritten, self._unwritten = self._unwritten, []
        for part, data in unwritten:
            assert part.file is not None
            if part.file.is_kept:
                part.file.file.write(data)

    # the parser's calls

    def _begin(self) -> None:
        self._part = _Part()
        self._header = (bytearray(), bytearray())

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _open(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        name = options.get(b"name")
        if name is None or len(name) > MAX_NAME_BYTES:
            raise Problem(MALFORMED, "Each part of a form has a name.")
        self._spend(len(name))
        part.name = name.decode("utf-8", "replace")
        if b"filename" not in options:
            self._texts += 1
            if self._texts > MAX_FIELDS:
                raise Problem(MALFORMED, f"A form has at most {MAX_FIELDS} fields.")
            return
        if len(self._files) == MAX_FILES:
            raise Problem(TOO_LARGE, f"A form has at most {MAX_FILES} files.")
        spool = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES, dir=str(self._folder))  # noqa: SIM115
        file_name = options[b"filename"].decode("utf-8", "replace")
        part.file = FormFile(file=spool, size=0, filename=file_name)  # type: ignore[arg-type]  # typed as BinaryIO
        self._files.append(part.file)

    def _add(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.file is None:
            self._spend(end - start)
            part.text += data[start:end]
            return
        more = end - start
        part.file.size = (part.file.size or 0) + more
        if not part.file.is_kept:
            return
        if self._room.take(part.name, part.file.size, more):
            self._unwritten.append((part, data[start:end]))
        else:
            part.file.is_kept = False
            part.file.file.seek(0)
            part.file.file.truncate()

    def _end(self) -> None:
        part = self._part
        self._items.append((part.name, part.file or part.text.decode("utf-8", "replace")))

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Problem(TOO_LARGE, f"The texts of a form may have at most {self._limit:,} bytes together.")
