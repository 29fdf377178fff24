"""What clients send about tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.values.json_types import Integer

MOST_DAYS = 3650
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class TokenInput(BaseModel):
    """A token to create for oneself."""

    name: Name
    role: Role | None = None
    expires_in_days: Annotated[Integer, Field(ge=1, le=MOST_DAYS)] | None = None
