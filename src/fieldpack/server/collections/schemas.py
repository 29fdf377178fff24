"""What a collection is made of, as clients send it: pages of seven item types, checked field by field.

How many there may be of each is in `limits`, and looked at before.
Fields that a client leaves out, or sends as null, take the defaults of the contract. Unknown fields are
ignored, so that what the API answered can be sent back.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fieldpack.server.values.entries import Entry
from fieldpack.server.values.html import sanitise
from fieldpack.server.values.json_types import Boolean, Integer, Number, Scalar
from fieldpack.server.values.urls import is_picture_url
from fieldpack.text import say_count

__all__ = ["CollectionCopy", "CollectionInput", "CollectionReplacement", "Item", "PageInput", "TaskDetails"]

ITEM_TYPES = (
    "free_text",
    "multiple_choice",
    "multiple_choice_with_free_text",
    "free_text_with_unit",
    "file_upload",
    "rich_text",
    "image",
)
DEFAULT_FILE_TYPES = [".jpg", ".jpeg", ".png", ".heic", ".heif"]
_EXTENSION = re.compile(r"(\.[\w+~-]+)+")
MAX_UNIT = 200
MOST_NAME_CHARACTERS = 2_000


def _none_if_blank(value: Any) -> Any:
    return None if value == "" else value


def _drop_nulls(value: Any) -> Any:
    """A field sent as null was not given."""
    if isinstance(value, dict):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=MOST_NAME_CHARACTERS)]
OptionalText = Annotated[str, StringConstraints(max_length=100_000)] | None
Html = Annotated[str, AfterValidator(sanitise)]
Identifier = Annotated[UUID | None, BeforeValidator(_none_if_blank)]
LARGEST_ORDER = 1_000_000
Order = Annotated[Integer, Field(ge=0, le=LARGEST_ORDER)] | None


class Given(BaseModel):
    """Base of all input: null is the same as absent."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return _drop_nulls(value)


class Validation(Given):
    """Bounds of a number, or of the length of a text in characters."""

    type: Literal["number", "string"]
    min: Number | None = None
    max: Number | None = None

    @field_validator("min", "max")
    @classmethod
    def _length(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and value < 0 and info.data.get("type") == "string":
            raise ValueError("A length can't be negative.")
        return value

    @field_validator("max")
    @classmethod
    def _ordered(cls, value: float | None, info: ValidationInfo) -> float | None:
        least = info.data.get("min")
        if value is not None and least is not None and least > value:
            raise ValueError("min must not be greater than max.")
        return value


class TaskDetails(Given):
    task_name: Annotated[ShortText, AfterValidator(sanitise)]
    task_introduction: Html
    task_steps: Html


class ItemBase(Given):
    id: Identifier = None
    order: Order = None


class Instruction(ItemBase):
    description: Text
    helper_text: OptionalText = None
    placeholder_text_input: OptionalText = None
    required: Boolean = True


class FreeText(Instruction):
    type: Literal["free_text"]
    validation: Validation | None = None


def value_key(value: bool | int | float | str) -> tuple[str, Any]:
    """Identity of an option value: `1`, `"1"` and `true` are three different ones, `1` and `1.0` are one."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, str):
        return ("string", value)
    return ("number", value)


class Option(Given):
    label: ShortText
    value: Scalar
    exclusive: Boolean | None = None


class OptionWithHeading(Option):
    heading: ShortText


def _check_unique(options: list[Any]) -> list[Any]:
    seen = set()
    for option in options:
        key = value_key(option.value)
        if key in seen:
            raise ValueError(f"The value {option.value!r} occurs twice; values must be unique.")
        seen.add(key)
    return options


class Choice(Instruction):
    options: list[Any]
    answer_limit: Integer = 1
    disable_dropdown: Boolean = False

    @field_validator("answer_limit")
    @classmethod
    def _limit(cls, value: int, info: ValidationInfo) -> int:
        if value != -1 and value < 1:
            raise ValueError("Must be -1 (no limit) or at least 1.")
        options = info.data.get("options")
        if options is not None and value > len(options):
            verb = "is" if len(options) == 1 else "are"
            raise ValueError(f"Is {value}, but there {verb} only {say_count(len(options), 'option')}.")
        return value


class MultipleChoice(Choice):
    type: Literal["multiple_choice"]
    options: Annotated[list[Entry[Option]], Field(min_length=1), AfterValidator(_check_unique)]


class MultipleChoiceWithFreeText(Choice):
    type: Literal["multiple_choice_with_free_text"]
    options: Annotated[list[Entry[OptionWithHeading]], Field(min_length=1), AfterValidator(_check_unique)]


def _check_unit(value: bool | int | float | str) -> bool | int | float | str:
    if isinstance(value, str) and not 1 <= len(value) <= MAX_UNIT:
        raise ValueError(f"Must have 1 to {MAX_UNIT} characters.")
    return value


class UnitOption(Given):
    label: ShortText
    value: Annotated[Scalar, AfterValidator(_check_unit)]
    validation: Validation | None = None


class FreeTextWithUnit(Instruction):
    type: Literal["free_text_with_unit"]
    unit_options: Annotated[list[Entry[UnitOption]], Field(min_length=1), AfterValidator(_check_unique)]
    default_unit: Annotated[Scalar | None, BeforeValidator(_none_if_blank)] = None
    unit_position: Literal["prefix", "suffix"] = "suffix"
    validation: Validation | None = None

    @field_validator("default_unit")
    @classmethod
    def _one_of_the_units(
        cls, value: bool | int | float | str | None, info: ValidationInfo
    ) -> bool | int | float | str | None:
        units = info.data.get("unit_options")
        if value is None or units is None:
            return value
        if value_key(value) not in {value_key(unit.value) for unit in units}:
            raise ValueError(f"{value!r} is not one of the unit_options.")
        return value


class FileUpload(Instruction):
    type: Literal["file_upload"]
    accepted_file_types: Annotated[list[Entry[str]], Field(max_length=100)] = Field(
        default_factory=lambda: list(DEFAULT_FILE_TYPES)
    )
    max_file_size_mb: Annotated[Number, Field(gt=0, le=1_000_000)] = 25
    min_file_count: Annotated[Integer, Field(ge=1, le=10_000)] = 1
    max_file_count: Annotated[Integer, Field(ge=1, le=10_000)] = 10

    @field_validator("accepted_file_types")
    @classmethod
    def _extensions(cls, value: list[str]) -> list[str]:
        if not value:
            return list(DEFAULT_FILE_TYPES)
        for extension in value:
            if _EXTENSION.fullmatch(extension) is None:
                raise ValueError(f"{extension!r} is not an extension with a leading dot, such as .jpg.")
        return list(dict.fromkeys(extension.lower() for extension in value))

    @field_validator("max_file_count")
    @classmethod
    def _at_least_the_minimum(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("min_file_count", 1)
        if value < least:
            raise ValueError(f"Is {value}, less than min_file_count {least}.")
        return value

    @model_validator(mode="after")
    def _default_at_least_the_minimum(self) -> Self:
        self.max_file_count = max(self.max_file_count, self.min_file_count)
        return self


class RichText(ItemBase):
    type: Literal["rich_text"]
    content_format: Literal["html", "markdown"] = "html"
    content: Annotated[str, StringConstraints(min_length=1)]

    @field_validator("content")
    @classmethod
    def _clean(cls, value: str, info: ValidationInfo) -> str:
        return sanitise(value, markdown=info.data.get("content_format") == "markdown")

    @model_validator(mode="after")
    def _is_html_now(self) -> Self:
        self.content_format = "html"
        return self


class Image(ItemBase):
    type: Literal["image"]
    url: Annotated[str, StringConstraints(max_length=4_000)]
    alt_text: ShortText
    caption: OptionalText = None

    @field_validator("url")
    @classmethod
    def _is_shown(cls, value: str) -> str:
        if not is_picture_url(value):
            raise ValueError(
                "Must be an https URL such as https://example.org/picture.png, or that of an uploaded picture."
            )
        return value


Item = Annotated[
    FreeText | MultipleChoice | MultipleChoiceWithFreeText | FreeTextWithUnit | FileUpload | RichText | Image,
    Field(discriminator="type"),
]


class PageInput(Given):
    id: Identifier = None
    order: Order = None
    page_items: Annotated[list[Entry[Item]], Field(min_length=1)]


class CollectionReplacement(Given):
    """What `PUT` takes: the whole collection."""

    name: ShortText
    description: OptionalText = None
    task_details: TaskDetails
    collection_items: Annotated[list[Entry[PageInput]], Field(min_length=1)]


def _drop_id(value: Any) -> Any:
    return (
        {name: inner for name, inner in value.items() if name != "id"} if isinstance(value, dict) else value
    )


def _without_ids(pages: Any) -> Any:
    """Pages as new ones: an id, of whatever form, is unknown, so that a copy of another collection gets its own."""
    if not isinstance(pages, list):
        return pages
    found = [_drop_id(page) for page in pages]
    for page in found:
        if isinstance(page, dict) and isinstance(page.get("page_items"), list):
            page["page_items"] = [_drop_id(item) for item in page["page_items"]]
    return found


class CollectionCopy(Given):
    """What a copy may be asked to be."""

    name: ShortText | None = None


class CollectionInput(CollectionReplacement):
    """What `POST` takes."""

    collection_items: Annotated[list[Entry[PageInput]], Field(min_length=1), BeforeValidator(_without_ids)]
    workspace_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
