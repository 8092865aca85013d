"""How the whole pipeline stands at one moment: asked of Kafka and of the workers, from outside."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace

from operators.topology import DEAD_LETTERS, AggregateStage, Stage, Topology
from pipeline.client import Client, PartitionRow
from pipeline.client_id import parse_client_id
from pipeline.errors import Misconfigured, PipelineError
from pipeline.log.api import Admin, TopicPartition
from pipeline.runtime.identity import group_of

RATE_OVER_S = 3.0
"""A rate is the mean of so long: of one second it would jump with every commit."""
ACTIVE = "active"


class Rates:
    """Counts that rise, as records a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._past: deque[tuple[float, Mapping[str, int]]] = deque()

    def of(self, counts: Mapping[str, int]) -> dict[str, float | None]:
        """The rate of each; None for one that is seen for the first time, or that has fallen."""
        now = self._clock()
        while self._past and now - self._past[0][0] > RATE_OVER_S * 2:
            self._past.popleft()
        while len(self._past) > 1 and now - self._past[1][0] >= RATE_OVER_S:
            self._past.popleft()
        then, before = self._past[0] if self._past else (now, {})
        self._past.append((now, counts))
        return {
            name: (count - before[name]) / (now - then) if now > then and count >= before.get(name, count + 1) else None
            for name, count in counts.items()
        }


class Sampler:
    """Takes samples, one at a time. What cannot be had is missing from a sample, and its `trouble` says why."""

    def __init__(self, topology: Topology, prefix: str, admin: Admin, client: Client) -> None:
        self._topology = topology
        self._prefix = prefix
        self._admin = admin
        self._client = client
        self._rates = Rates()
        self._partitions: dict[str, list[TopicPartition]] = {}
        self._trouble: list[str] = []

    def take(self) -> dict[str, Any]:
        """Topics, stages and partitions as they are now."""
        self._trouble = []
        ends = self._tried(self._ends, {})
        held = self._tried(lambda: self._held(ends), None)
        stages = {stage.name: self._tried(lambda stage=stage: self._stage(stage, ends), {})  # type: ignore[misc]
                  for stage in self._topology.stages}  # fmt: skip
        totals = {f"topic {topic}": sum(each.values()) for topic, each in ends.items()}
        totals |= {f"stage {name}": found["folded"] for name, found in stages.items() if found}
        rates = self._rates.of(totals)
        partitions = list(chain.from_iterable(found.pop("rows", []) for found in stages.values()))
        return {
            "at": time.time_ns() // 1_000_000,
            "topics": {topic: {"end": totals[f"topic {topic}"], "rate": rates[f"topic {topic}"]} for topic in ends},
            "stages": {name: {**found, "rate": rates.get(f"stage {name}")} for name, found in stages.items()},
            "partitions": partitions,
            "dead_letters": held,
            "trouble": list(dict.fromkeys(self._trouble)),
        }

    def _tried(self, ask: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return ask()
        except PipelineError as error:
            self._trouble.append(f"{error}; {error.hint}" if error.hint else str(error))
            return otherwise

    def _ends(self) -> dict[str, dict[int, int]]:
        """By topic and partition, the last stable offset."""
        missing = set(self._topology.topics) - self._partitions.keys()
        if missing:
            found = self._admin.topics([self._prefix + topic for topic in sorted(missing)])
            for topic in missing:
                if info := found.get(self._prefix + topic):
                    self._partitions[topic] = [TopicPartition(info.topic, each) for each in range(info.partitions)]
        known = [each for topic in self._topology.topics for each in self._partitions.get(topic, ())]
        if absent := [self._prefix + topic for topic in self._topology.topics if topic not in self._partitions]:
            self._trouble.append(f"topic {', '.join(absent)} is missing; statelog topics create makes it")
        try:
            offsets = self._admin.last_stable(known)
        except Misconfigured:
            self._partitions.clear()  # one was deleted: learn anew next time
            raise
        return {
            topic: {each.partition: offsets[each] for each in self._partitions[topic]}
            for topic in self._topology.topics
            if topic in self._partitions
        }

    def _held(self, ends: Mapping[str, Mapping[int, int]]) -> int | None:
        """How many offsets the dead letters hold: at least as many as there are."""
        if DEAD_LETTERS not in ends:
            return None
        return sum(ends[DEAD_LETTERS].values()) - sum(self._admin.earliest(self._partitions[DEAD_LETTERS]).values())

    def _stage(self, stage: Stage, ends: Mapping[str, Mapping[int, int]]) -> dict[str, Any]:
        """Its workers, how much its group has committed, how far it is behind; its partitions where it has stores."""
        group = group_of(self._prefix, stage)
        end = ends.get(stage.source, {})
        source = [TopicPartition(self._prefix + stage.source, each) for each in end]
        workers: dict[str, dict[str, Any]] = {}
        for member in self._admin.members(group):
            worker = parse_client_id(member.client_id)
            name = worker.worker_id if worker else member.client_id
            known = workers.setdefault(name, {"id": name, "address": worker and worker.address, "partitions": []})
            known["partitions"] += sorted(each.partition for each in member.partitions)
        offsets = self._admin.group_offsets(group, source) if source else {}
        folded = {each.partition: found.next_offset if found else 0 for each, found in offsets.items()}
        rows: Sequence[PartitionRow] = ()
        if isinstance(stage, AggregateStage):
            rows = [_credible(row) for row in self._tried(lambda: self._client.status(stage.name), ())]
        lags = {each: max(end[each] - folded.get(each, 0), 0) for each in end}
        # An owner knows better: behind the last record stands the marker of its commit, which is nothing to fold.
        lags |= {row.partition: row.end - row.position for row in rows
                 if row.state == ACTIVE and row.position is not None and row.end is not None}  # fmt: skip
        return {
            "workers": [workers[name] for name in sorted(workers)],
            "folded": sum(folded.values()),
            "lag": sum(lags.values()),
            "rows": [{**msgspec.to_builtins(row), "lag": lags.get(row.partition)} for row in rows],
        }


def _credible(row: PartitionRow) -> PartitionRow:
    """A worker looks where its source ends once a second, and may have gone beyond that since."""
    if row.position is None or row.end is None:
        return row
    return replace(row, end=max(row.position, row.end))
