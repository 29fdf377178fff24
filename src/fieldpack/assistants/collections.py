"""The tools that read collections and studies: what is asked, of whom, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from fieldpack.assistants.arguments import CollectionId, Limit, Offset, QuestionsOffset, StudyId
from fieldpack.assistants.results import MOST_CHARACTERS, cut_days, page_questions, slice_rows
from fieldpack.client import Client
from fieldpack.client.routes import Json
from fieldpack.errors import UsageError
from fieldpack.reading.shapes import read_collection
from fieldpack.tables.codebook import render_markdown

__all__ = ["CollectionTools"]

_OF_COLLECTION = ("id", "name", "description", "item_count", "created_at", "last_modified_at", "workspace_id")
_OF_STUDY = (
    *(
        "id",
        "name",
        "internal_name",
        "status",
        "places_taken",
        "total_available_places",
        "data_collection_id",
    ),
    *("project", "date_created", "published_at"),
)


class CollectionTools:
    """One method a tool; its docstring is what an assistant reads of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self) -> list[Callable[..., Any]]:
        """Every tool of this class."""
        return [
            self.who_am_i,
            self.list_collections,
            self.get_collection,
            self.get_codebook,
            self.get_overview,
            self.list_studies,
            self.get_study,
        ]

    def who_am_i(self) -> Json:
        """Say whose token is used, and which workspaces it reaches, with their ids. A good first call.

        What a role does not allow is refused by the server with a sentence that names the role; another tool or another
        phrasing does not get round it, so tell the user instead of trying.
        """
        me = self._client.get_me()
        return {
            "server": self._client.base_url,
            "researcher": _pick(me, ("id", "name", "email")),
            "workspaces": [_pick(each, ("id", "title")) for each in self._client.list_workspaces()],
        }

    def list_collections(
        self,
        workspace_id: Annotated[
            str | None, Field(description="Id of the workspace. Without it, those of every workspace.")
        ] = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> Json:
        """List collections: the questionnaires that participants answer, with pages of questions.

        A collection holds questions; studies open it to participants; submissions are what one participant gave.
        """
        wanted = [workspace_id] if workspace_id else self._list_workspace_ids()
        rows = [row for each in wanted for row in self._client.list_collections(each)]
        return slice_rows([_pick(row, _OF_COLLECTION) for row in rows], limit, offset)

    def get_collection(self, collection_id: CollectionId) -> Json:
        """Show a collection with its pages and questions as the API has them; of a very long one the first pages.

        `get_codebook` has all of them, and is easier to read.
        """
        return self._client.get_collection(collection_id)

    def get_codebook(
        self,
        collection_id: CollectionId,
        offset: Annotated[
            int, Field(ge=0, description="Characters to leave out first: the end of it says what is next.")
        ] = 0,
    ) -> str:
        """Every question of a collection as it is now, with its options, units and limits, as Markdown.

        Answers elsewhere are keyed by a question's id, and hold option values; both are here.
        """
        try:
            collection = read_collection(self._client.get_collection(collection_id))
        except ValueError as error:
            raise UsageError(f"The server's answer is no collection: {error}.") from error
        text = render_markdown(collection)
        then = offset + MOST_CHARACTERS
        if then >= len(text):
            return text[offset:]
        return f"{text[offset:then]}\n\n[{len(text) - then:,} characters more; offset={then} goes on.]"

    def get_overview(self, collection_id: CollectionId, offset: QuestionsOffset = 0) -> Json:
        """A collection in numbers, as of now: submissions by state, by day, times, and how many answered each question.

        Nothing in it is of one person. For how answers are distributed, see `summarize_table`.
        """
        found = self._client.get_overview(collection_id)
        return cut_days({**found, "questions": page_questions(found.get("questions") or [], offset)})

    def list_studies(
        self,
        state: Annotated[
            str | None,
            Field(
                description="A status such as `active`, `paused`, `completed`, or several as `(active|paused)`."
            ),
        ] = None,
        search: Annotated[str | None, Field(description="Only those with this in their name.")] = None,
        collection_id: Annotated[str | None, Field(description="Only those on this collection.")] = None,
        project_id: Annotated[str | None, Field(description="Only those of this project.")] = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> Json:
        """List studies, newest first, with their places and how many are taken."""
        rows = self._client.list_studies(
            state, search=search, collection_id=collection_id, project_id=project_id
        )
        return slice_rows([_pick(row, _OF_STUDY) for row in rows], limit, offset)

    def get_study(self, study_id: StudyId) -> Json:
        """Show a study with all of its settings: places, rewards, who is admitted, its completion codes, its link."""
        return self._client.get_study(study_id)

    def _list_workspace_ids(self) -> list[str]:
        return [str(each["id"]) for each in self._client.list_workspaces()]


def _pick(row: Json, names: Sequence[str]) -> Json:
    return {name: row[name] for name in names if row.get(name) is not None}
