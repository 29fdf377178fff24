"""Saving answers, for the API and for pages without scripts.

Answers are saved while they may change, in the shape that each instruction takes, and not over a revision that their
sender has not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fieldpack.archive.records import dump_json
from fieldpack.server.caches import Caches
from fieldpack.server.collections.versions import Items, find_items, get_items
from fieldpack.server.db.pool import Connection, begin_in_pipeline, end_in_pipeline
from fieldpack.server.problems import INVALID, PRECONDITION_FAILED, Problem, not_found
from fieldpack.server.submissions.answering import queries
from fieldpack.server.submissions.answering.answers import describe_reading, normalise
from fieldpack.server.submissions.rows import AnswerRow, HeldAnswer, HeldRow, Key, NotOpened, SavedRow
from fieldpack.server.uploads.queries import ask_lock
from fieldpack.server.uploads.service import require_open
from fieldpack.server.values.uuids import is_uuid

__all__ = [
    "MOST_TOGETHER",
    "Answering",
    "open_answers",
    "read_map",
    "read_seen",
    "save_all_at_once",
    "save_answer",
    "save_answers",
    "save_at_once",
]

MOST_TOGETHER = 10_000
"""Answers in one request: more than a collection asks, and few enough to be looked at in a moment."""

SMALL_BYTES = 4096
"""Of an answer that is saved whatever the others take, and by a single statement."""

_REVISION = re.compile("0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Answering:
    """A submission that is locked until commit, and whose answers may change in this transaction."""

    connection: Connection
    submission_id: UUID
    items: Mapping[str, dict[str, Any]]  # those of the version that its participant sees, by id
    saved: dict[UUID, AnswerRow]  # what was saved before, of what may change
    most_bytes: int  # that the answers of a submission may take together

    def get_item(self, instruction_id: UUID) -> dict[str, Any]:
        """What an instruction says.

        Raises:
            Problem: 404 when it is not of this submission.
        """
        item = self.items.get(str(instruction_id))
        if item is None:
            raise not_found("Instruction", instruction_id)
        return item

    def revision_of(self, instruction_id: UUID) -> int:
        """The revision of the saved answer; 0 when there is none."""
        row = self.saved.get(instruction_id)
        return row.revision if row is not None else 0

    def is_stale(self, instruction_id: UUID, seen: str) -> bool:
        """Whether an answer was changed since the revision that its sender saw, which is not to be written over."""
        return seen != str(self.revision_of(instruction_id))

    async def find_too_much(self, answers: Mapping[UUID, dict[str, Any] | None]) -> list[UUID]:
        """Those of these answers, beginning with the largest, without which the others have room.

        Small ones always have: a collection asks only so many. A single one has, whatever its length may be.
        """
        sizes = {key: size for key, answer in answers.items() if (size := _count_bytes(answer)) > SMALL_BYTES}
        if not sizes:
            return []
        used = await queries.count_bytes(self.connection, self.submission_id, list(sizes))
        refused: list[UUID] = []
        for key in sorted(sizes, key=sizes.__getitem__):
            used += sizes[key]
            if used > self.most_bytes and used > sizes[key]:
                refused.append(key)
        return refused

    async def write(
        self, answers: Mapping[UUID, dict[str, Any] | None], *, commit: bool = False
    ) -> dict[UUID, SavedRow]:
        """Save answers, over earlier ones, and clear those that are None; what became of those saved.

        Args:
            commit: nothing else is done in this transaction.
        """
        kept = {key: answer for key, answer in answers.items() if answer is not None}
        async with self.connection.pipeline():
            await queries.clear_answers(
                self.connection, self.submission_id, [key for key in answers if key not in kept]
            )
            asked = await queries.ask_save(self.connection, self.submission_id, kept) if kept else None
            if commit:
                await end_in_pipeline(self.connection)
        rows = await asked.fetchall() if asked is not None else []
        return {row.instruction_id: row for row in rows}


async def open_answers(
    connection: Connection,
    caches: Caches,
    submission_id: UUID,
    instruction_ids: Iterable[UUID],
    most_bytes: int,
    key: Key | None = None,
) -> Answering:
    """Lock a submission until commit, to change its answers to these instructions.

    Args:
        most_bytes: that its answers may take together.
        key: what must open it; None where that was asked before.

    Raises:
        Problem: 404 when it was erased, 409 when its answers can't change any more.
        NotOpened: the key does not open it.
    """
    async with begin_in_pipeline(connection):
        locked = (
            await queries.ask_held(connection, submission_id, key)
            if key is not None
            else await ask_lock(connection, submission_id)
        )
        asked = await queries.ask_answers(connection, submission_id, list(instruction_ids))
    row, saved = await locked.fetchone(), await asked.fetchall()
    if row is None:
        raise NotOpened if key is not None else not_found("Submission", submission_id)
    require_open(row.open)
    items = await get_items(connection, caches, row.collection_id, row.collection_version)
    return Answering(
        connection,
        row.id,
        items,
        saved={answer.instruction_id: answer for answer in saved},
        most_bytes=most_bytes,
    )


async def save_at_once(
    connection: Connection,
    caches: Caches,
    held: HeldRow,
    key: Key,
    instruction_id: UUID,
    given: Any,
    seen: str | None,
) -> dict[str, Any] | None:
    """Save one answer by a single statement, as `save_answer` does; None, and nothing saved, where it may refuse.

    Args:
        connection: of `Database.statements`.
    """
    items = find_items(caches, held.collection_id, held.collection_version)
    answer = _make_held(items, instruction_id, given, seen) if items is not None else None
    if items is None or answer is None:
        return None
    row = await queries.save_held_answer(connection, held.id, key, answer)
    return _describe_saved(instruction_id, items[str(instruction_id)], answer.value, row) if row else None


async def save_all_at_once(
    connection: Connection, caches: Caches, held: HeldRow, key: Key, given: Any
) -> dict[str, Any] | None:
    """Save several answers in one go, as `save_answers` does; None, and nothing saved, where it may refuse, or clears
    any.

    Args:
        connection: of `Database.statements`.
    """
    items = find_items(caches, held.collection_id, held.collection_version)
    if items is None:
        return None
    answers: list[HeldAnswer] = []
    try:
        by_id, refused = read_map(given)
        for instruction_id, value in by_id.items():
            answer = _make_held(items, instruction_id, value, _read_revision(value))
            if answer is None or refused:
                return None
            answers.append(answer)
    except Problem:
        return None
    if not answers:
        return None
    saved = {
        row.instruction_id: row for row in await queries.save_held_answers(connection, held.id, key, answers)
    }
    return (
        {
            str(answer.instruction_id): _describe_saved(
                answer.instruction_id,
                items[str(answer.instruction_id)],
                answer.value,
                saved[answer.instruction_id],
            )
            for answer in answers
        }
        if saved
        else None
    )


def _make_held(items: Items, instruction_id: UUID, given: Any, seen: str | None) -> HeldAnswer | None:
    """An answer to be saved at once; None where there may be something to say instead, or to say before."""
    item = items.get(str(instruction_id))
    if item is None or given is None or not (seen is None or _REVISION.fullmatch(seen)):
        return None
    try:
        answer = normalise(item, given)
    except Problem:
        return None
    if _count_bytes(answer) > SMALL_BYTES:
        return None
    return HeldAnswer(instruction_id, answer, int(seen) if seen is not None else None)


async def save_answer(
    connection: Connection,
    caches: Caches,
    submission_id: UUID,
    instruction_id: UUID,
    given: Any,
    seen: str | None,
    most_bytes: int,
) -> dict[str, Any]:
    """Save one answer, or clear it; what the API says of it then.

    Args:
        most_bytes: that the answers of a submission may take together.
        given: the value shape of the instruction, less its type; None clears.
        seen: the revision that must still be the saved one; None to write over any.

    Raises:
        Problem: 404 for a submission that was erased, or an instruction that is not of it; 409 when answers can't
            change any more; 412 when it was changed elsewhere; 400 for what the instruction does not take.
    """
    answering = await open_answers(connection, caches, submission_id, [instruction_id], most_bytes)
    item = answering.get_item(instruction_id)
    if seen is not None and answering.is_stale(instruction_id, seen):
        raise Problem(PRECONDITION_FAILED, _explain_stale(answering, instruction_id))
    answer = normalise(item, given) if given is not None else None
    if await answering.find_too_much({instruction_id: answer}):
        raise Problem(INVALID, {"value": [_explain_too_much(answering)]})
    return (await _write_all(answering, {instruction_id: answer}))[str(instruction_id)]


async def save_answers(
    connection: Connection, caches: Caches, submission_id: UUID, held_by: Key, given: Any, most_bytes: int
) -> dict[str, Any]:
    """Save or clear several answers, all or none; what the API says of each then, by instruction id.

    Args:
        held_by: what must open the submission.
        given: an object of instruction ids, and of each the value shape less its type, or None to clear it. A value
            may carry `revision`: the one that must still be saved, 0 where nothing must be.
        most_bytes: that the answers of a submission may take together.

    Raises:
        Problem: 400 by instruction id, for what is none of this submission or is not what it takes; else 412 by
            instruction id for what was changed elsewhere; 409 as for one.
        NotOpened: the key does not open it.
    """
    by_id, refused = read_map(given)
    answering = await open_answers(connection, caches, submission_id, by_id, most_bytes, held_by)
    answers: dict[UUID, dict[str, Any] | None] = {}
    stale: dict[str, list[str]] = {}
    for instruction_id, value in by_id.items():
        key = str(instruction_id)
        item = answering.items.get(key)
        if item is None:
            refused[key] = ["This is no instruction of this submission."]
            continue
        try:
            seen = _read_revision(value)
            answers[instruction_id] = normalise(item, value) if value is not None else None
        except Problem as problem:
            refused[key] = _flatten(problem.detail)
            continue
        if seen is not None and answering.is_stale(instruction_id, seen):
            stale[key] = [_explain_stale(answering, instruction_id)]
    refused |= {str(key): [_explain_too_much(answering)] for key in await answering.find_too_much(answers)}
    if refused:
        raise Problem(INVALID, refused)
    if stale:
        raise Problem(PRECONDITION_FAILED, stale)
    return await _write_all(answering, answers)


def read_map(given: Any) -> tuple[dict[UUID, Any], dict[str, list[str]]]:
    """What is sent for each instruction, and the names that are refused, each with why.

    Raises:
        Problem: 400 for what is no map, or has no end to it.
    """
    if not isinstance(given, dict):
        raise Problem(INVALID, {"body": ["Send an object: instruction ids, and the answer to each."]})
    if len(given) > MOST_TOGETHER:
        raise Problem(INVALID, {"body": [f"Send at most {MOST_TOGETHER:,} answers at a time."]})
    by_id: dict[UUID, Any] = {}
    refused: dict[str, list[str]] = {}
    for key, value in given.items():
        if not is_uuid(key):
            refused[key or "body"] = ["This is no instruction of this submission."]
            continue
        if UUID(key) in by_id:
            refused[key] = ["This instruction is named twice."]
        by_id[UUID(key)] = value
    return by_id, refused


def _read_revision(value: Any) -> str | None:
    """The revision that a value carries.

    Raises:
        Problem: 400.
    """
    revision = value.get("revision") if isinstance(value, dict) else None
    if revision is None:
        return None
    if type(revision) is not int or revision < 0:
        raise Problem(INVALID, {"revision": ["Must be the number of a revision, 0 for no answer."]})
    return str(revision)


def read_seen(given: Any, if_match: str | None) -> str | None:
    """The revision that must still be saved where one answer is sent: that of `If-Match`, or the value's own; None for
    any.

    Raises:
        Problem: 400 for two that are not the same, or for what is none beside a value.
    """
    named = ("*" if if_match is None else if_match).strip('" ')
    beside = _read_revision(given)
    if named == "*":
        return beside
    if beside is not None and beside != named:
        raise Problem(INVALID, {"revision": ["If-Match names another revision: send one of the two."]})
    return named


def _flatten(detail: Any) -> list[str]:
    """The sentences about one answer, each with the field it is about where that is not the whole."""
    return [
        sentence if field in ("body", "value") else f"{field}: {sentence}"
        for field, sentences in detail.items()
        for sentence in sentences
    ]


def _explain_stale(answering: Answering, instruction_id: UUID) -> str:
    revision = answering.revision_of(instruction_id)
    return f"This answer was changed elsewhere: it is at revision {revision}. Load it before saving again."


def _explain_too_much(answering: Answering) -> str:
    most = f"{answering.most_bytes:,} bytes"
    return f"The answers of one submission may have {most} together: shorten this one, or another."


def _count_bytes(answer: dict[str, Any] | None) -> int:
    """Bytes of JSON, as they are counted of what is saved."""
    return len(dump_json(answer)) if answer is not None else 0


async def _write_all(
    answering: Answering, answers: Mapping[UUID, dict[str, Any] | None]
) -> dict[str, dict[str, Any]]:
    """Write answers, end the transaction, and say of each what came of it."""
    saved = await answering.write(answers, commit=True)
    return {
        str(instruction_id): _describe_saved(
            instruction_id, answering.get_item(instruction_id), answer, saved.get(instruction_id)
        )
        for instruction_id, answer in answers.items()
    }


def _describe_saved(
    instruction_id: UUID, item: dict[str, Any], answer: dict[str, Any] | None, row: SavedRow | None
) -> dict[str, Any]:
    """What the API says of an answer that was saved, or cleared."""
    about: dict[str, Any] = {"instruction_id": instruction_id, "answer": answer, "revision": 0}
    if answer is not None and row is not None:
        about |= {"revision": row.revision, "saved_at": row.updated_at}
        about |= describe_reading(item, answer)
    return about
