"""What a worker says of the partitions that it holds."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.runtime.observe import AggregateView
from pipeline.runtime.view import PartitionState

SESSION_MS = 10_000
AGES_AGO = 8.0
"""Seconds: less than a session, and more of it than the group's word holds."""


def view(*, looped_s_ago: float, confirmed_s_ago: float) -> AggregateView:
    """Of a worker that holds partition 0, restored."""
    now = time.monotonic()
    worker = SimpleNamespace(heartbeat=now - looped_s_ago, confirmed_at=now - confirmed_s_ago)
    tasks = SimpleNamespace(held={0: object()}, active={0: object()}, assigned=True)
    nothing = cast(Any, None)
    return AggregateView(
        cast(Any, worker), nothing, nothing, cast(Any, tasks), nothing, session_timeout_ms=SESSION_MS, stuck_after_ms=0
    )


def test_a_worker_whose_loop_runs_and_whose_group_counts_it_in_is_active() -> None:
    sure = view(looped_s_ago=0, confirmed_s_ago=0)
    assert sure.state_of(0) is PartitionState.ACTIVE
    assert sure.state_of(1) is None
    assert sure.ready() == (True, "")


@pytest.mark.parametrize(
    ("looped_s_ago", "confirmed_s_ago"),
    [(AGES_AGO, 0), (0, AGES_AGO), (0, math.inf)],
    ids=["its loop stands still", "its group is out of reach", "its group has said nothing yet"],
)
def test_a_worker_that_may_have_been_replaced_is_stale(looped_s_ago: float, confirmed_s_ago: float) -> None:
    unsure = view(looped_s_ago=looped_s_ago, confirmed_s_ago=confirmed_s_ago)
    assert unsure.state_of(0) is PartitionState.STALE
    assert not unsure.ready()[0]
