"""Which Kafka the tests run on: the one that is named, else one in a container, else the embedded one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.broker import EmbeddedBroker, quicken_starts
from pipeline.broker.config import SETTINGS

# Kafka 4.2; testcontainers starts Confluent's image only.
IMAGE = "confluentinc/cp-kafka:8.2.1"


@dataclass(frozen=True)
class Kafka:
    """A cluster for all tests; its topics are shared, so use the fixture `prefix`."""

    bootstrap_servers: str
    kind: str
    data_dir: Path | None = None
    """Of an embedded broker."""


class PrivateBroker(Protocol):
    """Makes an embedded broker for one test, which may stop, kill and restart it; it ends with the test."""

    def __call__(self, *, data_dir: Path | None = None, **overrides: str) -> EmbeddedBroker: ...


@contextmanager
def chosen(say: Callable[[str], None]) -> Iterator[Kafka]:
    """The Kafka of all tests."""
    named = os.environ.get("STATELOG_BOOTSTRAP_SERVERS")
    with ExitStack() as stack:
        if named:
            kafka = Kafka(named, "STATELOG_BOOTSTRAP_SERVERS")
        elif docker_answers():
            container: Any = stack.enter_context(_container())
            kafka = Kafka(container.get_bootstrap_server(), f"testcontainers, {IMAGE}")
        else:
            quicken_starts()
            embedded = stack.enter_context(EmbeddedBroker())
            kafka = Kafka(embedded.bootstrap_servers, "the embedded broker", embedded.data_dir)
        say(f"kafka: {kafka.kind} at {kafka.bootstrap_servers}")
        yield kafka


def docker_answers() -> bool:
    """Whether a Docker engine is there; at most two seconds."""
    from docker.errors import DockerException
    from testcontainers.core.docker_client import DockerClient

    try:
        return bool(DockerClient(timeout=2).client.ping())
    except DockerException:
        return False


def _container() -> Any:
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer(IMAGE).with_kraft()
    for name, value in SETTINGS.items():
        container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    return container


@contextmanager
def private_brokers() -> Iterator[PrivateBroker]:
    """Makes brokers, and ends them all."""
    with ExitStack() as stack:

        def make(*, data_dir: Path | None = None, **overrides: str) -> EmbeddedBroker:
            settings = {name.replace("_", "."): value for name, value in overrides.items()}
            return stack.enter_context(EmbeddedBroker(data_dir=data_dir, overrides=settings))

        yield make
