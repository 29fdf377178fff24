"""JSON's own types, as fields of what clients send: `"5"`, `true` and `"yes"` are no numbers and no booleans.

Unlike pydantic's unions, these name a field by its path alone when they refuse it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator, StrictBool, WithJsonSchema

__all__ = ["Boolean", "Integer", "Number", "Scalar"]

MAX_SCALAR_TEXT = 2_000


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
