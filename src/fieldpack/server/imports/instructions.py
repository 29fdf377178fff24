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
from fieldpack.archive.records import dump_json
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
from fieldpack.server.collections.schemas import LARGEST_ORDER, Item, TaskDetails, value_key
from fieldpack.server.collections.shapes import PARENT_TYPE, SCHEMA_VERSION
from fieldpack.server.imports.ids import LONGEST_ID, make_id
from fieldpack.server.imports.rows import PlacedRow, VersionRow
from fieldpack.text import say_bytes, say_fault

__all__ = ["Blueprint", "adopt", "draw", "name_collection"]

UNNAMED = "Imported collection"
LONGEST_NAME = 2_000
MOST_VERSIONS = 1_000
MOST_VERSION_BYTES = 256 << 20  # as JSON
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
        number = max(1, bisect_right(self.versions, started_at, key=lambda version: version.made_at))
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
            raise _wrong(f"instructions[{number}]", f"its id has more than {LONGEST_ID} characters")
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


def name_collection(collection: Collection) -> str:
    """What a collection that is moved in is called."""
    return (collection.name.strip() or UNNAMED)[:LONGEST_NAME]


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
    places = _Places(instructions)
    pages = {number: make_id(import_id, "page", str(number)) for number in places.pages}
    stamp = {"created_at": created_at.isoformat().replace("+00:00", "Z"), "created_by": str(by)}
    retired = {key for key, instruction in instructions.items() if instruction.retired}
    made = {
        key: {
            **described[key],
            "id": str(ids[key]),
            "type": instruction.type,
            "order": places.orders[key],
            **stamp,
            "parent_id": str(pages[instruction.page or 0]),
            "parent_type": PARENT_TYPE,
        }
        for key, instruction in instructions.items()
    }
    earlier = {key: _list_earlier(made[key], each, created_at) for key, each in instructions.items()}
    ends = sorted({each.end for found in earlier.values() for each in found})
    if retired and not ends:
        ends = [max(made_at, created_at)]
    times = [created_at, *ends]
    _require_few(len(times), made, earlier)
    details = _task_details(collection)
    name = name_collection(collection)

    def body(at: datetime | None) -> dict[str, Any]:
        found = []
        for number, page_id in pages.items():
            items = [
                made[key] if at is None else _as_of(made[key], earlier[key], at)
                for key in places.on_page[number]
                if at is not None or key not in retired
            ]
            if items:
                found.append(
                    {
                        "id": str(page_id),
                        "order": places.pages[number],
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

    versions = [VersionRow(at, body(at if number < len(ends) else None)) for number, at in enumerate(times)]
    placed = [PlacedRow(*places.rows[key], made[key], key in retired) for key in instructions]
    return Blueprint(name, collection.description, placed, versions, list(pages.values()), frozenset(retired))


class _Places:
    """Where instructions stand. What an archive says of it stays as long as the API would take it; else, and in the
    rows by which items are ordered, it is the position among what is there.

    Attributes:
        pages: the order of each page, by what the archive calls it, in that order.
        on_page: the instructions of each page, in order.
        orders: of instructions on their pages, as `order` says it.
        rows: page and position by which the rows of instructions are ordered.
    """

    def __init__(self, instructions: Mapping[str, Instruction]) -> None:
        numbers = sorted({instruction.page or 0 for instruction in instructions.values()})
        given = {
            key: position if instruction.order is None else instruction.order
            for position, (key, instruction) in enumerate(instructions.items())
        }
        self.pages = dict(zip(numbers, _keep_orders(numbers), strict=True))
        self.on_page: dict[int, list[str]] = {number: [] for number in numbers}
        for key in sorted(instructions, key=lambda key: given[key]):
            self.on_page[instructions[key].page or 0].append(key)
        self.orders: dict[str, int] = {}
        self.rows: dict[str, tuple[int, int]] = {}
        for page_position, keys in enumerate(self.on_page.values()):
            kept = _keep_orders([given[key] for key in keys])
            for position, (key, order) in enumerate(zip(keys, kept, strict=True)):
                self.orders[key] = order
                self.rows[key] = page_position, position
        for position, (key, instruction) in enumerate(instructions.items()):
            # exports say the page of its row, and list those of a page in the order of the rows
            if instruction.retired:
                self.rows[key] = self.pages[instruction.page or 0], position


def _keep_orders(orders: list[int]) -> list[int]:
    """Ascending orders as they are, if the API would take each; else positions."""
    fit = all(0 <= order <= LARGEST_ORDER for order in orders)
    return orders if fit else list(range(len(orders)))


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An option, or the label of one, that is no longer offered; it was from `begin` to before `end`."""

    key: Any
    option: dict[str, Any]
    begin: datetime
    end: datetime


def _list_earlier(item: dict[str, Any], instruction: Instruction, created_at: datetime) -> list[_Earlier]:
    """The retired options of an instruction that say until when, in the order in which they went.

    Of when an option began the archive says nothing but by its order: a label began when the one before it went, and of
    those that went together, which are in the order in which they came, none began before the one that it follows.
    """
    if "options" not in item and "unit_options" not in item:
        return []
    dated = [
        (end, option)
        for option in instruction.retired_options
        if (end := _end_of(option)) is not None and end > created_at
    ]
    found: list[_Earlier] = []
    ended: dict[Any, datetime] = {}
    with_heading = instruction.type == "multiple_choice_with_free_text"
    for end, option in sorted(dated, key=lambda pair: pair[0]):
        key = value_key(option.value)
        begin = ended.get(key, created_at)
        if found and found[-1].end == end:
            begin = max(begin, found[-1].begin)
        heading = {"heading": option.heading or option.label} if with_heading else {}
        found.append(_Earlier(key, {"label": option.label, "value": option.value, **heading}, begin, end))
        ended[key] = end
    return found


def _end_of(option: Option) -> datetime | None:
    """Until when an option was offered, where the archive says so."""
    try:
        return read_time(option.extra.get("until"), "until")
    except ValueError:
        return None


def _require_few(versions: int, made: Mapping[str, Any], earlier: Mapping[str, list[_Earlier]]) -> None:
    """Refuse so many versions that to make them would take very long: each is a whole collection.

    Raises:
        ArchiveError: there are more than are made.
    """
    options = [each.option for found in earlier.values() for each in found]
    size = len(dump_json(list(made.values()))) + len(dump_json(options))
    if versions > MOST_VERSIONS or versions * size > MOST_VERSION_BYTES:
        raise ArchiveError(
            f"{COLLECTION} can't be imported: its retired options went at {versions - 1:,} different times, which is "
            f"{versions:,} versions of up to {say_bytes(size)}; at most {MOST_VERSIONS:,}, and "
            f"{say_bytes(MOST_VERSION_BYTES)} together, are made.",
            member=COLLECTION,
        )


def _as_of(item: dict[str, Any], earlier: list[_Earlier], at: datetime) -> dict[str, Any]:
    """An item as it was at a time: what is no longer offered first, in the archive's order, so that exports have it."""
    there = {each.key: each.option for each in earlier if each.begin <= at < each.end}
    if not there:
        return item
    name = "options" if "options" in item else "unit_options"
    kept = [option for option in item[name] if value_key(option["value"]) not in there]
    return {**item, name: [*there.values(), *kept]}


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
        said = say_fault(first["msg"])
        raise _wrong(f"instructions[{number}]", f"{path}: {said}" if path else said) from error
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
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(("task_details", *map(str, first["loc"])))
        raise _wrong(path, say_fault(first["msg"])) from error


def _wrong(where: str, reason: str) -> ArchiveError:
    return ArchiveError(f"{COLLECTION} can't be imported: {where}: {reason.rstrip('.')}.", member=COLLECTION)
