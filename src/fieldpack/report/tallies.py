"""The answers to one question, counted: one after another, or many that are equal at once."""

from __future__ import annotations

import math
import re
import statistics
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fieldpack.reading.model import CHOICE_TYPES, Answer, Instruction, Scalar
from fieldpack.report.summary import Bar, FileKind, Histogram, NumbersOfUnit, Question, Sample
from fieldpack.tables.option_codes import OptionCodes

__all__ = ["MOST_COMMON", "MOST_EXAMPLES", "MOST_TEXTS", "Kinds", "Tally", "make_histogram"]

MOST_TEXTS = 20_000
"""Distinct answers that are told apart; beyond, new ones are only counted."""
MOST_COMMON = 8
"""The commonest texts that are shown where texts repeat."""
MOST_EXAMPLES = 3

_MOST_SAMPLES = 48
_MOST_UNITS = 8
_SMALLEST, _LARGEST = 1e-100, 1e100  # beyond, means and bins would leave what a double holds
_NUMBER = re.compile(r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*$")


class Kinds:
    """Files by content type: how many, and how large together."""

    def __init__(self) -> None:
        self._counted: dict[str, list[int]] = {}

    def add(self, content_type: str | None, count: int, size_bytes: int) -> None:
        """Count files of one type, by their sizes together."""
        counted = self._counted.setdefault(content_type or "(unknown)", [0, 0])
        counted[0] += count
        counted[1] += size_bytes

    def sort(self) -> list[FileKind]:
        """The types, the commonest first."""
        found = [FileKind(name, count, size) for name, (count, size) in self._counted.items()]
        return sorted(found, key=lambda kind: (-kind.count, kind.content_type))


class Tally:
    """Counts the answers to one question. Of equal counts, what was counted first comes first."""

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.answered = 0
        self._codes = OptionCodes(instruction)
        self._chosen: Counter[int] = Counter()
        self._texts: Counter[str] = Counter()
        self._distinct = 0
        self._lengths = array("q")
        self._numbers: dict[str | None, array[float]] = {}
        self._not_numbers = 0
        self._units: Counter[str] = Counter()
        self._kinds = Kinds()
        self._has_files = False
        self._examples: list[str] = []
        self._uploads: list[Sample] = []

    def add(self, answer: Answer, participant_id: str | None) -> None:
        """Count one answer."""
        self.answered += 1
        for choice in answer.choices:
            self.add_choice(choice.value)
        for file in answer.files:
            if len(self._uploads) < _MOST_SAMPLES:
                self._uploads.append(Sample(file, participant_id))
            self.add_files(file.content_type, 1, file.size_bytes or 0)
        if answer.text is not None:
            self.add_text(answer.text, answer.unit)

    def add_choice(self, value: Scalar, count: int = 1) -> None:
        """Count an option that was chosen so many times."""
        self._chosen[self._codes.encode(value)] += count

    def add_files(self, content_type: str | None, count: int, size_bytes: int) -> None:
        """Count files of one type, by their sizes together."""
        self._has_files = True
        self._kinds.add(content_type, count, size_bytes)

    def add_text(self, text: str, unit: str | None, count: int = 1) -> None:
        """Count a text that was given so many times, in one unit."""
        self._lengths.extend([len(text)] * count)
        if text in self._texts:
            self._texts[text] += count
        elif len(self._texts) < MOST_TEXTS:
            self._texts[text] = count
            self._distinct += 1
        else:
            self._distinct = MOST_TEXTS + 1
        if len(self._examples) < MOST_EXAMPLES and text.strip() and text not in self._examples:
            self._examples.append(text)
        if unit is not None:
            self._units[unit] += count
        if self.instruction.asks_for_number:
            number = float(text) if _NUMBER.match(text) else math.nan
            if number == 0 or _SMALLEST <= abs(number) <= _LARGEST:
                self._numbers.setdefault(unit, array("d")).extend([number] * count)
            else:
                self._not_numbers += count

    def add_lengths(self, length: int, count: int) -> None:
        """Count texts of one length, in characters, of which `take_texts` says the rest."""
        self._lengths.extend([length] * count)

    def take_texts(
        self, distinct: int, commonest: Sequence[tuple[str, int]], examples: Sequence[str]
    ) -> None:
        """What `add_text` would have found in texts that were counted elsewhere.

        Args:
            distinct: how many are different.
            commonest: `MOST_COMMON` of them with their counts, the commonest first, of equal counts the first given.
            examples: the first `MOST_EXAMPLES` that are not blank.
        """
        self._distinct = distinct
        self._texts = Counter(dict(commonest))
        self._examples = list(examples)

    def finish(self, submissions: int) -> Question:
        """What was counted, among so many submissions."""
        question = Question(self.instruction, self.answered, submissions - self.answered)
        kind = self.instruction.type
        if kind in CHOICE_TYPES or self._chosen:
            labels = self._codes.get_labels()
            question.bars = [
                Bar(label, self._chosen[code], self._codes.values[code]) for code, label in enumerate(labels)
            ]
        elif kind == "file_upload" or self._has_files:
            question.files = self._kinds.sort()
            question.samples = self._uploads
        elif self._lengths:
            self._finish_text(question)
        return question

    def _finish_text(self, question: Question) -> None:
        question.lengths = (min(self._lengths), statistics.median(self._lengths), max(self._lengths))
        question.distinct = None if self._distinct > MOST_TEXTS else self._distinct
        if self._numbers:
            item = self.instruction
            offered = (*item.retired_options, *item.unit_options)
            labels = {item.unit_text(option.value): option.label for option in offered}
            values = {item.unit_text(option.value): option.value for option in offered}
            question.numbers = [
                NumbersOfUnit(
                    labels.get(unit, unit) if unit else unit,
                    len(numbers),
                    make_histogram(numbers),
                    values.get(unit, unit) if unit else unit,
                )
                for unit, numbers in sorted(self._numbers.items(), key=lambda pair: -len(pair[1]))[
                    :_MOST_UNITS
                ]
            ]
            question.not_numbers = self._not_numbers
            if len(self._units) > 1:
                common = self._units.most_common(_MOST_UNITS)
                question.bars = [
                    Bar(labels.get(name, name), count, values.get(name, name)) for name, count in common
                ]
            return
        question.examples = self._examples
        texts = self._texts.most_common(MOST_COMMON)
        if texts and texts[0][1] > 1 and self._distinct <= min(MOST_TEXTS, max(12, self.answered // 4)):
            question.bars = [Bar(text or "(empty)", count, text) for text, count in texts]


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
    found = Histogram(
        start, step, (0,) * count, low, statistics.median(numbers), statistics.fmean(numbers), high
    )
    edges = found.edges[1:-1]
    counts = [0] * count
    for number in numbers:
        counts[bisect_right(edges, number)] += 1
    return replace(found, counts=tuple(counts))
