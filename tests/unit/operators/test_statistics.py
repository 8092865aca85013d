"""Statistics of values, one at a time and merged."""

from __future__ import annotations

import math
import statistics

from hypothesis import given
from hypothesis import strategies as st

from operators.statistics import add, empty, mean, merge, variance
from schemas.state import Summary

values = st.floats(-1e15, 1e15)


def summary_of(numbers: list[float]) -> Summary:
    summary = empty()
    for number in numbers:
        add(summary, number)
    return summary


def close(actual: float, exact: float, scale: float) -> bool:
    return math.isclose(actual, exact, rel_tol=1e-9, abs_tol=1e-12 * scale)


@given(st.lists(values, min_size=1, max_size=60))
def test_a_summary_says_what_the_standard_library_says(numbers: list[float]) -> None:
    summary = summary_of(numbers)
    largest = max(map(abs, numbers))
    assert (summary.count, summary.min, summary.max) == (len(numbers), min(numbers), max(numbers))
    assert close(summary.sum, math.fsum(numbers), largest)
    assert close(mean(summary), statistics.mean(numbers), largest)
    assert close(variance(summary), statistics.pvariance(numbers), largest**2)


@given(st.lists(values, max_size=30), st.lists(values, max_size=30))
def test_merging_is_as_good_as_adding_one_by_one(one: list[float], other: list[float]) -> None:
    merged, whole = summary_of(one), summary_of(one + other)
    merge(merged, summary_of(other))
    largest = max(map(abs, [*one, *other, 0.0]))
    assert (merged.count, merged.min, merged.max) == (whole.count, whole.min, whole.max)
    assert close(merged.sum, whole.sum, largest)
    assert close(merged.squares, whole.squares, largest**2)


def test_one_value_has_no_variance() -> None:
    summary = summary_of([73.9])
    assert (mean(summary), variance(summary)) == (73.9, 0.0)


def test_a_small_spread_far_from_zero_is_not_lost_to_cancellation() -> None:
    assert math.isclose(variance(summary_of([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16])), 22.5, rel_tol=1e-9)
