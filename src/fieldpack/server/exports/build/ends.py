"""Why a build ends without completing its export."""

from __future__ import annotations

__all__ = ["Incomplete", "Interrupted", "Superseded", "WornOut"]


class Superseded(Exception):
    """The export has another build by now, or none: after an erasure, a deletion or a claim by another worker."""


class Interrupted(Exception):
    """The worker is stopping; another one will run the job again."""


class WornOut(Exception):
    """The export was attempted so often that another attempt is no use."""


class Incomplete(Exception):
    """Fewer or more rows were found than were counted: the archive would not be complete."""
