"""The rule by which workers keep standbys: all compute it alike, and a change moves as little as can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.client_id import ClientId
from pipeline.log.api import Member, TopicPartition
from pipeline.runtime.placement import group_of_members, standbys_of

workers = st.sets(st.sampled_from([f"a{number}" for number in range(12)]), min_size=1)


@given(workers, st.integers(0, 50), st.integers(0, 4), st.data())
def test_a_partition_has_as_many_standbys_as_there_are_others_for_it(
    group: set[str], partition: int, replicas: int, data: st.DataObject
) -> None:
    owner = data.draw(st.sampled_from(sorted(group)))
    found = standbys_of(partition, owner, group, replicas)
    assert len(found) == len(set(found)) == min(replicas, len(group) - 1)
    assert owner not in found
    assert set(found) <= group
    assert found == standbys_of(partition, owner, sorted(group, reverse=True), replicas), "in whatever order it is told"


@given(workers, st.integers(0, 50), st.integers(1, 4), st.data())
def test_a_worker_that_leaves_is_replaced_and_nobody_else_moves(
    group: set[str], partition: int, replicas: int, data: st.DataObject
) -> None:
    before = standbys_of(partition, "owner", group, replicas)
    gone = data.draw(st.sampled_from(sorted(group)))
    after = standbys_of(partition, "owner", group - {gone}, replicas)
    assert [each for each in before if each != gone] == [each for each in after if each in before]
    assert len(set(after) - set(before)) <= (gone in before)


def test_a_standby_that_becomes_the_owner_is_followed_by_the_next_in_order() -> None:
    group = {f"a{number}" for number in range(6)}
    order = standbys_of(3, None, group, 6)
    assert standbys_of(3, order[0], group, 2) == order[1:3]


def test_standbys_are_spread_over_the_workers() -> None:
    group = [f"a{number}" for number in range(4)]
    kept = [standbys_of(partition, None, group, 1)[0] for partition in range(400)]
    assert all(60 < kept.count(worker) < 140 for worker in group)


def test_a_group_is_read_from_its_members_and_strangers_are_left_out() -> None:
    members = [
        Member(str(ClientId("a0", "127.0.0.1:1")), (TopicPartition("in", 0), TopicPartition("other", 1))),
        Member(str(ClientId("a1", None)), ()),
        Member("rdkafka", (TopicPartition("in", 2),)),
    ]
    group = group_of_members(members, "in")
    assert group.owners == {0: "a0"}
    assert group.workers == {"a0", "a1"}
