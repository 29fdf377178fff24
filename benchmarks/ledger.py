"""What the outside was promised: every start, answer, chunk, submit, erasure and export that was acknowledged."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Ledger", "Promised", "Sent"]


@dataclass
class Sent:
    """A file on its way.

    Attributes:
        url: its path below `/api/v1`.
        offset: bytes that the server said it has.
    """

    url: str
    data: bytes
    offset: int = 0

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Promised:
    """One submission.

    Attributes:
        marker: a text that only its participant's id, answers and files hold.
        answer: the value that was acknowledged last; None before the first.
        asked: the value of a request whose answer has not been heard; it may have been saved or not.
        is_left: nobody changes it any more, though it was not submitted.
        submitting_at, accepted_at, erasing_at, erased_at: Unix times; when it was asked, and when the answer was heard.
    """

    submission_id: str
    token: str
    marker: str
    answer: str | None = None
    asked: str | None = None
    uploads: list[Sent] = field(default_factory=list)
    is_left: bool = False
    submitting_at: float | None = None
    accepted_at: float | None = None
    erasing_at: float | None = None
    erased_at: float | None = None

    @property
    def path(self) -> str:
        return f"/participate/submissions/{self.submission_id}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def answers(self) -> set[str | None]:
        """What the server may have as its answer."""
        return {self.answer, self.asked} if self.asked is not None else {self.answer}


@dataclass
class Ledger:
    """Everything promised, everything that was broken, and counts. Change submissions under the lock."""

    submissions: dict[str, Promised] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    export_seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + number

    def blame(self, fault: str) -> None:
        with self.lock:
            self.faults.append(fault)

    def select(self, **attributes: Any) -> list[Promised]:
        """Submissions whose attributes are there (True) or not (False)."""
        with self.lock:
            return [
                each
                for each in self.submissions.values()
                if all(bool(getattr(each, name)) == wanted for name, wanted in attributes.items())
            ]
