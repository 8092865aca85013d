"""Waiting until messages have come through to this worker's stores."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pipeline.query.problems import Problem
from pipeline.query.reads import Reads
from pipeline.query.upstream import Upstream, not_yet
from pipeline.query.waiting import Wanted
from pipeline.runtime.view import WorkerView

PAUSE_S = 0.02


class Arrivals:
    def __init__(self, view: WorkerView, reads: Reads, upstream: Upstream) -> None:
        self._view = view
        self._reads = reads
        self._upstream = upstream

    async def wait(self, partition: int, wanted: Wanted) -> None:
        """Until the partition has folded what the wanted messages became.

        Problem when it has not in time, and as soon as this worker can no longer speak for it.
        """
        self._reads.require_active(partition)
        bounds = await self._upstream.bounds(wanted)
        await self._fold(partition, bounds.get(partition, 0), wanted)

    async def late(self, partitions: Sequence[int], wanted: Wanted) -> Mapping[int, Problem]:
        """Those of these partitions that have not, each with the reason why."""
        try:
            bounds = await self._upstream.bounds(wanted)
        except Problem as problem:
            if problem.kind == "bad-parameter":
                raise
            return dict.fromkeys(partitions, problem)
        late = {}
        for partition in partitions:
            try:
                await self._fold(partition, bounds.get(partition, 0), wanted)
            except Problem as problem:
                late[partition] = problem
        return late

    async def _fold(self, partition: int, bound: int, wanted: Wanted) -> None:
        while (folded := self._folded_to(partition)) < bound:
            if not wanted.left_ms():
                detail = f"partition {partition} has folded up to {folded}, the message may lie before {bound}"
                raise not_yet(detail, wanted, partition=partition, position=folded, needed=bound)
            await asyncio.sleep(PAUSE_S)

    def _folded_to(self, partition: int) -> int:
        self._reads.require_active(partition)
        try:
            return self._view.folded_to(partition)
        except KeyError:
            raise Problem("not-owner", f"partition {partition} has just left", partition=partition) from None
