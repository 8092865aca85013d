"""The benchmarks' streams: the same bytes each time, and keys as skewed as they say."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from benchmarks.streams import Keys, Stream
from pipeline.telemetry.poison import Message


def messages(devices: int, keys: Keys, records: int) -> list[Message]:
    return list(chain.from_iterable(Stream(devices, keys, records).messages()))


@pytest.mark.parametrize("keys", ["uniform", "zipf"])
def test_a_shorter_stream_is_the_beginning_of_a_longer_one(keys: Keys) -> None:
    long = messages(200, keys, 30_000)
    assert len(long) == 30_000
    assert messages(200, keys, 12_345) == long[:12_345]


@pytest.mark.parametrize("keys", ["uniform", "zipf"])
def test_one_in_a_hundred_comes_twice_and_none_more_often(keys: Keys) -> None:
    times = Counter(value for _, value in messages(200, keys, 30_000))
    assert set(times.values()) == {1, 2}
    assert 0.005 < sum(count == 2 for count in times.values()) / len(times) < 0.02


def test_with_zipfs_law_few_devices_send_most() -> None:
    counts = [count for _, count in Counter(key for key, _ in messages(1_000, "zipf", 50_000)).most_common()]
    expected = 1 / sum(1 / rank**1.1 for rank in range(1, 1_001))
    assert counts[0] / 50_000 == pytest.approx(expected, rel=0.1)
    assert sum(counts[:100]) > 0.6 * 50_000
