"""Pages as a browser gets them, without running scripts: what they say, in which status."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from tests.scenario import Participant, Scenario, expect

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def page(api: httpx.Client, path: str, **headers: str) -> httpx.Response:
    """A page of the server, as browsers ask for it."""
    root = str(api.base_url).removesuffix("/api/v1/")
    return httpx.get(root + path, headers={"Accept": BROWSER, **headers}, trust_env=False)


def words(answer: httpx.Response) -> str:
    """What a page says."""
    assert answer.headers["content-type"].startswith("text/html"), answer.text
    text = re.sub(r"<(script|style|title)\b.*?</\1>|<[^>]*>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(text)).strip()


def hand_in(scenario: Scenario) -> Participant:
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    return participant


LEFT = "One thing is left to do"
NOTHING = "There is nothing left to do."


@pytest.mark.parametrize(
    ("code", "url"),
    [("CODE1", ""), ("CODE1", "https://example.org/?cc=CODE1"), (None, ""), (None, "https://example.org/")],
)
@pytest.mark.parametrize("again", [False, True])
def test_the_last_page_says_one_thing(api: httpx.Client, code: str | None, url: str, again: bool) -> None:
    codes: list[dict[str, Any]] = [{"code": code, "code_type": "COMPLETED", "actions": []}]
    participant = hand_in(Scenario.create(api, completion_codes=codes, completion_url=url))
    done = page(api, f"{participant.path}/done{'?already=1' if again else ''}", **participant.headers)
    assert done.status_code == 200
    said = words(done)
    assert "None" not in said
    main = done.text.partition("<main")[2]
    if code is None and not url:
        assert NOTHING in said
        assert LEFT not in said
        assert "code" not in said.lower().replace("skip to the content", "")
        return
    assert f"<h1>{LEFT}</h1>" in main
    assert NOTHING not in said
    assert "nothing" not in said.lower()
    # what is left comes right after the heading
    after = main.partition("</h1>")[2].strip()
    assert after.startswith(
        f'<p class="code" id="code">{code}</p>' if code else '<p><a class="button primary"'
    )
    assert (f'href="{url}"' in main) == bool(url)
