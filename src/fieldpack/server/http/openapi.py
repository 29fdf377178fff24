"""The OpenAPI document: what FastAPI derives from the routes, with the one error body in place of its own."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

__all__ = ["describe_api"]

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "error_code", "title", "detail", "additional_information", "interactive"],
            "properties": {
                "status": {"type": "integer"},
                "error_code": {"type": "integer"},
                "title": {"type": "string"},
                "detail": {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "array", "items": {"type": "string"}},
                        {
                            "type": "object",
                            "additionalProperties": {"type": "array", "items": {"type": "string"}},
                        },
                    ]
                },
                "additional_information": {"type": "string"},
                "interactive": {"type": "boolean"},
            },
        }
    },
}
FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in FASTAPI_ERRORS:
            schemas.pop(name, None)
        schemas["Error"] = ERROR_SCHEMA
        refused = {
            "description": "Refused",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _name_path_parameters(path, operation)
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = refused
        app.openapi_schema = document
    return app.openapi_schema


def _name_path_parameters(path: str, operation: dict[str, Any]) -> None:
    """Add the parameters of the path that FastAPI does not know: those a route class reads, not a function."""
    parameters = operation.setdefault("parameters", [])
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    parameters[:0] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
        if name not in known
    ]
