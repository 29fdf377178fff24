"""Collections: the seven item types with every rule, full replacement, sanitised HTML, responses."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import fieldpack
from tests.installation import Installation, installed
from tests.refusals import refused
from tests.scenario import FREE_TEXT, PNG, TASK, Scenario, collection_body, expect

COLLECTIONS = "/data-collection/collections"
COLLECTION_FIELDS = {
    "id", "schema_version", "created_at", "created_by", "workspace_id", "name", "description", "task_details",
    "collection_items", "item_count", "last_modified_at", "last_modified_by",
}  # fmt: skip
PAGE_FIELDS = {"id", "order", "page_items", "created_at", "created_by", "schema_version"}
ITEM_FIELDS = {"id", "type", "order", "created_at", "created_by", "parent_id", "parent_type"}

OPTIONS = [{"label": "A", "value": "a"}, {"label": "B", "value": "b"}, {"label": "C", "value": "c"}]
HEADED = [{**option, "heading": "Why?"} for option in OPTIONS]
UNITS = [{"label": "Kilograms", "value": "kg"}, {"label": "Pounds", "value": "lb"}]
MINIMAL: dict[str, dict[str, Any]] = {
    "free_text": {"type": "free_text", "description": "D"},
    "multiple_choice": {"type": "multiple_choice", "description": "D", "options": OPTIONS},
    "multiple_choice_with_free_text": {
        "type": "multiple_choice_with_free_text",
        "description": "D",
        "options": HEADED,
    },
    "free_text_with_unit": {"type": "free_text_with_unit", "description": "D", "unit_options": UNITS},
    "file_upload": {"type": "file_upload", "description": "D"},
    "rich_text": {"type": "rich_text", "content": "<p>C</p>"},
    "image": {"type": "image", "url": "https://example.org/i.png", "alt_text": "A"},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "free_text": {"required": True},
    "multiple_choice": {"required": True, "answer_limit": 1, "disable_dropdown": False},
    "multiple_choice_with_free_text": {"required": True, "answer_limit": 1, "disable_dropdown": False},
    "free_text_with_unit": {"required": True, "unit_position": "suffix"},
    "file_upload": {
        "required": True,
        "accepted_file_types": [".jpg", ".jpeg", ".png", ".heic", ".heif"],
        "max_file_size_mb": 25,
        "min_file_count": 1,
        "max_file_count": 10,
    },
    "rich_text": {"content_format": "html", "content": "<p>C</p>"},
    "image": {},
}
ITEM = "collection_items.0.page_items.0"


@pytest.fixture(scope="module")
def workspace(server: Installation) -> str:
    with server.client() as api:
        found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        return found


def create(api: httpx.Client, workspace: str, *items: dict[str, Any], **changed: Any) -> Any:
    return expect(api.post(COLLECTIONS, json={**collection_body(workspace, *items), **changed}), 201)


def first_item(collection: dict[str, Any]) -> Any:
    return collection["collection_items"][0]["page_items"][0]


def test_what_a_collection_answers(api: httpx.Client, workspace: str) -> None:
    made = create(
        api, workspace, *MINIMAL.values(), description="About", future_field={"a": 1}, id=str(uuid4())
    )
    assert set(made) == COLLECTION_FIELDS
    me = expect(api.get("/users/me"), 200)["id"]
    assert made["schema_version"] == 1
    assert (made["name"], made["description"]) == ("Test collection", "About")
    assert (made["workspace_id"], made["created_by"]) == (workspace, me)
    assert (made["last_modified_at"], made["last_modified_by"]) == (None, None)
    assert made["task_details"] == TASK
    assert made["item_count"] == 1
    [page] = made["collection_items"]
    assert set(page) == PAGE_FIELDS
    assert page["order"] == 0
    assert [item["type"] for item in page["page_items"]] == list(MINIMAL)
    assert [item["order"] for item in page["page_items"]] == list(range(7))
    for item in page["page_items"]:
        assert set(item) >= ITEM_FIELDS
        UUID(item["id"])
        assert item["parent_id"] == page["id"]
        assert item["created_by"] == me
        assert DEFAULTS[item["type"]].items() <= item.items()
    assert expect(api.get(f"{COLLECTIONS}/{made['id']}"), 200) == made
    listed = expect(api.get(COLLECTIONS, params={"workspace_id": workspace, "limit": 1}), 200)
    assert listed["results"] == [made]


def test_description_is_optional_and_null_is_absent(api: httpx.Client, workspace: str) -> None:
    assert "description" not in create(api, workspace)
    item = {**MINIMAL["file_upload"], "id": None, "order": None, "max_file_count": None, "required": None}
    made = create(api, workspace, item, description=None)
    assert DEFAULTS["file_upload"].items() <= first_item(made).items()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"description": 5}, "description"),
        ({"workspace_id": None}, "workspace_id"),
        ({"workspace_id": "x"}, "workspace_id"),
        ({"workspace_id": 5}, "workspace_id"),
        ({"task_details": None}, "task_details"),
        ({"task_details": {}}, "task_details.task_name"),
        ({"task_details": {**TASK, "task_introduction": 5}}, "task_details.task_introduction"),
        ({"task_details": {**TASK, "task_steps": None}}, "task_details.task_steps"),
        ({"collection_items": None}, "collection_items"),
        ({"collection_items": []}, "collection_items"),
        ({"collection_items": [{}]}, "collection_items.0.page_items"),
        ({"collection_items": [{"page_items": []}]}, "collection_items.0.page_items"),
        ({"collection_items": ["x"]}, "collection_items.0"),
        ({"collection_items": [{"page_items": ["x"]}]}, ITEM),
        ({"collection_items": [{"page_items": [{}]}]}, f"{ITEM}.type"),
        ({"collection_items": [{"page_items": [{"type": "slider"}]}]}, f"{ITEM}.type"),
        (
            {"collection_items": [{"page_items": [MINIMAL["free_text"]], "order": -1}]},
            "collection_items.0.order",
        ),
        (
            {"collection_items": [{"page_items": [MINIMAL["free_text"]], "order": "0"}]},
            "collection_items.0.order",
        ),
    ],
)
def test_malformed_collections(
    api: httpx.Client, workspace: str, changed: dict[str, Any], field: str
) -> None:
    body = {**collection_body(workspace), **changed}
    refused(api.post(COLLECTIONS, json=body), 400, field)
    if field != "workspace_id":
        made = create(api, workspace)
        refused(api.put(f"{COLLECTIONS}/{made['id']}", json=body), 400, field)


def unit(value: Any, **more: Any) -> dict[str, Any]:
    return {"label": "L", "value": value, **more}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("free_text", {"description": None}, "description"),
    ("free_text", {"description": ""}, "description"),
    ("free_text", {"description": 5}, "description"),
    ("free_text", {"helper_text": 5}, "helper_text"),
    ("free_text", {"placeholder_text_input": []}, "placeholder_text_input"),
    ("free_text", {"required": "yes"}, "required"),
    ("free_text", {"required": 1}, "required"),
    ("free_text", {"order": "first"}, "order"),
    ("free_text", {"order": 1.5}, "order"),
    ("free_text", {"order": True}, "order"),
    ("free_text", {"validation": "number"}, "validation"),
    ("free_text", {"validation": {}}, "validation.type"),
    ("free_text", {"validation": {"type": "regex"}}, "validation.type"),
    ("free_text", {"validation": {"type": "number", "min": "1"}}, "validation.min"),
    ("free_text", {"validation": {"type": "number", "max": True}}, "validation.max"),
    ("free_text", {"validation": {"type": "number", "min": 2, "max": 1}}, "validation.max"),
    ("free_text", {"validation": {"type": "string", "min": -1}}, "validation.min"),
    ("multiple_choice", {"description": None}, "description"),
    ("multiple_choice", {"options": None}, "options"),
    ("multiple_choice", {"options": []}, "options"),
    ("multiple_choice", {"options": "abc"}, "options"),
    ("multiple_choice", {"options": [{"value": "a"}]}, "options.0.label"),
    ("multiple_choice", {"options": [{"label": "A"}]}, "options.0.value"),
    ("multiple_choice", {"options": [{"label": "A", "value": None}]}, "options.0.value"),
    ("multiple_choice", {"options": [{"label": "A", "value": ["a"]}]}, "options.0.value"),
    ("multiple_choice", {"options": [{"label": "A", "value": {}}]}, "options.0.value"),
    ("multiple_choice", {"options": [{"label": 5, "value": "a"}]}, "options.0.label"),
    ("multiple_choice", {"options": [{**OPTIONS[0], "exclusive": "yes"}]}, "options.0.exclusive"),
    ("multiple_choice", {"options": [OPTIONS[0], {"label": "Again", "value": "a"}]}, "options"),
    ("multiple_choice", {"options": [{"label": "1", "value": 1}, {"label": "1.0", "value": 1.0}]}, "options"),
    ("multiple_choice", {"answer_limit": 0}, "answer_limit"),
    ("multiple_choice", {"answer_limit": -2}, "answer_limit"),
    ("multiple_choice", {"answer_limit": 4}, "answer_limit"),
    ("multiple_choice", {"answer_limit": "1"}, "answer_limit"),
    ("multiple_choice", {"answer_limit": True}, "answer_limit"),
    ("multiple_choice", {"disable_dropdown": "no"}, "disable_dropdown"),
    ("multiple_choice_with_free_text", {"options": OPTIONS[:1]}, "options.0.heading"),
    ("multiple_choice_with_free_text", {"options": [*HEADED[:2], OPTIONS[2]]}, "options.2.heading"),
    ("multiple_choice_with_free_text", {"options": [{**HEADED[0], "heading": ""}]}, "options.0.heading"),
    ("multiple_choice_with_free_text", {"answer_limit": 4}, "answer_limit"),
    ("free_text_with_unit", {"unit_options": None}, "unit_options"),
    ("free_text_with_unit", {"unit_options": []}, "unit_options"),
    ("free_text_with_unit", {"unit_options": [{"value": "kg"}]}, "unit_options.0.label"),
    ("free_text_with_unit", {"unit_options": [{"label": "kg"}]}, "unit_options.0.value"),
    ("free_text_with_unit", {"unit_options": [unit("kg"), unit("kg")]}, "unit_options"),
    ("free_text_with_unit", {"unit_options": [unit("kg", validation={"type": "x"})]},
     "unit_options.0.validation.type"),
    ("free_text_with_unit", {"default_unit": "stone"}, "default_unit"),
    ("free_text_with_unit", {"default_unit": 5}, "default_unit"),
    ("free_text_with_unit", {"unit_position": "middle"}, "unit_position"),
    ("free_text_with_unit", {"validation": {"type": "number", "min": 5, "max": 4}}, "validation.max"),
    ("file_upload", {"description": None}, "description"),
    ("file_upload", {"accepted_file_types": ["jpg"]}, "accepted_file_types"),
    ("file_upload", {"accepted_file_types": [".jpg", "."]}, "accepted_file_types"),
    ("file_upload", {"accepted_file_types": ".jpg"}, "accepted_file_types"),
    ("file_upload", {"accepted_file_types": [5]}, "accepted_file_types.0"),
    ("file_upload", {"accepted_file_types": ["./jpg"]}, "accepted_file_types"),
    ("file_upload", {"max_file_size_mb": 0}, "max_file_size_mb"),
    ("file_upload", {"max_file_size_mb": -1}, "max_file_size_mb"),
    ("file_upload", {"max_file_size_mb": "25"}, "max_file_size_mb"),
    ("file_upload", {"min_file_count": 0}, "min_file_count"),
    ("file_upload", {"min_file_count": "1"}, "min_file_count"),
    ("file_upload", {"max_file_count": 0}, "max_file_count"),
    ("file_upload", {"min_file_count": 3, "max_file_count": 2}, "max_file_count"),
    ("rich_text", {"content": None}, "content"),
    ("rich_text", {"content": 5}, "content"),
    ("rich_text", {"content_format": "bbcode"}, "content_format"),
    ("image", {"url": None}, "url"),
    ("image", {"url": "http://example.org/i.png"}, "url"),
    ("image", {"url": "javascript:alert(1)"}, "url"),
    ("image", {"url": "https://"}, "url"),
    ("image", {"url": "https://[x"}, "url"),
    ("image", {"url": "https://exa mple.org/"}, "url"),
    ("image", {"url": 5}, "url"),
    ("image", {"alt_text": None}, "alt_text"),
    ("image", {"alt_text": ""}, "alt_text"),
    ("image", {"caption": 5}, "caption"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changed", "field"), BAD)
def test_rules_of_item_types(
    api: httpx.Client, workspace: str, kind: str, changed: dict[str, Any], field: str
) -> None:
    body = collection_body(workspace, {**MINIMAL[kind], **changed})
    detail = refused(api.post(COLLECTIONS, json=body), 400, f"{ITEM}.{field}")
    assert list(detail) == [f"{ITEM}.{field}"]


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("free_text", {"required": False, "helper_text": "", "placeholder_text_input": "p"}),
    ("free_text", {"validation": {"type": "number", "min": None, "max": None}}),
    ("free_text", {"validation": {"type": "number", "min": -5, "max": 5.5}}),
    ("free_text", {"validation": {"type": "number", "min": 1, "max": 1}}),
    ("free_text", {"validation": {"type": "string", "min": 0, "max": 1000}}),
    ("multiple_choice", {"answer_limit": -1}),
    ("multiple_choice", {"answer_limit": 3, "disable_dropdown": True}),
    ("multiple_choice", {"options": [{"label": "L", "value": v} for v in ("1", 1, True, 1.5, False, 0, "")]}),
    ("multiple_choice", {"options": [{"label": "None", "value": "none", "exclusive": True}]}),
    ("multiple_choice_with_free_text", {"answer_limit": 2}),
    ("free_text_with_unit", {"default_unit": "kg", "unit_position": "prefix"}),
    ("free_text_with_unit", {"default_unit": "lb", "unit_position": "suffix"}),
    ("free_text_with_unit", {"unit_options": [unit("kg", validation={"type": "number", "min": 0})]}),
    ("file_upload", {"accepted_file_types": [".pdf", ".tar.gz", ".x_t", ".c++"], "max_file_size_mb": 0.5}),
    ("file_upload", {"min_file_count": 3, "max_file_count": 3}),
    ("rich_text", {"content": "<h1>Title</h1><p>Text with <b>bold</b></p>"}),
    ("image", {"caption": "Caption", "url": "https://example.org:8443/a%20b.png?x=1#f"}),
]


@pytest.mark.parametrize(("kind", "given"), GOOD)
def test_what_is_given_is_kept(api: httpx.Client, workspace: str, kind: str, given: dict[str, Any]) -> None:
    made = create(api, workspace, {**MINIMAL[kind], **given})
    item = first_item(made)
    for name, value in given.items():
        if name in ("options", "unit_options"):
            for kept, option in zip(item[name], value, strict=True):
                assert option.items() <= {key: v for key, v in kept.items() if v is not None}.items() or all(
                    isinstance(part, dict) or kept[key] == part for key, part in option.items()
                )
                assert type(kept["value"]) is type(option["value"])
        elif isinstance(value, dict):
            assert {key: part for key, part in value.items() if part is not None}.items() <= item[
                name
            ].items()
        else:
            assert item[name] == value


def test_a_minimum_above_the_default_maximum_raises_it(api: httpx.Client, workspace: str) -> None:
    item = first_item(create(api, workspace, {**MINIMAL["file_upload"], "min_file_count": 12}))
    assert (item["min_file_count"], item["max_file_count"]) == (12, 12)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("<p>a</p><script>alert(1)</script>", "script"),
        ('<p onclick="alert(1)">a</p>', "onclick"),
        ('<a href="javascript:alert(1)">a</a>', "javascript:"),
        ('<a href=" JaVaScRiPt:alert(1)">a</a>', "alert"),
        ('<img src="x" onerror="alert(1)">a', "onerror"),
        ('<img src="data:text/html,x">a', "data:"),
        ('<iframe src="https://example.org">a</iframe>', "iframe"),
        ('<svg><script>alert(1)</script></svg>a', "svg"),
        ('<style>p {display: none}</style>a', "style"),
        ('<p style="position: fixed">a</p>', "style"),
        ('<form action="https://example.org"><input name="a"></form>a', "form"),
        ('<object data="x"></object><embed src="x">a', "embed"),
        ('<meta http-equiv="refresh" content="0">a', "meta"),
        ('<base href="https://example.org">a', "base"),
        ("<!-- c --><p>a</p>", "<!--"),
        ("<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">a", "script"),
    ],
)  # fmt: skip
def test_html_is_sanitised_on_the_way_in(api: httpx.Client, workspace: str, text: str, gone: str) -> None:
    details = {"task_name": "Name", "task_introduction": text, "task_steps": text}
    made = create(
        api,
        workspace,
        {"type": "rich_text", "content": text},
        {"type": "rich_text", "content": text, "content_format": "markdown"},
        task_details=details,
    )
    items = made["collection_items"][0]["page_items"]
    for stored in (
        made["task_details"]["task_introduction"],
        made["task_details"]["task_steps"],
        items[0]["content"],
        items[1]["content"],
    ):
        assert gone not in stored.lower(), stored


def test_markdown_is_stored_as_html(api: httpx.Client, workspace: str) -> None:
    text = "# Title\n\nSome *text* with a [link](https://example.org).\n\n- one\n- two\n"
    made = create(api, workspace, {"type": "rich_text", "content": text, "content_format": "markdown"})
    item = first_item(made)
    assert item["content_format"] == "html"
    for piece in ("<h1>Title</h1>", "<em>text</em>", 'href="https://example.org"', "<li>one</li>"):
        assert piece in item["content"]
    again = expect(api.put(f"{COLLECTIONS}/{made['id']}", json=made), 200)
    assert first_item(again)["content"] == item["content"]


def test_what_was_read_can_be_sent_back(api: httpx.Client, workspace: str) -> None:
    items = [*MINIMAL.values(), *({**MINIMAL[kind], **given} for kind, given in GOOD)]
    made = create(api, workspace, *items, description="About")
    body = copy.deepcopy(made)
    body["created_by"] = body["workspace_id"] = str(uuid4())
    body["schema_version"] = 99
    body["item_count"] = -1
    body["collection_items"][0]["page_items"][0] |= {"created_by": "x", "parent_id": "y", "unknown": [1]}
    put = expect(api.put(f"{COLLECTIONS}/{made['id']}", json=body), 200)
    assert put["last_modified_at"] is not None
    assert put["last_modified_by"] == made["created_by"]
    unchanged = COLLECTION_FIELDS - {"last_modified_at", "last_modified_by"}
    assert {key: put[key] for key in unchanged} == {key: made[key] for key in unchanged}


def test_a_copy_gets_ids_of_its_own(api: httpx.Client, workspace: str) -> None:
    """Whatever the ids look like: those of the hosted service are no UUIDs."""
    body = collection_body(workspace, {**MINIMAL["free_text"], "id": "67890abcdef12345678901234"})
    body["collection_items"][0]["id"] = 5
    copied = expect(api.post(COLLECTIONS, json=body), 201)
    assert UUID(copied["collection_items"][0]["id"]) != UUID(first_item(copied)["id"])


def test_replacement_keeps_makes_and_retires(api: httpx.Client) -> None:
    scenario = Scenario.create(api, MINIMAL["free_text"], {**MINIMAL["multiple_choice"], "required": False})
    path = f"{COLLECTIONS}/{scenario.collection['id']}"
    page = scenario.collection["collection_items"][0]
    text, choice = page["page_items"]
    participant = scenario.start("p")
    expect(participant.answer(text["id"], {"value": "Kept"}), 200)
    expect(participant.answer(choice["id"], {"value": ["b"]}), 200)
    participant.submit()

    def put(*pages: dict[str, Any]) -> Any:
        body = {"name": "New", "task_details": TASK, "collection_items": list(pages)}
        return expect(api.put(path, json=body), 200)

    renamed = {"id": text["id"], "type": "free_text", "description": "Renamed"}
    replaced = put(
        {"page_items": [MINIMAL["image"]]},
        {"id": page["id"], "page_items": [renamed, MINIMAL["file_upload"]]},
    )
    assert replaced["item_count"] == 2
    first, second = replaced["collection_items"]
    assert second["id"] == page["id"] != first["id"]
    assert second["created_at"] == page["created_at"]
    kept, made = second["page_items"]
    assert (kept["id"], kept["description"]) == (text["id"], "Renamed")
    assert kept["created_at"] == text["created_at"]
    assert made["id"] not in (text["id"], choice["id"])

    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    described = {row["id"]: row for row in json.loads(archive.read("collection.json"))["instructions"]}
    assert set(described) == {text["id"], choice["id"], made["id"]}
    assert described[choice["id"]]["retired"] is True
    assert described[choice["id"]]["type"] == "multiple_choice"
    assert [option["value"] for option in described[choice["id"]]["options"]] == ["a", "b", "c"]
    assert described[text["id"]]["retired"] is False
    [line] = [json.loads(line) for line in archive.read("responses.jsonl").splitlines()]
    assert set(line["responses"]) <= set(described)
    responses = expect(api.get(f"{path}/responses"), 200)
    assert {row["response"]["instruction_id"] for row in responses["results"]} == {text["id"], choice["id"]}

    back = put({"id": page["id"], "page_items": [{**MINIMAL["multiple_choice"], "id": choice["id"]}]})
    assert first_item(back)["id"] == choice["id"]
    assert first_item(back)["created_at"] == choice["created_at"]
    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    described = {row["id"]: row for row in json.loads(archive.read("collection.json"))["instructions"]}
    assert described[choice["id"]]["retired"] is False
    assert described[text["id"]]["retired"] is True


def test_options_that_are_gone_are_described_as_participants_saw_them(api: httpx.Client) -> None:
    scenario = Scenario.create(api, MINIMAL["multiple_choice"], MINIMAL["free_text_with_unit"])
    path = f"{COLLECTIONS}/{scenario.collection['id']}"
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": ["c"]}), 200)
    expect(participant.answer(participant.item(1), {"value": "9", "unit": "lb"}), 200)

    def edit(*options: tuple[str, str]) -> None:
        body = expect(api.get(path), 200)
        choice, unit = body["collection_items"][0]["page_items"]
        choice["options"] = [{"value": value, "label": label} for value, label in options]
        unit["unit_options"] = UNITS[:1]
        expect(api.put(path, json=body), 200)

    edit(("a", "A, reworded"), ("b", "B"), ("c", "C"))
    edit(("a", "A, reworded"), ("b", "B"))
    edit(("a", "A, reworded"), ("b", "Bee"))
    edit(("a", "A, reworded"), ("b", "B"))  # what came back is not gone
    participant.submit()  # in the version it was started with

    with fieldpack.open_export(io.BytesIO(scenario.download())) as export:
        choice, unit = export.instructions
        gone = [(option.value, option.label) for option in choice.retired_options]
        assert gone == [("a", "A"), ("c", "C"), ("b", "Bee")]
        until = [option.extra["until"] for option in choice.retired_options]
        assert until == sorted(until)
        assert all(text.endswith("Z") for text in until)
        assert [(option.value, option.label) for option in unit.retired_options] == [("lb", "Pounds")]
        table = export.to_arrow(columns="id").to_pylist()[0]
        assert table[choice.id] == "C"
        assert table[f"{unit.id}.unit"] == "Pounds"


def test_an_item_may_move_to_another_page(api: httpx.Client, workspace: str) -> None:
    made = create(api, workspace, MINIMAL["free_text"], MINIMAL["image"])
    page = made["collection_items"][0]
    body = {**made, "collection_items": [{**page, "page_items": page["page_items"][:1]},
                                         {"page_items": page["page_items"][1:]}]}  # fmt: skip
    for one in body["collection_items"][1:]:
        for item in one["page_items"]:
            item.pop("order")
    put = expect(api.put(f"{COLLECTIONS}/{made['id']}", json=body), 200)
    moved = put["collection_items"][1]
    assert moved["page_items"][0]["id"] == page["page_items"][1]["id"]
    assert moved["page_items"][0]["parent_id"] == moved["id"] != page["id"]


def test_order_decides_where_it_is_given(api: httpx.Client, workspace: str) -> None:
    items = [{**MINIMAL["free_text"], "description": name, "order": order} for name, order in
             (("third", 30), ("first", 10), ("second", 20))]  # fmt: skip
    pages = [{"order": 2, "page_items": [MINIMAL["image"]]}, {"order": 1, "page_items": items}]
    made = create(api, workspace, collection_items=pages)
    assert [page["order"] for page in made["collection_items"]] == [1, 2]
    assert [item["description"] for item in made["collection_items"][0]["page_items"]] == [
        "first",
        "second",
        "third",
    ]


def test_limits_hold_for_what_is_sent_and_not_for_what_is_there() -> None:
    """The defaults at their edge; then lower ones, under which what exists is answered and exported as before."""
    with installed() as server:
        with server.client() as api:
            scenario = Scenario.create(api, *[FREE_TEXT] * 3)
            body = collection_body(scenario.collection["workspace_id"])
            page = {"page_items": [FREE_TEXT] * 4}
            path = f"{COLLECTIONS}/{scenario.collection['id']}"
            made = expect(api.post(COLLECTIONS, json={**body, "collection_items": [page] * 500}), 201)
            assert made["item_count"] == 500
            many = {**body, "collection_items": [{"page_items": [FREE_TEXT] * 2001}]}
            answer = api.post(COLLECTIONS, json=many)
            assert "2,001 page items" in str(refused(answer, 400, "collection_items"))
            answer = api.put(path, json={**body, "collection_items": [page] * 501})
            assert "501 pages" in str(refused(answer, 400, "collection_items"))
            bomb = {"type": "rich_text", "content": "<div>" * 300}
            refused(api.post(COLLECTIONS, json=collection_body("w", bomb)), 400, f"{ITEM}.content")
            started = scenario.start("before")
        server.stop()
        server.settings["FIELDPACK_MAX_COLLECTION_ITEMS"] = "2"
        server.start()
        with server.client() as api:
            scenario.api = started.http = api
            assert len(expect(api.get(path), 200)["collection_items"][0]["page_items"]) == 3
            refused(api.put(path, json=scenario.collection), 400, "collection_items")
            for number in range(3):
                expect(started.answer(started.item(number), {"value": "x"}), 200)
            started.submit()
            archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
            assert len(json.loads(archive.read("responses.jsonl"))["responses"]) == 3
            smaller = {**body, "collection_items": [{"page_items": [FREE_TEXT] * 2}]}
            expect(api.put(path, json=smaller), 200)


def test_ids_of_elsewhere_are_refused(api: httpx.Client, workspace: str) -> None:
    made, other = create(api, workspace), create(api, workspace)
    path = f"{COLLECTIONS}/{made['id']}"
    page, item = made["collection_items"][0], first_item(made)

    def body(page_id: Any, *items: dict[str, Any]) -> dict[str, Any]:
        return {**made, "collection_items": [{"id": page_id, "page_items": list(items)}]}

    refused(api.put(path, json=body(str(uuid4()), item)), 400, "collection_items.0.id")
    for malformed in ("x", 5):
        refused(api.put(path, json=body(malformed, item)), 400, "collection_items.0.id")
    refused(api.put(path, json=body(other["collection_items"][0]["id"], item)), 400, "collection_items.0.id")
    foreign = {**MINIMAL["free_text"], "id": first_item(other)["id"]}
    refused(api.put(path, json=body(page["id"], item, foreign)), 400, "collection_items.0.page_items.1.id")
    refused(api.put(path, json=body(page["id"], item, item)), 400, "collection_items.0.page_items.1.id")
    another_type = {**MINIMAL["image"], "id": item["id"]}
    refused(api.put(path, json=body(page["id"], another_type)), 400, f"{ITEM}.type")
    twice = {**made, "collection_items": [page, {**page, "page_items": [MINIMAL["image"]]}]}
    refused(api.put(path, json=twice), 400, "collection_items.1.id")
    assert expect(api.get(path), 200) == made  # nothing of all this has stuck


def test_lists_need_a_workspace(api: httpx.Client, workspace: str) -> None:
    refused(api.get(COLLECTIONS), 400, "workspace_id")
    refused(api.get(f"{COLLECTIONS}?workspace_id="), 400, "workspace_id")
    refused(api.get(COLLECTIONS, params={"workspace_id": str(uuid4())}), 404)
    fresh = expect(api.post("/workspaces", json={"title": "Fresh"}), 201)["id"]
    made = [create(api, fresh)["id"] for _ in range(3)]
    listed = expect(api.get(COLLECTIONS, params={"workspace_id": fresh}), 200)
    assert {row["id"] for row in listed["results"]} == set(made)
    assert listed["meta"] == {"count": 3}
    page = expect(api.get(COLLECTIONS, params={"workspace_id": fresh, "limit": 1, "offset": 1}), 200)
    assert page["results"] == listed["results"][1:2]


RESPONSE_FIELDS = {"id", "created_at", "collection_id", "participant_id", "submission_id", "response"}


def test_responses_of_every_type(api: httpx.Client) -> None:
    optional = {"type": "free_text", "description": "Optional", "required": False}
    scenario = Scenario.create(api, *list(MINIMAL.values())[:5], optional)
    participant = scenario.start("everything")
    given = [
        {"value": "It was fine"},
        {"value": ["b"]},
        {"value": [{"value": "a", "explanation": "because"}]},
        {"value": "72.5", "unit": "kg"},
    ]
    for number, value in enumerate(given):
        expect(participant.answer(participant.item(number), value), 200)
    expect(participant.answer(participant.item(5), {"value": "  "}), 200)
    participant.upload(participant.item(4), "receipt.png", PNG)
    path = f"{COLLECTIONS}/{scenario.collection['id']}/responses"
    assert expect(api.get(path), 200) == {"results": [], "meta": {"count": 0}}  # not submitted yet
    participant.submit()
    listed = expect(api.get(path), 200)
    assert listed["meta"]["count"] == len(listed["results"]) == 5
    by_item = {row["response"]["instruction_id"]: row for row in listed["results"]}
    for row in listed["results"]:
        assert set(row) == RESPONSE_FIELDS
        assert (row["participant_id"], row["submission_id"]) == ("everything", participant.submission_id)
        assert row["collection_id"] == scenario.collection["id"]
    answers = [by_item[participant.item(number)]["response"] for number in range(5)]
    assert [answer["type"] for answer in answers] == list(MINIMAL)[:5]
    assert answers[0]["answer"] == [{"value": "It was fine"}]
    assert answers[1]["answer"] == [{"value": "b"}]
    assert answers[2]["answer"] == [{"value": "a", "explanation": "because"}]
    assert answers[3]["answer"] == [{"value": "72.5", "unit": "kg"}]
    [file] = answers[4]["answer"]
    assert set(file) == {"file_key", "file_name", "file_size_mb", "content_type"}
    assert (file["file_name"], file["content_type"]) == ("receipt.png", "image/png")
    assert file["file_size_mb"] == pytest.approx(len(PNG) / 2**20, abs=1e-6)  # as max_file_size_mb
    page = expect(api.get(f"{path}?limit=2&offset=3"), 200)
    assert page == {"results": listed["results"][3:5], "meta": {"count": 5}}
