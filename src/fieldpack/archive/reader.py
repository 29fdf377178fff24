"""`open_export`: read an archive where it is, from a ZIP, an extracted folder, or a link.

Nothing but the standard library, httpx and orjson is imported here; pandas, Polars and pyarrow are
loaded by the methods that return their tables.
"""

from __future__ import annotations

import os
import unicodedata
import weakref
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Collection as Collection_
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, Self, cast

import httpx
import orjson

from fieldpack.archive.lines import iter_blocks, iter_lines, parse_line
from fieldpack.archive.members import COLLECTION, RESPONSES
from fieldpack.archive.model import Collection, Instruction, Submission, UploadedFile
from fieldpack.archive.remote import RangeFile, make_http
from fieldpack.archive.shapes import read_collection, read_submission
from fieldpack.archive.source import FolderSource, Limits, Member, Source
from fieldpack.archive.zipsource import ZipSource
from fieldpack.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from fieldpack.archive.convert import Converted, Format
    from fieldpack.archive.extract import By, Extracted
    from fieldpack.archive.report.summary import Summary
    from fieldpack.archive.tables import Columns, Numbers, Several
    from fieldpack.archive.verify import Report

__all__ = ["Export", "LinkProvider", "open_export"]

Frame = Literal["pandas", "polars", "arrow"]


class ExportState(Protocol):
    """What is known of an export: its `status`, and its `url` once it is complete."""

    @property
    def status(self) -> str: ...

    @property
    def url(self) -> str | None: ...


class LinkProvider(Protocol):
    """What `open_export` needs of a client to open an export by its id."""

    def get_export(self, collection_id: str, export_id: str) -> ExportState:
        """The export's state."""
        ...


def open_export(
    source: str | os.PathLike[str] | BinaryIO | None = None,
    *,
    client: LinkProvider | None = None,
    collection_id: str | None = None,
    export_id: str | None = None,
    limits: Limits | None = None,
    http: httpx.Client | None = None,
) -> Export:
    """Open an archive for reading.

    Args:
        source: a `.zip`, an extracted folder, an http(s) link (read by ranges: the directory, then only the
            members asked for), or an open binary file that can seek, which isn't closed.
        client: with `collection_id` and `export_id` instead of a source: opens that export of a server, and
            asks for a fresh link whenever the one in use is refused.
        limits: bounds for untrusted archives.
        http: the httpx client to read a link with; it isn't closed. No token is added to its requests.

    Returns:
        The export; close it, or use it in a `with` block.

    Raises:
        ArchiveError: there is no such file, or it is not an archive that can be read.
        ApiError, TransportError: the link was refused, or the server can't be reached.
        UsageError: neither a source nor a client with both ids was given.
    """
    limits = limits or Limits()
    if source is None:
        if client is None or not collection_id or not export_id:
            raise UsageError(
                "Give open_export a file, a folder or a link, or client=, collection_id= and export_id=."
            )
        link = _make_link_source(client, collection_id, export_id)
        context = getattr(client, "ssl_context", None)  # a custom CA holds for the link as well
        if http is None and context is not None:
            return Export(_open_remote(link, limits, make_http(context), owned=True), limits)
        return Export(_open_remote(link, limits, http), limits)
    if hasattr(source, "read"):
        file = cast(BinaryIO, source)
        label = str(getattr(file, "name", "the file"))
        return Export(ZipSource(file, label, limits, owns_file=False), limits)
    text = os.fspath(source)
    if isinstance(text, str) and text.lower().startswith(("http://", "https://")):
        return Export(_open_remote(text, limits, http), limits)
    path = Path(text)
    if path.is_dir():
        return Export(FolderSource(path, limits), limits)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ArchiveError(f"{path} does not exist.") from None
    except OSError as error:
        raise ArchiveError(f"{path} can't be opened: {(error.strerror or str(error)).lower()}.") from error
    try:
        return Export(ZipSource(file, str(path), limits), limits)
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


def _make_link_source(client: LinkProvider, collection_id: str, export_id: str) -> Callable[[], str]:
    def get_link() -> str:
        state = client.get_export(collection_id, export_id)
        if not state.url:
            raise UsageError(f"The export {export_id} is not ready to be read: it is {state.status}.")
        return state.url

    return get_link


class Export:
    """An open archive.

    Metadata (`collection`, `instructions`) is read once, on first use; submissions and files are streamed
    from the archive each time they are asked for. Iterating over the export yields its submissions.
    """

    def __init__(self, source: Source, limits: Limits | None = None) -> None:
        self._source = source
        self._limits = limits or Limits()
        # `open_export(path).to_pandas()` needs no `with`: the file is closed when the export is gone.
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
        return f"<Export {self.label}>"

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
            found = self._by_canonical_name.get(unicodedata.normalize("NFC", path))
        return found

    @cached_property
    def _by_canonical_name(self) -> dict[str, Member | None]:
        """Members by their names in NFC; None where several share one."""
        by_name: dict[str, Member | None] = {}
        for name, member in self.members.items():
            key = unicodedata.normalize("NFC", name)
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

    def extract(
        self,
        folder: str | os.PathLike[str],
        *,
        by: By | None = None,
        submissions: Collection_[str] = (),
        instructions: Collection_[str] = (),
        types: Collection_[str] = (),
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Extracted:
        """Write the uploaded files to a folder, by submission, by question or flat; see
        `extract.extract_export`.

        Without `by` and without a selection, the whole archive is written as it is.
        """
        from fieldpack.archive.extract import Selection, extract_export

        selection = Selection(submissions, instructions, types)
        return extract_export(self, folder, by=by, selection=selection, force=force, progress=progress)

    def verify(self, *, contents: bool = True, progress: Callable[[int, int], None] | None = None) -> Report:
        """Check structure, bytes, counts and references; see `verify.verify_export`."""
        from fieldpack.archive.verify import verify_export

        return verify_export(self, contents=contents, progress=progress)

    # Tables. Each needs an extra: `pip install 'fieldpack[pandas]'` or `'fieldpack[polars]'`.

    def to_arrow(
        self,
        *,
        columns: Columns = "question",
        labels: bool = True,
        several: Several = "list",
        numbers: Numbers = "safe",
        root: str | os.PathLike[str] | None = None,
    ) -> pyarrow.Table:
        """A row per submission, a column per question, as a `pyarrow.Table`.

        Args:
            columns: name the columns by the question's text, its `id`, or a `slug`; unique in every case.
            labels: options by their labels, or (False) by their values.
            several: questions with several choices as one column of lists, as `onehot` columns, or `joined`
                by "; ", with `;` and `\\` in an option escaped by a backslash.
            numbers: `safe` turns a question that asks for a number into a number column when every answer is
                a plain number, and leaves it as text otherwise, so nothing typed is lost; `coerce` makes what
                is no number missing; `text` never converts.
            root: put before file paths; by default the extracted folder, and nothing for a ZIP or a link.

        Raises:
            ArchiveError: the archive is damaged; `member` and `line` say where.
            ConfigError: pyarrow is not installed.
        """
        from fieldpack.archive import tables

        options = tables.TableOptions(columns, labels, several, numbers, self._find_root(root))
        return tables.build_table(self, options)

    def to_pandas(
        self,
        *,
        columns: Columns = "question",
        labels: bool = True,
        several: Several = "list",
        numbers: Numbers = "safe",
        root: str | os.PathLike[str] | None = None,
    ) -> pandas.DataFrame:
        """A row per submission, a column per question, as a `pandas.DataFrame`; arguments as for `to_arrow`.

        Single choices are categories, several choices lists, times `datetime64[us, UTC]`.
        """
        from fieldpack.archive import frames

        return frames.arrow_to_pandas(
            self.to_arrow(columns=columns, labels=labels, several=several, numbers=numbers, root=root)
        )

    def to_polars(
        self,
        *,
        columns: Columns = "question",
        labels: bool = True,
        several: Several = "list",
        numbers: Numbers = "safe",
        root: str | os.PathLike[str] | None = None,
    ) -> polars.DataFrame:
        """A row per submission, a column per question, as a `polars.DataFrame`; arguments as for
        `to_arrow`."""
        from fieldpack.archive import frames

        return frames.arrow_to_polars(
            self.to_arrow(columns=columns, labels=labels, several=several, numbers=numbers, root=root)
        )

    def answers(self, frame: Frame = "pandas") -> Any:
        """The long form, a row per answer: one for each chosen option and each uploaded file.

        Columns: `submission_id, participant_id, status, completed_at, instruction_id, question, type, page,
        item, value, label, unit, explanation`. `value` is text as recorded (a file's path); `item` counts
        from 1.
        """
        from fieldpack.archive import frames, longform

        return frames.convert_frame(longform.build_answers(self), frame)

    def files(self, frame: Frame = "pandas", *, root: str | os.PathLike[str] | None = None) -> Any:
        """A row per uploaded file.

        Columns: `submission_id, participant_id, completed_at, instruction_id, question, path, file_name,
        content_type, size_bytes, sha256, present`; `present` is whether the archive holds the file.
        """
        from fieldpack.archive import frames, longform

        return frames.convert_frame(longform.build_files(self, self._find_root(root)), frame)

    def to_csv(
        self,
        path: str | os.PathLike[str],
        *,
        columns: Columns = "question",
        labels: bool = True,
        several: Literal["onehot", "joined"] = "onehot",
        numbers: Numbers = "safe",
        bom: bool = False,
        force: bool = False,
    ) -> Converted:
        """Write the wide table as CSV that is safe to open in a spreadsheet; see `convert.csv.write_csv`."""
        return self.convert(
            "csv",
            path,
            columns=columns,
            labels=labels,
            several=several,
            numbers=numbers,
            bom=bom,
            force=force,
        )

    def convert(self, to: Format, path: str | os.PathLike[str], **options: Any) -> Converted:
        """Write the archive as `csv`, `parquet`, `xlsx`, `sav`, `dta` or `media`; see
        `convert.convert_export`."""
        from fieldpack.archive.convert import convert_export

        return convert_export(self, to, path, **options)

    def codebook(self, style: Literal["md", "html"] = "md") -> str:
        """Every question with its options, rules and units, as Markdown or as an HTML page."""
        from fieldpack.archive.codebook import render_codebook

        return render_codebook(self.collection, f".{style}")

    def summarize(self) -> Summary:
        """Counts, period, and each question's distribution; what `fieldpack inspect` shows."""
        from fieldpack.archive.report.summary import summarize

        return summarize(self)

    def _find_root(self, root: str | os.PathLike[str] | None) -> str | None:
        if root is not None:
            return os.fspath(root)
        return str(self.root) if self.root is not None else None
