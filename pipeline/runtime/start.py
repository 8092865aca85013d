"""From settings to the pieces of a worker."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Protocol

from operators.topology import AggregateStage, Stage, Topology
from pipeline.errors import Misconfigured
from pipeline.log.api import TopicPartition
from pipeline.runtime.aggregate_tasks import AggregateTasks, MakeStandbys
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.fetch import Donors, Fetcher
from pipeline.runtime.identity import WorkerIdentity, application_of, transactional_id_of
from pipeline.runtime.inheritance import Inheritance
from pipeline.runtime.opening import StoreOpener
from pipeline.runtime.ownerless import OwnerlessWatch
from pipeline.runtime.standbys import Standbys
from pipeline.runtime.tail import Standby, Tail
from pipeline.runtime.tasks import StatelessTasks, Surroundings, transform_tasks
from pipeline.settings import Settings
from pipeline.state.api import StoreIdentity, Stores
from pipeline.state.directory import StateDirectory


def load_topology(settings: Settings) -> Topology:
    """The topology that the settings name; a function is called with those of its parameters that are settings.

    Raises Misconfigured when there is no such thing.
    """
    module_name, _, name = settings.topology.partition(":")
    hint = "--topology is MODULE:NAME, of a Topology or of a function that makes one"
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Misconfigured(f"no topology at {settings.topology!r}: {error}", hint=hint) from error
    if callable(found):
        known = {
            name: getattr(settings, name) for name in inspect.signature(found).parameters if hasattr(settings, name)
        }
        found = found(**known)
    if not isinstance(found, Topology):
        raise Misconfigured(f"{settings.topology!r} is a {type(found).__name__}, not a Topology", hint=hint)
    return found


def stage_of(topology: Topology, name: str) -> Stage:
    """Raises Misconfigured for a stage that the topology has not."""
    try:
        return topology.stage(name)
    except KeyError:
        names = ", ".join(stage.name for stage in topology.stages)
        raise Misconfigured(f"topology {topology.name!r} has no stage {name!r}", hint=f"its stages: {names}") from None


class MakeTasks(Protocol):
    """`make_tasks`, or what keeps the state elsewhere than it does."""

    def __call__(
        self, around: Surroundings, topology: Topology, identity: WorkerIdentity, *, donors: Donors | None = None
    ) -> StatelessTasks | AggregateTasks: ...


def make_tasks(
    around: Surroundings,
    topology: Topology,
    identity: WorkerIdentity,
    stores: Stores | None = None,
    donors: Donors | None = None,
) -> StatelessTasks | AggregateTasks:
    """The tasks of a stage of either kind; a stateful one's stores are in the worker's directory, if not elsewhere.

    `donors`: peers that stores may be fetched from, where the settings ask for standbys.
    """
    stage, settings = identity.stage, around.settings
    if not isinstance(stage, AggregateStage):
        return transform_tasks(around, stage)
    application = application_of(settings.prefix, topology, stage)
    store = StoreIdentity(
        application=application,
        topology_version=topology.version,
        partition=-1,
        changelog_topic_ids=around.topics.changelog_ids,
        source_topic_id=around.topics.source_id,
    )
    directory = None
    if stores is None:
        stores = directory = StateDirectory.claim(settings.data_dir, application, settings.id)
        directory.ingested = lambda: around.reach(CrashPoint.INGESTED)
    tables = [table.name for table in stage.tables]
    opener = StoreOpener(stores, store, tables, around.admin, around.group, identity.source)
    if not settings.standby_replicas:
        return AggregateTasks(around, stage, opener)
    fetcher = None
    if donors is not None and directory is not None:
        fetcher = Fetcher(donors, directory, around.admin, around.reach)
    return AggregateTasks(around, stage, opener, _standbys(around, identity, opener), fetcher)


def _standbys(around: Surroundings, identity: WorkerIdentity, opener: StoreOpener) -> MakeStandbys:
    settings, reach, clock = around.settings, around.reach, around.clock

    def open_standby(partition: int) -> Standby:
        source = TopicPartition(identity.source, partition)
        return Standby(source, around.topics.source_id, opener.open(partition))

    def end_transaction(worker_id: str) -> None:
        around.log.sink(transactional_id_of(settings.prefix, identity.stage, worker_id)).close()

    def make(tasks: AggregateTasks) -> Standbys:
        return Standbys(
            identity.worker_id,
            identity.group,
            [TopicPartition(identity.source, number) for number in range(around.topics.partitions)],
            settings.standby_replicas,
            admin=around.admin,
            reader=around.log.reader(around.group),
            open_standby=open_standby,
            quarantine=opener.quarantine,
            tail=lambda standby: Tail(standby, settings.prefix, reach, clock, settings.restore_chunk_bytes // 4),
            inheritance=Inheritance(
                identity.worker_id, lambda: tasks.held.keys() - tasks.active.keys(), end_transaction
            ),
            poll_records=around.restore_poll_records,
            clock=clock,
        )

    return make


def watch_ownerless(around: Surroundings, identity: WorkerIdentity) -> OwnerlessWatch | None:
    """None where the coordinator itself lets no partition be nobody's (KIP-848)."""
    if around.settings.group_protocol == "consumer":
        return None
    everything = [TopicPartition(identity.source, partition) for partition in range(around.topics.partitions)]
    settle_s = around.settings.session_timeout_ms / 1000
    return OwnerlessWatch(
        around.admin, identity.group, identity.client_id, everything, settle_s=settle_s, clock=around.clock
    )
