"""The Faust host on a real Kafka: killed, robbed of its disk, fed twice; and side by side with the native workers."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from operators.device import DEVICE_STATE, DEVICE_WINDOWS
from pipeline.broker.ports import free_port
from pipeline.errors import ExitCode, PipelineError
from pipeline.faust_host.dump import States
from pipeline.faust_host.exits import AGENT_FAILED, RECORDS_SKIPPED, STALLED
from pipeline.faust_host.settings import changelog_of
from pipeline.log.kafka import connect
from pipeline.partitioning import partition_of
from pipeline.telemetry.generator import Plan, Telemetry
from schemas.reading import Origin, ReadingRecord, encode_reading
from tests.oracle import Parameters, ReadingsRecord, Recount, TelemetryMessage, differences, recount
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.faust_worker import FaustWorker
from tests.support.load import TelemetryLoad
from tests.support.waiting import eventually

PARTITIONS = 2
RATE = 40
DEVICES = 6
SESSION_MS = 3_000
COMMIT_MS = 1_000
KEY = b"press-07"


def cluster_on(kafka: Kafka, prefix: str, directory: Path) -> Cluster:
    return Cluster(
        kafka.bootstrap_servers,
        prefix,
        directory,
        partitions=PARTITIONS,
        session_timeout_ms=SESSION_MS,
        transaction_timeout_ms=SESSION_MS - 500,
        commit_interval_ms=COMMIT_MS,
    )


def oracle_of(cluster: Cluster) -> Recount:
    """What the readings in the log lead to; those that are there twice have one origin."""
    records = [
        ReadingsRecord(record.partition, record.offset, record.key or b"", record.json)
        for record in cluster.records("readings")
    ]
    return recount(records, Parameters(partitions=PARTITIONS))


def check_states(expected: Recount, found: States) -> None:
    assert expected.devices
    assert not differences(expected.devices, found.devices)
    assert not differences(expected.rows, found.windows)


def check_transformed(cluster: Cluster, accepted: Callable[[TelemetryMessage], bool]) -> None:
    """Every good message became readings and nothing else, every broken one dead letters: at least once."""
    good: set[tuple[int, int]] = set()
    broken: set[tuple[int, int]] = set()
    for record in cluster.records("telemetry"):
        message = TelemetryMessage(record.partition, record.offset, record.key or b"", record.value or b"")
        (good if accepted(message) else broken).add(message[:2])
    assert {tuple(record.json["origin"][1:]) for record in cluster.records("readings")} == good
    letters = [
        each.headers for each in cluster.records("dead-letters") if each.headers["statelog-stage"] == b"transform"
    ]
    refused = {(int(each["statelog-origin-partition"]), int(each["statelog-origin-offset"])) for each in letters}
    assert refused == broken


def origins_of(cluster: Cluster) -> Counter[tuple[int, int]]:
    """The telemetry records that readings were made of, by partition and offset; at least once."""
    return Counter(tuple(record.json["origin"][1:]) for record in cluster.records("readings"))


def check_windows(cluster: Cluster, expected: Recount) -> None:
    """Every final result was sent, at least once."""
    found = {_window(each.json): each.json for each in cluster.records("windows")}
    assert not differences({_window(each): each for rows in expected.results.values() for each in rows}, found)


def _window(result: dict[str, object]) -> str:
    return f"{result['device_id']} {result['metric']} {result['window_start']}"


def open_work(cluster: Cluster, worker: FaustWorker) -> bool:
    """Whether there are readings of telemetry that it has not acknowledged; not so just after it has."""
    committed = worker.committed("telemetry")
    return any(offset >= committed[partition] for partition, offset in origins_of(cluster))


def works_for_a_while(cluster: Cluster, worker: FaustWorker, load: TelemetryLoad) -> None:
    """Until windows were closed by this run of the worker, with load still arriving."""

    def results() -> int:
        return sum(cluster.admin.high_watermarks(cluster.each_partition("windows")).values())

    before, sent = results(), len(load.sent)
    worker.until(lambda: results() > before + 10 and len(load.sent) > sent + RATE, "it works under load")


def test_it_is_killed_under_load_with_its_disk_and_without_and_loses_the_disk_once_settled(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with cluster_on(kafka, prefix, tmp_path) as cluster, FaustWorker(cluster, tmp_path) as worker:
        with TelemetryLoad(cluster, rate=RATE, devices=DEVICES) as load:
            worker.start()
            for lose_disk in (False, True):
                works_for_a_while(cluster, worker, load)
                worker.kill_at_work(lambda: open_work(cluster, worker))
                if lose_disk:
                    worker.lose_disk()
                worker.start()
            works_for_a_while(cluster, worker, load)
        worker.drain("telemetry", "readings")
        worker.kill()
        worker.lose_disk()
        check_states(oracle_of(cluster), worker.states())
        cluster.send("telemetry", load.sent[:50])
        worker.start()
        worker.drain("telemetry", "readings")
        check_transformed(cluster, load.accepted)
        expected = oracle_of(cluster)
        assert len(expected.devices) == DEVICES
        assert expected.rows
        check_states(expected, worker.states())
        check_windows(cluster, expected)


def test_telemetry_that_comes_again_counts_once_and_a_new_topic_begins_anew(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with cluster_on(kafka, prefix, tmp_path) as cluster, FaustWorker(cluster, tmp_path) as worker:
        batches = islice(Telemetry(Plan(DEVICES, seed=3)), 40)
        messages = [message for batch in batches for message in batch.messages]
        half = len(messages) // 2
        port = free_port()
        cluster.send("telemetry", messages[:half])
        worker.start("--web-port", str(port))  # and not --without-web
        worker.drain("telemetry", "readings")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "a web server"
        once = worker.states()
        check_states(oracle_of(cluster), once)
        sent_once = origins_of(cluster)

        worker.kill()
        eventually(lambda: forgotten(cluster, worker), "the group is forgotten")
        worker.start()
        worker.drain("telemetry", "readings")
        twice_sent = origins_of(cluster) - sent_once
        assert set(twice_sent) == set(sent_once), "telemetry was read again"
        assert len(twice_sent) == half
        assert worker.states() == once

        cluster.send("telemetry", messages[:half])
        worker.drain("telemetry", "readings")
        twice = worker.states()
        check_states(oracle_of(cluster), twice)
        assert {name: state["readings"] for name, state in once.devices.items()} == {
            name: state["readings"] for name, state in twice.devices.items()
        }
        assert twice != once, "what devices send again is counted"

        worker.kill()
        cluster.admin.delete_topics([cluster.full("telemetry")])
        cluster.admin.create_topics({cluster.full("telemetry"): {}}, PARTITIONS, 1)
        cluster.send("telemetry", messages[half:])
        worker.start()
        worker.drain("telemetry", "readings")
        anew = worker.states()
        check_states(oracle_of(cluster), anew)
        assert sum(state["readings"] for state in anew.devices.values()) > sum(
            state["readings"] for state in twice.devices.values()
        )


def forgotten(cluster: Cluster, worker: FaustWorker) -> bool:
    """Delete the worker's group, which is possible once the dead member's session is over."""
    try:
        cluster.admin.delete_group(worker.group)
    except PipelineError:
        return False
    return True


def test_behind_a_faust_transform_that_is_killed_both_hosts_reach_the_same_states(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with (
        cluster_on(kafka, prefix, tmp_path) as cluster,
        FaustWorker(cluster, tmp_path, "transform") as transform,
        FaustWorker(cluster, tmp_path, "aggregate") as aggregate,
    ):
        cluster.start("aggregate", "native")
        transform.start()
        aggregate.start()
        with TelemetryLoad(cluster, rate=RATE, devices=DEVICES) as load:
            transform.until(lambda: sum(transform.committed("telemetry").values()) > RATE, "it works")
            transform.kill_at_work(lambda: open_work(cluster, transform))
            transform.start()
            sent = len(load.sent)
            transform.until(lambda: len(load.sent) > sent + 2 * RATE, "the load outlasts the kill")
        transform.drain("telemetry")
        aggregate.drain("readings")
        check_transformed(cluster, load.accepted)
        expected = oracle_of(cluster)
        check_states(expected, aggregate.states())
        check_windows(cluster, expected)
        ends = {each.partition: end for each, end in cluster.admin.high_watermarks(
            cluster.each_partition("readings")).items()}  # fmt: skip
        eventually(lambda: cluster.active("aggregate") == ends, "the native worker is done")
        assert dict(cluster.rows(DEVICE_STATE)) == aggregate.states().devices
        native_windows = [row for _, row in cluster.rows(DEVICE_WINDOWS)]
        assert sorted(map(_window, native_windows)) == sorted(
            _window(row) for rows in aggregate.states().windows.values() for row in rows
        )


def reading(offset: int) -> bytes:
    origin = Origin("telemetry-id", 0, offset)
    return encode_reading(ReadingRecord(KEY.decode(), "temperature", 20.5, "degC", 1_000 + offset, None, None, origin))


def test_a_hole_in_the_offsets_ends_it_before_anything_is_made_of_what_follows(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with cluster_on(kafka, prefix, tmp_path) as cluster, FaustWorker(cluster, tmp_path, "aggregate") as worker:
        sink = connect(cluster.settings).sink(f"{prefix}writer")
        for offset in range(2):  # each transaction's marker takes an offset, as a skipped record would
            sink.begin()
            sink.send(cluster.full("readings"), KEY, reading(offset), 1_000)
            sink.flush()
            sink.commit()
        sink.close()
        worker.start()
        worker.ends(RECORDS_SKIPPED, "expected offset 1, got 2")
        assert worker.states().devices.get(KEY.decode(), {"readings": 1})["readings"] == 1
        assert worker.committed("readings")[partition_of(KEY, PARTITIONS)] <= 1


def test_a_state_that_cannot_be_read_ends_it_with_nothing_acknowledged(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with cluster_on(kafka, prefix, tmp_path) as cluster, FaustWorker(cluster, tmp_path, "aggregate") as worker:
        changelog = changelog_of("", worker.stages, DEVICE_STATE)
        cluster.admin.create_topics({cluster.full(changelog): {}}, PARTITIONS, 1)
        cluster.send(changelog, [(KEY, b"damaged")])
        cluster.send("readings", [(KEY, reading(0))])
        worker.start()
        worker.ends(AGENT_FAILED)
        assert not any(worker.committed("readings").values())


def test_records_that_wait_and_are_not_handed_over_end_it(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with (
        cluster_on(kafka, prefix, tmp_path) as cluster,
        FaustWorker(cluster, tmp_path, "aggregate", app="tests.support.skipping_faust_app") as skipping,
        FaustWorker(cluster, tmp_path, "aggregate") as worker,
    ):
        cluster.send("readings", [(KEY, reading(0)), (KEY, reading(1))])
        waiting = f"partition {partition_of(KEY, PARTITIONS)} and are not handed over: expected offset 0, end 2"
        skipping.start().ends(STALLED, waiting)
        assert not any(skipping.committed("readings").values())
        worker.start().drain("readings")
        check_states(oracle_of(cluster), worker.states())


def test_what_is_read_while_tables_are_restored_and_partitions_are_sought_is_neither_skipped_nor_repeated(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with (
        cluster_on(kafka, prefix, tmp_path) as cluster,
        FaustWorker(cluster, tmp_path, app="tests.support.dawdling_faust_app") as worker,
        TelemetryLoad(cluster, rate=RATE, devices=DEVICES) as load,
    ):
        for _ in range(2):
            worker.start()
            works_for_a_while(cluster, worker, load)
            worker.kill()
        worker.start()
        works_for_a_while(cluster, worker, load)
        assert not worker.restarts


def test_it_refuses_to_aggregate_what_native_workers_wrote_in_transactions(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with cluster_on(kafka, prefix, tmp_path) as cluster, FaustWorker(cluster, tmp_path, "aggregate") as worker:
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": cluster.group("transform")})
        consumer.commit(offsets=[KafkaTopicPartition(cluster.full("telemetry"), 0, 5)], asynchronous=False)
        consumer.close()
        worker.start()
        eventually(lambda: worker.exit_code is not None, "it ends")
        assert worker.exit_code == ExitCode.MISCONFIGURED
        assert "in transactions" in worker.log.read_text()
