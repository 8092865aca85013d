"""A pipeline under load, as a drill finds it: what it may do to it, and how it waits for what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.broker import EmbeddedBroker
from pipeline.client_id import ClientId, parse_client_id
from pipeline.drill.recovery import Hit, Recovery
from pipeline.errors import PipelineError
from pipeline.rehearsal.feeding import Input
from pipeline.rehearsal.ground import PARTITIONS
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Pulse, Watch
from pipeline.rehearsal.worker_process import AGGREGATE, TRANSFORM, WorkerProcess
from pipeline.rehearsal.workers import IDS, Workers


@dataclass(frozen=True)
class Scene:
    """One drill's pipeline."""

    broker: EmbeddedBroker | None
    """None where the Kafka is somebody else's."""
    workers: Workers
    source: Input
    watch: Watch
    telling: Telling
    recovery: Recovery = field(default_factory=Recovery)

    @property
    def own_broker(self) -> EmbeddedBroker:
        if self.broker is None:
            raise PipelineError("the broker is somebody else's")
        return self.broker

    @property
    def partitions(self) -> dict[str, range]:
        """All of them, by stage."""
        return dict.fromkeys(IDS, range(PARTITIONS))

    def victim(self, number: int) -> WorkerProcess:
        """Another each time: stages and workers in turn."""
        stage = (AGGREGATE, TRANSFORM)[number % 2]
        return self.workers.by_id[IDS[stage][(number // 2 + 1) % 2]]

    def rounds(self, times: int) -> Iterator[int]:
        """The numbers of the faults, from 0, with a bar that goes on after each."""
        for number in range(times):
            self.telling.bar("faults", number, times, f"{number:>9,} of {times}")
            yield number

    def tell(self, number: int, what: str, seconds: float) -> None:
        """A fault came, and what it hit went on after so long."""
        self.telling.drop_bars()
        self.telling.detail(f"{number + 1}. {what}; everything hit went on after {seconds:.1f} s",
                            fault=number + 1, seconds=round(seconds, 3))  # fmt: skip

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Wait, and measure recoveries meanwhile. Raises what `Watch.until` does."""

        def noted(pulse: Pulse) -> bool:
            self.recovery.note(pulse.committed, pulse.at)
            return done()

        self.watch.until(what, noted)

    def until_hit(self, victim: WorkerProcess, strike: Callable[[], int | None]) -> int:
        """As `Watch.until_hit`."""
        return self.watch.until_hit(victim, strike)

    def until_progress(self, hit: Hit, since: float) -> float:
        """Until all these partitions have committed something after the fault; how long the last of them took."""
        self.recovery.hit(hit, since)
        before = len(self.recovery.seconds)
        self.until("what was hit goes on", lambda: not self.recovery.waiting)
        return max(self.recovery.seconds[before:])

    def until_settled(self) -> None:
        """Until every worker holds partitions again."""
        self.watch.until_shared()
        self.until("every worker holds partitions", lambda: all(
            self._held(stage).get(worker_id) for stage, ids in IDS.items() for worker_id in ids
        ))  # fmt: skip
        self.telling.drop_bars()

    def held_by(self, worker: WorkerProcess) -> Sequence[int]:
        return self._held(worker.stage)[worker.id]

    def addresses(self, stage: str) -> set[str | None]:
        """Where the members of a stage's group answer."""
        return {client.address for client, _ in self._members(stage)}

    def _held(self, stage: str) -> Mapping[str, Sequence[int]]:
        return {client.worker_id: partitions for client, partitions in self._members(stage)}

    def _members(self, stage: str) -> list[tuple[ClientId, list[int]]]:
        return [
            (client, [each.partition for each in member.partitions])
            for member in self.watch.members(stage)
            if (client := parse_client_id(member.client_id)) is not None
        ]
