"""Where a demonstration takes place: a Kafka, its topics, and a directory that goes with it."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from operators.topology import AggregateStage, Topology
from pipeline.broker import EmbeddedBroker
from pipeline.demo.plan import DemoPlan
from pipeline.demo.telling import Telling
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.topics import TopicPlan

SESSION_TIMEOUT_MS = 15_000
"""Longer than a restart: by its id a worker has its seat back at once, so nobody waits for this."""
TRANSACTION_TIMEOUT_MS = 12_000


@dataclass(frozen=True)
class Ground:
    """What every part of a demonstration needs."""

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


@contextmanager
def prepared(given: Settings, plan: DemoPlan, telling: Telling) -> Iterator[Ground]:
    """The Kafka that the settings name, else one of its own, with topics that are gone afterwards, as all files are.

    Raises what the embedded broker raises, and Retryable when Kafka does not answer.
    """
    own = not given.bootstrap_servers
    with ExitStack() as stack:
        if own:
            telling.step("A real Kafka of its own, on this machine only, for as long as this takes")
            broker = stack.enter_context(EmbeddedBroker(log=telling.detail))
            servers, prefix = broker.bootstrap_servers, given.prefix
        else:
            telling.step(f"The Kafka at {given.bootstrap_servers}; the demo's topics go when it ends")
            servers, prefix = str(given.bootstrap_servers), f"{given.prefix}demo-{uuid.uuid4().hex[:8]}-"
        settings = given.model_copy(
            update={
                "bootstrap_servers": servers,
                "prefix": prefix,
                "topology": Settings.model_fields["topology"].default,
                "id": None,
                "http": None,
                "advertise": None,
                "group_protocol": "classic",
                "session_timeout_ms": SESSION_TIMEOUT_MS,
                "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
                "log_format": "json",
                "log_level": "info",
            }
        )
        topology = load_topology(settings)
        admin = KafkaAdmin(settings)
        stack.callback(admin.close)
        topics = TopicPlan(topology, prefix)
        if not own:
            stack.callback(admin.delete_topics, list(topics.configs))
        topics.create(admin, plan.partitions)
        streams = ", ".join(each for each in topics.configs if not each.endswith("-changelog"))
        telling.detail(f"topics of {plan.partitions} partitions: {streams}, and the changelogs of "
                       f"{len(topology.changelogs)} tables", topics=list(topics.configs))  # fmt: skip
        directory = Path(tempfile.mkdtemp(prefix="statelog-demo-"))
        stack.callback(shutil.rmtree, directory)
        yield Ground(settings, topology, admin, directory)
