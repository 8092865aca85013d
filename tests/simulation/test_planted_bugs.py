"""Testing the tests: bugs of the usual kinds, planted in the product, each found within a few seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

import pipeline.runtime.restore
import pipeline.runtime.worker
from pipeline.log.api import Membership, Message, Sink, TopicPartition
from pipeline.log.memory.admin import MemoryAdmin
from pipeline.log.memory.sink import MemorySink
from pipeline.runtime.crash import CrashHook, CrashPoint
from pipeline.runtime.restore import Restoration
from pipeline.runtime.standbys import Standbys
from pipeline.runtime.tables import TaskTable
from pipeline.runtime.tail import Tail
from pipeline.runtime.task import AggregateTask, Task
from pipeline.runtime.worker import Worker
from pipeline.state.api import Position, Store
from pipeline.state.memory import MemoryStore
from tests.simulation.schedule import simulate

SEEDS = range(1, 300)

Plant = Callable[[pytest.MonkeyPatch], None]


def store_applied_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    def commit(tasks: Sequence[Task], sink: Sink, membership: Membership, reach: CrashHook) -> None:
        for task in tasks:
            task.record(sink)
        sink.flush()
        reach(CrashPoint.CHANGELOG_SENT)
        sink.send_offsets({task.source: task.committed() for task in tasks}, membership)
        for task in tasks:
            task.settle()
        reach(CrashPoint.OFFSETS_SENT)
        sink.commit()
        reach(CrashPoint.COMMITTED)

    patch.setattr(pipeline.runtime.worker, "commit", commit)


def offsets_left_out_of_the_transaction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemorySink, "send_offsets", lambda *_: None)


def cache_kept_after_an_abort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskTable, "drop", lambda table: table._pending.clear())
    patch.setattr(TaskTable, "forget_cache", lambda _table: None)


def pending_kept_after_an_abort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskTable, "drop", lambda _table: None)


def deletions_ignored_by_a_restore(patch: pytest.MonkeyPatch) -> None:
    take = Restoration.take

    def without(restoration: Restoration, changelog: TopicPartition, messages: Iterable[Message]) -> None:
        take(restoration, changelog, [each for each in messages if each.value() is not None])

    patch.setattr(Restoration, "take", without)


def restore_only_to_what_is_stable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryAdmin, "high_watermarks", MemoryAdmin.last_stable)


def store_of_any_age_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline.runtime.restore, "TOMBSTONE_LIFE_MS", 1 << 50)


def position_one_too_far(patch: pytest.MonkeyPatch) -> None:
    settle = AggregateTask.settle

    def further(task: AggregateTask) -> None:
        task._changelog_next = {table: end + 1 for table, end in task._changelog_next.items()}
        settle(task)

    patch.setattr(AggregateTask, "settle", further)


def no_mark_while_restoring(patch: pytest.MonkeyPatch) -> None:
    def restore_rows(store: MemoryStore, rows: Any, position: Position, *, done: bool) -> None:
        store._move(rows, position)
        store._restoring = None

    patch.setattr(MemoryStore, "restore_rows", restore_rows)


def unknown_outcome_taken_for_a_failure(patch: pytest.MonkeyPatch) -> None:
    def lose_sink(worker: Worker, _error: Exception) -> None:
        for task in worker._open_work.values():
            task.drop()
        worker._open_work, worker._folded = {}, 0

    patch.setattr(Worker, "_lose_sink", lose_sink)


def standby_stops_anywhere(patch: pytest.MonkeyPatch) -> None:
    """It takes what a reader has got of several changelogs at some moment for a prefix."""

    def sort(tail: Tail, changelog: TopicPartition, batch: list[Message]) -> None:
        Restoration.take(tail, changelog, batch)

    patch.setattr(Tail, "_sort", sort)


def standby_goes_on_under_its_new_owner(patch: pytest.MonkeyPatch) -> None:
    def take(standbys: Standbys, partition: int) -> Store | None:
        tail = standbys.held.get(partition)
        return None if tail is None else tail.task.store

    patch.setattr(Standbys, "take", take)


BUGS: tuple[Plant, ...] = (
    store_applied_before_the_commit,
    offsets_left_out_of_the_transaction,
    cache_kept_after_an_abort,
    pending_kept_after_an_abort,
    deletions_ignored_by_a_restore,
    restore_only_to_what_is_stable,
    store_of_any_age_trusted,
    position_one_too_far,
    no_mark_while_restoring,
    unknown_outcome_taken_for_a_failure,
    standby_stops_anywhere,
    standby_goes_on_under_its_new_owner,
)


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in SEEDS:
        try:
            simulate(seed, rocks=False)
        except Exception as error:
            print(f"found by seed {seed}: {error}")
            return
    pytest.fail(f"not found in {len(SEEDS)} seeds")
