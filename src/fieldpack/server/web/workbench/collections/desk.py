"""What is on the page of the editor: a text, what was found in it, and what its form asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from starlette.datastructures import FormData, UploadFile

from fieldpack.documents.yaml_writing import write_yaml
from fieldpack.server.accounts.permissions.authorization import require_somewhere
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.context import Context
from fieldpack.server.http.large import LARGE_BYTES, Researchers, run_large
from fieldpack.server.pictures.forms import read_picture
from fieldpack.server.pictures.references import picture_path
from fieldpack.server.pictures.service import keep_picture
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses.edits.service import Effects
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.collections.drafts import Draft, list_faults, preview_draft, read_draft
from fieldpack.server.web.workbench.collections.fields import form_texts
from fieldpack.server.web.workbench.collections.management import collection_path

__all__ = ["Desk", "digest_of", "read_form", "refuse", "show_desk"]

MOST_SHOWN = 120  # characters of a line that is wrong


@dataclass(frozen=True, slots=True)
class Desk:
    """What is on the page.

    Attributes:
        workspace_id: where the collection is, or is to be.
        collection: what is changed; None for a new one.
        source: the text.
        body: what the text says, where the server has written it; nobody has to read it then.
        version: which version it goes by; 0 for a new one.
        draft: the text as it was read; None where nobody has asked for that yet.
        effects: what saving it would do to answers.
        asks: whether that has to be looked at before it is saved.
        theirs: what somebody else has saved meanwhile, as text.
        view: `form` or `text`: what scripts show.
        picture: the address of the picture that was just uploaded.
        refusal: why something was not done.
        status: of the answer.
    """

    workspace_id: UUID
    collection: CollectionRow | None
    source: str
    body: dict[str, Any] | None = None
    version: int = 0
    draft: Draft | None = None
    effects: Effects = field(default_factory=lambda: Effects([], 0))
    asks: bool = False
    theirs: str = ""
    view: str = "form"
    picture: str = ""
    refusal: str = ""
    status: int = 200


def show_desk(request: Request, caller: Caller, title: str, desk: Desk) -> Response:
    """The page.

    Args:
        title: of the workspace that a new collection is for.
    """
    catalogue = catalogue_of(request)
    draft, row = desk.draft, desk.collection
    lines = desk.source.split("\n")
    given = draft.given if draft is not None else None
    body: Any = desk.body
    if draft is not None:
        body = draft.document.body if draft.document is not None else None
    return render(
        request,
        "editor.html",
        status=desk.status,
        caller=caller,
        collection=row,
        workspace=title,
        base=collection_path(row.id) if row else "",
        desk=desk,
        faults=[
            {
                "line": fault.line,
                "text": lines[min(fault.line, len(lines)) - 1].strip()[:MOST_SHOWN],
                "place": fault.place(catalogue),
                "messages": fault.messages,
            }
            for fault in (draft.faults if draft else ())
        ],
        effects=desk.effects.effects,
        under_way=desk.effects.under_way,
        digest=digest_of(desk.source),
        body=body,
        faults_by_path={
            ".".join(map(str, fault.path)): fault.messages for fault in (draft.faults if draft else ())
        },
        texts=form_texts(catalogue),
        pages=preview_draft(given, catalogue) if given is not None else [],
        task=given.task_details if given is not None else None,
    )


def digest_of(source: str) -> str:
    """Which text it was whose effects somebody has seen."""
    return hashlib.sha256(source.encode()).hexdigest()


async def read_form(
    request: Request, context: Context, caller: Caller, form: FormData, desk: Desk
) -> tuple[str, Desk]:
    """What is to be done, and the page with the text that came, read; a picture that came along is kept.

    Raises:
        Problem: 400 for what nobody can ask for; 403 for whoever may upload no pictures.
    """
    go = text_of(form, "go")
    if go not in ("check", "save", "picture", "load"):
        raise invalid("go", "Unknown action.")
    words = catalogue_of(request)
    source, file = text_of(form, "source"), form.get("file")
    desk = replace(desk, view="text" if text_of(form, "view") == "text" else "form")
    refusal = ""
    if go in ("picture", "load") and not (isinstance(file, UploadFile) and file.size):
        refusal = words.text("editor.no_file")
    elif go == "load" and isinstance(file, UploadFile):
        try:
            source = (await read_picture(file)).decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            refusal = words.text("editor.no_text")
    desk = await _check(context, replace(desk, source=source))
    if text_of(form, "written") == "form" and desk.draft is not None and desk.draft.document is not None:
        # what the form wrote is JSON; whoever goes on with the text gets it as files have it
        desk = await _check(context, replace(desk, source=write_yaml(desk.draft.document.body)))
    if refusal:
        return go, replace(desk, refusal=refusal, status=400)
    if go == "picture" and isinstance(file, UploadFile):
        async with context.database.transaction() as connection:
            await require_somewhere(connection, caller, Action.PICTURES_WRITE, desk.workspace_id)
        try:
            picture_id, _ = await keep_picture(context, caller, desk.workspace_id, await read_picture(file))
        except Problem as problem:
            return go, replace(desk, refusal=views.say_problem(problem), status=problem.type.status)
        desk = replace(desk, picture=picture_path(picture_id), status=200)
    return go, desk


async def _check(context: Context, desk: Desk) -> Desk:
    # always in a thread: a byte of YAML takes as long as many of JSON, and aliases have a few stand for many
    size_bytes = LARGE_BYTES + len(desk.source.encode())
    draft = await run_large(
        context.caches, Researchers, size_bytes, read_draft, desk.source, context.settings
    )
    return replace(desk, draft=draft, status=400 if draft.faults else 200)


def refuse(desk: Desk, problem: Problem) -> Desk:
    """The page with what was refused: beside the lines that it names, or above it all."""
    if problem.type.status not in (400, 409, 413):
        raise problem
    document = desk.draft.document if desk.draft is not None else None
    if isinstance(problem.detail, dict) and document is not None:
        return replace(
            desk, draft=Draft(document, None, list_faults(document, problem)), status=problem.type.status
        )
    return replace(desk, refusal=views.say_problem(problem), status=problem.type.status)
