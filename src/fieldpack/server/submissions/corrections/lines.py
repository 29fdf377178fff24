"""A submission's line of responses.jsonl, taken apart, with another answer in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from fieldpack.archive.records import FILE_UPLOAD, dump_json

__all__ = ["Line", "read_line"]

_TIMES = ("started_at", "completed_at", "edited_at")  # which columns have


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says besides ids, state and times.

    Attributes:
        responses: by instruction id.
        rest: what an archive that was moved in said of the submission besides.
    """

    responses: dict[str, Any]
    rest: dict[str, Any]

    def replace(self, instruction_id: str, response: dict[str, Any] | None, order: Iterable[str]) -> Line:
        """The line with another response to an instruction, or with none; the others stay where they are.

        Args:
            order: ids of instructions, as participants see them; a response that is new stands where they say.
        """
        others = {key: value for key, value in self.responses.items() if key != instruction_id}
        if response is None:
            return Line(others, self.rest)
        if instruction_id in self.responses:
            return Line({**self.responses, instruction_id: response}, self.rest)
        every = {**others, instruction_id: response}
        ordered = {key: every[key] for key in order if key in every}
        return Line({**ordered, **every}, self.rest)

    @property
    def file_count(self) -> int:
        """How many files the responses name."""
        return sum(
            len(response["value"]) for response in self.responses.values() if response["type"] == FILE_UPLOAD
        )

    @property
    def responses_json(self) -> str:
        """The responses as JSON, on one line."""
        return dump_json(self.responses).decode()

    @property
    def rest_json(self) -> str:
        """What follows the responses in the line: fields of JSON, each after a comma."""
        return "," + dump_json(self.rest).decode()[1:-1] if self.rest else ""


def read_line(line_end: str) -> Line:
    """What `submissions.line_end` says."""
    fields: dict[str, Any] = orjson.loads("{" + line_end)
    rest = {name: value for name, value in fields.items() if name not in (*_TIMES, "responses")}
    return Line(fields["responses"], rest)
