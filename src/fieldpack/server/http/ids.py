"""The ids in paths as routes declare them: `collection_id: CollectionId` is a UUID of any version, sent in any case.

One that is malformed is simply unknown: a 404, as for one that nobody has. In the API's document they are plain
strings: clients are to take them as they are.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, WithJsonSchema

from fieldpack.server.http.routing import parse_id

__all__ = [
    "CollectionId",
    "DecisionId",
    "ErasureId",
    "EventId",
    "ExportId",
    "FileKey",
    "GroupId",
    "InstructionId",
    "InvitationId",
    "NoteId",
    "PictureId",
    "ProjectId",
    "ResearcherId",
    "SessionId",
    "StudyId",
    "SubmissionId",
    "SubscriptionId",
    "SweepId",
    "TokenId",
    "UploadId",
    "WorkspaceId",
]

_OPAQUE = WithJsonSchema({"type": "string"})

CollectionId = Annotated[UUID, BeforeValidator(partial(parse_id, "Collection")), _OPAQUE]
DecisionId = Annotated[UUID, BeforeValidator(partial(parse_id, "Decision")), _OPAQUE]
ErasureId = Annotated[UUID, BeforeValidator(partial(parse_id, "Erasure")), _OPAQUE]
EventId = Annotated[UUID, BeforeValidator(partial(parse_id, "Event")), _OPAQUE]
ExportId = Annotated[UUID, BeforeValidator(partial(parse_id, "Export")), _OPAQUE]
FileKey = Annotated[UUID, BeforeValidator(partial(parse_id, "File")), _OPAQUE]
GroupId = Annotated[UUID, BeforeValidator(partial(parse_id, "Group")), _OPAQUE]
InstructionId = Annotated[UUID, BeforeValidator(partial(parse_id, "Instruction")), _OPAQUE]
InvitationId = Annotated[UUID, BeforeValidator(partial(parse_id, "Invitation")), _OPAQUE]
NoteId = Annotated[UUID, BeforeValidator(partial(parse_id, "Note")), _OPAQUE]
PictureId = Annotated[UUID, BeforeValidator(partial(parse_id, "Picture")), _OPAQUE]
ProjectId = Annotated[UUID, BeforeValidator(partial(parse_id, "Project")), _OPAQUE]
ResearcherId = Annotated[UUID, BeforeValidator(partial(parse_id, "Researcher")), _OPAQUE]
SessionId = Annotated[UUID, BeforeValidator(partial(parse_id, "Session")), _OPAQUE]
StudyId = Annotated[UUID, BeforeValidator(partial(parse_id, "Study")), _OPAQUE]
SubmissionId = Annotated[UUID, BeforeValidator(partial(parse_id, "Submission")), _OPAQUE]
SubscriptionId = Annotated[UUID, BeforeValidator(partial(parse_id, "Subscription")), _OPAQUE]
SweepId = Annotated[UUID, BeforeValidator(partial(parse_id, "Sweep")), _OPAQUE]
TokenId = Annotated[UUID, BeforeValidator(partial(parse_id, "Token")), _OPAQUE]
UploadId = Annotated[UUID, BeforeValidator(partial(parse_id, "Upload")), _OPAQUE]
WorkspaceId = Annotated[UUID, BeforeValidator(partial(parse_id, "Workspace")), _OPAQUE]
