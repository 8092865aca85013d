"""Compaction, by Kafka's real cleaner and by its twin's."""

from __future__ import annotations

from pipeline.log.api import TopicPartition
from tests.contract.log.grounds import Ground, Pull, offsets, pairs

QUICK = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "100",
}
"""A topic that the cleaner looks at as soon as a segment is closed."""


def compacted(ground: Ground, partition: TopicPartition, until_gone: int) -> None:
    """Let the cleaner run, with other records behind those in question, until a record is gone."""

    def gone() -> bool:
        ground.commit(partition, {b"filler": b"f"})
        ground.pass_time(110)
        ground.let_compaction_run(partition.topic)
        return until_gone not in offsets(ground.read(partition))

    ground.until(gone, "the cleaner has been there")


def test_compaction_keeps_the_last_value_of_each_key_and_every_offset(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(QUICK), 0)
    ground.commit(partition, {b"a": b"old", b"b": b"old"}, {b"a": b"older", b"c": b"only"}, {b"a": b"new"})
    end = ground.end(partition)
    assert end == 8  # 0, 1, marker 2; 3, 4, marker 5; 6, marker 7
    compacted(ground, partition, until_gone=3)  # only what superseded it can have removed it, and that removed 0 too
    left = [record for record in ground.read(partition) if record.key() != b"filler"]
    assert pairs(left) == [(b"b", b"old"), (b"c", b"only"), (b"a", b"new")]
    assert offsets(left) == [1, 4, 6]
    assert ground.admin.earliest([partition]) == {partition: 0}, "reading from the beginning is still in the log"
    end = ground.settle(partition)
    pull = Pull(ground.reader())
    pull.reader.assign({partition: 2})
    ground.until(lambda: pull.reaches(partition, end), "a position in a hole is as good as any")
    assert offsets(pull.records)[:2] == [4, 6]


def test_a_tombstone_goes_some_time_after_what_it_deletes(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(QUICK), 0)
    ground.commit(partition, {b"gone": b"1"}, {b"stays": b"1"}, {b"gone": None})
    compacted(ground, partition, until_gone=0)
    compacted(ground, partition, until_gone=4)
    left = ground.read(partition)
    assert [record.key() for record in left if record.key() != b"filler"] == [b"stays"]


def test_a_topic_without_compaction_keeps_everything(ground: Ground) -> None:
    partition = TopicPartition(ground.topic(), 0)
    ground.commit(partition, {b"a": b"1"}, {b"a": b"2"}, {b"a": None})
    ground.let_compaction_run(partition.topic)
    assert pairs(ground.read(partition)) == [(b"a", b"1"), (b"a", b"2"), (b"a", None)]
