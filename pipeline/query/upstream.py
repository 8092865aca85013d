"""Whether a message has come through the stages before this one: asked of the cluster, while somebody waits for it.

A stage that has committed past a message has sent all that it made of it, in the same transaction. So the end of the
topic that it sends to, looked up *after* its committed offset, lies behind all of that: who has folded up to there has
folded it. See docs/decisions/0017-read-your-writes.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from anyio import to_thread

from operators.topology import Stage, Topology
from pipeline.errors import PipelineError
from pipeline.log.api import Admin, Reader, TopicPartition
from pipeline.log.reading import first_after
from pipeline.query.problems import Problem
from pipeline.query.waiting import Wanted
from pipeline.runtime.identity import group_of

PAUSE_S = 0.1
"""Between two looks at the cluster."""
LOOK_S = 1.0
"""That one look may take, however little the question wants to wait."""


class Mark(NamedTuple):
    """What was true of a stage at one moment: it stays true, so a mark is never too old, only too low."""

    passed: Mapping[int, int]
    """By partition of its source: everything before this offset has had all its effect."""
    ends: Mapping[TopicPartition, int]
    """Of the topics that it feeds: that effect is before these offsets."""


class Upstream:
    """The stages between the pipeline's first topic and one stage. Used on one event loop."""

    def __init__(
        self, topology: Topology, stage: Stage, partitions: int, prefix: str, admin: Admin, reader: Callable[[], Reader]
    ) -> None:
        """`partitions` is how many each source has: one and the same number in a pipeline."""
        self.first = topology.first_topic
        self._source = stage.source
        way = topology.way_to(stage)
        feeds = {each.source for each in (*way, stage)}
        self._passages = [_Passage(each, feeds & {*each.outputs}, partitions, prefix, admin, reader) for each in way]
        self._leads_here = bool(way) or stage.source == self.first

    async def bounds(self, wanted: Wanted) -> Mapping[int, int]:
        """By partition of the stage's source: whoever has folded up to there has folded what the messages became.

        Problem when that is not known within the time, and where the first topic does not lead to this stage.
        """
        if not self._leads_here:
            detail = f"no way leads from topic {self.first} to {self._source}, or it goes in a circle"
            raise Problem("bad-parameter", detail, hint="min_position is of the first topic of the pipeline")
        found: dict[str, dict[int, int]] = {
            self.first: {partition: offset + 1 for partition, offset in wanted.positions.items()}
        }
        for passage in self._passages:
            for topic, partition, end in await passage.ends_after(found.get(passage.source, {}), wanted):
                ends = found.setdefault(topic, {})
                ends[partition] = max(end, ends.get(partition, 0))
        return found.get(self._source, {})


class _Passage:
    """One stage on the way. Those who wait share its looks."""

    def __init__(
        self,
        stage: Stage,
        feeds: set[str],
        partitions: int,
        prefix: str,
        admin: Admin,
        reader: Callable[[], Reader],
    ) -> None:
        self.source = stage.source
        self._stage = stage.name
        self._group = group_of(prefix, stage)
        self._prefix = prefix
        self._admin = admin
        self._reader = reader
        self._sources = [TopicPartition(prefix + stage.source, number) for number in range(partitions)]
        self._fed = [TopicPartition(prefix + topic, number) for topic in sorted(feeds) for number in range(partitions)]
        self._mark = Mark({}, {})
        self._failure: PipelineError | None = None
        self._look: asyncio.Task[None] | None = None
        self._looked_at = -math.inf
        self._stood: dict[TopicPartition, int] = {}
        """Where the group stood at the last look."""
        self._empty: dict[TopicPartition, tuple[int, int]] = {}
        """A stretch of a source in which there is no record, only commit markers and what was aborted."""

    async def ends_after(self, needed: Mapping[int, int], wanted: Wanted) -> Sequence[tuple[str, int, int]]:
        """Topic, partition and end of what this stage feeds, once it has passed these offsets of its source."""
        looked = False
        while not self._has_passed(needed):
            if looked and not wanted.left_ms():
                raise self._not_yet(needed, wanted)
            await self._next_look(wanted)
            looked = True
        return [(topic.removeprefix(self._prefix), number, end) for (topic, number), end in self._mark.ends.items()]

    def _has_passed(self, needed: Mapping[int, int]) -> bool:
        return all(self._mark.passed.get(partition, 0) >= offset for partition, offset in needed.items())

    def _not_yet(self, needed: Mapping[int, int], wanted: Wanted) -> Problem:
        late = next(each for each, offset in needed.items() if self._mark.passed.get(each, 0) < offset)
        detail = f"stage {self._stage} has not passed {self.source}/{late} up to {needed[late]} yet"
        if self._failure is not None:
            detail = f"whether stage {self._stage} has passed {self.source}/{late} is not known: {self._failure}"
        return not_yet(detail, wanted, stage=self._stage)

    async def _next_look(self, wanted: Wanted) -> None:
        """Until the look under way, or else a new one, has ended; no longer than the question may wait."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._refresh())
        await asyncio.wait([self._look], timeout=max(wanted.left_ms() / 1000, LOOK_S))
        if self._look.done():
            self._look.result()

    async def _refresh(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._looked_at + PAUSE_S - clock())
        try:
            self._mark, self._failure = await to_thread.run_sync(self._ask), None
        except PipelineError as error:
            self._failure = error
        self._looked_at = clock()

    def _ask(self) -> Mark:
        """First how far the stage has come, then where what it sends to ends: the other order would prove nothing."""
        passed = self._passed()
        return Mark(passed, self._admin.high_watermarks(self._fed))

    def _passed(self) -> dict[int, int]:
        committed = self._admin.group_offsets(self._group, self._sources)
        stable = self._admin.last_stable(self._sources)
        passed = {}
        for source in self._sources:
            found = committed[source]
            at = 0 if found is None else found.next_offset
            stands, self._stood[source] = self._stood.get(source) == at, at
            end = stable[source]
            passed[source.partition] = end if stands and at < end and self._is_empty(source, at, end) else at
        return passed

    def _is_empty(self, source: TopicPartition, start: int, end: int) -> bool:
        """Whether no committed record lies there. Only asked where the stage stands still: it commits no further than
        its last record, and so stands before the markers at the tail, which hold offsets, for ever.
        """
        known_start, known_end = self._empty.get(source, (start, start))
        if known_start == start and known_end >= end:
            return True
        with closing(self._reader()) as reader:
            if first_after(reader, source, start, end) is not None:
                return False
        self._empty[source] = (start, end)
        return True


def not_yet(detail: str, wanted: Wanted, **facts: object) -> Problem:
    hint = "ask again; the message is in the log, and comes through when the stages have caught up"
    return Problem("not-yet", detail, hint=hint, min_position=str(wanted), **facts)
