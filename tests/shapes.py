"""What answers must look like, written by hand from the contract: a schema is an example of types.

A class is a value of it (`int` no boolean, `float` any number), a tuple one of several, a list of one schema a list of
such values, a dict an object of just these members (`name?` may be absent, `...` allows others), a string or `None`
itself, and a function answers whether the value fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

__all__ = [
    "BALANCE",
    "COLLECTION",
    "COST",
    "EXPORT",
    "GROUP",
    "PROJECT",
    "STUDY",
    "SUBMISSION",
    "find_faults",
]

Schema = Any


def find_faults(value: Any, schema: Schema, path: str = "") -> list[str]:
    """Where a value is not as the schema says; empty when it is."""
    if isinstance(schema, tuple):
        tried = [find_faults(value, each, path) for each in schema]
        return [] if [] in tried else [f"{path}: {value!r} is none of {len(schema)} alternatives: {tried}"]
    if isinstance(schema, dict):
        return _find_faults_of_object(value, schema, path)
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [
            fault
            for number, each in enumerate(value)
            for fault in find_faults(each, schema[0], f"{path}.{number}")
        ]
    if isinstance(schema, type):
        kinds = {int: (int,), float: (int, float)}.get(schema, (schema,))
        fits = isinstance(value, kinds) and (schema is bool or not isinstance(value, bool))
    elif callable(schema):
        fits = bool(schema(value))
    else:
        fits = value == schema and type(value) is type(schema)
    return [] if fits else [f"{path}: {value!r} is not {schema}"]


def _find_faults_of_object(value: Any, schema: dict[Any, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    names = {name.removesuffix("?"): name for name in schema if name is not ...}
    faults = [
        f"{path}.{name} is missing"
        for name, given in names.items()
        if not given.endswith("?") and name not in value
    ]
    if ... not in schema:
        faults += [f"{path}.{name} should not be there" for name in value if name not in names]
    for name, given in names.items():
        if name in value:
            faults += find_faults(value[name], schema[given], f"{path}.{name}")
    return faults


def _match(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_time(value: Any) -> bool:
    """A time in UTC, with `Z`."""
    return isinstance(value, str) and value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None


ID = _match(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SCALAR = (str, float, bool)
VALIDATION = {"type": _match("number|string"), "min?": float, "max?": float}
MADE = {"id": ID, "created_at": is_time, "created_by": ID}
ITEM = {**MADE, "order": int, "parent_id": ID, "parent_type": "collection"}
INSTRUCTION = {
    **ITEM,
    "description": str,
    "required": bool,
    "helper_text?": str,
    "placeholder_text_input?": str,
}
OPTION = {"label": str, "value": SCALAR, "exclusive?": bool}
CHOICE = {**INSTRUCTION, "answer_limit": int, "disable_dropdown": bool}
ITEMS = (
    {**INSTRUCTION, "type": "free_text", "validation?": VALIDATION},
    {**CHOICE, "type": "multiple_choice", "options": [OPTION]},
    {**CHOICE, "type": "multiple_choice_with_free_text", "options": [{**OPTION, "heading": str}]},
    {
        **INSTRUCTION,
        "type": "free_text_with_unit",
        "unit_options": [{"label": str, "value": SCALAR, "validation?": VALIDATION}],
        "default_unit?": SCALAR,
        "unit_position": _match("prefix|suffix"),
        "validation?": VALIDATION,
    },
    {
        **INSTRUCTION,
        "type": "file_upload",
        "accepted_file_types": [_match(r"\..+")],
        "max_file_size_mb": float,
        "min_file_count": int,
        "max_file_count": int,
    },
    {**ITEM, "type": "rich_text", "schema_version": 1, "content": str, "content_format": "html"},
    {**ITEM, "type": "image", "schema_version": 1, "url": str, "alt_text": str, "caption?": str},
)
PAGE = {**MADE, "order": int, "schema_version": 1, "page_items": [ITEMS]}
COLLECTION = {
    **MADE,
    "schema_version": 1,
    "workspace_id": ID,
    "name": str,
    "description?": str,
    "task_details": {"task_name": str, "task_introduction": str, "task_steps": str},
    "collection_items": [PAGE],
    "item_count": int,
    "last_modified_at": (is_time, None),
    "last_modified_by": (ID, None),
}
CODE = {
    "code": (str, None),
    "code_type": str,
    "actor": _match("participant|researcher"),
    "actions": [{"action": str, ...: None}],
}
STUDY = {
    "id": ID,
    "name": str,
    "internal_name": str,
    "description": str,
    "date_created": is_time,
    "published_at": (is_time, None),
    "status": _match("UNPUBLISHED|SCHEDULED|ACTIVE|PAUSED|AWAITING REVIEW|COMPLETED"),
    "total_available_places": int,
    "places_taken": int,
    "reward": int,
    "estimated_completion_time": int,
    "maximum_allowed_time": int,
    "device_compatibility": list,
    "peripheral_requirements": list,
    "eligibility_requirements": list,
    "filters": list,
    "completion_codes": [CODE],
    "completion_url": str,
    "external_study_url": _match("https?://.+"),
    "prolific_id_option": str,
    "researcher": {"id": ID, "name": str, "email": str},
    "submissions_config": {
        "max_submissions_per_participant": int,
        "max_concurrent_submissions": int,
        ...: None,
    },
    "study_type": str,
    "unenforced": [str],
    "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
    "data_collection_id": ID,
    "project": (str, None),
    ...: None,
}
SUBMISSION = {
    "id": ID,
    "participant_id": str,
    "study_id": ID,
    "started_at": is_time,
    "completed_at": (is_time, None),
    "is_complete": bool,
    "time_taken": int,
    "reward": int,
    "status": str,
    "study_code": (str, None),
    "return_requested": (is_time, None),
    "has_siblings": bool,
    "ip": None,
    ...: None,
}
SUMS = {"rewards": {"amount": int, "currency": str}, "fees": {"amount": int, "currency": str},
        "tax": {"amount": int, "currency": str}}  # fmt: skip
COST = {"rewards": SUMS, "bonuses": SUMS}
BREAKDOWN = {"rewards": int, "fees": int, "vat": int}
BALANCE = {
    "currency_code": str,
    "total_balance": int,
    "balance_breakdown": BREAKDOWN,
    "available_balance": int,
    "available_balance_breakdown": BREAKDOWN,
}
USER = {"id": ID, "name": str, "email": str, "roles": [str]}
PROJECT = {
    "id": ID,
    "title": str,
    "description": str,
    "owner": ID,
    "type": "PRIVATE",
    "public_details": None,
    "users": [USER],
    "workspace": ID,
    "naivety_distribution_rate": None,
}
GROUP = {
    "id": ID,
    "name": str,
    "project_id": None,
    "workspace_id": ID,
    "organisation_id": None,
    "description": (str, None),
    "participant_count": int,
    "is_deleted": False,
    "feeder_studies": [None],
}
EXPORT = {
    "export_id": ID,
    "filter": (dict, None),
    "status": _match("generating|complete|failed"),
    "created_at": is_time,
    ...: None,
}
