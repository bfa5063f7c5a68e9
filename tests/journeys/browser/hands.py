"""Two ways to use a page, by what a person sees on it: with a mouse, and with the keyboard alone."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Error, Locator, Page, expect

#: Stops of the Tab key on the longest page, twice over.
_STOPS = 800


class Mouse:
    """Clicks what is named."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def follow(self, link: str) -> None:
        """A link, by its words."""
        self.use(self.page.get_by_role("link", name=link, exact=True).first)

    def press(self, button: str, tick: str = "") -> None:
        """A button, by its words; `tick`: the box beside it first."""
        if tick:
            self.tick(tick)
        self.use(self.page.get_by_role("button", name=button, exact=True).first)

    def use(self, what: Locator) -> None:
        what.click()

    def tick(self, label: str) -> None:
        self.box(label).check()

    def box(self, label: str) -> Locator:
        """To be ticked; other parts of a page may have its word in their label."""
        return self.page.get_by_role("checkbox", name=label).first

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label).first.fill(text)

    def choose(self, label: str, option: str) -> None:
        """Of a list, by the value of its option."""
        self.page.get_by_label(label).first.select_option(option)

    def upload(self, label: str, path: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.use(self.page.get_by_label(label).first)
        chooser.value.set_files(path)

    def slide(self, slider: Locator, steps: int) -> None:
        """Move a slider by steps; below 0 to the left."""
        value, step = float(slider.input_value()), float(slider.get_attribute("step") or 1)
        slider.fill(f"{value + steps * step:g}")

    def key_on(self, what: Locator, key: str) -> None:
        """Press a key on what the mouse has been clicked at."""
        what.click(position={"x": 3, "y": 3})
        self.page.keyboard.press(key)


class Keyboard(Mouse):
    """Never a mouse: to each thing by Tab, as far as that takes."""

    def reach(self, what: Locator) -> None:
        for _ in range(_STOPS):
            what.wait_for()
            try:
                if what.evaluate("element => element === document.activeElement"):
                    return
            except Error as error:
                if "navigation" not in str(error):
                    raise
                continue  # the page has just loaded itself again, and is looked at anew
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not come to {what}")

    def use(self, what: Locator) -> None:
        self.reach(what)
        self.page.keyboard.press("Enter")

    def tick(self, label: str) -> None:
        box = self.box(label)
        self.reach(box)
        if not box.is_checked():
            self.page.keyboard.press("Space")
        expect(box).to_be_checked()

    def fill(self, label: str, text: str) -> None:
        self.reach(self.page.get_by_label(label).first)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose(self, label: str, option: str) -> None:
        found = self.page.get_by_label(label).first
        self.reach(found)
        self.page.keyboard.press("Home")
        for _ in range(found.locator("option").count()):
            if found.input_value() == option:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{label} has no option {option!r}")

    def slide(self, slider: Locator, steps: int) -> None:
        self.reach(slider)
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def key_on(self, what: Locator, key: str) -> None:
        self.reach(what)
        self.page.keyboard.press(key)
