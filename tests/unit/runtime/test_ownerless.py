"""Who asks for another rebalance, and when."""

from __future__ import annotations

from typing import Any, cast

from pipeline.errors import Retryable
from pipeline.log.api import Admin, Member, TopicPartition
from pipeline.runtime.ownerless import OwnerlessWatch

SETTLE_S = 10.0
PARTITIONS = [TopicPartition("t", number) for number in range(2)]


class Surroundings:
    """A clock that the test turns, and a cluster that says what the test has put there."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.found: list[Member] | Retryable = []
        self.asked = 0

    def monotonic(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        raise AssertionError("not asked for")

    def members(self, _group: str) -> list[Member]:
        self.asked += 1
        if isinstance(self.found, Retryable):
            raise self.found
        return self.found


def watch(around: Surroundings, client_id: str = "a") -> OwnerlessWatch:
    admin = cast("Admin", cast("Any", around))
    made = OwnerlessWatch(admin, "group", client_id, PARTITIONS, settle_s=SETTLE_S, clock=around)
    made.told()
    return made


def held(*partitions: int) -> tuple[TopicPartition, ...]:
    return tuple(PARTITIONS[each] for each in partitions)


def test_it_looks_a_session_after_the_last_word_and_no_more_where_each_has_an_owner() -> None:
    around = Surroundings()
    around.found = [Member("a", held(0)), Member("b", held(1))]
    one = watch(around)
    around.seconds = SETTLE_S - 1
    assert not one.finds_any()
    one.told()
    around.seconds = SETTLE_S + 1
    assert not one.finds_any()
    assert around.asked == 0
    around.seconds = 3 * SETTLE_S
    assert not one.finds_any()
    around.seconds = 9 * SETTLE_S
    assert not one.finds_any()
    assert around.asked == 1


def test_the_first_of_the_members_has_to_join_anew_and_no_other() -> None:
    around = Surroundings()
    around.found = [Member("b", held(0)), Member("a", ())]
    first, second = watch(around, "a"), watch(around, "b")
    around.seconds = SETTLE_S
    assert first.finds_any()
    assert not second.finds_any()
    assert not first.finds_any(), "not before that had its time"
    around.seconds = 2 * SETTLE_S
    assert first.finds_any(), "it has come to nothing"


def test_where_the_cluster_does_not_say_it_is_asked_again_a_session_later() -> None:
    around = Surroundings()
    around.found = Retryable("no coordinator")
    one = watch(around)
    around.seconds = SETTLE_S
    assert not one.finds_any()
    around.found = [Member("a", held(0))]
    assert not one.finds_any()
    around.seconds = 2 * SETTLE_S
    assert one.finds_any()
