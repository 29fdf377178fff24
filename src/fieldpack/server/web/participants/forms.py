"""What a page without scripts posts: answers by field name, and files. Both are saved as the API saves them.

Field names: `a.<id>` the answer (an option's index for choices), `u.<id>` the unit's index, `e.<id>.<index>` an
explanation, `n.<id>` which of two numbers is meant, `r.<id>` the revision that the page showed, `f.<id>` files.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from fieldpack.filetypes import extension_of
from fieldpack.server.context import Context
from fieldpack.server.http.intake.forms import FormFile, read_known_form
from fieldpack.server.http.large import Participants
from fieldpack.server.problems import CONFLICT, INVALID, TOO_LARGE, UNSUPPORTED_TYPE, Problem
from fieldpack.server.submissions.answering.answers import MAX_TEXT, is_empty, is_number, normalise
from fieldpack.server.submissions.answering.saving import Answering, open_answers
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.uploads import service as uploads
from fieldpack.server.uploads.receive.receiving import receive_first
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.participants.readings import find_chosen, is_asked
from fieldpack.server.web.participants.views import summarise

__all__ = ["Outcome", "read_answer", "read_form", "save_page", "text_of"]

MIB = 1 << 20
CHUNK_BYTES = MIB


@dataclass
class Outcome:
    """The result of saving a page: messages by item, and answers that could not be saved.

    `unclear` are the items of `unsaved` whose number the participant has to choose first.
    """

    errors: dict[str, list[str]] = field(default_factory=dict)
    unsaved: dict[str, dict[str, Any]] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)


class _Taken(dict[UUID, int]):
    """Bytes on disk of the files in forms that are being read, by submission."""


class _Room:
    """The bytes that files of a submission may take on disk while this process reads their forms."""

    def __init__(
        self, taken: _Taken, submission_id: UUID, free_bytes: int, items: list[dict[str, Any]]
    ) -> None:
        self._taken = taken
        self._id = submission_id
        self._free = free_bytes
        self._own = 0
        self._limits = {
            f"f.{item['id']}": int(item["max_file_size_mb"] * MIB)
            for item in items
            if item["type"] == "file_upload"
        }

    def take(self, name: str, size: int, more: int) -> bool:
        fits = size <= self._limits.get(name, 0) and self._taken.get(self._id, 0) + more <= self._free
        self._add(more if fits else more - size)
        return fits

    def leave(self) -> None:
        self._add(-self._own)

    def _add(self, by: int) -> None:
        self._own += by
        left = self._taken.get(self._id, 0) + by
        if left:
            self._taken[self._id] = left
        else:
            self._taken.pop(self._id, None)


@contextlib.asynccontextmanager
async def read_form(
    request: Request, context: Context, submission: SubmissionRow | None, items: list[dict[str, Any]]
) -> AsyncIterator[FormData]:
    """The fields of the form that a page of questions posts. Its files exist until the end of the block.

    Args:
        submission: whose page it is; None for a preview, of which nothing is stored.
        items: questions that may have files in the form.

    Raises:
        Problem: 400 for a malformed form, or one with U+0000; 413.
        StorageFull: no room for the files.
    """
    settings = context.settings
    free = await uploads.count_free_bytes(context, submission.id) if submission is not None else 0
    taken = context.caches.get(_Taken)
    room = _Room(taken, submission.id if submission is not None else uuid4(), free, items)
    folder = settings.data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    form = FormData()
    try:
        form = await read_known_form(
            request,
            Participants,
            text_bytes=settings.max_body_bytes,
            file_bytes=settings.max_submission_mb * MIB,
            room=room,
            folder=folder,
        )
        yield form
    finally:
        await form.close()
        room.leave()


def text_of(form: FormData, name: str) -> str:
    """A text field, with line ends as scripts and the API have them; empty for a missing one."""
    value = form.get(name)
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


def read_answer(item: dict[str, Any], form: FormData) -> dict[str, Any]:
    """The answer in a form, in the API's shape.

    Raises:
        Problem: 400 for an unknown option.
    """
    name = item["id"]
    if item["type"] == "free_text":
        return {"value": text_of(form, f"a.{name}")}
    if item["type"] == "free_text_with_unit":
        unit = _option(item["unit_options"], text_of(form, f"u.{name}"))
        return {"value": text_of(form, f"a.{name}"), "unit": unit["value"] if unit else None}
    value: list[Any] = []
    for text in form.getlist(f"a.{name}"):
        option = _option(item["options"], text)
        if option is None:
            continue
        chosen = option["value"]
        if item["type"] == "multiple_choice_with_free_text":
            value.append({"value": chosen, "explanation": text_of(form, f"e.{name}.{text}")})
        else:
            value.append(chosen)
    return {"value": value}


def _option(options: list[dict[str, Any]], index: UploadFile | str) -> dict[str, Any] | None:
    """The option of an index; None for no choice. Forms send indexes because values have several types.

    Raises:
        Problem: 400 for an unknown option.
    """
    if index == "":
        return None
    at = read_whole(index) if isinstance(index, str) else None
    if at is None or at >= len(options):
        raise Problem(INVALID, {"value": ["This is not one of the options."]})
    return options[at]


def _message(item: dict[str, Any], given: dict[str, Any], catalogue: Catalogue) -> str:
    if item["type"] == "free_text_with_unit" and given.get("unit") is None:
        return catalogue.text("problem.unit")
    if isinstance(given.get("value"), list):
        return catalogue.text("problem.choices")
    if len(given.get("value", "")) > MAX_TEXT:
        return catalogue.text("problem.too_long", count=MAX_TEXT)
    return catalogue.text("problem.invalid")


async def save_page(
    context: Context,
    submission: SubmissionRow,
    items: list[dict[str, Any]],
    form: FormData,
    catalogue: Catalogue,
    *,
    point_groups: bool,
) -> Outcome:
    """Save the answers and files of one page. What can't be saved is reported, and the rest is saved.

    An answer that was changed elsewhere since the page was shown is not overwritten: the page is shown again with both.

    Args:
        context: of the server.
        submission: whose page it is.
        items: the questions of the page.
        form: what was posted.
        catalogue: the reader's texts.
        point_groups: whether the reader's locale groups digits by points.
    """
    outcome = Outcome()
    form = _Grouped(form.multi_items())
    asked = [item for item in items if item["type"] != "file_upload" and f"r.{item['id']}" in form]
    async with context.saving() as connection:
        answering = await open_answers(
            connection,
            context.caches,
            submission.id,
            [UUID(item["id"]) for item in asked],
            context.settings.max_answers_bytes,
        )
        found = {
            UUID(item["id"]): _find_change(item, form, answering, outcome, catalogue, point_groups)
            for item in asked
        }
        given = {key: answer for key, answer in found.items() if answer is not None}
        for key in await answering.find_too_much(given):
            outcome.errors[str(key)] = [catalogue.text("problem.too_much")]
            outcome.unsaved[str(key)] = given.pop(key)
        await answering.write(given)
    for item in items:
        if item["type"] == "file_upload":
            await _save_files(context, submission, item, form, outcome, catalogue)
    return outcome


def _find_change(
    item: dict[str, Any],
    form: FormData,
    answering: Answering,
    outcome: Outcome,
    catalogue: Catalogue,
    point_groups: bool,
) -> dict[str, Any] | None:
    """The answer to save; None when nothing changed, or it can't be saved."""
    current = answering.saved.get(UUID(item["id"]))
    given: dict[str, Any] = {}
    try:
        given = read_answer(item, form)
        if is_empty(given) and current is None:
            return None
        if item["type"] == "free_text_with_unit" and is_empty(given) and given["unit"] is None and current:
            given["unit"] = current.value["unit"]
        answer = normalise(item, given)
    except Problem:
        outcome.errors[item["id"]] = [_message(item, given, catalogue)]
        if given:
            outcome.unsaved[item["id"]] = given
        return None
    number = answer["value"] if is_number(item, answer) else ""
    chosen = find_chosen(number, text_of(form, f"n.{item['id']}"))
    if chosen is not None:
        answer = {**answer, "value": chosen}
    if current is not None and answer == current.value:
        return None
    if current is not None and answering.is_stale(current.instruction_id, text_of(form, f"r.{item['id']}")):
        other = ", ".join(summarise(item, catalogue, current.value, [])) or catalogue.text("form.no_answer")
        outcome.errors[item["id"]] = [catalogue.text("form.changed_elsewhere", other=other)]
        outcome.unsaved[item["id"]] = answer
        return None
    if chosen is None and is_asked(number, point_groups=point_groups):
        outcome.errors[item["id"]] = [catalogue.text("problem.ambiguous")]
        outcome.unsaved[item["id"]] = answer
        outcome.unclear.add(item["id"])
        return None
    return answer


async def _save_files(
    context: Context,
    submission: SubmissionRow,
    item: dict[str, Any],
    form: FormData,
    outcome: Outcome,
    catalogue: Catalogue,
) -> None:
    for given in form.getlist(f"f.{item['id']}"):
        if not isinstance(given, FormFile) or not (given.filename or given.size):
            continue
        metadata = {"instruction_id": item["id"], "filename": (given.filename or "").replace("\0", "\ufffd")}
        size_bytes = given.size or 0
        try:
            if not given.is_kept:
                raise Problem(TOO_LARGE, "There is no room for this file.")
            created = await uploads.create_upload(
                context, submission.id, submission.study_id, metadata, size_bytes
            )
            try:
                assert created.claim is not None  # it is new, because forms send no key
                await receive_first(context, created.claim, size_bytes, _FileBody(given), checksum=None)
            except BaseException:
                await uploads.remove_upload(context, submission.id, submission.study_id, created.id)
                raise
        except Problem as problem:
            text = _file_message(item, given.filename or "", size_bytes, problem, catalogue)
            outcome.errors.setdefault(item["id"], []).append(text)


def _file_message(
    item: dict[str, Any], name: str, size_bytes: int, problem: Problem, catalogue: Catalogue
) -> str:
    """Why a file was refused, in the words that scripts use before they send it."""
    limit_bytes = item["max_file_size_mb"] * 2**20
    types = item["accepted_file_types"]
    if problem.type is TOO_LARGE:
        key = message("files.too_large") if size_bytes > limit_bytes else message("files.no_room")
    elif problem.type is not UNSUPPORTED_TYPE:
        key = message("files.too_many") if problem.type is CONFLICT else message("files.not_taken")
    elif not uploads.find_accepted(item).admits_name(name):
        key = message("files.wrong_type")
    else:
        key = message("files.wrong_kind") if size_bytes else message("files.empty")
    return catalogue.text(
        key,
        name=name,
        size=catalogue.size(size_bytes),
        max=catalogue.size(limit_bytes),
        type=extension_of(name),
        types=" ".join(types),
        count=item["max_file_count"],
    )


class _Grouped(FormData):
    """A form whose fields are looked up by name. `FormData` would go through all fields for each question."""

    def __init__(self, fields: list[tuple[str, UploadFile | str]]) -> None:
        super().__init__(fields)
        self._values: dict[str, list[UploadFile | str]] = {}
        for name, value in fields:
            self._values.setdefault(name, []).append(value)

    def getlist(self, key: Any) -> list[UploadFile | str]:
        return self._values.get(key, [])


class _FileBody:
    """A file of a posted form, which is read like the body of an upload."""

    def __init__(self, file: UploadFile) -> None:
        self._file = file

    async def read(self) -> bytes | None:
        return await self._file.read(CHUNK_BYTES)
