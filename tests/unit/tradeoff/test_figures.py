"""The table, the verdict and the plot, from figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured, StatesDiffer
from pipeline.tradeoff.account import Verdict
from pipeline.tradeoff.figures import MEASURES, NOTHING, Down, Figures, Network, table
from pipeline.tradeoff.places import Place
from pipeline.tradeoff.plot import draw, require_plotter
from pipeline.tradeoff.run import conclude

EXACT = Verdict(devices=10, readings=100, readings_lost=0, readings_doubled=0, results=90, results_lost=0,
                results_doubled=0, wrong_sums=0)  # fmt: skip
ROCKS = Figures(Place.ROCKSDB, EXACT, Down("its disk"), 1.0, 2.0, 100, events_per_s=100_000.0, result_p50_ms=3.0,
                result_p99_ms=9.0, of_an_event=Network(1_000, 200_000, 40), worker_mb=120.0, disk_mb=5.0, kills=3,
                recovery_s=2.5, join_s=3.0)  # fmt: skip
REDIS = replace(
    ROCKS,
    place=Place.REDIS,
    of_an_event=Network(1_000, 200_000, 40, redis_bytes=800_000, redis_round_trips=60),
    folded_again=7,
    verdict=replace(EXACT, results_lost=6),
)
LOG = Figures(Place.RECOMPUTED, EXACT, Down("the log"), 500.0, 900.0, 100, of_a_question=Network(2, 3_000, 10))


def test_a_row_a_measure_and_a_column_a_place() -> None:
    rows = {row["measured"].strip(): row for row in table([ROCKS, REDIS, LOG])}
    assert len(rows) == len(MEASURES)
    assert all(list(row) == ["measured", "rocksdb", "redis", "recomputed"] for row in rows.values())
    assert rows["network bytes a reading"] == {"measured": "network bytes a reading", "rocksdb": 200.0,
                                               "redis": 1_000.0, "recomputed": NOTHING}  # fmt: skip
    assert (rows["round trips, 1,000 readings"]["rocksdb"], rows["round trips, 1,000 readings"]["redis"]) == (40, 100)
    assert rows["network bytes a question"]["recomputed"] == 1_500
    assert (rows["results lost"]["redis"], rows["results lost"]["recomputed"]) == (6, NOTHING)
    assert (rows["but for the check of origins"]["redis"], rows["readings doubled"]["redis"]) == (7, 0)


def test_what_redis_loses_is_told_and_is_no_failure() -> None:
    told = conclude([ROCKS, REDIS, LOG])
    assert "exact, by the account of all that was sent: rocksdb, recomputed;" in told
    assert "redis lost 0 readings and 6 results, and doubled 0 and 0" in told


@pytest.mark.parametrize("wrong", [replace(EXACT, readings_doubled=1), replace(EXACT, results_lost=1),
                                   replace(EXACT, wrong_sums=1)])  # fmt: skip
def test_another_place_has_to_be_exact(wrong: Verdict) -> None:
    with pytest.raises(StatesDiffer, match="rocksdb"):
        conclude([replace(ROCKS, verdict=wrong), REDIS])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_plot_has_a_panel_for_what_can_be_compared(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot{suffix}"
    require_plotter(path)
    draw([ROCKS, REDIS, LOG], path)
    assert path.stat().st_size > 1_000
    if suffix == ".svg":
        text = path.read_text()
        assert "readings folded a second, at full speed" in text
        assert "network bytes a question" not in text, "only one place has it"
        draw([LOG], path)
        assert "network bytes a question" in path.read_text()


@pytest.mark.parametrize("found", [[ROCKS], [ROCKS, REDIS], [ROCKS, REDIS, LOG], [REDIS, LOG], [LOG]])
def test_no_panel_of_a_plot_is_empty(tmp_path: Path, found: list[Figures]) -> None:
    """However many there are: the last line of the grid is rarely full."""
    path = tmp_path / "plot.svg"
    draw(found, path)
    text = path.read_text()
    titles = [measure.name.strip() for measure in MEASURES if f">{measure.name.strip()}<" in text]
    assert text.count('<g id="axes_') == len(titles) > 0


@pytest.mark.parametrize("name", ["plot.txt", "plot", "nowhere/plot.svg"])
def test_a_plot_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured):
        require_plotter(tmp_path / name)
