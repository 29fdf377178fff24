"""How a build ends other than well."""

from __future__ import annotations

__all__ = ["Incomplete", "Interrupted", "Superseded", "WornOut"]


class Superseded(Exception):
    """The export was erased from, deleted or taken over while this build was at work."""


class Interrupted(Exception):
    """The worker is stopping; the job is to be taken up by another."""


class WornOut(Exception):
    """This export was begun so often that beginning it again is no use."""


class Incomplete(Exception):
    """What the rows say and what was found differ: the archive would lack something."""
