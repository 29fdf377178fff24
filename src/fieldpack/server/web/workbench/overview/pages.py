"""The page of a collection's overview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.permissions.authorization import find_offered
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.responses.overview.gathering import LARGE
from fieldpack.server.responses.overview.service import Overview, QuestionCounts, get_overview, hide_texts
from fieldpack.server.responses.overview.watching import Numbers
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web import queries
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.collections.management import collection_path
from fieldpack.server.web.workbench.overview.drawing import Drawn, draw_completed, draw_question
from fieldpack.server.web.workbench.overview.figures import say_figures
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

CHARTS = 20  # questions whose charts are on one page
OFFERED = {
    "read": Action.RESPONSES_READ,
    "export": Action.EXPORTS_CREATE,
    "write": Action.STUDY_WRITE,
    "erase": Action.SUBMISSION_ERASE,
}
Text = Annotated[str, Query()]


@dataclass(frozen=True, slots=True)
class Group:
    """The questions of one page of a collection.

    Attributes:
        page: its number; None for what is asked no more.
        left: how many left on it.
    """

    page: int | None
    questions: list[QuestionCounts]
    left: int


@router.get("/workbench/collections/{collection_id}")
async def show_overview(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    first: Annotated[str, Query(alias="from")] = "",
    texts: Text = "",
) -> Response:
    """A collection in numbers and charts."""
    async with context.database.transaction() as connection:
        allowed = await find_offered(connection, caller, collection_id, OFFERED)
        studies = await queries.list_studies(connection, [collection_id])
    with_texts = texts == "yes" and allowed["read"]
    # texts of somebody who was erased a moment ago are not shown
    found = await get_overview(context, caller, collection_id, texts=with_texts, patient=with_texts)
    catalogue = catalogue_of(request)
    path = collection_path(collection_id)
    responses = f"{path}/responses" if allowed["read"] else None
    groups = _group(found)
    begin = min(read_whole(first) or 0, max(len(found.questions) - 1, 0)) // CHARTS * CHARTS
    kept = [("texts", "yes")] if with_texts else []
    gathered = found.gathered

    def charts_from(number: int) -> str | None:
        there = 0 <= number < len(found.questions)
        return f"{views.link_to(path, [('from', str(number)), *kept])}#charts" if there else None

    return render(
        request,
        "overview.html",
        caller=caller,
        collection=found.collection,
        path=path,
        allowed=allowed,
        studies=studies,
        figures=say_figures(Numbers(found.counts, gathered), catalogue),
        gathered_at=gathered.at if gathered is not None else None,
        is_large=gathered is None or gathered.is_large,
        large=LARGE,
        days=draw_completed(found.days, catalogue, responses) if found.days else "",
        groups=groups,
        most_left=max((each.left for each in found.questions), default=0),
        left_at_once=gathered.left.get("", 0) if gathered is not None else 0,
        charts=_draw(found, begin, catalogue, responses, with_texts=with_texts),
        texts=with_texts,
        show_texts=f"{views.link_to(path, [('texts', 'yes')])}#charts",
        previous=charts_from(begin - CHARTS),
        following=charts_from(begin + CHARTS),
    )


def _group(found: Overview) -> list[Group]:
    groups: dict[int | None, list[QuestionCounts]] = {}
    for each in found.questions:
        groups.setdefault(None if each.question.retired else each.question.page_order, []).append(each)
    numbers = {page: at for at, page in enumerate((page for page in groups if page is not None), 1)}
    return [
        Group(None if page is None else numbers[page], questions, sum(each.left for each in questions))
        for page, questions in groups.items()
    ]


def _draw(
    found: Overview, begin: int, catalogue: Catalogue, responses: str | None, *, with_texts: bool
) -> list[Drawn]:
    """The charts of some of the questions, from one on; of what is asked no more those that somebody answered."""
    gathered = found.gathered
    if gathered is None:
        return []
    shown = []
    for each in found.questions[begin : begin + CHARTS]:
        question = gathered.questions[str(each.question.id)]
        if question.answered or not each.question.retired:
            question = question if with_texts else hide_texts(question)
            shown.append(draw_question(question, gathered.spread.submitted, catalogue, responses))
    return shown
