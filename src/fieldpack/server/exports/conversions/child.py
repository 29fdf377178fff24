"""The program that converts one archive: `python -I -m …conversions.child`, in a folder of its own that it writes to.

It limits itself, converts an archive of one line to have everything imported, gives up all else, and only then looks at
the archive. That is no file: the child asks for ranges of it on a socket, 16 bytes for an offset and a length, and is
sent exactly these bytes. It answers one line of JSON on standard output, `{"rows", "columns", "warnings"}`, or
`{"refused"}` with a sentence, and exits with 3.
"""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from fieldpack.errors import FieldpackError
from fieldpack.export import Export, open_export
from fieldpack.reading.source import NO_LIMITS
from fieldpack.server.machine.sandbox import close_everything, limit_resources

__all__ = ["ASKED", "OUTPUT"]

ASKED = struct.Struct("=QQ")  # what is asked for on the socket: offset and length, in bytes
OUTPUT = "converted"
REFUSED = 3
CHUNK_BYTES = 1 << 20
ZONES = "/usr/share/zoneinfo"  # which Arrow writes times with, also those in UTC
# a PNG of one dot
_DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class RangedArchive(io.RawIOBase):
    """An archive whose bytes come over a socket."""

    def __init__(self, descriptor: int, size_bytes: int, name: str) -> None:
        self._descriptor = descriptor
        self._size = size_bytes
        self._at = 0
        self.name = name

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for.

        Raises:
            OSError: the server has stopped.
        """
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._at))
        if not length:
            return 0
        os.write(self._descriptor, ASKED.pack(self._at, length))
        got = 0
        while got < length:
            data = os.read(self._descriptor, length - got)
            if not data:
                raise OSError("The archive can't be read any more.")
            view[got : got + len(data)] = data
            got += len(data)
        self._at += length
        return length


def main(arguments: list[str]) -> int:
    """Convert.

    Args:
        arguments: the format, the archive's name and size, the socket's descriptor, the most bytes of memory, the most
            seconds, the most bytes of a file.
    """
    wanted, name, size, descriptor, memory, seconds, file_bytes = arguments
    limit_resources(int(memory), int(seconds), file_bytes=int(file_bytes))
    _try_out(wanted)
    close_everything(readable=(ZONES,), workplace=".")
    archive = io.BufferedReader(RangedArchive(int(descriptor), int(size), name), CHUNK_BYTES)
    code = 0
    try:
        answer: dict[str, Any] = _convert(cast(BinaryIO, archive), wanted)
    except FieldpackError as error:
        answer, code = {"refused": str(error)}, REFUSED
    except MemoryError:
        answer, code = {"refused": "memory"}, REFUSED
    except Exception as error:  # its words may be an answer's
        name = type(error).__name__
        answer, code = {"refused": f"Converting met an unexpected {name}. Tell the operator."}, REFUSED
    with os.fdopen(1, "wb") as out:
        out.write(json.dumps(answer).encode())
    return code


def _convert(archive: BinaryIO, wanted: str) -> dict[str, Any]:
    with open_export(archive, limits=NO_LIMITS) as export:
        if wanted in ("codebook", "report"):
            Path(OUTPUT).write_text(_render(export, wanted), encoding="utf-8")
            return {"rows": None, "columns": None, "warnings": []}
        done = export.convert(cast(Any, wanted), OUTPUT)
        return {"rows": done.rows, "columns": done.columns, "warnings": done.warnings}


def _render(export: Export, wanted: str) -> str:
    if wanted == "codebook":
        return export.codebook("html")
    from fieldpack.report.page import render_page

    return render_page(export.summarize(), export)


def _try_out(wanted: str) -> None:
    """Convert an archive with a question of each kind, for what a library imports or opens only then."""
    if wanted == "report":
        from PIL import Image

        Image.init()
    options = [{"label": "A", "value": "a"}, {"label": "B", "value": "b"}]
    picture = {
        "path": "files/s_a.png",
        "file_name": "a.png",
        "content_type": "image/png",
        "size_bytes": len(_DOT),
        "sha256": "",
    }
    asked: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "free_text": ({}, {"value": "Some words."}),
        "number": ({"type": "free_text", "validation": {"type": "number"}}, {"value": "1"}),
        "numbers": ({"type": "free_text", "validation": {"type": "number"}}, {"value": "1 or 2"}),
        "multiple_choice": ({"options": options, "answer_limit": 2}, {"value": ["a"]}),
        "multiple_choice_with_free_text": (
            {"options": options, "answer_limit": 1},
            {"value": [{"value": "a", "explanation": "b"}]},
        ),
        "free_text_with_unit": ({"unit_options": options}, {"value": "1", "unit": "a"}),
        "file_upload": ({}, {"value": [picture]}),
    }
    described = {
        "id": "c",
        "name": "c",
        "instructions": [
            {"id": id, "type": id, "description": id, "page": 0, "order": at, "retired": False, **body}
            for at, (id, (body, _)) in enumerate(asked.items())
        ],
    }
    line = {
        "submission_id": "s",
        "participant_id": "p",
        "study_id": "t",
        "status": "APPROVED",
        "started_at": "2026-01-01T00:00:00Z",
        "responses": {id: {"type": body.get("type", id), **answer} for id, (body, answer) in asked.items()},
    }
    lines = [{**line, "completed_at": f"2026-01-0{day}T00:00:00Z"} for day in (2, 3)]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("responses.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        archive.writestr("collection.json", json.dumps(described))
        archive.writestr("files/s_a.png", _DOT)
    _convert(made, wanted)
    Path(OUTPUT).unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
