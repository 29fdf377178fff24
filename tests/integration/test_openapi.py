"""Whatever our own OpenAPI document lets a client send, the answer is never a crash and errors have one body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fieldpack.server.app import create_app
from fieldpack.server.config import load_settings
from tests.installation import Installation
from tests.lengths import length
from tests.refusals import refused
from tests.scenario import Scenario

DOCUMENT = create_app(load_settings(), "postgresql://nowhere").openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
FOUND: list[Any] = [result.ok() for result in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
OPERATIONS = {f"{operation.method.upper()} {operation.path}": operation for operation in FOUND}
EXAMPLES = length(5, 50)


@pytest.fixture(scope="module")
def target(server: Installation) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """A client, and ids that exist, so that generated bodies get past the first check."""
    with server.client() as api:
        scenario = Scenario.create(api)
        submission = scenario.take_part("p")
        participant = scenario.start("q")
        yield (
            api,
            {
                "collection_id": scenario.collection["id"],
                "study_id": scenario.study["id"],
                "submission_id": submission,
                "export_id": scenario.export()["export_id"],
                "instruction_id": participant.item(0),
                "participant": participant.submission_id,
                "participant_token": participant.token,
            },
        )


def test_the_document_describes_the_errors() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (method, path)
            assert operation["responses"]["default"]["content"], (method, path)
            named = {found["name"] for found in operation["parameters"] if found["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), (method, path)
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert all(re.fullmatch(r"[\w.-]+", name) for name in schemes), schemes
    listed = DOCUMENT["paths"]["/api/v1/data-collection/collections"]["get"]["parameters"]
    assert [found["name"] for found in listed if found["required"]] == ["workspace_id"]
    identifiers = [op["operationId"] for ops in DOCUMENT["paths"].values() for op in ops.values()]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_is_a_crash(target: tuple[httpx.Client, dict[str, str]], name: str) -> None:
    api, ids = target
    operation = OPERATIONS[name]
    method = name.partition(" ")[0]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.booleans())
    def check(case: Any, real: bool) -> None:
        if real and method != "DELETE":  # DELETE would leave nothing to try
            case.path_parameters = {
                key: ids["participant"]
                if key == "submission_id" and "/participate/" in name
                else ids.get(key, value)
                for key, value in (case.path_parameters or {}).items()
            }
        arguments = case.as_transport_kwargs(base_url=str(api.base_url).removesuffix("/api/v1/"))
        for noise in ("cookies",):
            arguments.pop(noise, None)
        headers = {key: value for key, value in arguments.pop("headers", {}).items() if value is not None}
        token = ids["participant_token"] if "/participate/submissions" in name else None
        headers["Authorization"] = f"Bearer {token}" if token else api.headers["Authorization"]
        try:
            answer = httpx.request(
                method=arguments.pop("method"), url=arguments.pop("url"), headers=headers, timeout=60,
                params=arguments.get("params"), json=arguments.get("json"), content=arguments.get("data"),
            )  # fmt: skip
        except (httpx.InvalidURL, UnicodeEncodeError, httpx.LocalProtocolError):
            return  # what no client can send
        assert answer.status_code < 500, (name, answer.text)
        if answer.status_code >= 400 and method != "HEAD" and "/health" not in name:
            refused(answer, answer.status_code)

    check()
