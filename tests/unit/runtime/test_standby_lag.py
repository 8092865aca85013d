"""How far a standby is said to be behind: by what its owner has committed, and for how long."""

from __future__ import annotations

import pytest

from pipeline.errors import StateLost
from pipeline.log.api import Committed
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.standby_lag import StandbyLags
from pipeline.runtime.view import StandbyLag
from pipeline.state.api import Position


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        raise NotImplementedError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lags(clock: Clock) -> StandbyLags:
    return StandbyLags(clock)


def committed(first: int, second: int) -> Committed:
    changelogs = {"first": ("id-first", first), "second": ("id-second", second)}
    return Committed(1, CommittedMetadata("id", changelogs).encode())


def at(first: int, second: int) -> Position:
    return Position(1, {"first": first, "second": second})


def test_one_that_keeps_up_is_behind_by_a_look_or_two(clock: Clock, lags: StandbyLags) -> None:
    lags.follow(0)
    for second in range(100):
        lags.note(0, committed(10 * (second + 1), second), at(10 * second, second))
        clock.now_s += 1
        assert lags.now()[0].records == 10
        assert lags.now()[0].age_s <= 3


def test_one_that_stands_still_is_behind_by_more_each_second(clock: Clock, lags: StandbyLags) -> None:
    lags.note(0, committed(10, 5), at(10, 5))
    assert lags.now() == {0: StandbyLag(0, 0)}
    for second in range(60):
        clock.now_s += 1
        lags.note(0, committed(10 + second, 6), at(10, 5))
    assert lags.now() == {0: StandbyLag(60, 60)}
    clock.now_s += 5
    lags.note(0, committed(69, 6), at(69, 6))
    assert lags.now() == {0: StandbyLag(0, 0)}


def test_one_that_is_slower_than_its_owner_falls_behind(clock: Clock, lags: StandbyLags) -> None:
    for second in range(100):
        lags.note(0, committed(100 * second, 0), at(50 * second, 0))
        clock.now_s += 1
    lag = lags.now()[0]
    assert lag.records == 50 * 99
    assert 50 <= lag.age_s <= 100


def test_one_that_is_never_looked_at_again_is_behind_by_its_silence(clock: Clock, lags: StandbyLags) -> None:
    lags.note(0, committed(10, 5), at(10, 5))
    clock.now_s += 77
    assert lags.now() == {0: StandbyLag(0, 77)}


def test_one_that_cannot_even_begin_is_behind_since_it_had_to_be_there(clock: Clock, lags: StandbyLags) -> None:
    lags.follow(0)
    clock.now_s += 40
    lags.follow(0)
    assert lags.now() == {0: StandbyLag(None, 40)}
    lags.note(0, committed(10, 5), at(0, 0))
    assert lags.now() == {0: StandbyLag(15, 40)}
    lags.forget(0)
    assert lags.now() == {}


def test_where_nothing_was_committed_there_is_nothing_to_follow(lags: StandbyLags) -> None:
    lags.note(0, None, Position(0))
    assert lags.now() == {0: StandbyLag(0, 0)}


def test_an_offset_that_no_worker_committed_says_nothing(lags: StandbyLags) -> None:
    lags.follow(0)
    with pytest.raises(StateLost):
        lags.note(0, Committed(7, "by hand"), at(1, 1))
    assert lags.now()[0].records is None
