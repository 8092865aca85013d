"""How far the pipeline is, looked at from outside, and waiting for what must come at whatever speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.client import Client, PartitionRow
from pipeline.errors import Retryable
from pipeline.log.api import Member
from pipeline.query.asking import Unavailable
from pipeline.rehearsal.feeding import Input
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.worker_process import AGGREGATE, TRANSFORM, WorkerProcess
from pipeline.rehearsal.workers import Workers
from pipeline.runtime.identity import group_of

LOOK_EVERY_S = 0.1
SETTLED_S = 1.5
STALLED_S = 120.0
"""A pipeline that has not moved for so long will not."""


@dataclass(frozen=True)
class Pulse:
    """Offsets committed by each stage, and where the readings end."""

    committed: Mapping[str, Mapping[int, int]]
    """By stage and partition of its source; in those of `readings`, commit markers count."""
    readings_end: int
    at: float = field(compare=False)
    """When it was taken, on the monotonic clock."""

    @property
    def transformed(self) -> int:
        return sum(self.committed[TRANSFORM].values())

    @property
    def folded(self) -> Mapping[int, int]:
        """By partition of `readings`."""
        return self.committed[AGGREGATE]

    @property
    def share_folded(self) -> float:
        """Of what has become readings so far."""
        return sum(self.folded.values()) / max(self.readings_end, 1)


class Watch:
    """Looks at the groups' offsets, draws them as bars, and notices when a worker or the input ends by itself."""

    def __init__(
        self, ground: Ground, workers: Workers, source: Input, telling: Telling, *, patience_s: float | None = None
    ) -> None:
        """`patience_s`: how long each thing may take to come, and the cluster be away meanwhile. None where the input
        ends by itself: then that nothing moves any more says enough.
        """
        self._patience_s = patience_s
        self._ground = ground
        self._workers = workers
        self._source = source
        self._telling = telling
        self._sources = {stage.name: ground.partitions(stage.source) for stage in ground.topology.stages}
        self._groups = {stage.name: group_of(ground.settings.prefix, stage) for stage in ground.topology.stages}
        self._status = Client.connect(ground.settings, ground.topology, patience_s=0)
        self.last_moved = self.look()
        """The pulse that was the first to show the present offsets."""

    def close(self) -> None:
        self._status.close()

    def look(self) -> Pulse:
        committed = {stage: self._committed(stage) for stage in self._sources}
        readings_end = sum(self._ground.admin.last_stable(self._sources[AGGREGATE]).values())
        return Pulse(committed, readings_end, time.monotonic())

    def _look_patiently(self, since: float) -> Pulse:
        while True:
            try:
                return self.look()
            except Retryable:
                if self._patience_s is None or time.monotonic() - since > self._patience_s:
                    raise
            self._workers.require_alive()
            time.sleep(LOOK_EVERY_S)

    def _committed(self, stage: str) -> dict[int, int]:
        offsets = self._ground.admin.group_offsets(self._groups[stage], self._sources[stage])
        return {partition.partition: each.next_offset if each else 0 for partition, each in offsets.items()}

    def members(self, stage: str) -> list[Member]:
        """Who is in a stage's group."""
        return self._ground.admin.members(self._groups[stage])

    def status(self) -> list[PartitionRow]:
        """Each partition as the workers tell; none while nobody answers."""
        try:
            return self._status.status(self._ground.stage.name)
        except Unavailable:
            return []

    def until(self, what: str, done: Callable[[Pulse], bool]) -> Pulse:
        """Look again and again until `done`. Raises Retryable when nothing moves any more or time is up,
        PipelineError when a worker or the input has ended by itself.
        """
        waiting_since = time.monotonic()
        while True:
            self._workers.require_alive()
            self._source.require_well()
            pulse = self._look_patiently(waiting_since)
            if pulse != self.last_moved:
                self.last_moved = pulse
            self._draw(pulse)
            if done(pulse):
                return pulse
            if time.monotonic() - max(waiting_since, self.last_moved.at) > STALLED_S:
                raise Retryable(f"nothing has moved for {STALLED_S:g} s while waiting until {what}")
            if self._patience_s is not None and time.monotonic() - waiting_since > self._patience_s:
                raise Retryable(f"waited {self._patience_s:g} s until {what}")
            time.sleep(LOOK_EVERY_S)

    def until_come_through(self, share: float) -> None:
        """Until this share of the whole input is folded."""
        least = self._source.load.messages * share
        self.until(f"{share:.0%} is folded", lambda pulse: pulse.transformed * pulse.share_folded >= least)

    def until_drained(self) -> tuple[Pulse, Pulse]:
        """Until the input has ended and every stage has committed all of its source; when each stage was done."""
        transformed = self.until("the input is sent and transformed", lambda pulse: (
            self._source.ended_at is not None and pulse.transformed >= self._source.sent))  # fmt: skip
        self._until_settled()
        return transformed, self.last_moved

    def until_at_rest(self, sent: int) -> None:
        """Until every stage has committed all of so many messages, where no more are being sent."""
        self.until("all that was sent is transformed", lambda pulse: pulse.transformed >= sent)
        self._until_settled()

    def _until_settled(self) -> None:
        # A worker looks once a second where its source ends, so what it says has to stand for longer.
        self.until("everything is folded", lambda pulse: (
            pulse.at - self.last_moved.at > SETTLED_S and _at_end(self.status())))  # fmt: skip

    def until_folded(self, positions: Mapping[int, int]) -> None:
        """Until the stores themselves have come to these source positions."""
        self.until("the stores hold every reading", lambda _pulse: all(
            row.position is not None and row.position >= positions.get(row.partition, 0) for row in self.status()
        ))  # fmt: skip

    def until_shared(self) -> list[PartitionRow]:
        """Until every partition is served, and every aggregate worker serves some; the last status."""
        ids = {worker.id for worker in self._workers.aggregates}
        rows: list[PartitionRow] = []

        def shared(_pulse: Pulse) -> bool:
            rows[:] = self.show_restores()
            return {row.owner for row in rows} == ids and all(row.state == "active" for row in rows)

        self.until("every partition is served, and every worker serves some", shared)
        return rows

    def until_hit(self, victim: WorkerProcess, strike: Callable[[], int | None]) -> int:
        """Until the victim was seen with open work and struck; how many readings it had folded and not committed."""
        hit: list[int] = []

        def struck(_pulse: Pulse) -> bool:
            folded = strike()
            if folded is not None:
                hit.append(folded)
            return bool(hit)

        self.until(f"{victim.id} is seen at work", struck)
        return hit[0]

    def show_restores(self) -> list[PartitionRow]:
        """Draw what is being restored; the status."""
        rows = self.status()
        for row in rows:
            if row.state == "restoring" and row.end:
                done, rate = row.position or 0, row.rate or 0.0
                self._telling.bar(f"restoring {row.partition}", done, row.end, f"{done:>9,} records, {rate:,.0f}/s")
        return rows

    def _draw(self, pulse: Pulse) -> None:
        total = self._source.expected
        # Behind the last reading of each partition stands the marker of its commit.
        behind = max(pulse.readings_end - sum(pulse.folded.values()) - len(pulse.folded), 0)
        if not self._source.sent or (pulse.transformed == total and not behind):
            return
        self._telling.bar("sent", self._source.sent, total, f"{self._source.sent:>9,}")
        self._telling.bar("transformed", pulse.transformed, total, f"{pulse.transformed:>9,}")
        self._telling.bar("folded", pulse.transformed * pulse.share_folded, total, f"{behind:>9,} behind")


def _at_end(rows: list[PartitionRow]) -> bool:
    return bool(rows) and all(row.state == "active" and row.end is not None and row.position == row.end for row in rows)
