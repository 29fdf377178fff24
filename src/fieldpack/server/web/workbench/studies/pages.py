"""Pages of studies: created in three fields, opened, paused and ended, with the links for participants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from fieldpack.server.accounts.keys import TICKET_LIFE
from fieldpack.server.accounts.permissions.authorization import find_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import get_collection
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, StudyId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.sending.stream import CONTAINED
from fieldpack.server.problems import Problem, invalid, not_found
from fieldpack.server.responses.removal.queries import count_tried
from fieldpack.server.responses.removal.service import erase_trials
from fieldpack.server.studies import copies, service
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.studies.schemas import StudyInput, StudyPatch, StudyTransition
from fieldpack.server.studies.targeting import find_unenforced
from fieldpack.server.submissions.service import count_submissions
from fieldpack.server.tickets.access import study_page
from fieldpack.server.tickets.addresses import find_addresses
from fieldpack.server.tickets.schemas import MANY, LinksInput
from fieldpack.server.tickets.service import request_links, write_csv
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.catalogue import message
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other
from fieldpack.server.web.workbench.studies.codes import ACTORS, digest, read_codes, rows_of

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

Model = TypeVar("Model", bound=BaseModel)
METHOD = "AI_TASK_BUILDER_COLLECTION"
STEP_TEXTS = {
    "PUBLISH": message("study.publish"),
    "PAUSE": message("files.pause"),
    "START": message("study.resume"),
    "STOP": message("study.stop"),
}
LINK_TEXTS = {
    "recruiting": message("researcher.link"),
    "ask": message("study.link_ask"),
    "own": message("study.link_own"),
}
ACTOR_TEXTS = {
    "participant": message("overview.participants"),
    "researcher": message("study.actor_researcher"),
}
ERASING_SECONDS = 10.0  # of one request; what is left is said, and whoever wants goes on
MOST_TYPED = 1_000_000  # characters that a page gives back


def _whole(text: str) -> int | None:
    """A whole number that somebody typed, with grouping or without; None for an empty text."""
    digits = "".join(text.split()).replace(".", "").replace(",", "")
    return read_whole(digits)


@router.get("/workbench/collections/{collection_id}/studies/new")
async def ask_for_study(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """A form for what a study needs: name, places, minutes."""
    return await _ask_for_study(request, context, caller, collection_id, {"places": "100"})


async def _ask_for_study(
    request: Request,
    context: CurrentContext,
    caller: Caller,
    collection_id: CollectionId,
    given: dict[str, str],
    wrong: str = "",
) -> Response:
    async with context.database.transaction() as connection:
        collection = await get_collection(connection, caller, collection_id, Action.STUDY_WRITE)
    return render(
        request,
        "study_new.html",
        status=400 if wrong else 200,
        caller=caller,
        collection=collection,
        base=f"/workbench/collections/{collection_id}",
        name=given.get("name") or collection.name,
        places=given.get("places", ""),
        minutes=given.get("minutes", ""),
        wrong=wrong,
    )


@router.post("/workbench/collections/{collection_id}/studies/new")
async def create_study(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """A new study, not yet open."""
    form = await read_unknown_form(request)
    given = {name: text_of(form, name).strip() for name in ("name", "places", "minutes")}
    body: dict[str, Any] = {
        "name": given["name"],
        "total_available_places": _whole(given["places"]),
        "data_collection_method": METHOD,
        "data_collection_id": str(collection_id),
    }
    if given["minutes"]:
        body["estimated_completion_time"] = _whole(given["minutes"])
    try:
        async with context.database.transaction() as connection:
            row = await service.create_study(connection, caller, StudyInput.model_validate(body))
    except ValidationError:
        wrong = catalogue_of(request).text("study.wrong")
        return await _ask_for_study(request, context, caller, collection_id, given, wrong)
    return see_other(f"/workbench/studies/{row.id}")


@router.get("/workbench/studies/{study_id}")
async def show_study(
    request: Request, context: CurrentContext, caller: SignedIn, study_id: StudyId
) -> Response:
    """One study: its state, what can be done with it, its links."""
    return await _show_study(request, context, caller, study_id)


async def _show_study(
    request: Request,
    context: CurrentContext,
    caller: Caller,
    study_id: StudyId,
    *,
    refusal: str = "",
    status: int = 200,
    trial: str = "",
    typed: str = "",
    erased: int = 0,
) -> Response:
    async with context.database.transaction() as connection:
        row = await service.get_study(connection, caller, study_id)
        counts = await count_submissions(connection, study_id)
        collection = await get_collection(connection, caller, row.collection_id)
        may_write = await _may(connection, caller, Action.STUDY_WRITE, row)
        may_erase = await _may(connection, caller, Action.SUBMISSION_ERASE, row)
        tried = await count_tried(connection, study_id)
    catalogue = catalogue_of(request)
    return render(
        request,
        "study.html",
        status=status,
        caller=caller,
        study=row,
        collection=collection,
        base=f"/workbench/collections/{row.collection_id}",
        counts=[
            (views.state_text(state, catalogue), state, count)
            for state, count in counts.items()
            if state != "TOTAL"
        ],
        total=counts["TOTAL"],
        steps=[
            (action, catalogue.text(text))
            for action, text in STEP_TEXTS.items()
            if may_write and row.status in service.TRANSITIONS[action][0]
        ],
        may_write=may_write,
        is_draft=row.status == "UNPUBLISHED",
        links=[
            (address, catalogue.text(LINK_TEXTS[address.kind]))
            for address in find_addresses(origin_of(request, context), study_id)
        ],
        trial=trial,
        tried=tried,
        may_erase=may_erase,
        erased=erased,
        typed=typed,
        most_days=TICKET_LIFE.days,
        codes=rows_of(row.fields["completion_codes"]),
        seen=digest(row.fields["completion_codes"]),
        actors=[(actor, catalogue.text(ACTOR_TEXTS[actor])) for actor in ACTORS],
        unenforced=find_unenforced(row.fields, row.known_studies, row.known_groups),
        refusal=refusal,
    )


async def _may(connection: Connection, caller: Caller, action: Action, row: StudyRow) -> bool:
    return row.collection_id in await find_allowed(connection, caller, action, [row.collection_id])


@router.post("/workbench/studies/{study_id}")
async def change_study(
    request: Request, context: CurrentContext, caller: SignedIn, study_id: StudyId
) -> Response:
    """Do a step of the study's life, change places, time or codes, try it out or forget that, copy it, delete a
    draft."""
    form = await read_unknown_form(request)
    go = text_of(form, "go")
    where, trial = f"/workbench/studies/{study_id}", ""
    try:
        if go == "forget":
            erased, _ = await erase_trials(context, caller, study_id, ERASING_SECONDS)
            return await _show_study(request, context, caller, study_id, erased=erased)
        async with context.database.transaction() as connection:
            if go in STEP_TEXTS:
                await service.transition_study(
                    connection, caller, study_id, _validated(StudyTransition, action=go)
                )
            elif go == "change":
                given = {
                    "total_available_places": _whole(text_of(form, "places")),
                    "maximum_allowed_time": _whole(text_of(form, "minutes")),
                }
                changed = {name: value for name, value in given.items() if value is not None}
                if not changed:
                    raise invalid("places", catalogue_of(request).text("study.wrong"))
                await service.patch_study(connection, caller, study_id, _validated(StudyPatch, **changed))
            elif go == "codes":
                row = await service.get_study(connection, caller, study_id, Action.STUDY_WRITE, lock=True)
                codes = read_codes(form, row.fields["completion_codes"])
                patch = _validated(StudyPatch, completion_codes=codes)
                await service.patch_study(connection, caller, study_id, patch)
            elif go == "try":
                row = await copies.make_trial(connection, caller, study_id)
                trial = copies.trial_url(origin_of(request, context), row.id)
            elif go == "clone":
                row = await copies.clone_study(connection, caller, study_id, block_previous=True)
                where = f"/workbench/studies/{row.id}"
            elif go == "delete":
                row = await service.get_study(connection, caller, study_id)
                await service.delete_study(connection, caller, study_id)
                where = f"/workbench/collections/{row.collection_id}"
            else:
                raise invalid("go", "Unknown action.")
    except ValidationError:
        wrong = catalogue_of(request).text("study.wrong")
        return await _show_study(request, context, caller, study_id, refusal=wrong, status=400)
    except Problem as problem:
        if problem.type.status not in (400, 409):
            raise
        sentence, status = views.say_problem(problem), problem.type.status
        return await _show_study(request, context, caller, study_id, refusal=sentence, status=status)
    if trial:
        return await _show_study(request, context, caller, study_id, trial=trial)
    return see_other(where)


@router.get("/workbench/studies/{study_id}/qr/{kind}.svg")
async def show_code(
    request: Request, context: CurrentContext, caller: SignedIn, study_id: StudyId, kind: str
) -> Response:
    """A link as a QR code, for a page and for print."""
    async with context.database.transaction() as connection:
        await service.get_study(connection, caller, study_id)
    found = [each.svg for each in find_addresses(origin_of(request, context), study_id) if each.kind == kind]
    if not found or found[0] is None:
        raise not_found("Link", kind)
    headers = {**CONTAINED, "Content-Disposition": f'inline; filename="{study_id}-{kind}.svg"'}
    return Response(found[0], media_type="image/svg+xml", headers=headers)


@router.post("/workbench/studies/{study_id}/links")
async def make_links(
    request: Request, context: CurrentContext, caller: SignedIn, study_id: StudyId
) -> Response:
    """Personal links as CSV, for the participants whose ids were typed, one on each line."""
    form = await read_unknown_form(request)
    typed, days = text_of(form, "participants"), text_of(form, "days").strip()
    try:
        until = _whole(days) if days else None
        if days and not 1 <= (until or 0) <= TICKET_LIFE.days:
            raise invalid("days", catalogue_of(request).text("study.days_wrong", most=TICKET_LIFE.days))
        given = _validated(
            LinksInput,
            participant_ids=[line.strip() for line in typed.splitlines() if line.strip()],
            expires_at=datetime.now(UTC) + timedelta(days=until) if until else None,
            once=bool(text_of(form, "once")),
        )
        async with context.database.transaction() as connection:
            page = study_page(request, context, study_id)
            links = await request_links(connection, caller, study_id, page, given)
    except ValidationError:
        async with context.database.transaction() as connection:
            await service.get_study(connection, caller, study_id, Action.STUDY_WRITE)
        wrong = catalogue_of(request).text("study.ids_wrong", most=MANY)
        return await _show_study(
            request, context, caller, study_id, refusal=wrong, status=400, typed=typed[:MOST_TYPED]
        )
    except Problem as problem:
        if problem.type.status != 400:
            raise
        sentence = views.say_problem(problem)
        return await _show_study(
            request, context, caller, study_id, refusal=sentence, status=400, typed=typed[:MOST_TYPED]
        )
    headers = {
        "Content-Disposition": f'attachment; filename="{study_id}-links.csv"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(write_csv(links), media_type="text/csv; charset=utf-8", headers=headers)


def _validated(model: type[Model], **given: Any) -> Model:
    return model.model_validate(given)
