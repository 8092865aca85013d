"""One question, "what has this device done?", put to each place as its users would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from operators.api import Record, TaskContext
from operators.device import DEVICE_STATE
from operators.testing import DictTable
from operators.topology import TableSpec
from pipeline.client import Client
from pipeline.errors import PipelineError
from pipeline.log.api import TopicPartition
from pipeline.log.kafka import connect
from pipeline.log.reading import read
from pipeline.log.traffic import TrafficMeter
from pipeline.partitioning import partition_of
from pipeline.rehearsal.ground import PARTITIONS, Ground
from pipeline.state.envelope import unseal
from pipeline.tradeoff.account import State
from pipeline.tradeoff.redis_rows import RedisRows

ANSWER_S: Final = 60.0


class Questions(Protocol):
    """For one thread."""

    def ask(self, device: str) -> State | None:
        """What it has done so far. Raises PipelineError when nobody can tell."""
        ...

    def states(self) -> Mapping[str, State]:
        """All devices."""
        ...

    def close(self) -> None: ...


class OfWorkers:
    """Over HTTP, from the worker that owns the device."""

    def __init__(self, ground: Ground) -> None:
        self._client = Client.connect(ground.settings, ground.topology, patience_s=ANSWER_S)

    def ask(self, device: str) -> State | None:
        row = self._client.get(DEVICE_STATE, device)
        return None if row is None else row.value

    def states(self) -> Mapping[str, State]:
        return {item.key: item.value for item in self._client.scan(DEVICE_STATE)}

    def position(self) -> int:
        """How many readings the stores include."""
        return sum(row.position or 0 for row in self._client.status())

    def close(self) -> None:
        self._client.close()


class OfRedis:
    """From Redis itself: no worker is asked."""

    def __init__(self, ground: Ground, url: str) -> None:
        self.rows = RedisRows(url, ground.settings.prefix)
        self._spec = ground.stage.table(DEVICE_STATE)

    def ask(self, device: str) -> State | None:
        sealed = self.rows.get(DEVICE_STATE, device.encode())
        return None if sealed is None else self._show(device.encode(), sealed)

    def states(self) -> Mapping[str, State]:
        return {key.decode(): self._show(key, sealed) for key, sealed in self.rows.scan(DEVICE_STATE)}

    def _show(self, key: bytes, sealed: bytes) -> State:
        return _shown(self._spec, key, self._spec.value.decode(unseal(sealed)))

    def close(self) -> None:
        self.rows.close()


class OfTheLog:
    """From the readings themselves: a partition from its beginning to its present end, folded."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stage = ground.stage
        self.meter = TrafficMeter()
        self._log = connect(ground.settings, self.meter)
        self._reader = self._log.reader()
        self._source = ground.full(self._stage.source)
        self.read = 0
        """Readings, by all questions."""

    def ask(self, device: str) -> State | None:
        key = device.encode()
        return self._fold(TopicPartition(self._source, partition_of(key, PARTITIONS)), key).get(device)

    def states(self) -> Mapping[str, State]:
        found: dict[str, State] = {}
        for number in range(PARTITIONS):
            found |= self._fold(TopicPartition(self._source, number), None)
        return found

    def _fold(self, partition: TopicPartition, only: bytes | None) -> dict[str, State]:
        tables = {table.name: DictTable(table.value) for table in self._stage.tables}
        fold = self._stage.operator(tables, TaskContext(partition.partition, lambda _key: True)).fold
        end = self._ground.admin.last_stable([partition])[partition]
        for batch in read(self._reader, partition, end):
            self.read += len(batch)
            for message in batch:
                key = message.key()
                if only is None or key == only:
                    fold(
                        Record(key, message.value(), message.timestamp()[1], "", partition.partition, message.offset())
                    )
        states = tables[DEVICE_STATE]
        states.commit()
        spec = self._stage.table(DEVICE_STATE)
        return {key.decode(): _shown(spec, key, row) for key, row in states.rows().items()}

    def close(self) -> None:
        self._reader.close()


def _shown(spec: TableSpec[Any], key: bytes, row: Any) -> State:
    shown: State = spec.show(key, row)
    return shown


class Asker:
    """Asks one device after the other, at a rate, in a thread of its own; `seconds` has how long each answer took."""

    def __init__(self, open_questions: Callable[[], Questions], devices: Sequence[str], rate: float) -> None:
        self._open = open_questions
        self._devices = devices
        self._pause_s = 1 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statelog-tradeoff-questions", daemon=True)
        self.seconds: list[float] = []
        self._failure: Exception | None = None
        self._thread.start()

    def end(self) -> list[float]:
        """Ask no more; how long each answer took. Raises what a question has met."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise PipelineError(f"a question was not answered: {self._failure}") from self._failure
        return self.seconds

    def _run(self) -> None:
        try:
            questions = self._open()
            try:
                number = 0
                while not self._stop.is_set():
                    began = time.perf_counter()
                    device = self._devices[number * 7919 % len(self._devices)]
                    if questions.ask(device) is None:
                        raise PipelineError("a device that has sent readings is not known", device=device)
                    took = time.perf_counter() - began
                    self.seconds.append(took)
                    number += 1
                    self._stop.wait(max(self._pause_s - took, 0.0))
            finally:
                questions.close()
        except Exception as error:
            self._failure = error


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 2)
