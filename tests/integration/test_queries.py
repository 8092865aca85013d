"""Queries of real workers on a real Kafka, over HTTP and by the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka import TopicPartition as KafkaTopicPartition
from typer.testing import CliRunner, Result

from operators.iot import topology
from pipeline.cli.main import app
from pipeline.client import Client
from pipeline.client_id import parse_client_id
from pipeline.errors import ExitCode
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.partitioning import partition_of
from pipeline.settings import Settings
from tests.support.brokers import Kafka
from tests.support.reaper import ends_with_us
from tests.support.records import committed_records
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.web import http

PARTITIONS = 4
DEVICES = 60
MESSAGES = 6_000
SESSION_MS = 3_000


class Pipeline:
    """A pipeline of one's own: its topics, its worker processes, and the command."""

    def __init__(self, kafka: Kafka, prefix: str, directory: Path) -> None:
        self.environment = {"STATELOG_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "STATELOG_PREFIX": prefix}
        self.settings = Settings(bootstrap_servers=kafka.bootstrap_servers, prefix=prefix)
        self._directory = directory
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, [*arguments], env=self.environment)
        assert result.exit_code == exit_code, result.output
        return result

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    def worker(self, kind: str, worker_id: str, *options: str) -> None:
        line = [sys.executable, "-c", "from pipeline.cli.main import run; run()", "worker", kind, "--id", worker_id]
        line += ["--data-dir", str(self._directory), "--session-timeout-ms", str(SESSION_MS)]
        line += ["--transaction-timeout-ms", "2500", *options]
        with (self._directory / f"{worker_id}.log").open("ab") as log:
            self.workers[worker_id] = subprocess.Popen(
                line, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        ends_with_us(self.workers[worker_id])

    def kill(self, worker_id: str, how: signal.Signals = signal.SIGKILL) -> int:
        worker = self.workers.pop(worker_id)
        worker.send_signal(how)
        return worker.wait(PATIENCE_S)

    def addresses(self) -> dict[str, str]:
        admin = KafkaAdmin(self.settings)
        found = [parse_client_id(member.client_id) for member in admin.members(self.settings.prefix + "aggregate")]
        admin.close()
        return {worker.worker_id: worker.address for worker in found if worker is not None and worker.address}

    def status(self) -> list[dict[str, Any]]:
        return self.lines("status")

    def transformed(self) -> bool:
        admin = KafkaAdmin(self.settings)
        telemetry = [TopicPartition(f"{self.settings.prefix}telemetry", number) for number in range(PARTITIONS)]
        committed = admin.group_offsets(f"{self.settings.prefix}transform", telemetry)
        admin.close()
        return sum(each.next_offset for each in committed.values() if each is not None) == MESSAGES

    def drained(self) -> bool:
        """Up to the last reading that there is: where an owner takes the end to be is up to a second old."""
        admin = KafkaAdmin(self.settings)
        ends = dict.fromkeys(range(PARTITIONS), 0)
        servers, readings = self.settings.bootstrap_servers or "", f"{self.settings.prefix}readings"
        for record in committed_records(servers, admin, readings):
            ends[record.partition] = record.offset + 1
        admin.close()
        return all(
            row["state"] == "active" and row["end"] == row["position"] >= ends[row["partition"]]
            for row in self.status()
        )

    def close(self) -> None:
        for worker_id in list(self.workers):
            self.kill(worker_id)


@pytest.fixture(scope="module")
def pipeline(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Two aggregate workers that have folded some telemetry."""
    directory = tmp_path_factory.mktemp("queries")
    one = Pipeline(kafka, f"queries-{uuid.uuid4().hex[:8]}-", directory)
    try:
        one.run("topics", "create", "--partitions", str(PARTITIONS))
        one.worker("transform", "t0")
        one.worker("aggregate", "a0")
        one.worker("aggregate", "a1")
        one.run("produce", "--devices", str(DEVICES), "--count", str(MESSAGES))
        eventually(lambda: {row["owner"] for row in one.status()} == {"a0", "a1"}, "both own partitions")
        eventually(lambda: one.transformed() and one.drained(), "all is folded")
        yield one
    finally:
        one.close()


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[Client]:
    with Client.connect(pipeline.settings, topology()) as client:
        yield client


def test_the_partition_of_a_key_is_where_librdkafka_sends_it(kafka: Kafka, pipeline: Pipeline) -> None:
    topic = f"{pipeline.settings.prefix}murmur"
    admin = KafkaAdmin(pipeline.settings)
    admin.create_topics({topic: {}}, 7, 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"})
    went: dict[bytes, int] = {}

    def note(_error: object, message: Message) -> None:
        went[message.key()] = message.partition()

    for length in range(1, 40):
        for seed in range(5):
            key = bytes((seed * 131 + position * 61) % 256 for position in range(length))
            producer.produce(topic, key=key, on_delivery=note)
    producer.flush()
    assert len(went) == 39 * 5
    assert went == {key: partition_of(key, 7) for key in went}
    admin.delete_topics([topic])
    admin.close()


def test_every_worker_gives_every_device_and_names_its_owner(pipeline: Pipeline, client: Client) -> None:
    devices = [item.key for item in client.scan("device-state")]
    assert len(devices) == DEVICES
    assert devices == sorted(devices)
    owners = {row["partition"]: row["owner"] for row in pipeline.status()}
    for worker, address in pipeline.addresses().items():
        for device in devices[:20]:
            answer = http.get(f"http://{address}/v1/device-state/{device}")
            assert answer.status_code == 200, (worker, answer.text)
            row = answer.json()
            assert row["value"]["device_id"] == row["key"] == device
            assert row["meta"]["partition"] == partition_of(device.encode(), PARTITIONS)
            assert row["meta"]["owner"] == owners[row["meta"]["partition"]]
            assert row["meta"]["served_by"] == "active"
            assert row["meta"]["lag"]["records"] == 0


def test_pages_from_every_worker_give_every_device_once(pipeline: Pipeline, client: Client) -> None:
    expected = [item.key for item in client.scan("device-state")]
    for address in pipeline.addresses().values():
        found: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = http.get(f"http://{address}/v1/device-state", params={"limit": 7, **after}).json()
            found += [item["key"] for item in page["items"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert found == expected


def test_totals_equal_what_was_read_and_folded(pipeline: Pipeline, client: Client) -> None:
    rows = [item.value for item in client.scan("device-state")]
    folded = sum(row["readings"] + row["duplicates"] for row in rows)
    admin = KafkaAdmin(pipeline.settings)
    readings = [TopicPartition(f"{pipeline.settings.prefix}readings", number) for number in range(PARTITIONS)]
    assert 0 < folded <= sum(admin.last_stable(readings).values())
    admin.close()


def test_the_command_shows_a_device_its_windows_and_the_partitions(pipeline: Pipeline, client: Client) -> None:
    device = next(iter(client.scan("device-state", limit=1))).key
    (row,) = pipeline.lines("get", device)
    assert row == http.get(f"http://{pipeline.addresses()['a0']}/v1/device-state/{device}").json() | {
        "meta": row["meta"]
    }
    assert device in pipeline.run("get", device).stdout
    assert [line["key"] for line in pipeline.lines("scan", "--prefix", device)] == [device]
    assert len(pipeline.lines("scan", "--limit", "0")) == DEVICES
    assert len(pipeline.lines("scan", "--table", "origins", "--limit", "0")) > 0

    metric = next(iter(row["value"]["metrics"]))
    closed = pipeline.lines("windows", device, "--metric", metric)
    assert closed
    assert {window["metric"] for window in closed} == {metric}
    assert [window["window_start"] for window in closed] == sorted(window["window_start"] for window in closed)
    later = pipeline.lines("windows", device, "--metric", metric, "--from", str(closed[1]["window_start"]))
    assert later == closed[1:]
    still_open = pipeline.lines("windows", device, "--metric", metric, "--open")
    assert still_open
    state = row["value"]["metrics"][metric]
    counted = sum(window["count"] for window in closed + still_open)
    assert counted == state["count"] - state["late"]

    assert set(pipeline.status()[0]) >= {
        "partition", "owner", "state", "position", "end", "rate", "eta_s", "digest",
    }  # fmt: skip


def test_what_is_not_there_is_one_line_and_exit_code_1(pipeline: Pipeline) -> None:
    result = pipeline.run("get", "no-such-device", exit_code=ExitCode.FAILURE)
    assert "device-state has no row no-such-device" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [("get", "x", "--table", "nothing"), ("get", "not an id"), ("windows", "x", "--from", "now"),
     ("windows", "x", "--open", "--to", "now"), ("status", "--stage", "nothing")],
)  # fmt: skip
def test_a_wrong_question_is_an_error_with_a_hint(pipeline: Pipeline, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*arguments], env=pipeline.environment)
    assert result.exit_code in {ExitCode.FAILURE, ExitCode.MISCONFIGURED}, result.output
    assert "error:" in result.output
    assert "Traceback" not in result.output


def test_health_and_metrics_of_a_worker(pipeline: Pipeline) -> None:
    for address in pipeline.addresses().values():
        assert http.get(f"http://{address}/healthz").status_code == 200
        assert http.get(f"http://{address}/readyz").status_code == 200
        assert "statelog_commit_seconds_bucket" in http.get(f"http://{address}/metrics").text


@pytest.mark.parametrize("how", [(), ("--from-source",)])
def test_verify_proves_every_partition(pipeline: Pipeline, how: tuple[str, ...]) -> None:
    *verdicts, combined = pipeline.lines("verify", *how)
    assert [line["partition"] for line in verdicts] == list(range(PARTITIONS))
    assert {line["owner"] for line in verdicts} == {"a0", "a1"}
    assert all(line["equal"] and line["provable"] and line["state"] == "active" for line in verdicts)
    assert sum(line["records"] for line in verdicts) > 0
    assert set(verdicts[0]) >= {"partition", "owner", "state", "position", "end", "rate", "eta_s", "digest"}
    assert combined["equal"] is True
    assert combined["combined_digest"] in pipeline.run("verify").stdout


def test_forget_takes_a_device_out_of_every_table_and_says_what_the_topics_hold(
    pipeline: Pipeline, client: Client
) -> None:
    device = list(client.scan("device-state", limit=3))[-1].key
    assert list(client.rows("device-windows", device))
    result, *held = pipeline.lines("forget", device)
    assert result["forgotten"] == device
    assert result["partition"] == partition_of(device.encode(), PARTITIONS)
    assert client.get("device-state", device) is None
    assert list(client.rows("device-windows", device)) == []
    prefix = pipeline.settings.prefix
    counted = {each["topic"].removeprefix(prefix): each["records"] for each in held}
    assert counted == {
        topic: records_of(pipeline.settings, prefix + topic, device)
        for topic in ("telemetry", "readings", "windows", "dead-letters")
    }
    assert counted["readings"] > 0
    assert {each["retention_ms"] for each in held} == {7 * 86_400_000}
    # Others keep what they have, and a key that never was is as gone as one that is.
    assert len(list(client.scan("device-state"))) == DEVICES - 1
    assert pipeline.lines("forget", "never-seen")[0]["forgotten"] == "never-seen"
    pipeline.run("forget", "not an id", exit_code=ExitCode.MISCONFIGURED)


def records_of(settings: Settings, topic: str, key: str) -> int:
    """Counted by other means: a plain consumer over all partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": "unused",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([KafkaTopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found = ended = 0
    while ended < PARTITIONS:
        message = consumer.poll(PATIENCE_S)
        assert message is not None
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            ended += 1
        elif message.key() == key.encode() and message.value() is not None:
            found += 1
    consumer.close()
    return found


def test_a_killed_owner_is_never_an_empty_answer_and_its_partitions_are_found_again(
    pipeline: Pipeline, client: Client
) -> None:
    devices = [item.key for item in client.scan("device-state")]
    assert devices
    before = {device: client.get("device-state", device) for device in devices}
    moved = [device for device in devices if (row := before[device]) is not None and row.meta.owner == "a1"]
    assert moved
    survivor = pipeline.addresses()["a0"]
    pipeline.kill("a1")

    refused = 0
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = http.get(f"http://{survivor}/v1/device-state/{moved[0]}")
        listed = http.get(f"http://{survivor}/v1/device-state?limit=1000")
        assert answer.status_code in {200, 503}, answer.text
        assert listed.status_code == 503 or len(listed.json()["items"]) == len(devices)
        if answer.status_code == listed.status_code == 200:
            break
        refused += 1
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert refused > 0, "the kill was not noticed"

    for device in moved:
        row = client.get("device-state", device)
        expected = before[device]
        assert row is not None
        assert expected is not None
        assert row.value == expected.value
        assert row.meta.owner == "a0"
    pipeline.worker("aggregate", "a1")
    owners = {"a0", "a1"}
    eventually(lambda: {row["owner"] for row in pipeline.status()} == owners and pipeline.drained(), "a1 is back")


def test_without_workers_status_still_tells_every_partition(pipeline: Pipeline) -> None:
    pipeline.kill("a0")
    pipeline.kill("a1")
    rows = pipeline.status()
    assert [row["partition"] for row in rows] == list(range(PARTITIONS))
    assert {row["state"] for row in rows} <= {"unreachable", "unassigned"}
    eventually(lambda: all(row["state"] == "unassigned" for row in pipeline.status()), "nobody owns a partition")
    assert all(0 < row["position"] <= row["end"] for row in pipeline.status())  # the end counts markers too
    pipeline.run("get", "any", exit_code=ExitCode.FAILURE)
