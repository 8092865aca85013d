"""What cannot be used is kept whole, with its reason, and never stops the good; too much of it stops the worker."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipeline.errors import ExitCode
from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.poison import KINDS, Poison, poison
from tests.support.readings import readings

DEVICES = 6
REFUSAL_RUN = 1_000

pytestmark = pytest.mark.timeout(600)

Message = tuple[bytes | None, bytes | None]


def _good(device: str, number: int, now_ms: int, **changes: Any) -> Message:
    fields = {"device_id": device, "metric": "level", "value": number / 7, "unit": "percent",
              "event_time": now_ms - 600_000 + number * 1_000, "seq": number}  # fmt: skip
    return device.encode(), json.dumps({**fields, **changes}).encode()


def _late_refusals(now_ms: int) -> Iterator[tuple[Message, str]]:
    """What only the aggregate can see to be wrong."""
    yield _good("late-unit", 1, now_ms), ""
    yield _good("late-unit", 2, now_ms, unit="Pa"), "unit-changed"
    yield _good("late-seq", 100, now_ms), ""
    yield _good("late-seq", 100, now_ms, seq=30, event_time=now_ms - 700_000), "seq-too-old"
    for number in range(65):
        yield _good("late-many", number, now_ms, metric=f"m{number}"), "" if number < 64 else "too-many-metrics"


def test_each_kind_of_poison_is_kept_whole_among_the_good(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    now_ms = int(time.time() * 1000)
    devices = [f"press-{number:02d}" for number in range(DEVICES)]
    poisons = [poison(kind, device, now_ms, seed=1) for kind in KINDS for device in devices]
    late = list(_late_refusals(now_ms))
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=2) as cluster:
        workers = [cluster.start("transform", "t0"), cluster.start("aggregate", "a0")]
        good = {_good(device, number, now_ms) for number in range(len(KINDS)) for device in devices}
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"})
        for number, kind in enumerate(KINDS):
            for of_kind in [each for each in poisons if each.kind == kind]:
                producer.produce(
                    cluster.full("telemetry"), of_kind.value, of_kind.key, headers=list(of_kind.headers),
                    timestamp=now_ms,
                )  # fmt: skip
            for device in devices:
                key, value = _good(device, number, now_ms)
                producer.produce(cluster.full("telemetry"), value, key)
        for (key, value), _ in late:
            producer.produce(cluster.full("telemetry"), value, key)
        producer.flush()
        cluster.drain()
        assert all(worker.alive for worker in workers)

        accepted = {(each.key, each.value) for each in poisons if each.reason is None}
        accepted |= good | {message for message, _ in late}
        expected = assert_exactly_once(cluster, lambda message: (message.key, message.value) in accepted)
        values = [each.value_is for each in poisons if each.key == devices[0].encode() and each.value_is is not None]
        held = expected.devices[devices[0]]["metrics"]["poison"]
        assert (held["count"], held["min"], held["max"]) == (len(values), min(values), max(values))

        injected = Counter(each.reason for each in poisons if each.reason is not None)
        injected.update(reason for _, reason in late if reason)
        letters = cluster.records("dead-letters")
        assert Counter(letter.headers["statelog-reason"].decode() for letter in letters) == injected
        _assert_whole_and_addressed(cluster, now_ms)
        _assert_a_reading_in_the_wrong_partition_is_refused(kafka, cluster)


def _assert_whole_and_addressed(cluster: Cluster, since_ms: int) -> None:
    sources = {"transform": "telemetry", "aggregate": "readings"}
    origins = {
        (cluster.full(topic), record.partition, record.offset): record
        for topic in sources.values()
        for record in cluster.records(topic)
    }
    infos = cluster.admin.topics([cluster.full(topic) for topic in sources.values()])
    for letter in cluster.records("dead-letters"):
        header = {name.removeprefix("statelog-"): value.decode() for name, value in letter.headers.items()}
        topic = header["origin-topic"]
        assert topic == cluster.full(sources[header["stage"]])
        assert header["origin-topic-id"] == infos[topic].topic_id
        origin = origins[topic, int(header["origin-partition"]), int(header["origin-offset"])]
        assert (letter.key, letter.value) == (origin.key, origin.value)
        assert letter.timestamp_ms == origin.timestamp_ms
        assert since_ms <= int(header["time"]) <= time.time() * 1000
        assert header["detail"]


def _assert_a_reading_in_the_wrong_partition_is_refused(kafka: Kafka, cluster: Cluster) -> None:
    before = cluster.rows("device-state")
    key, value = next(iter(readings(1, 1)))
    wrong = 1 - partition_for(key, cluster.partitions)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(cluster.full("readings"), value, key, wrong)
    producer.flush()
    cluster.drain()
    letter = max(cluster.records("dead-letters"), key=lambda record: record.timestamp_ms)
    assert letter.headers["statelog-reason"] == b"wrong-partition"
    assert cluster.rows("device-state") == before


def test_a_thousand_refusals_in_a_row_stop_the_worker_and_lose_nothing(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    now_ms = int(time.time() * 1000)
    broken: list[Poison] = [
        poison("unknown unit", "press-01", now_ms, seed) for seed in range(REFUSAL_RUN + REFUSAL_RUN // 2)
    ]
    before = [_good("press-01", number, now_ms) for number in range(10)]
    after = [_good("press-01", number, now_ms) for number in range(10, 20)]
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=2) as cluster:
        cluster.send("telemetry", [*before, *((each.key, each.value) for each in broken), *after])
        first, kept_first = _tripped(cluster)
        again, kept_again = _tripped(cluster)
        assert first == again, "a restart must trip at the same offset"
        assert first == f"{cluster.full('telemetry')}/{partition_for(b'press-01', 2)}@{len(before) + REFUSAL_RUN - 1}"
        assert len(kept_first) < REFUSAL_RUN
        # What was refused before the batch that tripped may be committed; each restart must not add to it for ever.
        assert {(letter.key, letter.headers["statelog-origin-offset"]) for letter in kept_first} <= {
            (letter.key, letter.headers["statelog-origin-offset"]) for letter in kept_again
        }
        assert len(kept_again) < REFUSAL_RUN
        _third, kept_third = _tripped(cluster)
        assert len(kept_third) < REFUSAL_RUN

        cluster.start("transform", "t0", refusal_run="0")
        cluster.start("aggregate", "a0")
        cluster.drain()
        good = {*before, *after}
        assert_exactly_once(cluster, lambda message: (message.key, message.value) in good)
        assert len(cluster.records("dead-letters")) == len(broken)


def _tripped(cluster: Cluster) -> tuple[str, list[Any]]:
    """Run a transform worker into the limit: where it says it stopped, and what is in the dead letters then."""
    worker = cluster.start("transform", "t0")
    assert worker.wait() == ExitCode.REFUSAL_LIMIT, worker.text()
    assert "Traceback" not in worker.text()
    (line,) = [line for line in worker.text().splitlines() if f"{REFUSAL_RUN} refusals in a row" in line]
    assert "STATELOG_REFUSAL_RUN" in worker.text()
    where = re.search(r"at=(\S+)", line)
    assert where is not None
    return where[1], cluster.records("dead-letters")
