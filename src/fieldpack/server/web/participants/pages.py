"""The participant's pages after the start: questions, review, and what comes after submitting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from fieldpack.server.collections.queries import get_version
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import SubmissionId
from fieldpack.server.http.large import Shown, run_large
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import ANSWERS_INCOMPLETE, Problem, not_found
from fieldpack.server.studies.completion_codes import code_given
from fieldpack.server.studies.resuming import resume_on_page
from fieldpack.server.submissions import lifecycle
from fieldpack.server.submissions.access import find_participant
from fieldpack.server.submissions.answering.answers import find_broken
from fieldpack.server.submissions.answering.handing_in import submit
from fieldpack.server.submissions.answering.queries import list_answers
from fieldpack.server.submissions.beginning.codes import get_code
from fieldpack.server.submissions.rows import AnswerRow, SubmissionRow
from fieldpack.server.uploads import service as uploads
from fieldpack.server.uploads.rows import FileRow
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.participants.contacts import StudyPageRoute
from fieldpack.server.web.participants.entrance import Text, see_other
from fieldpack.server.web.participants.forms import Outcome, read_form, save_page, text_of
from fieldpack.server.web.participants.readings import groups_by_point
from fieldpack.server.web.participants.views import describe_broken, number_pages, questions_of, view_pages
from fieldpack.server.web.rendering import catalogue_of, render, state_page

router = APIRouter(route_class=StudyPageRoute, include_in_schema=False)

REVIEW = "review"
SHOWN_AT_ONCE = 16  # characters of answers that are shown as quickly as one that is sent is read
URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=~"


# the questions


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The content of a submission's pages."""

    body: dict[str, Any]  # the collection as it was when the participant started
    saved: list[AnswerRow]
    files: list[FileRow]
    code: str | None  # see `_code_of`

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        """The saved answers, by instruction id."""
        return {str(row.instruction_id): row.value for row in self.saved}

    @property
    def revisions(self) -> dict[str, int]:
        """How often each answer was saved, by instruction id."""
        return {str(row.instruction_id): row.revision for row in self.saved}


async def _load(context: Context, submission: SubmissionRow) -> _Loaded:
    async with context.database.transaction() as connection:
        return _Loaded(
            await get_version(connection, submission.collection_id, submission.collection_version),
            await list_answers(connection, submission.id),
            await uploads.list_files(connection, submission.id),
            await _code_of(connection, submission),
        )


async def _code_of(connection: Connection, submission: SubmissionRow) -> str | None:
    """The code with which to go on in another browser; None where the link is enough, or only a signed link is."""
    resume = resume_on_page(submission.study_resume, submission.session_id)
    return await get_code(connection, submission.id) if resume == "code" else None


@router.get("/participate/submissions/{submission_id}")
async def resume(
    request: Request, context: CurrentContext, submission_id: SubmissionId, again: Text = ""
) -> Response:
    """Redirect to the page of the participant's last answer."""
    submission = await find_participant(request, submission_id)
    path = f"/participate/submissions/{submission.id}"
    if submission.response == "active":
        return see_other(f"{path}/done{'?already=1' if again else ''}")
    if submission.status == "RETURNED":
        return state_page(request, "returned")
    loaded = await _load(context, submission)
    return see_other(f"{path}/{_last_page(loaded)}?resumed=1")


def _last_page(loaded: _Loaded) -> int:
    """The page of the newest answer or file; the first when there is none."""
    did = [(row.updated_at, str(row.instruction_id)) for row in loaded.saved]
    did += [(file.created_at, str(file.instruction_id)) for file in loaded.files]
    return number_pages(loaded.body).get(max(did)[1], 1) if did else 1


@router.get("/participate/submissions/{submission_id}/done")
async def show_done(
    request: Request, context: CurrentContext, submission_id: SubmissionId, already: Text = ""
) -> Response:
    """The completion code."""
    submission = await find_participant(request, submission_id)
    if submission.response != "active":
        return see_other(f"/participate/submissions/{submission.id}")
    fields = submission.study_fields
    code, _ = code_given(fields["completion_codes"], submission.study_code)
    return render(
        request,
        "done.html",
        submission_id=submission.id,
        code=code,
        url=fields.get("completion_url", ""),
        already=bool(already),
        late=submission.status == "TIMED-OUT",
        return_requested=submission.return_requested,
        preview="",
    )


@router.get("/participate/submissions/{submission_id}/return")
async def ask_to_return(request: Request, context: CurrentContext, submission_id: SubmissionId) -> Response:
    """Ask whether the participant wants to give up."""
    submission = await find_participant(request, submission_id)
    if not submission.open and (submission.status == "RETURNED" or not submission.return_requested):
        return see_other(f"/participate/submissions/{submission.id}?again=1")
    async with context.database.transaction() as connection:
        code = await _code_of(connection, submission) if submission.open else None
    return render(
        request,
        "return.html",
        submission_id=submission.id,
        requested=submission.return_requested is not None,
        code=code,
    )


@router.get("/participate/submissions/{submission_id}/later")
async def show_later(request: Request, context: CurrentContext, submission_id: SubmissionId) -> Response:
    """The page for a participant who leaves for now: how they can come back."""
    submission = await find_participant(request, submission_id)
    if not submission.open:
        return see_other(f"/participate/submissions/{submission.id}?again=1")
    async with context.database.transaction() as connection:
        code = await _code_of(connection, submission)
    return render(
        request, "later.html", submission_id=submission.id, code=code, resume=submission.study_resume
    )


@router.post("/participate/submissions/{submission_id}/return")
async def return_submission(
    request: Request, context: CurrentContext, submission_id: SubmissionId
) -> Response:
    """Give up the submission."""
    submission = await find_participant(request, submission_id)
    async with context.database.transaction() as connection:
        await lifecycle.return_submission(connection, submission.id)
    return see_other(f"/participate/submissions/{submission.id}")


@router.get("/participate/submissions/{submission_id}/{step}")
async def show_step(
    request: Request, context: CurrentContext, submission_id: SubmissionId, step: str
) -> Response:
    """One page of questions, or the review. It contains the other pages too, which scripts switch between."""
    submission = await find_participant(request, submission_id)
    if not submission.open:
        return see_other(f"/participate/submissions/{submission.id}?again=1")
    loaded = await _load(context, submission)
    return await _show(request, context, submission, loaded, _parse_step(step, loaded.body), Outcome())


def _parse_step(step: str, body: dict[str, Any]) -> int | str:
    if step == REVIEW:
        return REVIEW
    at = read_whole(step)
    if at is None or not 1 <= at <= len(body["collection_items"]):
        raise not_found("Page", step)
    return at


async def _show(
    request: Request,
    context: Context,
    submission: SubmissionRow,
    loaded: _Loaded,
    step: int | str,
    outcome: Outcome,
    *,
    status: int = 200,
) -> Response:
    """The form, made in a thread where it is large: it shows each answer twice, and escaped."""
    texts = [*loaded.answers.values(), *outcome.unsaved.values()]
    size = sum(len(str(answer.get("value", ""))) for answer in texts)
    return await run_large(
        context.caches,
        Shown,
        size // SHOWN_AT_ONCE,
        _show_form,
        request,
        submission,
        loaded,
        step,
        outcome,
        status=status,
    )


def _show_form(
    request: Request,
    submission: SubmissionRow,
    loaded: _Loaded,
    step: int | str,
    outcome: Outcome,
    *,
    status: int = 200,
) -> Response:
    catalogue = catalogue_of(request)
    base = f"/participate/submissions/{submission.id}/"
    pages = view_pages(
        loaded.body,
        catalogue,
        answers={**loaded.answers, **outcome.unsaved},
        revisions=loaded.revisions,
        files=loaded.files,
        errors=outcome.errors,
        unclear=outcome.unclear,
    )
    deadline: datetime | None = submission.deadline_at
    late = submission.status == "TIMED-OUT" or submission.overdue
    return render(
        request,
        "form.html",
        status=status,
        task_name=loaded.body["task_details"]["task_name"],
        pages=pages,
        step=step,
        base=base,
        action=f"{base}{step}",
        error_rows=error_rows(loaded.body, outcome.errors, base, step),
        submission_id=submission.id,
        deadline=deadline,
        seconds_left=(deadline - datetime.now(UTC)).total_seconds() if deadline else None,
        late=late,
        code=loaded.code,
        preview="",
        state={
            "submission": submission.id,
            "api": f"/api/v1/participate/submissions/{submission.id}",
            "base": base,
            "step": step,
            "files": loaded.files,
            "unsaved": list(outcome.unsaved),
            "preview": False,
            "texts": catalogue.for_browser(),
            "language": catalogue.language,
            "point_groups": groups_by_point(request.headers.get("accept-language", "")),
        },
    )


def error_rows(
    body: dict[str, Any], errors: dict[str, list[str]], base: str, step: int | str
) -> list[dict[str, str]]:
    """Links to the questions with errors, in the order of the questions."""
    rows = []
    pages = number_pages(body) if errors else {}
    for item in questions_of(body):
        if item["id"] in errors:
            page = pages[item["id"]]
            path = "" if page == step else f"{base}{page}"
            rows.append({"href": f"{path}#q-{item['id']}", "label": item["description"]})
    return rows


@router.post("/participate/submissions/{submission_id}/{step}")
async def post_step(
    request: Request, context: CurrentContext, submission_id: SubmissionId, step: str
) -> Response:
    """Without scripts: save the page, then go where the pressed button leads, or show what is wrong."""
    submission = await find_participant(request, submission_id)
    if not submission.open:  # perhaps in another tab
        return see_other(f"/participate/submissions/{submission.id}?again=1")
    loaded = await _load(context, submission)
    at = _parse_step(step, loaded.body)
    async with read_form(request, context, submission, questions_of(loaded.body)) as form:
        return await _take_step(request, context, submission, loaded, at, form)


async def _take_step(
    request: Request,
    context: Context,
    submission: SubmissionRow,
    loaded: _Loaded,
    at: int | str,
    form: FormData,
) -> Response:
    catalogue = catalogue_of(request)
    go = text_of(form, "go")
    base = f"/participate/submissions/{submission.id}/"
    if at == REVIEW:
        if go == "back":
            return see_other(f"{base}{len(loaded.body['collection_items'])}")
        return await _submit(request, context, submission, loaded, catalogue)
    assert isinstance(at, int)
    questions = questions_of(loaded.body, at)
    remove = text_of(form, "remove")
    if remove:
        await uploads.remove_upload(context, submission.id, submission.study_id, parse_id("Upload", remove))
        go = "stay"
    outcome = await save_page(
        context,
        submission,
        questions,
        form,
        catalogue,
        point_groups=groups_by_point(request.headers.get("accept-language", "")),
    )
    loaded = await _load(context, submission)
    if go == "next" and not outcome.errors:
        broken = find_broken(questions, loaded.answers, loaded.files)
        outcome.errors = _in_words(broken, catalogue)
    if outcome.errors and go != "back":
        return await _show(request, context, submission, loaded, at, outcome, status=400)
    if go == "stay":
        return see_other(f"{base}{at}")
    if go == "back":
        return see_other(f"{base}{max(at - 1, 1)}")
    return see_other(f"{base}{at + 1 if at < len(loaded.body['collection_items']) else REVIEW}")


def _in_words(broken: dict[str, Any], catalogue: Catalogue) -> dict[str, list[str]]:
    return {
        item_id: [describe_broken(rule, catalogue) for rule in rules] for item_id, rules in broken.items()
    }


async def _submit(
    request: Request,
    context: Context,
    submission: SubmissionRow,
    loaded: _Loaded,
    catalogue: Catalogue,
) -> Response:
    try:
        async with context.turns.saving(), context.database.statements() as connection:
            answer = await submit(connection, context.caches, submission)
    except Problem as problem:
        if problem.type is not ANSWERS_INCOMPLETE:
            raise
        items = questions_of(loaded.body)
        broken = find_broken(items, loaded.answers, loaded.files)
        outcome = Outcome(errors=_in_words(broken, catalogue))
        return await _show(request, context, submission, loaded, REVIEW, outcome, status=400)
    response: Response = see_other(f"/participate/submissions/{submission.id}/done")
    if answer["completion_url"]:
        # not a redirect: browsers block one to another site after a form, because of `form-action 'self'`
        fresh = await find_participant(request, submission.id)
        response = render(
            request,
            "done.html",
            submission_id=submission.id,
            code=answer["completion_code"],
            url=answer["completion_url"],
            already=False,
            late=answer["status"] == "TIMED-OUT",
            return_requested=fresh.return_requested,
            preview="",
        )
        # headers are ASCII only
        response.headers["Refresh"] = f"0; url={quote(answer['completion_url'], safe=URL_CHARACTERS)}"
    return response


__all__ = ["error_rows", "router"]
