"""What a worker says of its readiness, and when."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.errors import StateUnusable
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.observe import AggregateView, TransformView
from pipeline.runtime.restore import Progress
from pipeline.runtime.view import PartitionState, StandbyLag
from pipeline.settings import Settings
from pipeline.state.api import Position, Restoring, WriteSet
from pipeline.state.memory import MemoryStore
from tests.unit.query.world import STAGE, TOPOLOGY, identity, tables

SETTINGS = Settings(session_timeout_ms=1_000)
AGES_AGO = 0.8
"""Seconds: less than a session, and more of it than the group's word holds."""


@dataclass
class Tasks:
    """As a worker holds them, for a view that only looks."""

    stage: Any = STAGE
    held: dict[int, Any] = field(default_factory=dict)
    active: dict[int, Any] = field(default_factory=dict)
    standbys: Any = None
    assigned: bool = True
    progress: dict[int, Progress] = field(default_factory=dict)

    @property
    def restorer(self) -> Any:
        return SimpleNamespace(progress=self.progress.get)

    def readable_end(self, _partition: int, _position: int, last_stable: int) -> int:
        return last_stable


@dataclass
class Loop:
    heartbeat: float = field(default_factory=time.monotonic)
    confirmed_at: float = field(default_factory=time.monotonic)


def transform(loop: Loop, tasks: Tasks) -> TransformView:
    identity = WorkerIdentity.of(SETTINGS, STAGE, None)
    return TransformView(cast("Any", loop), identity, cast("Any", tasks), cast("Any", None), SETTINGS)


def aggregate(loop: Loop, tasks: Tasks) -> AggregateView:
    identity = WorkerIdentity.of(SETTINGS, STAGE, None)
    return AggregateView(cast("Any", loop), identity, TOPOLOGY, cast("Any", tasks), cast("Any", None), SETTINGS)


Make = Callable[[Loop, Tasks], TransformView]


@pytest.fixture(params=[transform, aggregate])
def make(request: pytest.FixtureRequest) -> Make:
    return cast("Make", request.param)


def task(next_offset: int = 10) -> Any:
    return SimpleNamespace(next_offset=next_offset, store=SimpleNamespace(position=SimpleNamespace(source_next=10)))


def test_a_worker_without_partitions_is_ready_once_the_group_has_spoken(make: Make) -> None:
    assert make(Loop(), Tasks(assigned=False)).ready() == (False, "the group has not assigned partitions yet")
    assert make(Loop(), Tasks()).ready() == (True, "")


def test_a_worker_that_restores_is_alive_and_says_what_it_waits_for(make: Make) -> None:
    view = make(Loop(), Tasks(held={2: task(), 3: task()}, active={2: task()}))
    assert view.healthy() == (True, "")
    assert view.ready() == (False, "restoring partitions 3, for an unknown time")


def test_the_time_left_is_that_of_the_slowest() -> None:
    began = time.monotonic() - 10
    progress = {2: Progress(0, 200, 100, 100, began), 3: Progress(0, 1_000, 100, 100, began)}
    view = aggregate(Loop(), Tasks(held={2: task(), 3: task()}, progress=progress))
    assert view.ready() == (False, "restoring partitions 2, 3, about 90 s left")


def test_a_loop_that_stands_is_not_alive_and_its_partitions_are_stale(make: Make) -> None:
    tasks = Tasks(held={2: task()}, active={2: task()})
    view = make(Loop(heartbeat=time.monotonic() - 5), tasks)
    alive, why = view.healthy()
    assert not alive
    assert why.startswith("the loop has not gone round for 5.")
    assert view.ready() == (False, why)
    assert [status.state for status in view.partitions()] == ["stale"]


def test_only_a_worker_that_answers_needs_the_groups_word() -> None:
    tasks = Tasks(held={2: task()}, active={2: task()})
    cut_off = Loop(confirmed_at=time.monotonic() - 5)
    assert aggregate(cut_off, tasks).ready()[1].startswith("the group has not confirmed this worker for 5.")
    assert aggregate(Loop(confirmed_at=-math.inf), tasks).ready()[1].endswith("yet")
    assert transform(cut_off, tasks).ready() == (True, "")
    assert aggregate(Loop(confirmed_at=-math.inf), tasks).pulse().confirmed_age_s is None
    assert 5 <= (aggregate(cut_off, tasks).pulse().confirmed_age_s or 0) < 10
    assert transform(Loop(), tasks).pulse().confirmed_age_s is None


def test_a_worker_whose_loop_runs_and_whose_group_counts_it_in_is_active() -> None:
    sure = aggregate(Loop(), Tasks(held={0: task()}, active={0: task()}))
    assert sure.state_of(0) is PartitionState.ACTIVE
    assert sure.state_of(1) is None
    assert sure.ready() == (True, "")


@pytest.mark.parametrize(
    ("looped_s_ago", "confirmed_s_ago"),
    [(AGES_AGO, 0), (0, AGES_AGO), (0, math.inf)],
    ids=["its loop stands still", "its group is out of reach", "its group has said nothing yet"],
)
def test_a_worker_that_may_have_been_replaced_is_stale(looped_s_ago: float, confirmed_s_ago: float) -> None:
    now = time.monotonic()
    loop = Loop(heartbeat=now - looped_s_ago, confirmed_at=now - confirmed_s_ago)
    unsure = aggregate(loop, Tasks(held={0: task()}, active={0: task()}))
    assert unsure.state_of(0) is PartitionState.STALE
    assert not unsure.ready()[0]


def test_a_standby_answers_once_it_has_come_to_a_commit_and_not_in_mid_restore() -> None:
    store = MemoryStore(identity(3), list(tables()))
    tail = SimpleNamespace(task=SimpleNamespace(store=store))
    view = aggregate(Loop(), Tasks(standbys=SimpleNamespace(held={3: tail})))
    with pytest.raises(KeyError), view.standby_view(2):
        pytest.fail("it keeps none")
    with pytest.raises(StateUnusable), view.standby_view(3):
        pytest.fail("an empty store would pass for an empty table")
    store.apply(WriteSet({}), Position(10, {"words": 4}))
    with view.standby_view(3) as rows:
        assert rows.position.source_next == 10
    store.begin_restore(Restoring({"words": 90}))
    with pytest.raises(StateUnusable), view.standby_view(3):
        pytest.fail("it is no prefix")


def test_only_a_worker_that_keeps_standbys_says_how_far_they_are_behind(make: Make) -> None:
    assert make(Loop(), Tasks()).standby_lags() == {}
    lags = {3: StandbyLag(17, 1.5)}
    keeps = aggregate(Loop(), Tasks(standbys=SimpleNamespace(held={}, lags=SimpleNamespace(now=lambda: lags))))
    assert keeps.standby_lags() == lags
