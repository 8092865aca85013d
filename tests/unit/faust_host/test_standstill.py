"""When a worker stands still, and when it only waits."""

from __future__ import annotations

from pipeline.faust_host.standstill import Sight, Standstill, Unchanged
from pipeline.log.api import TopicPartition

P0, P1 = TopicPartition("readings", 0), TopicPartition("readings", 1)
LAPS = 5


class World:
    """Partitions with a position and an end, and who looks at them."""

    def __init__(self) -> None:
        self.standstill = Standstill(LAPS)
        self.expected = {P0: 0, P1: 0}
        self.end = {P0: 0, P1: 0}

    def looks(self, count: int, *, under_way: bool = False, taken: int = 0, written: int = 0) -> TopicPartition | None:
        """What so many looks find; before each, P0 is handed `taken` of its records, and `written` more come."""
        for _ in range(count):
            self.end[P0] += written
            self.expected[P0] = min(self.expected[P0] + taken, self.end[P0])
            sights = {each: Sight(self.expected[each], self.end[each]) for each in self.expected}
            found = self.standstill.look(sights, under_way)
            if found is not None:
                return found
        return None


def test_an_idle_worker_with_nothing_to_read_may_stand_for_ever() -> None:
    assert World().looks(1_000) is None


def test_a_record_that_waits_is_noticed_once_it_has_waited_long_enough() -> None:
    world = World()
    assert world.looks(3) is None
    world.end[P1] = 1
    assert world.looks(LAPS) is None
    assert world.looks(1) == P1


def test_one_record_handed_over_begins_the_count_anew() -> None:
    world = World()
    world.end[P1] = 100
    assert world.looks(LAPS) is None
    world.expected[P1] = 1
    assert world.looks(LAPS) is None
    assert world.looks(2) == P1


def test_a_partition_waits_its_turn_behind_the_backlog_of_another() -> None:
    world = World()
    world.end = {P0: 10_000, P1: 1}
    assert world.looks(9_999, taken=1) is None


def test_a_partition_that_is_left_out_is_noticed_while_the_other_goes_on() -> None:
    world = World()
    world.end[P1] = 1
    assert world.looks(2 * LAPS, written=10, taken=10) == P1


def test_a_partition_that_is_left_out_is_noticed_though_the_other_lags() -> None:
    world = World()
    world.end = {P0: 100, P1: 1}
    assert world.looks(1_000, written=10, taken=9) == P1


def test_a_worker_whose_records_are_under_way_waits_for_kafka() -> None:
    world = World()
    world.end = {P0: 100, P1: 100}
    assert world.looks(1_000, under_way=True) is None
    assert world.looks(LAPS + 1) is not None


def test_a_partition_that_is_left_out_is_noticed_though_records_of_the_other_are_always_under_way() -> None:
    world = World()
    world.end[P1] = 1
    assert world.looks(2 * LAPS, under_way=True, written=10, taken=10) == P1


def test_what_was_seen_before_a_rebalance_does_not_count() -> None:
    world = World()
    world.end[P1] = 1
    assert world.looks(LAPS) is None
    world.standstill.forget()
    assert world.looks(LAPS) is None
    assert world.looks(1) == P1


def test_looks_at_the_same_are_counted() -> None:
    unchanged = Unchanged()
    assert [unchanged.look(value) for value in (7, 7, 7, 3, 3)] == [0, 1, 2, 0, 1]
    unchanged.forget()
    assert unchanged.look(3) == 0
