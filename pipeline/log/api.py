"""The log as the runtime sees it: what Kafka gives, in the project's own words.

`pipeline.log.kafka` implements these protocols, and `pipeline.log.memory` in memory, under the same contract tests.
Every method raises only `pipeline.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    """A partition of a topic, by its full name (prefix included)."""

    topic: str
    partition: int


class Committed(NamedTuple):
    """A group's committed position in a partition."""

    next_offset: int
    metadata: str


class Message(Protocol):
    """A record as a client hands it over: methods, so that Kafka's own object serves without a copy."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> list[tuple[str, bytes]] | None: ...


class Membership(NamedTuple):
    """A member's credentials at one moment: what the broker checks when offsets are committed."""

    token: object
    member: bool


class Listener(Protocol):
    """Called on the thread that polls, never on another."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """The group gave these; they start paused and are read after `resume`."""
        ...

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """The group takes these back: still ours until this returns, so commit.

        Inside `Source.close` the commit may be refused, as TransactionAborted: commit before closing.
        """
        ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """These are no longer ours: abort, drop what is pending."""
        ...


class Source(Protocol):
    """A member of a consumer group, reading committed records."""

    def poll(self, limit: int, timeout_s: float) -> Sequence[Message]:
        """Up to `limit` records; calls the listener. SeatTaken when the group has thrown this member out for good:
        nothing is told of its partitions, and only a new source can join again.
        """
        ...

    def membership(self) -> Membership: ...
    def position(self, partition: TopicPartition) -> int | None:
        """The offset after everything polled, markers and aborted records included; None while nothing was."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...
    def resume(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets on."""
        ...

    def join_anew(self) -> None:
        """At the next polls: give everything back, as `revoked`, and have the group share all out among its members.

        On the classic protocol; with KIP-848 the coordinator shares out by itself.
        """
        ...

    def close(self) -> None: ...


class Delivery(NamedTuple):
    """Where a record went."""

    topic: str
    partition: int
    offset: int


class Sink(Protocol):
    """A transactional producer."""

    def begin(self) -> None: ...

    def send(self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Queue a record for the partition that murmur2 of its key gives; waits when the queue is full.

        A timestamp of 0 leaves it to the client.
        """
        ...

    def send_with_headers(
        self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int, headers: Headers
    ) -> None: ...

    def send_rows(
        self,
        to: TopicPartition,
        rows: Mapping[bytes, bytes | None],
        headers: Headers,
        on_delivery: Callable[[Delivery], None],
    ) -> None:
        """Queue a record a row, in their order. The last one has the headers, and reports by the end of `flush`."""
        ...

    def flush(self) -> None:
        """Wait until everything queued is in the log; raises what any of it met."""
        ...

    def send_offsets(self, positions: Mapping[TopicPartition, Committed], membership: Membership) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None:
        """Give up the open transaction; nothing when none is open."""
        ...

    def close(self) -> None: ...


class Reader(Protocol):
    """A reader outside any group, of committed records, from given offsets on."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Replace what is read. Raises Retryable while the cluster does not answer; then `poll` tries it again."""
        ...

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """The group's stable committed positions; Retryable while somebody's transaction still holds one open."""
        ...

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        """Set the positions of the group, which must have no members. Workers never do: they commit in transactions."""
        ...

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these no longer, which are assigned; the others keep what was fetched ahead."""
        ...

    def poll(self, limit: int, timeout_s: float) -> Sequence[Message]: ...
    def position(self, partition: TopicPartition) -> int | None:
        """The offset after everything passed, markers included; None while nothing was passed."""
        ...

    def close(self) -> None: ...


class TopicInfo(NamedTuple):
    """What the cluster says of a topic."""

    topic: str
    topic_id: str
    partitions: int


class Member(NamedTuple):
    """A group's member, as the coordinator knows it."""

    client_id: str
    partitions: tuple[TopicPartition, ...]


class Admin(Protocol):
    """Questions to, and orders for, the cluster."""

    def brokers(self) -> int:
        """How many brokers the cluster has."""
        ...

    def topics(self, names: Sequence[str]) -> dict[str, TopicInfo]:
        """Those that exist, by name."""
        ...

    def create_topics(self, topics: Mapping[str, Mapping[str, str]], partitions: int, replicas: int) -> list[str]:
        """Create those that are missing, with these configurations; returns the names it created."""
        ...

    def topic_configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]: ...
    def delete_topics(self, names: Sequence[str]) -> None: ...
    def earliest(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...
    def last_stable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...
    def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of the log, open transactions included."""
        ...

    def group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Committed | None]: ...
    def members(self, group: str) -> list[Member]: ...
    def delete_group(self, group: str) -> None: ...
    def close(self) -> None: ...


class Log(Protocol):
    """A cluster: where the clients come from."""

    def source(
        self, topic: str, group: str, listener: Listener, *, instance_id: str | None, client_id: str
    ) -> Source: ...
    def sink(self, transactional_id: str) -> Sink: ...
    def reader(self, group: str = "") -> Reader:
        """With a group, its committed positions can be asked for; it is never joined."""
        ...

    def admin(self) -> Admin: ...
