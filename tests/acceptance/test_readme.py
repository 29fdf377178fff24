"""The README's snippets run as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.installation import Installation, environment

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_curl_flow(server: Installation, tmp_path: Path) -> None:
    """Create, publish, take part, export, poll, download, with curl alone."""
    for program in ("curl", "unzip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    script = re.search(r"<!-- test: curl -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert script is not None
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[1]],
        cwd=tmp_path,
        env=environment(URL=server.url, TOKEN=server.token),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors detected" in done.stdout
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        assert b'"Fine"' in archive.read("responses.jsonl")


def test_command_flow(server: Installation, tmp_path: Path) -> None:
    """Create from the example, publish, export by the command line, open in pandas."""
    root = Path(__file__).parents[2]
    created = server.run("collection", "create", "-t", str(root / "examples" / "collection.yaml"), "--json")
    collection_id = re.findall(r'"id": ?"([^"]+)"', created.stdout)
    import json

    made = json.loads(created.stdout)
    assert made["id"] in collection_id
    pictures = [
        item["url"] for page in made["collection_items"] for item in page["page_items"] if "url" in item
    ]
    assert [url.startswith(f"{server.url}/api/v1/pictures/") for url in pictures] == [True]
    assert httpx.get(pictures[0], trust_env=False).headers["content-type"] == "image/png"
    published = server.run("collection", "publish", made["id"], "-p", "3")
    assert "/participate/" in published.stdout
    target = tmp_path / "export.zip"
    server.run("collection", "export", made["id"], "-o", str(target))
    import fieldpack

    with fieldpack.open_export(target) as export:
        assert len(export.to_pandas()) == 0
