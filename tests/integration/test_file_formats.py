"""Files of many formats through the API: taken or refused, typed as what they are, and sorted by that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson

import fieldpack
from fieldpack.convert.media import write_media
from tests.formats import FORMATS
from tests.integration.test_uploads import Tus
from tests.scenario import Scenario, expect

QUESTIONS = sorted({given.accepted for given in FORMATS})


def item(accepted: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "file_upload",
        "description": " ".join(accepted),
        "accepted_file_types": list(accepted),
        "max_file_count": 20,
        "required": False,
    }


def test_formats(api: httpx.Client, tmp_path: Path) -> None:
    """Every row of the table: accepted or refused as its question says, its type, and its media folder."""
    scenario = Scenario.create(api, *map(item, QUESTIONS))
    participant = scenario.start("p1")
    for given in FORMATS:
        tus = Tus(participant, QUESTIONS.index(given.accepted))
        sent = tus.patch(tus.create(len(given.data), given.name), 0, given.data)
        assert sent.status_code == (204 if given.fits else 415), (given.name, sent.text)
    state = expect(api.get(participant.path, headers=participant.headers), 200)
    found = {file["file_name"]: (file["content_type"], file["status"]) for file in state["files"]}
    assert found == {given.name: (given.content_type, "complete") for given in FORMATS if given.fits}
    participant.submit()
    (tmp_path / "export.zip").write_bytes(scenario.download())
    with fieldpack.open_export(tmp_path / "export.zip") as export:
        written = write_media(export, tmp_path / "media")
    kept = [given for given in FORMATS if given.fits]
    for medium in ("image", "audio", "video"):
        lines = (tmp_path / "media" / medium / "metadata.jsonl").read_text().splitlines()
        names = {orjson.loads(line)["original_name"] for line in lines}
        assert names == {given.name for given in kept if given.medium == medium}
    others = sum(given.medium is None for given in kept)
    assert f"{others} files are neither image, audio nor video" in written.warnings[0]
