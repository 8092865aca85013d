"""What must have come of the readings that were sent, by an independent recount; what was lost and doubled of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.rehearsal.checks import SUM_TOLERANCE
from pipeline.rehearsal.recount import Recount, Sent, recount

WINDOW_MS: Final = 60_000
GRACE_MS: Final = 30_000

Window = tuple[str, str, int]
"""Device, metric and start."""
State = Mapping[str, Any]
"""A device, as queries give it."""


@dataclass(frozen=True)
class Verdict:
    """What came out against what must have."""

    devices: int
    readings: int
    readings_lost: int
    readings_doubled: int
    results: int
    """Of windows, that must be there."""
    results_lost: int
    results_doubled: int
    wrong_sums: int
    """Metrics of devices whose sum differs although nothing was lost or doubled of them."""

    @property
    def lost(self) -> int:
        return self.readings_lost + self.results_lost

    @property
    def doubled(self) -> int:
        return self.readings_doubled + self.results_doubled

    @property
    def exact(self) -> bool:
        return not (self.lost or self.doubled or self.wrong_sums)


class Account:
    """Of the first so many readings of the stream."""

    def __init__(self, telemetry: Sequence[Sent]) -> None:
        self._counted: Recount = recount(telemetry, ())
        self.results = closed_windows(telemetry)

    def judge(self, states: Mapping[str, State], results: Counter[Window] | None) -> Verdict:
        """`results`: how often each result was found; None where nobody sends any."""
        lost = doubled = wrong = 0
        for device in self._counted.devices.keys() | states.keys():
            expected = self._counted.devices.get(device)
            metrics = expected.metrics if expected else {}
            found = states[device]["metrics"] if device in states else {}
            for name in metrics.keys() | found.keys():
                count = metrics[name].count if name in metrics else 0
                has = int(found[name]["count"]) if name in found else 0
                lost += max(count - has, 0)
                doubled += max(has - count, 0)
                wrong += count == has and not math.isclose(
                    metrics[name].sum, found[name]["sum"], rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE
                )
        sent = self.results if results is not None else frozenset()
        times = results or Counter()
        return Verdict(
            devices=len(self._counted.devices),
            readings=self._counted.readings,
            readings_lost=lost,
            readings_doubled=doubled,
            results=len(sent),
            results_lost=len(sent - times.keys()),
            results_doubled=sum(count - (window in sent) for window, count in times.items()),
            wrong_sums=wrong,
        )


def closed_windows(telemetry: Sequence[Sent]) -> frozenset[Window]:
    """The windows whose results are due: their metric's clock has passed their end and the grace."""
    seen: set[bytes] = set()
    clocks: dict[tuple[str, str], int] = {}
    opened: set[Window] = set()
    for record in telemetry:
        if record.value is None or record.value in seen:
            continue
        seen.add(record.value)
        reading = json.loads(record.value)
        gauge = reading["device_id"], reading["metric"]
        clock = clocks[gauge] = max(clocks.get(gauge, -1), reading["event_time"])
        start = reading["event_time"] // WINDOW_MS * WINDOW_MS
        if clock < start + WINDOW_MS + GRACE_MS:
            opened.add((*gauge, start))
    return frozenset(each for each in opened if clocks[each[:2]] >= each[2] + WINDOW_MS + GRACE_MS)
