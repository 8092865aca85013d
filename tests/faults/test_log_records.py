"""Changelog records that were damaged, or are larger than the topic takes: the worker stops by name and writes none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from pipeline.errors import ExitCode
from tests.oracle import Parameters, recount
from tests.support.administrator import Administrator
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_tables
from tests.support.readings import for_the_oracle, readings
from tests.support.refusing import assert_state_lost
from tests.support.waiting import eventually

CHANGELOG = "device-state-changelog"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    """A pipeline whose aggregate worker has folded its input and stopped."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1) as cluster:
        cluster.send("readings", readings(20, 5))
        cluster.start("aggregate", None)
        cluster.drain()
        cluster.stop()
        yield cluster


def expect_the_oracles_state(cluster: Cluster) -> None:
    assert_tables(cluster, recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=1)))


def cut_short(value: bytes) -> bytes:
    return value[:-3]


def of_another_version(value: bytes) -> bytes:
    return bytes([value[0] + 1]) + value[1:]


def with_a_bit_flipped(value: bytes) -> bytes:
    return value[:40] + bytes([value[40] ^ 4]) + value[41:]


def test_a_damaged_changelog_record_stops_the_restore_with_its_place(
    kafka: Kafka, cluster: Cluster, figure: Callable[[str], None]
) -> None:
    """Whatever the damage, with the disk that had all before it and without."""
    record = cluster.records(CHANGELOG)[-1]
    assert record.value is not None
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    refused = 0
    for damage in (cut_short, of_another_version, with_a_bit_flipped):
        producer.produce(cluster.full(CHANGELOG), damage(record.value), record.key, record.partition)
        producer.flush()
        offset = cluster.records(CHANGELOG)[-1].offset
        assert offset > record.offset
        worker = assert_state_lost(cluster)
        assert "a changelog record is damaged" in worker.text()
        # The last value of a key is what is looked at, so the offset is known by its chunk.
        found = re.search(r"from_offset=(\d+) to_offset=(\d+)", worker.text())
        assert found is not None
        assert int(found[1]) <= offset <= int(found[2])
        assert f"key={(record.key or b'').hex()}" in worker.text()
        refused += 1
    cluster.lose_disk("aggregate", UNNAMED)
    assert_state_lost(cluster)
    assert cluster.command("rebuild", "--from-source", "--yes").returncode == ExitCode.OK
    cluster.start("aggregate", None)
    cluster.drain()
    expect_the_oracles_state(cluster)
    figure(f"{refused + 1} of {refused + 1} starts refused with key and place; rebuilt to the oracle's state")


def test_a_row_that_its_changelog_does_not_take_stops_the_worker_before_anything_is_committed(
    kafka: Kafka, cluster: Cluster, figure: Callable[[str], None]
) -> None:
    administrator = Administrator(kafka.bootstrap_servers)
    changelog = cluster.full(CHANGELOG)
    largest = max(len(record.value or b"") for record in cluster.records(CHANGELOG))
    usual = cluster.admin.topic_configs([changelog])[changelog]["max.message.bytes"]
    before, windows = cluster.committed("aggregate"), cluster.records("windows")
    administrator.alter_topic(changelog, max_message_bytes=str(largest // 2))
    worker = cluster.start("aggregate", None)
    rounds = iter(range(5, 1_000))

    def stopped() -> bool:
        if worker.alive:
            cluster.send("readings", readings(20, 1, first_round=next(rounds)))
        return not worker.alive

    eventually(stopped, "a row is too large", pause_s=0.5)
    assert worker.wait() == ExitCode.MISCONFIGURED, worker.text()
    assert "max.message.bytes" in worker.text()
    assert changelog in worker.text()
    assert "Traceback" not in worker.text()
    assert (cluster.committed("aggregate"), cluster.records("windows")) == (before, windows)
    administrator.alter_topic(changelog, max_message_bytes=usual)
    cluster.start("aggregate", None)
    cluster.drain()
    expect_the_oracles_state(cluster)
    figure(
        f"rows of {largest} bytes where {largest // 2} are taken: exit 2, nothing committed; then the oracle's state"
    )
