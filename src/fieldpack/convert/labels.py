"""Labels made to fit a format's limit, so that those that differ still do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fieldpack.archive.slugs import Numbers

__all__ = ["LabelLimit", "shorten_labels"]

_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class LabelLimit:
    """How long a label may be: in bytes of UTF-8, and in characters where the format counts those as well."""

    most_bytes: int
    most_characters: int | None = None

    def fits(self, text: str) -> bool:
        """Whether a text is within the limit."""
        return len(text.encode()) <= self.most_bytes and (
            self.most_characters is None or len(text) <= self.most_characters
        )

    def cut(self, text: str, ending: str = _ELLIPSIS) -> str:
        """`text` if it fits, else as much of its beginning as leaves room for `ending`, and that."""
        if self.fits(text):
            return text
        room = self.most_bytes - len(ending.encode())
        if self.most_characters is not None:
            text = text[: self.most_characters - len(ending)]
        return text.encode()[:room].decode(errors="ignore").rstrip() + ending

    def share(self, divisor: int) -> LabelLimit:
        """The limit divided by `divisor`: for one of so many texts in a label."""
        characters = None if self.most_characters is None else self.most_characters // divisor
        return LabelLimit(self.most_bytes // divisor, characters)


def shorten_labels(
    labels: list[str], limit: LabelLimit, endings: list[str] | None = None
) -> tuple[list[str], int]:
    """Labels that fit, in the same order, and how many had to be cut.

    Labels that differ stay different. They are cut at the end, or in front of the `endings` that tell them apart;
    where that makes two alike, within what they have in common at the beginning; and where even that does not help,
    they get a number.
    """
    made: dict[str, str] = {}
    for label, ending in zip(labels, endings or [""] * len(labels), strict=True):
        kept = limit.share(2).cut(ending)
        made[label] = label if limit.fits(label) or not ending else limit.cut(label, f"{_ELLIPSIS}{kept}")
        made[label] = limit.cut(made[label])
    wholes = list(made)
    clashing = _find_clashes(made, wholes)
    while clashing:
        for group in clashing:
            shared = _count_shared(group)
            for whole in group:
                made[whole] = _cut_within(whole, shared, limit)
        left = _find_clashes(made, wholes)
        if sum(map(len, left)) >= sum(map(len, clashing)):  # no cut of this kind helps
            _number(made, left, limit)
            break
        clashing = left
    return [made[label] for label in labels], sum(made[label] != label for label in labels)


def _find_clashes(made: dict[str, str], wholes: list[str]) -> list[list[str]]:
    """The labels of which several have become one, together; one that fits as it is keeps its text."""
    counts = Counter(made.values())
    groups: dict[str, list[str]] = {}
    for whole in wholes:
        if counts[made[whole]] > 1:
            groups.setdefault(made[whole], []).append(whole)
    return list(groups.values())


def _count_shared(texts: list[str]) -> int:
    """How many characters all of them begin with."""
    first, last = min(texts), max(texts)  # if these two share a beginning, so do those in between
    return next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def _cut_within(text: str, shared: int, limit: LabelLimit) -> str:
    """`text` with the middle of its first `shared` characters left out, cut at the end as well if need be."""
    if limit.fits(text):
        return text
    word = text.rfind(" ", 0, shared) + 1
    start = word if shared - word <= 12 else shared  # the difference begins within a word: keep the word
    head = limit.share(3).cut(text[:start], "")
    if len(head) >= start:
        return limit.cut(text)
    return limit.cut(f"{head.rstrip()}{_ELLIPSIS}{text[start:]}")


def _number(made: dict[str, str], groups: list[list[str]], limit: LabelLimit) -> None:
    taken = set(made.values())
    numbers = Numbers()
    for group in groups:
        number = 1
        for whole in group:
            if limit.fits(whole):
                continue

            def cut(digits: int, whole: str = whole) -> str:
                ending = _write_number("9" * digits)
                room = LabelLimit(
                    limit.most_bytes - len(ending.encode()),
                    None if limit.most_characters is None else limit.most_characters - len(ending),
                )
                return room.cut(whole, "")

            while True:
                number = numbers.take(cut, number)
                text = cut(len(str(number))) + _write_number(number)
                if text not in taken:
                    break
            taken.add(text)
            made[whole] = text


def _write_number(number: object) -> str:
    return f"{_ELLIPSIS} ({number})"
