"""The documentation as a site: it builds without a warning, no link of it is dead, and a dead one would be noticed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from os.path import normpath
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.timeout(1_800)  # a build takes twelve seconds of a quiet machine, and minutes of a busy one

ROOT: Final = Path(__file__).parents[2]
SITE: Final = ROOT / "docs" / "site"

PAGE: Final = """# A page

## A heading

"""
GOOD: Final = ("#a-heading", "other.md", "other.md#a-heading", "../tool.py", "../tools")
DEAD: Final = ("#no-heading", "nowhere.md", "other.md#nothing", "../no_tool.py", "../no_tools")


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does it."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-E",
        "-W",
        "--keep-going",
        "-q",
        "-c",
        str(SITE),
        str(source),
        str(target),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Page(HTMLParser):
    """The links of a page, what in it can be linked to, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value is not None:
                self.links.append(value)
            elif name == "id" and value is not None:
                self.anchors.add(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def links(site: Path) -> Iterator[tuple[Path, str, bool]]:
    """Each link within a site: the page, the link, and whether it leads somewhere."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if not parts.scheme and not parts.netloc:
                found = Path(normpath(path.parent / unquote(parts.path))) if parts.path else path
                known = found not in pages or unquote(parts.fragment) in pages[found].anchors
                yield path, link, found.is_file() and known


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    return target


def test_every_page_is_on_the_site_and_every_link_on_it_leads_somewhere(site: Path) -> None:
    found = list(links(site))
    assert [f"{path.relative_to(site)}: {link}" for path, link, good in found if not good] == []
    pages = [path.relative_to(ROOT) for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]
    linked = {Path(normpath(path.parent / urlsplit(link).path)) for path, link, _ in found}
    assert [page for page in pages if site / page.with_suffix(".html") not in linked] == []


def test_a_source_that_a_page_links_to_is_on_the_site(site: Path) -> None:
    assert "def commit(tasks" in Page(site / "source/pipeline/runtime/commit.py.html").text
    listed = Page(site / "source/tests/oracle.html").links
    assert "oracle/readings.py.html" in listed


def test_the_build_fails_by_each_dead_link_and_by_no_good_one(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tools").mkdir()
    for path in ("tool.py", "tools/other.py"):
        (tmp_path / path).write_text("TOOL = 1\n")
    (tmp_path / "docs/other.md").write_text(PAGE)
    toctree = "```{toctree}\nother\n```\n\n"

    (tmp_path / "docs/README.md").write_text(PAGE + toctree + " ".join(f"[x]({link})" for link in GOOD))
    good = build(tmp_path, tmp_path / "good")
    assert good.returncode == 0, good.stderr

    (tmp_path / "docs/README.md").write_text(PAGE + toctree + " ".join(f"[x]({link})" for link in DEAD))
    dead = build(tmp_path, tmp_path / "dead")
    assert dead.returncode != 0
    for link in DEAD:
        assert f"'{link.rpartition('#')[2]}'" in dead.stderr, f"{link}: {dead.stderr}"


def test_a_dead_link_of_a_built_page_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#here"></a><a href="b.html#gone"></a><img src="gone.png">')
    (tmp_path / "b.html").write_text('<p id="here"></p><a href="#here"></a><a href="https://elsewhere.invalid/"></a>')
    assert sorted((link, good) for _, link, good in links(tmp_path)) == [
        ("#here", True),
        ("b.html#gone", False),
        ("b.html#here", True),
        ("gone.png", False),
    ]
