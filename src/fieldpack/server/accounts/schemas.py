"""What clients send about workspaces."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, StringConstraints

Title = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]


class WorkspaceInput(BaseModel):
    """A workspace to create."""

    title: Title
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
