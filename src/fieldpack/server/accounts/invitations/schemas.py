"""What clients send about invitations."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from fieldpack.server.accounts.invitations.service import MOST_DAYS
from fieldpack.server.accounts.permissions.roles import Role


class InvitationInput(BaseModel):
    """An invitation to make."""

    role: Role
    collection_id: UUID | None = None
    email: Annotated[str, StringConstraints(max_length=320, strip_whitespace=True)] | None = None
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=MOST_DAYS)] | None = None
