"""The rules of studies: what they need, what they answer, and how they go from one state to the next."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import (
    find_allowed,
    require,
    require_somewhere,
    roles_that,
)
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.collections.queries import find_collection, transaction_time
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import conflict, invalid, not_found
from fieldpack.server.projects.queries import find_project
from fieldpack.server.studies import queries
from fieldpack.server.studies.completion_codes import PARTICIPANT
from fieldpack.server.studies.references import require_references
from fieldpack.server.studies.resuming import SECURED, Resume, choose_resume
from fieldpack.server.studies.rows import StudyColumns, StudyRow
from fieldpack.server.studies.schemas import StudyFields, StudyInput, StudyPatch, StudyTransition
from fieldpack.server.studies.targeting import find_unenforced, names_participants
from fieldpack.server.values.uuids import is_uuid

__all__ = [
    "MINUTES_BY_DEFAULT",
    "columns_of",
    "create_study",
    "delete_study",
    "describe_study",
    "get_study",
    "patch_study",
    "transition_study",
    "with_fields",
]

METHOD = "AI_TASK_BUILDER_COLLECTION"
CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
MINUTES_BY_DEFAULT = 24 * 60
LEAST_MINUTES_BY_DEFAULT = 60

# action: states it leads from, state it leads to
TRANSITIONS = {
    "PUBLISH": (["UNPUBLISHED", "SCHEDULED"], "ACTIVE"),
    "SCHEDULE_PUBLISH": (["UNPUBLISHED", "SCHEDULED"], "SCHEDULED"),
    "CANCEL_PUBLISH": (["SCHEDULED"], "UNPUBLISHED"),
    "PAUSE": (["ACTIVE"], "PAUSED"),
    "START": (["PAUSED"], "ACTIVE"),
    "STOP": (["ACTIVE", "PAUSED", "AWAITING REVIEW"], "COMPLETED"),
}
STATUSES = ("UNPUBLISHED", "SCHEDULED", "ACTIVE", "PAUSED", "AWAITING REVIEW", "COMPLETED")
STATES = (*STATUSES, "PUBLISHING", "UNKNOWN")  # the reference's; no study here is in the last two
FLAGS = {
    "published": {"ACTIVE", "PAUSED", "AWAITING REVIEW", "COMPLETED"},
    "active": {"ACTIVE"},
    "completed": {"COMPLETED"},
    "scheduled": {"SCHEDULED"},
}
OWN_COLUMNS = {
    "name",
    "total_available_places",
    "data_collection_method",
    "data_collection_id",
    "project",
    "resume",
}
COMPUTED = {
    "id",
    "status",
    "places_taken",
    "date_created",
    "published_at",
    "publish_at",
    "test",
    "researcher",
    "external_study_url",
    "unenforced",
}
IMPERSONAL = set(StudyFields.model_fields) - {"filters", "eligibility_requirements"}
"""The fields of a study that name no participants."""


def choose_statuses(states: list[str] | None, flags: dict[str, int | None]) -> list[str] | None:
    """The statuses that are in all of what was asked for; None when nothing was.

    Args:
        states: names of `STATES`.
        flags: by name of `FLAGS`: 1 for those in it, 0 for those that are not, None when it was not given.
    """
    if states is None and all(flag is None for flag in flags.values()):
        return None
    found = set(STATES if states is None else states)
    for name, flag in flags.items():
        if flag is not None:
            found = found & FLAGS[name] if flag else found - FLAGS[name]
    return sorted(found)


async def get_study(
    connection: Connection,
    caller: Caller,
    study_id: UUID,
    action: Action = Action.STUDY_READ,
    *,
    lock: bool = False,
) -> StudyRow:
    """The study's row, for whoever may do `action` with it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, action, study=study_id)
    row = await queries.find_study(connection, study_id, lock=lock)
    if row is None:
        raise not_found("Study", study_id)
    return row


async def _get_collection(connection: Connection, caller: Caller, text: str) -> CollectionRow:
    """The collection that a study is to be of.

    Raises:
        Problem: 400 when there is none that the caller knows; 403 when they may make no studies of it.
    """
    unknown = invalid("data_collection_id", f"There is no collection {text} in your workspaces.")
    if not is_uuid(text):
        raise unknown
    await require(connection, caller, Action.STUDY_WRITE, collection=UUID(text), unknown=unknown)
    row = await find_collection(connection, UUID(text))
    if row is None:
        raise unknown
    return row


async def _find_project(connection: Connection, workspace_id: UUID, text: str) -> UUID:
    row = await find_project(connection, UUID(text)) if is_uuid(text) else None
    if row is None or row.workspace_id != workspace_id:
        raise invalid(
            "project",
            f"There is no project {text} in the collection's workspace: create it there.",
        )
    return row.id


def _fields(given: StudyFields) -> dict[str, Any]:
    """What is stored as JSON: every field that was given and is neither a column nor computed."""
    fields = given.model_dump(mode="json", exclude_unset=True)
    codes = [code.model_dump(mode="json") for code in given.completion_codes or []]
    if codes:  # with the defaults of what was left out
        fields["completion_codes"] = codes
    else:
        fields.pop("completion_codes", None)
    return {name: value for name, value in fields.items() if name not in OWN_COLUMNS | COMPUTED}


def with_fields(columns: StudyColumns, fields: dict[str, Any]) -> StudyColumns:
    """A study's columns with these fields, and with what the fields decide.

    Without `maximum_allowed_time` a submission may take four times as long as it is estimated to.
    """
    config = fields.get("submissions_config", {})
    estimated = fields.get("estimated_completion_time")
    default_minutes = max(LEAST_MINUTES_BY_DEFAULT, 4 * estimated) if estimated else MINUTES_BY_DEFAULT
    return replace(
        columns,
        fields=fields,
        maximum_allowed_time=fields.get("maximum_allowed_time", default_minutes),
        max_submissions_per_participant=config.get("max_submissions_per_participant", 1),
        max_concurrent_submissions=config.get("max_concurrent_submissions", -1),
    )


def columns_of(row: StudyRow) -> StudyColumns:
    """A study's columns, as they are stored now."""
    return StudyColumns(**{field.name: getattr(row, field.name) for field in fields_of(StudyColumns)})


def _with_code(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with a completion code: the one given, else a new one, whose submissions are reviewed by hand."""
    if not fields.get("completion_codes"):
        code = fields.get("completion_code") or "".join(secrets.choice(CODE_ALPHABET) for _ in range(8))
        actions = [{"action": fields.get("completion_code_action") or "MANUALLY_REVIEW"}]
        fields = {
            **fields,
            "completion_codes": [
                {"code": code, "code_type": "COMPLETED", "actor": PARTICIPANT, "actions": actions}
            ],
        }
    return fields


def _resume(fields: dict[str, Any], given: StudyFields, before: Resume) -> Resume:
    try:
        return choose_resume(fields, given.resume, before)
    except ValueError as error:
        raise invalid("resume", str(error)) from None


async def create_study(connection: Connection, caller: Caller, given: StudyInput) -> StudyRow:
    """A new, unpublished study in the workspace of its collection.

    Raises:
        Problem: 400 for what does not fit; 403 as `require` and `require_references` say.
    """
    collection = await _get_collection(connection, caller, given.data_collection_id)
    project = (
        await _find_project(connection, collection.workspace_id, given.project) if given.project else None
    )
    fields = _with_code(_fields(given))
    study_id = uuid4()
    columns = StudyColumns(
        workspace_id=collection.workspace_id,
        collection_id=collection.id,
        project_id=project,
        created_by=caller.id,
        name=given.name,
        total_available_places=given.total_available_places,
        resume=_resume(fields, given, "link"),
    )
    await queries.insert_study(connection, study_id, with_fields(columns, fields))
    await write_entry(connection, caller.actor, "study.create", study_id=study_id)
    row = await get_study(connection, caller, study_id)
    await require_references(connection, caller, row)
    return row


async def patch_study(connection: Connection, caller: Caller, study_id: UUID, given: StudyPatch) -> StudyRow:
    """Change what was given; the rest stays.

    Raises:
        Problem: 404, 400 for what does not fit, 403 as in `create_study`; 409 for fewer places than are taken, or
            another collection of a study that was published.
    """
    row = await get_study(connection, caller, study_id, Action.STUDY_WRITE, lock=True)
    old, new = row.fields, _fields(given)
    if "submissions_config" in new:
        new["submissions_config"] = old.get("submissions_config", {}) | new["submissions_config"]
    fields = _with_code({**old, **new})
    columns = with_fields(columns_of(row), fields)
    if given.resume is not None or SECURED in new:
        columns = replace(columns, resume=_resume(fields, given, row.resume))
    if given.name is not None:
        columns = replace(columns, name=given.name)
    if given.total_available_places is not None:
        if given.total_available_places < row.places_taken:
            raise conflict(f"Places taken already: {row.places_taken:,}; there can't be fewer.")
        columns = replace(columns, total_available_places=given.total_available_places)
    if given.data_collection_id is not None and given.data_collection_id != str(row.collection_id):
        if row.status not in ("UNPUBLISHED", "SCHEDULED"):
            raise conflict("The collection of a published study can't be changed; create another study.")
        collection = await _get_collection(connection, caller, given.data_collection_id)
        columns = replace(columns, collection_id=collection.id, workspace_id=collection.workspace_id)
        if collection.workspace_id != row.workspace_id:
            columns = replace(columns, project_id=None)  # a project is of one workspace
    if given.project and given.project != describe_project(row):
        project = await _find_project(connection, columns.workspace_id, given.project)
        columns = replace(columns, project_id=project)
    await queries.update_study(connection, study_id, columns)
    changed = sorted(given.model_fields_set & set(StudyPatch.model_fields))
    await write_entry(connection, caller.actor, "study.update", study_id=study_id, changed=changed)
    after = await get_study(connection, caller, study_id)
    await require_references(connection, caller, after, row)
    return after


async def transition_study(
    connection: Connection, caller: Caller, study_id: UUID, given: StudyTransition
) -> StudyRow:
    """Do one step of a study's life: publish, schedule, pause, start, stop.

    Raises:
        Problem: 404; 403; 409 from a state that does not have this step; 400 for a time of publishing that is over.
    """
    row = await get_study(connection, caller, study_id, Action.STUDY_WRITE, lock=True)
    action, publish_at = given.action, given.publish_at if given.action == "SCHEDULE_PUBLISH" else None
    if publish_at is not None and publish_at <= await transaction_time(connection):
        raise invalid("publish_at", "Must be in the future; PUBLISH publishes at once.")
    origins, target = TRANSITIONS[action]
    if not await queries.transition_study(connection, study_id, origins, target, publish_at):
        raise conflict(
            f"A study that is {row.status} can't {action}: that needs one that is {' or '.join(origins)}."
        )
    await write_entry(connection, caller.actor, "study.transition", study_id=study_id, step=action)
    return await get_study(connection, caller, study_id)


async def delete_study(connection: Connection, caller: Caller, study_id: UUID) -> None:
    """Delete a study that was never published.

    Raises:
        Problem: 404; 403; 409 for any other study.
    """
    row = await get_study(connection, caller, study_id, Action.STUDY_WRITE, lock=True)
    if not await queries.delete_draft(connection, study_id):
        raise conflict(
            f"Only drafts can be deleted, and this study is {row.status}."
            + (" CANCEL_PUBLISH makes it one." if row.status == "SCHEDULED" else " STOP ends it.")
        )
    await write_entry(
        connection, caller.actor, "study.delete", object_id=study_id, collection_id=row.collection_id
    )


def describe_project(row: StudyRow) -> Any:
    """The id of a study's project, or the text that a client gave to an earlier version; None for none."""
    return str(row.project_id) if row.project_id else row.fields.get("project")


async def list_studies(
    connection: Connection,
    caller: Caller,
    *,
    statuses: list[str] | None = None,
    workspace_id: UUID | None = None,
    collection_id: UUID | None = None,
    project_id: UUID | None = None,
    search: str | None = None,
    limit: int,
    offset: int,
    ordering: list[str] | None = None,
    test: bool = False,
) -> tuple[list[StudyRow], int]:
    """The studies that the caller may see, in the order of `ordering` (SQL), then newest first; and how many there are.

    Args:
        statuses, workspace_id, collection_id, project_id: None for any.
        search: part of a name or internal name, in any case.
        test: list the copies for trying studies instead.

    Raises:
        Problem: 404 for an unknown workspace, 403 for one in which the caller has no role.
    """
    if workspace_id is not None:
        await require_somewhere(connection, caller, Action.STUDY_READ, workspace_id)
    roles = roles_that(caller, Action.STUDY_READ)
    return await queries.list_studies(
        connection,
        caller.id,
        roles,
        statuses,
        workspace_id,
        collection_id,
        project_id,
        search,
        limit,
        offset,
        ordering,
        test=test,
    )


async def describe_studies(
    connection: Connection, caller: Caller, rows: Sequence[StudyRow], origin: str
) -> list[dict[str, Any]]:
    """Studies as the API answers them to this caller. Lists of participants are only for who may see participants' ids.

    Leaves an entry in the audit log if a list of participants is answered.
    """
    collections = {row.collection_id for row in rows}
    shown = await find_allowed(connection, caller, Action.SUBMISSIONS_READ, collections)
    naming = [row for row in rows if row.collection_id in shown and names_participants(row.fields)]
    for row in naming[:1]:
        await write_entry(
            connection,
            caller.actor,
            "study.read",
            study_id=row.id if len(rows) == 1 else None,
            workspace_id=row.workspace_id,
            count=len(naming),
        )
    return [
        describe_study(row if row.collection_id in shown else without_participants(row), origin)
        for row in rows
    ]


def without_participants(row: StudyRow) -> StudyRow:
    """A study without its lists of participants. Unknown fields, which could hold one too, are left out."""
    fields = {name: value for name, value in row.fields.items() if name in IMPERSONAL}
    return replace(row, fields=fields)


def describe_study(row: StudyRow, origin: str) -> dict[str, Any]:
    """A study as the API answers it: what was given, overwritten by what is stored or computed here."""
    fields = row.fields
    name = f"{row.researcher_first_name} {row.researcher_last_name}".strip()
    return {
        **fields,
        "id": row.id,
        "name": row.name,
        "internal_name": fields.get("internal_name", row.name),
        "description": fields.get("description", ""),
        "date_created": row.created_at,
        "published_at": row.published_at,
        "publish_at": row.publish_at,
        "test": row.test,
        "status": row.status,
        "total_available_places": row.total_available_places,
        "places_taken": row.places_taken,
        "reward": fields.get("reward", 0),
        "estimated_completion_time": fields.get("estimated_completion_time", 0),
        "maximum_allowed_time": row.maximum_allowed_time,
        "device_compatibility": fields.get("device_compatibility", []),
        "peripheral_requirements": fields.get("peripheral_requirements", []),
        "eligibility_requirements": fields.get("eligibility_requirements", []),
        "filters": fields.get("filters", []),
        "completion_codes": [{"actor": PARTICIPANT, **code} for code in fields["completion_codes"]],
        "completion_url": fields.get("completion_url", ""),
        "external_study_url": participant_url(origin, row.id),
        "researcher": {
            "id": row.created_by,
            "name": name or row.researcher_email,
            "email": row.researcher_email,
        },
        "submissions_config": {
            **fields.get("submissions_config", {}),
            "max_submissions_per_participant": row.max_submissions_per_participant,
            "max_concurrent_submissions": row.max_concurrent_submissions,
        },
        "resume": row.resume,
        "unenforced": find_unenforced(fields, row.known_studies, row.known_groups),
        "study_type": fields.get("study_type", "SINGLE"),
        "prolific_id_option": fields.get("prolific_id_option", "url_parameters"),
        "workspace": row.workspace_id,
        "project": describe_project(row),
        "data_collection_method": METHOD,
        "data_collection_id": row.collection_id,
    }


def participant_url(origin: str, study_id: UUID) -> str:
    """The participants' link, with the placeholders that recruiting services fill in."""
    return (
        f"{origin}/participate/{study_id}?PROLIFIC_PID={{{{%PROLIFIC_PID%}}}}"
        "&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
    )
