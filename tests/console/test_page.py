"""The page in a real Chromium, over a pipeline that stands as a test wants it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect

from pipeline.console.controls import Busy
from pipeline.runtime.view import PartitionState
from tests.console.ground import Ground, console
from tests.support.browser import DESKTOP, PHONE, page_of
from tests.unit.query.world import SOURCE

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;"

pytestmark = pytest.mark.timeout(900)

expect.set_options(timeout=120_000)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with console() as one:
        one.send(SOURCE, *((b"%d" % number, b"x") for number in range(40)))
        one.world.put_words({"press-07": 17, "press-08": {HOSTILE: {"mean": 1.5, "note": HOSTILE}}, HOSTILE: HOSTILE})
        one.refuse(HOSTILE.encode(), b"\xff\xfe\x00<script>", None, key=HOSTILE.encode(), detail=HOSTILE)
        one.refuse(b"{}", reason="future")
        yield one


def partition_of(ground: Ground, key: str) -> int:
    return ground.world.directory().partition_of(key.encode())


def test_what_comes_from_outside_shows_as_it_is(browser: Browser, ground: Ground) -> None:
    with page_of(browser, ground.url) as watched:
        page = watched.page
        for key in ("press-07", HOSTILE, f"absent {HOSTILE}"):
            watched.look_up(key)
            expect(page.locator("#answer")).to_contain_text(key)
        watched.look_up(HOSTILE)
        expect(page.locator("#answer dd", has_text=HOSTILE)).to_be_visible()
        watched.look_up("press-08")
        expect(page.locator("#records td", has_text=HOSTILE)).to_have_count(2)
        page.locator("#letters tr", has_text="60 B").locator("button").first.click()
        expect(page.locator("#letter pre")).to_have_text(HOSTILE)
        expect(page.locator("#letter")).to_contain_text(HOSTILE)
        page.locator("#letters tr", has_text="11 B").locator("button").first.click()
        expect(page.locator("#letter pre")).to_have_text(re.compile(r"^00000000  ff fe 00 3c 73 63 72 69 70 74 3e"))
        page.locator("#letters tr", has_text="no value").locator("button").first.click()
        expect(page.locator("#letter pre")).to_have_text("(no value)")
        assert page.locator("main img, main script").count() == 0


def test_a_restore_is_a_bar_with_its_rate_and_the_time_left(browser: Browser, ground: Ground) -> None:
    partition = partition_of(ground, "press-07")
    worker = ground.world.workers["a" if partition < 2 else "b"]
    with page_of(browser, ground.url) as watched:
        page = watched.page
        expect(page.locator("#summary")).to_have_text(re.compile("All 4 partitions are active"))
        watched.look_up("press-07")
        expect(page.locator("#answer dd", has_text="17")).to_be_visible()
        worker.states[partition] = PartitionState.RESTORING
        try:
            row = page.locator(f'#partitions tr[data-key="count/{partition}"]')
            expect(row).to_contain_text("100 of 120 offsets, 10/s, 2 s left")
            share = row.locator("progress").evaluate("bar => bar.value / bar.max")
            assert share == pytest.approx(100 / 120)
            expect(page.locator("#graph")).to_contain_text("restoring")
            expect(page.locator("#announcer")).to_contain_text("1 restoring")
            expect(page.locator("#answer")).to_contain_text("restored")
            expect(page.locator("#answer")).to_contain_text("about 2 s left")
            watched.shoot("restoring-scripted")
            assert watched.barriers() == []
        finally:
            worker.states[partition] = PartitionState.ACTIVE
        expect(page.locator("#answer dd", has_text="17")).to_be_visible()
        expect(page.locator("#announcer")).to_contain_text("All 4 partitions are active")


def test_what_there_is_not_and_what_can_be_no_key_are_told(browser: Browser, ground: Ground) -> None:
    with page_of(browser, ground.url) as watched:
        answer = watched.page.locator("#answer")
        watched.look_up("press-99")
        expect(answer).to_contain_text("Words has no row press-99.")
        expect(answer).to_contain_text("Its owner answered.")


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)])
def test_nobody_is_kept_out(
    browser: Browser, ground: Ground, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    with page_of(browser, ground.url, scheme=scheme, size=size) as watched:
        watched.look_up("press-07")
        expect(watched.page.locator("#answer dd", has_text="17")).to_be_visible()
        watched.page.locator("#topology-table summary").click()
        watched.page.locator("#letters button").first.click()
        expect(watched.page.locator("#letter pre")).to_be_visible()
        assert watched.fits()
        assert watched.barriers() == []


def test_the_keyboard_does_it_all(browser: Browser) -> None:
    class Buttons:
        ordered: list[tuple[str, str]]

        def __init__(self) -> None:
            self.ordered = []

        def shown(self) -> Mapping[str, Any]:
            running = bool(self.ordered)
            return {"workers": ["a", "b"], "ready": True, "running": running, "experiment": None}

        def order(self, action: str, worker: str) -> None:
            if self.ordered:
                raise Busy("one thing at a time")
            self.ordered.append((action, worker))

    buttons = Buttons()
    with console(buttons) as ground, page_of(browser, ground.url) as watched:
        page = watched.page
        ground.world.put_words({"press-07": 17})
        ground.refuse(b"{}")
        expect(page.locator("#letters button")).to_be_visible()
        reached: list[str] = []
        focused = "(e => e.id || e.getAttribute('aria-label') || e.textContent.trim())(document.activeElement)"

        def tab_to(what: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                reached.append(page.evaluate(focused))
                # Whoever tabs sees where he is.
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", reached
                if reached[-1] == what:
                    return
            pytest.fail(f"{what} is not reached: {reached}")

        tab_to("Skip to the content")
        expect(page.locator(".skip")).to_be_in_viewport()
        tab_to("As a table")
        page.keyboard.press("Enter")
        expect(page.get_by_role("table", name="Topics")).to_be_visible()
        tab_to("Kill a and wipe its disk")
        page.keyboard.press("Enter")
        expect(page.locator('button[aria-disabled="true"]')).to_have_count(4)
        assert buttons.ordered == [("wipe", "a")]
        page.keyboard.press("Space")
        assert page.evaluate(focused) == "Kill a and wipe its disk", "who pressed a button stays where he is"
        tab_to("key")
        page.keyboard.type("press-07")
        page.keyboard.press("Enter")
        expect(page.locator("#answer")).to_contain_text("partition")
        tab_to("table")
        tab_to("not-json1")
        page.keyboard.press("Enter")
        expect(page.locator('#reasons button[aria-pressed="true"]')).to_have_count(1)
        expect(page.locator("#reasons button")).to_be_focused()
        tab_to(page.locator("#letters button").first.get_attribute("aria-label") or "")
        page.keyboard.press("Enter")
        expect(page.locator("#letter h3")).to_be_focused()
        tab_to("Close")
        page.keyboard.press("Enter")
        expect(page.locator("#letter")).to_be_hidden()
        expect(page.locator("#letters button")).to_be_focused()
        assert buttons.ordered == [("wipe", "a")], "a button that is disabled does nothing"


def test_a_console_that_ends_is_missed_and_found_again_by_the_page(browser: Browser) -> None:
    with console() as first:
        url = first.url
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        connection = page.locator("#connection")
        expect(connection).to_have_text(re.compile("^live"))
    expect(connection).to_have_text(re.compile("no connection"))
    with console(bind=url.removeprefix("http://").rstrip("/")):
        expect(connection).to_have_text(re.compile("^live"))
    context.close()
