"""The two logs that the contract is held against, each with the same handles."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.errors import Retryable
from pipeline.log.api import Admin, Committed, Log, Message, Reader, Sink, Source, TopicPartition
from pipeline.log.kafka import KafkaLog
from pipeline.log.memory import MemoryCluster
from pipeline.log.memory.groups import Token
from pipeline.log.source import _generation as generation_of_kafka
from pipeline.settings import Settings
from tests.support.waiting import PATIENCE_S

SESSION_MS = 2_500
LONG_SESSION_MS = 15_000
"""Of a member that is to be back within it, on a machine that is busy; what happens to its group it hears the later."""
QUIET_S = 0.2
"""How long nothing has to happen on a real Kafka before it counts as nothing."""

Rows = Mapping[bytes, bytes | None]


class Member:
    """A group member that writes down what it hears and what it reads."""

    def __init__(self) -> None:
        self.source: Source
        self.heard: list[tuple[str, set[int]]] = []
        self.owned: set[int] = set()
        self.records: list[Message] = []
        self.generation = -1
        """The last that it has heard of: what its client knows may be newer."""
        self.on_revoked: Callable[[Sequence[TopicPartition]], None] = lambda _partitions: None

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._hear("assigned", partitions)
        self.generation = _generation(self.source.membership().token)
        self.owned |= {each.partition for each in partitions}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._hear("revoked", partitions)
        self.on_revoked(partitions)
        self.owned -= {each.partition for each in partitions}

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._hear("lost", partitions)
        self.owned -= {each.partition for each in partitions}

    def _hear(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self.heard.append((what, {each.partition for each in partitions}))

    def poll(self) -> None:
        self.records += self.source.poll(100, 0.01)

    @property
    def moves(self) -> list[tuple[str, set[int]]]:
        """What it heard, without the assignments of nothing."""
        return [each for each in self.heard if each[1]]


class Pull:
    """A reader's records so far, and one poll more with each look."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.records: list[Message] = []

    def count(self, limit: int = 100) -> int:
        self.records += self.reader.poll(limit, 0.01)
        return len(self.records)

    def gives(self, limit: int) -> bool:
        """Whether one poll gives anything."""
        return len(self.records) < self.count(limit)

    def reaches(self, partition: TopicPartition, offset: int) -> bool:
        self.count()
        return (self.reader.position(partition) or 0) >= offset


class Ground(ABC):
    """A log to hold the contract against."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._numbers = count(1)
        self._open: list[Source | Sink | Reader] = []
        self._feed: Sink | None = None
        self.admin: Admin = self.log().admin()

    @abstractmethod
    def log(self, **settings: int) -> Log:
        """Another process's way to it."""

    @abstractmethod
    def pass_time(self, ms: int) -> None: ...

    @abstractmethod
    def until(self, true: Callable[[], bool], what: str, *members: Member) -> None:
        """Poll these members until something is so, as it has to become."""

    @abstractmethod
    def quietly(self, *members: Member) -> None:
        """Poll these members for as long as something would take to happen."""

    @abstractmethod
    def truncate_before(self, partition: TopicPartition, offset: int) -> None: ...

    @abstractmethod
    def let_compaction_run(self, topic: str) -> None:
        """The cleaner may have run when this returns; it needs a closed segment, so records have to follow."""

    def settings(self, **settings: int) -> Settings:
        return Settings(prefix=self.prefix, **{"session_timeout_ms": SESSION_MS, **settings})  # type: ignore[arg-type]

    def topic(self, config: Mapping[str, str] | None = None, *, partitions: int = 1) -> str:
        name = f"{self.prefix}topic-{next(self._numbers)}"
        self.admin.create_topics({name: config or {}}, partitions, 1)
        return name

    def group(self) -> str:
        return f"{self.prefix}group-{next(self._numbers)}"

    def sink(self, name: str = "p", transaction_timeout_ms: int = 20_000) -> Sink:
        sink = self.log(transaction_timeout_ms=transaction_timeout_ms).sink(self.prefix + name)
        self._open.append(sink)
        return sink

    def reader(self, group: str = "") -> Reader:
        reader = self.log().reader(group)
        self._open.append(reader)
        return reader

    def member(
        self, topic: str, group: str, name: str = "m", *, static: bool = False, session_ms: int = SESSION_MS
    ) -> Member:
        member = Member()
        log = self.log(session_timeout_ms=session_ms)
        member.source = log.source(topic, group, member, instance_id=name if static else None, client_id=name)
        self._open.append(member.source)
        return member

    def close(self) -> None:
        for client in reversed(self._open):
            client.close()
        self.admin.close()

    # What tests do with them

    def commit(self, partition: TopicPartition, *rows: Rows) -> None:
        """A transaction for each, and their markers in the log."""
        self._feed = self._feed or self.sink("feed")
        for each in rows:
            write(self._feed, partition, each)
            self._feed.commit()
        self.settle(partition)

    def settle(self, partition: TopicPartition) -> int:
        """Until the markers of what was committed or aborted are in the log; returns its end."""
        self.until(lambda: self.stable(partition) == self.end(partition), "no transaction is open")
        return self.end(partition)

    def read(self, partition: TopicPartition, start: int = 0, *, settled: bool = True) -> list[Message]:
        """All that is committed from an offset on; while a transaction is open, below it."""
        if settled:
            self.settle(partition)
        pull = Pull(self.reader())
        pull.reader.assign({partition: start})
        end = self.stable(partition)
        if start < end:
            self.until(lambda: pull.reaches(partition, end), "the end is reached")
        return pull.records

    def end(self, partition: TopicPartition) -> int:
        return self.admin.high_watermarks([partition])[partition]

    def stable(self, partition: TopicPartition) -> int:
        return self.admin.last_stable([partition])[partition]

    def committed(self, group: str, partition: TopicPartition) -> Committed | None:
        """What the group has committed, stable or not."""
        return self.admin.group_offsets(group, [partition])[partition]

    def stable_offsets(
        self, reader: Reader, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Committed | None]:
        """What a group has committed, as soon as no transaction holds it open."""
        found: dict[TopicPartition, Committed | None] = {}

        def stable() -> bool:
            with suppress(Retryable):
                found.update(reader.committed(partitions))
            return bool(found)

        self.until(stable, "committed offsets are stable")
        return found

    def share(self, *members: Member, partitions: int) -> None:
        """Until these members have all partitions, none of them two, and each has heard that this is how it stays."""
        self.until(
            lambda: (
                sorted(each for member in members for each in member.owned) == list(range(partitions))
                and all(member.owned for member in members)
                # The last to get its share hears of it first; to the others it is news of nothing, and comes later.
                and len({member.generation for member in members}) == 1
            ),
            "the members have shared the partitions",
            *members,
        )


class MemoryGround(Ground):
    def __init__(self, prefix: str, *, max_poll_interval_ms: int = 60_000) -> None:
        self.cluster = MemoryCluster()
        self._max_poll_interval_ms = max_poll_interval_ms
        super().__init__(prefix)

    def log(self, **settings: int) -> Log:
        return self.cluster.connect(self.settings(**settings), max_poll_interval_ms=self._max_poll_interval_ms)

    def pass_time(self, ms: int) -> None:
        self.cluster.advance(ms)

    def until(self, true: Callable[[], bool], what: str, *members: Member) -> None:
        for _ in range(20):
            if true():
                return
            for member in members:
                member.poll()
        raise AssertionError(f"never: {what}")

    def quietly(self, *members: Member) -> None:
        for _ in range(10):
            for member in members:
                member.poll()

    def truncate_before(self, partition: TopicPartition, offset: int) -> None:
        self.cluster.truncate_before(partition, offset)

    def let_compaction_run(self, topic: str) -> None:
        self.cluster.compact(topic)


class KafkaGround(Ground):
    def __init__(self, prefix: str, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client: AdminClient | None = None
        super().__init__(prefix)

    def log(self, **settings: int) -> Log:
        return KafkaLog(self.settings(**settings).model_copy(update={"bootstrap_servers": self._bootstrap_servers}))

    def pass_time(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def until(self, true: Callable[[], bool], what: str, *members: Member) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up, f"not in time: {what}"
            for member in members:
                member.poll()
            if not members:
                time.sleep(0.01)

    def quietly(self, *members: Member) -> None:
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            for member in members:
                member.poll()
            if not members:
                time.sleep(0.01)

    def truncate_before(self, partition: TopicPartition, offset: int) -> None:
        self._client = self._client or AdminClient({"bootstrap.servers": self._bootstrap_servers})
        for future in self._client.delete_records([KafkaTopicPartition(*partition, offset)]).values():
            future.result()

    def let_compaction_run(self, topic: str) -> None:  # noqa: ARG002
        time.sleep(0.25)


def write(sink: Sink, partition: TopicPartition, rows: Rows) -> None:
    """Begin a transaction and get these rows into the log."""
    sink.begin()
    sink.send_rows(partition, rows, (), lambda _delivery: None)
    sink.flush()


def _generation(token: Any) -> int:
    """Of a member's credentials; -1 where there are none: a client may be told its share while it is being closed."""
    if token is None:
        return -1
    return int(token.generation) if isinstance(token, Token) else generation_of_kafka(token)


def pairs(messages: Sequence[Message]) -> list[tuple[bytes | None, bytes | None]]:
    return [(message.key(), message.value()) for message in messages]


def offsets(messages: Sequence[Message]) -> list[int]:
    return [message.offset() for message in messages]
