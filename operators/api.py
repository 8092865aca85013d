"""What an operator is: plain classes from records to outputs, with no Kafka, disk, clock or randomness in sight.

A transform is stateless. An aggregate folds records into tables that the runtime keeps, changelogs and rebuilds.
Both must be deterministic: the same records in the same order give the same bytes, or replay would not be identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

Value = TypeVar("Value")


class Record(msgspec.Struct, gc=False):
    """One record of a source topic, as an operator sees it."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    """The record's Kafka timestamp: the only clock an operator may read."""
    topic_id: str
    """Kafka's id of the topic, which a re-created topic of the same name does not share."""
    partition: int
    offset: int


class Output(msgspec.Struct, gc=False):
    """One record to send, to a topic named without the pipeline's prefix."""

    topic: str
    key: bytes
    value: bytes | None
    timestamp_ms: int = -1
    """Kafka's timestamp of the record; -1 leaves it to the client."""


class Refusal(msgspec.Struct, gc=False):
    """A record that cannot be used: it goes whole to the dead letters, under this reason."""

    reason: str
    """A short code such as `unknown-unit`; one of a small closed set."""
    detail: str
    """What a person needs to mend the sender."""


class Table(Protocol[Value]):
    """A keyed table of one partition, as an aggregate sees it.

    A value that `get` returned may be changed in place, provided that the same `fold` then `put`s it. What was put
    counts, also where `fold` then refuses the record.
    """

    def get(self, key: bytes, /) -> Value | None: ...

    def put(self, key: bytes, value: Value, /) -> None: ...

    def delete(self, key: bytes, /) -> None: ...


class Transform(Protocol):
    """A stateless operator."""

    def transform(self, record: Record) -> Output | Refusal | Sequence[Output]:
        """Say what this record becomes. Raises nothing that a record can cause: bad input is a `Refusal`."""
        ...


class Aggregate(Protocol):
    """A stateful operator of one partition, made by a stage's factory with that partition's tables."""

    def fold(self, record: Record) -> Sequence[Output] | Refusal | None:
        """Fold one record into the tables; None stands for no outputs.

        A refused record leaves the tables as they were, or changes no more than a count of refusals.
        A record without a value is a tombstone: it asks to forget its key, in every table.
        """
        ...


class TaskContext(msgspec.Struct, frozen=True):
    """Which part of the key space an aggregate's operator serves."""

    partition: int
    owns: Callable[[bytes], bool]
    """Whether the partitioner gives a key to this partition. Not free: ask once a key, not once a record."""


TransformFactory = Callable[[], Transform]
AggregateFactory = Callable[[Mapping[str, Table[Any]], TaskContext], Aggregate]
"""From the partition's tables, by name, to its operator. A factory is called anew whenever tables were rolled back."""
