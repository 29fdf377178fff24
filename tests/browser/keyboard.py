"""A visitor without a mouse: whatever they use is reached by Tab, and whatever can't be reached so is a failure."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import FilePayload, Locator, Page, expect

MOST_TABS = 300  # once around the longest page
IS_FOCUSED = "node => node === document.activeElement"
# where the focus is must be seen: within the window, and under nothing else (WCAG 2.2, 2.4.7 and 2.4.11)
IS_SEEN = """node => {
  const box = node.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height, innerHeight) / 2];
  const hit = document.elementFromPoint(x, y);
  return node.matches(":focus-visible") && hit !== null
    && (node.contains(hit) || hit.contains(node) || [...node.labels ?? []].some((label) => label.contains(hit)));
}"""


class Keyboard:
    """Works on a page with keys alone."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def reach(self, wanted: Locator) -> None:
        """Go on by Tab until a control has the focus, and can be seen to have it."""
        expect(wanted).to_have_count(1)
        node = wanted.element_handle()
        for _ in range(MOST_TABS):
            if node.evaluate(IS_FOCUSED):
                break
            self.page.keyboard.press("Tab")
        else:
            raise AssertionError(f"{self.page.url}: no Tab leads to {wanted}")
        assert node.evaluate(IS_SEEN), f"{self.page.url}: the focus can't be seen on {wanted}"

    def fill(self, label: str, text: str, within: Locator | None = None) -> None:
        """Write into a field, in place of what is there."""
        self.reach((within or self.page.locator("main")).get_by_label(label, exact=True))
        self.press("ControlOrMeta+a")
        self.type(text)

    def choose(self, field: Locator, label: str) -> None:
        """An option of a list."""
        self.reach(field)
        self.press("Home")
        chosen = "node => node.selectedOptions[0]?.label ?? ''"
        for _ in range(field.locator("option").count()):
            if field.evaluate(chosen) == label:
                return
            self.press("ArrowDown")
        raise AssertionError(f"{self.page.url}: no arrow leads to {label}")

    def pick(self, group: Locator, label: str) -> None:
        """One of several buttons of a group, of which Tab reaches one and arrows the others."""
        choices = group.get_by_role("radio")
        self.reach(choices.first)
        self.press("Space")
        wanted = group.get_by_label(label, exact=True)
        for _ in range(choices.count()):
            if wanted.is_checked():
                return
            self.press("ArrowDown")
        raise AssertionError(f"{self.page.url}: no arrow leads to {label}")

    def check(self, label: str) -> None:
        """Tick a box."""
        box = self.page.get_by_role("checkbox", name=label, exact=True)
        self.reach(box)
        self.press("Space")
        expect(box).to_be_checked()

    def button(self, name: str, within: Locator | None = None) -> None:
        """Press a button."""
        self.reach((within or self.page.locator("body")).get_by_role("button", name=name, exact=True))
        self.press("Enter")

    def follow(self, name: str, within: Locator | None = None) -> None:
        """Follow a link."""
        self.reach((within or self.page.locator("body")).get_by_role("link", name=name, exact=True))
        self.press("Enter")

    def open(self, name: str) -> None:
        """Open what a heading hides."""
        self.reach(self.page.locator("summary", has_text=name))
        self.press("Enter")

    def attach(self, field: Locator, *given: FilePayload | Path) -> None:
        """Choose files; the window that asks for them is the system's own."""
        self.reach(field)
        with self.page.expect_file_chooser() as chooser:
            self.press("Enter")
        chooser.value.set_files(list(given))  # type: ignore[arg-type]
