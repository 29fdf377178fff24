"""Bodies that are wrong in as many places as they have: few faults are found in any, whatever its model."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from fieldpack.server.app import ROUTERS
from fieldpack.server.collections import inputs
from fieldpack.server.collections.schemas import CollectionInput, CollectionReplacement
from fieldpack.server.config import Settings
from fieldpack.server.http import routing
from fieldpack.server.http.routing import ApiRoute
from fieldpack.server.operations.health import router as health
from fieldpack.server.problems import Problem
from fieldpack.server.studies.schemas import StudyInput
from fieldpack.server.values.entries import MOST_NAMED, Entry, check_body, list_faults
from fieldpack.server.web.routes import router as pages

ROOM = 20_000  # wrong entries of one body, over all of its lists together
MOST_FAULTS = 3_000
ENTRY = get_args(Entry[int])[1]  # what makes an entry of any type
WRONG: tuple[Any, ...] = (0, None, "", "x", True, 1e308, [], {}, [[]], {"unknown": 0}, {"type": "nothing"})
NO_FAULTS = (Any, dict[str, Any])  # whatever JSON is sent for these is right


def iter_routes() -> Iterator[APIRoute]:
    """Every route that takes a body which the framework, or we, check."""
    for router in (*ROUTERS, pages, health):
        waiting = list(router.routes)
        while waiting:
            route = waiting.pop()
            inner = getattr(route, "original_router", None)
            if isinstance(route, APIRoute):
                if route.body_field is not None:
                    yield route
            else:
                assert inner is not None, route
                waiting += inner.routes


ROUTES = {f"{min(route.methods or ())} {route.path}": route for route in iter_routes()}


def alternatives(annotation: Any) -> list[Any]:
    """The types of a union, `None` aside; of anything else itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [each for each in get_args(annotation) if each is not type(None)]
    return [annotation]


def plain(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without what is annotated to it, and that."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        return inner, tuple(notes)
    return annotation, ()


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def find_faults(annotation: Any, path: str, notes: tuple[Any, ...] = ()) -> Iterator[str]:
    """Where a type lets a client cause more faults than there are fields."""
    annotation, more = plain(annotation)
    notes += more
    found = alternatives(annotation)
    if len(found) > 1:
        if not any(getattr(note, "discriminator", None) for note in notes) and any(
            is_model(plain(each)[0]) or get_origin(plain(each)[0]) is not None for each in found
        ):
            yield f"{path}: a union that is tried branch by branch"
        for each in found:
            yield from find_faults(each, path, notes)
        return
    if found != [annotation]:
        yield from find_faults(found[0], path, notes)
    elif is_model(annotation):
        if annotation.model_config.get("extra") == "forbid":
            yield f"{path}: each unknown field is a fault"
        for name, field in annotation.model_fields.items():
            yield from find_faults(field.annotation, f"{path}.{name}", tuple(field.metadata))
    elif get_origin(annotation) is list:
        [entry] = get_args(annotation)
        if ENTRY not in plain(entry)[1]:
            yield f"{path}: a list whose entries are no `Entry`"
        yield from find_faults(entry, f"{path}[]")
    elif annotation not in NO_FAULTS and (
        get_origin(annotation) not in (None, Literal) or annotation in (list, dict, set, tuple, frozenset)
    ):
        yield f"{path}: {annotation}"


@pytest.mark.parametrize("name", ROUTES)
def test_no_body_has_room_for_endless_faults(name: str) -> None:
    route = ROUTES[name]
    assert isinstance(route, ApiRoute)
    [parameter] = route.dependant.body_params
    [model] = alternatives(parameter.field_info.annotation)
    assert is_model(model), "nobody but `_parse` bounds the faults of a body"
    assert list(find_faults(model, model.__name__)) == []
    if parameter.field_info.annotation is not model:  # may be left out, and is checked by the framework then
        assert not has_lists(model)


def test_the_look_at_models_sees_each_kind() -> None:
    class Inner(BaseModel):
        values: list[int]

    class Outer(BaseModel):
        right: list[Entry[int]] | None = None
        plain: Annotated[list[int] | None, "note"] = None
        inner: list[Entry[Inner]]
        branches: list[Entry[Inner | int]]
        names: dict[str, int]
        pair: tuple[int, int]
        numbers: set[int]

    found = [fault.partition(":")[0] for fault in find_faults(Outer, "O")]
    assert found == [
        "O.plain",
        "O.inner[].values",
        "O.branches[]",
        "O.branches[].values",
        "O.names",
        "O.pair",
        "O.numbers",
    ]


# the same by what pydantic makes of bodies


def depth_of(annotation: Any) -> int:
    """How many lists stand within one another."""
    annotation, _ = plain(annotation)
    found = alternatives(annotation)
    if found != [annotation]:
        return max(map(depth_of, found))
    if is_model(annotation):
        return max((depth_of(field.annotation) for field in annotation.model_fields.values()), default=0)
    return 1 + depth_of(get_args(annotation)[0]) if get_origin(annotation) is list else 0


def has_lists(model: Any) -> bool:
    return depth_of(model) > 0


def fill(annotation: Any, wrong: Any, level: int, count: int) -> Any:
    """What fits a type, but that lists within `level` others consist of what is wrong, and so does what is no list.

    Args:
        count: entries of each list.
    """
    annotation, _ = plain(annotation)
    found = alternatives(annotation)
    if len(found) > 1:
        return fill(found[0], wrong, level, count)
    if found != [annotation]:
        return fill(found[0], wrong, level, count)
    if is_model(annotation):
        return {
            name: fill(field.annotation, wrong, level, count)
            for name, field in annotation.model_fields.items()
        }
    if get_origin(annotation) is list:
        if level == 0:
            return [wrong] * count
        kinds = alternatives(plain(get_args(annotation)[0])[0])
        entries = [fill(kind, wrong, level - 1, count) for kind in kinds]
        return (entries * count)[:count]
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    return {str(number): wrong for number in range(count)} if annotation in NO_FAULTS else wrong


MODELS = sorted({route.dependant.body_params[0].field_info.annotation for route in ROUTES.values()}, key=str)
LISTED = [model for model in MODELS if has_lists(model)]


def iter_bodies(model: Any) -> Iterator[Any]:
    unknown = {f"unknown {number}": 0 for number in range(ROOM)}
    yield unknown
    yield [unknown]
    yield [0] * ROOM
    for wrong in WRONG:
        for level in range(depth_of(model)):
            body = fill(model, wrong, level, round(ROOM ** (1 / (level + 1))))
            yield body
            yield {**body, **unknown}
    yield fill(model, unknown, 0, 10)


def count_faults(model: Any, body: Any) -> int:
    try:
        check_body(model, body)
    except ValidationError as error:
        return error.error_count()
    return 0


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model.__name__)
def test_few_faults_are_found_in_a_large_wrong_body(model: Any) -> None:
    counts = [count_faults(model, body) for body in iter_bodies(model)]
    assert 0 < max(counts) < MOST_FAULTS


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (StudyInput, {"name": "x", "completion_codes": [{"actor": 1}] * ROOM}),
        (StudyInput, {"name": "x", "completion_codes": [{"actions": [0] * 30}] * 300}),
        (CollectionReplacement, fill(CollectionReplacement, {}, 2, 20)),
        (CollectionReplacement, fill(CollectionReplacement, 0, 1, 100)),
    ],
)
def test_what_is_named_of_them_is_what_was_named_of_all(model: Any, body: Any) -> None:
    with pytest.raises(ValidationError) as all_of_them:
        model.model_validate(body)
    with pytest.raises(ValidationError) as few:
        check_body(model, body)
    assert all_of_them.value.error_count() > few.value.error_count()
    assert len(list_faults(few.value)) == MOST_NAMED
    assert list_faults(few.value) == list_faults(all_of_them.value)


def test_bodies_are_read_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the routes, and where the editor's drafts are taken for a collection."""
    counts: list[int] = []

    def note(error: ValidationError) -> Any:
        counts.append(error.error_count())
        return list_faults(error)

    monkeypatch.setattr(routing, "list_faults", note)
    monkeypatch.setattr(inputs, "list_faults", note)
    wrong = {"name": "x", "completion_codes": [0] * ROOM}
    route = ROUTES["POST /studies"]
    assert isinstance(route, ApiRoute)
    with pytest.raises(RequestValidationError) as refused:
        route._parse(orjson.dumps(wrong), Settings())
    assert len(refused.value.errors()) == MOST_NAMED
    options = [{"type": "multiple_choice", "description": "x", "options": [{}] * 1_000}] * 20
    with pytest.raises(Problem):
        inputs.parse_collection({"collection_items": [{"page_items": options}]}, Settings(), CollectionInput)
    assert len(counts) == 2
    assert max(counts) < MOST_FAULTS
