"""The demonstration by its page: what the buttons break comes back, the same to the byte; then all of it is gone."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PHONE, Watched, page_of
from tests.support.command_run import running
from tests.support.waiting import eventually

SMALL = ("demo", "--console", "--json", "--readings", "40000", "--devices", "400")

PATIENCE_MS = 300_000
expect.set_options(timeout=120_000)

# Notes each way that the partitions were seen to stand, in its order.
WATCH = """() => {
  window.stood = [];
  const look = () => {
    const now = [...document.querySelectorAll("#partitions tr[data-state]")].map((row) => row.dataset.state).join();
    if (window.stood.at(-1) !== now) window.stood.push(now);
  };
  new MutationObserver(look).observe(document.getElementById("partitions"), { childList: true, subtree: true });
}"""


@pytest.mark.timeout(1800)
def test_what_the_buttons_break_comes_back(browser: Browser, tmp_path: Path, figure: Callable[[str], None]) -> None:
    with running(tmp_path, *SMALL) as demo:
        demo.until_told("step", 4)
        url = demo.told("console")
        with page_of(browser, url) as watched:
            page = watched.page
            expect(page.locator("#summary")).to_have_text(re.compile("All 4 partitions are active"))
            _only_the_page_gives_orders(url)
            _wipe(watched)
            digests = page.locator(".proof tbody tr").all_inner_texts()
            figure("; ".join(page.locator("#experiment .detail", has_text="restored").all_inner_texts()))
            _kill_by_keyboard(page)
            assert page.locator(".proof tbody tr").all_inner_texts() != digests, "readings have come in between"
            _look_up(watched)
            watched.shoot("light")
        with page_of(browser, url, scheme="dark") as watched:
            _look_up(watched)
            watched.shoot("dark")
        with page_of(browser, url, size=PHONE) as watched:
            _look_up(watched)
            assert watched.fits()
            watched.shoot("phone")
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.ends() == 130
        demo.assert_gone()
    assert "Traceback" not in demo.text
    assert [line["passed"] for line in demo.lines if "check" in line] == [True, True]


def _only_the_page_gives_orders(url: str) -> None:
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": url.rstrip("/")}):
        assert httpx.post(f"{url}api/order/kill?worker=aggregate-0", headers=headers, timeout=60).status_code == 403


def _wipe(watched: Watched) -> None:
    page = watched.page
    page.evaluate(WATCH)
    page.get_by_role("button", name="Kill aggregate-1 and wipe its disk").click()
    expect(page.locator("#experiment")).to_contain_text(re.compile(r"[\d,]+ files of [\d.]+ MB are gone"))
    away = page.locator('#partitions tr:not([data-state="active"])[data-state]').first
    expect(away).to_be_visible()
    watched.shoot("wiped", whole=False)
    expect(page.locator("#partitions progress, .proof").first).to_be_visible(timeout=PATIENCE_MS)
    watched.shoot("restoring", whole=False)
    expect(page.locator(".proof")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".proof .good")).to_have_text("All 4 digests are equal.")
    expect(page.locator("#experiment")).to_contain_text(re.compile(r"restored partition \d: [\d,]+ records in"))
    expect(page.locator("#announcer")).to_have_text(re.compile("digests are equal|partitions are active"))
    for row in page.locator(".proof tbody tr").all():
        before, after = (row.locator("code").nth(each).get_attribute("title") for each in range(2))
        assert before
        assert len(before) == 64
        assert before == after
    _look_up(watched)
    watched.page.set_viewport_size({"width": 1280, "height": 1190})
    watched.shoot("wiped-and-back", whole=False)
    everything = ",".join(["active"] * 4)
    eventually(lambda: page.evaluate("window.stood.at(-1)") == everything, "all stand as active again")
    stood: list[str] = page.evaluate("window.stood")
    assert any(each != everything for each in stood[:-1]), stood


def _kill_by_keyboard(page: Page) -> None:
    button = page.get_by_role("button", name="Kill aggregate-0", exact=True)
    expect(button).to_have_attribute("aria-disabled", "false", timeout=PATIENCE_MS)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#experiment")).to_contain_text(re.compile(r"and [\d,]+ readings folded and not committed"))
    expect(page.locator(".proof")).to_contain_text("source, folded anew", timeout=PATIENCE_MS)
    expect(page.locator(".proof .good")).to_have_text("All 4 digests are equal.")


def _look_up(watched: Watched) -> None:
    page = watched.page
    page.focus("#key")
    eventually(lambda: page.locator("#keys option").count() > 0, "a key is suggested")
    watched.look_up(page.locator("#keys option").first.get_attribute("value") or "")
    expect(page.locator("#provenance")).to_contain_text(re.compile(r"active on aggregate-\d, partition \d at [\d,]+; "))
    expect(page.locator(".chart .band").first).to_be_visible()
    expect(page.locator(".readout")).to_have_text(re.compile(r"mean [\d.,-]+, [\d.,-]+ to [\d.,-]+ \S+, \d+ readings"))
    expect(page.locator("#letters-summary")).to_have_text(re.compile(r"^[\d,]+ refused messages"))
    page.evaluate("scrollTo(0, 0)")
