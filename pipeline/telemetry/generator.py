"""An endless stream of telemetry, wholly decided by its plan: the same plan gives the same bytes.

Event time goes in rounds: in each, every gauge reports once. Some reports are broken, some wait in the device and come
rounds later, some are sent twice; some devices restart, which begins their seq anew and loses what waited in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.telemetry.fleet import Fleet, fleet_of
from pipeline.telemetry.poison import POISONS, Message, spoil
from pipeline.telemetry.tally import BROKEN, DELAYED, FRESH, RETRANSMITTED, Codes

DEFAULT_START_MS = 1_735_689_600_000
"""2025-01-01T00:00:00Z: a constant of the past, as devices may not run ahead of Kafka's clock."""
DAY_MS = 86_400_000

_BLOCK = 16_384
"""Channels worked on at once: enough for numpy, few enough for memory."""
_RETRANSMITTED_SHARE = 0.01
_DELAYED_SHARE = 0.01
_RESTART_SHARE = 0.0005
"""Of the devices, each round."""
_LONGEST_WAIT = 12
"""Rounds. Below the 64 seqs that duplicates are known by."""


@dataclass(frozen=True)
class Plan:
    """What decides every byte."""

    devices: int
    seed: int = 0
    bad: float = 0.0
    """Share of broken messages, 0 to 1."""
    start_ms: int = DEFAULT_START_MS
    interval_ms: int = 10_000
    """How often each gauge reports, in event time."""

    def __post_init__(self) -> None:
        if self.devices < 1 or self.interval_ms < 1 or self.start_ms < 0 or not 0 <= self.bad <= 1 or self.seed < 0:
            raise ValueError(
                "a plan needs a device, an interval, a start after 1970, a seed of 0 or more, 0 <= bad <= 1"
            )


class Batch(NamedTuple):
    """Messages in the order in which they are sent, and what each of them is, for a Tally."""

    messages: list[Message]
    codes: Codes
    event_time_end: int
    """Every reading so far is older than this: where another run may start."""


class _Waiting(NamedTuple):
    message: Message
    code: int
    device: int
    since: int
    """The round in which the reading was made."""


class Telemetry:
    """The stream of a plan. One object is one stream: iterate over it once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = np.random.default_rng(plan.seed)
        self._fleet: Fleet = fleet_of(plan.devices, self._rng)
        self._restarted = np.zeros(plan.devices, dtype=np.int64)
        self._waiting: dict[int, list[_Waiting]] = {}

    @property
    def channels(self) -> int:
        """Readings in a round."""
        return self._fleet.channels

    def __iter__(self) -> Iterator[Batch]:
        round_number = 0
        while True:
            if round_number:
                restarts = self._rng.random(self._plan.devices) < _RESTART_SHARE
                self._restarted[restarts] = round_number
            for first in range(0, self._fleet.channels, _BLOCK):
                last = first + _BLOCK >= self._fleet.channels
                # At the end of the round, after the readings that have overtaken them.
                overdue = self._due(round_number) if last else []
                yield self._block(round_number, slice(first, first + _BLOCK), overdue)
            round_number += 1

    def _due(self, round_number: int) -> list[_Waiting]:
        """What devices kept until now, except those that restarted since."""
        return [
            waiting
            for waiting in self._waiting.pop(round_number, [])
            if self._restarted[waiting.device] <= waiting.since
        ]

    def _block(self, round_number: int, block: slice, overdue: list[_Waiting]) -> Batch:
        fleet, plan, rng = self._fleet, self._plan, self._rng
        device = fleet.device[block]
        times = plan.start_ms + round_number * plan.interval_ms + self._instants(block)
        values = self._values(block, times)
        restarted = self._restarted[device]
        keys = fleet.ids[device].tolist()
        rows = zip(
            fleet.template[block].tolist(),
            keys,
            values.tolist(),
            times.tolist(),
            (round_number - restarted).tolist(),
            fleet.tags[block].tolist(),
            strict=True,
        )
        good = list(zip(keys, [row[0] % row[1:] for row in rows], strict=True))
        messages: list[Message] = list(good)

        first_of_a_life = (restarted == round_number) & (round_number > 0)
        fate = rng.random(len(messages))
        codes = np.full(len(messages), FRESH, dtype=np.uint8)
        chosen = np.flatnonzero((fate < plan.bad) & (~first_of_a_life | (plan.bad == 1)))
        kinds = rng.integers(len(POISONS), size=len(chosen))
        codes[chosen] = BROKEN + kinds
        for index, kind in zip(chosen.tolist(), kinds.tolist(), strict=True):
            messages[index] = spoil(POISONS[kind], *good[index])
        keep = self._hold_back(messages, device, fate - plan.bad, first_of_a_life, round_number)
        end = plan.start_ms + (round_number + 1) * plan.interval_ms
        if keep.all() and not overdue:
            return Batch(messages, codes, end)
        late = [waiting.message for waiting in overdue]
        late_codes = np.array([waiting.code for waiting in overdue], dtype=np.uint8)
        return Batch([*compress(messages, keep.tolist()), *late], np.concatenate((codes[keep], late_codes)), end)

    def _instants(self, block: slice) -> npt.NDArray[np.int64]:
        """When in the round each channel reports: at its own phase, with some jitter, and never in the next round."""
        phase = self._fleet.phase[block]
        share = phase + 0.29 * self._rng.random(len(phase))
        return (share * self._plan.interval_ms).astype(np.int64)

    def _values(self, block: slice, times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        fleet = self._fleet
        of_day = (times % DAY_MS) / DAY_MS - fleet.day_phase[block]
        values = (
            fleet.base[block]
            + fleet.swing[block] * np.cos(2 * np.pi * of_day)
            + fleet.noise[block] * self._rng.standard_normal(len(times))
        )
        return np.clip(values, fleet.low[block], fleet.high[block])

    def _hold_back(
        self,
        messages: list[Message],
        device: npt.NDArray[np.int64],
        chance: npt.NDArray[np.float64],
        first_of_a_life: npt.NDArray[np.bool_],
        round_number: int,
    ) -> npt.NDArray[np.bool_]:
        """Choose what is sent again later and what is sent only later; says which messages go out now.

        A device's first reading after a restart goes out at once and whole: it is how anybody learns of the restart.
        """
        share_whole = 1 - self._plan.bad
        whole = (chance >= 0) & ~first_of_a_life
        again = whole & (chance < _RETRANSMITTED_SHARE * share_whole)
        later = whole & ~again & (chance < (_RETRANSMITTED_SHARE + _DELAYED_SHARE) * share_whole)
        held = np.flatnonzero(again | later)
        # Most come in the next round; some after so long that their window may have closed.
        waits = np.where(self._rng.random(len(held)) < 0.8, 1, self._rng.integers(2, _LONGEST_WAIT + 1, size=len(held)))
        for index, wait, is_again in zip(held.tolist(), waits.tolist(), again[held].tolist(), strict=True):
            code = RETRANSMITTED if is_again else DELAYED
            waiting = _Waiting(messages[index], code, int(device[index]), round_number)
            self._waiting.setdefault(round_number + wait, []).append(waiting)
        return ~later
