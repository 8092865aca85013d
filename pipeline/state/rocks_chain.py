"""Proof that no write is missing from the middle.

RocksDB notices a damaged log, but not a MANIFEST that lost its tail: it then forgets files that it had flushed, and
replays a log that goes on after them (seen with 9.8, by cutting the MANIFEST at every byte). So each write leaves its
number in a ring of the last RING, in the same batch, and a store whose ring has a gap is unusable. The ring is longer
than any log, because the store flushes every FLUSH_EVERY writes.
"""

from __future__ import annotations

from rocksdict import ColumnFamily, Rdict, WriteBatch

from pipeline.errors import StateUnusable

RING = 4_096
FLUSH_EVERY = RING // 2

_PREFIX = b"write:"
_KEYS: list[str | int | float | bytes | bool] = [_PREFIX + slot.to_bytes(2, "big") for slot in range(RING)]


class WriteChain:
    """The numbers of a store's writes, from 1."""

    def __init__(self, metadata: Rdict) -> None:
        """As the database holds it; StateUnusable when a write is missing."""
        found = metadata.get(_KEYS) or []
        numbers = {int.from_bytes(value, "big") for value in found if value is not None}
        self.last = max(numbers, default=0)
        expected = set(range(max(1, self.last - RING + 1), self.last + 1))
        if numbers != expected:
            raise StateUnusable("writes are missing from the store", missing=len(expected - numbers))

    def extend(self, batch: WriteBatch, metadata: ColumnFamily) -> None:
        """Number this batch."""
        self.last += 1
        batch.put(_KEYS[self.last % RING], self.last.to_bytes(8, "big"), metadata)

    @property
    def flush_due(self) -> bool:
        return self.last % FLUSH_EVERY == 0
