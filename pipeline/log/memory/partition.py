"""One partition's log: records at rising offsets, some of them in transactions that are still open.

Modelled: markers take offsets; a last stable offset below the end while a transaction is open; aborted records that no
reader meets; compaction with its lag, its tombstones and its holes; a start that moves up.
Not modelled: segments (compaction and retention may take any record, where Kafka spares the active segment), batches,
compression, several replicas (the end of the log is the high watermark).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from pipeline.log.memory.records import CREATE_TIME, LOG_APPEND_TIME, NOBODY, MemoryRecord
from pipeline.log.memory.topic_config import TopicConfig


class PartitionLog:
    """A partition of one topic, from its creation to its deletion."""

    def __init__(self, topic: str, partition: int, config: TopicConfig) -> None:
        self.topic = topic
        self.partition = partition
        self.config = config
        self.start = 0
        """The first offset that may be asked for; compaction leaves it where it is."""
        self.end = 0
        """The high watermark: the next offset to be given."""
        self._records: list[MemoryRecord] = []
        self._offsets: list[int] = []
        self._open: dict[int, int] = {}
        """By producer, the offset at which its open transaction began here."""
        self._horizons: dict[int, int] = {}
        """By offset of a tombstone that a compaction has met: when the next one may take it."""

    @property
    def last_stable(self) -> int:
        """Below this every transaction has ended."""
        return min(self._open.values()) if self._open else self.end

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        created_ms: int,
        now_ms: int,
        headers: list[tuple[str, bytes]] | None = None,
        producer: int = NOBODY,
    ) -> int:
        """Returns the record's offset. A producer in a transaction has to `open` it here first."""
        offset = self.end
        timestamp = (LOG_APPEND_TIME, now_ms) if self.config.append_time else (CREATE_TIME, created_ms)
        self._records.append(MemoryRecord(self.topic, self.partition, offset, key, value, timestamp, headers, producer))
        self._offsets.append(offset)
        self.end = offset + 1
        return offset

    def open(self, producer: int) -> None:
        """A producer's transaction begins here, if it has not yet."""
        self._open.setdefault(producer, self.end)

    def mark(self, producer: int, *, commit: bool) -> None:
        """The marker that ends a producer's transaction."""
        began = self._open.pop(producer, None)
        if began is None:
            return  # the topic was made anew since
        if not commit:
            index = bisect_left(self._offsets, began)
            kept = [record for record in self._records[index:] if record.producer != producer]
            self._records[index:] = kept
            self._offsets[index:] = [record.offset() for record in kept]
        self.end += 1

    def holds(self, next_offset: int) -> bool:
        """Whether reading may go on from here."""
        return self.start <= next_offset <= self.end

    def read(self, next_offset: int, limit: int) -> tuple[Sequence[MemoryRecord], int]:
        """Committed records from an offset on, and where to read next: past markers, when no record is left."""
        stable = self.last_stable
        if next_offset >= stable:
            return (), next_offset
        first = bisect_left(self._offsets, next_offset)
        last = len(self._offsets) if stable == self.end else bisect_left(self._offsets, stable, first)
        if last - first >= limit:
            last = first + limit
            return self._records[first:last], self._offsets[last - 1] + 1
        return self._records[first:last], stable

    def truncate_before(self, offset: int) -> None:
        """The log begins here now."""
        self.start = max(self.start, min(offset, self.end))
        gone = bisect_left(self._offsets, self.start)
        del self._records[:gone], self._offsets[:gone]

    def expire(self, now_ms: int) -> None:
        """Retention by time: the log begins at the first record that is young enough."""
        if self.config.retention_ms < 0 or not self.config.deletes:
            return
        oldest = now_ms - self.config.retention_ms
        kept = next((record.offset() for record in self._records if record.timestamp()[1] > oldest), self.end)
        self.truncate_before(kept)

    def compact(self, now_ms: int) -> None:
        """Keep the last value of each key, of what is old enough and stable; offsets stay as they are.

        A tombstone that is its key's last record stays for `delete.retention.ms` after the first compaction that met
        it, as in Kafka (KIP-534).
        """
        if not self.config.compacts:
            return
        clean = self._cleanable(now_ms)
        last = {record.key(): record.offset() for record in self._records[:clean]}
        kept = [
            record
            for record in self._records[:clean]
            if last[record.key()] == record.offset() and not self._expired(record, now_ms)
        ]
        self._records[:clean] = kept
        self._offsets = [record.offset() for record in self._records]
        left = {record.offset() for record in kept}
        self._horizons = {offset: at for offset, at in self._horizons.items() if offset in left}

    def _cleanable(self, now_ms: int) -> int:
        """How many records from the start compaction may touch."""
        youngest = now_ms - self.config.min_compaction_lag_ms
        stable = bisect_left(self._offsets, self.last_stable)
        for index, record in enumerate(self._records[:stable]):
            if record.timestamp()[1] > youngest:
                return index
        return stable

    def _expired(self, record: MemoryRecord, now_ms: int) -> bool:
        if record.value() is not None:
            return False
        offset = record.offset()
        if offset not in self._horizons:
            self._horizons[offset] = now_ms + self.config.delete_retention_ms
            return False
        return now_ms >= self._horizons[offset]
