"""What a change of a collection does to answers: which questions and options with answers go, or read otherwise.

Nothing is lost by it: answers stay as they were given, and exports name what is asked no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.schemas import CollectionReplacement, value_key
from fieldpack.server.collections.service import get_collection, iter_items
from fieldpack.server.collections.shapes import CONTENT_TYPES
from fieldpack.server.db.pool import Connection
from fieldpack.server.responses.edits import queries
from fieldpack.server.responses.queries import count_answered

__all__ = ["Effect", "Effects", "describe_effects", "find_effects"]

Kind = Literal["question_removed", "question_reworded", "option_removed", "option_reworded"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that changes under answers.

    Attributes:
        question: as it is asked now.
        answers: how many were given to the question or, of an option or unit, chose it.
        label: of the option or unit, as it is now; None for a question.
        becomes: how it will read; None for what is removed.
    """

    kind: Kind
    instruction_id: UUID
    question: str
    answers: int
    label: str | None = None
    becomes: str | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """All that a change does.

    Attributes:
        effects: in the order of the questions as they are now.
        under_way: participants who are answering, and go on with what they began with.
    """

    effects: list[Effect]
    under_way: int


async def find_effects(
    connection: Connection, caller: Caller, collection_id: UUID, given: CollectionReplacement
) -> Effects:
    """What it would do to put `given` in a collection's place.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    row = await get_collection(connection, caller, collection_id, Action.COLLECTION_WRITE)
    answered = await count_answered(connection, collection_id)
    kept = {str(item.id): item.model_dump() for page in given.collection_items for item in page.page_items}
    found: list[Effect] = []
    for item in iter_items(row.body):
        answers = answered.get(item["id"], 0)
        if item["type"] in CONTENT_TYPES or not answers:
            continue
        identifier, question = UUID(item["id"]), item["description"]
        new = kept.get(item["id"])
        if new is None:
            found.append(Effect("question_removed", identifier, question, answers))
            continue
        if new["description"] != question:
            becomes = new["description"]
            found.append(Effect("question_reworded", identifier, question, answers, becomes=becomes))
        changed = list(_find_changed_options(item, new))
        if changed:
            counts = {
                value_key(chosen.value): chosen.count
                for chosen in await queries.count_values(connection, collection_id, identifier)
            }
            for key, label, reads in changed:
                if counts.get(key):
                    kind: Kind = "option_removed" if reads is None else "option_reworded"
                    found.append(Effect(kind, identifier, question, counts[key], label, reads))
    return Effects(found, await queries.count_under_way(connection, collection_id))


def _find_changed_options(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, Any], str, str | None]]:
    """Options and units that go, or read otherwise: which, their labels, and what they will read; None for nothing."""
    for name in ("options", "unit_options"):
        labels = {value_key(option["value"]): option["label"] for option in new.get(name) or ()}
        for option in old.get(name) or ():
            key = value_key(option["value"])
            if labels.get(key) != option["label"]:
                yield key, option["label"], labels.get(key)


def describe_effects(found: Effects) -> dict[str, Any]:
    """The same as the API answers it."""
    return {
        "effects": [
            {
                name: value
                for name, value in (
                    ("kind", effect.kind),
                    ("instruction_id", effect.instruction_id),
                    ("question", effect.question),
                    ("answers", effect.answers),
                    ("label", effect.label),
                    ("becomes", effect.becomes),
                )
                if value is not None
            }
            for effect in found.effects
        ],
        "under_way": found.under_way,
    }
