"""The tools that read submissions: states and times, and what participants answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from fieldpack.assistants.arguments import CollectionId, Limit, StudyId, SubmissionId
from fieldpack.assistants.results import NOTICE, OF_SUBMISSION, fit, make_page, mark
from fieldpack.client import Client
from fieldpack.client.routes import Json

__all__ = ["SubmissionTools"]

Flag = Literal[
    "completed",
    "returned",
    "awaiting_review",
    "approved",
    "active",
    "timeout",
    "rejected",
    "screened_out",
    "completeoractive",
]


class SubmissionTools:
    """One method a tool; its docstring is what an assistant reads of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self) -> list[Callable[..., Any]]:
        """Every tool of this class."""
        return [self.count_submissions, self.list_submissions, self.list_responses, self.get_response]

    def count_submissions(self, study_id: StudyId) -> Json:
        """How many submissions of a study are in each status, and the `TOTAL`."""
        return dict(self._client.get_submission_counts(study_id))

    def list_submissions(
        self,
        study_id: StudyId,
        status: Annotated[
            str | None,
            Field(
                description="A status such as `AWAITING REVIEW`, or several as `(active|approved)`, in any case."
            ),
        ] = None,
        only: Annotated[
            Sequence[Flag],
            Field(description="Only those of which all of these hold; `completed`: has an end."),
        ] = (),
        submitted_from: Annotated[
            date | None, Field(description="Completed on this day (UTC) or later.")
        ] = None,
        submitted_before: Annotated[date | None, Field(description="Completed before this day.")] = None,
        ordering: Annotated[
            str | None, Field(description="`started_at` (the default), or `-started_at` for newest first.")
        ] = None,
        page: Annotated[int, Field(ge=1, description="Which page, from 1.")] = 1,
        page_size: Limit = 50,
    ) -> Json:
        """List the submissions of a study: ids, states and times, without answers. All that is given holds together."""
        rows, total = self._client.page_submissions(
            study_id,
            page=page,
            page_size=page_size,
            ordering=ordering,
            submitted_from=submitted_from,
            submitted_before=submitted_before,
            status=status,
            **dict.fromkeys(only, True),
        )
        for row in rows:
            row.pop("participant", None)  # the same as `participant_id`
        return make_page(
            [mark(row, OF_SUBMISSION) for row in rows],
            total=total,
            shown_before=(page - 1) * page_size,
            more=lambda count: (
                f"page={page + 1} goes on." if count == len(rows) else f"Ask with page_size={count} instead."
            ),
            is_marked=True,
        )

    def list_responses(
        self,
        collection_id: CollectionId,
        state: Annotated[
            str | None, Field(description="Only those in this status, such as `AWAITING REVIEW`.")
        ] = None,
        study_id: Annotated[str | None, Field(description="Only those of this study.")] = None,
        since: Annotated[
            str | None, Field(description="Completed (or started) at this day or time or later.")
        ] = None,
        before: Annotated[
            str | None, Field(description="The same, up to this time or the end of this day.")
        ] = None,
        search: Annotated[
            str | None,
            Field(description='Words in the answers, as for a search engine: `sunny -rain "quiet day"`.'),
        ] = None,
        where: Annotated[
            Sequence[str],
            Field(
                description="Conditions on answers, all of which hold: `<question id>:is:<option value>`, "
                "`:contains:<text>`, `:between:<low>,<high>`, `:answered`, `:missing`."
            ),
        ] = (),
        sort: Annotated[
            str | None,
            Field(
                description="`completed`, `started`, `duration`, `state` or a question's id; `-` for descending."
            ),
        ] = None,
        limit: Limit = 20,
        after: Annotated[str | None, Field(description="`next` of the page before this one.")] = None,
    ) -> Json:
        """List submissions of a collection with their answers, newest first. What participants typed is marked.

        Answers are keyed by a question's id; `get_codebook` says what each asks.
        """
        rows, total, then = self._client.page_responses(
            collection_id,
            limit=limit,
            after=after,
            state=state,
            study=study_id,
            since=since,
            before=before,
            search=search,
            where=list(where),
            sort=sort,
        )
        shown = fit([mark(row, OF_SUBMISSION) for row in rows])
        found: Json = {"notice": NOTICE, "results": shown, "total": total}
        if len(shown) < len(rows):  # where a page ends is the server's to say
            found["note"] = f"These are the first {len(shown)} of this page: ask with limit={len(shown)}."
        elif then is not None:
            found |= {"next": then, "note": "There are more: `after` with what `next` holds goes on."}
        return found

    def get_response(self, submission_id: SubmissionId) -> Json:
        """Show one submission with all of its answers. What the participant typed is marked."""
        found = self._client.get_response(submission_id)
        notes = found.pop("notes", None) or []
        found.pop("collection", None)  # what `get_codebook` tells in fewer words
        return {"notice": NOTICE, **mark(found, OF_SUBMISSION), "notes_of_researchers": notes}
