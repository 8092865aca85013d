"""Records, offsets and readers, on Kafka and on its twin."""

from __future__ import annotations

from functools import partial

import pytest

from pipeline.errors import StateUnusable
from pipeline.log.api import Delivery, TopicPartition
from pipeline.partitioning import partition_of
from tests.contract.log.grounds import Ground, Pull, offsets, pairs, write

CREATE_TIME, LOG_APPEND_TIME = 1, 2


def test_records_come_whole_and_in_the_order_they_were_sent(ground: Ground) -> None:
    # Retention goes by the records' times, and these are long past.
    topic = ground.topic({"retention.ms": "-1"})
    sink = ground.sink()
    sink.begin()
    sink.send_with_headers(topic, b"k", b"v", 1_735_689_600_000, [("a", b"1"), ("a", b"2")])
    sink.send(topic, b"", None, 1_735_689_600_001)
    sink.send_with_headers(topic, b"k", b"", 1_735_689_600_002, [])
    sink.commit()
    found = ground.read(TopicPartition(topic, 0))
    assert pairs(found) == [(b"k", b"v"), (b"", None), (b"k", b"")]
    assert offsets(found) == [0, 1, 2]
    assert [message.timestamp() for message in found] == [(CREATE_TIME, 1_735_689_600_000 + each) for each in range(3)]
    assert [message.headers() for message in found] == [[("a", b"1"), ("a", b"2")], None, None]
    assert {(message.topic(), message.partition()) for message in found} == {(topic, 0)}


def test_keys_go_where_murmur2_sends_them(ground: Ground) -> None:
    topic = ground.topic(partitions=3)
    keys = [b"device-%d" % number for number in range(30)]
    sink = ground.sink()
    sink.begin()
    for key in keys:
        sink.send(topic, key, b"v", 0)
    sink.commit()
    for partition in range(3):
        found = ground.read(TopicPartition(topic, partition))
        assert [message.key() for message in found] == [key for key in keys if partition_of(key, 3) == partition]


def test_rows_go_to_their_partition_and_the_last_one_has_the_headers_and_reports(ground: Ground) -> None:
    topic = ground.topic(partitions=2)
    to = TopicPartition(topic, 1)
    reports: list[Delivery] = []
    sink = ground.sink()
    sink.begin()
    sink.send_rows(to, {b"a": b"1", b"b": None}, [("h", b"x")], reports.append)
    sink.send_rows(to, {}, (), reports.append)
    assert reports == []
    sink.flush()
    assert reports == [Delivery(topic, 1, 1)]
    sink.commit()
    found = ground.read(to)
    assert pairs(found) == [(b"a", b"1"), (b"b", None)]
    assert [message.headers() for message in found] == [None, [("h", b"x")]]
    assert ground.end(TopicPartition(topic, 0)) == 0


def test_a_topic_may_stamp_records_with_its_own_time(ground: Ground) -> None:
    topic = ground.topic({"message.timestamp.type": "LogAppendTime"})
    sink = ground.sink()
    sink.begin()
    sink.send(topic, b"k", b"v", 1_700_000_000_000)
    sink.commit()
    ((kind, stamp),) = [message.timestamp() for message in ground.read(TopicPartition(topic, 0))]
    assert kind == LOG_APPEND_TIME
    assert stamp > 1_700_000_000_000


def test_a_position_is_unknown_until_something_is_passed_and_passes_markers_and_aborted_records(ground: Ground) -> None:
    topic = ground.topic()
    partition = TopicPartition(topic, 0)
    sink = ground.sink()
    write(sink, partition, {b"a": b"1"})  # offset 0, marker 1
    sink.commit()
    write(sink, partition, {b"a": b"never", b"b": b"never"})  # 2 and 3, marker 4
    sink.abort()
    assert ground.settle(partition) == 5
    reader = ground.reader()
    assert reader.position(partition) is None
    reader.assign({partition: 0})
    assert reader.position(partition) is None
    pull = Pull(reader)
    ground.until(lambda: pull.reaches(partition, 5), "the end is passed")
    assert offsets(pull.records) == [0]
    assert reader.position(partition) == 5
    reader.assign({partition: 5})
    ground.quietly()
    assert (reader.poll(100, 0.05), reader.position(partition)) == ([], None)
    reader.assign({partition: 2})
    ground.until(lambda: not reader.poll(100, 0.01) and reader.position(partition) == 5, "nothing but aborted records")


def test_a_reader_takes_no_more_than_it_asked_for(ground: Ground) -> None:
    topic = ground.topic()
    partition = TopicPartition(topic, 0)
    ground.commit(partition, {b"%d" % number: b"v" for number in range(5)})
    pull = Pull(ground.reader())
    pull.reader.assign({partition: 1})
    for limit, expected in ((1, [1]), (2, [1, 2, 3]), (3, [1, 2, 3, 4])):
        ground.until(partial(pull.gives, limit), "more come")
        assert offsets(pull.records) == expected
    assert pull.reader.position(partition) in {5, 6}


def test_a_new_assignment_replaces_the_old_and_begins_where_it_says(ground: Ground) -> None:
    topic = ground.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    for partition in (first, second):
        ground.commit(partition, {b"a": b"1", b"b": b"2"})
    reader = ground.reader()
    reader.assign({first: 0})
    before = Pull(reader)
    ground.until(lambda: before.count() == 2, "the first is read")
    reader.assign({second: 1, first: 1})
    after = Pull(reader)
    ground.until(lambda: after.count() == 2, "both are read")
    ground.quietly()
    after.count()
    assert sorted((message.partition(), message.offset()) for message in after.records) == [(0, 1), (1, 1)]


def test_a_reader_that_leaves_a_partition_reads_it_again_after_an_assignment(ground: Ground) -> None:
    topic = ground.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    ground.commit(first, {b"a": b"1"})
    reader = ground.reader()
    reader.assign({first: 0, second: 0})
    ground.until(lambda: bool(reader.poll(100, 0.01)), "the first record")
    reader.unassign([first])
    ground.commit(first, {b"b": b"2"})
    ground.commit(second, {b"c": b"3"})
    pull = Pull(reader)
    ground.until(lambda: pull.count() > 0, "the other goes on")
    ground.quietly()
    pull.count()
    assert pairs(pull.records) == [(b"c", b"3")]
    reader.assign({first: 2})
    ground.until(lambda: pull.count() == 2, "it is read again")
    assert pairs(pull.records)[1] == (b"b", b"2")


@pytest.mark.parametrize("start", [1, 99], ids=["before the log", "after the log"])
def test_reading_outside_the_log_is_an_error(ground: Ground, start: int) -> None:
    topic = ground.topic()
    partition = TopicPartition(topic, 0)
    ground.commit(partition, {b"%d" % number: b"v" for number in range(5)})
    ground.truncate_before(partition, 3)
    assert ground.admin.earliest([partition]) == {partition: 3}
    assert offsets(ground.read(partition, 3)) == [3, 4]
    reader = ground.reader()
    reader.assign({partition: start})
    with pytest.raises(StateUnusable):
        ground.until(lambda: bool(reader.poll(100, 0.01)), "it is refused")
    reader.assign({partition: 4})
    ground.until(lambda: bool(reader.poll(100, 0.01)), "the reader lives on")


def test_a_log_whose_records_are_all_deleted_keeps_its_end(ground: Ground) -> None:
    topic = ground.topic()
    partition = TopicPartition(topic, 0)
    ground.commit(partition, {b"a": b"1", b"b": b"2"})
    ground.truncate_before(partition, 3)
    assert ground.admin.earliest([partition]) == ground.admin.high_watermarks([partition]) == {partition: 3}
    ground.commit(partition, {b"c": b"3"})
    assert offsets(ground.read(partition, 3)) == [3]


def test_a_topic_made_anew_is_another_topic(ground: Ground) -> None:
    topic = ground.topic()
    partition = TopicPartition(topic, 0)
    ground.commit(partition, *({b"a": b"1"} for _ in range(4)))
    before = ground.admin.topics([topic])[topic]
    reader = ground.reader()
    reader.assign({partition: 0})
    pull = Pull(reader)
    ground.until(lambda: pull.reaches(partition, 8), "it is read")
    ground.admin.delete_topics([topic])
    assert ground.admin.topics([topic]) == {}
    ground.quietly()
    assert reader.poll(100, 0.05) == []
    ground.admin.create_topics({topic: {}}, 1, 1)
    after = ground.admin.topics([topic])[topic]
    assert (after.topic, after.partitions) == (before.topic, before.partitions)
    assert after.topic_id != before.topic_id
    assert ground.end(partition) == 0
    with pytest.raises(StateUnusable):
        ground.until(lambda: bool(reader.poll(100, 0.01)), "the position lies beyond the new topic's end")
