"""`TopologyDriver`: a topology under test, from what goes in to what comes out, through whatever may befall it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

import msgspec

from operators.topology import AggregateStage, Stage, Topology
from pipeline.errors import PipelineError
from pipeline.log.api import TopicPartition
from pipeline.runtime.crash import CrashPoint
from pipeline.state.envelope import unseal
from pipeline.testing.disks import MemoryDisk, RocksDisk
from pipeline.testing.process import MAX_POLL_INTERVAL_MS, Process
from pipeline.testing.replay import differing_keys, rows_of, rows_of_changelogs, rows_of_source
from pipeline.testing.world import World
from pipeline.topics import TopicPlan

COMMIT_INTERVAL_MS = 50
RESTORE_CHUNK_BYTES = 100
"""Small, so that a restore of a few rows may be interrupted too."""
SHOWN_KEYS = 5

Text = bytes | str | None


class DriverError(AssertionError):
    """A test that asks for what cannot be, or expects what did not happen. The hint says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


class Received(NamedTuple):
    """A committed record, as a reader sees it."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: dict[str, bytes]
    partition: int
    offset: int

    @property
    def text(self) -> str:
        return (self.value or b"").decode()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.value or b"null")

    @property
    def reason(self) -> str | None:
        """Of a dead letter: why the record was refused."""
        reason = self.headers.get("statelog-reason")
        return reason.decode() if reason is not None else None


class TopologyDriver:
    """Runs a topology with no broker: a worker a stage, on the in-memory log, step by step on the calling thread.

    Nothing is left to chance, and time stands until `advance`. Calls return when all input is folded and committed.
    """

    def __init__(
        self, topology: Topology, *, partitions: int = 2, data_dir: Path | None = None, **settings: Any
    ) -> None:
        """With `data_dir` the stores are RocksDB's, in there, else in memory. `settings` are those of the workers."""
        self.topology = topology
        disks = (RocksDisk(data_dir / f"disk-{number}") for number in count(1)) if data_dir else None
        self._world = World(
            topology,
            partitions=partitions,
            make_disk=lambda: next(disks) if disks else MemoryDisk(),
            **{"commit_interval_ms": COMMIT_INTERVAL_MS, "restore_chunk_bytes": RESTORE_CHUNK_BYTES, **settings},
        )
        self._world.reached = self._reached
        self._read_to: dict[TopicPartition, int] = {}
        self._numbers = count(1)
        self._armed: tuple[CrashPoint, str | None] | None = None
        self._closed = False
        for stage in topology.stages:
            self._start(stage)
        self._settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        """Stop the workers. DriverError when a crash that was asked for never happened."""
        if self._closed:
            return
        self._closed = True
        self._require_crashed()
        self._world.stop()

    # What goes in, and what comes out

    def pipe(
        self, topic: str, key: Text, value: Text | Mapping[str, Any], *, timestamp: int | datetime | None = None
    ) -> None:
        """Send a record to a stage's source, and have it processed. A mapping goes as JSON, None is a tombstone.

        `timestamp` is in milliseconds, or a datetime; without one it is now, by the driver's clock.
        """
        self.pipe_all(topic, [(key, value)], timestamp=timestamp)

    def pipe_all(
        self,
        topic: str,
        messages: Iterable[tuple[Text, Text | Mapping[str, Any]]],
        *,
        timestamp: int | datetime | None = None,
    ) -> None:
        """Send several, which the workers may take in one transaction."""
        sources = [stage.source for stage in self.topology.stages]
        if topic not in sources:
            raise DriverError(f"no stage reads {topic!r}", f"the stages read {', '.join(sources)}")
        at_ms = int(timestamp.timestamp() * 1000) if isinstance(timestamp, datetime) else timestamp or self.now_ms
        self._world.cluster.feed(topic, [(_key(key), _value(value)) for key, value in messages], at_ms)
        self._settle()

    def read(self, topic: str) -> list[Received]:
        """What was committed to a topic since it was last read here, partition by partition."""
        if topic not in self.topology.topics:
            raise DriverError(f"no topic {topic!r}", f"the topology has {', '.join(self.topology.topics)}")
        found = []
        for number in range(self._world.partitions):
            partition = TopicPartition(topic, number)
            log = self._world.cluster.topics.require(partition)
            records, self._read_to[partition] = log.read(self._read_to.get(partition, log.start), log.end + 1)
            found += [
                Received(
                    each.key(), each.value(), each.timestamp()[1], dict(each.headers() or ()), number, each.offset()
                )
                for each in records
            ]
        return found

    def table(self, name: str) -> dict[str, Any]:
        """All rows of a table, as `statelog scan` shows them: by key, as the table's spec shows key and value.

        The keys of a local table begin with their partition: `0/…`.
        """
        try:
            stage, spec = self.topology.table(name)
        except KeyError:
            names = ", ".join(table.name for each in self.topology.aggregates for table in each.tables)
            raise DriverError(f"no table {name!r}", f"the topology has {names}") from None
        shown = {}
        for partition in range(self._world.partitions):
            with self._owner(stage, partition).held[partition].store.view() as view:
                for key, sealed in view.scan(name):
                    text = f"{partition}/{spec.key.show(key)}" if spec.local else spec.key.show(key)
                    shown[text] = spec.show(key, spec.value.decode(unseal(sealed)))
        return dict(sorted(shown.items()))

    # Time

    @property
    def now_ms(self) -> int:
        """The driver's clock, in milliseconds since the epoch."""
        return self._world.cluster.clock.now_ms

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Turn the clock."""
        left_ms = round(1000 * (seconds + 60 * (minutes + 60 * (hours + 24 * days))))
        while left_ms > 0:
            # Workers have to poll now and then, or the group gives their partitions away.
            slice_ms = min(left_ms, MAX_POLL_INTERVAL_MS // 2)
            self._world.cluster.advance(slice_ms)
            left_ms -= slice_ms
            self._settle()

    # What may befall it

    def crash(self, *, at: CrashPoint | None = None, stage: str | None = None) -> None:
        """Kill -9 a worker, and start it again. Its disk is kept.

        At a point: the next worker that comes there dies there; `close` fails when none ever did. Without one: every
        worker dies now. With `stage`, of that stage alone.
        """
        stages = self._stages(stage)
        if at is not None:
            self._require_crashed()
            self._armed = (at, stage)
            return
        for process in self._of(stages):
            process.kill()
        self._settle()

    def lose_disk(self, *, stage: str | None = None) -> None:
        """Kill the workers of every stateful stage, or of this one, delete their stores, and start them again."""
        stages = [each for each in self._stages(stage) if isinstance(each, AggregateStage)]
        if not stages:
            raise DriverError(f"stage {stage!r} keeps no state", "name an aggregate stage")
        for process in self._of(stages):
            process.kill()
            self._world.lose_disk(process.stage.name, process.worker_id)
        self._settle()

    def rebalance(self, *, stage: str | None = None) -> None:
        """Another worker joins each stage, then the first one leaves: partitions move to empty disks."""
        for each in self._stages(stage):
            before = self._of([each])
            self._start(each)
            self._settle()
            for process in self._of([each]):
                if process.worker_id in {other.worker_id for other in before}:
                    process.leave()
                    self._world.evict(process)
            self._settle()

    def compact(self) -> None:
        """Turn the clock until every changelog record may be compacted, an hour, and have the cleaner pass."""
        configs = TopicPlan(self.topology).configs
        lags_ms = [int(configs[changelog]["min.compaction.lag.ms"]) for changelog in self.topology.changelogs]
        self.advance(seconds=max(lags_ms, default=0) / 1000 + 1)
        for changelog in self.topology.changelogs:
            self._world.cluster.compact(changelog)

    # What must be so

    def assert_state_equals_replay(self) -> None:
        """Each store equals the fold of its changelogs and the fold of its source, byte for byte."""
        for stage in self.topology.aggregates:
            changelogs = {table.name: self._world.cluster.records(table.changelog) for table in stage.tables}
            for partition in range(self._world.partitions):
                with self._owner(stage, partition).held[partition].store.view() as view:
                    live = rows_of(view, stage)
                ways = {
                    "changelog": rows_of_changelogs(changelogs, partition),
                    "source": rows_of_source(self._world, stage, partition),
                }
                for way, replayed in ways.items():
                    if differing := differing_keys(live, replayed):
                        _differs(stage, partition, way, differing)

    # Beneath

    def _stages(self, name: str | None) -> list[Stage]:
        if name is None:
            return list(self.topology.stages)
        found = [stage for stage in self.topology.stages if stage.name == name]
        if not found:
            names = ", ".join(stage.name for stage in self.topology.stages)
            raise DriverError(f"no stage {name!r}", f"the topology has {names}")
        return found

    def _of(self, stages: Sequence[Stage]) -> list[Process]:
        return [process for process in self._world.running if process.stage in stages]

    def _start(self, stage: Stage) -> None:
        self._world.start(stage.name, f"{stage.name}-{next(self._numbers)}")

    def _owner(self, stage: AggregateStage, partition: int) -> Process:
        owner = self._world.owner(stage, partition)
        if owner is None:
            raise DriverError(f"no worker has partition {partition} of {stage.name}", "a worker failed before this")
        return owner

    def _reached(self, process: Process, point: CrashPoint) -> None:
        if self._armed is not None and self._armed[0] is point and self._armed[1] in {None, process.stage.name}:
            self._armed = None
            process.dies_at = point

    def _require_crashed(self) -> None:
        if self._armed is not None:
            point, self._armed = self._armed[0], None
            raise DriverError(
                f"no worker came to {point.name}, where one was to crash",
                "commits need input, restores need a crash, a lost disk or a rebalance; INGESTED needs a disk",
            )

    def _settle(self) -> None:
        try:
            self._world.settle(self._restart_the_dead)
        except PipelineError as error:
            if error.hint:
                error.add_note(f"hint: {error.hint}")
            raise

    def _restart_the_dead(self) -> None:
        for process in list(self._world.processes):
            if process.killed:
                self._world.start(process.stage.name, process.worker_id)


def _key(key: Text) -> bytes | None:
    return key.encode() if isinstance(key, str) else key


def _value(value: Text | Mapping[str, Any]) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)


def _differs(stage: AggregateStage, partition: int, way: str, differing: dict[str, list[bytes]]) -> NoReturn:
    shown = {
        table: ", ".join(stage.table(table).key.show(key) for key in keys[:SHOWN_KEYS])
        + (f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else "")
        for table, keys in differing.items()
    }
    raise DriverError(
        f"partition {partition} of {stage.name} is not what its {way} comes to: "
        + "; ".join(f"{table} differs at {keys}" for table, keys in shown.items()),
        "a fold has to be deterministic, and to keep all it knows in tables",
    )
