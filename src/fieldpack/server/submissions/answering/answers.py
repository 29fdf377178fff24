"""Answers: the shape that each instruction takes (checked when saved), and its rules (checked at submit).

Shapes are those of the archive's `responses`, without `type`. What is stored is normalised: option values as in the
collection, an explanation for every option that takes one, and no other fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from fieldpack.server.collections.schemas import value_key
from fieldpack.server.problems import INVALID, Problem
from fieldpack.server.submissions.answering.numbers import Ambiguous, read_number
from fieldpack.server.uploads.rows import FileRow
from fieldpack.text import say_count

__all__ = [
    "Broken",
    "check_rules",
    "describe_reading",
    "find_broken",
    "find_option",
    "find_problems",
    "is_number",
    "normalise",
    "put_numbers_right",
]

MAX_TEXT = 1_000_000


def normalise(item: dict[str, Any], given: Any) -> dict[str, Any]:
    """The answer as it is stored.

    Raises:
        Problem: 400 for a wrong shape, an unknown option or unit, or a choice the instruction doesn't allow.
    """
    if not isinstance(given, dict) or "value" not in given:
        raise _wrong("body", f"Send {_example(item)}, or null to clear the answer.")
    value = given["value"]
    match item["type"]:
        case "free_text":
            return {"value": _text(value, item)}
        case "free_text_with_unit":
            return {"value": _text(value, item), "unit": _unit(item, given.get("unit"))}
        case "multiple_choice":
            return {"value": [option["value"] for option, _ in _choices(item, value)]}
        case "multiple_choice_with_free_text":
            chosen = _choices(item, value)
            return {"value": [{"value": option["value"], "explanation": text} for option, text in chosen]}
        case "file_upload":
            raise _wrong("body", "Files are not saved as an answer: upload them to …/uploads.")
        case _:
            raise _wrong("body", f"A {item['type']} takes no answer.")


def _wrong(path: str, message: str) -> Problem:
    return Problem(INVALID, {path: [message]})


def _example(item: dict[str, Any]) -> str:
    return {
        "free_text": '{"value": "text"}',
        "free_text_with_unit": '{"value": "72.5", "unit": "kg"}',
        "multiple_choice": '{"value": ["an option\'s value"]}',
        "multiple_choice_with_free_text": '{"value": [{"value": "an option\'s value", "explanation": ""}]}',
    }.get(item["type"], "nothing")


def _text(value: Any, item: dict[str, Any]) -> str:
    if not isinstance(value, str):
        raise _wrong("value", f"Must be text: {_example(item)}.")
    if len(value) > MAX_TEXT:
        raise _wrong("value", f"Must have at most {MAX_TEXT:,} characters.")
    return value


def find_option(options: list[dict[str, Any]], value: Any) -> dict[str, Any] | None:
    """The option with this value; None without one. `1`, `"1"` and `true` are three different values."""
    if not isinstance(value, str | bool | int | float):
        return None
    key = value_key(value)
    return next((option for option in options if value_key(option["value"]) == key), None)


def _unit(item: dict[str, Any], unit: Any) -> str | bool | int | float:
    """The unit as it is written in the collection."""
    found = find_option(item["unit_options"], item.get("default_unit") if unit is None else unit)
    if found is None:
        units = [option["value"] for option in item["unit_options"]]
        shown = [unit if isinstance(unit, str) else orjson.dumps(unit).decode() for unit in units]
        raise _wrong("unit", f"Must be one of {', '.join(shown)}.")
    value: str | bool | int | float = found["value"]
    return value


def _choices(item: dict[str, Any], value: Any) -> list[tuple[dict[str, Any], str]]:
    """The chosen options with their explanations, in the order chosen."""
    if not isinstance(value, list):
        raise _wrong("value", f"Must be a list: {_example(item)}.")
    explained = item["type"] == "multiple_choice_with_free_text"
    options = {value_key(option["value"]): option for option in item["options"]}
    chosen: list[tuple[dict[str, Any], str]] = []
    seen = set()
    for number, entry in enumerate(value):
        path = f"value.{number}"
        explanation = ""
        if explained:
            if not isinstance(entry, dict) or "value" not in entry:
                raise _wrong(path, f"Must be an object: {_example(item)}.")
            explanation = entry.get("explanation", "")
            if not isinstance(explanation, str) or len(explanation) > MAX_TEXT:
                raise _wrong(f"{path}.explanation", f"Must be text of at most {MAX_TEXT:,} characters.")
            entry = entry["value"]
        if not isinstance(entry, str | bool | int | float) or value_key(entry) not in options:
            raise _wrong(path, "This is not one of the options.")
        if value_key(entry) in seen:
            raise _wrong(path, "This option is chosen twice.")
        seen.add(value_key(entry))
        chosen.append((options[value_key(entry)], explanation))
    limit = item["answer_limit"]
    if limit != -1 and len(chosen) > limit:
        raise _wrong("value", f"At most {limit} of the options may be chosen.")
    if len(chosen) > 1 and any(option.get("exclusive") for option, _ in chosen):
        raise _wrong("value", "An exclusive option stands alone.")
    return chosen


def is_empty(answer: dict[str, Any] | None) -> bool:
    """Whether an answer says nothing: none at all, blank text, or no option."""
    if answer is None:
        return True
    value = answer["value"]
    return not value.strip() if isinstance(value, str) else not value


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that an answer breaks. The API answers `sentence`; the pages have a text for each `reason`.

    Attributes:
        reason: a key of `SENTENCES`.
        bound: the bound that is exceeded, for rules that have one.
        count: the number of files, for rules about it.
        readings: the two numbers that an ambiguous text may mean.
    """

    reason: str
    bound: float | int | None = None
    count: int | None = None
    readings: Ambiguous | None = None

    @property
    def sentence(self) -> str:
        """What is wrong, in English, for the API."""
        values: dict[str, object] = {"bound": self.bound, "count": self.count}
        if isinstance(self.bound, int):
            values |= {
                "files": say_count(self.bound, "file"),
                "characters": say_count(self.bound, "character"),
            }
        else:
            values["characters"] = f"{self.bound} characters"
        if self.readings is not None:
            values |= {"whole": self.readings.whole, "decimal": self.readings.decimal}
        return SENTENCES[self.reason].format(**values)


SENTENCES = {
    "missing": "An answer is required.",
    "not_number": "Must be a number, such as 72.5.",
    "ambiguous": "Can be read as {whole} or as {decimal}: write it in one of these ways.",
    "number_low": "Must be at least {bound}.",
    "number_high": "Must be at most {bound}.",
    "text_short": "Must be at least {characters}.",
    "text_long": "Must be at most {characters}.",
    "unfinished": "An upload is unfinished: finish or remove it.",
    "few_files": "Give at least {files}; given so far: {count}.",
    "many_files": "Give at most {files}; given so far: {count}.",
}


def _rules_of(item: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of length and number that apply to an answer, also those of its unit."""
    if item["type"] not in ("free_text", "free_text_with_unit"):
        return []
    rules = [item.get("validation")]
    if item["type"] == "free_text_with_unit":
        unit = find_option(item["unit_options"], answer.get("unit"))
        rules.append(unit.get("validation") if unit else None)
    return [rule for rule in rules if rule is not None]


def is_number(item: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether a rule requires this answer to be a number."""
    return any(rule["type"] == "number" for rule in _rules_of(item, answer))


def describe_reading(item: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What is answered beside a saved number: `read_as`, or `ambiguous` with the two numbers that it may be."""
    found = read_number(answer["value"]) if is_number(item, answer) else None
    if isinstance(found, Ambiguous):
        return {"ambiguous": [found.whole, found.decimal]}
    return {} if found is None else {"read_as": found}


def put_numbers_right(
    items: list[dict[str, Any]], answers: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The answers whose numbers are stored in another form than they were typed in. All answers must follow their
    rules."""
    found = {}
    for item in items:
        answer = answers.get(item["id"])
        if answer is not None and not is_empty(answer) and is_number(item, answer):
            number = read_number(answer["value"])
            if isinstance(number, str) and number != answer["value"]:
                found[item["id"]] = {**answer, "value": number}
    return found


def check_rules(item: dict[str, Any], answer: dict[str, Any]) -> list[Broken]:
    """The rules of length and number that a non-empty answer breaks."""
    rules = _rules_of(item, answer)
    text = answer["value"]
    if any(rule["type"] == "number" for rule in rules):
        number = read_number(text)
        if number is None:
            return [Broken("not_number")]
        if isinstance(number, Ambiguous):
            return [Broken("ambiguous", readings=number)]
        text = number  # rules of length count the characters of what is stored
    found = []
    for rule in rules:
        broken = _check_rule(rule, text)
        if broken is not None and broken not in found:
            found.append(broken)
    return found


def _check_rule(rule: dict[str, Any], text: str) -> Broken | None:
    low, high = rule.get("min"), rule.get("max")
    if rule["type"] == "number":
        size, under, over = Decimal(text), "number_low", "number_high"
    else:
        size, under, over = Decimal(len(text)), "text_short", "text_long"
    if low is not None and size < Decimal(str(low)):
        return Broken(under, low)
    if high is not None and size > Decimal(str(high)):
        return Broken(over, high)
    return None


def find_problems(
    items: list[dict[str, Any]], answers: dict[str, dict[str, Any]], files: list[FileRow]
) -> dict[str, list[str]]:
    """Why a submission can't be submitted: sentences by instruction id; empty when it can."""
    broken = find_broken(items, answers, files)
    return {item_id: [rule.sentence for rule in rules] for item_id, rules in broken.items()}


def find_broken(
    items: list[dict[str, Any]], answers: dict[str, dict[str, Any]], files: list[FileRow]
) -> dict[str, list[Broken]]:
    """The rules that a submission breaks as it is, by instruction id."""
    found: dict[str, list[Broken]] = {}
    by_item = group_files(files)
    for item in items:
        if item["type"] in ("rich_text", "image"):
            continue
        if item["type"] == "file_upload":
            broken = _check_files(item, by_item.get(item["id"], []))
        elif is_empty(answers.get(item["id"])):
            broken = [Broken("missing")] if item["required"] else []
        else:
            broken = check_rules(item, answers[item["id"]])
        if broken:
            found[item["id"]] = broken
    return found


def group_files(files: list[FileRow]) -> dict[str, list[FileRow]]:
    """Files by the id of their instruction, in their order."""
    found: dict[str, list[FileRow]] = {}
    for file in files:
        found.setdefault(str(file.instruction_id), []).append(file)
    return found


def _check_files(item: dict[str, Any], files: list[FileRow]) -> list[Broken]:
    if any(file.status == "uploading" for file in files):
        return [Broken("unfinished")]
    count = len(files)
    if not count and not item["required"]:
        return []
    if count < item["min_file_count"]:
        return [Broken("few_files", item["min_file_count"], count)]
    if count > item["max_file_count"]:
        return [Broken("many_files", item["max_file_count"], count)]
    return []
