"""The content of templates: each item of a collection with its answer, rules and files, as text."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from fieldpack.server.collections.schemas import value_key
from fieldpack.server.collections.service import iter_items
from fieldpack.server.submissions.answering.answers import (
    Broken,
    find_option,
    group_files,
    is_empty,
    is_number,
)
from fieldpack.server.uploads.rows import FileRow
from fieldpack.server.uploads.service import find_accepted
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.participants.readings import view_reading

__all__ = ["describe_broken", "summarise", "view_item", "view_pages"]

DROPDOWN_FROM = 5
SHORT_TEXT = 80
CONTENT = ("rich_text", "image")
CHOICES = ("multiple_choice", "multiple_choice_with_free_text")
MIB = 1 << 20
# what phones call what their cameras make: another name is refused, whatever it may hold
CAMERA_NAMES = {"image/*": {".jpg", ".heic"}, "video/*": {".mp4", ".mov"}}
CAMERA_TEXTS = {"image/*": message("files.camera_photo"), "video/*": message("files.camera_video")}
# texts for the reasons of submissions/answering/answers.py
PROBLEMS = {
    "missing": message("problem.missing"),
    "not_number": message("problem.not_number"),
    "ambiguous": message("problem.ambiguous"),
    "number_low": message("problem.number_low"),
    "number_high": message("problem.number_high"),
    "text_short": message("problem.text_short"),
    "text_long": message("problem.text_long"),
    "unfinished": message("problem.unfinished"),
    "few_files": message("problem.few_files"),
    "many_files": message("problem.many_files"),
}

View = dict[str, Any]


def view_pages(
    body: dict[str, Any],
    catalogue: Catalogue,
    *,
    answers: dict[str, Any],
    revisions: dict[str, int],
    files: list[FileRow],
    errors: dict[str, list[str]],
    unclear: Collection[str] = (),
) -> list[View]:
    """Every page with its items, numbered from 1.

    Args:
        unclear: ids of the questions whose number has to be made clear, because the reader's locale groups by points.
    """
    by_item = group_files(files)
    pages = []
    for number, page in enumerate(body["collection_items"], 1):
        items = [
            view_item(
                item,
                catalogue,
                answer=answers.get(item["id"]),
                revision=revisions.get(item["id"], 0),
                files=by_item.get(item["id"], []),
                errors=errors.get(item["id"], []),
                is_unclear=item["id"] in unclear,
            )
            for item in page["page_items"]
        ]
        pages.append({"number": number, "items": items})
    return pages


def view_item(
    item: dict[str, Any],
    catalogue: Catalogue,
    *,
    answer: dict[str, Any] | None,
    revision: int,
    files: list[FileRow],
    errors: list[str],
    is_unclear: bool = False,
) -> View:
    """One item for a template. `data` is what scripts need of it."""
    if item["type"] in CONTENT:
        return {"caption": None, **item}
    view: View = {
        "helper_text": None,
        "placeholder_text_input": None,
        **item,
        "rules": [],
        "has_field": True,  # a field that shows the placeholder; without one the placeholder is shown as a hint
        "errors": errors,
        "revision": revision,
        "summary": summarise(item, catalogue, answer, files),
        "data": {"id": item["id"], "type": item["type"], "required": item["required"], "revision": revision},
    }
    if item["type"] in CHOICES:
        _view_choices(view, catalogue, answer)
    elif item["type"] == "file_upload":
        _view_upload(view, catalogue, files)
    else:
        _view_text(view, catalogue, answer)
        text = answer["value"] if answer is not None and is_number(item, answer) else ""
        view["reading"] = view_reading(text, catalogue, point_groups=is_unclear)
    return view


def _view_text(view: View, catalogue: Catalogue, answer: dict[str, Any] | None) -> None:
    rule = view.get("validation")
    units = view.get("unit_options", [])
    view["value"] = answer["value"] if answer else ""
    unit = (answer or {}).get("unit", view.get("default_unit"))
    chosen = units[0] if len(units) == 1 else find_option(units, unit)
    view["unit_options"] = [
        {
            **option,
            "index": index,
            "json": orjson.dumps(option["value"]).decode(),
            "chosen": option is chosen,
        }
        for index, option in enumerate(units)
    ]
    rules = [text for text in [rule and rule_text(rule, catalogue)] if text]
    for unit in units:
        if unit.get("validation"):
            text = rule_text(unit["validation"], catalogue)
            rules.append(
                text if len(units) == 1 else catalogue.text("rule.for_unit", unit=unit["label"], rule=text)
            )
    view["rules"] = list(dict.fromkeys(rules))
    own = [rule, *(unit.get("validation") for unit in units)]
    view["numeric"] = any(each and each["type"] == "number" for each in own)
    longest = rule and rule["type"] == "string" and rule.get("max")
    view["multiline"] = (
        view["type"] == "free_text" and not view["numeric"] and not (longest and longest <= SHORT_TEXT)
    )
    view["data"] |= {
        "validation": rule,
        "units": [
            {"value": unit["value"], "label": unit["label"], "validation": unit.get("validation")}
            for unit in units
        ],
    }


def rule_text(rule: dict[str, Any], catalogue: Catalogue) -> str:
    """A `validation` as a sentence; empty when it has no bounds."""
    low, high = rule.get("min"), rule.get("max")
    if rule["type"] == "number":
        if low is not None and high is not None:
            return catalogue.text("rule.number_between", min=low, max=high)
        if low is not None:
            return catalogue.text("rule.number_min", min=low)
        if high is not None:
            return catalogue.text("rule.number_max", max=high)
        return catalogue.text("rule.number")
    if low and high is not None:
        return catalogue.text("rule.length_between", min=low, max=high)
    if low:
        return catalogue.text("rule.length_min", count=low)
    if high is not None:
        return catalogue.text("rule.length_max", count=high)
    return ""


def _view_choices(view: View, catalogue: Catalogue, answer: dict[str, Any] | None) -> None:
    explained = view["type"] == "multiple_choice_with_free_text"
    chosen: dict[Any, str] = {}
    for entry in answer["value"] if answer else []:
        value, text = (entry["value"], entry.get("explanation", "")) if explained else (entry, "")
        chosen[value_key(value)] = text
    options = []
    for index, option in enumerate(view["options"]):
        key = value_key(option["value"])
        options.append(
            {
                "exclusive": False,
                **option,
                "index": index,
                "json": orjson.dumps(option["value"]).decode(),
                "checked": key in chosen,
                "explanation": chosen.get(key, ""),
            }
        )
    single = view["answer_limit"] == 1
    dropdown = len(options) >= DROPDOWN_FROM and not view["disable_dropdown"]
    view["options"] = options
    view["explained"] = explained
    view["control"] = ("select" if single else "disclosure") if dropdown else ("radio" if single else "check")
    view["has_field"] = dropdown or explained
    if single:
        view["rules"] = [catalogue.text("form.choose_one")]
    elif view["answer_limit"] in (-1, len(options)):
        view["rules"] = [catalogue.text("form.choose_any")]
    else:
        view["rules"] = [catalogue.text("form.choose_up_to", count=view["answer_limit"])]
    view["data"] |= {
        "limit": view["answer_limit"],
        "explained": explained,
        "labels": {option["json"]: option["label"] for option in options},
    }


def _view_upload(view: View, catalogue: Catalogue, files: list[FileRow]) -> None:
    low, high = view["min_file_count"], view["max_file_count"]
    if low == high:
        rule = catalogue.text("files.count", count=high)
    elif low == 1:
        rule = catalogue.text("rule.files_max", count=high)
    else:
        rule = catalogue.text("rule.files_between", min=low, max=high)
    limit_bytes = int(view["max_file_size_mb"] * MIB)
    view["rules"] = [
        catalogue.text("rule.size", files=rule, size=catalogue.size(limit_bytes)),
        " ".join(view["accepted_file_types"]),
    ]
    accepted = find_accepted(view)
    view["accept"] = ",".join(accepted.names)
    view["has_field"] = False
    view["files"] = files
    kinds = [kind for kind, names in CAMERA_NAMES.items() if not names.isdisjoint(accepted.names)]
    view["camera"] = ",".join(kinds)
    camera_text = CAMERA_TEXTS[kinds[0]] if len(kinds) == 1 else message("files.camera")
    view["camera_text"] = catalogue.text(camera_text)
    view["data"] |= {
        "types": view["accepted_file_types"],
        "max_bytes": limit_bytes,
        "min_files": low,
        "max_files": high,
    }


def summarise(
    item: dict[str, Any], catalogue: Catalogue, answer: dict[str, Any] | None, files: list[FileRow]
) -> list[str]:
    """An answer as lines of text, as the review shows it; scripts build the same."""
    if item["type"] == "file_upload":
        return [file.file_name for file in files]
    if answer is None or is_empty(answer):
        return []
    value = answer["value"]
    if item["type"] == "free_text":
        return [value]
    if item["type"] == "free_text_with_unit":
        unit = find_option(item["unit_options"], answer["unit"])
        parts = [value, unit["label"] if unit else ""]
        return [" ".join(parts if item["unit_position"] == "suffix" else reversed(parts))]
    labels = {value_key(option["value"]): option["label"] for option in item["options"]}
    if item["type"] == "multiple_choice":
        return [labels[value_key(entry)] for entry in value]
    return [
        f"{labels[value_key(entry['value'])]}: {entry['explanation']}".removesuffix(": ") for entry in value
    ]


def describe_broken(broken: Broken, catalogue: Catalogue) -> str:
    """The sentence for a broken rule, in the reader's language."""
    # rules of length have no count of their own: their plural forms go by the bound
    count = broken.bound if broken.count is None else broken.count
    return catalogue.text(PROBLEMS[broken.reason], bound=broken.bound, count=count)


def number_pages(body: dict[str, Any]) -> dict[str, int]:
    """The number of the page that each item is on, by the item's id."""
    return {
        item["id"]: number
        for number, page in enumerate(body["collection_items"], 1)
        for item in page["page_items"]
    }


def questions_of(body: dict[str, Any], page: int | None = None) -> list[dict[str, Any]]:
    """The items that take an answer, of all pages or of one."""
    items = iter_items(body) if page is None else body["collection_items"][page - 1]["page_items"]
    return [item for item in items if item["type"] not in CONTENT]
