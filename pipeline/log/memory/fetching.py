"""Reading assigned partitions of a cluster: positions, pauses, and a fair turn for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.errors import PipelineError
from pipeline.log.api import TopicPartition
from pipeline.log.memory.records import MemoryRecord
from pipeline.log.memory.topics import MemoryTopics


class OutOfRange(PipelineError):
    """The log does not reach to where reading should go on. For the clients, which say it in their own words."""

    def __init__(self, partition: TopicPartition, next_offset: int) -> None:
        super().__init__("offset out of range", topic=partition.topic, partition=partition.partition,
                         offset=next_offset)  # fmt: skip


class _Fetch:
    def __init__(self, partition: TopicPartition, next_offset: int, *, paused: bool) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.position: int | None = None
        self.paused = paused
        self.stopped = False
        """Out of range: nothing comes any more, until it is assigned anew."""


class Fetcher:
    """What a consumer reads. A topic that is gone gives nothing, and a new one of its name goes on where it was."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._fetches: dict[TopicPartition, _Fetch] = {}
        self._turn = 0

    def add(self, positions: Mapping[TopicPartition, int], *, paused: bool = False) -> None:
        for partition, next_offset in positions.items():
            self._fetches[partition] = _Fetch(partition, next_offset, paused=paused)

    def remove(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._fetches.pop(partition, None)

    def clear(self) -> None:
        self._fetches = {}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Those that are not read at all do no harm."""
        for partition in partitions:
            fetch = self._fetches.get(partition)
            if fetch is not None:
                fetch.paused = True

    def seek(self, partition: TopicPartition, next_offset: int) -> None:
        """Read on from there. Raises PipelineError for what is not read, or was stopped."""
        fetch = self._fetches.get(partition)
        if fetch is None or fetch.stopped:
            raise PipelineError(f"failed to seek to offset {next_offset}: erroneous state", code="_STATE")
        fetch.next_offset, fetch.position, fetch.paused = next_offset, None, False

    def position(self, partition: TopicPartition) -> int | None:
        fetch = self._fetches.get(partition)
        return None if fetch is None else fetch.position

    def poll(self, limit: int) -> list[MemoryRecord]:
        """Committed records, each partition's together. Raises OutOfRange, once for each partition."""
        fetches = [each for each in self._fetches.values() if not each.paused and not each.stopped]
        found: list[MemoryRecord] = []
        if not fetches:
            return found
        self._turn += 1
        first = self._turn % len(fetches)
        for fetch in fetches[first:] + fetches[:first]:
            log = self._topics.find(fetch.partition)
            if log is None:
                continue
            if not log.holds(fetch.next_offset):
                if found:
                    break  # those first
                fetch.stopped = True
                raise OutOfRange(fetch.partition, fetch.next_offset)
            records, next_offset = log.read(fetch.next_offset, limit - len(found))
            if next_offset != fetch.next_offset:
                fetch.next_offset = fetch.position = next_offset
                found += records
            if len(found) >= limit:
                break
        return found
