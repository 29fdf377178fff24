"""What researchers send to correct an answer."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, WithJsonSchema

from fieldpack.server.values.json_types import Integer

MOST_REASON = 2_000

Reason = Annotated[str, StringConstraints(min_length=1, max_length=MOST_REASON, strip_whitespace=True)]


class Correction(BaseModel):
    """Another answer in an answer's place."""

    instruction_id: Annotated[UUID, WithJsonSchema({"type": "string"})]
    answer: Annotated[
        dict[str, Any] | None,
        Field(description="In the shape in which participants send it; null for none."),
    ]
    reason: Reason
    version: Annotated[
        Annotated[Integer, Field(ge=1, le=2**31 - 1)] | None,
        Field(description="Which is corrected, as the history counts them; any without it."),
    ] = None
