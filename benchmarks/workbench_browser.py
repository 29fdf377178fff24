"""The same pages in Chromium: how soon they answer to keys, what they weigh, how thousands of pictures scroll by."""

from __future__ import annotations

import shutil
import statistics
from typing import Any

from playwright.sync_api import Page, sync_playwright
from tests.browser.conftest import ARGUMENTS
from tests.installation import Installation

from .fieldwork import Fieldwork
from .machine import describe_load, show

__all__ = ["look"]

TIMES = 7
THUMBNAILS = 60
TILES = 10_000
SCROLL_SECONDS = 20.0

# modules have run when DOMContentLoaded ends; sizes are of what was sent, without pictures
TIMING = """
() => {
  const [page] = performance.getEntriesByType("navigation");
  const parts = performance.getEntriesByType("resource").filter((each) => each.initiatorType !== "img");
  return {
    interactive: page.domContentLoadedEventEnd,
    first: page.responseStart,
    bytes: page.encodedBodySize + parts.reduce((sum, each) => sum + each.encodedBodySize, 0),
  };
}
"""
PICTURES = """
async (paths) => {
  const begun = performance.now();
  await Promise.all(paths.map(async (path) => {
    const picture = new Image();
    picture.src = path;
    await picture.decode();
  }));
  return performance.now() - begun;
}
"""
SCROLL = """
async ([wanted, seconds]) => {
  const tasks = [];
  const watching = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((each) => each.duration)));
  watching.observe({ type: "longtask", buffered: false });
  const last = () => Math.max(-1, ...[...document.querySelectorAll(".tile")].map((tile) => Number(tile.dataset.place)));
  let most = 0, seen = 0, frames = 0, blank = 0;
  const begun = performance.now();
  const height = document.querySelector(".tile").getBoundingClientRect();
  const columns = getComputedStyle(document.querySelector("#tiles")).gridTemplateColumns.split(" ").length;
  const whole = (wanted / columns) * (height.height + 8);
  while (performance.now() - begun < seconds * 1000) {
    await new Promise(requestAnimationFrame);
    scrollTo(0, Math.min(1, (performance.now() - begun) / (seconds * 1000)) * whole);
    frames += 1;
    if (frames % 10 === 0) {
      most = Math.max(most, document.querySelectorAll(".tile").length);
      seen = Math.max(seen, last());
    }
  }
  await new Promise((done) => setTimeout(done, 200));
  watching.disconnect();
  return { nodes: most, seen, frames, longest: Math.max(0, ...tasks), tasks: tasks.length };
}
"""


def look(installation: Installation, work: Fieldwork, submission_id: str) -> dict[str, Any]:
    """Figures of the pages in a real browser, in ms and bytes."""
    base = f"{installation.url}/workbench/collections/{work.collection_id}"
    pages = {
        "home": f"{installation.url}/researcher",
        "overview": base,
        "responses": f"{base}/responses",
        "one response": f"{installation.url}/workbench/submissions/{submission_id}",
        "gallery": f"{base}/gallery",
    }
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    figures: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(f"{installation.url}/sign-in")
        page.get_by_label("Token").fill(installation.token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/researcher*")
        for name, url in pages.items():
            figures[name] = _open(page, url)
        figures["thumbnails"] = _show_thumbnails(page, pages["gallery"])
        figures["scrolling"] = _scroll(page, f"{pages['gallery']}?of={work.questions['photos']}")
        browser.close()
    show(
        f"pages in Chromium ({describe_load()})",
        ["", "interactive", "worst", "first byte", "KB without pictures"],
        [
            [
                name,
                f"{figures[name]['interactive_ms']:.0f} ms",
                f"{figures[name]['worst_ms']:.0f} ms",
                f"{figures[name]['first_byte_ms']:.0f} ms",
                f"{figures[name]['bytes'] / 1000:.0f}",
            ]
            for name in pages
        ],
    )
    scrolling, thumbnails = figures["scrolling"], figures["thumbnails"]
    print(
        f"   {THUMBNAILS} thumbnails: {thumbnails['first_ms']:.0f} ms, again {thumbnails['warm_ms']:.0f} ms;"
        f" {scrolling['seen']:,} of {TILES:,} tiles in {SCROLL_SECONDS:.0f} s: at most {scrolling['nodes']} nodes,"
        f" {scrolling['tasks']} tasks over 50 ms, the longest {scrolling['longest']:.0f} ms"
    )
    return figures


def _open(page: Page, url: str) -> dict[str, float]:
    """The first time everything is brought, after that styles and scripts are there."""
    found = []
    for _ in range(TIMES):
        page.goto(url, wait_until="load")
        found.append(page.evaluate(TIMING))
    interactive = [each["interactive"] for each in found]
    return {
        "interactive_ms": round(statistics.median(interactive), 1),
        "worst_ms": round(max(interactive), 1),
        "first_byte_ms": round(statistics.median(each["first"] for each in found), 1),
        "bytes": found[0]["bytes"],
    }


def _show_thumbnails(page: Page, url: str) -> dict[str, float]:
    page.goto(url, wait_until="load")
    paths = page.evaluate(
        f"() => [...document.querySelectorAll('.tile img')].slice(0, {THUMBNAILS}).map((each) => each.src)"
    )
    assert len(paths) == THUMBNAILS, f"only {len(paths)} thumbnails on the first page of the gallery"
    taken = [page.evaluate(PICTURES, [f"{path}?{turn}" for path in paths]) for turn in (1, 2, 3)]
    warm = [page.evaluate(PICTURES, [f"{path}?{turn}" for path in paths]) for turn in (1, 2, 3)]
    return {"first_ms": round(statistics.median(taken), 1), "warm_ms": round(statistics.median(warm), 1)}


def _scroll(page: Page, url: str) -> dict[str, float]:
    page.goto(url, wait_until="load")
    found: dict[str, float] = page.evaluate(SCROLL, [TILES, SCROLL_SECONDS])
    return found
