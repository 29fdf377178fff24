"""What a process keeps in memory between requests. It belongs to its `Context`, and goes with it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Caches", "Recent"]

T = TypeVar("T")
Key = TypeVar("Key")
Value = TypeVar("Value")


class Caches:
    """One object of each kind that is asked for, made when it first is.

    A kind is a class of the room that uses it, so that this module need not know of any.
    """

    def __init__(self) -> None:
        self._kept: dict[type[Any], Any] = {}

    def get(self, kind: type[T], make: Callable[[], T] | None = None) -> T:
        """The object of a kind; `make` it, by its class where nothing else is said, if there is none yet."""
        if kind not in self._kept:
            self._kept[kind] = (make or kind)()
        found: T = self._kept[kind]
        return found


class Recent(Generic[Key, Value]):
    """The values that were used last, `most` of them; one that is used no more is evicted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value of a key, which counts as its use."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; the one that was used longest ago may go for it."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Forget a key, if it is kept."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
