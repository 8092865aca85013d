"""Restore: how a task comes to where the last commit ended, by replay of its changelogs.

One order, at start, on assignment and after every abort:
① the store is open and its directory locked; one's own orphaned transaction is ended (`init_transactions`)
② the source's committed offset, read stable
③ then the changelogs' high watermarks, open transactions included
④ the store's mark, durably: it is in mid-restore and equals no prefix
⑤ the changelogs folded from the store's own position up to ③, in chunks
⑥ if ③ is still where the changelogs end, the batch that reaches it takes the mark away; the source is read from ②

② before ③: the former owner may still be committing. A stable offset says that it is done, and so that everything it
wrote is below ③. The other way round, its last records could lie above the target.

③ again before ⑥: a worker that stood still for an hour or more may restore what another one owns by now. Of a key that
the other has written to, compaction may have taken the value below ③ before it was read; what was read is no prefix.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import structlog

from pipeline.errors import Retryable, StateLost, StateUnusable
from pipeline.log.api import Admin, Committed, Message, TopicPartition
from pipeline.runtime.clock import Clock
from pipeline.runtime.crash import CrashHook, CrashPoint
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.state.api import Position, Restoring, Store, WriteSet
from pipeline.state.envelope import damaged_key

TOMBSTONE_LIFE_MS = 7 * 24 * 3_600_000
"""`delete.retention.ms` of the changelogs."""
TOMBSTONE_MARGIN_MS = 24 * 3_600_000
REBUILD_HINT = "`statelog rebuild --from-source` folds the source topic again; `statelog reset` starts empty"

logger = structlog.get_logger(__name__)


@dataclass
class Plan:
    """Where a restore starts and ends."""

    source_next: int
    metadata: CommittedMetadata | None
    start: dict[str, int]
    """By table: the next changelog offset to fold."""
    target: dict[str, int]
    """By table: the high watermark to reach."""

    @property
    def open(self) -> dict[str, int]:
        """The tables that have something left to fold, with their start."""
        return {table: start for table, start in self.start.items() if start < self.target[table]}


@dataclass
class Progress:
    """How far a restore is, in changelog records over all tables of the partition."""

    start: int
    target: int
    done: int = 0
    records: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Offsets a second since the restore began."""
        return self.done / max(time.monotonic() - self.began, 1e-3)

    @property
    def eta_s(self) -> float | None:
        left = max(self.target - self.start - self.done, 0)  # a reader may pass more than it had to
        return left / self.rate if self.rate > 0 else None


def source_start(
    source: TopicPartition, topic_id: str, committed: Committed | None, admin: Admin
) -> tuple[int, CommittedMetadata | None]:
    """Where to read the source from, for a task of any kind.

    Raises StateLost when the topic no longer holds what comes next: nothing may be skipped in silence.
    """
    earliest = admin.earliest([source])[source]
    if committed is None:
        return earliest, None
    metadata = CommittedMetadata.decode(committed.metadata)
    end = admin.high_watermarks([source])[source]
    if metadata.source_topic_id != topic_id:
        raise StateLost("the source topic was deleted and made anew", hint=REBUILD_HINT, topic=source.topic)
    if metadata.next_offset not in (None, committed.next_offset):
        raise StateLost("the committed offset was moved",
                        hint="somebody moved the group's offsets: put them back, or " + REBUILD_HINT,
                        topic=source.topic, partition=source.partition, committed=committed.next_offset,
                        by_a_worker=metadata.next_offset)  # fmt: skip
    if committed.next_offset < earliest:
        raise StateLost("the committed offset is out of the source's retention: records were deleted unread",
                        hint=REBUILD_HINT, topic=source.topic, partition=source.partition,
                        committed=committed.next_offset, earliest=earliest)  # fmt: skip
    if committed.next_offset > end:
        raise StateLost("the source topic ends before the committed offset", hint=REBUILD_HINT, topic=source.topic,
                        partition=source.partition, committed=committed.next_offset, end=end)  # fmt: skip
    return committed.next_offset, metadata


class Restorable(Protocol):
    """What has a store that can be brought up: an aggregate task, or a standby."""

    source: TopicPartition
    topic_id: str
    store: Store


class Restoration:
    """The restore of one task, from its plan to its last chunk."""

    _done: ClassVar = CrashPoint.RESTORED
    """What is reached once the store equals its target."""

    def __init__(self, task: Restorable, prefix: str, reach: CrashHook, clock: Clock) -> None:
        self.task = task
        self._reach = reach
        self._clock = clock
        self._partition = task.source.partition
        self.changelogs = {
            TopicPartition(prefix + f"{table}-changelog", self._partition): table
            for table in task.store.identity.changelog_topic_ids
        }
        self.plan: Plan | None = None
        self.progress = Progress(0, 0)
        self._rows: dict[str, dict[bytes, bytes | None]] = {table: {} for table in self.changelogs.values()}
        self.buffered_bytes = 0
        """Values taken since the last chunk, those counted too that a later one replaced."""
        self._next: dict[str, int] = {}
        self._chunk_start: dict[str, int] = {}

    def prepare(self, committed: Committed | None, admin: Admin) -> Plan:
        """Steps ② to ④. Raises StateUnusable for a store to rebuild, StateLost for a changelog that is gone."""
        source_next, metadata = source_start(self.task.source, self.task.topic_id, committed, admin)
        high = admin.high_watermarks(list(self.changelogs))
        starts = admin.earliest(list(self.changelogs))
        ends = {table: high[changelog] for changelog, table in self.changelogs.items()}
        earliest = {table: starts[changelog] for changelog, table in self.changelogs.items()}
        _check_changelogs(metadata, self.task.store.identity.changelog_topic_ids, ends, self._partition)
        position = self.task.store.position
        _check_store(position, source_next, committed is not None, ends, earliest, self._clock.now_ms())
        start = {table: position.changelog_next.get(table, 0) for table in ends}
        gone = {table: each for table, each in start.items() if each < earliest[table]}
        if gone:
            raise StateLost("the head of a changelog was deleted", hint=REBUILD_HINT, partition=self._partition,
                            tables=",".join(gone))  # fmt: skip
        if cut := [table for table, each in earliest.items() if each > 0]:
            logger.warning("the head of a changelog was deleted: this store cannot be restored once it is lost",
                           partition=self._partition, tables=cut)  # fmt: skip
        self._forget_what_was_read()
        self.plan = Plan(source_next, metadata, start, self._target(metadata, ends))
        self._next, self._chunk_start = dict(start), dict(start)
        self.progress = Progress(sum(start.values()), sum(self.plan.target.values()))
        self._begin(self.plan)
        return self.plan

    def _forget_what_was_read(self) -> None:
        self._rows, self.buffered_bytes = {table: {} for table in self._rows}, 0

    def look_again(self, admin: Admin) -> None:
        """Before the last chunk. Raises Retryable, and there is no plan any more, if the changelogs have grown."""
        assert self.plan is not None  # noqa: S101 - it was reached
        high = admin.high_watermarks(list(self.changelogs))
        if any(self.plan.target[table] != high[changelog] for changelog, table in self.changelogs.items()):
            self.plan = None
            self._forget_what_was_read()
            raise Retryable("the changelogs have grown while they were read")

    def _target(self, metadata: CommittedMetadata | None, ends: Mapping[str, int]) -> dict[str, int]:  # noqa: ARG002
        """Where the restore ends, by table."""
        return dict(ends)

    def _begin(self, plan: Plan) -> None:
        """Step ④, if there is anything to fold."""
        self._reach(CrashPoint.RESTORE_PLANNED)
        if plan.open or self.task.store.restoring is not None:
            self.task.store.begin_restore(Restoring(plan.target))
            self._reach(CrashPoint.RESTORE_MARKED)

    def positions(self) -> dict[TopicPartition, int]:
        """What is left to read, and from where."""
        if self.plan is None:
            return {}
        return {
            changelog: self._next[table]
            for changelog, table in self.changelogs.items()
            if self._next[table] < self.plan.target[table]
        }

    @property
    def left(self) -> int:
        """Offsets still to read."""
        return sum(self.plan.target.values()) - sum(self._next.values()) if self.plan is not None else 0

    def take(self, changelog: TopicPartition, messages: Iterable[Message]) -> None:
        """Fold records of one changelog: the last value of a key wins."""
        if not self.progress.records:
            self.progress.began = time.monotonic()  # it may have waited for others
        table = self.changelogs[changelog]
        rows = self._rows[table]
        count = size = 0
        message = None
        for message in messages:
            value = message.value()
            rows[message.key()] = value  # type: ignore[index]
            if value is not None:
                size += len(value)
            count += 1
        self.buffered_bytes += size
        if message is not None:
            self._next[table] = message.offset() + 1
        self.progress.records += count
        if self.plan is not None and self.plan.metadata is None and count:
            raise StateLost("no committed offset beside a changelog that holds records", hint=REBUILD_HINT,
                            changelog=changelog.topic, partition=changelog.partition)  # fmt: skip

    def passed(self, changelog: TopicPartition, position: int | None) -> None:
        """The reader has passed everything below `position`, commit markers and aborted records included."""
        table = self.changelogs[changelog]
        if position is not None and position > self._next[table]:
            self._next[table] = position

    @property
    def reached(self) -> bool:
        return self.plan is not None and not self.positions()

    def write_chunk(self) -> None:
        """Step ⑤, and ⑥ for the last: what was folded goes to the store with the position it reaches."""
        assert self.plan is not None  # noqa: S101 - `take` and `passed` follow `prepare`
        self._check_values()
        done = self.reached
        source_next = self.plan.source_next if done else self.task.store.position.source_next
        self._put(self._rows, Position(source_next, dict(self._next), self._clock.now_ms()), done=done)
        self._rows = {table: {} for table in self._rows}
        self._chunk_start = dict(self._next)
        self.buffered_bytes = 0
        self.progress.done = sum(self._next.values()) - self.progress.start
        self._reach(self._done if done else CrashPoint.RESTORE_CHUNK)

    def _put(self, rows: dict[str, dict[bytes, bytes | None]], position: Position, *, done: bool) -> None:
        store = self.task.store
        if store.restoring is not None:
            store.restore_rows(rows, position, done=done)
        elif position.source_next != store.position.source_next:
            store.apply(WriteSet(), position)  # the source moved on without a change to any table

    def _check_values(self) -> None:
        """A damaged record stops the restore before it becomes state."""
        for table, rows in self._rows.items():
            key = damaged_key(rows)
            if key is not None:
                raise StateLost("a changelog record is damaged", hint=REBUILD_HINT, table=table, key=key.hex(),
                                partition=self._partition, from_offset=self._chunk_start[table],
                                to_offset=self._next[table] - 1)  # fmt: skip


def _check_changelogs(
    metadata: CommittedMetadata | None, topic_ids: Mapping[str, str], target: Mapping[str, int], partition: int
) -> None:
    """The changelogs must still be those, and reach as far, as when the source offset was committed."""
    if metadata is None:
        return
    for table, (topic_id, next_offset) in metadata.changelogs.items():
        if table not in target:
            continue  # a table that the topology no longer has
        if topic_ids[table] != topic_id:
            raise StateLost("a changelog was deleted and made anew", hint=REBUILD_HINT, table=table,
                            partition=partition)  # fmt: skip
        if target[table] < next_offset:
            raise StateLost("a changelog ends before what was committed", hint=REBUILD_HINT, table=table,
                            partition=partition, end=target[table], committed=next_offset)  # fmt: skip


def _check_store(
    position: Position,
    source_next: int,
    committed: bool,
    target: Mapping[str, int],
    earliest: Mapping[str, int],
    now_ms: int,
) -> None:
    """The store must be a prefix of what the changelogs hold."""
    if position.source_next > (source_next if committed else 0):
        raise StateLost(
            "the committed offset is behind the store's"
            if committed
            else "no committed offset beside a store with state",
            hint="somebody moved the group's offsets: put them back, or " + REBUILD_HINT,
            store=position.source_next,
            committed=source_next if committed else None,
        )
    for table, next_offset in position.changelog_next.items():
        if table in target and next_offset > target[table]:
            raise StateUnusable("the store is ahead of its changelog", table=table, store=next_offset,
                                end=target[table])  # fmt: skip
        if table in target and 0 < next_offset < earliest[table]:
            raise StateUnusable("the changelog no longer reaches back to the store", table=table, store=next_offset,
                                earliest=earliest[table])  # fmt: skip
    age_ms = now_ms - position.applied_at_ms
    if position.applied_at_ms and age_ms > TOMBSTONE_LIFE_MS - TOMBSTONE_MARGIN_MS:
        raise StateUnusable("the store was away longer than deletions are kept", days=round(age_ms / 86_400_000, 1))
    if age_ms < -TOMBSTONE_MARGIN_MS:
        raise StateUnusable("the store is of the future: a clock was wrong, and nobody knows how long it was away",
                            days=round(-age_ms / 86_400_000, 1))  # fmt: skip
