"""The words of the audit log: what can be done, and what may be said of it.

A closed list, so that nothing of a person gets into what is hashed: details are numbers, ids of things, times and words
of these lists, never a text that somebody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from fieldpack.archive.records import format_time

__all__ = ["ACTIONS", "DETAILS", "READS", "make_details"]

# What is read, of participants: one entry a request.
READS = (
    "response.list",
    "response.read",
    "submission.list",
    "submission.read",
    "file.read",
    "file.list",
    "note.list",
    "correction.list",
    "group.read",  # who is in it
    "archive.download",
    "audit.list",
    "study.read",  # of one that names participants by id
)
ACTIONS = (
    *READS,
    "workspace.create",
    "workspace.update",
    "picture.create",
    "collection.create",
    "collection.update",
    "collection.delete",
    "collection.erase",
    "collection.import",
    "project.create",
    "project.update",
    "study.create",
    "study.update",
    "study.delete",
    "study.links",
    "study.transition",
    "submission.start",
    "submission.submit",
    "submission.return",
    "submission.transition",
    "submission.update",
    "submission.request_return",
    "submission.erase",
    "assignment.create",
    "assignment.delete",
    "decision.hold",
    "decision.undo",
    "decision.drop",
    "export.request",
    "export.link",
    "export.convert",
    "export.delete",
    "group.create",
    "group.update",
    "group.delete",
    "hook.secret",
    "hook.create",
    "hook.update",
    "hook.delete",
    "hook.send",
    "correction.create",
    "note.create",
    "note.delete",
    "session.begin",
    "session.end",
    "credential.update",
    "invitation.create",
    "invitation.revoke",
    "invitation.accept",
    "member.create",
    "member.update",
    "member.delete",
    "token.create",
    "token.revoke",
    "keys.rotate",
    "installation.restore",
    "installation.retry",  # of a job that had failed
    "installation.sweep",
    "operator.create",
    "operator.delete",
)
# Names of details. A value is a whole number, a truth value, an id, a time, or a short word of our own.
DETAILS = (
    "changed",  # names of the fields that were sent
    "count",  # results answered
    "enabled",
    "expires_at",
    "filters",  # of a list: names of those whose values are left out
    "format",  # that an export is converted to
    "flags",  # of a list, with their values
    "limit",
    "offset",
    "ordering",
    "questions",  # ids of those that a list was filtered by, or whose answer was corrected
    "role",
    "since",
    "status",
    "step",  # of a transition: APPROVE, PUBLISH …
    "studies",  # ids of those that a list was narrowed to
    "study_id",
    "total",  # results there are
    "until",
    "wanted",  # action that a look at the log was for
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)"
_WORD = re.compile(rf"[A-Za-z][A-Za-z_. -]{{0,39}}|-[a-z_]{{1,39}}|{_UUID}|{_TIME}", re.ASCII)


def make_details(given: Mapping[str, Any]) -> dict[str, Any]:
    """Details as they are stored; those that are None are left out.

    Raises:
        ValueError: a name or a value that may not be there: a fault of ours.
    """
    made = {}
    for name, value in given.items():
        if value is None:
            continue
        if name not in DETAILS:
            raise ValueError(f"{name} is no detail of audit entries")
        made[name] = (
            [_check(name, one) for one in value] if isinstance(value, list | tuple) else _check(name, value)
        )
    return made


def _check(name: str, value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    raise ValueError(f"{name} of an audit entry must not be a free text")
