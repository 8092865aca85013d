"""The oracle is right about what others have said."""

from __future__ import annotations

import pytest

from tests.oracle import differences
from tests.oracle.partitioner import partition_for


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_go_where_kafkas_own_tests_say(key: bytes, murmur2: int) -> None:
    for partitions in (1, 7, 12, 100):
        assert partition_for(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


def test_differences_name_the_field_and_both_values() -> None:
    expected = {"a": {"count": 17, "min": 1.5}, "b": {"count": 1}}
    actual = {"a": {"count": 16, "min": 1.5, "max": 2.0}, "c": {}}
    assert differences(expected, actual) == [
        "a.count: expected 17, got 16",
        "a.max: not expected, got 2.0",
        "b: missing, expected {'count': 1}",
        "c: not expected, got {}",
    ]


def test_sums_may_be_off_by_rounding_and_single_values_may_not() -> None:
    row = {"count": 3, "sum": 0.3, "min": 0.1, "max": 0.1}
    assert differences(row, row | {"sum": 0.1 + 0.1 + 0.1}) == []
    assert differences(row, row | {"min": 0.1000000001}) == ["min: expected 0.1, got 0.1000000001"]
    assert differences(row, row | {"sum": 0.3000001}) == ["sum: expected 0.3, got 0.3000001"]


def test_a_rounding_of_a_conversion_is_forgiven_where_asked() -> None:
    assert differences({"min": 10.0}, {"min": 10.000000000000002}) != []
    assert differences({"min": 10.0}, {"min": 10.000000000000002}, converted=True) == []
    assert differences({"min": 10.0}, {"min": 10.0001}, converted=True) != []


def test_a_whole_number_is_no_float() -> None:
    assert differences({"count": 1}, {"count": 1.0}) == ["count: expected 1, got 1.0"]
