"""A topology is data: stages, their topics, their operators and their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Generic, Protocol, TypeVar

from operators.api import AggregateFactory, TransformFactory
from operators.redrive import Redrive

Value = TypeVar("Value")

DEAD_LETTERS = "dead-letters"
"""Where every stage of every topology sends what it refuses."""
REDRIVEN = "dead-letters-redriven"
"""A mark for each dead letter that was sent once more, so that none is twice."""


class ValueCodec(Protocol[Value]):
    """A table's values as canonical bytes: equal values give equal bytes, and `decode(encode(v)) == v`, losslessly."""

    def encode(self, value: Value) -> bytes: ...

    def decode(self, data: bytes) -> Value:
        """Raises ValueError for bytes that `encode` did not make."""
        ...


class KeyCodec(Protocol):
    """How a table's keys are typed by people, routed to partitions and shown."""

    def parse(self, text: str) -> bytes:
        """From what a person types to the *routing key*: the key of the source records that the rows came from.

        Raises ValueError, with a message for the person, for a text that can be no key.
        """
        ...

    def route(self, key: bytes) -> bytes:
        """The routing key of a row: the bytes that choose its partition."""
        ...

    def show(self, key: bytes) -> str:
        """A row's key as text."""
        ...


@dataclass(frozen=True)
class KeyRange:
    """Rows with `start` <= key < `stop`; a stop of None is the end of the table."""

    start: bytes
    stop: bytes | None


@dataclass(frozen=True)
class TableSpec(Generic[Value]):
    """One table of an aggregate stage: a RocksDB column family and the changelog topic `NAME-changelog`."""

    name: str
    key: KeyCodec
    value: ValueCodec[Value]
    show: Callable[[bytes, Value], Any]
    """A row as JSON-able data, as HTTP and the command give it."""
    views: Mapping[str, Callable[[bytes, Value], Any]] = field(default_factory=dict)
    """Other ways to show a row, by name (`?view=NAME`)."""
    select: Callable[[bytes, Mapping[str, str]], KeyRange] | None = None
    """For a table with many rows a routing key: the rows of one, narrowed by query parameters.

    Raises ValueError for parameters it cannot read. None: the table has one row a routing key, stored under it.
    """
    select_parameters: tuple[str, ...] = ()
    """The names of the query parameters that `select` understands."""
    cached: bool = True
    """Whether rows that were written are soon read again, and so worth keeping decoded."""
    local: bool = False
    """Rows tell about the partition itself and are not found by a routing key; lists show them, look-ups do not."""

    @property
    def changelog(self) -> str:
        return f"{self.name}-changelog"


@dataclass(frozen=True)
class TransformStage:
    """A stage of stateless workers."""

    name: str
    source: str
    outputs: tuple[str, ...]
    operator: TransformFactory


@dataclass(frozen=True)
class AggregateStage:
    """A stage of stateful workers, whose source and changelogs have the same number of partitions."""

    name: str
    source: str
    outputs: tuple[str, ...]
    tables: tuple[TableSpec[Any], ...]
    operator: AggregateFactory
    redrive: Redrive | None = None
    """None: what the stage refused comes back to its source as it was, and nothing is said of what was folded since."""

    def table(self, name: str) -> TableSpec[Any]:
        """The table of that name; KeyError when there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)


Stage = TransformStage | AggregateStage


@dataclass(frozen=True)
class Topology:
    """A pipeline as a value."""

    name: str
    version: str
    """Part of every store's identity: a store of another version is rebuilt. Name in it all that changes the fold."""
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    @property
    def first_topic(self) -> str:
        """Where what comes from outside enters."""
        return self.stages[0].source

    def way_to(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages by which records of the first topic come to this one's source, each after those that feed it.

        None where it reads the first topic itself, where nothing leads there, and where the way goes in a circle.
        """
        feeding = {
            each.name: [other.name for other in self.stages if each.source in other.outputs] for each in self.stages
        }
        try:
            ordered = list(TopologicalSorter(feeding).static_order())
        except CycleError:
            return ()
        reached: set[str] = set()
        for name in ordered:
            if self.stage(name).source == self.first_topic or not reached.isdisjoint(feeding[name]):
                reached.add(name)
        leading = {stage.name}
        for name in reversed(ordered):
            if name in leading:
                leading.update(feeding[name])
        return tuple(self.stage(name) for name in ordered if name in reached & leading and name != stage.name)

    @property
    def aggregates(self) -> tuple[AggregateStage, ...]:
        return tuple(stage for stage in self.stages if isinstance(stage, AggregateStage))

    def table(self, name: str) -> tuple[AggregateStage, TableSpec[Any]]:
        """The table of that name and its stage; KeyError when there is none."""
        for stage in self.aggregates:
            for table in stage.tables:
                if table.name == name:
                    return stage, table
        raise KeyError(name)

    @property
    def co_partitioned(self) -> tuple[str, ...]:
        """Sources and changelogs: topics that must have one and the same number of partitions."""
        names = [stage.source for stage in self.stages]
        names += [table.changelog for stage in self.aggregates for table in stage.tables]
        return tuple(dict.fromkeys(names))

    @property
    def changelogs(self) -> tuple[str, ...]:
        return tuple(table.changelog for stage in self.aggregates for table in stage.tables)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic of the pipeline, without prefix."""
        outputs = [topic for stage in self.stages for topic in stage.outputs]
        return tuple(dict.fromkeys([*self.co_partitioned, *outputs, DEAD_LETTERS, REDRIVEN]))
