"""Whom a study is for, as far as a participant's id tells: which filters are enforced, and which are only stored.

Filters are those of the hosted service's studies: `{"filter_id": "custom_allowlist", "selected_values": ["…"]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fieldpack.server.studies.completion_codes import ENFORCED_ACTIONS, GROUP_ACTIONS

__all__ = [
    "ENFORCED_FILTERS",
    "Targeting",
    "find_unenforced",
    "leave_out",
    "names_participants",
    "read_targeting",
]

ALLOWED, BLOCKED = "custom_allowlist", "custom_blocklist"
ALLOWED_STUDIES, BLOCKED_STUDIES = "previous_studies_allowlist", "previous_studies_blocklist"
ALLOWED_GROUPS, BLOCKED_GROUPS = "participant_group_allowlist", "participant_group_blocklist"
ENFORCED_FILTERS = (ALLOWED, BLOCKED, ALLOWED_STUDIES, BLOCKED_STUDIES, ALLOWED_GROUPS, BLOCKED_GROUPS)
STUDY_LISTS, GROUP_LISTS = (ALLOWED_STUDIES, BLOCKED_STUDIES), (ALLOWED_GROUPS, BLOCKED_GROUPS)
EVERY_DEVICE = {"desktop", "tablet", "mobile"}
# fields besides filters by which the hosted service chooses or spreads participants
RECRUITING = (
    "access_details",
    "credential_pool_id",
    "filter_set_id",
    "is_custom_screening",
    "naivety_distribution_rate",
    "peripheral_requirements",
    "quotas",
)

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Targeting:
    """The filters that are enforced.

    Participants must be in each list of `allowed`, must have taken part in a study of each list of `allowed_studies`,
    and must be in a group of each list of `allowed_groups`. They must not be in `blocked`, have taken part in a study
    of `blocked_studies`, or be in a group of `blocked_groups`.

    Attributes:
        allowed: lists of participants' ids, as they were given.
        blocked: participants' ids, as they were given.
        allowed_studies: lists of ids of studies that are known here; an empty one admits nobody.
        blocked_studies: ids of studies that are known here.
        allowed_groups: lists of ids of participant groups that are known here; likewise.
        blocked_groups: ids of participant groups that are known here.
    """

    allowed: tuple[tuple[str, ...], ...]
    blocked: tuple[str, ...]
    allowed_studies: tuple[tuple[str, ...], ...]
    blocked_studies: tuple[str, ...]
    allowed_groups: tuple[tuple[str, ...], ...]
    blocked_groups: tuple[str, ...]


def _iter_filters(fields: Fields) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The filters that are enforced, with their values. One with an empty list counts as not given."""
    for filter in fields.get("filters", []):
        if isinstance(filter, dict) and filter.get("filter_id") in ENFORCED_FILTERS:
            values = tuple(str(value) for value in filter.get("selected_values") or ())
            if values:
                yield filter["filter_id"], values


def read_targeting(fields: Fields, known_studies: Sequence[str], known_groups: Sequence[str]) -> Targeting:
    """The filters of a study that are enforced, without studies and groups that are not known here.

    A list that admits stays where nothing of it is known, and admits nobody: whoever deletes the last group of one does
    not open the study to all.
    """
    known = _known_by_list(known_studies, known_groups)
    found: dict[str, list[tuple[str, ...]]] = {name: [] for name in ENFORCED_FILTERS}
    for name, values in _iter_filters(fields):
        if not values:
            continue
        if name in known:
            values = tuple(value.lower() for value in values if value.lower() in known[name])
        found[name].append(values)
    return Targeting(
        tuple(found[ALLOWED]),
        tuple(value for values in found[BLOCKED] for value in values),
        tuple(found[ALLOWED_STUDIES]),
        tuple(value for values in found[BLOCKED_STUDIES] for value in values),
        tuple(found[ALLOWED_GROUPS]),
        tuple(value for values in found[BLOCKED_GROUPS] for value in values),
    )


def _known_by_list(known_studies: Sequence[str], known_groups: Sequence[str]) -> dict[str, frozenset[str]]:
    """For each kind of list with ids of ours, the ids that are known here."""
    studies, groups = frozenset(known_studies), frozenset(known_groups)
    return {**dict.fromkeys(STUDY_LISTS, studies), **dict.fromkeys(GROUP_LISTS, groups)}


def find_unenforced(fields: Fields, known_studies: Sequence[str], known_groups: Sequence[str]) -> list[str]:
    """What of a study's targeting is stored and answered but not enforced: names such as `filters.age`."""
    known = _known_by_list(known_studies, known_groups)
    names = [
        *_iter_unenforced_filters(fields.get("filters", [])),
        *(
            f"filters.{name}.{value}"
            for name, values in _iter_filters(fields)
            if name in known
            for value in values
            if value.lower() not in known[name]
        ),
        *(
            f"eligibility_requirements.{_name_requirement(each)}"
            for each in fields.get("eligibility_requirements", [])
        ),
    ]
    devices = {str(device).lower() for device in fields.get("device_compatibility", [])}
    if devices and not devices >= EVERY_DEVICE:
        names.append("device_compatibility")
    names += [name for name in RECRUITING if fields.get(name) not in (None, False, "", [], {})]
    for code in fields.get("completion_codes", []):
        for action in code.get("actions", []):
            name, group = action.get("action"), str(action.get("participant_group")).lower()
            if name not in ENFORCED_ACTIONS or (name in GROUP_ACTIONS and group not in known_groups):
                names.append(f"completion_codes.actions.{name}")
    return list(dict.fromkeys(names))


def _iter_unenforced_filters(filters: Sequence[Any], *, grouped: bool = False) -> Iterator[str]:
    """Filters by anything but ids, and all filters within groups of `and` and `or`."""
    for filter in filters:
        if not isinstance(filter, dict):
            yield "filters"
            continue
        groups = [filter[name] for name in ("and", "or") if isinstance(filter.get(name), list)]
        for group in groups:
            yield from _iter_unenforced_filters(group, grouped=True)
        name = filter.get("filter_id")
        if name is None and groups:
            continue
        if grouped or name not in ENFORCED_FILTERS:
            yield f"filters.{name}" if name else "filters"


def _name_requirement(requirement: Any) -> str:
    """The name of an older eligibility requirement."""
    if not isinstance(requirement, dict):
        return "unknown"
    name = requirement.get("_cls") or requirement.get("id") or "unknown"
    return str(name).rpartition(".")[2]


def leave_out(fields: Fields, is_meant: Callable[[str], bool]) -> dict[str, Any] | None:
    """A study's fields without some participants' ids in its lists; None where no list has any.

    A list that admits nobody else gets an id that nobody has: an empty one would not be there, and admit everybody.
    """
    changed = False
    filters: list[Any] = []
    for filter in fields.get("filters", []):
        if isinstance(filter, dict) and filter.get("filter_id") in (ALLOWED, BLOCKED):
            values = filter.get("selected_values") or []
            left = [value for value in values if not is_meant(str(value))]
            if len(left) < len(values):
                changed = True
                if not left and filter["filter_id"] == ALLOWED:
                    left = [f"nobody-{uuid4()}"]
                filter = {**filter, "selected_values": left}
        filters.append(filter)
    return {**fields, "filters": filters} if changed else None


def names_participants(fields: Fields) -> bool:
    """Whether a study's filters hold ids of participants."""
    return any(name in (ALLOWED, BLOCKED) for name, _ in _iter_filters(fields))
