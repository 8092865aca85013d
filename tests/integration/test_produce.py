"""`statelog produce` and `statelog topics` as a person runs them, on a real Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition
from typer.testing import CliRunner, Result

from pipeline.cli.main import app
from pipeline.errors import Misconfigured
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.log.feed import Feed
from pipeline.partitioning import partition_of
from pipeline.settings import Settings
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.poison import Message
from tests.support.brokers import Kafka
from tests.support.waiting import PATIENCE_S, eventually

PARTITIONS = 4


class Command:
    """The command, on this Kafka and with this test's prefix."""

    def __init__(self, kafka: Kafka, prefix: str) -> None:
        self.common = ["--bootstrap-servers", kafka.bootstrap_servers, "--prefix", prefix]
        self._processes = ExitStack()

    def run(self, *arguments: str, exit_code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, [*arguments, *self.common], input=stdin)
        assert result.exit_code == exit_code, result.output
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def process(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-c", "from pipeline.cli.main import run; run()", *arguments, *self.common]
        process = self._processes.enter_context(subprocess.Popen(line, **options))
        self._processes.callback(process.kill)
        return process

    def close(self) -> None:
        """End what still runs, as after a test that failed."""
        self._processes.close()


@pytest.fixture
def command(kafka: Kafka, prefix: str) -> Iterator[Command]:
    command = Command(kafka, prefix)
    command.run("topics", "create", "--partitions", str(PARTITIONS))
    yield command
    command.close()


def stored(kafka: Kafka, topic: str) -> list[list[Message]]:
    """All records of a topic, by partition, in order."""
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers)
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    left = sum(KafkaAdmin(settings).high_watermarks(partitions).values())
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "never-joined", "enable.auto.commit": False}
    )
    consumer.assign([KafkaTopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    records: list[list[Message]] = [[] for _ in partitions]
    deadline = time.monotonic() + PATIENCE_S
    while left > 0 and time.monotonic() < deadline:
        for message in consumer.consume(5_000, 0.5):
            assert message.error() is None
            records[message.partition()].append((message.key(), message.value()))
            left -= 1
    consumer.close()
    assert left <= 0
    return records


def test_what_is_in_kafka_is_the_plan_by_murmur2_and_in_order(kafka: Kafka, prefix: str, command: Command) -> None:
    told = command.json("produce", "--devices", "50", "--count", "3000", "--seed", "9", "--bad", "5")
    expected: list[list[Message]] = [[] for _ in range(PARTITIONS)]
    batches = islice(Telemetry(Plan(50, 9, 0.05)), 100)
    for key, value in islice(chain.from_iterable(batch.messages for batch in batches), 3_000):
        if key is not None:
            expected[partition_of(key, PARTITIONS)].append((key, value))
    found = stored(kafka, f"{prefix}telemetry")
    assert [[each for each in records if each[0] is not None] for records in found] == expected
    assert told["sent"] == 3_000
    assert told["readings"] + told["duplicates"] + told["broken"] == 3_000
    assert told["broken"] == sum(told["broken_by_kind"].values()) == sum(told["broken_by_reason"].values())
    assert told["min_position"] == [f"{number}:{len(records) - 1}" for number, records in enumerate(found)]


def test_a_run_can_go_on_where_another_ended(command: Command) -> None:
    first = command.json("produce", "--devices", "5", "--count", "100")
    second = command.json("produce", "--devices", "5", "--count", "100", "--start", str(first["next_start"]))
    assert second["next_start"] > first["next_start"] > 1_735_689_600_000


def test_lines_of_a_file_go_in_whole_broken_ones_too(
    kafka: Kafka, prefix: str, command: Command, tmp_path: Path
) -> None:
    lines = [b'{"device_id":"press-07","value":1}', b"not json", b"", b'{"device_id":"pump-01","value":2}']
    file = tmp_path / "telemetry.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    told = command.json("produce", "--from", str(file))
    assert (told["sent"], told["without_device"]) == (4, 2)
    found = Counter(record for records in stored(kafka, f"{prefix}telemetry") for record in records)
    assert found == Counter(zip([b"press-07", b"unknown", b"unknown", b"pump-01"], lines, strict=True))


def test_lines_of_a_pipe_go_in_while_it_is_open_and_an_interrupt_accounts_for_them(
    kafka: Kafka, prefix: str, command: Command
) -> None:
    feeding = command.process("produce", "--from", "-", "--json", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert feeding.stdin is not None
    feeding.stdin.write(b'{"device_id":"a"}\n')
    feeding.stdin.flush()
    eventually(lambda: sum(map(len, stored(kafka, f"{prefix}telemetry"))) >= 1, "the line is in the topic")
    feeding.send_signal(signal.SIGINT)
    told, _ = feeding.communicate(timeout=PATIENCE_S)
    assert feeding.returncode == 130
    assert json.loads(told)["sent"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_endless_run_that_is_stopped_accounts_for_what_is_in_kafka(
    kafka: Kafka, prefix: str, command: Command, number: signal.Signals
) -> None:
    feeding = command.process("produce", "--count", "0", "--rate", "500", "--json", stdout=subprocess.PIPE)
    eventually(lambda: sum(map(len, stored(kafka, f"{prefix}telemetry"))) >= 100, "a hundred are in the topic")
    feeding.send_signal(number)
    told, _ = feeding.communicate(timeout=PATIENCE_S)
    assert feeding.returncode == 0
    sent = json.loads(told)["sent"]
    assert sent == sum(map(len, stored(kafka, f"{prefix}telemetry"))) >= 100


def test_producing_into_nothing_is_misconfigured(kafka: Kafka, prefix: str) -> None:
    result = Command(kafka, prefix).run("produce", "--count", "5", exit_code=2)
    assert "topics create" in result.stderr


def test_topics_that_are_amiss_exit_2_and_name_the_mismatch(kafka: Kafka, prefix: str) -> None:
    result = Command(kafka, prefix).run("topics", "check", exit_code=2)
    assert f"topic {prefix}telemetry is missing" in result.stdout
    rows = Command(kafka, prefix).run("topics", "check", "--json", exit_code=2).stdout.splitlines()
    assert {"mismatch": f"topic {prefix}telemetry is missing"} in map(json.loads, rows)


def test_a_record_that_kafka_does_not_take_fails_the_feed(kafka: Kafka, prefix: str) -> None:
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers)
    topic = f"{prefix}small"
    KafkaAdmin(settings).create_topics({topic: {"max.message.bytes": "2000"}}, 1, 1)
    feed = Feed(settings, topic)
    feed.send([(b"k", b"small")])
    feed.flush()
    assert feed.delivered == 1
    feed.send([(b"k", os.urandom(5_000))])
    with pytest.raises(Misconfigured, match="undelivered=1"):
        feed.flush()
    assert feed.delivered == 1
    feed.close()
