"""Where a client finds workers to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from operators.topology import AggregateStage, Topology
from pipeline.client_id import ClientId
from pipeline.errors import Misconfigured
from pipeline.log.api import Admin, Committed, TopicPartition
from pipeline.query.directory import Directory
from pipeline.runtime.identity import group_of


class Progress(NamedTuple):
    """A partition as the cluster knows it without any worker."""

    owner: str | None
    """The worker that the group names."""
    position: int | None
    """The next offset that the group will read; None before its first commit."""
    end: int


class Workers(Protocol):
    """Addresses of workers, HOST:PORT, the most promising first. A call may wait for the cluster."""

    def stages(self) -> Sequence[str]: ...

    def of_stage(self, stage: str) -> Sequence[str]: ...

    def of_table(self, table: str, key: str | None = None) -> Sequence[str]:
        """Those that serve the table. Misconfigured when there is no such table, or when `key` is none of its keys."""
        ...

    def committed(self, stage: str) -> Mapping[int, Progress]:
        """By partition, how far the stage's group has come; empty when no cluster is known."""
        ...

    def doubt(self) -> None:
        """What was said last did not help: look again."""
        ...


class KnownWorkers:
    """Workers by address. Any of them finds the owner."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    def stages(self) -> Sequence[str]:
        return ("",)

    def of_stage(self, stage: str) -> Sequence[str]:  # noqa: ARG002 (each answers for its own)
        return self._addresses

    def of_table(self, table: str, key: str | None = None) -> Sequence[str]:  # noqa: ARG002 (it routes)
        return self._addresses

    def committed(self, stage: str) -> Mapping[int, Progress]:  # noqa: ARG002 (no cluster is known)
        return {}

    def doubt(self) -> None:
        """There is nowhere else to look."""


class GroupWorkers:
    """The members of the pipeline's consumer groups, as the cluster names them."""

    def __init__(self, admin: Admin, topology: Topology, prefix: str) -> None:
        self._admin = admin
        self._topology = topology
        self._prefix = prefix
        self._directories: dict[str, Directory] = {}

    def stages(self) -> Sequence[str]:
        return [stage.name for stage in self._topology.aggregates]

    def directory(self, stage: AggregateStage) -> Directory:
        """Misconfigured when the stage's source topic does not exist."""
        if stage.name not in self._directories:
            group, topic = group_of(self._prefix, stage), self._prefix + stage.source
            self._directories[stage.name] = Directory.of_group(self._admin, group, topic)
        return self._directories[stage.name]

    def of_stage(self, stage: str) -> Sequence[str]:
        return [worker.address for worker in self.directory(self._stage(stage)).workers() if worker.address]

    def committed(self, stage: str) -> Mapping[int, Progress]:
        directory = self.directory(self._stage(stage))
        everything = [TopicPartition(directory.topic, partition) for partition in range(directory.partitions)]
        positions = self._admin.group_offsets(group_of(self._prefix, self._stage(stage)), everything)
        ends = self._admin.last_stable(everything)
        owners = directory.owners()
        return {
            each.partition: Progress(_worker_id(owners.get(each.partition)), _next_offset(positions[each]), ends[each])
            for each in everything
        }

    def _stage(self, name: str) -> AggregateStage:
        for stage in self._topology.aggregates:
            if stage.name == name:
                return stage
        raise Misconfigured(f"no aggregate stage is named {name!r}", hint=f"there is {', '.join(self.stages())}")

    def of_table(self, table: str, key: str | None = None) -> Sequence[str]:
        try:
            stage, spec = self._topology.table(table)
        except KeyError:
            names = [spec.name for stage in self._topology.aggregates for spec in stage.tables]
            raise Misconfigured(f"no table is named {table!r}", hint=f"there is {', '.join(names)}") from None
        addresses = self.of_stage(stage.name)
        if key is None or spec.local:
            return addresses
        try:
            routing_key = spec.key.parse(key)
        except ValueError as error:
            raise Misconfigured(str(error)) from error
        directory = self.directory(stage)
        owner = directory.owners().get(directory.partition_of(routing_key))
        if owner is None or owner.address is None:
            return addresses
        return [owner.address, *(address for address in addresses if address != owner.address)]

    def doubt(self) -> None:
        for directory in self._directories.values():
            directory.doubt()


def _next_offset(committed: Committed | None) -> int | None:
    return None if committed is None else committed.next_offset


def _worker_id(owner: ClientId | None) -> str | None:
    return None if owner is None else owner.worker_id
