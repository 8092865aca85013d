"""The telemetry of a benchmark: decided by how many devices there are, how their keys are spread, how many records.

Uniform keys are those of `statelog produce`: in each round every gauge reports once. With Zipf's law device number k
reports in proportion to 1/k^1.1, as in a fleet where a few never rest. In both 1 reading in 100 is sent twice and 1 in
100 late, and nothing is broken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import numpy as np

from pipeline.telemetry.fleet import fleet_of
from pipeline.telemetry.generator import DEFAULT_START_MS, Plan, Telemetry
from pipeline.telemetry.poison import Message

Keys = Literal["uniform", "zipf"]

INTERVAL_MS: Final = 10_000
"""How often a gauge reports, in event time; with skewed keys, on average."""
EXPONENT: Final = 1.1
_SEED: Final = 1
_BLOCK: Final = 16_384
_SENT_TWICE: Final = 0.01
_LATE: Final = 0.01
_LONGEST_WAIT: Final = 12
"""Reports of the same gauge, by which a late or repeated one comes after it."""


class Stream(NamedTuple):
    """The same stream gives the same bytes, and a shorter one is the beginning of a longer one."""

    devices: int
    keys: Keys
    records: int

    def __str__(self) -> str:
        return f"{self.records:,} records, {self.devices:,} devices, {self.keys}"

    def messages(self) -> Iterator[list[Message]]:
        """All of them, in batches, in the order in which they are sent."""
        made = _skewed(self.devices) if self.keys == "zipf" else _uniform(self.devices)
        left = self.records
        for batch in made:
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return


def _uniform(devices: int) -> Iterator[list[Message]]:
    for batch in Telemetry(Plan(devices, seed=_SEED, interval_ms=INTERVAL_MS)):
        yield batch.messages


def _skewed(devices: int) -> Iterator[list[Message]]:
    rng = np.random.default_rng(_SEED)
    fleet = fleet_of(devices, rng)
    order = np.argsort(fleet.device, kind="stable")
    """Channels by device."""
    counts = np.bincount(fleet.device, minlength=devices)
    firsts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    chances = np.cumsum(1 / np.arange(1, devices + 1) ** EXPONENT)
    step_ms = INTERVAL_MS / fleet.channels
    seqs: defaultdict[int, int] = defaultdict(int)
    waiting: defaultdict[int, list[tuple[int, Message]]] = defaultdict(list)
    """By channel, what is to be sent once its number has come so far."""
    sent = 0
    while True:
        chosen = np.searchsorted(chances, rng.random(_BLOCK) * chances[-1])
        channels = order[firsts[chosen] + rng.integers(counts[chosen])]
        values = fleet.base[channels] + fleet.noise[channels] * rng.standard_normal(_BLOCK)
        values = np.clip(values, fleet.low[channels], fleet.high[channels])
        fates = rng.random(_BLOCK).tolist()
        waits = rng.integers(1, _LONGEST_WAIT + 1, size=_BLOCK).tolist()
        rows = zip(
            channels.tolist(),
            fleet.template[channels].tolist(),
            fleet.ids[fleet.device[channels]].tolist(),
            values.tolist(),
            fleet.tags[channels].tolist(),
            fates,
            waits,
            strict=True,
        )
        batch: list[Message] = []
        for channel, template, key, value, tags, fate, wait in rows:
            seq = seqs[channel]
            seqs[channel] = seq + 1
            event_time = DEFAULT_START_MS + int(sent * step_ms)
            message = (key, template % (key, value, event_time, seq, tags))
            sent += 1
            if fate >= _LATE:
                batch.append(message)
            if fate < _LATE + _SENT_TWICE:
                waiting[channel].append((seq + wait, message))
            if channel in waiting:
                held = waiting.pop(channel)
                batch += [each for due, each in held if due <= seq]
                if still := [(due, each) for due, each in held if due > seq]:
                    waiting[channel] = still
        yield batch
