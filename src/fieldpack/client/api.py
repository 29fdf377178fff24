"""The client of a collection server: this project's own, or the hosted service."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args
from urllib.parse import quote

from fieldpack.client.connection import find_connection
from fieldpack.client.export import Export, collect_filter, export_collection, wait_export
from fieldpack.client.progress import OnProgress
from fieldpack.client.transport import Transport
from fieldpack.errors import ApiError, TransportError, UsageError

__all__ = ["Client", "Json"]

Json = dict[str, Any]
StudyAction = Literal["PUBLISH", "PAUSE", "START", "STOP"]
StudyState = Literal["published", "active", "completed", "scheduled"]
SubmissionAction = Literal["APPROVE", "REJECT", "COMPLETE"]

_PAGE = 200
# Paths end in a slash just where those of the hosted service do: there, a POST to the other spelling is lost.
_COLLECTIONS = "/data-collection/collections"
_METHOD = "AI_TASK_BUILDER_COLLECTION"


class Client:
    """A server's API, one method a route. Safe to use from several threads; a context manager.

    Objects are plain dictionaries with the fields of the API reference, unknown ones included. Every method
    raises `ApiError` when the server refuses and `TransportError` when it cannot be reached.

    Args:
        token: API token; without it `PROLIFIC_TOKEN`, or the one that the local server keeps.
        base_url: with or without `/api/v1`; without it `PROLIFIC_URL`, or the local server.
        ca_file: PEM file of an authority to trust besides the usual ones (or besides `SSL_CERT_FILE`).
        timeout: seconds without a byte after which a request counts as lost.
        retries: how often to repeat what is safe to repeat.

    Raises:
        ConfigError: there is no token, or the address or the certificate file is wrong.
    """

    def __init__(
        self,
        token: str | None = None,
        base_url: str | None = None,
        *,
        ca_file: str | None = None,
        timeout: float = 60.0,
        retries: int = 5,
    ) -> None:
        self._transport = Transport(
            find_connection(token, base_url, ca_file=ca_file), timeout=timeout, retries=retries
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def base_url(self) -> str:
        """The server's address, without `/api/v1`."""
        return self._transport.connection.url

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What decides which certificates are trusted; for download links too."""
        return self._transport.ssl_context

    @property
    def timeout(self) -> float:
        """Seconds without a byte after which a request counts as lost; for downloads too."""
        return self._transport.timeout

    # People and workspaces

    def get_me(self) -> Json:
        """The researcher whose token this is (`GET /users/me`)."""
        return self._get("/users/me")

    def list_workspaces(self) -> list[Json]:
        """The workspaces the researcher is a member of."""
        return list(self._iter("/workspaces/"))

    def get_workspace(self, workspace_id: str) -> Json:
        """One workspace."""
        return self._get(f"/workspaces/{_safe(workspace_id)}/")

    def create_workspace(self, title: str, description: str = "") -> Json:
        """A new workspace with the researcher as its member."""
        return self._send("POST", "/workspaces/", {"title": title, "description": description})

    # Collections

    def upload_picture(self, workspace_id: str, picture: Path | bytes) -> Json:
        """Have a picture for instructions served (ours): `{id, url}`, the same for the same picture.

        Args:
            workspace_id: whose collections will show it.
            picture: JPEG, PNG, WebP or GIF, a file or its bytes.

        Raises:
            OSError: the file can't be read.
        """
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
        path = f"/workspaces/{_safe(workspace_id)}/pictures"
        answer: Json = self._transport.request("POST", path, content=data, repeatable=True)
        return answer

    def list_collections(self, workspace_id: str) -> list[Json]:
        """The collections of a workspace."""
        return list(self._iter(_COLLECTIONS, {"workspace_id": workspace_id}))

    def get_collection(self, collection_id: str) -> Json:
        """One collection with its pages and instructions."""
        return self._get(_collection(collection_id))

    def create_collection(self, collection: Mapping[str, Any]) -> Json:
        """Create a collection: `workspace_id, name, collection_items, task_details, description`."""
        return self._send("POST", _COLLECTIONS, collection)

    def update_collection(self, collection_id: str, collection: Mapping[str, Any]) -> Json:
        """Replace a collection: pages and items with an `id` are kept, those left out are retired."""
        return self._send("PUT", _collection(collection_id) + "/", collection)

    def iter_responses(self, collection_id: str) -> Iterator[Json]:
        """One record per instruction answered, page by page."""
        return self._iter(_collection(collection_id) + "/responses")

    # Studies

    def list_studies(
        self,
        state: StudyState | str | None = None,
        *,
        search: str | None = None,
        collection_id: str | None = None,
    ) -> list[Json]:
        """The researcher's studies, newest first.

        Args:
            state: only the `published`, `active`, `completed` or `scheduled` ones; or any other status, or several
                as `(paused|unpublished)`, as far as the server knows them.
            search: only those with this in their name.
            collection_id: only those on this collection (ours; the hosted service ignores it, and you are warned).
        """
        asked: dict[str, str | int] = {}
        if state in get_args(StudyState):
            asked[str(state)] = 1
        elif state:
            asked["state"] = state
        asked |= {"search": search} if search else {}
        asked |= {"data_collection_id": collection_id} if collection_id else {}
        return list(self._iter("/studies/", asked))

    def get_study(self, study_id: str) -> Json:
        """One study."""
        return self._get(f"/studies/{_safe(study_id)}/")

    def create_study(self, study: Mapping[str, Any]) -> Json:
        """Create a study, unpublished."""
        return self._send("POST", "/studies/", study)

    def update_study(self, study_id: str, changes: Mapping[str, Any]) -> Json:
        """Change fields of a study."""
        return self._send("PATCH", f"/studies/{_safe(study_id)}/", changes)

    def transition_study(self, study_id: str, action: StudyAction) -> Json:
        """Publish, pause, start again or stop a study."""
        return self._send("POST", f"/studies/{_safe(study_id)}/transition/", {"action": action})

    def publish_collection(
        self, collection_id: str, places: int, *, draft: bool = False, **fields: Any
    ) -> Json:
        """Create a study of `places` participants on a collection and publish it unless `draft`.

        Args:
            collection_id: what participants answer.
            places: how many participants there may be.
            draft: leave it unpublished.
            fields: any other field of a study; `name` is the collection's own unless given.
        """
        if "name" not in fields:
            fields["name"] = self.get_collection(collection_id).get("name")
        required = {
            "total_available_places": places,
            "data_collection_method": _METHOD,
            "data_collection_id": collection_id,
        }
        study = self.create_study({**fields, **required})
        return study if draft else {**study, **self.transition_study(study["id"], "PUBLISH")}

    # Submissions

    def list_submissions(
        self, study_id: str, *, status: str | None = None, ordering: str | None = None
    ) -> list[Json]:
        """The submissions of a study.

        Args:
            study_id: whose.
            status: only those of this one; without it, whatever their status.
            ordering: what to sort by, such as `-completed_at`; as they were started without it.
        """
        asked = {"status": status, "ordering": ordering}
        path = f"/studies/{_safe(study_id)}/submissions/"
        return list(self._iter(path, {name: text for name, text in asked.items() if text}))

    def get_submission_counts(self, study_id: str) -> dict[str, int]:
        """How many submissions of a study are in each status, and the `TOTAL`."""
        return self._get(f"/studies/{_safe(study_id)}/submissions/counts/")

    def get_submission(self, submission_id: str) -> Json:
        """One submission."""
        return self._get(f"/submissions/{_safe(submission_id)}/")

    def transition_submission(
        self,
        submission_id: str,
        action: SubmissionAction,
        *,
        message: str | None = None,
        rejection_category: str | None = None,
        completion_code: str | None = None,
    ) -> Json:
        """Approve, reject or complete a submission."""
        body = {
            "action": action,
            "message": message,
            "rejection_category": rejection_category,
            "completion_code": completion_code,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return self._send("POST", f"/submissions/{_safe(submission_id)}/transition/", body)

    def bulk_approve_submissions(
        self,
        submission_ids: Sequence[str] | None = None,
        *,
        study_id: str | None = None,
        participant_ids: Sequence[str] | None = None,
    ) -> Any:
        """Approve many: by `submission_ids`, or by `study_id` and `participant_ids`.

        Raises:
            UsageError: both or neither were given.
        """
        by_participant = study_id is not None and participant_ids is not None
        if (submission_ids is not None) == by_participant:
            raise UsageError("Give either submission_ids, or study_id and participant_ids.")
        if submission_ids is not None:
            body: Json = {"submission_ids": list(submission_ids)}
        else:
            body = {"study_id": study_id, "participant_ids": list(participant_ids or ())}
        return self._transport.request("POST", "/submissions/bulk-approve/", body=body)

    def request_return(self, submission_id: str, reasons: Sequence[str]) -> Json:
        """Ask a participant to return a submission."""
        body = {"request_return_reasons": list(reasons)}
        return self._send("POST", f"/submissions/{_safe(submission_id)}/request-return/", body)

    def delete_submission(self, submission_id: str) -> None:
        """Erase a participant's answers and files, and every export that holds them.

        Not there any more counts as done, since a lost answer makes the request be repeated.
        """
        try:
            self._transport.request("DELETE", f"/submissions/{_safe(submission_id)}")
        except ApiError as error:
            if error.status not in (404, 410):
                raise

    # Exports

    def request_export(
        self,
        collection_id: str,
        *,
        study_id: str | None = None,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
    ) -> Export:
        """Ask for an archive: a recent one, the one being made, or a new one. Repeating it makes no second.

        Args:
            collection_id: whose responses.
            study_id: only those of this study.
            from_: only those completed at or after this; without an offset it is UTC.
            to: only those completed before this.
        """
        return self._post_export(collection_id, collect_filter(study_id, from_, to))

    def get_export(self, collection_id: str, export_id: str, *, wait: int | None = None) -> Export:
        """One export, with a fresh link when it is complete.

        Args:
            collection_id: whose export.
            export_id: which.
            wait: seconds for which the server may hold the answer until the export is ready (RFC 7240).
        """
        path = f"{_collection(collection_id)}/export/{_safe(export_id)}"
        body = self._transport.request("GET", path, headers=_prefer(wait))
        if isinstance(body, dict):
            body.setdefault("export_id", export_id)
        return Export.from_answer(body)

    def list_exports(self, collection_id: str) -> list[Export]:
        """The collection's exports, newest first."""
        return [Export.from_answer(item) for item in self._iter(_collection(collection_id) + "/export")]

    def delete_export(self, collection_id: str, export_id: str) -> None:
        """Delete an export; its links stop working.

        Raises:
            ApiError: 409 while it is generating.
        """
        self._transport.request("DELETE", f"{_collection(collection_id)}/export/{_safe(export_id)}")

    def wait_export(
        self,
        collection_id: str,
        export_id: str,
        *,
        timeout: float | None = None,
        progress: OnProgress | None = None,
    ) -> Export:
        """Wait until an export is complete.

        Raises:
            ExportFailed: it ended as failed.
            ExportNotReady: `timeout` seconds were not enough.
        """
        export = self.get_export(collection_id, export_id)
        return wait_export(self, collection_id, export, narrowed={}, timeout=timeout, on_progress=progress)

    def export_collection(
        self,
        collection_id: str,
        output: str | Path | None = None,
        *,
        study_id: str | None = None,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        force: bool = False,
        progress: bool | OnProgress = False,
        timeout: float | None = None,
        connections: int = 1,
    ) -> Path:
        """Request an archive, wait for it, download it and check it.

        Args:
            collection_id: whose responses.
            output: a file, or an existing folder; without it, the current folder. In a folder the name is
                `<collection-id>-export-<YYYYMMDD-HHMMSS>.zip`, in local time.
            study_id, from_, to: narrow it, as in `request_export`.
            force: overwrite an existing file.
            progress: True shows a bar (off a terminal, lines) on standard error; a callback is told.
            timeout: seconds to wait for the server to make the archive; None for as long as it takes.
            connections: how many ranges of a large archive to download at the same time.

        Returns:
            Where the archive is.

        Raises:
            DownloadError: the file exists, or the archive could not be brought whole; run again to resume.
            ExportFailed: the server could not make it.
            ExportNotReady: `timeout` seconds were not enough.
        """
        return export_collection(
            self,
            collection_id,
            output,
            narrowed=collect_filter(study_id, from_, to),
            force=force,
            progress=progress,
            timeout=timeout,
            connections=connections,
        )

    def _post_export(
        self, collection_id: str, narrowed: dict[str, str], *, wait: int | None = None, waits: bool = True
    ) -> Export:
        body = self._transport.request(
            "POST",
            _collection(collection_id) + "/export",
            params=narrowed or None,
            headers=_prefer(wait),
            repeatable=True,  # any number of them make one export
            waits=waits,
        )
        return Export.from_answer(body)

    # The three ways to ask

    def _get(self, path: str) -> Json:
        return _as_object(self._transport.request("GET", path))

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Json:
        return _as_object(self._transport.request(method, path, body=dict(body)))

    def _iter(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Json]:
        """Every object of a list, page by page, be it a bare array or in `results`."""
        offset, before = 0, None
        while True:
            asked = {**(params or {}), "limit": _PAGE, "offset": offset}
            answer = self._transport.request("GET", path, params=asked)
            results = answer.get("results") if isinstance(answer, dict) else answer
            if not isinstance(results, list):
                raise TransportError(
                    f"{path} did not answer with a list: is PROLIFIC_URL the address of the API?"
                )
            if before is not None and results[:1] == before:
                return  # a server that does not cut this list has answered all of it each time
            yield from results
            before = results[:1]
            offset += len(results)
            count = (answer.get("meta") or {}).get("count") if isinstance(answer, dict) else None
            if not results or (offset >= count if isinstance(count, int) else len(results) < _PAGE):
                return


def _collection(collection_id: str) -> str:
    return f"{_COLLECTIONS}/{_safe(collection_id)}"


def _safe(identifier: str) -> str:
    """An identifier as one path segment.

    Raises:
        UsageError: it is empty, or a dot that would lead elsewhere.
    """
    if not identifier.strip(". "):
        raise UsageError(f"{identifier!r} is not an id.")
    return quote(identifier, safe="")


def _prefer(wait: int | None) -> dict[str, str]:
    return {} if wait is None else {"Prefer": f"wait={wait}"}


def _as_object(body: Any) -> Json:
    if not isinstance(body, dict):
        raise TransportError("The server's answer is not an object: is PROLIFIC_URL the address of the API?")
    return body
