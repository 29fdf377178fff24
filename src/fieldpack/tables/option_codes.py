"""Chosen options as small integers, so that a million answers are a million integers and one list of
options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from fieldpack.reading.model import Instruction, Scalar, scalar_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OptionCodes"]

Domain = Literal["text", "number", "bool", "mixed"]


class OptionCodes:
    """The codes of one question: its options in their order, then every other value met, in the order met.

    Other values occur, because an option may have been removed after it was chosen. Its label is the last it had.

    Attributes:
        values: the recorded value of each code.
        domain: the JSON type of the options' values; it decides whether and how answers are read in bulk.
    """

    def __init__(self, instruction: Instruction) -> None:
        self.values: list[Scalar] = []
        self._labels: list[str] = []
        self._exact: dict[tuple[str, Scalar], int] = {}
        self._by_text: dict[str, int] = {}
        self._texts: list[str] | None = None
        self._unique_labels: list[str] | None = None
        for option in instruction.options:
            self._add(option.value, option.label)
        self._retired = {_key(_narrow(option.value)): option for option in instruction.retired_options}
        self._retired_by_text = {scalar_text(value): option for (_, value), option in self._retired.items()}
        domains = {_get_domain(value) for value in self.values}
        self.domain: Domain = domains.pop() if len(domains) == 1 else "mixed" if domains else "text"

    def _add(self, value: Scalar, label: str) -> int:
        value = _narrow(value)
        key = _key(value)
        if key in self._exact:
            return self._exact[key]
        code = len(self.values)
        self.values.append(value)
        # a blank label would look like a missing answer
        self._labels.append(label if label.strip() else scalar_text(value).strip() or "(blank)")
        self._exact[key] = code
        self._by_text.setdefault(scalar_text(value), code)
        self._texts = self._unique_labels = None
        return code

    def encode(self, value: Scalar) -> int:
        """The code of a value; `1` and `"1"` are one option unless the question has, or had, both."""
        value = _narrow(value)
        code = self._exact.get(_key(value))
        if code is not None:
            return code
        text = scalar_text(value)
        retired = self._retired.get(_key(value))
        if retired is None:
            code = self._by_text.get(text)
            retired = self._retired_by_text.get(text)
        if code is None:
            code = self._add(retired.value, retired.label) if retired else self._add(value, text)
        return code

    def encode_array(self, values: pa.Array) -> pa.Array:
        """The codes (int32) of an array without nulls, of strings, doubles or booleans as `domain` says."""
        import pyarrow as pa
        import pyarrow.compute as pc

        codes = pc.index_in(values, value_set=self._make_value_set(values.type))
        if codes.null_count == 0:
            return codes
        unknown = values.filter(pc.is_null(codes)).unique()
        mapped = pa.array([self.encode(value) for value in unknown.to_pylist()], pa.int32())
        return pc.coalesce(codes, mapped.take(pc.index_in(values, value_set=unknown)))

    def _make_value_set(self, kind: Any) -> pa.Array:
        """Every value as the type the answers came in; those of another kind become null, which nothing
        equals."""
        import pyarrow as pa

        domain = "text" if pa.types.is_string(kind) else "bool" if pa.types.is_boolean(kind) else "number"
        return pa.array([value if _get_domain(value) == domain else None for value in self.values], kind)

    def get_texts(self) -> list[str]:
        """The values as unique texts."""
        if self._texts is None:
            texts = [scalar_text(value) for value in self.values]
            if len(set(texts)) < len(texts):  # both 1 and "1": write them as JSON does
                import orjson

                texts = [orjson.dumps(value).decode() for value in self.values]
            self._texts = texts
        return self._texts

    def get_labels(self) -> list[str]:
        """The labels, made unique by adding the value in brackets where two options share one."""
        if self._unique_labels is None:
            self._unique_labels = self._make_labels_unique()
        return self._unique_labels

    def _make_labels_unique(self) -> list[str]:
        counts: dict[str, int] = {}
        for label in self._labels:
            counts[label] = counts.get(label, 0) + 1
        texts = self.get_texts()
        taken = {label for label, count in counts.items() if count == 1}
        unique: list[str] = []
        for label, text in zip(self._labels, texts, strict=True):
            name, number = label, 1
            if counts[label] > 1:
                name = f"{label} [{text}]"
                while name in taken:
                    number += 1
                    name = f"{label} [{text}] {number}"
            taken.add(name)
            unique.append(name)
        return unique

    @property
    def kind(self) -> Literal["text", "integer", "float", "bool"]:
        """The narrowest kind that holds every value met."""
        domains = {_get_domain(value) for value in self.values}
        if domains == {"bool"}:
            return "bool"
        if domains == {"number"}:
            whole = all(isinstance(value, int) and abs(value) < 2**53 for value in self.values)
            return "integer" if whole else "float"
        return "text"


def _narrow(value: Scalar) -> Scalar:
    """`1.0` is `1`; beyond 2**53 a double is no longer one certain integer."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


def _get_domain(value: Scalar) -> Domain:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "text"
    # A double can't tell integers beyond 2**53 apart, so those are not read in bulk.
    return "number" if math.isfinite(value) and abs(value) <= 2**53 else "mixed"


def _key(value: Scalar) -> tuple[str, Scalar]:
    return _get_domain(value), value
