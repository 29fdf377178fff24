"""The routes of submissions and of what participants answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from fieldpack.client.routes import Json, Routes, Shape, collection_path, path_segment
from fieldpack.client.transport import Form
from fieldpack.errors import ApiError, UsageError

__all__ = ["ErasureRoutes", "SubmissionRoutes"]

SubmissionAction = Literal[
    "APPROVE", "REJECT", "COMPLETE", "UNREJECT", "RETURN", "UNRETURN", "SCREEN_OUT", "START"
]


_CORRECTION: Shape = {
    "author": {},
    "before": ({"type": str}, None),
    "after": ({"type": str}, None),
}
_OPTIONS: Shape = [{}]
_RESPONSE: Shape = {
    "collection": {
        "collection_items": [
            {"page_items": [{"id": str, "type": str, "options": _OPTIONS, "unit_options": _OPTIONS}]}
        ]
    }
}
_HISTORY: Shape = {"changes": [{}], "audit": ([{"actor": {}}], None), "exports": ([{}], None)}
_KINDS: Shape = [{"count": int}]
_NUMBERS: Shape = {"count": int, "median": float}
_OVERVIEW: Shape = {
    **dict.fromkeys(
        (
            "started",
            "under_way",
            "submitted",
            "awaiting_review",
            "approved",
            "rejected",
            "returned",
            "timed_out",
        ),
        int,
    ),
    **dict.fromkeys(("erased", "participants", "files"), int),
    "file_bytes": float,
    "median_seconds": (float, None),
    "quartiles_seconds": ([float, float], None),
    "files_by_type": _KINDS,
    "questions": [
        {"counts": _KINDS, "files": _KINDS, "numbers": _NUMBERS, "numbers_by_unit": ([_NUMBERS], None)}
    ],
}
_REACH: Shape = {
    **dict.fromkeys(("submissions", "answers", "files", "notes"), int),
    "size_bytes": float,
    "exports": [{"status": str}],
    "unknown_participant_ids": [object],
    "collection_id": str,
}
_PROOF: Shape = {
    **dict.fromkeys(("answers", "files", "notes"), (int, None)),
    "exports": [object],
    "left": {...: int},
}

_MOST_ON_A_PAGE = 1000  # that the server gives

Narrowed = str | Sequence[str] | None


class SubmissionRoutes(Routes):
    """Every route of submissions and responses, a method each; see `Client`."""

    def list_submissions(
        self, study_id: str, *, status: str | None = None, ordering: str | None = None
    ) -> list[Json]:
        """The submissions of a study.

        Args:
            study_id: the study.
            status: only those in this status; all without it.
            ordering: the field to sort by, such as `-completed_at`; without it, in the order they were started.
        """
        asked = {"status": status, "ordering": ordering}
        path = f"/studies/{path_segment(study_id)}/submissions/"
        return list(self._iter(path, {name: text for name, text in asked.items() if text}))

    def page_submissions(
        self,
        study_id: str,
        *,
        page: int = 1,
        page_size: int = 20,
        ordering: str | None = None,
        submitted_from: date | None = None,
        submitted_before: date | None = None,
        **narrowed: str | bool | None,
    ) -> tuple[list[Json], int]:
        """One page of the submissions of a study that all of what is given holds for (`GET /submissions`).

        Args:
            study_id: the study.
            page: which, from 1.
            page_size: how many are on one.
            ordering: `started_at`, `submission_reward` or `study_name`, `-` before it for descending.
            submitted_from: completed on this day or later, in UTC.
            submitted_before: completed before this day.
            narrowed: `status`, a status or several as `(active|approved)`; and any of the booleans `completed,
                returned, awaiting_review, approved, active, timeout, rejected, screened_out, completeoractive`.

        Returns:
            The submissions, and how many there are on all pages.
        """
        asked: dict[str, str | int] = {"study": study_id, "page": page, "page_size": page_size}
        days = {"submitted_from": submitted_from, "submitted_before": submitted_before}
        given = {
            "ordering": ordering,
            # `%Y` writes the year 1 without its zeros on some systems
            **{name: f"{day:%d/%m}/{day.year:04}" for name, day in days.items() if day is not None},
            **{
                name: str(value).lower() if isinstance(value, bool) else value
                for name, value in narrowed.items()
            },
        }
        asked |= {name: text for name, text in given.items() if text}
        answer = self._transport.request("GET", "/submissions/", params=asked)
        return self._read_page(answer, "/submissions/")

    def get_submission_counts(self, study_id: str) -> dict[str, int]:
        """How many submissions of a study are in each status, and the `TOTAL`."""
        return self._get(f"/studies/{path_segment(study_id)}/submissions/counts/")

    def get_submission(self, submission_id: str) -> Json:
        """One submission."""
        return self._get(f"/submissions/{path_segment(submission_id)}/")

    def transition_submission(
        self,
        submission_id: str,
        action: SubmissionAction,
        *,
        message: str | None = None,
        rejection_category: str | None = None,
        completion_code: str | None = None,
        completion_code_data: Mapping[str, Any] | None = None,
    ) -> Json:
        """Approve, reject or complete a submission, undo that, return it or screen its participant out.

        Args:
            submission_id: which.
            action: what to do.
            message: what the participant is told; `REJECT` needs it.
            rejection_category: why, such as `LOW_EFFORT`; `REJECT` needs it.
            completion_code: a researcher's code; `COMPLETE` needs it.
            completion_code_data: `percentage_of_reward` and `message_to_participant`, kept with the decision.
        """
        body = {
            "action": action,
            "message": message,
            "rejection_category": rejection_category,
            "completion_code": completion_code,
            "completion_code_data": completion_code_data,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return self._send("POST", f"/submissions/{path_segment(submission_id)}/transition/", body)

    def mark_test(self, submission_id: str, is_test: bool = True) -> Json:
        """Mark a submission as a test, or as none any more (fieldpack only)."""
        return self._send("PATCH", f"/submissions/{path_segment(submission_id)}", {"test": is_test})

    def bulk_approve_submissions(
        self,
        submission_ids: Sequence[str] | None = None,
        *,
        study_id: str | None = None,
        participant_ids: Sequence[str] | None = None,
    ) -> Json:
        """Approve many: by `submission_ids`, or by `study_id` and `participant_ids`; what the server says, if anything.

        Raises:
            UsageError: both or neither were given.
        """
        by_participant = study_id is not None and participant_ids is not None
        if (submission_ids is not None) == by_participant:
            raise UsageError("Give either submission_ids, or study_id and participant_ids.")
        if submission_ids is not None:
            body: Json = {"submission_ids": list(submission_ids)}
        else:
            body = {"study_id": study_id, "participant_ids": list(participant_ids or ())}
        said = self._transport.request("POST", "/submissions/bulk-approve/", body=body)
        return said if isinstance(said, dict) else {}  # it is done, whatever a server says of it

    def request_return(self, submission_id: str, reasons: Sequence[str]) -> Json:
        """Ask a participant to return a submission."""
        body = {"request_return_reasons": list(reasons)}
        return self._send("POST", f"/submissions/{path_segment(submission_id)}/request-return/", body)

    def delete_submission(self, submission_id: str) -> None:
        """Erase a participant's answers and files, and every export that holds them.

        No error when it does not exist any more: the request is repeated when its answer was lost.
        """
        try:
            self._transport.request("DELETE", f"/submissions/{path_segment(submission_id)}")
        except ApiError as error:
            if error.status not in (404, 410):
                raise

    # Corrections (fieldpack only)

    def list_corrections(self, submission_id: str) -> list[Json]:
        """What researchers corrected of a submission, oldest first: who, when, why, before and after."""
        answer = self._get(
            f"/submissions/{path_segment(submission_id)}/corrections", {"results": [_CORRECTION]}
        )
        return list(answer["results"])

    def correct_answer(
        self,
        submission_id: str,
        instruction_id: str,
        answer: Mapping[str, Any] | None,
        *,
        reason: str,
        version: int | None = None,
    ) -> Json:
        """Put another answer in an answer's place, by the rules that its participant had; what it was stays.

        Args:
            submission_id: whose.
            instruction_id: the question.
            answer: as participants send it: `{"value": …}`, for some questions with a `unit`; None for no answer.
            reason: why.
            version: which is corrected (1 is what was handed in); the server refuses if it is another by now.

        Raises:
            ApiError: 400 for an answer against the rules, 403 without the right, 409 when it is another version by now
                or nothing was handed in.
        """
        body: Json = {"instruction_id": instruction_id, "answer": answer, "reason": reason}
        if version is not None:
            body["version"] = version
        return self._send("POST", f"/submissions/{path_segment(submission_id)}/corrections", body)

    def replace_file(
        self, submission_id: str, file_key: str, path: Path, *, reason: str, version: int | None = None
    ) -> Json:
        """Put another file in a file's place, by the rules that its participant had; the earlier one stays.

        Args:
            submission_id: whose.
            file_key: which file, as `get_response` names it.
            path: the file to send; it keeps its name.
            reason: why.
            version: of the answer, as in `correct_answer`.

        Raises:
            OSError: the file can't be read.
            ApiError: as `correct_answer`; 413 for one that is too large, 415 for a type that is not accepted.
        """
        fields = {"reason": reason} | ({"version": str(version)} if version is not None else {})
        where = f"/submissions/{path_segment(submission_id)}/corrections/files/{path_segment(file_key)}"
        with path.open("rb") as content:
            form = Form(fields, {"file": (path.name, content)})
            return self._call("POST", where, form=form)

    # Looking through responses (fieldpack only)

    def get_overview(self, collection_id: str, *, texts: bool = False) -> Json:
        """A collection in numbers: submissions by state, days, times, what was answered to each question.

        Args:
            collection_id: whose.
            texts: with the commonest texts, for whoever may read responses.
        """
        query = "?texts=true" if texts else ""
        return self._get(f"{collection_path(collection_id)}/overview{query}", _OVERVIEW)

    def page_responses(
        self,
        collection_id: str,
        *,
        limit: int = 200,
        after: str | None = None,
        **narrowed: str | Sequence[str] | None,
    ) -> tuple[list[Json], int, str | None]:
        """One page of a collection's submissions with their answers, newest first unless `sort` says otherwise.

        Args:
            collection_id: whose.
            limit: how many are on a page.
            after: what the page before said comes next.
            narrowed: `state, study, participant, since, before, files, note, submitted, tests, shorter, longer, search,
                where, sort`, as the reference of the API has them.

        Returns:
            The submissions, how many there are on all pages, and what to ask the next page with; None on the last.
        """
        asked: dict[str, Any] = {name: value for name, value in narrowed.items() if value}
        asked |= {"limit": limit} | ({"after": after} if after else {})
        path = f"{collection_path(collection_id)}/submissions"
        answer = self._transport.request("GET", path, params=asked)
        rows, count = self._read_page(answer, path)
        meta = answer.get("meta") if isinstance(answer, dict) else None
        next_page = (meta or {}).get("next")
        return rows, count, next_page if isinstance(next_page, str) and next_page else None

    def list_responses(
        self, collection_id: str, *, limit: int | None = None, **narrowed: str | Sequence[str] | None
    ) -> list[Json]:
        """A collection's submissions with their answers, as `page_responses` has them: all, or the first `limit`."""
        found: list[Json] = []
        before: list[Json] = []
        after: str | None = None
        seen: set[str] = set()
        while True:
            asked = _MOST_ON_A_PAGE if limit is None else min(_MOST_ON_A_PAGE, limit - len(found))
            rows, _, after = self.page_responses(collection_id, limit=asked, after=after, **narrowed)
            if rows[:1] == before:
                return found  # a server that does not know `after` answers the same page each time
            found += rows
            before = rows[:1]
            if after is None or after in seen or (limit is not None and len(found) >= limit):
                return found
            seen.add(after)

    def get_response(self, submission_id: str) -> Json:
        """A submission with its answers, the collection as its participant saw it, and the notes on it."""
        return self._get(f"/submissions/{path_segment(submission_id)}/response", _RESPONSE)

    def get_history(self, submission_id: str) -> Json:
        """What happened to a submission, the exports that hold it, and for owners who did or saw what."""
        return self._get(f"/submissions/{path_segment(submission_id)}/history", _HISTORY)


class ErasureRoutes(Routes):
    """What an erasure would remove, and the proof of what one has removed (fieldpack only); see `Client`."""

    def check_erasure(self, submission_id: str) -> Json:
        """What it would remove to erase a submission: counts, and the exports that hold it. Nothing is changed."""
        return self._get(f"/submissions/{path_segment(submission_id)}/erasure", _REACH)

    def check_erasures(
        self, collection_id: str, participant_ids: Sequence[str] | None = None, **narrowed: Narrowed
    ) -> Json:
        """What it would remove to erase these participants, or what a filter lets through. Nothing is changed.

        Args:
            collection_id: whose.
            participant_ids: only what these gave; everybody's without.
            narrowed: the filter, as `page_responses` has it, and `submission` besides.
        """
        body = {} if participant_ids is None else {"participant_ids": list(participant_ids)}
        return self._erasures(collection_id, "/check", body, narrowed, _REACH)

    def iter_erasing(
        self,
        collection_id: str,
        count: int,
        participant_ids: Sequence[str] | None = None,
        **narrowed: Narrowed,
    ) -> Iterator[Json]:
        """Erase these participants, or what a filter lets through: the proof of each, as they are erased.

        Args:
            collection_id: whose.
            count: how many they are, as `check_erasures` said.
            participant_ids: only what these gave; everybody's without.
            narrowed: the filter, as `check_erasures` has it.

        Raises:
            ApiError: with `status` 409 when they are more or fewer by now: nothing more was erased.
        """
        given: Json = {} if participant_ids is None else {"participant_ids": list(participant_ids)}
        left = count
        while True:
            shape: Shape = {"erased": [_PROOF], "left": int}
            answer = self._erasures(collection_id, "", {**given, "count": left}, narrowed, shape)
            yield from answer["erased"]
            left, given["batch"] = answer["left"], answer["batch"]
            if not left or not answer["erased"]:
                return

    def list_erasures(self, collection_id: str, batch: str | None = None) -> list[Json]:
        """What was erased in a collection, newest first; with a batch only what was asked for together."""
        return list(
            self._iter(
                f"{collection_path(collection_id)}/erasures", {"batch": batch} if batch else None, _PROOF
            )
        )

    def get_erasure(self, collection_id: str, submission_id: str) -> Json:
        """What the erasure of a submission removed, and what is there of it now."""
        return self._get(f"{collection_path(collection_id)}/erasures/{path_segment(submission_id)}", _PROOF)

    def _erasures(
        self, collection_id: str, action: str, body: Json, narrowed: dict[str, Any], shape: Shape
    ) -> Json:
        return self._call(
            "POST",
            f"{collection_path(collection_id)}/erasures{action}",
            shape,
            params={name: value for name, value in narrowed.items() if value},
            body=body,
        )
