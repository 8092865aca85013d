"""A cluster, a topology's topics, its workers' processes and their disks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from operators.topology import Stage, Topology
from pipeline.log.api import TopicPartition
from pipeline.log.memory import MemoryCluster
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.identity import group_of
from pipeline.settings import Settings
from pipeline.testing.clock import TurnedClock
from pipeline.testing.disks import Disk, MemoryDisk
from pipeline.testing.process import MAX_POLL_INTERVAL_MS, Process
from pipeline.topics import TopicPlan

SETTLE_PASSES = 5_000
"""Steps of each worker in which everything comes to rest, if it ever does."""

_DEFAULTS: Mapping[str, Any] = {name: field.default for name, field in Settings.model_fields.items()}


class NotAtRest(AssertionError):
    """Something is still to be done, and nobody does it."""


class World:
    """One thread, no time but what is turned, no chance: the same calls come to the same bytes."""

    def __init__(
        self,
        topology: Topology,
        *,
        partitions: int = 2,
        make_disk: Callable[[], Disk] = MemoryDisk,
        max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS,
        topic_config: Mapping[str, Mapping[str, str]] | None = None,
        **settings: Any,
    ) -> None:
        """`settings` are those of the workers; the environment's are not looked at. `topic_config`, by topic, is over
        that of the topology's plan.
        """
        self.topology = topology
        self.partitions = partitions
        self.cluster = MemoryCluster()
        self.clock = TurnedClock(self.cluster.clock)
        self.settings = Settings(**{**_DEFAULTS, "data_dir": Path("/nowhere"), **settings})
        self.admin = self.cluster.connect(self.settings).admin()
        configs = TopicPlan(topology).configs
        for topic, config in (topic_config or {}).items():
            configs[topic] |= config
        self.admin.create_topics(configs, partitions, 1)
        self.processes: list[Process] = []
        """Those that live, and of each worker that does not the last that did."""
        self.disks: dict[tuple[str, str], Disk] = {}
        """By stage and machine; a machine has the name of its worker, if nothing else is said."""
        self.reached: Callable[[Process, CrashPoint], None] = lambda _process, _point: None
        """Told of every crash point before the process may die there."""
        self._make_disk = make_disk
        self._max_poll_interval_ms = max_poll_interval_ms

    # Processes

    def start(
        self,
        stage: str,
        worker_id: str,
        *,
        dynamic: bool = False,
        machine: str | None = None,
        dies_at: CrashPoint | None = None,
    ) -> Process:
        """Start a worker. An id that runs already, on another machine, is taken over from the one that has it."""
        disk = self.disks.get((stage, machine or worker_id))
        if disk is None:
            disk = self.disks[stage, machine or worker_id] = self._make_disk()
        process = Process(
            self.cluster,
            self.clock,
            self.topology,
            self.topology.stage(stage),
            self.settings.model_copy(update={"id": worker_id}),
            disk,
            reached=self._note,
            dynamic=dynamic,
            max_poll_interval_ms=self._max_poll_interval_ms,
        )
        process.dies_at = dies_at
        self.processes = [
            each for each in self.processes if each.alive or (each.stage.name, each.worker_id) != (stage, worker_id)
        ]
        self.processes.append(process)
        return process

    def _note(self, process: Process, point: CrashPoint) -> None:
        self.reached(process, point)

    @property
    def running(self) -> list[Process]:
        return [each for each in self.processes if each.runs]

    def lose_disk(self, stage: str, machine: str) -> None:
        """What a dead worker left is gone."""
        disk = self.disks.pop((stage, machine), None)
        if disk is not None:
            disk.lose()

    def evict(self, process: Process) -> None:
        """Take a static member that has left from its group now, as an administrator does."""
        group = self.cluster.group(process.identity.group)
        for member in list(group.members.values()):
            if member.client.instance_id == process.identity.instance_id:
                group.leave(member.member_id)

    def stop(self) -> None:
        """Stop all that run, in good order: what is folded is committed."""
        for process in self.running:
            process.leave()

    # Steps

    def run(self, steps: int) -> None:
        for _ in range(steps):
            for process in list(self.processes):
                process.step()

    def settle(self, each_pass: Callable[[], None] = lambda: None) -> None:
        """Run until all input is folded and committed. NotAtRest when that does not come."""
        for _ in range(SETTLE_PASSES):
            self.run(1)
            each_pass()
            if not self.unrest():
                return
        raise NotAtRest("the pipeline does not come to rest: " + "; ".join(self.unrest()))

    def unrest(self) -> list[str]:
        """What is still to be done, partition by partition."""
        found = []
        for stage in self.topology.stages:
            for partition in range(self.partitions):
                why = self._unrest_of(stage, partition)
                if why:
                    found.append(f"{stage.source}/{partition}: {why}")
        return found

    def _unrest_of(self, stage: Stage, partition: int) -> str | None:
        source = TopicPartition(stage.source, partition)
        log = self.cluster.topics.require(source)
        offsets = self.cluster.group(group_of("", stage)).offsets
        committed = offsets.get(source)
        if log.last_stable < log.end or offsets.unstable([source]):
            return "a transaction is open"
        if log.read(committed.next_offset if committed else log.start, 1)[0]:
            return "records are not folded and committed"
        if self.owner(stage, partition) is None:
            return "no worker is active"
        return None

    def owner(self, stage: Stage, partition: int) -> Process | None:
        """Who has this partition, restored and ready."""
        return next((each for each in self.running if each.stage is stage and partition in each.active), None)
