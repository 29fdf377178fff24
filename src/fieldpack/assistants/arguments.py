"""What tools are given: each with the sentence that an assistant reads of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fieldpack.assistants.results import MOST_ROWS

__all__ = ["CollectionId", "Limit", "Offset", "QuestionsOffset", "StudyId", "SubmissionId"]

CollectionId = Annotated[str, Field(description="Id of the collection, as `list_collections` gives it.")]
StudyId = Annotated[str, Field(description="Id of the study, as `list_studies` gives it.")]
SubmissionId = Annotated[str, Field(description="Id of the submission, as `list_submissions` gives it.")]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="How many to answer at most.")]
Offset = Annotated[
    int, Field(ge=0, description="How many to leave out first: the note of a page says what is next.")
]
QuestionsOffset = Annotated[
    int, Field(ge=0, description="Questions to leave out first: the note beside them says what is next.")
]
