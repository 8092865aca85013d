"""Consumer groups, on Kafka (classic protocol, cooperative-sticky) and on its twin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.errors import Fenced, Misconfigured, PipelineError, StateLost, TransactionAborted
from pipeline.log.api import Committed, TopicPartition
from tests.contract.log.grounds import LONG_SESSION_MS, SESSION_MS, Ground, Member, offsets, pairs, write

PARTITIONS = 4


def every(topic: str, partitions: int = PARTITIONS) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(partitions)]


def test_the_first_member_gets_everything_and_reads_nothing_until_it_says_from_where(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    first = TopicPartition(topic, 0)
    ground.commit(first, {b"a": b"1"}, {b"b": b"2"})
    member = ground.member(topic, group)
    assert member.heard == []
    assert not member.source.membership().member
    ground.share(member, partitions=2)
    assert member.heard == [("assigned", {0, 1})]
    assert member.source.membership().member
    ground.quietly(member)
    assert member.records == []
    assert member.source.position(first) is None
    member.source.resume({first: 2})
    ground.until(lambda: member.source.position(first) == 4, "it is read to the end", member)
    assert pairs(member.records) == [(b"b", b"2")]
    assert member.source.position(TopicPartition(topic, 1)) is None


def test_pause_and_resume_with_another_offset(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    first, second = every(topic, 2)
    ground.commit(first, {b"a": b"1", b"b": b"2"})
    member = ground.member(topic, group)
    ground.share(member, partitions=2)
    member.source.resume({first: 0, second: 0})
    ground.until(lambda: member.source.position(first) == 3, "it is read to the end", member)
    member.source.pause([first])
    member.source.pause([TopicPartition(f"{topic}-not-mine", 7)])
    ground.commit(first, {b"c": b"3"})
    ground.commit(second, {b"d": b"4"})
    ground.until(lambda: len(member.records) == 3, "the other partition goes on", member)
    ground.quietly(member)
    assert pairs(member.records) == [(b"a", b"1"), (b"b", b"2"), (b"d", b"4")]
    member.records.clear()
    member.source.resume({first: 1})
    assert member.source.position(first) is None
    ground.until(lambda: member.source.position(first) == 5, "it is read again", member)
    assert offsets(member.records) == [1, 3]


def test_a_member_reads_committed_records_only(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    (partition,) = every(topic, 1)
    sink = ground.sink()
    write(sink, partition, {b"never": b"1"})
    sink.abort()
    write(sink, partition, {b"a": b"1"})
    member = ground.member(topic, group)
    ground.share(member, partitions=1)
    member.source.resume({partition: 0})
    ground.until(lambda: member.source.position(partition) == 2, "the aborted are passed", member)
    ground.quietly(member)
    assert member.records == []
    sink.commit()
    ground.until(lambda: member.source.position(partition) == 4, "the end is passed", member)
    assert pairs(member.records) == [(b"a", b"1")]


def test_a_member_that_should_read_outside_the_log_has_lost_state(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    (partition,) = every(topic, 1)
    member = ground.member(topic, group)
    ground.share(member, partitions=1)
    member.source.resume({partition: 50})
    with pytest.raises(StateLost, match="no longer holds what comes next"):
        ground.until(lambda: False, "it is refused", member)


def test_a_member_waits_unharmed_where_the_head_of_the_log_is_gone(ground: Ground) -> None:
    """Retention takes heads all the time, and a member that was given a partition has no place in it yet."""
    topic, group = ground.topic(partitions=PARTITIONS), ground.group()
    for partition in every(topic):
        ground.commit(partition, {b"a": b"1", b"b": b"2"}, {b"c": b"3"})
        ground.truncate_before(partition, 3)
    for _ in range(3):
        member = ground.member(topic, group)
        ground.share(member, partitions=PARTITIONS)
        ground.quietly(member)
        assert member.records == []
        member.source.resume(dict.fromkeys(every(topic), 3))
        ground.until(lambda member=member: len(member.records) == PARTITIONS, "what is left is read", member)  # type: ignore[misc]
        member.source.close()


def test_partitions_move_in_two_steps_and_are_never_held_twice(ground: Ground) -> None:
    topic, group = ground.topic(partitions=PARTITIONS), ground.group()
    first = ground.member(topic, group, "first")
    ground.share(first, partitions=PARTITIONS)
    second = ground.member(topic, group, "second")
    while_moving: list[set[int]] = []

    def watch() -> bool:
        while_moving.append(first.owned & second.owned)
        return bool(second.owned)

    ground.until(watch, "the second has its share", first, second)
    assert not any(while_moving)
    ground.share(first, second, partitions=PARTITIONS)
    assert len(first.owned) == len(second.owned) == PARTITIONS // 2
    ground.quietly(first, second)
    # Each generation is told to all, with nothing new in most of them.
    given, kept = set(second.owned), set(first.owned)
    assert first.heard == [("assigned", kept | given), ("revoked", given), ("assigned", set()), ("assigned", set())]
    # But a generation that is over before a newcomer has asked for its share is told to it by nobody.
    assert second.moves == [("assigned", given)]
    found = {each.client_id: {part.partition for part in each.partitions} for each in ground.admin.members(group)}
    assert found == {"first": first.owned, "second": second.owned}


def test_a_dynamic_member_that_closes_hands_its_partitions_over(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    stays, goes = ground.member(topic, group, "stays"), ground.member(topic, group, "goes")
    ground.share(stays, goes, partitions=2)
    held = set(goes.owned)
    goes.heard.clear()
    goes.source.close()
    assert goes.heard == [("revoked", held)]
    ground.share(stays, partitions=2)
    assert [each.client_id for each in ground.admin.members(group)] == ["stays"]
    stays.source.close()
    assert ground.admin.members(group) == []


def test_while_partitions_are_revoked_they_can_still_be_committed(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    first = ground.member(topic, group, "first")
    ground.share(first, partitions=2)
    sink = ground.sink()

    def commit(partitions: Sequence[TopicPartition]) -> None:
        sink.begin()
        sink.send_offsets(dict.fromkeys(partitions, Committed(5, "")), first.source.membership())
        sink.commit()

    first.on_revoked = commit
    second = ground.member(topic, group, "second")
    ground.share(first, second, partitions=2)
    (moved,) = second.owned
    reader = ground.reader(group)
    assert ground.stable_offsets(reader, [TopicPartition(topic, moved)]) == {
        TopicPartition(topic, moved): Committed(5, "")
    }
    first.on_revoked = lambda _partitions: None


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_what_is_revoked_while_the_source_closes_is_committed_or_refused(ground: Ground, static: bool) -> None:
    topic, group = ground.topic(), ground.group()
    (partition,) = every(topic, 1)
    member = ground.member(topic, group, static=static)
    ground.share(member, partitions=1)
    sink = ground.sink()
    refused: list[TransactionAborted] = []

    def commit(_partitions: Sequence[TopicPartition]) -> None:
        sink.begin()
        try:
            sink.send_offsets({partition: Committed(5, "")}, member.source.membership())
            sink.commit()
        except TransactionAborted as error:
            refused.append(error)
            sink.abort()

    member.on_revoked = commit
    member.source.close()
    assert member.moves[-1] == ("revoked", {0})
    found = ground.stable_offsets(ground.reader(group), [partition])
    assert found == {partition: None if refused else Committed(5, "")}


def test_a_poll_raises_what_its_listener_met(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    member = ground.member(topic, group)
    ground.share(member, partitions=1)

    def fail(_partitions: Sequence[TopicPartition]) -> None:
        raise Misconfigured("made up")

    member.on_revoked = fail
    with pytest.raises(Misconfigured, match="made up"):
        member.source.close()


def test_credentials_are_checked_by_member_and_generation_and_not_by_partition(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    first = ground.member(topic, group, "first")
    ground.share(first, partitions=2)
    stale = first.source.membership()
    second = ground.member(topic, group, "second")
    ground.share(first, second, partitions=2)
    ground.quietly(first, second)
    mine = TopicPartition(topic, min(first.owned))
    sink = ground.sink()
    write(sink, mine, {b"stale": b"1"})
    with pytest.raises(TransactionAborted):
        sink.send_offsets({mine: Committed(1, "")}, stale)
    with pytest.raises(TransactionAborted):
        sink.commit()
    sink.abort()
    assert ground.committed(group, mine) is None
    assert ground.read(mine) == []
    write(sink, mine, {b"fresh": b"1"})
    sink.send_offsets({mine: Committed(3, "")}, first.source.membership())
    sink.commit()
    assert pairs(ground.read(mine)) == [(b"fresh", b"1")]
    (others,) = (TopicPartition(topic, each) for each in second.owned)
    sink.begin()
    sink.send_offsets({others: Committed(1, "not its own")}, first.source.membership())
    sink.commit()
    ground.until(lambda: ground.committed(group, others) == Committed(1, "not its own"), "it was accepted")


@pytest.mark.parametrize("others", [True, False], ids=["others stay", "the group is empty"])
def test_credentials_of_a_member_that_left_are_refused(ground: Ground, others: bool) -> None:
    topic, group = ground.topic(), ground.group()
    (partition,) = every(topic, 1)
    member = ground.member(topic, group)
    ground.share(member, partitions=1)
    credentials = member.source.membership()
    assert credentials.member
    member.source.close()
    if others:
        ground.share(ground.member(topic, group, "other"), partitions=1)
    sink = ground.sink()
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({partition: Committed(1, "")}, credentials)
    sink.abort()
    assert ground.committed(group, partition) is None


def test_a_static_member_that_restarts_takes_its_partitions_back_and_disturbs_nobody(ground: Ground) -> None:
    topic, group = ground.topic(partitions=PARTITIONS), ground.group()
    stays = ground.member(topic, group, "stays", static=True, session_ms=LONG_SESSION_MS)
    before = ground.member(topic, group, "restarts", static=True, session_ms=LONG_SESSION_MS)
    ground.share(stays, before, partitions=PARTITIONS)
    ground.quietly(stays, before)
    held = set(before.owned)
    credentials = before.source.membership()
    stays.heard.clear()
    before.source.close()
    assert before.moves[-1] == ("revoked", held)
    ground.quietly(stays)
    assert len(ground.admin.members(group)) == 2, "it keeps its seat"
    after = ground.member(topic, group, "restarts", static=True, session_ms=LONG_SESSION_MS)
    ground.share(stays, after, partitions=PARTITIONS)
    assert after.heard == [("assigned", held)]
    ground.quietly(stays, after)
    assert stays.heard == []
    sink = ground.sink()
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({TopicPartition(topic, min(held)): Committed(1, "")}, credentials)
    sink.abort()
    sink.begin()
    sink.send_offsets({TopicPartition(topic, min(held)): Committed(1, "")}, after.source.membership())
    sink.commit()


def test_a_static_member_that_stays_away_loses_its_partitions_with_its_session(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    stays = ground.member(topic, group, "stays", static=True)
    goes = ground.member(topic, group, "goes", static=True)
    ground.share(stays, goes, partitions=2)
    goes.source.close()
    ground.quietly(stays)
    assert len(stays.owned) == 1
    ground.pass_time(SESSION_MS + 100)
    ground.share(stays, partitions=2)
    assert [each.client_id for each in ground.admin.members(group)] == ["stays"]


def test_the_same_static_id_twice_fences_the_older(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    (partition, _) = every(topic, 2)
    older = ground.member(topic, group, "id", static=True)
    ground.share(older, partitions=2)
    credentials = older.source.membership()
    newer = ground.member(topic, group, "id", static=True)
    ground.share(newer, partitions=2)
    sink = ground.sink()
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({partition: Committed(1, "")}, credentials)
    sink.abort()
    with pytest.raises(Fenced):
        ground.until(lambda: False, "it is told", older)
    ground.quietly(older)
    heard = list(older.heard)
    older.source.close()
    assert older.heard == heard == [("assigned", {0, 1})], "neither revoked nor lost"
    newer.source.resume({partition: 0})
    ground.commit(partition, {b"a": b"1"})
    ground.until(lambda: pairs(newer.records) == [(b"a", b"1")], "the newer works on", newer)


def test_a_member_that_does_not_poll_in_time_loses_its_partitions_and_comes_back(impatient: Ground) -> None:
    ground = impatient
    topic, group = ground.topic(partitions=2), ground.group()
    (first, _) = every(topic, 2)
    member = ground.member(topic, group)
    ground.share(member, partitions=2)
    credentials = member.source.membership()
    ground.pass_time(SESSION_MS)
    ground.until(lambda: ground.admin.members(group) == [], "its client has left")
    sink = ground.sink()
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({first: Committed(1, "")}, credentials)
    sink.abort()
    member.heard.clear()
    ground.until(lambda: len(member.moves) == 2, "it is told, and joins again", member)
    assert member.moves == [("lost", {0, 1}), ("assigned", {0, 1})]
    ground.commit(first, {b"a": b"1"})
    member.source.resume({first: 0})
    ground.until(lambda: bool(member.records), "it works again", member)


def test_positions_are_set_by_hand_only_in_a_group_without_members(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    (partition,) = every(topic, 1)
    reader = ground.reader(group)
    reader.commit({partition: Committed(3, "by hand")})
    assert reader.committed([partition]) == {partition: Committed(3, "by hand")}
    member = ground.member(topic, group)
    ground.share(member, partitions=1)
    with pytest.raises(Fenced):
        reader.commit({partition: Committed(4, "")})
    with pytest.raises(Misconfigured):
        ground.admin.delete_group(group)
    assert reader.committed([partition]) == {partition: Committed(3, "by hand")}
    member.source.close()
    ground.admin.delete_group(group)
    assert reader.committed([partition]) == {partition: None}
    ground.admin.delete_group(group)
    with pytest.raises(Misconfigured):
        reader.commit({TopicPartition(f"{topic}-nowhere", 0): Committed(1, "")})
    with pytest.raises(PipelineError):
        reader.commit({partition: Committed(1, "x" * 4_096)})
    nowhere = TopicPartition(f"{topic}-nowhere", 0)
    assert reader.committed([nowhere, TopicPartition(topic, 9)]) == {nowhere: None, TopicPartition(topic, 9): None}


def test_what_was_committed_for_a_topic_goes_with_the_topic(ground: Ground) -> None:
    topic, other, group = ground.topic(), ground.topic(), ground.group()
    gone, kept = TopicPartition(topic, 0), TopicPartition(other, 0)
    ground.reader(group).commit({gone: Committed(3, ""), kept: Committed(4, "")})
    ground.admin.delete_topics([topic])
    ground.admin.create_topics({topic: {}}, 1, 1)
    ground.until(lambda: ground.committed(group, gone) is None, "it is forgotten")
    assert ground.committed(group, kept) == Committed(4, "")


@pytest.mark.parametrize("who", ["the replaced", "the newcomer"])
def test_what_a_static_member_was_giving_back_when_it_was_replaced_is_nobodys_until_somebody_joins_anew(
    ground: Ground, who: str
) -> None:
    """Its next life gets the seat as the group knows it, with no rebalance, and was asked to give nothing back."""
    topic, group = ground.topic(partitions=PARTITIONS), ground.group()
    first = ground.member(topic, group, "first", static=True)
    ground.share(first, partitions=PARTITIONS)
    next_life: list[Member] = []

    def die(_partitions: Sequence[TopicPartition]) -> None:
        if not next_life:
            next_life.append(ground.member(topic, group, "first", static=True))
            ground.until(lambda: bool(next_life[0].heard), "its next life has its seat", next_life[0])

    first.on_revoked = die
    second = ground.member(topic, group, "second", static=True)
    with pytest.raises(Fenced):
        ground.until(lambda: False, "it is fenced", second, first)
    ground.quietly(next_life[0], second)
    assert len(next_life[0].owned) == PARTITIONS // 2
    assert second.owned == set()
    given = {each for member in ground.admin.members(group) for each in member.partitions}
    assert {each.partition for each in given} == next_life[0].owned
    (next_life[0] if who == "the replaced" else second).source.join_anew()
    ground.share(next_life[0], second, partitions=PARTITIONS)
    assert len(next_life[0].owned) == PARTITIONS // 2


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_a_member_that_joins_anew_gives_all_back_and_all_is_shared_out_again(ground: Ground, static: bool) -> None:
    topic, group = ground.topic(partitions=PARTITIONS), ground.group()
    first = ground.member(topic, group, "first", static=static)
    second = ground.member(topic, group, "second", static=static)
    ground.share(first, second, partitions=PARTITIONS)
    ground.quietly(first, second)
    held = set(first.owned)
    sink = ground.sink()

    def commit(partitions: Sequence[TopicPartition]) -> None:
        sink.begin()
        sink.send_offsets(dict.fromkeys(partitions, Committed(5, "")), first.source.membership())
        sink.commit()

    first.on_revoked = commit
    first.heard.clear()
    second.heard.clear()
    first.source.join_anew()
    ground.until(lambda: first.moves[:1] == [("revoked", held)], "it gives all back", first)
    first.on_revoked = lambda _partitions: None
    ground.until(lambda: len(second.heard) > 0, "the others hear of it", first, second)
    ground.share(first, second, partitions=PARTITIONS)
    assert len(first.owned) == len(second.owned) == PARTITIONS // 2
    assert len(ground.admin.members(group)) == 2
    reader = ground.reader(group)
    wanted = [TopicPartition(topic, each) for each in held]
    assert ground.stable_offsets(reader, wanted) == dict.fromkeys(wanted, Committed(5, ""))
