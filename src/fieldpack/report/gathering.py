"""A summary, gathered in one pass over an archive's submissions, without table libraries."""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
from array import array
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from fieldpack.archive.members import COLLECTION
from fieldpack.reading.model import CHOICE_TYPES, Answer, Instruction, UploadedFile
from fieldpack.reading.shapes import read_time
from fieldpack.report.summary import Bar, FileKind, Histogram, NumbersOfUnit, Question, Sample, Summary
from fieldpack.tables.option_codes import OptionCodes
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive
    from fieldpack.reading.source import Member

__all__ = ["make_histogram", "summarize"]

_MOST_TEXTS = 20_000  # distinct answers told apart; beyond, new ones are only counted
_MOST_SAMPLES = 48
_MOST_UNITS = 8
_SMALLEST, _LARGEST = 1e-100, 1e100  # beyond, means and bins would leave what a double holds
_NUMBER = re.compile(r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*$")


def summarize(export: OpenArchive, *, progress: Callable[[int, int], None] | None = None) -> Summary:
    """Gather the summary.

    Args:
        export: the open archive.
        progress: called with submissions done and submissions in all (0 when unknown).

    Raises:
        ArchiveError: a line can't be read.
    """
    members = export.members
    summary = Summary(export.label, sum(member.stored_bytes for member in members.values()))
    total = 0
    if COLLECTION in members:
        collection = export.collection
        summary.name, summary.collection_id = collection.name, collection.id
        summary.export_id = str(collection.export.get("id") or "")
        narrowed_by = collection.export.get("filter")
        if narrowed_by:
            summary.narrowed_by = narrowed_by if isinstance(narrowed_by, dict) else {"filter": narrowed_by}
        count = collection.export.get("submission_count")
        total = count if isinstance(count, int) else 0
        when = collection.export.get("created_at")
        try:
            summary.exported_at = read_time(when, "created_at")
        except ValueError:
            summary.notes.append(f"The export's creation time can't be read: {str(when)[:40]}")
    else:
        summary.notes.append("collection.json is missing: answered questions are shown by their ids.")
    _Gatherer(export, summary).gather(total, progress)
    if total and total != summary.submissions:
        found = summary.submissions
        summary.notes.append(f"collection.json counts {say_count(total, 'submission')}; there are {found:,}.")
    return summary


class _Gatherer:
    def __init__(self, export: OpenArchive, summary: Summary) -> None:
        self._export = export
        self._summary = summary
        self._answers = {i.id: _Tally(i) for i in export.instructions if i.is_question}

    def gather(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        summary = self._summary
        participants: set[int] = set()
        studies: set[str] = set()
        statuses: Counter[str] = Counter()
        days: Counter[dt.date] = Counter()
        seconds = array("d")
        kinds: dict[str, list[int]] = {}
        for submission in self._export.iter_submissions():
            summary.submissions += 1
            if submission.participant_id is not None:
                participants.add(hash(submission.participant_id))
            if submission.study_id is not None:
                studies.add(submission.study_id)
            statuses[submission.status or "(none)"] += 1
            if (completed_at := submission.completed_at) is not None:
                days[completed_at.date()] += 1
                summary.first_at = min(summary.first_at or completed_at, completed_at)
                summary.last_at = max(summary.last_at or completed_at, completed_at)
                if submission.started_at is not None:
                    seconds.append((completed_at - submission.started_at).total_seconds())
            for key, answer in submission.answers.items():
                if key not in self._answers:
                    self._answers[key] = _Tally(Instruction(key, answer.type, "", answer_limit=-1))
                self._answers[key].add(answer, submission.participant_id)
                for file in answer.files:
                    member = self._export.find_member(file.path)
                    _count_file(kinds, file, member)
                    summary.files_missing += member is None
            if progress and summary.submissions % 500 == 0:
                progress(summary.submissions, total)
        summary.participants, summary.studies = len(participants), len(studies)
        summary.statuses = [Bar(label, count) for label, count in statuses.most_common()]
        summary.median_seconds = statistics.median(seconds) if seconds else None
        summary.days = sorted(days.items())
        summary.files = _sort_kinds(kinds)
        for tally in self._answers.values():
            if tally.answered or not tally.instruction.retired:
                summary.questions.append(tally.finish(summary.submissions))


def _count_file(kinds: dict[str, list[int]], file: UploadedFile, member: Member | None = None) -> None:
    counted = kinds.setdefault(file.content_type or "(unknown)", [0, 0])
    counted[0] += 1
    size = file.size_bytes
    if size is None and member is not None:
        size = member.size_bytes
    counted[1] += size or 0


def _sort_kinds(kinds: dict[str, list[int]]) -> list[FileKind]:
    found = [FileKind(name, count, size) for name, (count, size) in kinds.items()]
    return sorted(found, key=lambda kind: (-kind.count, kind.content_type))


class _Tally:
    """Counts the answers to one question, one after another."""

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.answered = 0
        self._codes = OptionCodes(instruction)
        self._chosen: Counter[int] = Counter()
        self._texts: Counter[str] = Counter()
        self._more_texts = False
        self._lengths = array("q")
        self._numbers: dict[str | None, array[float]] = {}
        self._not_numbers = 0
        self._units: Counter[str] = Counter()
        self._files: list[UploadedFile] = []
        self._kinds: dict[str, list[int]] = {}
        self._examples: list[str] = []
        self._uploads: list[Sample] = []

    def add(self, answer: Answer, participant_id: str | None) -> None:
        self.answered += 1
        for choice in answer.choices:
            self._chosen[self._codes.encode(choice.value)] += 1
        for file in answer.files:
            if len(self._uploads) < _MOST_SAMPLES:
                self._uploads.append(Sample(file, participant_id))
            _count_file(self._kinds, file)
        if (text := answer.text) is None:
            return
        self._lengths.append(len(text))
        if text in self._texts or len(self._texts) < _MOST_TEXTS:
            self._texts[text] += 1
        else:
            self._more_texts = True
        if text.strip() and len(self._examples) < 3 and text not in self._examples:
            self._examples.append(text)
        if answer.unit is not None:
            self._units[answer.unit] += 1
        if self.instruction.asks_for_number:
            number = float(text) if _NUMBER.match(text) else math.nan
            if number == 0 or _SMALLEST <= abs(number) <= _LARGEST:
                self._numbers.setdefault(answer.unit, array("d")).append(number)
            else:
                self._not_numbers += 1

    def finish(self, submissions: int) -> Question:
        question = Question(self.instruction, self.answered, submissions - self.answered)
        kind = self.instruction.type
        if kind in CHOICE_TYPES or self._chosen:
            labels = self._codes.get_labels()
            question.bars = [Bar(label, self._chosen[code]) for code, label in enumerate(labels)]
        elif kind == "file_upload" or self._uploads:
            question.files = _sort_kinds(self._kinds)
            question.samples = self._uploads
        elif self._lengths:
            self._finish_text(question)
        return question

    def _finish_text(self, question: Question) -> None:
        question.lengths = (min(self._lengths), statistics.median(self._lengths), max(self._lengths))
        question.distinct = None if self._more_texts else len(self._texts)
        if self._numbers:
            item = self.instruction
            offered = (*item.retired_options, *item.unit_options)
            labels = {item.unit_text(option.value): option.label for option in offered}
            question.numbers = [
                NumbersOfUnit(labels.get(unit, unit) if unit else unit, len(numbers), make_histogram(numbers))
                for unit, numbers in sorted(self._numbers.items(), key=lambda pair: -len(pair[1]))[
                    :_MOST_UNITS
                ]
            ]
            question.not_numbers = self._not_numbers
            if len(self._units) > 1:
                common = self._units.most_common(_MOST_UNITS)
                question.bars = [Bar(labels.get(name, name), count) for name, count in common]
            return
        question.examples = self._examples
        texts = self._texts.most_common(8)
        if texts and texts[0][1] > 1 and len(self._texts) <= max(12, self.answered // 4):
            question.bars = [Bar(text or "(empty)", count) for text, count in texts]


def make_histogram(numbers: array[float]) -> Histogram:
    """At most a dozen bins whose edges are round: steps of 1, 2 or 5 times a power of ten."""
    low, high = min(numbers), max(numbers)
    whole = all(number.is_integer() for number in numbers)
    spread = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / 10)) if spread > 0 else 1.0
    steps = [power * factor for factor in (1, 2, 5, 10, 20)]
    step = next((step for step in steps if spread / step <= 11), steps[-1])
    if whole:
        step = max(step, 1.0)
    start = math.floor(low / step) * step
    count = max(1, min(40, math.floor((high - start) / step) + 1))
    counts = [0] * count
    for number in numbers:
        counts[max(0, min(count - 1, int((number - start) / step)))] += 1
    return Histogram(
        start=start,
        step=step,
        counts=tuple(counts),
        minimum=low,
        median=statistics.median(numbers),
        mean=statistics.fmean(numbers),
        maximum=high,
    )
