"""Whose transaction a worker ends: of those that the group no longer has, whose partitions it got; and no other's."""

from __future__ import annotations

from pipeline.errors import Retryable
from pipeline.runtime.inheritance import PATIENCE_S, Inheritance
from pipeline.runtime.placement import Group


class Heir:
    """Worker `me`, and what it does about what it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: set[int] = set()
        self.ended: list[str] = []
        self.refused = False
        self._inheritance = Inheritance("me", lambda: self.waiting, self._end)

    def _end(self, worker_id: str) -> None:
        self.ended.append(worker_id)
        if self.refused:
            raise Retryable("no answer")

    def sees(self, owners: dict[int, str], *others: str) -> list[str]:
        """The group as it is now; whose transactions have been ended so far."""
        for _ in range(2):
            self.now += 2 * PATIENCE_S
            self._inheritance.look(Group(owners, frozenset({*owners.values(), *others, "me"})), self.now)
        return self.ended


def test_a_worker_that_is_gone_and_whose_partition_came_here_is_seen_to_once() -> None:
    heir = Heir()
    assert heir.sees({0: "dead", 1: "me"}) == []
    heir.waiting = {0}
    assert heir.sees({0: "me", 1: "me"}) == ["dead"]
    assert heir.sees({0: "me", 1: "me"}) == ["dead"]


def test_a_restore_that_waits_for_nobody_is_given_a_moment() -> None:
    waiting: set[int] = set()
    ended: list[str] = []
    inheritance = Inheritance("me", lambda: waiting, ended.append)
    assert not inheritance.look(Group({0: "dead"}, frozenset({"dead", "me"})), 1.0)
    waiting.add(0)
    gone = Group({0: "me"}, frozenset({"me"}))
    assert inheritance.look(gone, 10.0), "it wants to look again"
    waiting.clear()
    assert not inheritance.look(gone, 20.0)
    assert not ended


def test_a_worker_that_the_group_still_has_is_left_alone() -> None:
    heir = Heir()
    heir.sees({0: "alive"})
    heir.waiting = {0}
    assert heir.sees({0: "me"}, "alive") == []


def test_nothing_is_done_while_the_group_names_another_owner_or_none() -> None:
    heir = Heir()
    heir.sees({0: "dead"})
    heir.waiting = {0}
    assert heir.sees({}) == []
    assert heir.sees({0: "another"}) == []


def test_a_partition_that_is_active_already_waits_for_nobody() -> None:
    heir = Heir()
    heir.sees({0: "dead"})
    assert heir.sees({0: "me"}) == []


def test_a_worker_that_came_back_and_died_again_is_seen_to_again() -> None:
    heir = Heir()
    heir.sees({0: "dead"})
    heir.waiting = {0}
    heir.sees({0: "me"})
    heir.waiting = set()
    heir.sees({0: "dead"})
    heir.waiting = {0}
    assert heir.sees({0: "me"}) == ["dead", "dead"]


def test_a_cluster_that_refuses_leaves_it_to_the_time_out() -> None:
    heir = Heir()
    heir.refused = True
    heir.sees({0: "dead"})
    heir.waiting = {0}
    assert heir.sees({0: "me"}) == ["dead"]
    assert heir.sees({0: "me"}) == ["dead"]
