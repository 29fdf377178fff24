"""What clients send costs time in proportion to limits that are settings, and never everybody's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, field_validator
from starlette.responses import Response

from fieldpack.server.caches import Caches
from fieldpack.server.collections.limits import check_limits
from fieldpack.server.collections.schemas import CollectionInput
from fieldpack.server.config import Settings
from fieldpack.server.http.intake import forms
from fieldpack.server.http.large import LARGE_BYTES, LargeWork, Participants, Researchers, run_large
from fieldpack.server.http.routing import ApiRoute
from fieldpack.server.problems import BUSY, Problem
from fieldpack.server.selection.filters import parse_filter
from fieldpack.server.submissions.answering.answers import find_broken
from fieldpack.server.submissions.answering.saving import MOST_TOGETHER, read_map
from fieldpack.server.uploads.rows import FileRow
from fieldpack.server.values.entries import MOST_NAMED
from fieldpack.server.values.html import MAX_TABLE_CELLS, count_table_cells, sanitise
from fieldpack.server.values.markup import MAX_NESTING, TooDeep
from tests.proportion import require_proportional

TASK = {"task_name": "T", "task_introduction": "I", "task_steps": "S"}
SETTINGS = Settings(
    max_collection_pages=3,
    max_collection_items=5,
    max_options=4,
    max_markup_characters=10,
    max_collection_markup_characters=25,
)


def text(content: str) -> dict[str, Any]:
    return {"type": "rich_text", "content": content}


def choice(options: int, name: str = "options") -> dict[str, Any]:
    kind = "multiple_choice" if name == "options" else "free_text_with_unit"
    return {"type": kind, "description": "D", name: [{"label": "L", "value": str(n)} for n in range(options)]}


def body(*pages: list[dict[str, Any]], **task: str) -> dict[str, Any]:
    return {
        "workspace_id": "w",
        "name": "N",
        "task_details": {**TASK, **task},
        "collection_items": [{"page_items": items} for items in pages],
    }


QUESTION = {"type": "free_text", "description": "D"}
looked: dict[str, int] = {}
"""By which thread a body was checked."""


class Texts(BaseModel):
    texts: list[int] | list[str]

    @field_validator("texts")
    @classmethod
    def _look(cls, value: list[str]) -> list[str]:
        looked["model"] = threading.get_ident()
        return value


EDGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (body(*[[QUESTION]] * 3), body(*[[QUESTION]] * 4), "collection_items"),
    (body([QUESTION] * 5), body([QUESTION] * 3, [QUESTION] * 3), "collection_items"),
    (body([QUESTION, choice(4)]), body([QUESTION, choice(5)]), "collection_items.0.page_items.1.options"),
    (
        body([choice(4, "unit_options")]),
        body([choice(5, "unit_options")]),
        "collection_items.0.page_items.0.unit_options",
    ),
    (body([text("x" * 10)]), body([QUESTION], [text("x" * 11)]), "collection_items.1.page_items.0.content"),
    (body([QUESTION], task_steps="x" * 10), body([QUESTION], task_steps="x" * 11), "task_details.task_steps"),
    (
        body([text("x" * 10), text("x" * 10), text("x" * 3)]),
        body([text("x" * 10), text("x" * 10), text("x" * 4)]),
        "collection_items.0.page_items.2.content",
    ),
]


@pytest.mark.parametrize(("accepted", "refused", "path"), EDGES)
def test_the_edge_is_accepted_and_one_more_refused(
    accepted: dict[str, Any], refused: dict[str, Any], path: str
) -> None:
    check_limits(accepted, SETTINGS)
    CollectionInput.model_validate(accepted)
    with pytest.raises(Problem, match="at most") as caught:
        check_limits(refused, SETTINGS)
    assert isinstance(caught.value.detail, dict)
    assert (caught.value.type.status, list(caught.value.detail)) == (400, [path])


@pytest.mark.parametrize("odd", [None, 5, [], {}, {"collection_items": 5}, {"collection_items": [5, {}]},
    {"collection_items": [{"page_items": [5, {"options": 5, "type": "rich_text", "content": 5}]}]},
    {"task_details": {"task_steps": 5}}])  # fmt: skip
def test_other_shapes_are_left_to_those_who_look_at_shapes(odd: Any) -> None:
    check_limits(odd, SETTINGS)


# markup


@pytest.mark.parametrize(
    "html",
    [
        "<p>a" * 5000,
        "<ul>" + "<li>a" * 5000 + "</ul>",
        "a<br>" * 5000,
        "<b>a</b>" * 5000,
        "<div>" * 150 + "a" + "</div>" * 150,
        "<table>" + "<tr><td>a" * 3000 + "</table>",
    ],
)
def test_long_is_not_deep(html: str) -> None:
    assert sanitise(html)


# each leaves something open, however it looks: what ends by itself ends in its like alone, and end tags in comments,
# in attributes, or of what is not the last thing open, end nothing
DEEP = [
    "<div>",
    "<ul><li>",
    "<DIV >",
    "<ul></div>",
    "<b\n><p></p>",
    "<li><dd>",
    "<li><dt>a",
    "<div><!--</div>-->",
    '<div title="</div>">',
    "<div dir=</div>>",
    "<span></div>",
    "<b><dd></b><i><li></i>",
    '<p><b title="1"></p>',
]


@pytest.mark.parametrize("html", DEEP)
@pytest.mark.parametrize("markdown", [False, True])
def test_deep_is_refused(html: str, markdown: bool) -> None:
    with pytest.raises(TooDeep):
        sanitise(html * (MAX_NESTING + 1), markdown=markdown)
    sanitise(html * (MAX_NESTING // html.count("<")), markdown=markdown)


def test_tables_are_counted_with_the_cells_they_are_filled_up_with() -> None:
    table = "|a" * 9 + "|\n" + "|-" * 9 + "|\n" + "|\n" * 5
    assert count_table_cells(table) == 11 * 6
    assert count_table_cells("> " + table.replace("\n", "\n> ")) >= 11 * 6
    assert count_table_cells("- a\n\ntext - text\n" * 100) < 500
    columns = 400
    bomb = "|a" * columns + "|\n" + "|-" * columns + "|\n" + "|\n" * (MAX_TABLE_CELLS // columns)
    for text in (bomb, "> " + bomb.replace("\n", "\n> "), "* " + bomb.replace("\n", "\n  ")):
        with pytest.raises(ValueError, match="cells, empty ones included"):
            sanitise(text, markdown=True)


HARD = {
    "pictures": "![",
    "brackets": "[",
    "links": "[a](",
    "emphasis": "*a **b ",
    "underlines": "_a__b ",
    "ticks": "`a``b",
    "lists": "* a\n",
    "quotes": "> a\n",
    "headings": "# a\n",
    "html": "<a ",
    "references": "[a]: /x\n",
    "struck": "~~a",
    "entities": "&amp;",
}


@pytest.mark.parametrize("name", HARD)
def test_markdown_takes_time_in_proportion(name: str) -> None:
    unit = HARD[name]
    require_proportional(lambda size: sanitise(unit * (size // len(unit)), markdown=True), 2_000)


@pytest.mark.parametrize("unit", ["-", "- ", "|-", "1.-"])
def test_a_line_that_is_nearly_one_of_a_table_is_looked_at_in_proportion(unit: str) -> None:
    require_proportional(lambda size: count_table_cells(unit * size + "x"), 150)


FLAT = [
    "<p>a",
    "<b>a</b>",
    "</p>",
    "<!-- ",
    "<!-- a -->",
    "<div><!-- --!></div -->",
    "<rt>",
    "<optgroup>",
    "<select><div>",
    "<svg><b></svg>",
]


@pytest.mark.parametrize("unit", [*FLAT, *DEEP])
def test_html_takes_time_in_proportion(unit: str) -> None:
    def work(size: int) -> None:
        with contextlib.suppress(TooDeep):
            sanitise(unit * (size // len(unit)))

    require_proportional(work, 50_000)


# collections and answers


def many_items(count: int) -> dict[str, Any]:
    return body(*[[QUESTION, choice(2)] for _ in range(count // 2)])


def many_options(count: int) -> dict[str, Any]:
    return body([choice(count)])


@pytest.mark.parametrize("make", [many_items, many_options])
def test_collections_take_time_in_proportion(make: Callable[[int], dict[str, Any]]) -> None:
    settings = Settings(max_collection_items=10**6, max_collection_pages=10**6, max_options=10**6)

    def work(size: int) -> None:
        given = json.loads(json.dumps(make(size)))
        check_limits(given, settings)
        CollectionInput.model_validate(given)

    require_proportional(work, 1_000)


def test_files_are_found_by_their_question() -> None:
    def work(size: int) -> None:
        items = [
            {
                "id": str(UUID(int=n)),
                "type": "file_upload",
                "required": True,
                "min_file_count": 1,
                "max_file_count": 1,
            }
            for n in range(size)
        ]
        now = datetime.now(UTC)
        files = [
            FileRow(uuid4(), UUID(str(item["id"])), "a.png", "image/png", 1, "", "complete", 1, now)
            for item in items
        ]
        assert find_broken(items, {}, files) == {}

    require_proportional(work, 2_000)


def test_values_of_a_filter_are_looked_at_in_proportion() -> None:
    def work(size: int) -> None:
        values = [("study", str(UUID(int=number))) for number in range(size)]
        assert len(parse_filter([*values, *values], ()).study) == size

    require_proportional(work, 1_500)


@pytest.mark.parametrize(
    "name", ["x{}", "00000000-0000-4000-8000-{:012}", "00000000-0000-4000-8000-00000000000x{}"]
)
def test_a_map_of_answers_is_read_in_proportion(name: str) -> None:
    given = {
        size: {name.format(n): None for n in range(size)} for size in (MOST_TOGETHER // 4, MOST_TOGETHER)
    }
    require_proportional(lambda size: read_map(given[size]), MOST_TOGETHER // 4)
    with pytest.raises(Problem, match="body"):
        read_map({**given[MOST_TOGETHER], "one more": None})


# other people's requests


@pytest.mark.parametrize("whose", [Participants, Researchers])
def test_what_is_large_is_done_elsewhere_one_at_a_time(whose: type[LargeWork]) -> None:
    here = threading.get_ident()
    running: list[int] = []
    most: list[int] = []

    def work() -> int:
        running.append(1)
        most.append(len(running))
        running.pop()
        return threading.get_ident()

    async def run() -> list[int]:
        caches = Caches()
        assert await run_large(caches, whose, LARGE_BYTES, work) == here
        return await asyncio.gather(*(run_large(caches, whose, LARGE_BYTES + 1, work) for _ in range(20)))

    assert here not in asyncio.run(run())
    assert max(most) == 1


@pytest.mark.parametrize("held", [Participants, Researchers])
def test_only_so_much_that_is_large_waits_and_only_for_its_like(held: type[LargeWork]) -> None:
    [other] = {Participants, Researchers} - {held}
    gate = threading.Event()

    async def run() -> None:
        caches = Caches()

        def send(whose: type[LargeWork], work: Callable[[], object] = int) -> asyncio.Task[object]:
            return asyncio.create_task(run_large(caches, whose, LARGE_BYTES + 1, work))

        first = send(held, lambda: gate.wait(300))
        waiting = [send(held) for _ in range(held.most_waiting)]
        await asyncio.sleep(0)  # each has got as far as it can
        with pytest.raises(Problem) as refused:
            await send(held)
        assert (refused.value.type, refused.value.type.status) == (BUSY, 503)
        assert int(refused.value.headers["Retry-After"]) in range(1, 11)
        assert await send(other) == 0, "the others have their own turns"
        assert await run_large(caches, held, LARGE_BYTES, int) == 0, "what is small needs no turn"
        waiting[0].cancel()  # whoever gives up leaves room
        await asyncio.wait(waiting[:1])
        waiting[0] = send(held)
        await asyncio.sleep(0)
        with pytest.raises(Problem):
            await send(held)
        assert not any(task.done() for task in waiting)
        gate.set()
        await asyncio.gather(first, *waiting)
        assert await send(held) == 0

    try:
        asyncio.run(run())
    finally:
        gate.set()


def test_a_large_form_is_taken_apart_outside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    threads: list[int] = []

    def note(*given: Any, **more: Any) -> Any:
        threads.append(threading.get_ident())
        return parse_qsl(*given, **more)

    monkeypatch.setattr("fieldpack.server.http.intake.forms.parse_qsl", note)
    app = FastAPI()
    app.state.context = SimpleNamespace(caches=Caches())

    @app.post("/form")
    async def take(request: Request) -> dict[str, int]:
        room = SimpleNamespace(take=lambda name, size, more: False)
        form = await forms.read_known_form(
            request, Participants, text_bytes=1 << 20, file_bytes=0, room=room, folder=tmp_path
        )
        return {"fields": len(form), "loop": threading.get_ident()}

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.example") as client:
            return [await client.post("/form", data={"a": "x" * size}) for size in (1, LARGE_BYTES)]

    small, large = (answer.json() for answer in asyncio.run(run()))
    assert (small["fields"], large["fields"]) == (1, 1)
    assert threads[0] == small["loop"]
    assert threads[1] != large["loop"]


def test_a_large_body_is_looked_at_outside_the_event_loop() -> None:
    looked.clear()

    class Route(ApiRoute):
        def check_body(self, body: Any, settings: Settings) -> None:
            looked["check"] = threading.get_ident()

    router = APIRouter(route_class=Route)

    @router.post("/texts")
    async def take(body: Texts) -> dict[str, int]:
        return {"count": len(body.texts), "loop": threading.get_ident()}

    app = FastAPI()
    app.include_router(router)
    app.state.context = SimpleNamespace(settings=Settings(), caches=Caches())
    refused: list[RequestValidationError] = []

    @app.exception_handler(RequestValidationError)
    async def on_refused(request: Any, error: RequestValidationError) -> Any:
        refused.append(error)
        return Response(status_code=400)

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.example") as client:
            large = await client.post("/texts", json={"texts": ["x" * LARGE_BYTES]})
            wrong = await client.post("/texts", json={"texts": [None] * LARGE_BYTES})
            empty = await client.post("/texts", content=b"")
            return [large, wrong, empty]

    large, wrong, empty = asyncio.run(run())
    assert large.json()["count"] == 1
    assert large.json()["loop"] not in looked.values()
    assert (wrong.status_code, empty.status_code) == (400, 400)
    assert len(refused[0].errors()) == MOST_NAMED
    assert refused[0].errors()[0]["loc"][:2] == ("body", "texts")
