"""From a fault to the first progress: what counts as progress, and which of many times is told."""

from __future__ import annotations

import pytest

from pipeline.drill.recovery import Recovery, percentile


def test_a_partition_goes_on_when_it_has_committed_more_than_at_the_first_look_after_the_fault() -> None:
    recovery = Recovery()
    recovery.hit({"aggregate": [1]}, 10.0)
    recovery.note({"aggregate": {0: 5, 1: 7}}, 10.2)
    recovery.note({"aggregate": {0: 9, 1: 7}}, 11.0)
    assert recovery.waiting
    recovery.note({"aggregate": {0: 9, 1: 8}}, 12.5)
    assert not recovery.waiting
    assert recovery.seconds == [2.5]


def test_each_partition_of_each_fault_is_measured_by_itself() -> None:
    recovery = Recovery()
    recovery.hit({"aggregate": [0, 1], "transform": [0]}, 0.0)
    recovery.note({"aggregate": {0: 1, 1: 1}, "transform": {0: 1}}, 1.0)
    recovery.hit({"aggregate": [0]}, 2.0)
    recovery.note({"aggregate": {0: 1, 1: 2}, "transform": {0: 1}}, 3.0)
    recovery.note({"aggregate": {0: 2, 1: 2}, "transform": {0: 2}}, 4.0)
    assert sorted(recovery.seconds) == [2.0, 3.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([3.0], 50, 3.0),
        ([3.0], 99, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 99, 4.0),
        ([float(number) for number in range(1, 201)], 99, 198.0),
        ([float(number) for number in range(1, 201)], 0, 1.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected
