"""Answers are saved here, for the API and for pages without scripts: while they may change, in the shape that each
instruction takes, and not over what was changed elsewhere meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.service import iter_items
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import PRECONDITION_FAILED, Problem, not_found
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.answering.answers import describe_reading, normalise
from fieldpack.server.submissions.rows import AnswerRow, SavedRow
from fieldpack.server.uploads.service import require_open

__all__ = ["Answering", "open_answers", "save_answer"]


@dataclass(frozen=True, slots=True)
class Answering:
    """A submission whose answers are held still until commit, and may change in this transaction."""

    connection: Connection
    submission_id: UUID
    items: dict[str, dict[str, Any]]  # those of the version that its participant sees, by id
    saved: dict[UUID, AnswerRow]  # what was saved before, of what may change

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

    async def write(self, answers: Mapping[UUID, dict[str, Any] | None]) -> dict[UUID, SavedRow]:
        """Save answers, over earlier ones, and clear those that are None; what became of those saved."""
        await queries.clear_answers(
            self.connection, self.submission_id, [key for key, answer in answers.items() if answer is None]
        )
        return await queries.save_answers(
            self.connection,
            self.submission_id,
            {key: answer for key, answer in answers.items() if answer is not None},
        )


async def open_answers(
    connection: Connection, submission_id: UUID, instruction_ids: Iterable[UUID]
) -> Answering:
    """Lock a submission until commit, to change its answers to these instructions.

    Raises:
        Problem: 404 when it was erased, 409 when its answers can't change any more.
    """
    row = await queries.find_submission(connection, submission_id, lock=True)
    if row is None:
        raise not_found("Submission", submission_id)
    body = await get_version(connection, row.collection_id, row.collection_version)
    require_open(row.open)
    saved = await queries.list_answers(connection, row.id, list(instruction_ids))
    return Answering(
        connection,
        row.id,
        items={item["id"]: item for item in iter_items(body)},
        saved={answer.instruction_id: answer for answer in saved},
    )


async def save_answer(
    connection: Connection, submission_id: UUID, instruction_id: UUID, given: Any, seen: str | None
) -> dict[str, Any]:
    """Save one answer, or clear it; what the API says of it then.

    Args:
        given: the value shape of the instruction, less its type; None clears.
        seen: the revision that must still be the saved one; None to write over any.

    Raises:
        Problem: 404 for a submission that was erased, or an instruction that is not of it; 409 when answers can't
            change any more; 412 when it was changed elsewhere; 400 for what the instruction does not take.
    """
    answering = await open_answers(connection, submission_id, [instruction_id])
    item = answering.get_item(instruction_id)
    if seen is not None and answering.is_stale(instruction_id, seen):
        raise Problem(
            PRECONDITION_FAILED,
            f"This answer was changed elsewhere: it is at revision {answering.revision_of(instruction_id)}."
            " Load it before saving again.",
        )
    answer = normalise(item, given) if given is not None else None
    saved = await answering.write({instruction_id: answer})
    if answer is None:
        return {"instruction_id": instruction_id, "answer": None, "revision": 0}
    row = saved[instruction_id]
    return {
        "instruction_id": instruction_id,
        "answer": answer,
        "revision": row.revision,
        "saved_at": row.updated_at,
        **describe_reading(item, answer),
    }
