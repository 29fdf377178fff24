"""A summary, gathered in one pass over an archive's submissions, without table libraries."""

from __future__ import annotations

import datetime as dt
import statistics
from array import array
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from fieldpack.archive.members import COLLECTION
from fieldpack.reading.model import Instruction
from fieldpack.reading.shapes import read_time
from fieldpack.report.summary import Bar, Summary
from fieldpack.report.tallies import Kinds, Tally
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["summarize"]


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
        self._answers = {i.id: Tally(i) for i in export.instructions if i.is_question}

    def gather(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        summary = self._summary
        participants: set[int] = set()
        studies: set[str] = set()
        statuses: Counter[str] = Counter()
        days: Counter[dt.date] = Counter()
        seconds = array("d")
        kinds = Kinds()
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
                    self._answers[key] = Tally(Instruction(key, answer.type, "", answer_limit=-1))
                self._answers[key].add(answer, submission.participant_id)
                for file in answer.files:
                    member = self._export.find_member(file.path)
                    size = file.size_bytes
                    if size is None and member is not None:
                        size = member.size_bytes
                    kinds.add(file.content_type, 1, size or 0)
                    summary.files_missing += member is None
            if progress and summary.submissions % 500 == 0:
                progress(summary.submissions, total)
        summary.participants, summary.studies = len(participants), len(studies)
        summary.statuses = [Bar(label, count) for label, count in statuses.most_common()]
        summary.median_seconds = statistics.median(seconds) if seconds else None
        summary.days = sorted(days.items())
        summary.files = kinds.sort()
        for tally in self._answers.values():
            if tally.answered or not tally.instruction.retired:
                summary.questions.append(tally.finish(summary.submissions))
