"""Who a worker is: to Kafka's groups and transactions, to the disk, and to those who query it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from operators.topology import Stage, Topology
from pipeline.client_id import ClientId
from pipeline.log.api import Sink
from pipeline.runtime.clock import Clock
from pipeline.runtime.outbox import Outbox
from pipeline.settings import Settings


def group_of(prefix: str, stage: Stage) -> str:
    """The consumer group of a stage's workers."""
    return f"{prefix}{stage.name}"


def application_of(prefix: str, topology: Topology, stage: Stage) -> str:
    """What a stage's stores belong to."""
    return f"{prefix}{topology.name}-{stage.name}"


def transactional_id_of(prefix: str, stage: Stage, worker_id: str) -> str:
    """What a worker's producer is called."""
    return f"{prefix}{stage.name}-{worker_id}"


@dataclass(frozen=True)
class WorkerIdentity:
    """With an id, membership is static and everything is named by it; without one, each start is somebody new."""

    worker_id: str
    instance_id: str | None
    transactional_id: str
    group: str
    source: str
    client_id: str
    stage: Stage
    prefix: str

    @classmethod
    def of(cls, settings: Settings, stage: Stage, address: str | None) -> WorkerIdentity:
        """`address` is where others reach the worker by HTTP; None when it serves none."""
        worker_id = settings.id or f"{stage.name}-{uuid.uuid4().hex[:8]}"
        return cls(
            worker_id=worker_id,
            instance_id=settings.id,
            transactional_id=transactional_id_of(settings.prefix, stage, worker_id),
            group=group_of(settings.prefix, stage),
            source=settings.prefix + stage.source,
            client_id=str(ClientId(worker_id, address)),
            stage=stage,
            prefix=settings.prefix,
        )

    def outbox(self, sink: Sink, clock: Clock) -> Outbox:
        return Outbox(sink, self.stage, self.prefix, clock)
