"""Which Kafka the tests run on: the one that is named, else one in a container, else the embedded one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pipeline.broker import EmbeddedBroker, quicken_starts
from pipeline.broker.config import SETTINGS
from pipeline.broker.lock import read_lock
from pipeline.broker.ports import free_port
from pipeline.log.ping import ping
from tests.support.waiting import eventually

IMAGE: Final = os.environ.get("STATELOG_TEST_KAFKA_IMAGE", f"apache/kafka:{read_lock().kafka_version}")
"""Apache's own image, or one that is set up as that is."""


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
            kafka = Kafka(stack.enter_context(_in_a_container()), f"testcontainers, {IMAGE}")
        else:
            quicken_starts()
            embedded = stack.enter_context(EmbeddedBroker())
            kafka = Kafka(embedded.bootstrap_servers, "the embedded broker", embedded.data_dir)
        say(f"kafka: {kafka.kind} at {kafka.bootstrap_servers}")
        yield kafka


def docker_answers() -> bool:
    """Whether a Docker engine is there. One that is not says so at once; one that is may be slow to answer."""
    from docker.errors import DockerException
    from testcontainers.core.docker_client import DockerClient

    try:
        return bool(DockerClient(timeout=60).client.ping())
    except DockerException:
        return False


@contextmanager
def _in_a_container() -> Iterator[str]:
    """The address of a Kafka in a container, which goes with the block."""
    from testcontainers.core.container import DockerContainer

    with ExitStack() as stack:
        container = DockerContainer(IMAGE)
        host, port = container.get_docker_client().host(), free_port()
        # The port is the same inside and outside: Kafka has to be told beforehand where its clients find it.
        settings = {
            **SETTINGS,
            "node.id": "1",
            "process.roles": "broker,controller",
            "listeners": f"PLAINTEXT://:{port},CONTROLLER://localhost:9093",
            "advertised.listeners": f"PLAINTEXT://{host}:{port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": "1@localhost:9093",
        }
        for name, value in settings.items():
            container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
        stack.enter_context(container.with_bind_ports(port, port))
        address = f"{host}:{port}"
        eventually(lambda: ping(address, timeout_s=5), f"the Kafka of {IMAGE} answers at {address}")
        yield address


@contextmanager
def private_brokers() -> Iterator[PrivateBroker]:
    """Makes brokers, and ends them all."""
    with ExitStack() as stack:

        def make(*, data_dir: Path | None = None, **overrides: str) -> EmbeddedBroker:
            settings = {name.replace("_", "."): value for name, value in overrides.items()}
            return stack.enter_context(EmbeddedBroker(data_dir=data_dir, overrides=settings))

        yield make
