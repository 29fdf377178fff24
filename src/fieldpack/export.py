"""`open_export`: an archive where it is, from a ZIP, an extracted folder, or a link, and all that can be made of it.

Nothing but the standard library, httpx and orjson is imported here; pandas, Polars and pyarrow are
loaded by the methods that return their tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Collection as Collection_
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

import httpx

from fieldpack.errors import UsageError
from fieldpack.reading.reader import OpenArchive, open_source
from fieldpack.reading.remote import make_http
from fieldpack.reading.source import Limits

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from fieldpack.convert.conversion import Format
    from fieldpack.convert.output import Converted
    from fieldpack.reading.extract import By, Extracted
    from fieldpack.reading.verify import Report
    from fieldpack.report.summary import Summary
    from fieldpack.tables.wide import Columns, Numbers, Several

__all__ = ["Export", "LinkProvider", "open_export"]

Frame = Literal["pandas", "polars", "arrow"]


class ExportState(Protocol):
    """What is known of an export: its `status`, and its `url` once it is complete."""

    @property
    def status(self) -> str:
        """`generating`, `complete` or `failed`."""

    @property
    def url(self) -> str | None:
        """The download link of a complete one."""


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
    if source is not None:
        return Export(open_source(source, limits, http), limits)
    if client is None or not collection_id or not export_id:
        raise UsageError(
            "Give open_export a file, a folder or a link, or client=, collection_id= and export_id=."
        )
    link = _make_link_source(client, collection_id, export_id)
    context = getattr(client, "ssl_context", None)  # a custom CA holds for the link as well
    if http is None and context is not None:
        return Export(open_source(link, limits, make_http(context), owns_http=True), limits)
    return Export(open_source(link, limits, http), limits)


def _make_link_source(client: LinkProvider, collection_id: str, export_id: str) -> Callable[[], str]:
    def get_link() -> str:
        state = client.get_export(collection_id, export_id)
        if not state.url:
            raise UsageError(f"The export {export_id} is not ready to be read: it is {state.status}.")
        return state.url

    return get_link


class Export(OpenArchive):
    """An open archive, and its tables, files, reports and conversions."""

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
        from fieldpack.reading.extract import Selection, extract_export

        selection = Selection(submissions, instructions, types)
        return extract_export(self, folder, by=by, selection=selection, force=force, progress=progress)

    def verify(self, *, contents: bool = True, progress: Callable[[int, int], None] | None = None) -> Report:
        """Check structure, bytes, counts and references; see `verify.verify_export`."""
        from fieldpack.reading.verify import verify_export

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
        from fieldpack.tables import wide as tables

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
        from fieldpack.tables import frames

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
        from fieldpack.tables import frames

        return frames.arrow_to_polars(
            self.to_arrow(columns=columns, labels=labels, several=several, numbers=numbers, root=root)
        )

    def answers(self, frame: Frame = "pandas") -> Any:
        """The long form, a row per answer: one for each chosen option and each uploaded file.

        Columns: `submission_id, participant_id, status, completed_at, instruction_id, question, type, page,
        item, value, label, unit, explanation`. `value` is text as recorded (a file's path); `item` counts
        from 1.
        """
        from fieldpack.tables import frames
        from fieldpack.tables import long as longform

        return frames.convert_frame(longform.build_answers(self), frame)

    def files(self, frame: Frame = "pandas", *, root: str | os.PathLike[str] | None = None) -> Any:
        """A row per uploaded file.

        Columns: `submission_id, participant_id, completed_at, instruction_id, question, path, file_name,
        content_type, size_bytes, sha256, present`; `present` is whether the archive holds the file.
        """
        from fieldpack.tables import frames
        from fieldpack.tables import long as longform

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
        from fieldpack.convert.conversion import convert_export

        return convert_export(self, to, path, **options)

    def codebook(self, style: Literal["md", "html"] = "md") -> str:
        """Every question with its options, rules and units, as Markdown or as an HTML page."""
        from fieldpack.tables.codebook import render_codebook

        return render_codebook(self.collection, f".{style}")

    def summarize(self) -> Summary:
        """Counts, period, and each question's distribution; what `fieldpack inspect` shows."""
        from fieldpack.report.gathering import summarize

        return summarize(self)

    def _find_root(self, root: str | os.PathLike[str] | None) -> str | None:
        if root is not None:
            return os.fspath(root)
        return str(self.root) if self.root is not None else None
