"""SQL of which submissions a filter means. Ids that stand in it are UUIDs, so nothing else can; all else is a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from fieldpack.server.selection.filters import Condition, ResponseFilter

__all__ = [
    "LAST_ANSWERED",
    "LATEST",
    "LEFT",
    "REVIEWABLE",
    "SECONDS",
    "Term",
    "join_answer",
    "select_matching",
]

LATEST = "coalesce(s.completed_at, s.started_at)"
PENDING = "EXISTS (SELECT FROM decided_submissions h WHERE h.submission_id = s.id AND NOT h.dropped)"
LAST_ANSWERED = """
    (SELECT given.instruction_id FROM (
        SELECT a.instruction_id, a.updated_at AS at FROM answers a WHERE a.submission_id = s.id
        UNION ALL
        SELECT u.instruction_id, u.updated_at FROM uploads u WHERE u.submission_id = s.id
    ) AS given ORDER BY given.at DESC LIMIT 1)
"""  # the question that was answered last, while a submission is under way
LEFT = "s.response IN ('in_progress', 'no_submission')"  # begun and not submitted
# what waits for a review, and is not held; what is held is read once, however many responses are asked about
REVIEWABLE = """(s.status = 'AWAITING REVIEW'
    AND s.id NOT IN (SELECT h.submission_id FROM decided_submissions h WHERE NOT h.dropped))"""
SECONDS = "extract(epoch FROM s.completed_at - s.started_at)"
_UNANSWERED = ("missing", "left")
MOST_KEPT = 400  # characters of an answer's text in `answer_values`
MOST_NAMED = 100  # characters of a text that stands there as a choice, too


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

    if wanted.search is not None or any(each.test not in _UNANSWERED for each in wanted.where):
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
        add(f"{_not(wanted.note)}EXISTS (SELECT FROM notes n WHERE n.submission_id = s.id)")
    if wanted.pending is not None:
        add(f"{_not(wanted.pending)}{PENDING}")
    if wanted.assigned == "nobody":
        add("NOT EXISTS (SELECT FROM assignments a WHERE a.submission_id = s.id)")
    elif wanted.assigned is not None:
        add(
            "EXISTS (SELECT FROM assignments a WHERE a.submission_id = s.id AND a.researcher_id = %(assigned)s)",
            assigned=wanted.assigned,
        )
    if wanted.submitted is not None:
        add("(s.response = 'active') = %(submitted)s", submitted=wanted.submitted)
    if wanted.tests is not None:
        add("s.test = %(tests)s", tests=wanted.tests)
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


def _not(wanted: bool) -> str:
    return "" if wanted else "NOT "


def join_answer(question: UUID, alias: str) -> str:
    """The condition that joins the answer of submission `s` to a question, of `answer_values`, where it counts; the id
    is a UUID, so nothing else can stand there. What is compared is what the index of submissions is ordered by, so that
    both are read side by side, in the order that lists have."""
    return (
        f"{alias}.instruction_id = '{question}' AND {alias}.completed_at = {LATEST}"
        f" AND {alias}.submission_id = s.id AND s.response = 'active'"
    )


def _select_answer(condition: Condition, name: str) -> Term:
    """One condition on an answer."""
    answer = f"SELECT FROM answer_values {name} WHERE {join_answer(condition.instruction_id, name)}"
    match condition.test:
        case "answered":
            return Term(f"EXISTS ({answer})", {})
        case "missing":
            return Term(f"NOT EXISTS ({answer})", {})
        case "left":
            return Term(f"{LEFT} AND {LAST_ANSWERED} = '{condition.instruction_id}'", {})
        case "contains":
            test = _contains(condition, name)
        case "between":
            test = _between(condition, name)
        case "unit" | "type":
            return _select_within(condition, name)
        case _:
            test = _is(condition, name)
    return Term(f"EXISTS ({answer} AND {test.sql})", test.values)


def _select_within(condition: Condition, name: str) -> Term:
    """A unit, or a file of a type, in the whole answer."""
    inside: dict[str, Any] = {"value": [{"content_type": condition.operand}]}
    if condition.test == "unit":
        inside = {"unit": condition.option}
    return Term(f"s.answers @> %({name})s", {name: Jsonb({str(condition.instruction_id): inside})})


def _look_closer(name: str, test: str) -> str:
    """A test on the whole response `w`, of what is too long for `answer_values`."""
    return (
        f"NOT {name}.is_whole AND EXISTS"
        f" (SELECT FROM submissions w WHERE w.id = {name}.submission_id AND ({test}))"
    )


def _contains(condition: Condition, name: str) -> Term:
    whole = f"lower(w.answers->'{condition.instruction_id}'->>'value')"

    def test(text: str) -> str:
        # half of what LIKE costs; the operand is made lower once, also by a plan that is kept for any operand
        return f"strpos({text}, (SELECT lower(%({name})s))) > 0"

    return Term(f"({test(f'{name}.text')} OR {_look_closer(name, test(whole))})", {name: condition.operand})


def _between(condition: Condition, name: str) -> Term:
    low, high = condition.bounds
    bounds = [("low", ">=", low), ("high", "<" if condition.is_open else "<=", high)]
    given = [(f"{name}{end}", comparison, bound) for end, comparison, bound in bounds if bound is not None]

    def test(number: str) -> str:
        return " AND ".join(f"{number} {comparison} %({key})s::numeric" for key, comparison, _ in given)

    whole = f"read_number(w.answers->'{condition.instruction_id}'->>'value')"
    return Term(
        f"({test(f'{name}.number')} OR {_look_closer(name, test(whole))})",
        {key: bound for key, _, bound in given},
    )


def _is(condition: Condition, name: str) -> Term:
    """As a choice among several, one with an explanation, or alone."""
    option, identifier = condition.option, str(condition.instruction_id)
    shapes = ([option], [{"value": option}], option)
    values: dict[str, Any] = {f"{name}n": Jsonb(option)}
    values |= {f"{name}{n}": Jsonb({identifier: {"value": shape}}) for n, shape in enumerate(shapes)}
    whole = " OR ".join(f"w.answers @> %({name}{n})s" for n in range(len(shapes)))
    closer = _look_closer(name, whole)
    if isinstance(option, str) and len(option) > MOST_NAMED:  # it may be one that stands nowhere as a choice
        alike = f"{name}.text = left(lower(%({name}n)s::jsonb #>> '{{}}'), {MOST_KEPT})"
        exact = f"EXISTS (SELECT FROM submissions w WHERE w.id = {name}.submission_id AND ({whole}))"
        return Term(f"({alike} AND {exact} OR {closer})", values)
    named = f"strpos({name}.chosen, E'\\n' || name_choice(%({name}n)s::jsonb) || E'\\n') > 0"
    return Term(f"({named} OR {closer})", values)
