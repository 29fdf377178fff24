"""collection.json as a collection of this server: its items, and the versions that tell what was offered before.

An archive lists every instruction there ever was, in its latest form, with the options that are no longer offered. From
these come as many versions as it tells apart, so that what was answered reads as it did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from fieldpack.archive.members import COLLECTION
from fieldpack.errors import ArchiveError
from fieldpack.reading.model import (
    CHOICE_TYPES,
    CONTENT_TYPES,
    KNOWN_TYPES,
    Collection,
    Instruction,
    Option,
    Scalar,
    scalar_text,
)
from fieldpack.reading.shapes import read_time
from fieldpack.server.collections.schemas import Item, TaskDetails, value_key
from fieldpack.server.collections.shapes import PARENT_TYPE, SCHEMA_VERSION
from fieldpack.server.imports.ids import LONGEST_ID, make_id
from fieldpack.server.imports.rows import PlacedRow, VersionRow

__all__ = ["Blueprint", "adopt", "draw"]

UNNAMED = "Imported collection"
LONGEST_NAME = 2_000
_ITEM: TypeAdapter[Any] = TypeAdapter(Item)
_NO_OPTION = Option("", "–")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A collection as it is to be made.

    Attributes:
        items: every one, retired ones too.
        versions: oldest first, the last one current.
        retired: ids, as the archive has them, of what the last version no longer asks.
    """

    name: str
    description: str | None
    items: list[PlacedRow]
    versions: list[VersionRow]
    pages: list[UUID]
    retired: frozenset[str]

    def find_version(self, started_at: datetime, answered: Iterable[str]) -> int:
        """The number of the version that a submission was begun with: by its time, and by what it answers."""
        number = max(1, bisect_right([version.made_at for version in self.versions], started_at))
        if number == len(self.versions) and not self.retired.isdisjoint(answered):
            number -= 1
        return max(1, number)


def adopt(collection: Collection) -> dict[str, Instruction]:
    """The instructions by id; those of a type that is not known here are taken for free texts.

    Raises:
        ArchiveError: an id is too long to be one.
    """
    found = {}
    for number, instruction in enumerate(collection.instructions):
        if len(instruction.id) > LONGEST_ID:
            raise _wrong(number, f"its id has more than {LONGEST_ID} characters")
        known = instruction.type in KNOWN_TYPES
        found[instruction.id] = instruction if known else _as_free_text(instruction)
    return found


def _as_free_text(instruction: Instruction) -> Instruction:
    return Instruction(
        id=instruction.id,
        type="free_text",
        description=instruction.description,
        page=instruction.page,
        order=instruction.order,
        retired=instruction.retired,
        required=instruction.required,
    )


def draw(
    collection: Collection,
    instructions: Mapping[str, Instruction],
    ids: Mapping[str, UUID],
    import_id: UUID,
    by: UUID,
    chosen: Mapping[str, list[Scalar]],
    made_at: datetime,
) -> Blueprint:
    """The collection that an archive tells of.

    Args:
        instructions: of `adopt`.
        ids: what each instruction is called here.
        by: the researcher who is said to have made it.
        chosen: what was chosen of choices that come without options, which become their options.
        made_at: when it was made, where the archive doesn't say.

    Raises:
        ArchiveError: something of it can't be a collection; says which instruction, and why.
    """
    created_at = collection.created_at or made_at
    described: dict[str, dict[str, Any]] = {}
    for number, instruction in enumerate(instructions.values()):
        described[instruction.id] = _describe(number, instruction, chosen.get(instruction.id, []))
    numbers = sorted({instruction.page or 0 for instruction in instructions.values()})
    pages = {number: make_id(import_id, "page", str(number)) for number in numbers}
    stamp = {"created_at": created_at.isoformat().replace("+00:00", "Z"), "created_by": str(by)}
    retired = {key for key, instruction in instructions.items() if instruction.retired}

    def item(key: str, position: int) -> dict[str, Any]:
        instruction = instructions[key]
        return {
            **described[key],
            "id": str(ids[key]),
            "type": instruction.type,
            "order": position if instruction.order is None else max(0, instruction.order),
            **stamp,
            "parent_id": str(pages[instruction.page or 0]),
            "parent_type": PARENT_TYPE,
        }

    made = {key: item(key, position) for position, key in enumerate(instructions)}
    ordered = sorted(instructions, key=lambda key: (instructions[key].page or 0, made[key]["order"]))
    details = _task_details(collection)
    name = (collection.name.strip() or UNNAMED)[:LONGEST_NAME]

    def body(at: datetime | None) -> dict[str, Any]:
        shown = [key for key in ordered if at is not None or key not in retired]
        found = []
        for number, page_id in pages.items():
            items = [
                _as_of(made[key], instructions[key], at)
                for key in shown
                if (instructions[key].page or 0) == number
            ]
            if items:
                found.append(
                    {
                        "id": str(page_id),
                        "order": max(0, number),
                        "page_items": items,
                        **stamp,
                        "schema_version": SCHEMA_VERSION,
                    }
                )
        return {
            "name": name,
            "description": collection.description,
            "task_details": details,
            "collection_items": found,
        }

    gone = [option for instruction in instructions.values() for option in instruction.retired_options]
    ends = sorted({end for option in gone if (end := _end_of(option)) is not None and end > created_at})
    if retired and not ends:
        ends = [max(made_at, created_at)]
    times = [created_at, *ends]
    versions = [VersionRow(at, body(at if number < len(ends) else None)) for number, at in enumerate(times)]
    placed = [
        PlacedRow(numbers.index(instructions[key].page or 0), made[key]["order"], made[key], key in retired)
        for key in ordered
    ]
    return Blueprint(name, collection.description, placed, versions, list(pages.values()), frozenset(retired))


def _end_of(option: Option) -> datetime | None:
    """Until when an option was offered, where the archive says so."""
    try:
        return read_time(option.extra.get("until"), "until")
    except ValueError:
        return None


def _as_of(item: dict[str, Any], instruction: Instruction, at: datetime | None) -> dict[str, Any]:
    """An item as it was at a time; None for now."""
    name = "options" if "options" in item else "unit_options"
    if at is None or not instruction.retired_options or name not in item:
        return item
    options = {value_key(option["value"]): option for option in item[name]}
    earlier: dict[Any, dict[str, Any]] = {}
    for option in reversed(instruction.retired_options):  # the label that ended first after that time counts
        until = _end_of(option)
        if until is not None and until > at:
            key = value_key(option.value)
            heading = {"heading": option.heading or option.label} if "heading" in options.get(key, {}) else {}
            earlier[key] = {"label": option.label, "value": option.value, **heading}
    return {**item, name: list({**options, **earlier}.values())}


def _describe(number: int, instruction: Instruction, chosen: list[Scalar]) -> dict[str, Any]:
    """What an instruction says, as the API would take it; without id, type and place."""
    given: dict[str, Any] = {
        **instruction.extra,
        "type": instruction.type,
        "description": instruction.description if instruction.description.strip() else instruction.id,
        "required": instruction.required,
        "validation": instruction.validation,
    }
    given.pop("order", None)
    if instruction.type in CONTENT_TYPES:
        given.pop("required")
    if instruction.type in CHOICE_TYPES:
        options = instruction.options or tuple(Option(value, scalar_text(value)) for value in chosen)
        with_heading = instruction.type == "multiple_choice_with_free_text"
        given["options"] = [_option(option, with_heading) for option in options or (_NO_OPTION,)]
        given["answer_limit"] = min(max(instruction.answer_limit, -1), len(given["options"])) or 1
    if instruction.type == "free_text_with_unit":
        units = instruction.unit_options or tuple(Option(value, scalar_text(value)) for value in chosen)
        given["unit_options"] = [
            {**_option(unit, False), "validation": unit.extra.get("validation")}
            for unit in units or (Option("–", "–"),)
        ]
    try:
        checked = _ITEM.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"][1:])
        raise _wrong(number, f"{path}: {first['msg']}" if path else first["msg"]) from error
    found: dict[str, Any] = checked.model_dump(exclude={"id", "order", "type"}, exclude_none=True)
    return found


def _option(option: Option, with_heading: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"label": option.label or scalar_text(option.value) or "–", "value": option.value}
    if with_heading:
        made["heading"] = option.heading or made["label"]
    if option.exclusive:
        made["exclusive"] = True
    return made


def _task_details(collection: Collection) -> dict[str, Any]:
    details = collection.task_details
    try:
        return TaskDetails(
            task_name=str(details.get("task_name") or collection.name.strip() or UNNAMED)[:LONGEST_NAME],
            task_introduction=str(details.get("task_introduction") or ""),
            task_steps=str(details.get("task_steps") or ""),
        ).model_dump()
    except ValidationError as error:
        raise ArchiveError(
            f"{COLLECTION} can't be imported: task_details: {error.errors()[0]['msg']}.", member=COLLECTION
        ) from error


def _wrong(number: int, reason: str) -> ArchiveError:
    return ArchiveError(
        f"{COLLECTION} can't be imported: instructions[{number}]: {reason.rstrip('.')}.", member=COLLECTION
    )
