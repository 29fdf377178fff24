"""Make an example archive: 240 made-up people say how they sleep, and photograph where.

Run `python examples/make_archive.py sleep.zip`, then try `fieldpack inspect sleep.zip`. Everything is drawn
from a fixed seed, so the archive is the same each time. With Pillow installed it holds little pictures.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SUBMISSIONS = 240
START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)

QUESTIONS: list[dict[str, Any]] = [
    {
        "type": "multiple_choice",
        "description": "How did you sleep last night?",
        "answer_limit": 1,
        "options": [
            {"value": 5, "label": "Very well"},
            {"value": 4, "label": "Well"},
            {"value": 3, "label": "So-so"},
            {"value": 2, "label": "Badly"},
            {"value": 1, "label": "Very badly"},
        ],
    },
    {
        "type": "free_text_with_unit",
        "description": "How long did you sleep?",
        "unit_position": "suffix",
        "unit_options": [{"value": "h", "label": "hours"}],
        "validation": {"type": "number", "min": 0, "max": 24},
    },
    {
        "type": "multiple_choice",
        "description": "What kept you awake?",
        "answer_limit": -1,
        "options": [
            {"value": "noise", "label": "Noise"},
            {"value": "light", "label": "Light"},
            {"value": "heat", "label": "Heat"},
            {"value": "thoughts", "label": "Thoughts"},
            {"value": "none", "label": "Nothing", "exclusive": True},
        ],
    },
    {
        "type": "multiple_choice_with_free_text",
        "description": "Would you change your bedroom?",
        "answer_limit": 1,
        "options": [
            {"value": "yes", "label": "Yes", "heading": "What would you change?"},
            {"value": "no", "label": "No", "heading": "Why not?"},
        ],
    },
    {"type": "free_text", "description": "Describe your pillow in a few words.", "required": False},
    {
        "type": "file_upload",
        "description": "Please photograph your pillow.",
        "accepted_file_types": [".jpg", ".png"],
        "max_file_size_mb": 25,
        "min_file_count": 1,
        "max_file_count": 2,
        "required": False,
    },
]
REASONS = {
    "yes": ["Thicker curtains", "Ein neues Fenster", "Less noise from the street", "A better mattress"],
    "no": ["It is fine as it is", "I like it", "We are moving soon"],
}
PILLOWS = [
    "Soft and old",
    "Memory foam, rather flat",
    "Buckwheat hulls",
    "Two thin ones",
    "Feather – too warm",
]
PILLOWS += ["Из гречки", "Firm", "I don't use one"]


def make_picture(random_: random.Random) -> bytes | None:
    """A pillow, of sorts; None without Pillow the library."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        return None
    hue = random_.randrange(360)
    image = Image.new("RGB", (320, 240), f"hsl({(hue + 180) % 360}, 25%, 35%)")
    draw = ImageDraw.Draw(image)
    left, top = random_.randrange(20, 60), random_.randrange(30, 70)
    draw.rounded_rectangle((left, top, 320 - left, 240 - top), 40, f"hsl({hue}, 45%, 80%)")
    for _ in range(3):
        y = random_.randrange(top + 20, 220 - top)
        draw.line((left + 30, y, 290 - left, y + random_.randrange(-12, 12)), f"hsl({hue}, 35%, 65%)", 4)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=70)
    return out.getvalue()


def make_submissions(ids: list[str], files: dict[str, bytes]) -> Iterator[dict[str, Any]]:
    """Yield the lines of responses.jsonl, and put the pictures into `files`."""
    random_ = random.Random(20260302)
    at = START
    for _ in range(SUBMISSIONS):
        at += timedelta(minutes=random_.expovariate(1 / 80))
        submission_id = str(uuid.UUID(int=random_.getrandbits(128)))
        hours = min(11.0, max(3.0, random_.gauss(7.1, 1.2)))
        quality = min(5, max(1, round(hours - 3.6 + random_.gauss(0, 0.8))))
        change = "yes" if random_.random() < (0.75 if quality < 3 else 0.3) else "no"
        causes = random_.sample(["noise", "light", "heat", "thoughts"], random_.randrange(1, 3))
        values: list[dict[str, Any] | None] = [
            {"value": [quality]},
            {"value": f"{hours:.1f}", "unit": "h"},
            {"value": ["none"] if quality > 3 and random_.random() < 0.7 else causes},
            {"value": [{"value": change, "explanation": random_.choice(REASONS[change])}]},
            {"value": random_.choice(PILLOWS)} if random_.random() < 0.85 else None,
            None,
        ]
        picture = make_picture(random_) if random_.random() < 0.35 else None
        if picture is not None:
            path = f"files/{submission_id}_pillow.jpg"
            files[path] = picture
            digest = hashlib.sha256(picture).hexdigest()
            entry = {"path": path, "file_name": "pillow.jpg", "content_type": "image/jpeg"}
            values[5] = {"value": [{**entry, "size_bytes": len(picture), "sha256": digest}]}
        yield {
            "submission_id": submission_id,
            "participant_id": f"{random_.getrandbits(96):024x}",
            "study_id": "69a55e2f0000000000000001",
            "status": "APPROVED" if random_.random() < 0.9 else "AWAITING REVIEW",
            "started_at": say_time(at - timedelta(seconds=random_.lognormvariate(5.3, 0.5))),
            "completed_at": say_time(at),
            "responses": {
                key: {"type": item["type"], **value}
                for key, item, value in zip(ids, QUESTIONS, values, strict=True)
                if value is not None
            },
        }


def say_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def make_archive(path: Path) -> None:
    """Write the archive."""
    ids = [str(uuid.uuid5(uuid.NAMESPACE_URL, item["description"])) for item in QUESTIONS]
    files: dict[str, bytes] = {}
    lines = [json.dumps(line, ensure_ascii=False) for line in make_submissions(ids, files)]
    collection = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, "sleep")),
        "name": "Sleep and pillows",
        "description": "How people sleep, and what they sleep on.",
        "workspace_id": "69a55e2f0000000000000002",
        "schema_version": 1,
        "created_at": say_time(START - timedelta(days=3)),
        "task_details": {"task_name": "Sleep", "task_introduction": "", "task_steps": ""},
        "export": {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, "export")), "filter": None,
                   "created_at": say_time(START + timedelta(days=16)),
                   "submission_count": len(lines), "file_count": len(files)},
        "instructions": [{"id": key, **item, "page": 1 + number // 3, "order": number % 3, "retired": False}
                         for number, (key, item) in enumerate(zip(ids, QUESTIONS, strict=True))],
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            ("responses.jsonl", "".join(line + "\n" for line in lines).encode()),
            ("collection.json", json.dumps(collection, ensure_ascii=False, indent=2).encode()),
            ("README.md", b"# Sleep and pillows\n\nMade by examples/make_archive.py.\n"),
            *files.items(),
        ):
            info = zipfile.ZipInfo(name, (2026, 3, 18, 7, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name.startswith("files/") else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


if __name__ == "__main__":
    make_archive(Path(sys.argv[1] if len(sys.argv) > 1 else "sleep.zip"))
