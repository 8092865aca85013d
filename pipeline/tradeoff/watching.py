"""What is seen from outside: how far the group has committed, who holds what, and when results come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.client_id import parse_client_id
from pipeline.errors import PipelineError, Retryable
from pipeline.log.api import TopicPartition
from pipeline.log.kafka import connect
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.worker_process import WorkerProcess
from pipeline.runtime.identity import group_of

PATIENCE_S: Final = 180.0
"""For each thing that has to come."""
LOOK_EVERY_S: Final = 0.02


class Watch:
    """Of the stage with the tables; for one thread."""

    def __init__(self, ground: Ground) -> None:
        self._admin = ground.admin
        self._group = group_of(ground.settings.prefix, ground.stage)
        self._sources = ground.partitions(ground.stage.source)
        self.workers: list[WorkerProcess] = []
        """Those that have to be alive meanwhile."""

    def committed(self) -> dict[int, int]:
        """By partition, the next offset."""
        found = self._admin.group_offsets(self._group, self._sources)
        return {source.partition: each.next_offset if each else 0 for source, each in found.items()}

    def folded(self) -> int:
        """How many readings are committed."""
        return sum(self.committed().values())

    def held(self) -> dict[str, list[int]]:
        """By worker, its partitions."""
        return {
            client.worker_id: [each.partition for each in member.partitions]
            for member in self._admin.members(self._group)
            if (client := parse_client_id(member.client_id)) is not None
        }

    def until(self, what: str, done: Callable[[], bool], every_s: float = LOOK_EVERY_S) -> float:
        """Look until it is so; the moment (monotonic). Raises Retryable when time is up, PipelineError when a worker
        has ended by itself.
        """
        give_up = time.monotonic() + PATIENCE_S
        while not done():
            for worker in self.workers:
                worker.require_alive()
            if time.monotonic() > give_up:
                raise Retryable(f"waited {PATIENCE_S:g} s until {what}")
            time.sleep(every_s)
        return time.monotonic()

    def until_progress(self, partitions: Iterable[int]) -> float:
        """Until each of these has committed something more than it has now; the moment."""
        listed, before = list(partitions), self.committed()

        def moved() -> bool:
            now = self.committed()
            return all(now[each] > before[each] for each in listed)

        return self.until("what stood still goes on", moved)


class Results:
    """Reads `windows` as it grows, in a thread of its own. A result has the timestamp of the reading that closed it."""

    def __init__(self, ground: Ground) -> None:
        topic = ground.full("windows")
        self._reader = connect(ground.settings).reader()
        partitions: list[TopicPartition] = ground.partitions("windows")
        self._reader.assign(ground.admin.high_watermarks(partitions))
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._arrived: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._run, name=f"statelog-{topic}", daemon=True)
        self._thread.start()

    def end(self, since_ms: float, until_ms: float) -> list[float]:
        """Read no more. Of each result whose reading was sent between these, the seconds from that to its arrival."""
        self._stop.set()
        self._thread.join()
        self._reader.close()
        if self._failure is not None:
            raise PipelineError(f"the results could not be read: {self._failure}") from self._failure
        return [(at_ms - sent_ms) / 1_000 for sent_ms, at_ms in self._arrived if since_ms <= sent_ms <= until_ms]

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for message in self._reader.poll(1, 0.05):
                    self._arrived.append((message.timestamp()[1], time.time() * 1_000))
        except Exception as error:
            self._failure = error
