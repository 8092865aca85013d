"""What the sketch says is within its bounds, whatever comes: held against a plain count."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.memory.records import CREATE_TIME, NOBODY, MemoryRecord
from pipeline.runtime.hot_keys import ONE_OF, PERIOD_S, SIZE, HotKeys, Recent

GUARANTEED = 1 / SIZE
EVERY = 10**6
"""More keys than there are."""


class Hands:
    """A clock that stands."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now


def messages(keys: Sequence[bytes | None]) -> list[MemoryRecord]:
    return [MemoryRecord("in", 0, offset, key, b"", (CREATE_TIME, 0), None, NOBODY) for offset, key in enumerate(keys)]


def fed(*batches: Sequence[bytes | None], clock: Hands | None = None) -> HotKeys:
    """Each batch with its commit; every record is looked at, so that a plain count is what a sketch stands for."""
    hot = HotKeys(clock or Hands(), one_of=1)
    for batch in batches:
        hot.saw(messages(batch))
        hot.settle()
    return hot


def skewed(seed: int, records: int, distinct: int, exponent: float) -> list[bytes]:
    chance = random.Random(seed)
    weights = [1 / place**exponent for place in range(1, distinct + 1)]
    return [str(each).encode() for each in chance.choices(range(distinct), weights, k=records)]


def hold(recent: Recent, exact: Counter[bytes]) -> None:
    """The bounds that are told are true, and as narrow as the sketch guarantees."""
    total = exact.total()
    assert recent.looked_at == total
    for key in recent.keys:
        assert key.times - key.over <= exact[key.key] <= key.times
        assert key.over <= GUARANTEED * total
    named = {key.key for key in recent.keys}
    assert all(times <= recent.unnamed for key, times in exact.items() if key not in named)
    assert [key.times for key in recent.keys] == sorted((key.times for key in recent.keys), reverse=True)


@given(
    seed=st.integers(0, 2**32),
    distinct=st.integers(1, 3_000),
    exponent=st.floats(0, 3),
    sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=5),
    most=st.sampled_from([1, 3, 100, EVERY]),
)
def test_bounds_hold_against_an_exact_count(
    seed: int, distinct: int, exponent: float, sizes: list[int], most: int
) -> None:
    batches = [skewed(seed + place, size, distinct, exponent) for place, size in enumerate(sizes)]
    recent = fed(*batches).recent(most)
    exact = Counter(key for batch in batches for key in batch)
    assert recent.records == exact.total()
    assert len(recent.keys) <= most
    hold(recent, exact)
    if most == EVERY:
        sure = {key for key, times in exact.items() if times > 2 * GUARANTEED * exact.total()}
        assert sure <= {key.key for key in recent.keys}, "whoever has so large a share is named"


@given(st.lists(st.tuples(st.lists(st.sampled_from([b"a", b"b", b"", b"\xff", None])), st.booleans()), max_size=8))
def test_only_what_is_committed_counts(batches: list[tuple[list[bytes | None], bool]]) -> None:
    hot = HotKeys(Hands(), one_of=1)
    exact: Counter[bytes] = Counter()
    records = 0
    for keys, commits in batches:
        hot.saw(messages(keys))
        if commits:
            hot.settle()
            exact.update(key for key in keys if key is not None)
            records += len(keys)
        else:
            hot.drop()
    recent = hot.recent(EVERY)
    assert recent.records == records
    assert {key.key: key.times for key in recent.keys} == dict(exact), "as few keys as these are counted exactly"
    assert recent.unnamed == 0


def test_keys_are_those_of_a_prefix() -> None:
    hot = fed([b"press-1"] * 5 + [b"press-2"] * 3 + [b"lathe-1"] * 9)
    assert [(key.key, key.times) for key in hot.recent(1, b"press-").keys] == [(b"press-1", 5)]
    assert hot.recent(1, b"press-").unnamed == 3, "of the prefix, not of the others"
    assert hot.recent(1, b"press-").looked_at == 17


def test_where_no_key_stands_out_none_is_named() -> None:
    recent = fed([str(number).encode() for number in range(20_000)]).recent(10)
    assert recent.keys == []
    assert 1 <= recent.unnamed <= 2 * GUARANTEED * 20_000


def test_the_past_is_forgotten_a_period_at_a_time() -> None:
    clock = Hands()
    hot = fed([b"before"] * 4, clock=clock)
    clock.now += PERIOD_S
    hot.saw(messages([b"after"] * 3))
    hot.settle()
    assert {key.key: key.times for key in hot.recent(9).keys} == {b"before": 4, b"after": 3}
    assert hot.recent(9).seconds == PERIOD_S
    clock.now += PERIOD_S
    hot.saw(messages([b"last"]))
    hot.settle()
    assert {key.key: key.times for key in hot.recent(9).keys} == {b"after": 3, b"last": 1}
    assert hot.recent(9).records == 4
    clock.now += 2 * PERIOD_S
    assert hot.recent(9) == Recent(2 * PERIOD_S, 0, 0, 0, []), "nothing has come since, and so nothing has turned it"
    hot.saw(messages([b"late"]))
    hot.settle()
    assert [key.key for key in hot.recent(9).keys] == [b"late"]


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 64), commit_every=st.integers(1, 9))
def test_one_in_so_many_is_looked_at_whatever_order_keys_come_in(seed: int, batch: int, commit_every: int) -> None:
    """Even where they take turns by the very number that lies between two looks."""
    records = 32_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "random", random.Random(seed).random)
        hot = HotKeys(Hands())
        for place in range(0, records, batch):
            hot.saw(messages([str(each % ONE_OF).encode() for each in range(place, min(place + batch, records))]))
            if place // batch % commit_every == 0:
                hot.settle()
        hot.settle()
    recent = hot.recent(EVERY)
    expected = records / ONE_OF
    assert recent.records == records
    # Ten standard deviations, of batches of which each is one draw.
    assert abs(recent.looked_at - expected) < 10 * (expected**0.5 + 1)
    spread = 10 * (expected / ONE_OF * max(batch / ONE_OF, 1)) ** 0.5
    assert all(abs(key.times - expected / ONE_OF) < spread for key in recent.keys)
    assert len(recent.keys) == ONE_OF
