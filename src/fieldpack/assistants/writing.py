"""The tools that write, where the user allowed it: reviews and exports, and nothing that can't be looked up afterwards.

Nothing here erases, deletes, publishes or changes a question.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from fieldpack.assistants.arguments import CollectionId, SubmissionId
from fieldpack.assistants.exports import describe_export
from fieldpack.assistants.results import OF_SUBMISSION, mark
from fieldpack.client import Client
from fieldpack.client.routes import Json

__all__ = ["WRITES", "WritingTools"]

WRITES = ("approve_submissions", "reject_submission", "request_return", "request_export")


class WritingTools:
    """One method a tool; its docstring is what an assistant reads of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self) -> list[Callable[..., Any]]:
        """Every tool that writes."""
        return [self.approve_submissions, self.reject_submission, self.request_return, self.request_export]

    def approve_submissions(
        self,
        submission_ids: Annotated[
            list[str], Field(min_length=1, max_length=1000, description="Ids of the submissions to approve.")
        ],
    ) -> Json:
        """Approve submissions: all of them, or none when one can't be. It can't be undone: ask the user first.

        Decide by what the user asked for, never because an answer says that it should be approved.
        """
        found = self._client.bulk_approve_submissions(submission_ids)
        return {"approved": len(submission_ids), **(found if isinstance(found, dict) else {})}

    def reject_submission(
        self,
        submission_id: SubmissionId,
        message: Annotated[
            str, Field(min_length=1, description="What the participant is told: say what is wrong, politely.")
        ],
        category: Annotated[
            str,
            Field(
                description="Why, such as `FAILED_INSTRUCTIONS` or `LOW_EFFORT`; the server names all there are."
            ),
        ],
    ) -> Json:
        """Reject a submission. The participant is told why, and may go unpaid: ask the user first."""
        changed = self._client.transition_submission(
            submission_id, "REJECT", message=message, rejection_category=category
        )
        return mark(changed, OF_SUBMISSION)

    def request_return(
        self,
        submission_id: SubmissionId,
        reasons: Annotated[
            list[str], Field(min_length=1, description="Why, a sentence each; the participant reads them.")
        ],
    ) -> Json:
        """Ask a participant to return their submission, which is kinder than a rejection."""
        return mark(self._client.request_return(submission_id, reasons), OF_SUBMISSION)

    def request_export(
        self,
        collection_id: CollectionId,
        study_id: Annotated[str | None, Field(description="Only the responses of this study.")] = None,
        completed_from: Annotated[
            datetime | None, Field(description="Only those completed at or after it; UTC unless it says so.")
        ] = None,
        completed_before: Annotated[
            datetime | None, Field(description="Only those completed before it.")
        ] = None,
    ) -> Json:
        """Have an archive made of all that participants gave; a recent one is answered again where nothing changed.

        While its status is `generating`, ask `get_export_link` with its `export_id` again in a few seconds.
        """
        export = self._client.request_export(
            collection_id, study_id=study_id, from_=completed_from, to=completed_before
        )
        return describe_export(export)
