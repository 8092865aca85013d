"""The watch for partitions that stand still, with a clock that the test turns."""

from __future__ import annotations

import json
import threading

import pytest
import structlog

from pipeline.runtime.stuck import INNERMOST, StuckWatch, where_threads_stand
from pipeline.runtime.view import PartitionState, PartitionStatus

AFTER_S = 60.0


class Turned:
    def __init__(self, after_s: float = AFTER_S) -> None:
        self.now = 0.0
        self.watch = StuckWatch(after_s, clock=lambda: self.now)

    def see(self, position: int, end: int, *, state: PartitionState = PartitionState.ACTIVE, end_age_s: float = 1.0,
            later_s: float = 0.0) -> str:  # fmt: skip
        self.now += later_s
        self.watch.look([PartitionStatus(3, state, position, end, end_age_s, 0.0, None)])
        return self.watch.why


@pytest.fixture
def turned() -> Turned:
    return Turned()


def test_a_partition_with_work_that_stands_still_is_named_and_forgiven(turned: Turned) -> None:
    with structlog.testing.capture_logs() as lines:
        assert turned.see(10, 50) == ""
        assert turned.see(10, 60, later_s=AFTER_S - 1) == ""
        assert turned.see(10, 70, later_s=1) == "partition 3 has stood at 10 for 60 s, with 60 records to go"
        assert turned.see(10, 70, later_s=100) != ""
        assert turned.see(11, 70, later_s=1) == ""
    assert [line["event"] for line in lines] == ["no progress", "progress again"], "each is said once"
    assert any("test_stuck" in frame for frames in lines[0]["threads"].values() for frame in frames)


def test_a_partition_without_work_may_stand_as_long_as_it_likes(turned: Turned) -> None:
    for _ in range(10):
        assert turned.see(50, 50, later_s=AFTER_S) == ""
    assert turned.see(50, 51, later_s=AFTER_S) == "", "it counts from when there was work"


def test_progress_starts_the_time_anew(turned: Turned) -> None:
    for position in range(100):
        assert turned.see(position, 1_000, later_s=AFTER_S - 1) == ""


def test_an_end_that_is_not_known_lately_is_no_work(turned: Turned) -> None:
    turned.see(10, 50)
    assert turned.see(10, 50, end_age_s=30, later_s=AFTER_S * 2) == ""
    assert turned.see(10, -1, later_s=AFTER_S * 2) == ""


def test_a_loop_that_hangs_does_not_start_the_time_anew(turned: Turned) -> None:
    turned.see(10, 50)
    turned.see(10, 50, state=PartitionState.STALE, later_s=AFTER_S / 2)
    assert turned.see(10, 50, state=PartitionState.STALE, later_s=AFTER_S / 2) != ""


def test_a_restore_that_stands_still_is_named_before_it_knows_its_end(turned: Turned) -> None:
    turned.see(0, -1, state=PartitionState.RESTORING)
    why = turned.see(0, -1, state=PartitionState.RESTORING, later_s=AFTER_S)
    assert why == "the restore of partition 3 has stood at 0 for 60 s, of unknown length"
    assert turned.see(0, 100, later_s=1) == "", "it is active, at a position of another log"


def test_it_can_be_switched_off() -> None:
    turned = Turned(0)
    turned.see(10, 50)
    assert turned.see(10, 50, later_s=1e6) == ""


def test_where_threads_stand_is_bounded_and_fits_a_log() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            there.set()
            done.wait()

    there, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=deep, args=(100,), name="a-deep-one")
    thread.start()
    there.wait()
    stands = where_threads_stand()
    done.set()
    thread.join()
    (frames,) = [frames for name, frames in stands.items() if name.startswith("a-deep-one")]
    assert len(frames) == INNERMOST
    assert "deep" in frames[0]
    assert json.dumps(stands)
