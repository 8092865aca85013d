"""Workers that hold real stores and serve real HTTP on loopback, and a group that says what a test lets it say."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter

from operators.api import Aggregate, Table, TaskContext
from operators.topology import AggregateStage, KeyRange, TableSpec, Topology
from pipeline.client_id import ClientId
from pipeline.errors import PipelineError, StateUnusable
from pipeline.log.api import Member, TopicPartition
from pipeline.log.memory import MemoryCluster
from pipeline.query.application import application
from pipeline.query.credentials import Credentials
from pipeline.query.directory import Directory
from pipeline.query.listener import Listener
from pipeline.query.outgoing import PLAIN, Outgoing
from pipeline.query.server import HttpServer
from pipeline.query.upstream import Upstream
from pipeline.runtime.changes import Changes
from pipeline.runtime.hot_keys import HotKeys, Recent
from pipeline.runtime.view import PartitionState, PartitionStatus, StandbyStatus
from pipeline.settings import Settings
from pipeline.state.api import Position, Store, StoreIdentity, StoreView, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore

SOURCE = "words-in"


class AnyKey:
    """Keys of any bytes; those of `events` are WORD NUL NUMBER and are routed by the word."""

    def parse(self, text: str) -> bytes:
        if not text:
            raise ValueError("a key has at least one character")
        return text.encode("utf-8", "surrogateescape")

    def route(self, key: bytes) -> bytes:
        return key.split(b"\x00", 1)[0]

    def show(self, key: bytes) -> str:
        return key.hex()


class Plain:
    def encode(self, value: Any) -> bytes:
        return msgspec.msgpack.encode(value)

    def decode(self, data: bytes) -> Any:
        return msgspec.msgpack.decode(data)


def select_events(word: bytes, parameters: Mapping[str, str]) -> KeyRange:
    start = parameters.get("from", "0")
    if not start.isdigit():
        raise ValueError(f"from is a number, not {start!r}")
    return KeyRange(word + b"\x00" + int(start).to_bytes(4, "big"), word + b"\x01")


def no_operator(_tables: Mapping[str, Table[Any]], _context: TaskContext) -> Aggregate:
    raise NotImplementedError


def show(_key: bytes, value: Any) -> Any:
    return {"is": value}


STAGE = AggregateStage(
    name="count",
    source=SOURCE,
    outputs=(),
    tables=(
        TableSpec("words", AnyKey(), Plain(), show, views={"bare": lambda _key, value: value}),
        TableSpec("events", AnyKey(), Plain(), show, select=select_events, select_parameters=("from",)),
        TableSpec("notes", AnyKey(), Plain(), show, local=True),
    ),
    operator=no_operator,
)
TOPOLOGY = Topology("words", "1", (STAGE,))


def identity(partition: int) -> StoreIdentity:
    return StoreIdentity("words", "1", partition, {table.name: f"id-{table.name}" for table in STAGE.tables}, "id-in")


@dataclass
class Worker:
    """`WorkerView` of a worker that does nothing but hold stores."""

    worker_id: str
    topology: Topology = TOPOLOGY
    stage: AggregateStage = STAGE
    group: str = "count"
    generation: int = 7
    stores: dict[int, Store] = field(default_factory=dict)
    states: dict[int, PartitionState] = field(default_factory=dict)
    kept: dict[int, Store] = field(default_factory=dict)
    """Standbys."""
    end: int = 120
    changes: Changes = field(default_factory=Changes)
    hot_keys: dict[int, HotKeys] = field(default_factory=dict)
    passed: dict[int, int] = field(default_factory=dict)
    """How far the source was read, markers at its tail included."""
    health: tuple[bool, str] = (True, "")
    readiness: tuple[bool, str] = (True, "")
    when_viewed: Callable[[int], None] = lambda _partition: None
    """Runs while a reader has the store open."""

    def healthy(self) -> tuple[bool, str]:
        return self.health

    def ready(self) -> tuple[bool, str]:
        return self.readiness

    def partitions(self) -> list[PartitionStatus]:
        return [
            PartitionStatus(partition, state, self.stores[partition].position.source_next, self.end, 0.5, 10.0, 2.0)
            for partition, state in self.states.items()
        ]

    def state_of(self, partition: int) -> PartitionState | None:
        return self.states.get(partition)

    def recent(self, most: int, prefix: bytes = b"") -> dict[int, Recent]:
        return {each: self.hot_keys.get(each, HotKeys()).recent(most, prefix) for each in self.stores}

    def folded_to(self, partition: int) -> int:
        return max(self.stores[partition].position.source_next, self.passed.get(partition, 0))

    @contextmanager
    def view(self, partition: int) -> Iterator[StoreView]:
        store = self.stores[partition]
        with store.view() as view:
            self.when_viewed(partition)
            yield view

    def checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        store = self.stores[partition]
        return store.identity, store.checkpoint(directory)

    def standbys(self) -> list[StandbyStatus]:
        return [
            StandbyStatus(
                partition, store.restoring is not None, store.position.source_next, self.end, 0.5,
                sum(store.position.changelog_next.values()),
            )
            for partition, store in self.kept.items()
        ]  # fmt: skip

    @contextmanager
    def standby_view(self, partition: int) -> Iterator[StoreView]:
        with self.kept[partition].view() as view:
            if not view.whole or not view.position.changelog_next:
                raise StateUnusable("in mid-restore")
            yield view

    def standby_checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        store = self.kept[partition]
        return store.identity, store.checkpoint(directory)

    def hold(self, partition: int, store: Store, state: PartitionState = PartitionState.ACTIVE) -> None:
        self.stores[partition] = store
        self.states[partition] = state

    def let_go(self, partition: int) -> None:
        del self.states[partition]
        self.stores.pop(partition)


def verify(partitions: list[int], from_source: bool) -> Iterator[dict[str, object]]:
    for partition in partitions:
        yield {"partition": partition, "done": 1, "of": 2}
        yield {"partition": partition, "digest": f"d{partition}", "from_source": from_source}


def donate(partition: int) -> Generator[bytes, None, None]:
    """Nobody gives anything."""
    raise KeyError(partition)
    yield b""


class World:
    """A group of workers over some partitions; closes what it opened."""

    def __init__(
        self,
        partitions: int,
        make_store: Callable[[int], Store] | None = None,
        credentials: Credentials | None = None,
        outgoing: Outgoing = PLAIN,
        tls: SSLContext | None = None,
    ) -> None:
        self._credentials = credentials
        self._outgoing = outgoing
        self._tls = tls
        self.partitions = partitions
        self._make_store = make_store or (lambda partition: MemoryStore(identity(partition), list(tables())))
        self.workers: dict[str, Worker] = {}
        self.servers: dict[str, HttpServer] = {}
        self.told: dict[str, list[int]] = {}
        """Which partitions the group says that a worker owns."""
        self.problems: Count[tuple[int, str]] = Count()
        """What all workers answered with: status and kind."""
        self.group_is_away = False
        self.cluster = MemoryCluster()
        """What `min_position` asks; nothing else does."""
        self.settings = Settings()
        self.log = self.cluster.connect(self.settings)
        self.stores = {partition: self._make_store(partition) for partition in range(partitions)}

    def worker(
        self, worker_id: str, partitions: list[int], verify: Any = verify, topology: Topology = TOPOLOGY
    ) -> Worker:
        """Start a worker that holds these partitions, and have the group say so."""
        worker = Worker(worker_id, topology)
        for partition in partitions:
            worker.hold(partition, self.stores[partition])
        registry = CollectorRegistry()
        Counter("asked", "as a test sees it", registry=registry).inc()
        upstream = Upstream(worker.topology, worker.stage, self.partitions, "", self.log.admin(), self.log.reader)
        served = application(
            worker, self.directory(), upstream, verify, donate, registry,
            credentials=self._credentials, outgoing=self._outgoing, told=self._count,
        )  # fmt: skip
        server = HttpServer(served, Listener(), self._tls)
        server.start()
        self.workers[worker_id] = worker
        self.servers[worker_id] = server
        self.told[worker_id] = partitions
        return worker

    def _count(self, status: int, kind: str, times: int) -> None:
        self.problems[status, kind] += times

    def directory(self) -> Directory:
        return Directory(self.members, SOURCE, self.partitions)

    def members(self) -> list[Member]:
        if self.group_is_away:
            raise PipelineError("the coordinator is away")
        return [
            Member(
                str(ClientId(worker_id, self.servers[worker_id].address)),
                tuple(TopicPartition(SOURCE, partition) for partition in partitions),
            )
            for worker_id, partitions in self.told.items()
        ]

    def url(self, worker_id: str, target: str) -> str:
        return self._outgoing.url(self.servers[worker_id].address, target)

    def put(self, partition: int, rows: dict[str, dict[bytes, Any]], source_next: int = 100) -> None:
        sealed: dict[str, dict[bytes, bytes | None]] = {
            table: {key: seal(Plain().encode(value)) for key, value in values.items()} for table, values in rows.items()
        }
        self.stores[partition].apply(WriteSet(sealed), Position(source_next))
        for worker in self.workers.values():
            worker.changes.settled(sealed)

    def put_words(self, words: Mapping[str, Any]) -> None:
        """Each where its key belongs."""
        directory = self.directory()
        for word, value in words.items():
            key = AnyKey().parse(word)
            self.put(directory.partition_of(key), {"words": {key: value}})

    def close(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(HttpServer.stop, self.servers.values()))
        for store in self.stores.values():
            store.close()


def tables() -> Iterator[str]:
    return (table.name for table in STAGE.tables)


@contextmanager
def world(partitions: int, make_store: Callable[[int], Store] | None = None, **options: Any) -> Iterator[World]:
    """`options` are those of a World."""
    one = World(partitions, make_store, **options)
    try:
        yield one
    finally:
        one.close()
