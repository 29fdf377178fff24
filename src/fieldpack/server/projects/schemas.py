"""What clients send about projects."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, StringConstraints

Title = Annotated[str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True)]
Description = Annotated[str, StringConstraints(max_length=10_000)]


class ProjectInput(BaseModel):
    """A project to create."""

    title: Title
    description: Description | None = None


class ProjectPatch(BaseModel):
    """What may change later."""

    title: Title | None = None
    description: Description | None = None
