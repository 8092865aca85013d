"""Tumbling windows: when they close, what is late, and which rows are kept."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.api import Record
from operators.keys import split_window_key
from operators.testing import DictTable
from schemas.reading import Origin, ReadingRecord, encode_reading
from schemas.state import MetricState, WindowRow
from tests.oracle import Parameters
from tests.unit.operators.streams import Folded

LENGTH_MS = 10
KEY = b"press-07"


class Metric:
    """One metric of one device, fed with times; each value is its time."""

    def __init__(self, *, grace_ms: int = 5, retention_ms: int = 1_000) -> None:
        self.folded = Folded(Parameters(LENGTH_MS, grace_ms, retention_ms))
        self._offset = 0

    def feed(self, *times: int) -> Metric:
        for time in times:
            origin = Origin("telemetry-id", 0, self._offset)
            reading = ReadingRecord("press-07", "temperature", float(time), "degC", time, None, None, origin)
            self.folded.fold(Record(KEY, encode_reading(reading), 42, "readings-id", 0, self._offset))
            self._offset += 1
        assert not self.folded.refusals
        self.folded.commit()
        return self

    @property
    def rows(self) -> DictTable[WindowRow]:
        return self.folded.windows

    @property
    def closed(self) -> list[int]:
        """The starts of final results, in their order."""
        assert {(each.topic, each.key, each.timestamp_ms) for each in self.folded.outputs} <= {("windows", KEY, 42)}
        return [msgspec.json.decode(each.value or b"")["window_start"] for each in self.folded.outputs]

    def _row(self) -> MetricState:
        return self.folded.devices.rows()[KEY].metrics["temperature"]

    def forget(self) -> None:
        self.folded.fold(Record(KEY, None, 42, "readings-id", 0, self._offset))
        self.folded.commit()

    @property
    def open(self) -> list[int]:
        return [window.start for window in self._row().open_windows()]

    @property
    def late(self) -> int:
        return self._row().late

    @property
    def kept(self) -> list[int]:
        return [split_window_key(key)[2] for key in self.rows.committed]


def test_a_window_holds_its_start_and_not_its_end() -> None:
    assert Metric().feed(10, 19, 20).open == [10, 20]


def test_a_window_closes_when_the_clock_reaches_its_end_and_the_grace() -> None:
    assert Metric(grace_ms=5).feed(3, 14).closed == []
    assert Metric(grace_ms=5).feed(3, 15).closed == [0]


def test_a_window_closes_at_its_end_without_grace() -> None:
    assert Metric(grace_ms=0).feed(3, 9, 10).closed == [0]


def test_a_reading_within_the_grace_still_counts_in_its_window() -> None:
    metric = Metric(grace_ms=5).feed(3, 14, 9, 15)
    (row,) = metric.rows.rows().values()
    assert (row.count, row.sum, row.min, row.max) == (2, 12.0, 3.0, 9.0)


def test_a_reading_for_a_closed_window_is_late_and_changes_no_window() -> None:
    metric = Metric().feed(3, 15, 9)
    assert (metric.late, metric.closed, metric.open) == (1, [0], [10])
    (row,) = metric.rows.rows().values()
    assert row.count == 1


def test_a_reading_for_a_window_that_never_was_is_late_once_its_time_is_over() -> None:
    assert Metric().feed(100, 3).late == 1


def test_windows_that_close_together_come_by_start() -> None:
    assert Metric(grace_ms=30).feed(25, 12, 31, 3, 500).closed == [0, 10, 20, 30]


def test_an_empty_window_has_no_result() -> None:
    assert Metric().feed(3, 55, 75).closed == [0, 50]


def test_a_row_goes_once_the_clock_reaches_its_end_and_the_retention() -> None:
    assert Metric(retention_ms=100).feed(3, 40, 109).kept == [0, 40]
    assert Metric(retention_ms=100).feed(3, 40, 110).kept == [40]


def test_a_window_that_closes_beyond_the_retention_has_a_result_and_no_row() -> None:
    metric = Metric(retention_ms=100).feed(3, 13, 10_000)
    assert (metric.closed, metric.kept) == ([0, 10], [])


def test_rows_are_followed_over_gaps_of_years() -> None:
    year = 365 * 86_400_000
    metric = Metric(retention_ms=10 * year).feed(3, year, 5 * year, 10 * year, 11 * year)
    assert metric.kept == [year, 5 * year, 10 * year]


def test_a_row_whose_successor_was_opened_after_it_closed_is_no_dead_end() -> None:
    metric = Metric(grace_ms=30, retention_ms=100).feed(3, 41)
    assert metric.kept == [0]
    metric.feed(15)  # opens [10, 20), between the row and the least window that was open when it closed
    assert metric.feed(90).kept == [0, 10, 40]
    assert metric.feed(115).kept == [10, 40]
    assert metric.feed(130).kept == [40, 90]


def test_forgetting_deletes_every_row() -> None:
    metric = Metric().feed(3, 55, 75, 500, 900)
    assert metric.kept == [0, 50, 70, 500]
    metric.forget()
    assert metric.kept == []


def test_a_broken_chain_is_not_passed_over() -> None:
    metric = Metric(retention_ms=100).feed(3, 40)
    metric.rows.committed.clear()
    with pytest.raises(LookupError, match="chain of windows is broken"):
        metric.feed(200)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.integers(-60, 30), st.integers(0, 10), st.sampled_from([100, 1_000])), min_size=20, max_size=60
    ),
    st.sampled_from([0, 7, 25, 40]),
    st.sampled_from([0, 20, 100, 300]),
)
def test_the_chain_keeps_the_rows_that_a_plain_dict_would(moves: list[int], grace_ms: int, retention_ms: int) -> None:
    metric = Metric(grace_ms=grace_ms, retention_ms=retention_ms)
    clock = 1_000
    metric.feed(clock)
    for move in moves:
        metric.feed(max(0, clock + move))
        clock = max(clock, clock + move)
        expected = {start for start in metric.closed if start + LENGTH_MS + retention_ms > clock}
        assert metric.kept == sorted(expected)
        assert metric.closed == sorted(metric.closed)
