"""Figures in the pages that show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import queries_table, report, scale_report
from benchmarks.large import report as large_report
from benchmarks.pages import README, put


@pytest.fixture
def page(tmp_path: Path) -> Path:
    found = tmp_path / "page.md"
    found.write_text("before\n<!-- some: begin. From x. -->\nold\n<!-- some: end -->\nafter\n")
    return found


def test_figures_replace_those_that_stood_between_the_marks(page: Path) -> None:
    for text in ("a table\n", r"another, with \1 and a" + "\n\nplot"):
        put(page, "some", text)
        marked = f"<!-- some: begin. From x. -->\n\n{text.strip()}\n\n<!-- some: end -->"
        assert page.read_text() == f"before\n{marked}\nafter\n"


def test_a_page_without_the_marks_is_left_alone(page: Path) -> None:
    before = page.read_text()
    with pytest.raises(SystemExit, match="no place for figures: <!-- other: begin -->"):
        put(page, "other", "text")
    assert page.read_text() == before


@pytest.mark.parametrize(
    ("shown_in", "name"),
    [
        (queries_table.PAGE, "queries"),
        (scale_report.PAGE, "scale"),
        (large_report.PAGE, "large state"),
        (report.PAGE, "peers"),
        (README, "peers"),
    ],
)
def test_every_page_has_its_place(shown_in: Path, name: str, tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(shown_in.read_text())
    put(copy, name, "a table")
    assert copy.read_text().count("\n\na table\n\n") == 1
