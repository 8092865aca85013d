"""Sees to it that the worker does not stand still in silence: Faust was seen to lose its place without a word.

`Continuity` notices a record that is not the next one when it comes. The watch notices that none comes: it compares
what has to be handed over next with the ends of the source partitions, and ends the process when records wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from faust.exceptions import ConsumerNotStarted

from pipeline.errors import PipelineError
from pipeline.faust_host.exits import STALLED, failure, stop
from pipeline.faust_host.stage import StageInput
from pipeline.faust_host.standstill import Sight, Standstill, Unchanged
from pipeline.log.api import Admin, TopicPartition

LOOK_S: Final = 1.0
"""The pause between two looks."""
LAPS: Final = 15
"""Looks, of a worker that has nothing else to do, at which a partition's records may wait."""
RESTORE_LOOKS: Final = 300
"""Looks at which a rebalance, with its restore of the tables, may be where it was; other members have a minute."""

_logger = logging.getLogger(__name__)


class Watch:
    """Runs beside the agents, on their loop; asks Kafka on a thread, for the answer may be long in coming."""

    def __init__(self, app: Any, admin: Admin, inputs: Sequence[StageInput]) -> None:
        self._app = app
        self._admin = admin
        self._inputs = {each.topic: each for each in inputs}
        self._standstill = Standstill(LAPS)
        self._restore = Unchanged()
        self._begins: dict[TopicPartition, int] = {}
        """Where partitions begin of which this assignment has handed over nothing."""
        self._assignment = -1
        self._blind = False

    async def run(self) -> None:
        """Until the app ends, or has to be ended."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except (PipelineError, TimeoutError) as error:
                self._forget()
                if not self._blind:
                    _logger.warning("cannot see whether records wait: %s", error)
                self._blind = True
            except Exception as error:
                failure(error, "the watch for records that wait")
            else:
                self._blind = False

    async def _look(self) -> None:
        app = self._app
        if app.should_stop:
            return
        if app.rebalancing_count != self._assignment:
            self._forget()
            self._assignment = app.rebalancing_count
        if app.rebalancing or app.in_recovery:
            await self._look_at_restore()
            return
        self._restore.forget()
        partitions = self._assigned()
        ends = await asyncio.to_thread(self._admin.high_watermarks, partitions)
        for topic, source in self._inputs.items():
            unknown = [each for each in partitions if each.topic == topic and self._expected(each) is None]
            if unknown:
                self._begins |= await asyncio.to_thread(source.begins, unknown)
        if app.should_stop or app.rebalancing or app.rebalancing_count != self._assignment:
            return  # and the answers are of another assignment
        sights = {each: Sight(self._expected(each) or 0, ends[each]) for each in partitions}
        found = self._standstill.look(sights, self._under_way)
        if found is not None:
            where, sight = f"{found.topic} partition {found.partition}", sights[found]
            stop(
                STALLED,
                f"records wait in {where} and are not handed over: expected offset {sight.expected}, end {sight.end}",
            )

    async def _look_at_restore(self) -> None:
        self._standstill.forget()
        await asyncio.to_thread(self._admin.brokers)  # fails while Kafka is away
        missing = self._app.tables.recovery.active_remaining_total()
        if self._under_way:
            self._restore.forget()
        elif self._restore.look(missing) >= RESTORE_LOOKS:
            stop(STALLED, f"a rebalance does not end: {missing} records of changelogs are missing, and none comes")

    def _assigned(self) -> list[TopicPartition]:
        """Of the source. Before the first assignment there are none."""
        try:
            found = self._app.consumer.assignment()
        except ConsumerNotStarted:
            return []
        return [TopicPartition(*each) for each in found if each.topic in self._inputs]

    @property
    def _under_way(self) -> bool:
        return any(each.under_way for each in self._inputs.values())

    def _expected(self, partition: TopicPartition) -> int | None:
        expected = self._inputs[partition.topic].expected(partition)
        return self._begins.get(partition) if expected is None else expected

    def _forget(self) -> None:
        self._standstill.forget()
        self._restore.forget()
        self._begins.clear()
