"""The readings that every place gets: the same ones, in the same order, made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from operators.api import Output, Record
from operators.normalise import Normalise
from pipeline.errors import PipelineError
from pipeline.partitioning import partition_of
from pipeline.rehearsal.ground import PARTITIONS
from pipeline.rehearsal.recount import Sent
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.poison import Message

INTERVAL_MS: Final = 60_000
"""How often each gauge reports, in event time: once a window, so that each reading closes one, and has a result."""
_TOPIC_ID: Final = "telemetry"
_NO_TIME: Final = 4_102_444_800_000
"""The Kafka timestamp that the transform sees: later than any made-up reading."""


class Stream:
    """Made-up telemetry as the transform stage would have it. No end; what was made is kept."""

    def __init__(self, devices: int, seed: int) -> None:
        self._batches = iter(Telemetry(Plan(devices, seed, interval_ms=INTERVAL_MS)))
        self._transform = Normalise().transform
        self._partitions: dict[bytes, int] = {}
        self._offsets = [0] * PARTITIONS
        self.telemetry: list[Sent] = []
        """By place in the stream, what the reading was made of."""
        self._readings: list[Message] = []

    def readings(self, first: int, stop: int) -> Sequence[Message]:
        """Keys and values of the readings with first <= place < stop."""
        while len(self._readings) < stop:
            for key, value in next(self._batches).messages:
                self._add(key, value)
        return self._readings[first:stop]

    @property
    def devices(self) -> list[str]:
        """Those that have sent something so far."""
        return [key.decode() for key in self._partitions]

    def _add(self, key: bytes | None, value: bytes | None) -> None:
        assert key is not None and value is not None  # noqa: S101, PT018 - the plan breaks nothing
        partition = self._partitions.get(key)
        if partition is None:
            partition = self._partitions[key] = partition_of(key, PARTITIONS)
        offset = self._offsets[partition]
        self._offsets[partition] += 1
        outcome = self._transform(Record(key, value, _NO_TIME, _TOPIC_ID, partition, offset))
        if not isinstance(outcome, Output):
            raise PipelineError(f"made-up telemetry was refused: {outcome}")
        self.telemetry.append(Sent(partition, offset, key, value))
        self._readings.append((outcome.key, outcome.value))


def slices(first: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """The range in pieces."""
    for start in range(first, stop, size):
        yield start, min(start + size, stop)
