"""The audit log of a workspace, with filters: for its owners."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.audit import service
from fieldpack.server.audit.access import read_log
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import WorkspaceId
from fieldpack.server.problems import not_found
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute

__all__ = ["router", "show_entry"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

PAGE_SIZE = 100
MOST_PAGES = 10_000

Text = Annotated[str, Query()]

# in the order in which the filter lists them
ACTIONS = {
    "response.list": message("audit.response_list"),
    "response.read": message("audit.response_read"),
    "note.list": message("audit.note_list"),
    "correction.list": message("audit.correction_list"),
    "submission.list": message("audit.submission_list"),
    "submission.read": message("audit.submission_read"),
    "file.read": message("audit.file_read"),
    "file.list": message("audit.file_list"),
    "archive.download": message("audit.archive_download"),
    "audit.list": message("audit.audit_list"),
    "submission.start": message("audit.submission_start"),
    "submission.submit": message("audit.submission_submit"),
    "submission.return": message("audit.submission_return"),
    "submission.transition": message("audit.submission_transition"),
    "submission.update": message("audit.submission_update"),
    "submission.request_return": message("audit.submission_request_return"),
    "submission.erase": message("audit.submission_erase"),
    "assignment.create": message("audit.assignment_create"),
    "assignment.delete": message("audit.assignment_delete"),
    "decision.hold": message("audit.decision_hold"),
    "decision.undo": message("audit.decision_undo"),
    "decision.drop": message("audit.decision_drop"),
    "correction.create": message("audit.correction_create"),
    "note.create": message("audit.note_create"),
    "note.delete": message("audit.note_delete"),
    "export.request": message("audit.export_request"),
    "export.link": message("audit.export_link"),
    "export.delete": message("audit.export_delete"),
    "collection.create": message("audit.collection_create"),
    "collection.update": message("audit.collection_update"),
    "study.read": message("audit.study_read"),
    "project.create": message("audit.project_create"),
    "project.update": message("audit.project_update"),
    "study.create": message("audit.study_create"),
    "study.update": message("audit.study_update"),
    "study.delete": message("audit.study_delete"),
    "study.links": message("audit.study_links"),
    "study.transition": message("audit.study_transition"),
    "group.read": message("audit.group_read"),
    "group.create": message("audit.group_create"),
    "group.update": message("audit.group_update"),
    "group.delete": message("audit.group_delete"),
    "hook.secret": message("audit.hook_secret"),
    "hook.create": message("audit.hook_create"),
    "hook.update": message("audit.hook_update"),
    "hook.delete": message("audit.hook_delete"),
    "hook.send": message("audit.hook_send"),
    "picture.create": message("audit.picture_create"),
    "invitation.create": message("audit.invitation_create"),
    "invitation.revoke": message("audit.invitation_revoke"),
    "invitation.accept": message("audit.invitation_accept"),
    "member.create": message("audit.member_create"),
    "member.update": message("audit.member_update"),
    "member.delete": message("audit.member_delete"),
    "workspace.create": message("audit.workspace_create"),
    "workspace.update": message("audit.workspace_update"),
}
FAULTS = {
    "since": message("audit.no_time"),
    "until": message("audit.no_time"),
    "object": message("audit.no_id"),
    "action": message("audit.no_action"),
}


@router.get("/workbench/workspaces/{workspace_id}/audit")
async def show_log(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    workspace_id: WorkspaceId,
    since: Text = "",
    until: Text = "",
    actor: Text = "",
    action: Text = "",
    object: Text = "",
    page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
) -> Response:
    """The workspace's audit log, newest first, with filters."""
    words = catalogue_of(request)
    given = {"since": since, "until": until, "actor": actor, "action": action, "object": object}
    errors = dict.fromkeys(given, "")
    try:
        wanted = service.parse_wanted(**given)
    except service.UnclearFilter as error:
        errors[error.name] = words.text(FAULTS[error.name])
        wanted = service.Wanted()
    async with context.database.transaction() as connection:
        entries, count = await read_log(
            connection, caller, workspace_id, wanted, PAGE_SIZE, (page - 1) * PAGE_SIZE
        )
        workspace = await account_queries.find_workspace(connection, workspace_id)
    if workspace is None:
        raise not_found("Workspace", workspace_id)

    def link_to(number: int) -> str:
        named = {name: value for name, value in given.items() if value}
        return "?" + urlencode({**named, "page": number})

    return render(
        request,
        "audit.html",
        status=400 if any(errors.values()) else 200,
        caller=caller,
        workspace=workspace.title,
        given=given,
        errors=errors,
        actions={name: words.text(key) for name, key in ACTIONS.items()},
        entries=[show_entry(words, entry) for entry in entries],
        count=count,
        newer=link_to(page - 1) if page > 1 else None,
        older=link_to(page + 1) if page * PAGE_SIZE < count else None,
    )


def show_entry(words: Catalogue, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as text; its subjects by name, until they are erased."""
    actor, about = entry["actor"], entry["object"]
    kinds = {
        "researcher": words.text("audit.researcher"),
        "participant": words.text("audit.participant"),
        "link": words.text("audit.link"),
        "operator": words.text("audit.operator"),
    }
    credentials = {
        "token": words.text("audit.by_token"),
        "session": words.text("audit.by_session"),
        "link": words.text("audit.by_link"),
    }
    key = ACTIONS.get(entry["action"])
    erased = about["subject_id"] is not None and about["submission_id"] is None and about["id"] is None
    return {
        "at": datetime.fromisoformat(entry["at"]),
        "who": actor["email"] or kinds[actor["type"]],
        "by": credentials[entry["credential"]["type"]] if entry["credential"] else "",
        "address": entry["address"] or "",
        "what": words.text(key) if key else entry["action"],
        "about": about["submission_id"] or about["id"] or entry["collection_id"] or "",
        "subject": about["subject_id"] if erased else "",
        "details": ", ".join(f"{name}: {_plain(value)}" for name, value in entry["details"].items()),
        "sealed": entry["position"] is not None,
    }


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
