"""Faust's consumer, made to read a source partition only from where its group stands.

Faust 0.15.3 loses its place around a rebalance. When the tables are restored its fetcher is running, and then

1. `getmany` asks aiokafka for the very set of partitions that `pause_partitions` empties meanwhile, and aiokafka takes
   an empty set for all. So a read that was under way brings records of the source, which `getmany` drops, for they
   are paused; aiokafka's position stays behind them.
2. Recovery resumes the source partitions first and seeks them afterwards, so records are handed over in between.
3. The seek passes over partitions without a commit: what 1 dropped there is never read. Of the others, what 2 handed
   over comes a second time. And Faust's own read offsets are set only when all partitions have been asked for, one
   after the other: until then, what comes again is taken for known and dropped, what 1 dropped among it.

Here a read asks for what was wanted when it began; and from a rebalance until the seek is through, nothing of the
source is read, nor handed over if it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Final

from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import Consumer, Transport

_SHORT_READ_S: Final = 0.1
"""How long a read waits for records of changelogs; the seek waits for the read."""


class HostConsumer(Consumer):  # type: ignore[misc] # Faust is not typed
    """Knows whether the source partitions are at their place."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._placed = False
        self._reading = asyncio.Lock()

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        self._placed = False
        await super().on_partitions_assigned(assigned, generation_id)

    def resume_partitions(self, tps: Iterable[Any]) -> None:
        self._placed = False  # recovery resumes, and seeks then
        super().resume_partitions(tps)

    async def perform_seek(self) -> None:
        """Put each source partition where the group's commit is, or at its beginning, while nothing is read."""
        self._placed = False
        async with self._reading:
            await super().perform_seek()
            unmoved = [tp for tp in self._source(self.assignment()) if not self._read_offset[tp]]
            if unmoved:
                await self._thread.seek_to_beginning(*(TopicPartition(*tp) for tp in unmoved))
            self._placed = True

    async def _getmany(self, active_partitions: Collection[Any], timeout: float) -> dict[Any, list[Any]]:
        async with self._reading:
            wanted = self._readable(active_partitions)
            if wanted:
                timeout = timeout if self._placed else min(timeout, _SHORT_READ_S)
                records = await super()._getmany(wanted, timeout)
                readable = self._readable(records)
                return {tp: found for tp, found in records.items() if tp in readable}
        await self.sleep(_SHORT_READ_S)
        return {}

    def _readable(self, partitions: Iterable[Any]) -> frozenset[Any]:
        return frozenset(tp for tp in partitions if self._placed or self._is_changelog_tp(tp))

    def _source(self, partitions: Iterable[Any]) -> frozenset[Any]:
        return frozenset(tp for tp in partitions if not self._is_changelog_tp(tp))


class HostTransport(Transport):  # type: ignore[misc]
    """Faust's Kafka with this host's consumer."""

    Consumer = HostConsumer
