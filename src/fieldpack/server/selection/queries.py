"""SQL of which submissions a filter means. Ids that stand in it are UUIDs, so nothing else can; all else is a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from fieldpack.server.selection.filters import Condition, ResponseFilter

__all__ = ["LATEST", "NUMBER", "SECONDS", "Term", "select_matching"]

LATEST = "coalesce(s.completed_at, s.started_at)"
SECONDS = "extract(epoch FROM s.completed_at - s.started_at)"
NUMBER = r"'^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$'"


@dataclass(frozen=True, slots=True)
class Term:
    """A condition on submissions `s`, in SQL, and the values that it takes."""

    sql: str
    values: dict[str, Any]


def select_matching(collection_id: UUID, wanted: ResponseFilter) -> Term:
    """What a filter lets through; nobody who was erased is in it."""
    values: dict[str, Any] = {"collection": collection_id}
    terms = ["s.collection_id = %(collection)s", "s.response <> 'deleted'"]

    def add(term: str, **given: Any) -> None:
        terms.append(term)
        values.update(given)

    if wanted.search is not None or any(each.test != "missing" for each in wanted.where):
        add("s.response = 'active'")
    if wanted.state:
        add("s.status = ANY(%(state)s)", state=list(wanted.state))
    if wanted.study:
        add("s.study_id = ANY(%(study)s)", study=list(wanted.study))
    if wanted.submission:
        add("s.id = ANY(%(submission)s)", submission=list(wanted.submission))
    if wanted.participant is not None:
        add("s.participant_id = %(participant)s", participant=wanted.participant)
    if wanted.since is not None:
        add(f"{LATEST} >= %(since)s", since=wanted.since)
    if wanted.before is not None:
        add(f"{LATEST} < %(before)s", before=wanted.before)
    if wanted.files is not None:
        add("(s.response = 'active' AND s.file_count > 0) = %(files)s", files=wanted.files)
    if wanted.note is not None:
        add("EXISTS (SELECT FROM notes n WHERE n.submission_id = s.id) = %(note)s", note=wanted.note)
    if wanted.pending is not None:
        add(
            "EXISTS (SELECT FROM decided_submissions h WHERE h.submission_id = s.id AND NOT h.dropped) = %(pending)s",
            pending=wanted.pending,
        )
    if wanted.assigned == "nobody":
        add("NOT EXISTS (SELECT FROM assignments a WHERE a.submission_id = s.id)")
    elif wanted.assigned is not None:
        add(
            "EXISTS (SELECT FROM assignments a WHERE a.submission_id = s.id AND a.researcher_id = %(assigned)s)",
            assigned=wanted.assigned,
        )
    if wanted.shorter is not None:
        add(f"{SECONDS} <= %(shorter)s", shorter=wanted.shorter)
    if wanted.longer is not None:
        add(f"{SECONDS} >= %(longer)s", longer=wanted.longer)
    if wanted.search is not None:
        add("s.words @@ websearch_to_tsquery('simple', %(search)s)", search=wanted.search)
    for number, condition in enumerate(wanted.where):
        answered = _select_answer(condition, f"where{number}")
        add(answered.sql, **answered.values)
    return Term(" AND ".join(terms), values)


def _select_answer(condition: Condition, name: str) -> Term:
    """One condition on an answer; the id in it is a UUID, so nothing else can stand there."""
    identifier = str(condition.instruction_id)
    text = f"s.answers->'{identifier}'->>'value'"
    match condition.test:
        case "answered":
            return Term(f"s.answers ? '{identifier}'", {})
        case "missing":
            return Term(f"NOT coalesce(s.answers ? '{identifier}', false)", {})
        case "contains":
            escaped = condition.operand.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
            return Term(f"{text} ILIKE %({name})s", {name: f"%{escaped}%"})
        case "between":
            low, high = condition.bounds
            number = f"CASE WHEN {text} ~ {NUMBER} THEN ({text})::numeric END"
            given = {f"{name}low": low, f"{name}high": high}
            bounds = [
                f"{number} {comparison} %({key})s"
                for key, comparison in ((f"{name}low", ">="), (f"{name}high", "<="))
                if given[key] is not None
            ]
            return Term(
                " AND ".join(bounds), {key: value for key, value in given.items() if value is not None}
            )
        case _:  # is: as a choice among several, one with an explanation, or alone
            option = condition.option
            shapes = ([option], [{"value": option}], option)
            return Term(
                "(" + " OR ".join(f"s.answers @> %({name}{n})s" for n in range(len(shapes))) + ")",
                {f"{name}{n}": Jsonb({identifier: {"value": shape}}) for n, shape in enumerate(shapes)},
            )
