"""From stored figures to tables and a plot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks import report
from benchmarks.figures import Place, grouped, rate, rate_of_a_core, ratio, spread

STORED: Final = Path(__file__).with_name("results.json")


@pytest.fixture
def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(STORED.read_text())
    return found


def test_a_ratio_is_taken_within_each_round(stored: dict[str, Any]) -> None:
    peers = grouped(stored["runs"])[Place("a", 10_000, "uniform")]
    found = ratio(peers["statelog"], peers["kafka-streams, warm"], rate)
    assert found is not None
    # 240/80, 200/100, 300/120; of the medians it would be 240/100.
    assert found == pytest.approx((2.5, 2.0, 3.0))
    by_core = ratio(peers["statelog"], peers["kafka-streams, warm"], rate_of_a_core)
    assert by_core is not None
    assert by_core.median == pytest.approx(16 / 4)


def test_rounds_that_only_one_has_give_no_ratio(stored: dict[str, Any]) -> None:
    peers = grouped(stored["runs"])[Place("a", 10_000, "uniform")]
    assert ratio(peers["statelog"][:1], peers["faust"][1:], rate) is None
    assert spread([], rate) is None


def test_the_tables_have_every_peer_with_medians_spread_and_ratios(stored: dict[str, Any]) -> None:
    text = report.markdown(stored)
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    cells = {line[0].removeprefix("| "): line for line in lines}
    assert cells["kafka-streams, warm"][3] == "100,000 (80,000 to 120,000)"
    assert cells["kafka-streams, warm"][4] == "2.50 (2.00 to 3.00)"
    assert cells["kafka-streams, warm"][6] == "4.00"
    assert cells["faust"][2] == "50,000"
    assert "Fewer for faust" in text
    assert "**(d) 1,000,000 devices, zipf: the shipped topology**" in text
    assert "n/a" in text, "what could not be measured is said so"
    assert "| (a) | statelog | 120,000 | 61 | 140 | 200 |" in text
    assert "Skipped: quix-streams: its packages cannot be installed" in text


def test_the_summary_has_a_line_a_kind_of_work(stored: dict[str, Any]) -> None:
    lines = report.summary(stored).splitlines()
    assert (
        "| stateless normalise: 10,000 devices, uniform | 240,000 (200,000 to 300,000) | 2.5 (2.0 to 3.0) " in lines[4]
    )
    assert lines[4].endswith(" | 140 |")
    assert lines[5].startswith("| the shipped topology: 1,000,000 devices, zipf | ")
    assert lines[5].endswith(" |  |  |  |  |  |  |"), "who took no part has nothing to show"


def test_page_and_readme_get_their_tables_and_the_plot(stored: dict[str, Any], tmp_path: Path) -> None:
    page, readme, plot = (tmp_path / name for name in ("page.md", "README.md", "plot.svg"))
    for each in (page, readme):
        each.write_text("<!-- peers: begin -->\nold\n<!-- peers: end -->\n")
    report.into_docs(stored, page, readme, plot)
    assert report.markdown(stored) in page.read_text()
    assert "](images/plot.svg)" in page.read_text()
    assert report.summary(stored) in readme.read_text()
    assert "](docs/images/plot.svg)" in readme.read_text()
    assert plot.read_text().startswith("<?xml")


def test_the_command_writes_the_tables_and_a_plot(
    stored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    shutil.copy(STORED, path)
    report.main([str(path)])
    assert capsys.readouterr().out == report.markdown(stored)
    drawn = path.with_suffix(".svg").read_text()
    assert drawn.startswith("<?xml")
    for text in ("kafka-streams, warm", "240,000", "(d) 1,000,000 devices, zipf: events/s"):
        assert text in drawn
    report.main([str(path), "--plot", str(tmp_path / "again.svg")])
    assert (tmp_path / "again.svg").read_text() == drawn
