"""Whether a researcher may do an action with an object: the one place that decides. No HTTP, no SQL.

Every service asks before it reads or locks the object. Nothing is cached between requests, so a change of role or a
removal counts from the next request on, in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn
from uuid import UUID

from fieldpack.server.accounts.permissions import queries
from fieldpack.server.accounts.permissions.roles import Action, Role, may
from fieldpack.server.accounts.rows import StandingRow
from fieldpack.server.accounts.service import Caller
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FEATURE_OFF, FEATURE_OFF_DETAIL, FORBIDDEN, Problem, not_found

__all__ = [
    "find_allowed",
    "find_allowed_studies",
    "find_offered",
    "find_workspaces",
    "is_allowed",
    "not_a_member",
    "require",
    "require_feature",
    "require_somewhere",
    "roles_that",
]

# refused where Collections are off in the workspace; on a collection all actions are, but those on its studies
_OF_COLLECTIONS = frozenset({Action.COLLECTION_READ, Action.COLLECTION_WRITE, Action.PICTURES_WRITE})
_OF_STUDIES = frozenset({Action.STUDY_READ, Action.STUDY_WRITE})


def not_a_member(of: str = "this workspace") -> Problem:
    """The 403 for a workspace that is known to exist, and in which the caller has no role."""
    return Problem(FORBIDDEN, f"You are not a member of {of}.")


async def require(
    connection: Connection,
    caller: Caller,
    action: Action,
    *,
    workspace: UUID | None = None,
    project: UUID | None = None,
    collection: UUID | None = None,
    study: UUID | None = None,
    submission: UUID | None = None,
    group: UUID | None = None,
    subscription: UUID | None = None,
    unknown: Problem | None = None,
    foreign: Problem | None = None,
) -> None:
    """Return if the caller may do `action` with the one object that is given.

    Args:
        connection: of the transaction that does it.
        unknown: raised when there is no such object, instead of a 404.
        foreign: raised when the caller has no role there; without it the answer is the one for an unknown object.

    Raises:
        Problem: 404 for an unknown object, or one where the caller has no role; 404 with a text of its own where
            Collections are off in the workspace; 403 when the caller's role, or the role of their token, does not allow
            it.
    """
    if group is not None:
        standing = await queries.find_on_group(connection, group, caller.id)
        kind, id = "Group", group
    elif subscription is not None:
        standing = await queries.find_on_subscription(connection, subscription, caller.id)
        kind, id = "Subscription", subscription
    else:
        kind, id, standing = await _find(
            connection, caller, workspace, project, collection, study, submission
        )
    if standing is None:
        raise unknown or not_found(kind, id)
    if standing.role is None:
        raise foreign or unknown or not_found(kind, id)
    is_about = action not in _OF_STUDIES if collection is not None else action in _OF_COLLECTIONS
    if is_about and study is None and submission is None:
        _refuse_switched_off(standing)
    if not may(Role(standing.role), action, caller.cap):
        _refuse(caller, action, Role(standing.role))


async def require_feature(
    connection: Connection, caller: Caller, *, workspace: UUID | None = None, collection: UUID | None = None
) -> None:
    """Return unless Collections are off in the workspace, or that of the collection, and the caller may know of it.

    Raises:
        Problem: 404 with the text of its own.
    """
    if collection is not None:
        standing = await queries.find_on_collection(connection, collection, caller.id)
        if standing is not None and standing.role is not None:
            _refuse_switched_off(standing)
    elif workspace is not None:
        standing = await queries.find_in_workspace(connection, workspace, caller.id)
        if standing is not None and await queries.list_roles(connection, caller.id, workspace):
            _refuse_switched_off(standing)


def _refuse_switched_off(standing: StandingRow) -> None:
    if not standing.collections_enabled:
        raise Problem(FEATURE_OFF, FEATURE_OFF_DETAIL)


async def _find(
    connection: Connection,
    caller: Caller,
    workspace: UUID | None,
    project: UUID | None,
    collection: UUID | None,
    study: UUID | None,
    submission: UUID | None,
) -> tuple[str, UUID, StandingRow | None]:
    """The kind and id of the object, and the caller's role there; None for an unknown object."""
    if workspace is not None:
        return "Workspace", workspace, await queries.find_in_workspace(connection, workspace, caller.id)
    if project is not None:
        return "Project", project, await queries.find_on_project(connection, project, caller.id)
    if collection is not None:
        return "Collection", collection, await queries.find_on_collection(connection, collection, caller.id)
    if study is not None:
        return "Study", study, await queries.find_on_study(connection, study, caller.id)
    assert submission is not None
    return "Submission", submission, await queries.find_on_submission(connection, submission, caller.id)


def _refuse(caller: Caller, action: Action, role: Role) -> NoReturn:
    """Raise the 403 that says whether the token's role or the researcher's is too low, and who can change that."""
    if may(role, action):
        raise Problem(
            FORBIDDEN,
            f"This token has the role {caller.cap}, which does not allow this ({action});"
            " `fieldpack token create` makes one with another role.",
        )
    raise Problem(
        FORBIDDEN,
        f"Your role here is {role}, which does not allow this ({action}); an owner of the workspace can change it.",
    )


async def require_somewhere(
    connection: Connection,
    caller: Caller,
    action: Action,
    workspace: UUID | None = None,
    *,
    foreign: Problem | None = None,
) -> None:
    """Return if the caller may do `action` in the workspace or on any collection of it; without one, anywhere at all.

    Raises:
        Problem: 404 for an unknown workspace, or where Collections are off; `foreign`, or a 403, when the caller has
            no role in it; 403 when none of their roles, or not that of their token, allows it.
    """
    standing = await queries.find_in_workspace(connection, workspace, caller.id) if workspace else None
    if workspace is not None and standing is None:
        raise not_found("Workspace", workspace)
    roles = [Role(role) for role in await queries.list_roles(connection, caller.id, workspace)]
    if not roles:
        raise foreign or not_a_member()
    if standing is not None and action in _OF_COLLECTIONS:
        _refuse_switched_off(standing)
    if not any(may(role, action, caller.cap) for role in roles):
        _refuse(caller, action, next((role for role in roles if may(role, action)), roles[0]))


async def find_workspaces(
    connection: Connection, caller: Caller, action: Action, workspace: UUID | None
) -> list[UUID]:
    """The workspace that is given, or all of the caller's, in which they may do `action`.

    Raises:
        Problem: as `require` says, for the one that is given.
    """
    if workspace is not None:
        await require(connection, caller, action, workspace=workspace, foreign=not_a_member())
        return [workspace]
    return await queries.list_workspaces_with_role(connection, caller.id, roles_that(caller, action))


def roles_that(caller: Caller, action: Action) -> list[str]:
    """The roles with which this caller may do `action`: a condition for lists, in SQL."""
    return [role for role in Role if may(role, action, caller.cap)]


async def is_allowed(connection: Connection, caller: Caller, action: Action, workspace: UUID) -> bool:
    """Whether the caller may do `action` with a workspace: for pages, which offer what may be done."""
    standing = await queries.find_in_workspace(connection, workspace, caller.id)
    return standing is not None and standing.role is not None and may(Role(standing.role), action, caller.cap)


async def find_offered(
    connection: Connection, caller: Caller, collection: UUID, actions: Mapping[str, Action]
) -> dict[str, bool]:
    """Which of these actions the caller may do with a collection, by their names: for pages, which offer those."""
    standing = await queries.find_on_collection(connection, collection, caller.id)
    role = Role(standing.role) if standing is not None and standing.role is not None else None
    return {name: role is not None and may(role, action, caller.cap) for name, action in actions.items()}


async def find_allowed(
    connection: Connection, caller: Caller, action: Action, collections: Iterable[UUID]
) -> set[UUID]:
    """Those of these collections on which the caller may do `action`."""
    return await queries.list_with_role(connection, caller.id, list(collections), roles_that(caller, action))


async def find_allowed_studies(
    connection: Connection, caller: Caller, action: Action, studies: Iterable[UUID]
) -> set[UUID]:
    """Those of these studies on which the caller may do `action`."""
    return await queries.list_studies_with_role(
        connection, caller.id, list(studies), roles_that(caller, action)
    )
