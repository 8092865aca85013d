"""A console over workers with real stores, and over the in-memory twin of Kafka: a test says how all of it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from operators.topology import DEAD_LETTERS
from pipeline.client import Client
from pipeline.console.application import console_application
from pipeline.console.asking import Clients
from pipeline.console.controls import Controls
from pipeline.console.letters import LetterRoutes
from pipeline.console.look_up import LookUpRoutes
from pipeline.console.sampling import Sampler
from pipeline.dead_letters.letters import DeadLetters
from pipeline.log.api import Log, Member
from pipeline.log.memory import MemoryCluster
from pipeline.query.listener import LOOPBACK, Listener
from pipeline.query.server import HttpServer
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from schemas.dead_letter import DeadLetter
from tests.unit.query.world import SOURCE, TOPOLOGY, World, world

PARTITIONS = 4
PREFIX = "p-"


class _Admin:
    """The twin's, but for who is in the group: that the world says."""

    def __init__(self, admin: Any, members: Callable[[], list[Member]]) -> None:
        self._admin = admin
        self._members = members

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    def members(self, _group: str) -> list[Member]:
        return self._members()


@dataclass
class Ground:
    url: str
    world: World
    log: Log
    viewers: Callable[[], int]
    samples: list[Mapping[str, Any]]
    """Every one that was taken."""

    def send(self, topic: str, *records: tuple[bytes | None, bytes | None]) -> None:
        sink = self.log.sink("test")
        sink.begin()
        for key, value in records:
            sink.send(PREFIX + topic, key, value, 0)
        sink.commit()
        sink.close()

    def refuse(self, *values: bytes | None, reason: str = "not-json", **changes: Any) -> None:
        sink = self.log.sink("test")
        sink.begin()
        for number, value in enumerate(values):
            fields = {
                "key": f"key-{number}".encode(), "value": value, "reason": reason, "detail": "as a test wants it",
                "origin_topic": PREFIX + SOURCE, "origin_topic_id": "yYhCXnSLTZS0ZtZNaZqVaA", "origin_partition": 0,
                "origin_offset": number, "time": 1_700_000_000_000 + number, "stage": "count",
            }  # fmt: skip
            letter = DeadLetter(**{**fields, **changes})
            sink.send_with_headers(PREFIX + DEAD_LETTERS, letter.key, letter.value, 0, letter.headers())
        sink.commit()
        sink.close()


@contextmanager
def console(controls: Controls | None = None, bind: str = LOOPBACK) -> Iterator[Ground]:
    """Two workers, `a` and `b`, of two partitions each."""
    cluster = MemoryCluster()
    log = cluster.connect(Settings(prefix=PREFIX))
    log.admin().create_topics(TopicPlan(TOPOLOGY, PREFIX).configs, PARTITIONS, 1)
    with world(PARTITIONS) as workers:
        workers.worker("a", [0, 1])
        workers.worker("b", [2, 3])
        admin = _Admin(log.admin(), workers.members)
        address = workers.servers["a"].address
        clients = Clients(lambda: Client.at(address, patience_s=0))
        samples: list[Mapping[str, Any]] = []

        class Noted(Sampler):
            def take(self) -> dict[str, Any]:
                samples.append(super().take())
                return dict(samples[-1])

        with Client.at(address, patience_s=0) as client:
            application = console_application(
                TOPOLOGY,
                PREFIX,
                Noted(TOPOLOGY, PREFIX, admin, client),
                LookUpRoutes(TOPOLOGY, clients),
                LetterRoutes(lambda: DeadLetters(log, log.admin(), PREFIX)),
                controls,
            )
            server = HttpServer(application, Listener(bind))
            server.start()
            try:
                broadcast = application.state.broadcast
                yield Ground(f"http://{server.address}/", workers, log, lambda: broadcast.viewers, samples)
            finally:
                server.stop()
                clients.close()
