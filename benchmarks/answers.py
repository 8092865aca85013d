"""What answers have to be: as many readings as the topic holds before their position, and the oracle's row of those."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.asking import Answer
from benchmarks.latency import messages_for
from benchmarks.reading import PARTITIONS
from benchmarks.streams import Stream
from pipeline.partitioning import partition_of
from pipeline.telemetry.poison import Message
from tests.oracle import Parameters, ReadingsRecord, differences, recount


class Sent:
    """Readings in the order in which they are sent, by one producer to an empty topic: so their offsets are known."""

    def __init__(self, source: str, devices: int, records: int) -> None:
        self._messages = messages_for(source, Stream(devices, "uniform", records))
        self._next = [0] * PARTITIONS
        self._partitions: dict[bytes, int] = {}
        self._offsets: defaultdict[str, list[int]] = defaultdict(list)
        self._values: defaultdict[str, list[bytes]] = defaultdict(list)
        self._taken = 0

    @property
    def left(self) -> int:
        return len(self._messages) - self._taken

    def take(self, count: int) -> list[Message]:
        """The next so many, which are sent then."""
        taken = self._messages[self._taken :][:count]
        assert len(taken) == count, "more was sent than was made"
        self._taken += count
        for key, value in taken:
            assert key is not None
            assert value is not None
            if key not in self._partitions:
                self._partitions[key] = partition_of(key, PARTITIONS)
            partition = self._partitions[key]
            name = key.decode()
            self._offsets[name].append(self._next[partition])
            self._values[name].append(value)
            self._next[partition] += 1
        return taken

    def devices(self) -> list[str]:
        return sorted(self._offsets)

    def wrong(self, answers: Sequence[Answer], whole: Sequence[tuple[str, Any]]) -> Iterator[str]:
        """What is wrong with them, a line each: none, and values and positions are of one moment."""
        for answer in answers:
            count = self._before(answer.key, answer.position)
            if answer.of != count:
                yield f"{answer.key} at {answer.position} is of {answer.of} readings, not {count}"
        rows: dict[tuple[str, int], Any] = {}
        for key, row in whole:
            count = self._before(key, row["meta"]["position"])
            if (key, count) not in rows:
                rows[key, count] = self._row(key, count)
            yield from differences({key: rows[key, count]}, {key: row["value"]})

    def _before(self, name: str, position: int) -> int:
        return bisect_left(self._offsets[name], position)

    def _row(self, name: str, count: int) -> Any:
        partition = self._partitions[name.encode()]
        parts = zip(self._offsets[name][:count], self._values[name][:count], strict=True)
        records = [ReadingsRecord(partition, offset, name.encode(), json.loads(value)) for offset, value in parts]
        return recount(records, Parameters(partitions=PARTITIONS)).devices[name]
