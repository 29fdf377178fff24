"""What clients send about members."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, StringConstraints

from fieldpack.server.accounts.permissions.roles import Role

Name = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]


class MemberInput(BaseModel):
    """Somebody to give a role to; one whose address is new here is made a researcher."""

    email: Annotated[str, StringConstraints(min_length=3, max_length=320, strip_whitespace=True)]
    role: Role
    name: Name | None = None


class RoleInput(BaseModel):
    """Another role."""

    role: Role
