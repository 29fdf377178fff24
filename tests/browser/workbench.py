"""A collection with responses that look like real ones, and the screens of the workbench that show it."""

from __future__ import annotations

import io
from typing import Any

import httpx
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from tests.installation import Installation
from tests.scenario import Scenario, expect

ITEMS: list[dict[str, Any]] = [
    {"type": "free_text", "description": "What did you throw away?", "required": False},
    {
        "type": "multiple_choice",
        "description": "Where did it go?",
        "required": False,
        "answer_limit": 1,
        "options": [{"label": each, "value": each} for each in ("Recycling", "Compost", "Landfill")],
    },
    {
        "type": "free_text_with_unit",
        "description": "How heavy was it?",
        "required": False,
        "unit_options": [{"label": "Grams", "value": "g"}],
        "unit_position": "suffix",
        "validation": {"type": "number"},
    },
    {"type": "file_upload", "description": "A photo of it", "required": False},
]
Items = list[dict[str, Any]]


def written(items: Items, mark: str) -> Items:
    """The same questions with `mark` after each text that people read."""
    return [
        {
            **item,
            "description": f"{item['description']}{mark}",
            **{
                key: [{**option, "label": f"{option['label']}{mark}"} for option in item[key]]
                for key in ("options", "unit_options")
                if key in item
            },
        }
        for item in items
    ]


WHAT = ("A glass jar", "Peel of two oranges", "A torn shirt", "Cardboard, folded", "Tea leaves")
COLOURS = ("#7a9e7e", "#d08c60", "#5b7c99", "#b0a18a")


def photo(number: int) -> bytes:
    """A JPEG that is another one for each number."""
    image = Image.new("RGB", (640, 480), COLOURS[number % len(COLOURS)])
    ImageDraw.Draw(image).ellipse((80 + 20 * (number % 9), 60, 400 + 20 * (number % 9), 380), fill="#f2eee6")
    made = io.BytesIO()
    image.save(made, "JPEG")
    return made.getvalue()


class Filled:
    """A collection with responses in every state.

    Args:
        count: how many were submitted; one more is under way.
        mark: what every text of a researcher or a participant ends with.
    """

    def __init__(self, api: httpx.Client, count: int = 12, mark: str = "") -> None:
        self.scenario = Scenario.create(
            api, *written(ITEMS, mark), places=200, name=f"Study{mark}", internal_name=f"Inside{mark}"
        )
        page = self.scenario.collection["collection_items"][0]["page_items"]
        text, where, weight, picture = (item["id"] for item in page)
        self.ids: list[str] = []
        for number in range(count):
            participant = self.scenario.start(f"64f1c2{number:02}")
            expect(participant.answer(text, {"value": WHAT[number % len(WHAT)] + mark}), 200)
            options = ITEMS[1]["options"]
            expect(participant.answer(where, {"value": [options[number % 3]["value"]]}), 200)
            expect(participant.answer(weight, {"value": f"{40 + 35 * number}", "unit": "g"}), 200)
            if number % 4 != 3:
                participant.upload(picture, f"photo {number}{mark[:100]}.jpg", photo(number))
            participant.submit()
            self.ids.append(participant.submission_id)
        self.scenario.start("64f1c299")
        withdrawn = self.scenario.take_part("64f1c298", f"Nothing at all{mark}")
        expect(api.delete(f"/submissions/{withdrawn}"), 204)
        approve = f"/submissions/{self.ids[0]}/transition"
        expect(api.post(approve, json={"action": "APPROVE"}), 200)
        body = {
            "action": "REJECT",
            "rejection_category": "OTHER",
            "message": "The photo shows something else than was asked for, so that it can't be used here."
            + mark,
        }
        expect(api.post(f"/submissions/{self.ids[1]}/transition", json=body), 200)
        expect(
            api.post(f"/submissions/{self.ids[2]}/notes", json={"text": f"Looks like the jar of 07.{mark}"}),
            201,
        )
        correction = {
            "instruction_id": text,
            "answer": {"value": f"A torn shirt, and its buttons{mark}"},
            "reason": f"Told by phone the day after.{mark}",
        }
        expect(api.post(f"/submissions/{self.ids[2]}/corrections", json=correction), 201)
        self.export_id = self.scenario.export()["export_id"]

    @property
    def screens(self) -> dict[str, str]:
        """Paths of the pages, by a name."""
        collection = self.scenario.collection
        inside = f"/workbench/collections/{collection['id']}"
        workspace = f"/workbench/workspaces/{collection['workspace_id']}"
        return {
            "home": "/researcher",
            "editor": f"{inside}/edit",
            "editor-new": f"{workspace}/collections/new",
            "manage": f"{inside}/manage",
            "overview": inside,
            "responses": f"{inside}/responses?sort=-duration",
            "gallery": f"{inside}/gallery",
            "exports": f"{inside}/exports?state=APPROVED",
            "export": f"/researcher/collections/{collection['id']}/exports/{self.export_id}",
            "response": f"/workbench/submissions/{self.ids[2]}",
            "history": f"/workbench/submissions/{self.ids[0]}/history",
            "erase": f"/workbench/submissions/{self.ids[2]}/erase",
            "erase-many": f"{inside}/erase?state=REJECTED",
            "erasures": f"{inside}/erasures",
            "study": f"/workbench/studies/{self.scenario.study['id']}",
            "study-new": f"{inside}/studies/new",
            "members": f"{workspace}/members",
            "administration": "/workbench/administration",
            "style": "/workbench/style",
            "invitations": f"/researcher/workspaces/{collection['workspace_id']}/invitations",
            "audit": f"{workspace}/audit",
            "hooks": f"{workspace}/hooks",
        }


def sign_in(page: Page, server: Installation) -> None:
    """With the token of the installation."""
    page.goto(f"{server.url}/sign-in")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/researcher")
