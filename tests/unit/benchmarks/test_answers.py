"""Answers are held against what was sent: how many readings they are of, and the oracle's row of those."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks.answers import Sent
from benchmarks.asking import Answer
from benchmarks.reading import PARTITIONS
from pipeline.partitioning import partition_of
from tests.oracle import Parameters, ReadingsRecord, recount

RECORDS = 600


@pytest.fixture(scope="module")
def sent() -> Sent:
    one = Sent("readings", 20, RECORDS)
    one.take(RECORDS)
    return one


def everything(sent: Sent, name: str) -> tuple[int, Any]:
    """How many readings a device has sent, and its row."""
    partition = partition_of(name.encode(), PARTITIONS)
    again = Sent("readings", 20, RECORDS).take(RECORDS)
    of_partition = [each for each in again if partition_of(each[0] or b"", PARTITIONS) == partition]
    records = [
        ReadingsRecord(partition, offset, key or b"", json.loads(value or b""))
        for offset, (key, value) in enumerate(of_partition)
    ]
    count = sum(record.key == name.encode() for record in records)
    return count, recount(records, Parameters(partitions=PARTITIONS)).devices[name]


def wrong(sent: Sent, answers: Sequence[Answer], whole: Sequence[tuple[str, Any]] = ()) -> list[str]:
    return list(sent.wrong(answers, whole))


def test_an_answer_is_of_as_many_readings_as_lie_before_its_position(sent: Sent) -> None:
    name = sent.devices()[0]
    count, row = everything(sent, name)
    assert count > 1
    assert row["readings"] <= count
    assert not wrong(sent, [Answer(name, 1.0, RECORDS, count), Answer(name, 1.0, 0, 0)])
    assert wrong(sent, [Answer(name, 1.0, RECORDS, count - 1)]) == [
        f"{name} at {RECORDS} is of {count - 1} readings, not {count}"
    ]
    assert wrong(sent, [Answer(name, 1.0, 0, count)]), "a value that is newer than its position"
    assert wrong(sent, [Answer(name, 1.0, RECORDS, 0)]), "a silent zero"


def test_a_whole_answer_is_the_oracles_row(sent: Sent) -> None:
    name = sent.devices()[0]
    _, row = everything(sent, name)
    meta = {"position": RECORDS}
    assert not wrong(sent, [], [(name, {"value": row, "meta": meta})])
    changed = {**row, "last_seen": row["last_seen"] + 1}
    assert wrong(sent, [], [(name, {"value": changed, "meta": meta})])
