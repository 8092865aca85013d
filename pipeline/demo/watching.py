"""How far the pipeline is, looked at from outside, and waiting for what must come at whatever speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.client import Client, PartitionRow
from pipeline.demo.feeding import Input
from pipeline.demo.ground import Ground
from pipeline.demo.plan import DemoPlan
from pipeline.demo.telling import Telling
from pipeline.demo.workers import Workers
from pipeline.errors import Retryable
from pipeline.query.asking import Unavailable
from pipeline.runtime.identity import group_of

LOOK_EVERY_S = 0.1
SETTLED_S = 1.5
STALLED_S = 120.0
"""A pipeline that has not moved for so long will not."""


@dataclass(frozen=True)
class Pulse:
    """Offsets committed by each stage, and where the readings end."""

    transformed: int
    folded: Mapping[int, int]
    """By partition of `readings`, commit markers counted."""
    readings_end: int
    at: float = field(compare=False)
    """When it was taken, on the monotonic clock."""

    @property
    def share_folded(self) -> float:
        """Of what has become readings so far."""
        return sum(self.folded.values()) / max(self.readings_end, 1)


class Watch:
    """Looks at the groups' offsets, draws them as bars, and notices when a worker or the input ends by itself."""

    def __init__(self, ground: Ground, plan: DemoPlan, workers: Workers, source: Input, telling: Telling) -> None:
        self._ground = ground
        self._plan = plan
        self._workers = workers
        self._source = source
        self._telling = telling
        self._telemetry = ground.partitions(ground.topology.stages[0].source)
        self._readings = ground.partitions(ground.stage.source)
        self._status = Client.connect(ground.settings, ground.topology, patience_s=0)
        self.last_moved = self.look()
        """The pulse that was the first to show the present offsets."""

    def close(self) -> None:
        self._status.close()

    def look(self) -> Pulse:
        admin, prefix = self._ground.admin, self._ground.settings.prefix
        transform, aggregate = self._ground.topology.stages[0], self._ground.stage
        transformed = admin.group_offsets(group_of(prefix, transform), self._telemetry)
        folded = admin.group_offsets(group_of(prefix, aggregate), self._readings)
        return Pulse(
            sum(each.next_offset for each in transformed.values() if each),
            {partition.partition: each.next_offset if each else 0 for partition, each in folded.items()},
            sum(admin.last_stable(self._readings).values()),
            time.monotonic(),
        )

    def status(self) -> list[PartitionRow]:
        """Each partition as the workers tell; none while nobody answers."""
        try:
            return self._status.status(self._ground.stage.name)
        except Unavailable:
            return []

    def until(self, what: str, done: Callable[[Pulse], bool]) -> Pulse:
        """Look again and again until `done`. Raises Retryable when nothing moves any more, PipelineError when a
        worker or the input has ended by itself.
        """
        waiting_since = time.monotonic()
        while True:
            self._workers.require_alive()
            self._source.require_well()
            pulse = self.look()
            if pulse != self.last_moved:
                self.last_moved = pulse
            self._draw(pulse)
            if done(pulse):
                return pulse
            if time.monotonic() - max(waiting_since, self.last_moved.at) > STALLED_S:
                raise Retryable(f"nothing has moved for {STALLED_S:g} s while waiting until {what}")
            time.sleep(LOOK_EVERY_S)

    def until_come_through(self, share: float) -> None:
        """Until this share of the whole input is folded."""
        least = self._plan.readings * share
        self.until(f"{share:.0%} is folded", lambda pulse: pulse.transformed * pulse.share_folded >= least)

    def until_drained(self) -> tuple[Pulse, Pulse]:
        """Until the input has ended and every stage has committed all of its source; when each stage was done."""
        transformed = self.until("the input is sent and transformed", lambda pulse: (
            self._source.ended_at is not None and pulse.transformed >= self._plan.readings))  # fmt: skip
        # A worker looks once a second where its source ends, so what it says has to stand for longer.
        self.until("everything is folded", lambda pulse: (
            pulse.at - self.last_moved.at > SETTLED_S and _at_end(self.status())))  # fmt: skip
        return transformed, self.last_moved

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

    def show_restores(self) -> list[PartitionRow]:
        """Draw what is being restored; the status."""
        rows = self.status()
        for row in rows:
            if row.state == "restoring" and row.end:
                done, rate = row.position or 0, row.rate or 0.0
                self._telling.bar(f"restoring {row.partition}", done, row.end, f"{done:>9,} records, {rate:,.0f}/s")
        return rows

    def _draw(self, pulse: Pulse) -> None:
        total = self._plan.readings
        # Behind the last reading of each partition stands the marker of its commit.
        behind = max(pulse.readings_end - sum(pulse.folded.values()) - len(pulse.folded), 0)
        if not self._source.sent or (pulse.transformed == total and not behind):
            return
        self._telling.bar("sent", self._source.sent, total, f"{self._source.sent:>9,}")
        self._telling.bar("transformed", pulse.transformed, total, f"{pulse.transformed:>9,}")
        self._telling.bar("folded", pulse.transformed * pulse.share_folded, total, f"{behind:>9,} behind")


def _at_end(rows: list[PartitionRow]) -> bool:
    return bool(rows) and all(row.state == "active" and row.end is not None and row.position == row.end for row in rows)
