"""What the API says of an upload."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel

__all__ = ["UploadState"]


class UploadState(BaseModel):
    """One upload. `sha256` is there once it is complete, `failure_reason` when its content was refused."""

    id: UUID
    instruction_id: UUID
    file_name: str
    content_type: str | None
    status: Literal["uploading", "complete", "failed"]
    offset: int
    size_bytes: int
    sha256: str | None
    failure_reason: str | None
