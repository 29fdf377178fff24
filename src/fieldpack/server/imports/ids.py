"""Ids of what is imported: kept where they are ours and free, else made anew, the same ones in each run."""

from __future__ import annotations

import re
from uuid import UUID, uuid5

__all__ = ["LONGEST_ID", "choose_id", "import_id", "is_kept", "make_id"]

LONGEST_ID = 200
_NAMESPACE = UUID("3f0f6a52-6a0e-4f0e-8d53-0c9a5d9f2b71")
_OURS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def import_id(workspace_id: UUID, digest: bytes) -> UUID:
    """The id of an import: of one archive into one workspace there is one."""
    return uuid5(_NAMESPACE, f"{workspace_id}:{digest.hex()}")


def is_kept(old: str) -> bool:
    """Whether an id has the form that ours have, so that it can stay where it is free."""
    return _OURS.fullmatch(old) is not None


def make_id(import_id: UUID, kind: str, old: str) -> UUID:
    """The new id of a thing that is called `old` in the archive."""
    return uuid5(import_id, f"{kind}:{old}")


def choose_id(import_id: UUID, kind: str, old: str, *, is_taken: bool) -> UUID:
    """The id of a thing here: its own, if it has the form of ours and nothing else here has it."""
    return UUID(old) if is_kept(old) and not is_taken else make_id(import_id, kind, old)
