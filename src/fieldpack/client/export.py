"""From a collection to its archive on this disk: request an export, wait for it, download and check it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from fieldpack.client.download.archive import check_target, download_archive
from fieldpack.client.download.partial import find_partial
from fieldpack.client.problems import PASSING
from fieldpack.client.progress import OnProgress, Progress, show_progress
from fieldpack.errors import (
    ApiError,
    DownloadError,
    ExportFailed,
    ExportNotReady,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    import ssl

__all__ = [
    "ExportRecord",
    "begin_export",
    "collect_filter",
    "export_collection",
    "name_moment",
    "split_filter",
    "wait_export",
]

_POLL_EVERY = 3.0
_OF_QUERIES = ("study_id", "from", "to", "history")
_MOST_SILENCE = 300.0  # seconds without an answer after which the wait ends with the error
_LONGEST_TURN = 300.0  # seconds; a longer `Retry-After` is not waited for, but raised as the error


@dataclass(frozen=True)
class ExportRecord:
    """One export as the server describes it.

    Attributes:
        status: `generating`, `complete` or `failed`.
        export_id: None when the server does not say (the hosted service does not, of a complete one).
        url: download link, only of a complete one; no token is needed for it, and none must be sent.
        expires_at: until when the link is valid.
        created_at, snapshot_at, completed_at: aware UTC, where the server says.
        submission_count, file_count, size_bytes: of its archive.
        progress: 0 … 1 while generating.
        waiting_reason: the server's sentence, of a generating one whose storage does not answer.
        failure_reason: the server's sentence, of a failed one.
        filter: the filter it was requested with (`study_id`, `from`, `to`, and what the body had); empty without one.
        raw: the answer as it came, unknown fields included.
        each_is_new: whether the server makes another export for each request, as the answer to one that is complete
            shows; None where nothing does.
    """

    status: str
    export_id: str | None = None
    url: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    snapshot_at: datetime | None = None
    completed_at: datetime | None = None
    submission_count: int | None = None
    file_count: int | None = None
    size_bytes: int | None = None
    progress: float | None = None
    waiting_reason: str | None = None
    failure_reason: str | None = None
    filter: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    each_is_new: bool | None = None

    @classmethod
    def from_answer(cls, body: Any) -> ExportRecord:
        """Read the server's JSON.

        Raises:
            TransportError: it is not an export.
        """
        if not isinstance(body, dict) or not isinstance(body.get("status"), str):
            raise TransportError("The answer is not an export: is PROLIFIC_URL the address of the API?")
        return cls(
            status=body["status"],
            export_id=_find(body, "export_id", str),
            url=_find(body, "url", str),
            expires_at=_find_moment(body, "expires_at"),
            created_at=_find_moment(body, "created_at"),
            snapshot_at=_find_moment(body, "snapshot_at"),
            completed_at=_find_moment(body, "completed_at"),
            submission_count=_find(body, "submission_count", int),
            file_count=_find(body, "file_count", int),
            size_bytes=_find(body, "size_bytes", int),
            progress=_find(body, "progress", (int, float)),
            waiting_reason=_find(body, "waiting_reason", str),
            failure_reason=_find(body, "failure_reason", str),
            filter=_find(body, "filter", dict) or {},
            raw=body,
        )


class ExportRoutes(Protocol):
    """What this module needs of a client: its address, and the routes of exports."""

    @property
    def base_url(self) -> str:
        """The server's address, without `/api/v1`."""

    @property
    def timeout(self) -> float:
        """Seconds without a byte after which a connection counts as broken."""

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Which certificates are trusted."""

    def get_export(self, collection_id: str, export_id: str, *, wait: int | None = None) -> ExportRecord:
        """One export; the server may hold its answer for `wait` seconds."""

    def _post_export(
        self, collection_id: str, narrowed: dict[str, Any], *, wait: int | None = None, waits: bool = True
    ) -> ExportRecord: ...


def collect_filter(
    study_id: str | None,
    from_: datetime | str | None,
    to: datetime | str | None,
    filter: Mapping[str, Any] | None = None,
    *,
    history: bool = False,
) -> dict[str, Any]:
    """What an export is to hold; only what was given.

    Args:
        study_id, from_, to: what a query can say.
        history: with what answers were before they were corrected.
        filter: what goes in the body, by the names of the API.

    Raises:
        UsageError: a time is not one.
    """
    wanted = {
        "study_id": study_id or None,
        "from": _write_moment(from_),
        "to": _write_moment(to),
        "history": "true" if history else None,
    }
    return {name: value for name, value in {**(filter or {}), **wanted}.items() if value is not None}


def split_filter(narrowed: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """What of it goes into the query, where every server understands it, and what into the body."""
    params = {name: value for name, value in narrowed.items() if name in _OF_QUERIES}
    return params, {name: value for name, value in narrowed.items() if name not in _OF_QUERIES}


def begin_export(
    client: ExportRoutes,
    collection_id: str,
    narrowed: dict[str, Any],
    *,
    hold: int = 3,
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
) -> ExportRecord:
    """Request an export; while the server answers 429, because others are generating, wait and try again.

    Args:
        hold: seconds for which the server may hold its answer until the export is complete.

    Raises:
        ExportNotReady: `timeout` seconds were not enough.
        ApiError: the server refused, or its `Retry-After` is longer than five minutes.
    """
    started = time.monotonic()
    while True:
        try:
            return client._post_export(collection_id, narrowed, wait=hold, waits=False)
        except ApiError as error:
            if error.status == 409:
                raise _explain_limit(error, collection_id) from error
            wait = max(_POLL_EVERY, error.retry_after or 0.0)
            if error.status != 429 or wait > _LONGEST_TURN:
                raise
            if timeout is not None and time.monotonic() - started + wait > timeout:
                raise ExportNotReady(
                    f"The export of {collection_id} could not be begun within {timeout:.0f} s, because the server makes"
                    " as many others as it may: run it again later."
                ) from error
        if on_progress is not None:
            on_progress(Progress("waiting"))
        time.sleep(wait)


def _explain_limit(error: ApiError, collection_id: str) -> ApiError:
    """A server that keeps so many exports and no more: which command frees a slot."""
    return ApiError(
        f"{str(error).rstrip('.')}. `fieldpack collection export list {collection_id}` shows them, and"
        f" `fieldpack collection export delete {collection_id} EXPORT_ID` frees a slot;"
        f" `fieldpack collection export download {collection_id} EXPORT_ID` brings one that is there.",
        status=error.status,
        error_code=error.error_code,
        detail=error.detail,
    )


def wait_export(
    client: ExportRoutes,
    collection_id: str,
    export: ExportRecord,
    *,
    narrowed: dict[str, Any],
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
) -> ExportRecord:
    """Poll until `export` is complete; return it with a fresh link.

    Raises:
        ExportFailed: it ended as failed.
        ExportNotReady: `timeout` seconds were not enough.
        ApiError, TransportError: the server refused, or did not answer for five minutes.
    """
    tell = on_progress or (lambda progress: None)
    started = last_answer = time.monotonic()
    while export.status == "generating":
        tell(Progress("generating", fraction=export.progress, waiting=export.waiting_reason))
        asked = time.monotonic()
        if timeout is not None and asked - started >= timeout:
            raise ExportNotReady(
                f"The export of {collection_id} is still being made after {timeout:.0f} s: it goes on; "
                "run it again to pick it up."
            )
        wait = _POLL_EVERY if timeout is None else max(0.0, min(_POLL_EVERY, started + timeout - asked))
        try:
            if export.export_id is not None:
                export = client.get_export(collection_id, export.export_id, wait=max(1, round(wait)))
            else:
                export = client._post_export(collection_id, narrowed, wait=max(1, round(wait)))
            last_answer = time.monotonic()
        except (TransportError, ApiError) as error:
            # the server may be restarting; it resumes the export when it is up again
            is_passing = not isinstance(error, ApiError) or error.status in PASSING
            if not is_passing or time.monotonic() - last_answer > _MOST_SILENCE:
                raise
        if export.status == "generating":
            # less the time for which the server held its answer
            time.sleep(max(0.0, wait - (time.monotonic() - asked)))
    if export.status == "complete" and export.url:
        return export
    reason = " ".join((export.failure_reason or "the server gives no reason").split()).rstrip(".")
    raise ExportFailed(
        f"The export failed: {reason}. Run it again to make a new one.", reason=export.failure_reason
    )


def export_collection(
    client: ExportRoutes,
    collection_id: str,
    output: str | Path | None,
    *,
    narrowed: dict[str, Any],
    force: bool,
    progress: bool | OnProgress,
    timeout: float | None,
    connections: int,
    on_export: Callable[[ExportRecord], None] | None = None,
    on_target: Callable[[Path], None] | None = None,
) -> Path:
    """See `Client.export_collection`.

    Args:
        narrowed: the filter, as `collect_filter` returns it.
        on_export: called with the complete export, before its download.
        on_target: called with the file that the archive is written to, once it is known.
    """
    _, wanted = _split_output(output)
    if wanted is not None:
        check_target(wanted, force=force)
    with _open_progress(progress) as tell:
        export = begin_export(client, collection_id, narrowed, timeout=timeout, on_progress=tell)
        return download_export(
            client,
            collection_id,
            export,
            output,
            narrowed=narrowed,
            force=force,
            progress=tell,
            timeout=timeout,
            connections=connections,
            on_export=on_export,
            on_target=on_target,
        )


def download_export(
    client: ExportRoutes,
    collection_id: str,
    export: ExportRecord,
    output: str | Path | None,
    *,
    narrowed: dict[str, Any],
    force: bool,
    progress: bool | OnProgress,
    timeout: float | None,
    connections: int,
    on_export: Callable[[ExportRecord], None] | None = None,
    on_target: Callable[[Path], None] | None = None,
) -> Path:
    """Wait for an export that was requested, download it and check it; see `export_collection`."""
    source = {"collection_id": collection_id, "filter": narrowed, "server": client.base_url}
    folder, target = _split_output(output)
    with _open_progress(progress) as tell:
        target = target or _name_target(folder, collection_id, export, source)
        check_target(target, force=force)
        if on_target is not None:
            on_target(target)
        export = wait_export(
            client, collection_id, export, narrowed=narrowed, timeout=timeout, on_progress=tell
        )
        if on_export is not None:
            on_export(export)
        links = _iter_links(client, collection_id, export, narrowed, timeout)
        return download_archive(
            lambda: next(links),
            target,
            force=force,
            size_bytes=export.size_bytes,
            connections=connections,
            source=source,
            on_progress=tell,
            timeout=client.timeout,
            ssl_context=client.ssl_context,
        )


def _iter_links(
    client: ExportRoutes,
    collection_id: str,
    export: ExportRecord,
    narrowed: dict[str, Any],
    timeout: float | None,
) -> Iterator[str]:
    """The link of `export`, then one fresh link after another."""
    while True:
        yield export.url or ""
        if export.export_id is not None:
            fresh = client.get_export(collection_id, export.export_id)
        else:
            fresh = client._post_export(collection_id, narrowed, wait=3)
        export = wait_export(client, collection_id, fresh, narrowed=narrowed, timeout=timeout)


def _split_output(output: str | Path | None) -> tuple[Path, Path | None]:
    """The folder for the archive, and the archive's path when `output` is not just a folder."""
    if output is None:
        return Path(), None
    path = Path(output)
    if path.is_dir() or str(output).endswith(("/", "\\")):
        if not path.is_dir():
            raise DownloadError(f"The folder {path} does not exist: create it or choose another.")
        return path, None
    return path.parent, path


def _name_target(folder: Path, collection_id: str, export: ExportRecord, source: dict[str, Any]) -> Path:
    """The default name. It holds the export's own time, so that a later run finds the `.part` file of this one."""
    stem = quote(collection_id, safe="") + "-export-"
    if export.created_at is None:
        # The server does not say which export this is: continue an unfinished download, if there is one.
        begun = find_partial(folder, source, stem + "*.zip")
        if begun is not None:
            return begun
    moment = export.created_at or datetime.now(UTC)
    return folder / f"{stem}{name_moment(moment)}.zip"


def name_moment(moment: datetime) -> str:
    """A time as names of files have it, in local time, or where the calendar has none in UTC."""
    try:
        moment = moment.astimezone()
    except (OverflowError, ValueError, OSError):
        moment = moment.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}"


@contextmanager
def _open_progress(progress: bool | OnProgress) -> Iterator[OnProgress]:
    if progress is True:
        with show_progress() as tell:
            yield tell
    elif progress is False:
        yield lambda _: None
    else:
        yield progress


def _find(body: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = body.get(name)
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _find_moment(body: dict[str, Any], name: str) -> datetime | None:
    value = body.get(name)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    with suppress(OverflowError):  # at the ends of the calendar no other offset can be told
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _write_moment(value: datetime | str | None) -> str | None:
    """RFC 3339 in UTC. A time without an offset is UTC, a date is its first instant."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise UsageError(f"{value!r} is not a time: write 2026-01-31 or 2026-01-31T09:30:00Z.") from None
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise UsageError(f"{value.isoformat()} is before or after all times there are in UTC.") from None
    return moment.replace(tzinfo=None).isoformat() + "Z"
