"""From a fault to the first progress of what it hit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Hit = Mapping[str, Iterable[int]]
"""By stage, partitions of its source."""
Committed = Mapping[str, Mapping[int, int]]
"""By stage and partition, the next offset that the stage has committed."""


@dataclass
class _Waiting:
    stage: str
    partition: int
    since: float
    at_first: int | None = None
    """The offset that stood there when it was first looked at after the fault."""


class Recovery:
    """Measures, partition by partition, how long nothing is committed after a fault."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.seconds: list[float] = []
        """Of each partition that was hit and went on."""

    def hit(self, partitions: Hit, at: float) -> None:
        """A fault came at that moment."""
        self.waiting += [_Waiting(stage, each, at) for stage, listed in partitions.items() for each in listed]

    def note(self, committed: Committed, at: float) -> None:
        """What is committed at a later moment. The first look after a fault is what progress is measured against:
        what was committed before it may have been on its way when the fault came.
        """
        still = []
        for each in self.waiting:
            offset = committed[each.stage][each.partition]
            if each.at_first is None:
                each.at_first = offset
            if offset > each.at_first:
                self.seconds.append(at - each.since)
            else:
                still.append(each)
        self.waiting = still


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The least value that is not below so many percent of all (nearest rank); None when there are none."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]
