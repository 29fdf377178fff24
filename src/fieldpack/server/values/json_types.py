"""JSON that strangers send: read within limits, and its own types as fields, where `"5"` is no number.

Unlike pydantic's unions, these name a field by its path alone when they refuse it.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator, PlainValidator, StrictBool, WithJsonSchema

__all__ = ["Boolean", "Integer", "Number", "Scalar", "parse_limited", "parse_object"]

MAX_SCALAR_TEXT = 2_000
MAX_DEPTH = 100


def parse_limited(text: bytes | str) -> Any:
    """JSON (in UTF-8), without lone surrogates and nested at most 100 levels deep.

    The standard library's parser raises `RecursionError` for what is deep, which is no `ValueError`.

    Raises:
        ValueError: it is not; `str()` goes on after "The body".
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error}") from None
    if _is_deep(value):
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    return value


def parse_object(text: bytes | str) -> dict[str, Any]:
    """An object in JSON, as `parse_limited` reads it.

    Raises:
        ValueError: it is none.
    """
    value = parse_limited(text)
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    return value


def _is_deep(value: Any) -> bool:
    """Whether `value` is nested deeper than anything sensible, and than recursion would bear."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> int | float:
    if not _is_number(value):
        raise ValueError("Must be a number.")
    number: int | float = value
    # strict clients read `150` as a whole number, and refuse `150.0`
    return int(number) if abs(number) < 2**53 and number == int(number) else number


def _only_number(value: Any) -> Any:
    """What an integer is read from: `1.0` is one, `"1"` is not."""
    if not _is_number(value):
        raise ValueError("Must be a whole number.")
    return value


def _scalar(value: Any) -> bool | int | float | str:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("Must be a string, a number or a boolean.")
    if isinstance(value, str) and len(value) > MAX_SCALAR_TEXT:
        raise ValueError(f"Must have at most {MAX_SCALAR_TEXT:,} characters.")
    return value


Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
Integer = Annotated[int, BeforeValidator(_only_number)]
Boolean = StrictBool
Scalar = Annotated[
    bool | int | float | str,
    PlainValidator(_scalar),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}),
]
