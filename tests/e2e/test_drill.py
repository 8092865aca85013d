"""`statelog drill` as a user meets it: it proves what it says, fails when it must, and goes without a trace."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.brokers import Kafka
from tests.support.command_run import CommandRun, running
from tests.support.waiting import eventually

SMALL = ("drill", "kill", "--times", "1", "--count", "2000", "--rate", "500", "--devices", "60")


def assert_nothing_is_left(kafka: Kafka, run: CommandRun) -> None:
    """Neither a topic nor a group of its own."""
    topics = run.told("topics")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assert len(topics) == 8
    prefix = min(topics, key=len).removesuffix("windows")
    assert prefix.startswith("drill-")
    eventually(lambda: not [each for each in admin.list_topics(timeout=10).topics if each.startswith(prefix)],
               "the topics are gone")  # fmt: skip
    groups = admin.list_consumer_groups(request_timeout=10).result().valid
    assert not [each.group_id for each in groups if each.group_id.startswith(prefix)]


def send_a_reading_again(kafka: Kafka, topic: str) -> None:
    """As a broken transform worker would: the same record once more, beside the transactions."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic, "enable.auto.commit": False,
         "isolation.level": "read_committed"}
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
    reading = consumer.poll(60)
    assert reading is not None
    assert reading.error() is None
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, reading.value(), reading.key(), reading.partition(), timestamp=reading.timestamp()[1])
    assert producer.flush(30) == 0
    consumer.close()


@pytest.mark.timeout(600)
def test_a_kill_is_proved_harmless_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, *SMALL) as drill:
        assert drill.ends() == 0
        drill.assert_gone()
    text = drill.text
    hit = re.search(r"1\. aggregate-1, ([\d,]+) messages taken and not committed; everything hit went on after", text)
    assert hit
    assert int(hit[1].replace(",", "")) > 0
    for invariant in ("kills -9 that hit work taken and not committed", "readings lost", "readings doubled",
                      "live store = changelog replayed", "live store = source folded anew",
                      "dead letters, of broken messages sent"):  # fmt: skip
        assert re.search(rf"^ +ok +{invariant} ", text, re.MULTILINE), invariant
    for percent in ("p50", "p99"):
        assert re.search(rf"^ +from the fault to the first progress, {percent} +[\d.,]+ +s$", text, re.MULTILINE)
    assert text.splitlines()[-1].startswith("kill: proved. Nothing lost, nothing doubled")
    assert "\x1b" not in text
    assert "Traceback" not in text


@pytest.mark.timeout(600)
def test_a_killed_broker_is_proved_harmless_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "drill", "broker-restart", *SMALL[2:]) as drill:
        assert drill.ends() == 0
        drill.assert_gone()
    text = drill.text
    assert re.search(
        r"1\. the broker, pid \d+, with a transaction of \S+ open; away for [\d.]+ s; everything hit went on", text
    )
    for invariant in ("kills -9 after which the broker's process was gone", "that hit work taken and not committed",
                      "readings lost", "readings doubled", "live store = source folded anew",
                      "workers that drained and left with exit code 0"):  # fmt: skip
        assert re.search(rf"^ +ok +{invariant} ", text, re.MULTILINE), invariant
    assert text.splitlines()[-1].startswith("broker-restart: proved. Nothing lost, nothing doubled")
    assert "Traceback" not in text


@pytest.mark.timeout(600)
def test_one_reading_too_many_fails_the_drill(kafka: Kafka, tmp_path: Path) -> None:
    with running(tmp_path, *SMALL, "--json", bootstrap_servers=kafka.bootstrap_servers) as drill:
        drill.until_told("rate")
        [readings] = [each for each in drill.told("topics") if each.endswith("-readings")]
        send_a_reading_again(kafka, readings)
        assert drill.ends() == 3
        drill.assert_gone()
    failed = {line["check"]: line["actual"] for line in drill.lines if line.get("passed") is False}
    assert failed == {"readings doubled": 1}
    assert drill.told("verdict") == "FAILED"
    assert re.search(r"^error: 1 of \d+ checks failed: readings doubled \(drill=kill\)$", drill.text, re.MULTILINE)
    assert_nothing_is_left(kafka, drill)


@pytest.mark.timeout(600)
def test_interrupted_it_leaves_nothing_on_a_cluster_of_others(kafka: Kafka, tmp_path: Path) -> None:
    with running(tmp_path, *SMALL, "--json", bootstrap_servers=kafka.bootstrap_servers) as drill:
        drill.until_told("rate")
        os.kill(drill.process.pid, signal.SIGINT)
        assert drill.ends() == 130
        drill.assert_gone()
    assert "Traceback" not in drill.text
    assert_nothing_is_left(kafka, drill)
