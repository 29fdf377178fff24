"""What participants send, as their page does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from tests.scenario import FREE_TEXT, PNG

from .wire import Answer, Wire

__all__ = [
    "ITEMS",
    "PHOTO_BYTES",
    "Person",
    "ask_start",
    "make_photo",
    "save",
    "send_photo",
    "start",
    "take_part",
]

PHOTO_BYTES = 20 * 1024
ITEMS: list[dict[str, Any]] = [
    FREE_TEXT,
    {**FREE_TEXT, "description": "Anything else?"},
    {
        "type": "multiple_choice",
        "description": "Again?",
        "options": [{"label": name, "value": name} for name in ("yes", "no")],
    },
    {
        "type": "file_upload",
        "description": "A photo",
        "accepted_file_types": [".png"],
        "max_file_count": 10_000,
    },
]
API = "/api/v1"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
JSON = {"Content-Type": "application/json"}


@dataclass
class Person:
    """A submission under way."""

    path: str
    headers: dict[str, str]
    items: list[str]


async def ask_start(wire: Wire, study_id: str) -> Answer:
    """Ask for a place, as somebody who was never here."""
    name = uuid4().hex
    body = orjson.dumps({"participant_id": name, "session_id": name})
    return await wire.ask("POST", f"{API}/participate/studies/{study_id}/submissions", JSON, body)


async def start(wire: Wire, study_id: str) -> Person:
    """Start; who is asked to come again does, when that was said."""
    answer = await ask_start(wire, study_id)
    while answer.status == 503:
        await asyncio.sleep(float(answer.header("Retry-After")))
        answer = await ask_start(wire, study_id)
    state = answer.require(201).json()
    items = [item["id"] for item in state["collection"]["collection_items"][0]["page_items"]]
    path = f"{API}/participate/submissions/{state['submission_id']}"
    return Person(path, {"Authorization": f"Bearer {state['token']}"}, items)


async def save(wire: Wire, person: Person, number: int, value: Any) -> None:
    """One answer, written over whatever is there."""
    path = f"{person.path}/answers/{person.items[number]}"
    (await wire.ask("PUT", path, {**person.headers, **JSON}, orjson.dumps({"value": value}))).require(200)


def make_photo(size_bytes: int) -> bytes:
    """A file of its own."""
    return PNG + hashlib.shake_128(uuid4().bytes).digest(size_bytes - len(PNG))


async def send_photo(
    wire: Wire, person: Person, size_bytes: int = PHOTO_BYTES, *, at_once: bool = True
) -> None:
    """A file: in one request, or as pages of earlier versions sent it, created first."""
    data = make_photo(size_bytes)
    fields = {"instruction_id": person.items[3], "filename": "a.png", "key": uuid4().hex}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())
    headers = {**person.headers, "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
    if at_once:
        made = await wire.ask("POST", f"{person.path}/uploads", {**headers, **BYTES}, data)
        assert made.require(201).header("Upload-Offset") == str(len(data))
        return
    made = await wire.ask("POST", f"{person.path}/uploads", {**headers, **TUS})
    where = made.require(201).header("Location")
    (await wire.ask("PATCH", where, {**person.headers, **BYTES, "Upload-Offset": "0"}, data)).require(204)


async def take_part(wire: Wire, study_id: str, photo_bytes: int, *, at_once: bool) -> None:
    """A whole submission as the page sends it: start, answers together, a photo, submit.

    Args:
        at_once: several answers, and a file, are one request each; else as pages of earlier versions did it.
    """
    person = await start(wire, study_id)
    values: list[Any] = ["Fine", "No", ["yes"]]
    if at_once:
        answers = {person.items[n]: {"value": value, "revision": 0} for n, value in enumerate(values)}
        headers = {**person.headers, **JSON}
        (await wire.ask("PUT", f"{person.path}/answers", headers, orjson.dumps(answers))).require(200)
    else:
        for number, value in enumerate(values):
            await save(wire, person, number, value)
    await send_photo(wire, person, photo_bytes, at_once=at_once)
    (await wire.ask("POST", f"{person.path}/submit", person.headers)).require(200)
