"""Where a rehearsal takes place: a Kafka, its topics, and a directory; all that is made for it goes with it."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from operators.topology import AggregateStage, Topology
from pipeline.broker import EmbeddedBroker
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.time_outs import UNHURRIED, TimeOuts
from pipeline.runtime.identity import group_of
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.topics import TopicPlan

PARTITIONS = 4
GROUP_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Cluster:
    """A Kafka to rehearse on."""

    name: str
    """What takes place."""
    settings: Settings
    """With its addresses, and a prefix that keeps apart what takes place from what else it may hold."""
    broker: EmbeddedBroker | None
    """None where the Kafka is somebody else's."""


@dataclass(frozen=True)
class Ground:
    """What every part of a rehearsal needs."""

    settings: Settings
    topology: Topology
    admin: KafkaAdmin
    directory: Path
    """Of the workers' disks and logs; removed at the end."""

    @property
    def stage(self) -> AggregateStage:
        """The stage with the tables."""
        return self.topology.aggregates[0]

    def full(self, topic: str) -> str:
        return self.settings.prefix + topic

    def partitions(self, topic: str) -> list[TopicPartition]:
        name = self.full(topic)
        return [TopicPartition(name, number) for number in range(self.admin.topics([name])[name].partitions)]

    def forget_groups(self) -> None:
        """Delete the groups of the stages, once the sessions of those who were killed have ended."""
        give_up = time.monotonic() + GROUP_PATIENCE_S
        for group in (group_of(self.settings.prefix, stage) for stage in self.topology.stages):
            while self.admin.members(group) and time.monotonic() < give_up:
                time.sleep(0.2)
            self.admin.delete_group(group)


@contextmanager
def cluster_for(given: Settings, telling: Telling, name: str) -> Iterator[Cluster]:
    """The Kafka that the settings name, else one of its own, which ends with the block.

    Raises what the embedded broker raises.
    """
    if given.bootstrap_servers:
        telling.step(f"The Kafka at {given.bootstrap_servers}; the {name}'s topics go when it ends")
        apart = f"{given.prefix}{name}-{uuid.uuid4().hex[:8]}-"
        yield Cluster(name, given.model_copy(update={"prefix": apart}), None)
        return
    telling.step("A real Kafka of its own, on this machine only, for as long as this takes")
    with EmbeddedBroker(log=telling.detail) as broker:
        yield Cluster(name, given.model_copy(update={"bootstrap_servers": broker.bootstrap_servers}), broker)


@contextmanager
def ground_on(
    cluster: Cluster, telling: Telling, *, prefix: str = "", time_outs: TimeOuts = UNHURRIED
) -> Iterator[Ground]:
    """Topics and a directory, which are gone afterwards: the topics of a Kafka of its own go with that.

    `prefix` keeps several on one cluster apart. Raises Retryable when Kafka does not answer.
    """
    settings = cluster.settings.model_copy(
        update={
            "prefix": cluster.settings.prefix + prefix,
            "topology": Settings.model_fields["topology"].default,
            "id": None,
            "http": None,
            "advertise": None,
            "group_protocol": "classic",
            "session_timeout_ms": time_outs.session,
            "transaction_timeout_ms": time_outs.transaction,
            "log_format": "json",
            "log_level": "info",
        }
    )
    topology = load_topology(settings)
    topics = TopicPlan(topology, settings.prefix)
    with ExitStack() as stack:
        admin = KafkaAdmin(settings)
        stack.callback(admin.close)
        if cluster.broker is None:
            stack.callback(admin.delete_topics, list(topics.configs))
        topics.create(admin, PARTITIONS)
        streams = ", ".join(each for each in topics.configs if not each.endswith("-changelog"))
        telling.detail(f"topics of {PARTITIONS} partitions: {streams}, and the changelogs of "
                       f"{len(topology.changelogs)} tables", topics=list(topics.configs))  # fmt: skip
        directory = Path(tempfile.mkdtemp(prefix=f"statelog-{cluster.name}-"))
        stack.callback(shutil.rmtree, directory)
        yield Ground(settings, topology, admin, directory)
