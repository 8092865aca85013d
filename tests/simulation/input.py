"""What devices send in a simulated run: good and broken, twice, late, in transactions that may abort."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from pipeline.errors import PipelineError
from pipeline.log.api import Sink
from pipeline.log.memory import START_MS, MemoryCluster
from pipeline.settings import Settings
from pipeline.telemetry.poison import POISONS, spoil

DEVICES = 5
STEP_MS = 20_000
"""Three readings fill a window."""
UNITS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("temperature", ("degC", "degC", "degF")),
    ("pressure", ("kPa", "bar")),
)
_BEGIN_MS = START_MS - 6 * 3_600_000
"""Devices may not run ahead of Kafka's clock."""
_POISONS = [poison for poison in POISONS if poison.kind not in {"too-large", "too-deep"}]

Message = tuple[bytes | None, bytes | None]


class Input:
    """Feeds telemetry, and remembers which messages are good."""

    def __init__(self, cluster: MemoryCluster, chance: random.Random, settings: Settings) -> None:
        self.good: set[Message] = set()
        self.refused = self.forgotten = 0
        self._cluster = cluster
        self._chance = chance
        self._log = cluster.connect(settings)
        self._times = dict.fromkeys(range(DEVICES), _BEGIN_MS)
        self._numbers = dict.fromkeys(range(DEVICES), 0)
        self._last: Message | None = None
        self._sink: Sink | None = None

    def some(self) -> list[Message]:
        return [self._message() for _ in range(self._chance.randint(1, 8))]

    def feed(self) -> None:
        self._cluster.feed("telemetry", self.some())

    def begin(self) -> None:
        """A producer sends in a transaction, which stays open."""
        if self._sink is None:
            try:
                self._sink = self._log.sink("a-producer")
                self._sink.begin()
                for key, value in self.some():
                    self._sink.send("telemetry", key, value, self._cluster.clock.now_ms)
            except PipelineError:
                self._sink = None

    def end(self, *, commit: bool) -> bool:
        """It ends; whether there was one. If its time was over, it was aborted already."""
        sink, self._sink = self._sink, None
        if sink is None:
            return False
        try:
            if commit:
                sink.flush()
                sink.commit()
            else:
                sink.abort()
        except PipelineError:
            pass
        return True

    def forget(self) -> None:
        """Somebody wants a device forgotten."""
        self.forgotten += 1
        self._cluster.feed("readings", [(self._name(self._chance.randrange(DEVICES)).encode(), None)])

    @staticmethod
    def _name(device: int) -> str:
        return f"device-{device}"

    def _message(self) -> Message:
        chance = self._chance.random()
        if chance < 0.05 and self._last is not None:
            return self._last  # sent twice
        key, fields = self._reading()
        message = key, json.dumps(fields, separators=(",", ":")).encode()
        if chance > 0.93:
            self.refused += 1
            return spoil(self._chance.choice(_POISONS), *message)
        self._last = message
        self.good.add(message)
        return message

    def _reading(self) -> tuple[bytes, dict[str, Any]]:
        chance, device = self._chance, self._chance.randrange(DEVICES)
        if chance.random() < 0.03:
            self._numbers[device] = 0  # it restarts
        self._numbers[device] += 1
        self._times[device] += STEP_MS
        late_ms = chance.choice((0, 0, 0, 0, STEP_MS * 2, STEP_MS * 9))
        metric, units = chance.choice(UNITS)
        if chance.random() < 0.03:
            units = ("percent",)  # not the metric's: the aggregate refuses it
        fields = {
            "device_id": self._name(device),
            "metric": metric,
            "value": round(chance.uniform(-50, 150), 2),
            "unit": chance.choice(units),
            "event_time": self._times[device] - late_ms,
        }
        if chance.random() < 0.8:
            fields["seq"] = self._numbers[device]
        return self._name(device).encode(), fields
