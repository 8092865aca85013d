"""A standby's store: it follows its owner from commit to commit, as a restore that never ends.

A restore may fold all that its changelogs hold, since nobody writes to them any more. A standby's owner goes on, over
several changelogs at once, so what a reader has got at some moment is no prefix. But each committed source offset
carries how far every changelog was then: that is a **cut**, and the store moves from one cut to the next, in one batch.
What the reader gives beyond the cut waits for the next one.

A standby that has more to fold than memory takes is in mid-restore, under the same mark as any other restore, until it
reaches a cut. Either way the owner-to-be goes on from the store as it is, by the ordinary restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.errors import StateLost
from pipeline.log.api import Admin, Committed, Message, TopicPartition
from pipeline.runtime.clock import Clock
from pipeline.runtime.crash import CrashHook, CrashPoint
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.restore import REBUILD_HINT, Plan, Restoration
from pipeline.state.api import Position, Restoring, Store, WriteSet

CUT_LIFE_S = 600.0
"""Well below the changelogs' compaction lag of an hour: what lies below an older cut may be gone before it is read, and
what is left is no prefix up to there. A newer cut is then waited for."""
REFRESH_MS = 3_600_000
"""A store that has nothing to fold says at least this often that it is up to date: one that was not heard of for
longer than deletions are kept would be rebuilt."""


@dataclass
class Standby:
    """A partition's store on a worker that does not own it."""

    source: TopicPartition
    topic_id: str
    store: Store


class Tail(Restoration):
    """Brings a standby from cut to cut. `take` what is read, `aim` at newer cuts, `write_chunk` when it is `due`."""

    _done: ClassVar = CrashPoint.TAILED

    def __init__(self, standby: Standby, prefix: str, reach: CrashHook, clock: Clock, chunk_bytes: int) -> None:
        super().__init__(standby, prefix, reach, clock)
        self._chunk_bytes = chunk_bytes
        self._ahead: dict[str, list[Message]] = {table: [] for table in self.changelogs.values()}
        """By table, what was read beyond the cut."""
        self._read_to: dict[str, int] = {}
        self._cut_at = 0.0
        self.fresh = True
        """Not read yet from where its plan begins."""

    def prepare(self, committed: Committed | None, admin: Admin) -> Plan:
        self._cut_at = self._clock.monotonic()
        plan = super().prepare(committed, admin)
        self._ahead = {table: [] for table in self._ahead}
        self.fresh = True
        self._read_to = dict(plan.start)
        return plan

    def _target(self, metadata: CommittedMetadata | None, ends: Mapping[str, int]) -> dict[str, int]:
        return _cut(metadata, ends)

    def _begin(self, plan: Plan) -> None:
        """Nothing is marked before there is more to fold than one batch takes."""

    def aim(self, committed: Committed) -> None:
        """A newer commit of the owner; the same one says that nothing has happened since.

        Raises StateLost for one of other changelogs, or that no worker wrote.
        """
        assert self.plan is not None  # noqa: S101 - `prepare` comes first
        if committed.next_offset < self.plan.source_next:
            return  # seen in a hurry, or moved by hand: the owner will say so
        metadata = CommittedMetadata.decode(committed.metadata)
        if metadata.source_topic_id != self.task.topic_id or {
            table: self.task.store.identity.changelog_topic_ids.get(table) for table in metadata.changelogs
        } != {table: topic_id for table, (topic_id, _) in metadata.changelogs.items()}:
            raise StateLost("the owner works on other topics by now", hint=REBUILD_HINT, partition=self._partition)
        self._cut_at = self._clock.monotonic()
        self.plan = Plan(committed.next_offset, metadata, self.plan.start, _cut(metadata, self.plan.target))
        for changelog, table in self.changelogs.items():
            waiting, self._ahead[table] = self._ahead[table], []
            self._sort(changelog, waiting)

    @property
    def wants_cut(self) -> bool:
        """Whether a newer cut is of use: the last one is reached, is too old, or holds up what was read beyond it."""
        return self.reached or not self._is_young or self.ahead > 0

    @property
    def ahead(self) -> int:
        """Records read beyond the cut, which wait for the next one."""
        return sum(map(len, self._ahead.values()))

    def reading(self) -> dict[TopicPartition, int]:
        """Where to read on."""
        return {changelog: self._read_to[table] for changelog, table in self.changelogs.items()}

    def take(self, changelog: TopicPartition, messages: Iterable[Message]) -> None:
        batch = list(messages)
        if batch:
            self._read_to[self.changelogs[changelog]] = batch[-1].offset() + 1
            self._sort(changelog, batch)

    def _sort(self, changelog: TopicPartition, batch: list[Message]) -> None:
        """Fold what lies below the cut, and keep the rest."""
        assert self.plan is not None  # noqa: S101 - `prepare` comes first
        table = self.changelogs[changelog]
        target = self.plan.target[table]
        below = (
            batch if not batch or batch[-1].offset() < target else [each for each in batch if each.offset() < target]
        )
        super().take(changelog, below)
        self._ahead[table] += batch[len(below) :]

    def passed(self, changelog: TopicPartition, position: int | None) -> None:
        ahead = self._ahead[self.changelogs[changelog]]
        if position is not None and ahead:
            position = min(position, ahead[0].offset())
        super().passed(changelog, position)

    @property
    def _is_young(self) -> bool:
        return self._clock.monotonic() - self._cut_at < CUT_LIFE_S

    @property
    def reached(self) -> bool:
        return super().reached and self._is_young

    @property
    def due(self) -> bool:
        """Whether there is something for the store."""
        if self.plan is None:
            return False
        if not self.reached:
            return self.buffered_bytes >= self._chunk_bytes
        store = self.task.store
        return (
            self.plan.source_next != store.position.source_next
            or store.restoring is not None
            or any(self._rows.values())
            or self._clock.now_ms() - store.position.applied_at_ms > REFRESH_MS
        )

    def _put(self, rows: dict[str, dict[bytes, bytes | None]], position: Position, *, done: bool) -> None:
        store = self.task.store
        if store.restoring is None and done:
            store.apply(WriteSet(rows), position)
            return
        if store.restoring is None:
            assert self.plan is not None  # noqa: S101 - `write_chunk` looked
            store.begin_restore(Restoring(self.plan.target))
        store.restore_rows(rows, position, done=done)


def _cut(metadata: CommittedMetadata | None, tables: Iterable[str]) -> dict[str, int]:
    """How far every changelog was at a commit. One that it does not name had no record yet; it may have some by now."""
    said = {} if metadata is None else metadata.changelogs
    return {table: said[table][1] if table in said else 0 for table in tables}
