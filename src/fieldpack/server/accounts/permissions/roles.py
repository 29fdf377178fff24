"""Who may do what: the roles of researchers, what can be done, and the one table of which role allows which.

A role is held in a workspace or, narrower, on one of its collections. `authorization.py` asks this table; docs/roles.md
shows it, and a test holds the two equal.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ALLOWED", "WIRE_NAMES", "Action", "Role", "covers", "may"]


class Role(StrEnum):
    """What a researcher is in a workspace, or on a collection, as it is stored and as the command line says it."""

    OWNER = "owner"
    EDITOR = "editor"  # collections and studies, and all that is done with their responses
    REVIEWER = "reviewer"  # reads responses, approves and rejects; takes no archive away
    ANALYST = "analyst"  # reads and exports responses; decides about none
    VIEWER = "viewer"  # counts and plots: nothing that is of a person


class Action(StrEnum):
    """What a researcher can want to do, each with an object: a workspace, project, collection, study, submission …"""

    WORKSPACE_READ = "workspace.read"  # its title, and who is in it
    WORKSPACE_CREATE = "workspace.create"
    MEMBERS_MANAGE = "members.manage"  # of a workspace or of a collection
    AUDIT_READ = "audit.read"
    COLLECTION_READ = "collection.read"  # the questions, as participants see them
    COLLECTION_WRITE = "collection.write"
    PICTURES_WRITE = "pictures.write"
    PROJECT_READ = "project.read"
    PROJECT_WRITE = "project.write"
    GROUPS_READ = "groups.read"  # lists of participants
    GROUPS_WRITE = "groups.write"
    HOOKS_MANAGE = "hooks.manage"  # webhooks, the secret that signs them included
    STUDY_READ = "study.read"  # without submissions.read: less whom it is for
    STUDY_WRITE = "study.write"
    COUNTS_READ = "counts.read"  # how many submissions are in which state
    SUBMISSIONS_READ = "submissions.read"  # participants' ids, times and states
    RESPONSES_READ = "responses.read"  # answers
    FILES_READ = "files.read"
    RESPONSES_REVIEW = "responses.review"  # approve, reject, complete, ask for a return
    RESPONSES_CORRECT = "responses.correct"  # put another answer or file in a participant's place
    SUBMISSION_ERASE = "submission.erase"
    EXPORTS_READ = "exports.read"  # with their links
    EXPORTS_CREATE = "exports.create"
    EXPORTS_DELETE = "exports.delete"


_VIEWER = frozenset(
    {
        Action.WORKSPACE_READ,
        Action.PROJECT_READ,
        Action.COLLECTION_READ,
        Action.STUDY_READ,
        Action.COUNTS_READ,
    }
)
_READS = _VIEWER | {Action.GROUPS_READ, Action.SUBMISSIONS_READ, Action.RESPONSES_READ, Action.FILES_READ}
_REVIEWER = _READS | {Action.RESPONSES_REVIEW}
_ANALYST = _READS | {Action.EXPORTS_READ, Action.EXPORTS_CREATE, Action.EXPORTS_DELETE}
_EDITOR = (
    _REVIEWER
    | _ANALYST
    | {
        Action.WORKSPACE_CREATE,
        Action.PROJECT_WRITE,
        Action.GROUPS_WRITE,
        Action.HOOKS_MANAGE,
        Action.COLLECTION_WRITE,
        Action.PICTURES_WRITE,
        Action.STUDY_WRITE,
        Action.RESPONSES_CORRECT,
        Action.SUBMISSION_ERASE,
    }
)

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.OWNER: frozenset(Action),
    Role.EDITOR: _EDITOR,
    Role.REVIEWER: _REVIEWER,
    Role.ANALYST: _ANALYST,
    Role.VIEWER: _VIEWER,
}
"""The table: what each role allows."""

WIRE_NAMES: dict[Role, str] = {
    Role.OWNER: "WORKSPACE_ADMIN",
    Role.EDITOR: "WORKSPACE_COLLABORATOR",
    Role.REVIEWER: "WORKSPACE_REVIEWER",
    Role.ANALYST: "WORKSPACE_ANALYST",
    Role.VIEWER: "WORKSPACE_VIEWER",
}
"""What the API calls a role in `roles`: the first two are the hosted service's, the others are ours."""


def may(role: Role | None, action: Action, cap: Role | None = None) -> bool:
    """Whether a role allows an action, and the role of the token, where it has one, allows it too."""
    return role is not None and action in ALLOWED[role] and (cap is None or action in ALLOWED[cap])


def covers(role: Role, other: Role) -> bool:
    """Whether `other` is no higher than `role`: whether `role` allows all that it does."""
    return ALLOWED[role] >= ALLOWED[other]
