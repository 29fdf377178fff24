"""Ids in paths: typed, of any UUID version and case; what is none is unknown."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter

from fieldpack.server.app import create_app
from fieldpack.server.config import load_settings
from fieldpack.server.exports.serve.links import ARCHIVE_PATH, CONVERSION_PATH
from fieldpack.server.http import ids
from fieldpack.server.http.routing import ID_NAMES
from fieldpack.server.problems import Problem

SOME = UUID("9d6a1c4e-2b7f-4e0a-8f35-6c1d2e3f4a5b")  # the same in every process that collects these tests
GIVEN = [
    UUID("c232ab00-9414-11ec-b3c8-9f6bdeced846"),
    SOME,
    uuid5(UUID(int=1), "x"),
    UUID(int=0),
    UUID("0190a5c0-7e1f-7a3b-8c4d-0123456789ab"),
]
# where something is asked before the id is looked at: whether a link is signed, whether a researcher is signed in
LATER = (ARCHIVE_PATH, CONVERSION_PATH, "/researcher/", "/data-collection-tool/")


@pytest.mark.parametrize("name", ids.__all__)
def test_any_version_and_case(name: str) -> None:
    adapter: TypeAdapter[UUID] = TypeAdapter(getattr(ids, name))
    for identifier in GIVEN:
        for text in (str(identifier), str(identifier).upper()):
            assert adapter.validate_python(text) == identifier


@pytest.mark.parametrize("name", ids.__all__)
@pytest.mark.parametrize("text", ["", "x", "123", SOME.hex, f"{{{SOME}}}", SOME.urn, f"{SOME}\n", f" {SOME}"])
def test_what_is_malformed_is_unknown(name: str, text: str) -> None:
    adapter: TypeAdapter[UUID] = TypeAdapter(getattr(ids, name))
    with pytest.raises(Problem) as refused:
        adapter.validate_python(text)
    assert refused.value.type.status == 404
    kind = name.removesuffix("Id").removesuffix("Key")
    assert refused.value.detail == f"{kind} {text} does not exist."


def test_every_route_takes_its_ids_typed() -> None:
    app = create_app(load_settings(), "postgresql://nowhere")
    taken = {
        (route.path or "", parameter.name): parameter.field_info.annotation
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        for parameter in route.original_route.dependant.path_params
        if parameter.name.endswith(ID_NAMES)
    }
    assert len(taken) >= 25
    assert [key for key, type in taken.items() if type is not UUID and not key[0].startswith(LATER)] == []
