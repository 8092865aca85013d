"""Transactions, isolation, fencing and offsets, on Kafka and on its twin."""

from __future__ import annotations

import pytest

from pipeline.errors import Fenced, Misconfigured, PipelineError, Retryable, TransactionAborted
from pipeline.log.api import Committed, Delivery, Membership, TopicPartition
from tests.contract.log.grounds import Ground, Pull, offsets, pairs, write

TIMEOUT_MS = 1_000
"""Of a transaction that is to time out; Kafka looks once a second."""


def test_records_are_read_once_their_transaction_is_committed(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    sink = ground.sink()
    write(sink, partition, {b"a": b"1"})
    assert (ground.stable(partition), ground.end(partition)) == (0, 1)
    reader = ground.reader()
    reader.assign({partition: 0})
    ground.quietly()
    assert (reader.poll(100, 0.05), reader.position(partition)) == ([], None)
    sink.commit()
    pull = Pull(reader)
    ground.until(lambda: pull.reaches(partition, 2), "it is read")
    assert pairs(pull.records) == [(b"a", b"1")]
    assert ground.settle(partition) == 2


def test_an_open_transaction_holds_back_what_others_commit_after_it(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    slow, quick = ground.sink("slow"), ground.sink("quick")
    write(quick, partition, {b"before": b"1"})  # 0, marker 1
    quick.commit()
    write(slow, partition, {b"slow": b"2"})  # 2
    write(quick, partition, {b"after": b"3"})  # 3, marker 4
    quick.commit()
    ground.until(lambda: ground.end(partition) == 5, "the second marker is there")
    assert ground.stable(partition) == 2
    assert pairs(ground.read(partition, settled=False)) == [(b"before", b"1")]
    slow.abort()
    assert pairs(ground.read(partition)) == [(b"before", b"1"), (b"after", b"3")]
    assert ground.settle(partition) == 6


def test_a_transaction_covers_all_the_partitions_that_it_wrote_to(ground: Ground) -> None:
    topic = ground.topic(partitions=3)
    sink = ground.sink()
    sink.begin()
    for number in (0, 2):
        sink.send_rows(TopicPartition(topic, number), {b"k": b"%d" % number}, (), lambda _delivery: None)
    sink.flush()
    assert [ground.stable(TopicPartition(topic, number)) for number in range(3)] == [0, 0, 0]
    sink.commit()
    assert [ground.settle(TopicPartition(topic, number)) for number in range(3)] == [2, 0, 2]


def test_a_transaction_of_nothing_leaves_nothing(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    sink = ground.sink()
    sink.begin()
    sink.commit()
    sink.begin()
    sink.flush()
    sink.abort()
    sink.abort()
    assert ground.end(partition) == 0


def test_outside_a_transaction_nothing_is_sent(ground: Ground) -> None:
    topic = ground.topic()
    sink = ground.sink()
    with pytest.raises(PipelineError) as sent:
        sink.send(topic, b"k", b"v", 0)
    with pytest.raises(PipelineError) as committed:
        sink.commit()
    assert type(sent.value) is type(committed.value) is PipelineError
    sink.abort()
    sink.flush()
    sink.begin()
    with pytest.raises(PipelineError):
        sink.begin()
    assert ground.end(TopicPartition(topic, 0)) == 0


def test_a_record_for_a_topic_that_is_not_there_ends_its_transaction(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    sink = ground.sink(transaction_timeout_ms=TIMEOUT_MS)  # for as long the client looks for the topic
    sink.begin()
    sink.send(f"{ground.prefix}nowhere", b"k", b"v", 0)
    sink.flush()
    with pytest.raises(TransactionAborted):
        sink.commit()
    sink.abort()
    write(sink, partition, {b"b": b"2"})
    sink.commit()
    assert pairs(ground.read(partition)) == [(b"b", b"2")]


def test_rows_for_a_partition_that_is_not_there_are_refused_at_once(ground: Ground) -> None:
    topic = ground.topic()
    sink = ground.sink()
    write(sink, TopicPartition(topic, 0), {b"a": b"1"})
    with pytest.raises(Misconfigured):
        sink.send_rows(TopicPartition(topic, 9), {b"a": b"1"}, (), lambda _delivery: None)
    sink.commit()


@pytest.mark.parametrize("reported", [True, False], ids=["reported", "not reported"])
def test_a_record_that_is_too_large_ends_its_transaction(ground: Ground, reported: bool) -> None:
    partition = TopicPartition(ground.topic({"max.message.bytes": "2000"}), 0)
    large = bytes(range(256)) * 1_000  # two hundred times too large, so that compression does not help
    sink = ground.sink()
    sink.begin()
    reports: list[Delivery] = []
    if reported:
        sink.send_rows(partition, {b"k": large}, (), reports.append)
        with pytest.raises(Misconfigured):
            sink.flush()
    else:
        sink.send(partition.topic, b"k", large, 0)
        sink.flush()
    with pytest.raises(Misconfigured, match="too large"):  # to abort and do it again would end here again
        sink.commit()
    sink.abort()
    assert reports == []
    assert ground.read(partition) == []


@pytest.mark.parametrize("after", [1, 2_000, 30_000])
def test_rows_that_are_given_up_with_another_say_what_that_one_met(ground: Ground, after: int) -> None:
    partition = TopicPartition(ground.topic({"max.message.bytes": "2000"}), 0)
    other = TopicPartition(ground.topic(), 0)
    large = bytes(range(256)) * 1_000
    sink = ground.sink()
    sink.begin()
    small = {b"%d" % number: b"%032d" % number for number in range(after)}

    def send() -> None:
        sink.send_rows(partition, {b"large": large, **small}, (), lambda _delivery: None)
        while True:  # until the failure of the transaction is known
            sink.send_rows(other, {b"k": b"v"}, (), lambda _delivery: None)
            sink.flush()

    with pytest.raises(Misconfigured, match="too large"):
        send()
    sink.abort()
    assert ground.read(partition) == ground.read(other) == []


def test_a_compacted_topic_takes_no_record_without_a_key(ground: Ground) -> None:
    partition = TopicPartition(ground.topic({"cleanup.policy": "compact"}), 0)
    sink = ground.sink()
    sink.begin()
    sink.send(partition.topic, None, b"v", 0)
    sink.flush()
    with pytest.raises(TransactionAborted):
        sink.commit()
    sink.abort()
    assert ground.read(partition) == []


def test_a_newer_producer_of_the_same_id_ends_the_transaction_of_the_older_and_fences_it(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    old = ground.sink()
    write(old, partition, {b"old": b"1"})
    new = ground.sink()
    assert ground.settle(partition) == 2, "the old one's transaction is aborted"
    old.send(partition.topic, b"old", b"2", 0)
    with pytest.raises(Fenced):
        old.flush()
    for call in (old.commit, old.abort, old.begin):
        with pytest.raises(Fenced):
            call()
    with pytest.raises(Fenced):
        old.send(partition.topic, b"old", b"3", 0)
    old.close()
    write(new, partition, {b"new": b"1"})
    new.commit()
    assert pairs(ground.read(partition)) == [(b"new", b"1")]


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_fenced_producer_learns_it_when_it_ends_its_transaction(ground: Ground, end: str) -> None:
    partition = TopicPartition(ground.topic(), 0)
    old = ground.sink()
    write(old, partition, {b"old": b"1"})
    ground.sink()
    with pytest.raises(Fenced):
        getattr(old, end)()
    with pytest.raises(Fenced):
        old.begin()
    old.close()
    assert ground.read(partition) == []


def test_an_idle_producer_that_is_fenced_learns_it_when_it_writes(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    old = ground.sink()
    ground.sink()
    old.begin()
    old.commit()
    old.begin()
    old.send(partition.topic, b"k", b"v", 0)
    with pytest.raises(Fenced):
        old.commit()
    assert ground.read(partition) == []


def test_what_a_producer_left_open_is_ended_by_the_next_of_its_id(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    first = ground.sink()
    write(first, partition, {b"a": b"1"})
    first.close()
    ground.quietly()
    assert (ground.stable(partition), ground.end(partition)) == (0, 1)
    ground.sink()
    assert ground.settle(partition) == 2
    assert ground.read(partition) == []


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(ground: Ground) -> None:
    topic = ground.topic(partitions=4)
    sinks = [ground.sink(f"late-{number}", transaction_timeout_ms=TIMEOUT_MS) for number in range(3)]
    for number, sink in enumerate(sinks):
        write(sink, TopicPartition(topic, number), {b"late": b"1"})
    patient = ground.sink("patient", transaction_timeout_ms=TIMEOUT_MS)
    patient.begin()
    ground.pass_time(TIMEOUT_MS)
    assert [ground.settle(TopicPartition(topic, number)) for number in range(3)] == [2, 2, 2]
    sends, commits, aborts = sinks
    sends.send(topic, b"late", b"2", 0)
    for late in (sends.flush, commits.commit, aborts.abort):
        with pytest.raises(Fenced):
            late()
    renewed = ground.sink("late-0")
    write(renewed, TopicPartition(topic, 0), {b"again": b"1"})
    renewed.commit()
    assert pairs(ground.read(TopicPartition(topic, 0))) == [(b"again", b"1")]
    # The clock of a transaction starts with its first record, not when it is begun.
    patient.send_rows(TopicPartition(topic, 3), {b"k": b"v"}, (), lambda _delivery: None)
    patient.commit()
    assert pairs(ground.read(TopicPartition(topic, 3))) == [(b"k", b"v")]


def test_offsets_become_true_with_their_transaction_and_are_not_stable_before(ground: Ground) -> None:
    topic, group = ground.topic(partitions=2), ground.group()
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = ground.member(topic, group)
    ground.share(member, partitions=2)
    reader = ground.reader(group)
    assert reader.committed([first, second]) == {first: None, second: None}
    sink = ground.sink()
    sink.begin()
    sink.send_offsets({first: Committed(7, "what it stands for")}, member.source.membership())
    with pytest.raises(Retryable):
        reader.committed([second, first])
    assert reader.committed([second]) == {second: None}
    assert ground.committed(group, first) is None
    sink.commit()
    ground.until(lambda: ground.committed(group, first) is not None, "the marker is there")
    assert ground.stable_offsets(reader, [first]) == {first: Committed(7, "what it stands for")}
    sink.begin()
    sink.send_offsets({first: Committed(9, "")}, member.source.membership())
    sink.abort()
    assert ground.stable_offsets(reader, [first]) == {first: Committed(7, "what it stands for")}


def test_offsets_with_too_much_metadata_end_the_transaction(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    partition = TopicPartition(topic, 0)
    member = ground.member(topic, group)
    ground.share(member, partitions=1)
    sink = ground.sink()
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({partition: Committed(1, "x" * 4_096)}, member.source.membership())
    with pytest.raises(TransactionAborted):
        sink.commit()
    sink.abort()
    sink.begin()
    sink.send_offsets({partition: Committed(1, "x" * 4_095)}, member.source.membership())
    sink.commit()


def test_who_never_joined_commits_no_offsets(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    partition = TopicPartition(topic, 0)
    sink = ground.sink()
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({partition: Committed(1, "")}, Membership(None, member=False))
    sink.abort()
    assert ground.committed(group, partition) is None


def test_who_has_not_joined_yet_commits_no_offsets(ground: Ground) -> None:
    """Kafka takes credentials without a generation from anybody, also into a group that others are in."""
    topic, group = ground.topic(), ground.group()
    partition = TopicPartition(topic, 0)
    ground.share(ground.member(topic, group), partitions=1)
    sink = ground.sink()
    sink.begin()
    newcomer = ground.member(topic, group, "newcomer")
    with pytest.raises(TransactionAborted):
        sink.send_offsets({partition: Committed(1, "")}, newcomer.source.membership())
    sink.abort()
    assert ground.committed(group, partition) is None


def test_a_producer_fenced_after_it_sent_offsets_moves_no_group(ground: Ground) -> None:
    topic, group = ground.topic(), ground.group()
    partition = TopicPartition(topic, 0)
    member = ground.member(topic, group)
    ground.share(member, partitions=1)
    old = ground.sink()
    write(old, partition, {b"a": b"1"})
    old.send_offsets({partition: Committed(1, "")}, member.source.membership())
    ground.sink()
    with pytest.raises(Fenced):
        old.commit()
    reader = ground.reader(group)
    assert ground.stable_offsets(reader, [partition]) == {partition: None}
    assert offsets(ground.read(partition)) == []
