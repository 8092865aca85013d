"""A real Chromium, and a page of it that nothing goes wrong on unseen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

SCREENSHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
"""Kept as the output of a run."""
DESKTOP: Final = (1280, 900)
PHONE: Final = (360, 780)

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE_MS: Final = 120_000
"""As generous as all that waits here."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test on a machine that has none."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium, or put any one of its name into PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of a console, and everything that it did beside what it should."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self._errors_expected = False
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._must_be_ours(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _complain(self, kind: str, text: str) -> None:
        # A browser writes of every answer that is none; the page shows those itself.
        if not text.startswith("Failed to load resource: the server responded with a status of"):
            self.complaints.append(f"{kind}: {text}")

    def _must_be_ours(self, url: str) -> None:
        if not url.startswith(self.url):
            self.complaints.append(f"request to {url}")

    def open(self) -> None:
        """Return when the first sample is drawn."""
        self.page.goto(self.url)
        self.page.wait_for_selector("#partitions table")
        self.page.wait_for_selector("#graph svg .stage")

    def look_up(self, key: str) -> None:
        self.page.fill("#key", key)
        self.page.press("#key", "Enter")

    def fits(self) -> bool:
        """Whether nobody has to scroll sideways."""
        fits: bool = self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        return fits

    def shoot(self, name: str, *, whole: bool = True) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    def barriers(self) -> list[str]:
        """What axe finds that would keep somebody out, contrast included."""
        found: Any = Axe().run(self.page).response
        return [
            f"{each['id']}: {node['target']} {node['html'][:120]} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


@contextmanager
def page_of(
    browser: Browser, url: str, *, size: tuple[int, int] = DESKTOP, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Watched]:
    """A page with nothing kept from others; at the end nothing may have gone wrong on it."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    try:
        watched = Watched(context.new_page(), url)
        watched.open()
        yield watched
        assert watched.complaints == []
    finally:
        context.close()
