"""Folders of images, audio and video with `metadata.jsonl`, as the Hugging Face `datasets` loaders read
them."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fieldpack.archive.members import is_member
from fieldpack.archive.records import format_time
from fieldpack.convert.output import Converted, explain_numbers, write_converted
from fieldpack.errors import FieldpackError
from fieldpack.filetypes import MEDIA, find_medium
from fieldpack.reading.extract import extract_export
from fieldpack.reading.model import UploadedFile
from fieldpack.tables.wide import Columns, Numbers, TableOptions, build_columns, read_raw

# isort: split
# After `tables`, which says what to install when it is missing.
import pyarrow as pa

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["write_media"]

# The loaders take a file called `test.png` for all of a split named test, and then find no metadata for it
# ("Structure your repository", File names). An x before the word keeps it from being one.
_SPLIT = re.compile(
    r"(^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?=[-._ 0-9])"
)
# What the loaders give a meaning of its own: variables, the home folder, patterns, places in archives and links, and
# what begins like a hidden file (fsspec, `expanduser`; datasets, `resolve_pattern`). Letters of every script stay, with
# the marks that they carry.
_SPECIAL = re.compile(r"[^\w .,()+=@-]")
_HIDDEN = re.compile(r"^(\.|__)")
_OWN = ("file_name", "original_name", "instruction_id", "question", "content_type", "size_bytes", "sha256")


def write_media(
    export: OpenArchive,
    folder: Path,
    *,
    columns: Columns = "slug",
    labels: bool = True,
    numbers: Numbers = "safe",
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Converted:
    """Write `image/`, `audio/` and `video/`, those there is something for, each with its `metadata.jsonl`.

    A line describes one file: `file_name` (what the loaders look for), `original_name`, `instruction_id`,
    `question`, `content_type`, `size_bytes`, `sha256`, then the
    submission's own fields and its answers to the other questions. Read with
    `datasets.load_dataset("imagefolder", data_dir="OUT/image")`, or `audiofolder`, `videofolder`. Files that are
    none of the three, and files that the archive lacks, are counted in a warning.
    """
    if folder.is_dir() and any(folder.iterdir()) and force:
        for kind in MEDIA:
            shutil.rmtree(folder / kind, ignore_errors=True)
    table_columns = build_columns(read_raw(export), TableOptions(columns, labels, numbers=numbers))
    table = pa.table([column.data for column in table_columns], names=[c.name for c in table_columns])
    titles = {instruction.id: instruction.title for instruction in export.instructions}
    held, warnings = _choose(export)
    if not held:
        raise FieldpackError(f"{export.label} holds no image, audio or video file.")
    converted = Converted(
        folder, len(held), table.num_columns, [*warnings, *explain_numbers(table_columns, numbers)]
    )
    rows = {row["submission_id"]: row for row in _iter_rows(table)}
    for kind in MEDIA:
        mine = [file for file, its_kind in held if its_kind == kind]
        if not mine:
            continue
        target = folder / kind
        names = _extract(export, mine, target, progress)
        lines = [
            _describe(file, names[file.path], titles, rows[file.submission_id], converted) for file in mine
        ]
        with write_converted(target / "metadata.jsonl") as draft:
            draft.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return converted


def _choose(export: OpenArchive) -> tuple[list[tuple[UploadedFile, str]], list[str]]:
    """The files that go into a folder, with which; and a sentence about those that go into none."""
    held: list[tuple[UploadedFile, str]] = []
    others: Counter[str] = Counter()
    missing = 0
    for file in export.iter_files():
        kind = find_medium(file.path, file.content_type)
        member = export.find_member(file.path)
        if member is None or not is_member(member.name):
            missing += 1
        elif kind is None:
            others[file.content_type or "no type"] += 1
        else:
            held.append((file, kind))
    warnings = []
    if others:
        count = sum(others.values())
        types = ", ".join(f"{number:,} {content_type}" for content_type, number in others.most_common(5))
        more = ", …" if len(others) > 5 else ""
        what = "file is" if count == 1 else "files are"
        warnings.append(
            f"{count:,} {what} neither image, audio nor video and left out ({types}{more}); "
            "`fieldpack extract` writes them."
        )
    if missing:
        verb = "file that an answer names is" if missing == 1 else "files that answers name are"
        warnings.append(f"{missing:,} {verb} missing.")
    return held, warnings


def _extract(
    export: OpenArchive, files: list[UploadedFile], target: Path, progress: Callable[[int, int], None] | None
) -> dict[str, str]:
    """Write the files flat; give each one's name there by its path in the archive."""
    done = extract_export(
        export, target, by="flat", files=files, rename=_make_plain, force=True, progress=progress
    )
    return dict(zip([file.path for file in files], [path.name for path in done.paths], strict=True))


def _make_plain(name: str) -> str:
    """A name without the characters and beginnings that the loaders give a meaning."""
    plain = _SPECIAL.sub(lambda found: found[0] if unicodedata.category(found[0])[0] == "M" else "_", name)
    name = _HIDDEN.sub("_x", plain)
    return _SPLIT.sub(r"\1x\2", name)


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
