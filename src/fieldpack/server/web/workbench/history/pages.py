"""What happened to one response: its states, who did or saw what for who may know, and the exports that hold it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from fieldpack.server.collections.service import get_collection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import SubmissionId
from fieldpack.server.responses.history.rows import ChangeRow
from fieldpack.server.responses.history.service import read_history
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.audit.pages import show_entry
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute

__all__ = ["router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

RESPONSES = {
    "in_progress": message("history.in_progress"),
    "active": message("history.active"),
    "no_submission": message("history.no_submission"),
}


@router.get("/workbench/submissions/{submission_id}/history")
async def show_history(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """All that happened to a response."""
    async with context.database.transaction() as connection:
        history = await read_history(connection, caller, submission_id)
        collection = await get_collection(connection, caller, history.row.collection_id)
    catalogue = catalogue_of(request)
    return render(
        request,
        "history.html",
        caller=caller,
        collection=collection,
        base=f"/workbench/collections/{collection.id}",
        back=f"/workbench/submissions/{submission_id}",
        row=history.row,
        changes=[(each, _say(each, catalogue)) for each in history.changes],
        entries=None
        if history.entries is None
        else [show_entry(catalogue, each) for each in history.entries],
        exports=history.exports,
    )


def _say(change: ChangeRow, catalogue: Catalogue) -> str:
    if change.type == "submission.response" and change.response in RESPONSES:
        return catalogue.text(RESPONSES[change.response])
    if change.type == "submission.corrected":
        return catalogue.text("audit.correction_create")
    return views.state_text(change.status, catalogue)
