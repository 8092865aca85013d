"""Who owns which partition, as the consumer group itself tells it: a hint, which the owner has to confirm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.client_id import ClientId, parse_client_id
from pipeline.errors import Misconfigured
from pipeline.log.api import Admin, Member
from pipeline.partitioning import partition_of

FRESH_S = 1.0
"""How long an answer of the cluster is used. A description of the group costs 1 to 2 ms."""


class Directory:
    """The owners of one stage's partitions. Any thread may ask; a call may wait for the cluster."""

    def __init__(
        self,
        members: Callable[[], Sequence[Member]],
        topic: str,
        partitions: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        """The stage's source topic, by its full name."""
        self.partitions = partitions
        """How many partitions it has."""
        self._members = members
        self._clock = clock
        self._lock = threading.Lock()
        self._owners: dict[int, ClientId] = {}
        self._workers: list[ClientId] = []
        self._known_at: float | None = None

    @classmethod
    def of_group(cls, admin: Admin, group: str, topic: str) -> Directory:
        """A directory fed by the cluster; Misconfigured when the topic does not exist."""
        info = admin.topics([topic]).get(topic)
        if info is None:
            raise Misconfigured(f"topic {topic} does not exist", hint="statelog topics create makes it")
        return cls(lambda: admin.members(group), topic, info.partitions)

    def partition_of(self, routing_key: bytes) -> int:
        return partition_of(routing_key, self.partitions)

    def fresh(self) -> bool:
        """Whether `owners` answers without asking the cluster."""
        return self._known_at is not None and self._clock() - self._known_at < FRESH_S

    def owners(self) -> Mapping[int, ClientId]:
        """By partition, its owner. One that nobody owns, or whose owner is no worker of ours, is absent.

        Raises PipelineError when the cluster does not say.
        """
        with self._lock:
            self._refresh()
            return self._owners

    def workers(self) -> list[ClientId]:
        """Every member that is a worker of ours, also one that owns nothing; raises as `owners` does."""
        with self._lock:
            self._refresh()
            return self._workers

    def _refresh(self) -> None:
        if self.fresh():
            return
        owners: dict[int, ClientId] = {}
        workers: list[ClientId] = []
        for member in self._members():
            worker = parse_client_id(member.client_id)
            if worker is not None:
                workers.append(worker)
                owners |= {each.partition: worker for each in member.partitions if each.topic == self.topic}
        self._owners, self._workers = owners, workers
        self._known_at = self._clock()

    def doubt(self) -> None:
        """Ask the cluster again next time: an owner denied, or did not answer."""
        self._known_at = None
