"""Which keys of a partition come oftenest, lately.

One record in sixteen is looked at, so that a fold hardly slows down: in each batch those that lie sixteen apart, from a
place that is drawn anew, so that every record has the same chance whatever order keys come in. What was looked at is
counted by a sketch of bounded size: a count is exact or too high, and by how much at the most is told. Only commits
count. The past is forgotten a period at a time: what is told is of the period under way and of the one before.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.log.api import Message
from pipeline.runtime.clock import MACHINE_CLOCK, Clock

ONE_OF: Final = 16
"""So many records, one is looked at."""
PERIOD_S: Final = 60.0
SIZE: Final = 384
"""Keys that a sketch keeps. It is wrong by no more than one part in so many of all that it has counted."""


class HotKey(NamedTuple):
    """A key, and how many times it was looked at: no more than so many, and no fewer than that less `over`."""

    key: bytes
    times: int
    over: int


class Recent(NamedTuple):
    """What came to a partition lately, as far as it was committed."""

    seconds: float
    """How far back that is: less than a period for a partition that has just come here."""
    records: int
    """All of them."""
    looked_at: int
    """Of them, those with a key that were looked at."""
    unnamed: int
    """No key that could be among `keys`, and is not, was looked at oftener."""
    keys: list[HotKey]
    """The oftenest first: only those that certainly came oftener than any that the sketch does not keep."""


class _Sketch:
    """Space-Saving (Metwally, Agrawal, El Abbadi 2005), a batch of counts at a time.

    A key that was let go of may have come `error` times, so that is added where it comes back. One that has no more
    than that need not be kept: what holds of any key holds of it.
    """

    def __init__(self) -> None:
        self.total = 0
        self.error = 0
        """How often a key that is not kept may have come, at most."""
        self.kept: Mapping[bytes, HotKey] = {}
        """Replaced, never changed."""

    def add(self, counts: Mapping[bytes, int]) -> None:
        kept, error, least = self.kept, self.error, 0
        if len(counts) > SIZE:
            # Of many keys that come first, most have no chance: they are passed over before anything is made of them.
            least = sorted(counts.values(), reverse=True)[SIZE]
        merged = dict(kept)
        for key, times in counts.items():
            if key in kept:
                before = kept[key]
                merged[key] = HotKey(key, before.times + times, before.over)
            elif times > least:
                merged[key] = HotKey(key, error + times, error)
        self.total += sum(counts.values())
        self._keep(merged, error + least)

    def merged(self, other: _Sketch) -> _Sketch:
        """Of what either has counted."""
        both = _Sketch()
        both.total = self.total + other.total
        keys: dict[bytes, HotKey] = {}
        for key in {**self.kept, **other.kept}:
            one = self.kept.get(key) or HotKey(key, self.error, self.error)
            two = other.kept.get(key) or HotKey(key, other.error, other.error)
            keys[key] = HotKey(key, one.times + two.times, one.over + two.over)
        both._keep(keys, self.error + other.error)
        return both

    def _keep(self, keys: Mapping[bytes, HotKey], error: int) -> None:
        if len(keys) > SIZE:
            error = max(error, sorted((each.times for each in keys.values()), reverse=True)[SIZE])
        self.kept = {key: each for key, each in keys.items() if each.times > error}
        self.error = error


class _Period:
    def __init__(self, began: float) -> None:
        self.began = began
        self.records = 0
        self.sketch = _Sketch()


class HotKeys:
    """Of one partition. All but `recent` belong to the loop's thread."""

    def __init__(self, clock: Clock = MACHINE_CLOCK, one_of: int = ONE_OF) -> None:
        self._clock = clock
        self._one_of = one_of
        self._seen = 0
        self._looked_at: Counter[bytes | None] = Counter()
        """Since the last commit."""
        self._periods: tuple[_Period, ...] = (_Period(clock.monotonic()),)
        """The one before, if any, and the one under way; replaced, never changed, so that any thread may look."""

    def saw(self, messages: Sequence[Message]) -> None:
        """These records are folded next."""
        self._seen += len(messages)
        start = int(random.random() * self._one_of)  # noqa: S311 - nothing is kept secret by it
        looked_at = messages[start :: self._one_of]
        if looked_at:
            self._looked_at.update(map(type(messages[0]).key, looked_at))

    def settle(self) -> None:
        """What was seen is committed."""
        self._turn()
        period = self._periods[-1]
        period.records += self._seen
        # Records without a key are refused for it, and so among the dead letters.
        period.sketch.add({key: times for key, times in self._looked_at.items() if key is not None})
        self.drop()

    def drop(self) -> None:
        """What was seen will come once more."""
        self._seen = 0
        self._looked_at.clear()

    def _turn(self) -> None:
        now = self._clock.monotonic()
        began = self._periods[-1].began
        if now - began >= PERIOD_S:
            before = self._periods[-1:] if now - began < 2 * PERIOD_S else ()
            self._periods = (*before, _Period(now))

    def recent(self, most: int, prefix: bytes = b"") -> Recent:
        """At most so many keys, of those that begin with `prefix`.

        Any thread may ask, also of a partition that nothing comes to any more.
        """
        now = self._clock.monotonic()
        periods = [each for each in self._periods if now - each.began < 2 * PERIOD_S]
        sketch = _Sketch()
        for period in periods:
            sketch = sketch.merged(period.sketch)
        found = (each for key, each in sketch.kept.items() if key.startswith(prefix))
        error = sketch.error
        named: list[HotKey] = []
        others: list[HotKey] = []
        for each in sorted(found, key=_oftenest):
            certain = each.times - each.over > error
            (named if certain and len(named) < most else others).append(each)
        return Recent(
            seconds=now - periods[0].began if periods else 2 * PERIOD_S,
            records=sum(each.records for each in periods),
            looked_at=sketch.total,
            unnamed=max([error, *(each.times for each in others[:1])]),
            keys=named,
        )


def _oftenest(key: HotKey) -> tuple[int, bytes]:
    return -key.times, key.key
