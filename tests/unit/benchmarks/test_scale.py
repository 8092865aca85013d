"""Which cells are measured, and from stored figures to tables and a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale_report
from benchmarks.scale import PARTITIONS, WORKERS, cells_of


def figures(rate: float, **more: Any) -> dict[str, Any]:
    return {
        "round": 0,
        "records": 1_000_000,
        "seconds": 1_000_000 / rate,
        "cpu_s": 5.0,
        "broker_cpu_s": 2.0,
        "peak_rss_mb": 300,
        "changelog_bytes": 30_000_000,
        "output_bytes": 10_000_000,
        **more,
    }


def report() -> dict[str, Any]:
    across = {1: [190_000, 200_000, 230_000], 2: [270_000], 3: [280_000], 4: [275_000]}
    runs = [figures(rate, workers=workers, partitions=8) for workers, rates in across.items() for rate in rates]
    runs += [figures(rate, workers=2, partitions=partitions) for partitions, rate in ((1, 150_000), (4, 260_000))]
    return {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cores": "2", "processor": "a processor"},
        "records": 1_000_000,
        "devices": 10_000,
        "rounds": 3,
        "runs": runs,
        "ceilings": [figures(rate, consumers=count, broker_cpu_s=0.5) for count, rate in ((1, 1.5e6), (2, 1.6e6))],
        "failures": ["round 1, 2 workers, 8 partitions: wrong"],
    }


def test_by_default_two_lines_through_the_grid_and_else_all_that_is_named() -> None:
    cells = cells_of(None, None)
    assert len(cells) == len(set(cells)) == len(WORKERS) + len(PARTITIONS) - 1
    assert {cell.workers for cell in cells if cell.partitions == 8} == set(WORKERS)
    assert {cell.partitions for cell in cells if cell.workers == 2} == set(PARTITIONS)
    assert len(cells_of(WORKERS, PARTITIONS)) == len(WORKERS) * len(PARTITIONS)
    assert {cell.workers for cell in cells_of(None, [4])} == set(WORKERS)


def test_the_tables_have_medians_spread_and_where_it_ends() -> None:
    text = scale_report.markdown(report())
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert "| 1 | 200,000 (190,000 to 230,000) | 1.00 | 5.00 | 2.00 | 70% |" in lines
    assert "| 2 | 270,000 (270,000 to 270,000) | 1.35 | 5.00 | 2.00 | 94% |" in lines
    assert "More than 2 workers give less than a tenth more: there all cores are busy." in text
    assert "More than 4 partitions give less than a tenth more: there workers and broker use 91%" not in text
    assert "More than 1 consumer give less than a tenth more: there all cores are busy." in text
    assert "Failed: round 1, 2 workers, 8 partitions: wrong" in text
    assert "5.00 CPU s a million events of the worker, 0.50 of the broker for reading and 1.50 for what is" in text
    # 16 workers at 0.6 of a core each, 5 CPU s a million.
    assert any(line.startswith("| 6 | 16 | 1,440,000 | brokers' CPU |") for line in lines)


def test_where_no_worker_was_alone_there_is_no_cluster_on_paper() -> None:
    stored = report()
    stored["runs"] = [run for run in stored["runs"] if run["workers"] > 1]
    assert "No cluster on paper: a cost needs" in scale_report.markdown(stored)


@pytest.mark.parametrize(("rates", "last"), [([10, 20, 30], 3), ([10, 10.5, 10.9], 1), ([10, 9, 30], 3), ([10], 1)])
def test_the_last_that_gave_a_tenth_more(rates: list[float], last: int) -> None:
    assert scale_report.last_that_gave({at: [figures(rate)] for at, rate in enumerate(rates, 1)}) == last


def test_the_documentation_gets_tables_and_plot(tmp_path: Path) -> None:
    page, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text("<!-- scale: begin -->\nold\n<!-- scale: end -->\n")
    scale_report.into_docs(report(), page, plot)
    assert scale_report.markdown(report()) in page.read_text()
    assert "](images/plot.svg)" in page.read_text()
    assert plot.read_text().count("events/s by") >= 2


def test_the_command_writes_the_tables_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = tmp_path / "figures.json"
    stored.write_text(json.dumps(report()))
    scale_report.main([str(stored)])
    assert capsys.readouterr().out == scale_report.markdown(report())
    assert (tmp_path / "figures.svg").read_text().count("events/s by") >= 2
