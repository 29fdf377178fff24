"""Lists in what clients send: however many of their entries are wrong, few faults are found, and fewer named.

pydantic makes an error of every fault before anybody sees the first one: about a kilobyte each, while nothing else of
the process runs. A body of 4 MB has room for two million of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails, PydanticOmit

__all__ = ["MOST_NAMED", "Entry", "check_body", "list_faults"]

MOST_NAMED = 100  # that one answer names; who has more mends these first
MOST_FOUND = 1_000  # a fault counts again in each list around its own, so this is well above what is named

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(slots=True)
class _Found:
    """How many faults the entries of one body's lists had so far."""

    count: int = 0


def _check_entry(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Check one entry; leave it out where the body is refused already, and has faults enough to name."""
    found = info.context
    if not isinstance(found, _Found):
        return check(value)
    if found.count >= MOST_FOUND:
        raise PydanticOmit
    try:
        return check(value)
    except ValidationError as error:
        found.count += error.error_count()
        raise


Entry = Annotated[T, WrapValidator(_check_entry)]
"""What every list of a body consists of.

Not for lists in a union: faults of the branch that is not taken would count.
"""


def check_body(model: type[Model], body: Any) -> Model:
    """A body as its model.

    Raises:
        ValidationError: it is none; with some 1,000 faults at most, given lists of `Entry`.
    """
    return model.model_validate(body, context=_Found())


def list_faults(error: ValidationError) -> list[ErrorDetails]:
    """The first 100 faults, without what was sent."""
    return error.errors(include_url=False, include_input=False, include_context=False)[:MOST_NAMED]
