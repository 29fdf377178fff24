"""The routes of reviewing with others (fieldpack only)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fieldpack.client.routes import Json, Routes, Shape, collection_path, path_segment

__all__ = ["ReviewRoutes"]

HeldAction = Literal["APPROVE", "REJECT", "REQUEST_RETURN"]


_DECISION: Shape = {"by": {}}


class ReviewRoutes(Routes):
    """Every route of decisions that can be undone and of assignments, a method each; see `Client`."""

    def hold_decision(
        self,
        submission_id: str,
        action: HeldAction,
        *,
        message: str | None = None,
        rejection_category: str | None = None,
    ) -> Json:
        """Decide on a submission. The server makes the decision after 10 s, unless it is undone or the submission's
        state changes.

        Args:
            submission_id: which.
            action: what to do.
            message: what the participant is told; `REJECT` and `REQUEST_RETURN` need it.
            rejection_category: why, such as `LOW_EFFORT`; `REJECT` needs it.
        """
        body = _say(action, message, rejection_category)
        return self._send("POST", f"/submissions/{path_segment(submission_id)}/decisions", body, _DECISION)

    def hold_decisions(
        self,
        collection_id: str,
        action: HeldAction,
        count: int,
        *,
        message: str | None = None,
        rejection_category: str | None = None,
        **narrowed: str | Sequence[str] | None,
    ) -> Json:
        """Decide on all submissions of a collection that a filter lets through and that wait for a review.

        Args:
            collection_id: whose.
            action: what to do.
            count: how many they are, as `count_reviewable` says.
            message: as `hold_decision`.
            rejection_category: as `hold_decision`.
            narrowed: as `page_responses`.
        """
        asked: dict[str, Any] = {name: value for name, value in narrowed.items() if value}
        path = f"{collection_path(collection_id)}/submissions/decisions"
        body = {**_say(action, message, rejection_category), "count": count}
        return self._call("POST", path, _DECISION, params=asked, body=body)

    def count_reviewable(self, collection_id: str, **narrowed: str | Sequence[str] | None) -> int:
        """How many submissions of a collection that a filter lets through wait for a review, without those on which a
        decision is held."""
        asked: dict[str, Any] = {name: value for name, value in narrowed.items() if value}
        path = f"{collection_path(collection_id)}/submissions/reviewable"
        count: int = self._call("GET", path, {"count": int}, params=asked)["count"]
        return count

    def list_decisions(self, collection_id: str) -> list[Json]:
        """The decisions on submissions of a collection that are held, newest first."""
        answer = self._get(f"{collection_path(collection_id)}/decisions", {"results": [_DECISION]})
        found: list[Json] = answer["results"]
        return found

    def get_decision(self, decision_id: str) -> Json:
        """A decision, and what became of it."""
        return self._get(f"/decisions/{path_segment(decision_id)}")

    def undo_decision(self, decision_id: str) -> None:
        """Undo one's own decision, as long as it has not been made."""
        self._transport.request("DELETE", f"/decisions/{path_segment(decision_id)}")

    def list_reviewers(self, collection_id: str) -> list[Json]:
        """Those to whom submissions of a collection can be assigned, and how many are."""
        answer = self._get(f"{collection_path(collection_id)}/reviewers", {"results": [{}]})
        found: list[Json] = answer["results"]
        return found

    def assign_submissions(
        self,
        collection_id: str,
        reviewer: str,
        *,
        share: float = 100,
        **narrowed: str | Sequence[str] | None,
    ) -> int:
        """Assign a share of the submissions that a filter lets through to a reviewer; how many that is. What is
        assigned to somebody already stays theirs.

        Args:
            collection_id: whose.
            reviewer: id or e-mail address; `me` is the caller.
            share: of all that the filter lets through, in percent.
            narrowed: as `page_responses`.
        """
        asked: dict[str, Any] = {name: value for name, value in narrowed.items() if value}
        path = f"{collection_path(collection_id)}/submissions/assign"
        body = {"reviewer": reviewer, "share": share}
        count: int = self._call("POST", path, {"assigned": int}, params=asked, body=body)["assigned"]
        return count

    def unassign_submissions(self, collection_id: str, **narrowed: str | Sequence[str] | None) -> int:
        """Assign the submissions that a filter lets through to nobody; how many were somebody's."""
        asked: dict[str, Any] = {name: value for name, value in narrowed.items() if value}
        path = f"{collection_path(collection_id)}/submissions/unassign"
        count: int = self._call("POST", path, {"unassigned": int}, params=asked)["unassigned"]
        return count

    def list_approved(self, collection_id: str, **narrowed: str | Sequence[str] | None) -> list[Json]:
        """The approved submissions that a filter lets through, each with its participant and amount."""
        asked: dict[str, Any] = {name: value for name, value in narrowed.items() if value}
        path = f"{collection_path(collection_id)}/submissions/approved"
        found, _ = self._read_page(self._transport.request("GET", path, params=asked), path)
        return found


def _say(action: HeldAction, message: str | None, rejection_category: str | None) -> Json:
    given = {"action": action, "message": message, "rejection_category": rejection_category}
    return {name: value for name, value in given.items() if value is not None}
