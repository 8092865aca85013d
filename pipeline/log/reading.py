"""Reading one partition up to an offset, committed records only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from pipeline.errors import Retryable
from pipeline.log.api import Message, Reader, TopicPartition

_RECORDS_AT_A_TIME = 20_000
_POLL_S = 0.1
SILENCE_S = 60.0
"""A log that gives nothing for this long before its end is given up on."""


def read(reader: Reader, partition: TopicPartition, end: int, start: int = 0) -> Iterator[Sequence[Message]]:
    """Batches of the records with start <= offset < end, in order.

    Done when the reader has passed `end`: commit markers hold offsets, and compaction removes records anywhere.
    Raises Retryable when nothing comes for SILENCE_S.
    """
    if end <= start:
        return
    reader.assign({partition: start})
    yield from _until(reader, partition, end)


def read_told(
    reader: Reader, partition: TopicPartition, end: int, start: int, progress: Callable[[int], None]
) -> Iterator[Message]:
    """As `read`, a record at a time; `progress` hears of each further lot of offsets passed, in the end of all."""
    read_to = start
    for batch in read(reader, partition, end, start):
        yield from batch
        progress(batch[-1].offset() + 1 - read_to)
        read_to = batch[-1].offset() + 1
    progress(end - read_to)


def first_after(reader: Reader, partition: TopicPartition, start: int, end: int) -> Message | None:
    """The first committed record with start <= offset < end."""
    if start >= end:
        return None
    reader.assign({partition: start})
    for batch in _until(reader, partition, end):
        return batch[0]
    return None


def _until(reader: Reader, partition: TopicPartition, end: int) -> Iterator[Sequence[Message]]:
    heard = time.monotonic()
    before: int | None = None
    while True:
        batch = reader.poll(_RECORDS_AT_A_TIME, _POLL_S)
        if batch and batch[-1].offset() >= end:
            inside = [message for message in batch if message.offset() < end]
            if inside:
                yield inside
            return
        if batch:
            yield batch
        position = reader.position(partition)
        if position is not None and position >= end:
            return
        now = time.monotonic()
        if batch or position != before:
            heard, before = now, position
        elif now - heard > SILENCE_S:
            raise Retryable(
                "the log gives no more records before the end",
                hint="an open transaction holds it up, or the cluster does not answer: ask again later",
                topic=partition.topic,
                partition=partition.partition,
                position=position,
                end=end,
            )
