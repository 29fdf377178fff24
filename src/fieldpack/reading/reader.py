"""An archive that is open: its metadata, and its submissions and files one after another.

Nothing but the standard library, httpx and orjson is imported here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

import httpx
import orjson

from fieldpack.archive.members import COLLECTION, RESPONSES
from fieldpack.errors import ArchiveError, UsageError
from fieldpack.reading.lines import iter_blocks, iter_lines, parse_line
from fieldpack.reading.model import Collection, Instruction, Submission, UploadedFile
from fieldpack.reading.remote import RangeFile
from fieldpack.reading.shapes import read_collection, read_submission
from fieldpack.reading.source import FolderSource, Limits, Member, Source
from fieldpack.reading.zipsource import ZipSource
from fieldpack.text import normalise

__all__ = ["OpenArchive", "open_source"]


def open_source(
    source: str | os.PathLike[str] | BinaryIO | Callable[[], str],
    limits: Limits,
    http: httpx.Client | None = None,
    *,
    owns_http: bool = False,
) -> Source:
    """What an archive's members are read from.

    Args:
        source: a `.zip`, an extracted folder, a link, what gives a fresh link, or an open binary file that can seek
            and isn't closed.
        limits: bounds for untrusted archives.
        http: the httpx client to read a link with.
        owns_http: whether `http` is closed with the source.

    Raises:
        ArchiveError: there is no such file, or it is not an archive that can be read.
        ApiError, TransportError: the link was refused, or the server can't be reached.
    """
    if callable(source):
        return _open_remote(source, limits, http, owned=owns_http)
    if hasattr(source, "read"):
        file = cast(BinaryIO, source)
        label = str(getattr(file, "name", "the file"))
        return ZipSource(file, label, limits, owns_file=False)
    text = os.fspath(source)
    if isinstance(text, str) and text.lower().startswith(("http://", "https://")):
        return _open_remote(text, limits, http, owned=owns_http)
    path = Path(text)
    if path.is_dir():
        return FolderSource(path, limits)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ArchiveError(f"{path} does not exist.") from None
    except OSError as error:
        raise ArchiveError(f"{path} can't be opened: {(error.strerror or str(error)).lower()}.") from error
    try:
        return ZipSource(file, str(path), limits)
    except BaseException:
        file.close()
        raise


def _open_remote(
    link: str | Callable[[], str], limits: Limits, http: httpx.Client | None, *, owned: bool = False
) -> ZipSource:
    file = RangeFile(link, client=http, owns_client=owned)
    try:
        return ZipSource(cast(BinaryIO, file), file.label, limits)
    except BaseException:
        file.close()
        raise


class OpenArchive:
    """An open archive.

    Metadata (`collection`, `instructions`) is read once, on first use; submissions and files are streamed
    from the archive each time they are asked for. Iterating over it yields its submissions.
    """

    def __init__(self, source: Source, limits: Limits | None = None) -> None:
        self._source = source
        self._limits = limits or Limits()
        # `open_export(path).to_pandas()` needs no `with`: the file is closed when the export is garbage-collected.
        self._finalizer = weakref.finalize(self, source.close)
        members = self.members
        if RESPONSES not in members and COLLECTION not in members:
            self.close()
            raise ArchiveError(
                f"{source.label} is not an export: it holds neither {RESPONSES} nor {COLLECTION}.",
                member=RESPONSES,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Submission]:
        return self.iter_submissions()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"

    def close(self) -> None:
        """Close what was opened. Tables and objects already made stay usable."""
        self._finalizer()

    @property
    def label(self) -> str:
        """Where this was opened from, without any secret of a link."""
        return self._source.label

    @property
    def root(self) -> Path | None:
        """The folder the archive was extracted to, or None for a ZIP or a link."""
        return self._source.root

    @property
    def source(self) -> Source:
        """What the members are read from."""
        return self._source

    @property
    def limits(self) -> Limits:
        """The bounds that it is read with."""
        return self._limits

    @cached_property
    def members(self) -> Mapping[str, Member]:
        """Every member by name, as the directory lists them."""
        return self._source.members()

    def find_member(self, path: str) -> Member | None:
        """The member of this name; else the only one whose name is canonically equivalent.

        Systems that store names decomposed (é as e and an accent) give them back so, in folders and in ZIPs.
        """
        found = self.members.get(path)
        if found is None and not path.isascii():
            found = self._by_canonical_name.get(normalise(path))
        return found

    @cached_property
    def _by_canonical_name(self) -> dict[str, Member | None]:
        """Members by their names in NFC; None where several share one."""
        by_name: dict[str, Member | None] = {}
        for name, member in self.members.items():
            key = normalise(name)
            by_name[key] = None if key in by_name else member
        return by_name

    @cached_property
    def collection(self) -> Collection:
        """`collection.json`.

        Raises:
            ArchiveError: it is missing, or not what it should be.
        """
        if COLLECTION not in self.members:
            raise ArchiveError(f"{self.label} has no {COLLECTION}.", member=COLLECTION)
        if self.members[COLLECTION].size_bytes > self._limits.metadata_bytes:
            raise ArchiveError(f"{self.label}: {COLLECTION} is too large to be read.", member=COLLECTION)
        with self._source.open(COLLECTION) as file:
            data = file.read(self._limits.metadata_bytes + 1)
        try:
            return read_collection(orjson.loads(data.removeprefix(b"\xef\xbb\xbf")))
        except orjson.JSONDecodeError as error:
            line = data.count(b"\n", 0, error.pos) + 1
            raise ArchiveError(
                f"{self.label}: {COLLECTION} line {line} is not JSON in UTF-8 ({error.msg}).",
                member=COLLECTION,
                line=line,
            ) from error
        except ValueError as error:
            raise ArchiveError(
                f"{self.label}: {COLLECTION} can't be read: {error}.", member=COLLECTION
            ) from error

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The collection's instructions in their order; none when the archive has no `collection.json`."""
        return self.collection.instructions if COLLECTION in self.members else ()

    def get_instruction(self, wanted: str) -> Instruction:
        """The instruction with this id, or with this question text. Raises `UsageError`."""
        for instruction in self.instructions:
            if instruction.id == wanted:
                return instruction
        found = [i for i in self.instructions if i.title.casefold() == wanted.strip().casefold()]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"Several questions read {wanted!r}; name one by its id: {', '.join(i.id for i in found)}."
            )
        raise UsageError(f"There is no question {wanted!r} in this archive.")

    def iter_submissions(self) -> Iterator[Submission]:
        """Yield every submission in the archive's order, in constant memory.

        Raises:
            ArchiveError: a line can't be read; `line` says which.
        """
        instructions = {instruction.id: instruction for instruction in self.instructions}
        for first, block in self.iter_response_blocks(1 << 20):
            for number, line in iter_lines(block, first):
                data = parse_line(line, number, RESPONSES)
                try:
                    yield read_submission(data, instructions)
                except ValueError as error:
                    raise ArchiveError(
                        f"{RESPONSES} line {number} can't be read: {error}.", member=RESPONSES, line=number
                    ) from error

    def iter_response_blocks(self, block_bytes: int = 4 << 20) -> Iterator[tuple[int, bytes]]:
        """Yield `(number of the first line, whole lines)` of `responses.jsonl`."""
        if RESPONSES not in self.members:
            raise ArchiveError(f"{self.label} has no {RESPONSES}.", member=RESPONSES)
        with self._source.open(RESPONSES) as file:
            yield from iter_blocks(
                file, RESPONSES, block_bytes=block_bytes, line_bytes=self._limits.line_bytes
            )

    def iter_files(self) -> Iterator[UploadedFile]:
        """Yield every uploaded file that a submission names."""
        for submission in self.iter_submissions():
            yield from submission.files

    def open_file(self, file: str | UploadedFile) -> BinaryIO:
        """Open an uploaded file, or any member, for reading.

        Raises:
            ArchiveError: there is no such member, or it must not be read (encrypted, a link, a bomb). A CRC
                that doesn't match is raised when the end is read.
        """
        path = file if isinstance(file, str) else file.path
        member = self.find_member(path)
        return self._source.open(path if member is None else member.name)
