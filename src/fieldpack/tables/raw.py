"""`responses.jsonl` into flat Arrow columns, in bulk where its lines have the expected shapes, else line by
line.

Each block of lines is parsed by Arrow's JSON reader under an explicit schema made from the instructions and
the first lines. A block with anything that doesn't fit the schema exactly (another type, an unknown field, an
invalid line) is read line by line by `shapes.read_submission`, which defines what a line means. Both ways give the
same columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fieldpack.archive.members import RESPONSES
from fieldpack.errors import ArchiveError
from fieldpack.reading.lines import iter_lines, parse_line
from fieldpack.reading.model import CHOICE_TYPES, KNOWN_TYPES, Answer, Instruction, Submission, dump_text
from fieldpack.reading.shapes import guess_type, read_submission
from fieldpack.reading.source import Limits
from fieldpack.tables.bulk import BASE, FILE, STRING, TIME, Plan, Shape, Unfit, look_at, rebuild_list
from fieldpack.tables.option_codes import OptionCodes
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["BASE", "STRING", "TIME", "RawTable", "read_raw", "rebuild_list"]

_SNIFFED_LINES = 200
_BLOCK_BYTES = 8 << 20
_WORKERS = 2
# What is read as one of these can also be read as any that comes after it.
_WIDENING = (
    "free_text", "free_text_with_unit", "multiple_choice", "multiple_choice_with_free_text", "file_upload",
)  # fmt: skip


@dataclass
class RawTable:
    """The flat columns of all submissions.

    Attributes:
        table: `m:<field>` for the record's own fields, `x:<field>` for fields not known, and by instruction
            id `t:` text, `u:` unit, `c:` codes of the chosen options, `e:` their explanations, `f:` files.
            Null is unanswered.
        instructions: those of the collection, then those met in the answers only.
        codes: the option codes by instruction id.
    """

    table: pa.Table
    instructions: dict[str, Instruction]
    codes: dict[str, OptionCodes]

    def find(self, kind: str, name: str) -> pa.ChunkedArray | None:
        """A column by kind and instruction id, as `table` names them; None when there is none."""
        at = self._places.get(f"{kind}:{name}")
        return None if at is None else self.table.column(at)

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each column is: Arrow makes a list of all names whenever it is asked for them."""
        return {name: at for at, name in enumerate(self.table.column_names)}


def read_raw(export: OpenArchive, *, bulk: bool = True) -> RawTable:
    """Read every submission into flat columns.

    Args:
        export: the open archive.
        bulk: False reads line by line throughout: the same result, slower.

    Raises:
        ArchiveError: a line can't be read; `line` says which.
    """
    instructions = {instruction.id: instruction for instruction in export.instructions}
    if any(instruction.type not in KNOWN_TYPES for instruction in instructions.values()):
        instructions |= _survey(export, instructions)
    try:
        return _read_all(export, instructions, bulk)
    except _Mixed:
        return _read_all(export, instructions | _survey(export, instructions), bulk)


def _read_all(export: OpenArchive, instructions: dict[str, Instruction], bulk: bool) -> RawTable:
    reader = _Reader(instructions, export.limits)
    blocks = reader.measure(export.iter_response_blocks(_BLOCK_BYTES))
    batches = list(reader.read(blocks) if bulk else (reader.read_lines(*block) for block in blocks))
    if not batches:
        batches = [reader.build([])]
    table = pa.concat_tables(batches, promote_options="default")
    return RawTable(table, reader.instructions, reader.codes)


class _Mixed(ArchiveError):
    """A line can't be read, perhaps because an unlisted question got its type from its first answer alone."""


def _survey(export: OpenArchive, listed: Mapping[str, Instruction]) -> dict[str, Instruction]:
    """The answered questions that collection.json doesn't list, or gives a type that isn't known here, each
    with the widest type that any of its answers has."""
    widest: dict[str, int] = {}
    for submission in export.iter_submissions():
        for key, answer in submission.answers.items():
            if (key not in listed or listed[key].type not in KNOWN_TYPES) and answer.type in _WIDENING:
                widest[key] = max(widest.get(key, 0), _WIDENING.index(answer.type))
    unlisted = Instruction("", "", "")
    return {
        # Nothing says how many may be chosen, so lists keep all of them.
        key: replace(listed.get(key, unlisted), id=key, type=_WIDENING[at], answer_limit=-1)
        for key, at in widest.items()
    }


class _Reader:
    def __init__(self, instructions: dict[str, Instruction], limits: Limits) -> None:
        self.instructions = dict(instructions)
        self._limits = limits
        self._rows = self._size_bytes = 0
        self.codes = {i.id: OptionCodes(i) for i in instructions.values() if i.type in CHOICE_TYPES}
        self._known = frozenset(instructions)
        self._extra: set[str] = set()  # fields of submissions that are not known here, each a column
        self._plan: Plan | None = None

    def measure(self, blocks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield the blocks unchanged, and count their bytes."""
        for first, block in blocks:
            self._rows += block.count(b"\n") + (not block.endswith(b"\n"))
            self._size_bytes += len(block)
            yield first, block

    def _require_dense(self) -> None:
        """Refuse a table out of proportion to what was read.

        It has a cell for every submission and question: of 30,000 lines that each answer a question that no other
        does, it would be a billion empty ones.
        """
        columns = len(self.instructions) + len(self._extra)
        if self._rows * columns > max(self._limits.table_cells, self._limits.table_ratio * self._size_bytes):
            raise ArchiveError(
                f"A table of {say_count(columns, 'question')} and {say_count(self._rows, 'submission')} would be almost"
                " empty: it is not made. `fieldpack inspect`, `verify` and `extract` read this archive; in Python"
                " limits=NO_LIMITS makes its table all the same.",
                member=RESPONSES,
            )

    def read(self, blocks: Iterable[tuple[int, bytes]]) -> Iterator[pa.Table]:
        """Parse blocks on a few threads, in order; Arrow parses outside the interpreter's lock."""
        waiting: deque[tuple[int, bytes, Future[pa.Table]]] = deque()
        with ThreadPoolExecutor(_WORKERS) as pool:
            try:
                for first, block in blocks:
                    if self._plan is None:
                        self._plan = self._sniff(first, block)
                    self._require_dense()
                    waiting.append((first, block, pool.submit(self._plan.parse, block)))
                    if len(waiting) > _WORKERS:
                        yield self._take(*waiting.popleft())
                while waiting:
                    yield self._take(*waiting.popleft())
            finally:
                for *_, future in waiting:
                    future.cancel()

    def _take(self, first: int, block: bytes, future: Future[pa.Table]) -> pa.Table:
        try:
            parsed = future.result()
        except (Unfit, pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError):
            return self.read_lines(first, block)
        columns = {}
        for name, column in zip(parsed.column_names, parsed.columns, strict=True):
            if name.startswith("c:"):
                column = pa.chunked_array([self._encode(name[2:], chunk) for chunk in column.chunks])
            columns[name] = column
        return pa.table(columns)

    def _encode(self, instruction_id: str, lists: pa.ListArray) -> pa.ListArray:
        codes = self.codes[instruction_id].encode_array(lists.flatten())
        return rebuild_list(lists, codes)

    def _sniff(self, first: int, block: bytes) -> Plan:
        """Derive the schema from the first lines, so that bare values and fields of other services are read in bulk
        as well."""
        shapes: dict[str, Shape] = {}
        extra: set[str] = set()
        for count, (number, line) in enumerate(iter_lines(block, first)):
            if count >= _SNIFFED_LINES:
                break
            data = parse_line(line, number, RESPONSES)
            if not isinstance(data, dict):
                break
            extra |= data.keys() - BASE.keys() - {"responses"}
            responses = data.get("responses")
            for key, raw in (responses if isinstance(responses, dict) else {}).items():
                if raw is None:
                    continue
                if key not in self.instructions:
                    self._meet(key, raw)
                look_at(shapes.setdefault(key, Shape()), raw, key not in shapes)
        for key in self.instructions:
            shapes.setdefault(key, Shape())
        self._extra |= extra
        return Plan(self.instructions, self.codes, shapes, sorted(extra))

    def _meet(self, instruction_id: str, raw: Any) -> Instruction:
        """Add an instruction that collection.json doesn't list."""
        kind = raw.get("type") if isinstance(raw, dict) else None
        value = raw.get("value", raw.get("answer")) if isinstance(raw, dict) else raw
        if kind not in KNOWN_TYPES:
            kind = guess_type(value, raw.get("unit") if isinstance(raw, dict) else None)
        # Nothing says how many may be chosen, so lists keep all of them.
        instruction = Instruction(instruction_id, str(kind), "", answer_limit=-1)
        self.instructions[instruction_id] = instruction
        if instruction.type in CHOICE_TYPES:
            self.codes[instruction_id] = OptionCodes(instruction)
        return instruction

    def read_lines(self, first: int, block: bytes) -> pa.Table:
        """Read a block line by line, by `shapes.read_submission`."""
        submissions = []
        for number, line in iter_lines(block, first):
            data = parse_line(line, number, RESPONSES)
            responses = data.get("responses") if isinstance(data, dict) else None
            if isinstance(responses, dict):
                for key, raw in responses.items():
                    if key not in self.instructions and raw is not None:
                        self._meet(key, raw)
            try:
                submissions.append(read_submission(data, self.instructions))
            except ValueError as error:
                unlisted = self.instructions.keys() - self._known
                raise (_Mixed if unlisted else ArchiveError)(
                    f"{RESPONSES} line {number} can't be read: {error}.", member=RESPONSES, line=number
                ) from error
        for submission in submissions:
            self._extra.update(submission.extra)
        self._require_dense()
        return self.build(submissions)

    def build(self, submissions: list[Submission]) -> pa.Table:
        columns: dict[str, pa.Array] = {}
        for name, kind in BASE.items():
            columns["m:" + name] = pa.array([getattr(s, name) for s in submissions], kind)
        extras: dict[str, tuple[list[int], list[str | None]]] = {}
        for row, submission in enumerate(submissions):
            for name, value in submission.extra.items():
                if value is not None:
                    places, texts = extras.setdefault(name, ([], []))
                    places.append(row)
                    texts.append(_extra_text(submission, name))
        for name in sorted(extras):
            places, texts = extras[name]
            columns["x:" + name] = _spread(pa.array(texts, STRING), places, len(submissions))
        answers: dict[str, tuple[list[int], list[Answer]]] = {key: ([], []) for key in self.instructions}
        for row, submission in enumerate(submissions):
            for key, answer in submission.answers.items():
                rows, given = answers[key]
                rows.append(row)
                given.append(answer)
        for instruction in self.instructions.values():
            rows, given = answers[instruction.id]
            for name, values in self._build_answers(instruction, given).items():
                columns[name] = _spread(values, rows, len(submissions))
        return pa.table(columns)

    def _build_answers(self, instruction: Instruction, answers: list[Answer]) -> dict[str, pa.Array]:
        """The columns of one question, of those who answered it."""
        key = instruction.id
        if instruction.type in CHOICE_TYPES:
            encode = self.codes[key].encode
            chosen = [[encode(c.value) for c in a.choices] for a in answers]
            columns = {"c:" + key: pa.array(chosen, pa.list_(pa.int32()))}
            if instruction.type == "multiple_choice_with_free_text":
                said = [[c.explanation for c in a.choices] for a in answers]
                columns["e:" + key] = pa.array(said, pa.list_(STRING))
            return columns
        if instruction.type == "file_upload":
            names = [f.name for f in FILE]
            files = [[{n: getattr(file, n) for n in names} for file in a.files] for a in answers]
            return {"f:" + key: pa.array(files, pa.list_(FILE))}
        columns = {"t:" + key: pa.array([a.text for a in answers], STRING)}
        if instruction.type == "free_text_with_unit":
            columns["u:" + key] = pa.array([a.unit for a in answers], STRING)
        return columns


def _spread(values: pa.Array, rows: list[int], count: int) -> pa.Array:
    """`values` at these rows of `count`, null elsewhere; Arrow fills the gaps, not the interpreter."""
    if len(rows) == count:
        return values
    if not rows:
        return pa.nulls(count, values.type)
    places = np.full(count, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return values.take(pa.array(places, mask=places < 0))


def _extra_text(submission: Submission, name: str) -> str | None:
    value = submission.extra.get(name)
    if value is None or isinstance(value, str):
        return value
    try:
        return dump_text(value)
    except ValueError as error:
        raise ArchiveError(
            f"{RESPONSES}: the field {name!r} of submission {submission.submission_id}: {error}.",
            member=RESPONSES,
        ) from error
