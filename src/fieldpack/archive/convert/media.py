"""Folders of images, audio and video with `metadata.jsonl`, as the Hugging Face `datasets` loaders read
them."""

from __future__ import annotations

import datetime as dt
import mimetypes
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fieldpack.archive.convert import Converted
from fieldpack.archive.extract import extract_export
from fieldpack.archive.model import UploadedFile
from fieldpack.archive.records import format_time
from fieldpack.archive.tables import Columns, TableOptions, build_table
from fieldpack.errors import FieldpackError, UsageError

if TYPE_CHECKING:
    from fieldpack.archive.reader import Export

__all__ = ["write_media"]

_KINDS = ("image", "audio", "video")
# The loaders take a file called `test.png` for all of a split named test, and then find no metadata for it
# ("Structure your repository", File names). An x before the word keeps it from being one.
_SPLIT = re.compile(
    r"(^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?=[-._ 0-9])"
)
_OWN = ("file_name", "original_name", "instruction_id", "question", "content_type", "size_bytes", "sha256")


def write_media(
    export: Export,
    folder: Path,
    *,
    columns: Columns = "slug",
    labels: bool = True,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Converted:
    """Write `image/`, `audio/` and `video/`, those there is something for, each with its `metadata.jsonl`.

    A line describes one file: `file_name` (what the loaders look for), `original_name`, `instruction_id`,
    `question`, `content_type`, `size_bytes`, `sha256`, then the
    submission's own fields and its answers to the other questions. Read with
    `datasets.load_dataset("imagefolder", data_dir="OUT/image")`, or `audiofolder`, `videofolder`.
    """
    if folder.is_dir() and any(folder.iterdir()) and force:
        for kind in _KINDS:
            shutil.rmtree(folder / kind, ignore_errors=True)
    table = build_table(export, TableOptions(columns=columns, labels=labels))
    titles = {instruction.id: instruction.title for instruction in export.instructions}
    chosen = [(file, found) for file in export.iter_files() if (found := _find_kind(file)) is not None]
    held = [(file, kind) for file, kind in chosen if file.path in export.members]
    if not held:
        raise UsageError(f"{export.label} holds no image, audio or video file.")
    converted = Converted(folder, len(held), table.num_columns)
    if len(held) < len(chosen):
        converted.warnings.append(f"{len(chosen) - len(held):,} files that answers name are missing.")
    rows = {row["submission_id"]: row for row in _iter_rows(table)}
    for kind in _KINDS:
        mine = [file for file, its_kind in held if its_kind == kind]
        if not mine:
            continue
        target = folder / kind
        names = _extract(export, mine, target, progress)
        lines = [
            _describe(file, names[file.path], titles, rows[file.submission_id], converted) for file in mine
        ]
        try:
            part = target / "metadata.jsonl.part"
            part.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
            os.replace(part, target / "metadata.jsonl")
        except OSError as error:
            raise FieldpackError(
                f"{target} can't be written: {(error.strerror or str(error)).lower()}."
            ) from error
    return converted


def _extract(
    export: Export, files: list[UploadedFile], target: Path, progress: Callable[[int, int], None] | None
) -> dict[str, str]:
    """Write the files flat; give each one's name there by its path in the archive."""
    done = extract_export(
        export, target, by="flat", files=files, rename=_hide_splits, force=True, progress=progress
    )
    return dict(zip([file.path for file in files], [path.name for path in done.paths], strict=True))


def _hide_splits(name: str) -> str:
    return _SPLIT.sub(r"\1x\2", name)


def _find_kind(file: UploadedFile) -> str | None:
    content_type = file.content_type or mimetypes.guess_type(file.path)[0] or ""
    kind = content_type.partition("/")[0]
    return kind if kind in _KINDS else None


def _describe(
    file: UploadedFile, name: str, titles: dict[str, str], row: dict[str, Any], converted: Converted
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "file_name": name,
        "original_name": file.file_name,
        "instruction_id": file.instruction_id,
        "question": titles.get(file.instruction_id, file.instruction_id),
        "content_type": file.content_type,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
    }
    for key, value in row.items():
        line[f"answer_{key}" if key in _OWN else key] = value
    return line


def _iter_rows(table: Any) -> Any:
    for row in table.to_pylist():
        yield {
            key: format_time(value) if isinstance(value, dt.datetime) else value for key, value in row.items()
        }
