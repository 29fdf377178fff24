"""The demo's participants: plausible answers to any collection, and photos that they draw."""

from __future__ import annotations

import asyncio
import base64
import io
import random
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image, ImageDraw

__all__ = ["Person", "make_people"]

SENTENCES = (
    "Went quicker than I thought, the bins are right by the door.",
    "Honestly a bit confusing: some labels say one thing and the city's website another.",
    "We rinse everything first, which takes about five minutes.",
    "Nothing special this week.",
    "My flatmate did most of it – I only took the photos.",
    "It was fine. The paper container was full again, so part of it is still in the hall.",
    "Très simple, merci !",
    "昨日の分だけです。",
    "I never know where the coffee capsules go…",
    'The shop calls it "compostable", the sorting plant does not.',
)
EXPLANATIONS = (
    "Because it is the closest one.",
    "We always did it like this.",
    "The label said so.",
    "Only when we have guests.",
    "Price, mostly.",
    "=SUM(A1:A9) is what my spreadsheet would say",
)
FILE_NAMES = (
    "IMG_{n:04d}.JPG",
    "receipt.jpg",
    "Foto {n}.jpg",
    "küche-{n}.png",
    "scan {n}.png",
    "PXL_{n:06d}.jpg",
)
PAPER = ((246, 243, 232), (235, 238, 240), (250, 248, 245), (228, 224, 210))
INKS = ((40, 44, 52), (70, 50, 40), (20, 60, 90), (120, 30, 40))
CHUNK_BYTES = 256 * 1024


def make_people(count: int) -> list[Person]:
    """`count` different people, always the same ones."""
    return [Person(number, random.Random(number)) for number in range(count)]


@dataclass
class Person:
    """One participant."""

    number: int
    dice: random.Random

    async def take_part(self, http: httpx.AsyncClient, study_id: str, *, returns: bool) -> str:
        """Start, answer, upload, and submit or return; the submission's id."""
        started = await http.post(
            f"/participate/studies/{study_id}/submissions",
            json={
                "participant_id": f"participant-{self.number:04d}",
                "session_id": f"session-{self.number:04d}",
            },
        )
        started.raise_for_status()
        state = started.json()
        path = f"/participate/submissions/{state['submission_id']}"
        headers = {"Authorization": f"Bearer {state['token']}"}
        for page in state["collection"]["collection_items"]:
            answers = {}
            for item in page["page_items"]:
                if not item.get("required", True) and self.dice.random() < 0.4:
                    continue
                if item["type"] == "file_upload":
                    await self._upload(http, path, headers, item)
                elif (answer := self._answer(item)) is not None:
                    answers[item["id"]] = answer
            saved = await http.put(f"{path}/answers", json=answers, headers=headers)
            saved.raise_for_status()
        ended = await http.post(f"{path}/{'return' if returns else 'submit'}", headers=headers)
        ended.raise_for_status()
        submission_id: str = state["submission_id"]
        return submission_id

    def _answer(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """A value of the item's own shape; None for content."""
        match item["type"]:
            case "free_text":
                return {"value": self._text(item.get("validation"))}
            case "free_text_with_unit":
                unit = self.dice.choice(item["unit_options"])
                rule = (
                    unit.get("validation")
                    or item.get("validation")
                    or {"type": "number", "min": 0, "max": 20}
                )
                return {"value": self._text(rule), "unit": unit["value"]}
            case "multiple_choice":
                return {"value": [option["value"] for option in self._choose(item)]}
            case "multiple_choice_with_free_text":
                return {
                    "value": [
                        {"value": option["value"], "explanation": self.dice.choice(EXPLANATIONS)}
                        for option in self._choose(item)
                    ]
                }
        return None

    def _text(self, rule: dict[str, Any] | None) -> str:
        if rule is not None and rule["type"] == "number":
            low = rule["min"] if rule.get("min") is not None else 0
            high = rule["max"] if rule.get("max") is not None else low + 30
            spread = min(high - low, 30)
            return f"{low + spread * self.dice.betavariate(2, 3):.1f}".removesuffix(".0")
        text = self.dice.choice(SENTENCES)
        if rule is not None:
            while len(text) < (rule.get("min") or 0):
                text += " " + self.dice.choice(SENTENCES)
            text = text[: int(rule["max"])] if rule.get("max") is not None else text
        return text

    def _choose(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """One or several options, the first ones more often."""
        options = item["options"]
        limit = len(options) if item["answer_limit"] == -1 else item["answer_limit"]
        wanted = min(1 + int(self.dice.expovariate(0.9)), limit)
        weights = [1 / (place + 1.5) for place in range(len(options))]
        chosen: list[dict[str, Any]] = []
        while len(chosen) < wanted:
            option = self.dice.choices(options, weights)[0]
            if option.get("exclusive"):
                return chosen or [option]
            if option not in chosen:
                chosen.append(option)
        return chosen

    async def _upload(
        self, http: httpx.AsyncClient, path: str, headers: dict[str, str], item: dict[str, Any]
    ) -> None:
        """Draw photos and send them by tus, the first chunk with what announces them."""
        most = min(item["max_file_count"], item["min_file_count"] + 2)
        tus = {**headers, "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
        for _ in range(self.dice.randint(item["min_file_count"], most)):
            name, data = await asyncio.to_thread(self._draw, item["accepted_file_types"])
            fields = {
                "instruction_id": item["id"],
                "filename": name,
                "key": f"{self.dice.getrandbits(128):032x}",
            }
            metadata = ",".join(
                f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items()
            )
            sent = await http.post(
                f"{path}/uploads",
                content=data[:CHUNK_BYTES],
                headers={**tus, "Upload-Length": str(len(data)), "Upload-Metadata": metadata},
            )
            sent.raise_for_status()
            url = sent.url.join(sent.headers["Location"])
            while (offset := int(sent.headers["Upload-Offset"])) < len(data):
                sent = await http.patch(
                    url,
                    content=data[offset : offset + CHUNK_BYTES],
                    headers={**tus, "Upload-Offset": str(offset)},
                )
                sent.raise_for_status()

    def _draw(self, accepted: list[str]) -> tuple[str, bytes]:
        """A picture of a receipt, more or less; its name and bytes."""
        width, height = self.dice.choice(((360, 480), (420, 560), (480, 360)))
        picture = Image.new("RGB", (width, height), self.dice.choice(PAPER))
        draw = ImageDraw.Draw(picture)
        ink = self.dice.choice(INKS)
        draw.text((30, 24), f"RECEIPT No {self.number:05d}", fill=ink, font_size=22)
        total = 0.0
        for line in range(self.dice.randint(4, (height - 160) // 34)):
            price = round(self.dice.uniform(0.4, 19.9), 2)
            total += price
            what = self.dice.choice(
                ("Milk", "Bread", "Apples", "Rice", "Soap", "Coffee", "Pasta", "Tea", "Eggs")
            )
            draw.text((30, 76 + 34 * line), what, fill=ink, font_size=18)
            draw.text((width - 130, 76 + 34 * line), f"{price:8.2f}", fill=ink, font_size=18)
        draw.text((30, height - 60), f"TOTAL  {total:.2f}", fill=ink, font_size=22)
        picture = picture.rotate(self.dice.uniform(-4, 4), fillcolor=(90, 84, 78))
        names = [name for name in FILE_NAMES if name[name.rindex(".") :].lower() in accepted] or ["photo.jpg"]
        name = self.dice.choice(names).format(n=self.dice.randint(1, 9999))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG" if name.endswith(".png") else "JPEG", quality=82)
        return name, buffer.getvalue()
