"""Makes the pictures of the pages in docs/images: `python -m tests.browser.screenshots [participants] [researchers]`.

Every page and state, on a desktop and on a phone; some of them dark.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.visitor import (
    DESKTOP,
    PHONE,
    PHOTO,
    ROOT,
    Faults,
    add,
    example_body,
    fill_first_page,
    go_on,
    here,
    link,
    open_context,
    origin,
    publish,
    publish_example,
    question,
    ready,
    start,
)
from tests.browser.workbench import Filled, sign_in
from tests.browser.workbench_states import STATES
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.scenario import Scenario

FOLDER = ROOT / "docs" / "images"
COLOURS = 64
LONG_SCREENS = ("audit", "hooks", "lightbox")
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"


def jpeg() -> bytes:
    """The example's picture, as a phone takes it."""
    made = io.BytesIO()
    Image.open(PHOTO).convert("RGB").save(made, "JPEG")
    return made.getvalue()


class Camera:
    """Takes pictures of a page under the name of a device."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = device
        self.folder = folder

    def take(self, page: Page, name: str, *, whole: bool = True) -> None:
        page.wait_for_load_state()
        page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        page.wait_for_timeout(250)
        image = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
        if image.height > 2400:
            image = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
        reduced = image.quantize(COLOURS, dither=Image.Dither.NONE)
        path = self.folder / f"pages-{name}-{self.device}.png"
        reduced.save(path, optimize=True)
        print(f"{path.relative_to(ROOT)} {path.stat().st_size // 1024} KB")


def take_walk(page: Page, camera: Camera, study: Scenario) -> None:
    """From the link to the code."""
    page.goto(link(study, "64f1c2"))
    camera.take(page, "start")
    page.get_by_role("button", name="Start").click()
    ready(page)
    go_on(page)
    camera.take(page, "missing")
    fill_first_page(page)
    page.locator("#saving.done").wait_for()
    camera.take(page, "questions")
    go_on(page)
    here(page).locator("figure img").wait_for()
    add(page, "photo of the receipt", ("notes.txt", "text/plain", b"notes"))
    camera.take(page, "refused")
    add(page, "photo of the receipt", ("receipt.jpg", "image/jpeg", jpeg()))
    here(page).get_by_label("Recycled", exact=True).check()
    here(page).get_by_label("What did you recycle, and where?").fill("Glass and paper, at the corner")
    question(page, "packaging weigh").get_by_role("textbox").fill("350")
    add(page, "film the packaging", ("packaging.png", "image/png", PHOTO.read_bytes()))
    here(page).locator(".file.done").nth(1).wait_for()
    camera.take(page, "files")
    go_on(page)
    camera.take(page, "review")
    page.get_by_role("link", name="Leave the study").click()
    camera.take(page, "leave")
    page.go_back()
    ready(page)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/done")
    camera.take(page, "done")
    page.goto(link(study, "64f1c2"))
    camera.take(page, "already")


def take_trouble(page: Page, camera: Camera, study: Scenario, server: Installation, folder: Path) -> None:
    """An upload without a network, two tabs, and time that is up."""
    start(page, link(study, "77ab01"))
    fill_first_page(page)
    page.locator("#saving.done").wait_for()
    other = page.context.new_page()
    other.goto(link(study, "77ab01"))
    ready(other)
    here(page).get_by_label("Online").check()
    page.wait_for_timeout(900)
    question(other, "Where did you").get_by_label("Supermarket").check()
    question(other, "Where did you").locator(".conflict").wait_for()
    other.locator(".conflict").scroll_into_view_if_needed()
    camera.take(other, "two-tabs")
    other.close()
    go_on(page)
    film = folder / "packaging.mp4"
    film.write_bytes(FILM + bytes(60 << 20))
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {"latency": 20, "downloadThroughput": -1, "uploadThroughput": 4 << 20}
    session.send("Network.emulateNetworkConditions", {"offline": False, **slow})
    question(page, "film the packaging").locator(".files-input").set_input_files(film)
    page.wait_for_timeout(5000)
    camera.take(page, "uploading")
    session.send("Network.emulateNetworkConditions", {"offline": True, **slow})
    page.context.set_offline(True)
    question(page, "anything else").get_by_role("textbox").fill("In a tunnel")
    page.wait_for_timeout(1500)
    camera.take(page, "offline")
    page.context.set_offline(False)
    session.send("Network.emulateNetworkConditions", {"offline": False, **slow})
    with connected(server) as connection:
        connection.execute(
            "UPDATE submissions SET deadline_at = now() - interval '1 minute' WHERE participant_id = '77ab01'"
        )
    page.goto(page.url)
    ready(page)
    camera.take(page, "late", whole=False)
    page.context.clear_cookies()
    page.goto(page.url)
    camera.take(page, "key-lost")


def take_states(page: Page, camera: Camera, api: httpx.Client) -> None:
    """Where there is nothing to do."""

    def show(name: str, url: str) -> None:
        page.goto(url)
        camera.take(page, name)

    show("unpublished", link(publish(api, example_body(), publish=False), "a"))
    for action, name in (("PAUSE", "paused"), ("STOP", "closed")):
        study = publish_example(api)
        api.post(f"/studies/{study.study['id']}/transition", json={"action": action})
        show(name, link(study, "a"))
    full = publish_example(api, places=1)
    taken = full.start("someone")
    show("full", link(full, "a"))
    show("unknown", f"{origin(full)}/participate/unknown")
    api.post(f"{taken.path}/return", headers=taken.headers)
    show("ask-id", link(full, None))
    start(page, link(full, "b"))
    page.get_by_role("link", name="Leave the study").click()
    page.get_by_role("button", name="Leave, and").click()
    camera.take(page, "returned")
    signed = publish_example(api, resume="signed")
    show("signed-link", link(signed, "a"))


def take_code(page: Page, camera: Camera, study: Scenario, other: Page) -> None:
    """Where the code to go on with is shown, and where it is asked for."""
    start(page, link(study, "ada", None))
    camera.take(page, "with-code", whole=False)
    page.get_by_role("link", name="Continue later").click()
    camera.take(page, "later")
    other.goto(link(study, "ada", None))
    camera.take(other, "code")


def take_researcher(page: Page, camera: Camera, server: Installation, study: Scenario) -> None:
    """Signing in, the list, the preview, an export."""
    page.goto(f"{origin(study)}/researcher")
    camera.take(page, "sign-in")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    camera.take(page, "researcher", whole=False)
    preview = f"{origin(study)}/data-collection-tool/collections/{study.collection['id']}?preview=true"
    page.goto(f"{preview}&step=1")
    ready(page)
    camera.take(page, "preview", whole=False)
    page.goto(f"{origin(study)}/researcher")
    page.locator(f"form[action$='{study.collection['id']}/export'] button").click()
    page.get_by_role("link", name="Download the archive").wait_for(timeout=60_000)
    camera.take(page, "export")


def take_account(page: Page, camera: Camera, server: Installation) -> None:
    """An invitation followed, a password and a second factor set up, and signing in with them."""
    with server.client() as api:
        workspace = api.get("/workspaces").json()["results"][0]["id"]
        path = f"/workspaces/{workspace}/invitations"
        link = api.post(path, json={"role": "reviewer"}).json()["url"]
    email = f"bo-{camera.device}@example.org"
    page.goto(link)
    camera.take(page, "invitation")
    page.get_by_label("Your name").fill("Bo Li")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Accept").click()
    page.get_by_label("New password").fill("wide ochre lantern")
    page.get_by_label("The same once more").fill("wide ochre lantern")
    page.get_by_role("button", name="Set a password").click()
    page.get_by_role("link", name="Set up a second factor").click()
    camera.take(page, "second-factor")
    page.goto(f"{server.url}/researcher/account")
    camera.take(page, "account")
    page.get_by_role("button", name="Sign out").first.click()
    page.goto(f"{server.url}/sign-in")
    camera.take(page, "sign-in-password")
    page.goto(server.run("open", "--print", "--researcher", email).stdout.strip())
    camera.take(page, "sign-in-once")


def take_workbench(page: Page, camera: Camera, server: Installation, filled: Filled) -> None:
    """Every screen of the workbench; the overview right to left as well."""
    sign_in(page, server)
    for name, path in filled.screens.items():
        page.goto(f"{server.url}{path}")
        # an overview goes on listening
        page.wait_for_load_state("load" if name == "overview" else "networkidle")
        camera.take(page, f"workbench-{name}", whole=name not in LONG_SCREENS)
    page.on("dialog", lambda dialog: dialog.accept())  # leaving what was not saved
    for name, visit in STATES.items():
        visit(page, server.url, filled)
        camera.take(page, f"workbench-{name}", whole=name not in LONG_SCREENS)
    page.goto(f"{server.url}{filled.screens['overview']}")
    page.evaluate("document.documentElement.dir = 'rtl'")
    camera.take(page, "workbench-right-to-left")


DEVICES: dict[str, dict[str, Any]] = {
    "desktop": DESKTOP,
    "phone": PHONE,
    "phone-dark": {**PHONE, "color_scheme": "dark"},
}


def take_participants(browser: Browser, faults: Faults, server: Installation) -> None:
    """What participants see, and a researcher at first."""
    with server.client() as api:
        for device, options in DEVICES.items():
            context = open_context(browser, faults, **options, timezone_id="Europe/Berlin")
            page = context.new_page()
            camera = Camera(device, FOLDER)
            own = publish_example(api, places=120, estimated_completion_time=10, maximum_allowed_time=60)
            take_walk(page, camera, own)
            if not device.endswith("dark"):
                take_trouble(page, camera, own, server, server.data_dir.parent)
                take_states(page, camera, api)
                elsewhere = open_context(browser, faults, **options)
                take_code(page, camera, own, elsewhere.new_page())
                elsewhere.close()
                take_researcher(page, camera, server, own)
            context.close()


def take_researchers(browser: Browser, faults: Faults, server: Installation) -> None:
    """The workbench, and accounts. Last: who has a password is asked for it."""
    with server.client() as api:
        filled = Filled(api)
        for device, options in DEVICES.items():
            context = open_context(browser, faults, **options, timezone_id="Europe/Berlin")
            take_workbench(context.new_page(), Camera(device, FOLDER), server, filled)
            context.close()
    for device, options in DEVICES.items():
        context = open_context(browser, faults, **options, timezone_id="Europe/Berlin")
        take_account(context.new_page(), Camera(device, FOLDER), server)
        context.close()


PARTS = {"participants": take_participants, "researchers": take_researchers}


def main(parts: list[str]) -> None:
    """Take them anew: all, or those of the parts named."""
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("This needs the program chromium.")
    faults = Faults()
    with installed() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        for part in PARTS:
            if part in parts or not parts:
                PARTS[part](browser, faults, server)
        browser.close()
    if faults.messages:
        sys.exit("\n".join(faults.messages))


if __name__ == "__main__":
    main(sys.argv[1:])
