"""The tools that read exports: which there are, a link to one, and the table in it in numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from fieldpack.assistants.arguments import CollectionId, Limit, Offset, QuestionsOffset
from fieldpack.assistants.results import NOTICE, cut_days, page_questions, slice_rows
from fieldpack.client import Client, ExportRecord
from fieldpack.client.routes import Json
from fieldpack.errors import UsageError
from fieldpack.export import open_export
from fieldpack.reading.model import TEXT_TYPES

__all__ = ["ExportTools", "describe_export"]

ExportId = Annotated[
    str | None,
    Field(description="Id of the export, as `list_exports` gives it. Without it, the newest complete one."),
]


class ExportTools:
    """One method a tool; its docstring is what an assistant reads of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self) -> list[Callable[..., Any]]:
        """Every tool of this class."""
        return [self.list_exports, self.get_export_link, self.summarize_table]

    def list_exports(self, collection_id: CollectionId, limit: Limit = 20, offset: Offset = 0) -> Json:
        """List the exports of a collection, newest first: archives with all answers and files, or a part of them."""
        exports = self._client.list_exports(collection_id)
        return slice_rows([describe_export(each) for each in exports], limit, offset)

    def get_export_link(self, collection_id: CollectionId, export_id: ExportId = None) -> Json:
        """Get a download link to a complete export, or how far one is that is being made.

        Whoever has the link can download all of it without a token until it expires: give it to nobody but the user.
        """
        return describe_export(self._find_export(collection_id, export_id))

    def summarize_table(
        self, collection_id: CollectionId, export_id: ExportId = None, offset: QuestionsOffset = 0
    ) -> Json:
        """Summarize the table of an export: for each question how many answered, choices and numbers and their spread.

        It reads the archive where it is and downloads no files. It is as of the export's `created_at`, not of now.
        """
        export = self._find_export(collection_id, export_id)
        if export.status != "complete" or export.export_id is None:
            raise UsageError(f"The export {export.export_id} has no table yet: it is {export.status}.")
        with open_export(
            client=self._client, collection_id=collection_id, export_id=export.export_id
        ) as archive:
            found = archive.summarize().as_dict()
        found.pop("archive", None)  # a link, which `get_export_link` gives to who asks for it
        found["days"] = [{"day": day, "count": count} for day, count in found["days"].items()]
        questions = [_mark_question(question) for question in found["questions"]]
        return {"notice": NOTICE, **cut_days({**found, "questions": page_questions(questions, offset)})}

    def _find_export(self, collection_id: str, export_id: str | None) -> ExportRecord:
        if export_id is None:
            complete = [
                each for each in self._client.list_exports(collection_id) if each.status == "complete"
            ]
            if not complete or complete[0].export_id is None:
                raise UsageError(
                    "This collection has no complete export. The user can request one with `fieldpack collection "
                    "export`, or the tool `request_export` where writing is allowed."
                )
            export_id = complete[0].export_id
        return self._client.get_export(collection_id, export_id)


def describe_export(export: ExportRecord) -> Json:
    """An export as tools answer it."""
    found = {
        "export_id": export.export_id,
        "status": export.status,
        "created_at": export.created_at,
        "filter": export.filter or None,
        "submission_count": export.submission_count,
        "file_count": export.file_count,
        "size_bytes": export.size_bytes,
        "url": export.url,
        "expires_at": export.expires_at,
        "progress": export.progress,
        "waiting_reason": export.waiting_reason,
        "failure_reason": export.failure_reason,
    }
    return {name: value for name, value in found.items() if value is not None}


def _mark_question(question: Json) -> Json:
    """A question's numbers; the commonest answers to one that takes any text are participants' words."""
    if question["type"] in TEXT_TYPES and "counts" in question and not question.get("numbers"):
        theirs = question.pop("counts")
        return {**question, "from_participant": {"commonest": theirs}}
    return question
