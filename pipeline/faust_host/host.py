"""From settings to a Faust app."""

from __future__ import annotations

from typing import Any

import faust

from operators.topology import AggregateStage, Topology, TransformStage
from pipeline.errors import Misconfigured
from pipeline.faust_host.aggregating import host_aggregate
from pipeline.faust_host.committed import committed_offsets
from pipeline.faust_host.consumer import HostTransport
from pipeline.faust_host.exits import failure
from pipeline.faust_host.fold import TABLES
from pipeline.faust_host.sending import Sending
from pipeline.faust_host.settings import FaustSettings, Stages, app_id, changelog_of
from pipeline.faust_host.stage import StageInput
from pipeline.faust_host.transforming import host_transform
from pipeline.faust_host.watch import Watch
from pipeline.log.api import Admin, Log, TopicPartition
from pipeline.log.kafka import connect
from pipeline.runtime.identity import group_of
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.topics import TopicPlan

FAUST_TABLES = ("device-state", "device-windows")


class HostApp(faust.App):  # type: ignore[misc] # Faust is not typed
    """Faust, where it must not go on after an error, nor serve the tables to everybody."""

    class BootStrategy(faust.app.BootStrategy):  # type: ignore[misc]
        """Starts no web server: Faust's has no authentication, listens everywhere, and its command asks for it."""

        enable_web = False

    watch: Watch | None = None

    async def on_start(self) -> None:
        await super().on_start()
        if self.watch is not None:  # not as a task of Faust's: those begin when tables are restored
            self.add_future(self.watch.run())

    def _new_transport(self) -> HostTransport:
        return HostTransport(self.conf.broker_consumer, self)

    async def _on_agent_error(self, agent: Any, error: BaseException) -> None:
        # Faust's own would commit, acknowledge the record and start the agent again.
        failure(error, f"agent {agent.name}")


class HostTable(faust.Table):  # type: ignore[misc]
    """A table that keeps the future of its last change."""

    sent: Any = None

    def send_changelog(self, *arguments: Any, **named: Any) -> Any:
        self.sent = super().send_changelog(*arguments, **named)
        return self.sent


def make_app(settings: Settings, host: FaustSettings) -> HostApp:
    """The app, with its changelog topics made. Raises Misconfigured, Retryable."""
    topology = load_topology(settings)
    transform, aggregate = _stages(topology)
    log = connect(settings)
    admin = log.admin()
    partitions = TopicPlan(topology, settings.prefix).require(admin)
    group = app_id(settings.prefix, host.stages)
    app = _faust(settings, group, partitions)
    inputs = []
    if host.stages != "aggregate":
        inputs.append(_input(log, admin, settings, group, transform))
        host_transform(app, transform, inputs[-1], Sending(app, settings, transform, partitions))
    if host.stages != "transform":
        _refuse_transactions(log, settings, transform, partitions)
        _make_changelogs(admin, topology, settings.prefix, host.stages, partitions)
        inputs.append(_input(log, admin, settings, group, aggregate))
        host_aggregate(app, aggregate, inputs[-1], Sending(app, settings, aggregate, partitions), partitions)

    async def revoked(*_arguments: Any, **_named: Any) -> None:
        for each in inputs:
            each.end_assignment()

    app.on_partitions_revoked.connect(revoked, weak=False)
    app.watch = Watch(app, admin, inputs)
    return app


def _faust(settings: Settings, group: str, partitions: int) -> HostApp:
    return HostApp(
        group,
        broker=[f"kafka://{address.strip()}" for address in str(settings.bootstrap_servers).split(",")],
        store="rocksdb://",
        Table=HostTable,
        topic_partitions=partitions,
        # Faust's own creation of topics races with its assignment, and leaves a worker with no partitions.
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # None is dynamic membership; an empty id would be one that all workers share.
        consumer_group_instance_id=settings.id or None,
        broker_commit_interval=settings.commit_interval_ms / 1000,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=settings.session_timeout_ms / 5000,
        # Ledgers are a few kilobytes: with Faust's 16 KiB a batch takes a handful, and each waits for the one before.
        producer_max_batch_size=1_000_000,
        producer_compression_type=None if settings.compression == "none" else settings.compression,
    )


def _stages(topology: Topology) -> tuple[TransformStage, AggregateStage]:
    match topology.stages:
        case (TransformStage() as transform, AggregateStage() as aggregate):
            if {table.name for table in aggregate.tables} == TABLES:
                return transform, aggregate
    raise Misconfigured(
        f"the Faust host cannot host topology {topology.name!r}",
        hint="it hosts the IoT topology; `statelog worker` hosts any",
    )


def _input(
    log: Log, admin: Admin, settings: Settings, group: str, stage: TransformStage | AggregateStage
) -> StageInput:
    topic = settings.prefix + stage.source
    return StageInput(log, admin, group, stage, topic, admin.topics([topic])[topic].topic_id)


def _refuse_transactions(log: Log, settings: Settings, transform: TransformStage, partitions: int) -> None:
    """Behind a native transform this host would read aborted records, and take markers for skipped records."""
    source = [TopicPartition(settings.prefix + transform.source, number) for number in range(partitions)]
    committed = committed_offsets(log, group_of(settings.prefix, transform), source)
    if any(committed.values()):
        raise Misconfigured(
            "readings were written by native transform workers, in transactions, which Faust cannot read safely",
            hint="run `statelog worker aggregate` behind them; a Faust aggregate goes behind a Faust transform",
        )


def _make_changelogs(admin: Admin, topology: Topology, prefix: str, stages: Stages, partitions: int) -> None:
    """Made as the native ones are."""
    plan = TopicPlan(topology, prefix)
    configs = plan.configs
    admin.create_topics(
        {
            changelog_of(prefix, stages, table): configs[plan.full(topology.table(table)[1].changelog)]
            for table in FAUST_TABLES
        },
        partitions,
        min(3, admin.brokers()),
    )
