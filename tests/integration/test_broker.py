"""The embedded broker: a real Kafka that comes, answers, keeps what it was told and always goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.broker import EmbeddedBroker
from pipeline.broker.directory import DataDirectory
from pipeline.broker.ports import free_port
from pipeline.errors import BrokerFailed, Misconfigured, Retryable, StateLocked
from pipeline.log.admin import KafkaAdmin
from pipeline.log.ping import ping
from pipeline.settings import Settings
from tests.support.brokers import Kafka, PrivateBroker
from tests.support.waiting import PATIENCE_S, eventually

# A process that runs the broker, tells its pid and directory, and then does nothing, so that it can be killed.
PARENT = """
import time
from pipeline.broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.pid, broker.data_dir, flush=True)
time.sleep(600)
"""


def running(pid: int) -> bool:
    """Whether there is such a process; one that is dead and waits to be collected is not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() != "" and not state.startswith("Z")


def create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE_S)


def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": f"{topic}-producer"})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, value, b"key")
    producer.commit_transaction(PATIENCE_S)


def consume(bootstrap_servers: str, topic: str) -> bytes | None:
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": f"{topic}-group", "auto.offset.reset": "error"}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(PATIENCE_S)
    consumer.close()
    assert message is not None
    assert message.error() is None, message.error()
    value: bytes | None = message.value()
    return value


@pytest.fixture(scope="module")
def embedded(kafka: Kafka) -> Iterator[Kafka]:
    """The Kafka of all tests if it is an embedded one, else one for this module."""
    if kafka.data_dir is not None:
        yield kafka
    else:
        with EmbeddedBroker() as broker:
            yield Kafka(broker.bootstrap_servers, "an embedded broker", broker.data_dir)


@pytest.fixture
def parent() -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A process with a broker on a temporary directory; Java's pid; the directory."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, directory = process.stdout.readline().split()
        try:
            yield process, int(pid), Path(directory)
        finally:
            process.kill()
            # Where a test killed the supervisor too, nobody else is left to do it.
            shutil.rmtree(directory, ignore_errors=True)


def test_what_is_produced_in_a_transaction_is_consumed(embedded: Kafka, prefix: str) -> None:
    create_topic(embedded.bootstrap_servers, f"{prefix}topic")
    produce(embedded.bootstrap_servers, f"{prefix}topic", b"value")
    assert consume(embedded.bootstrap_servers, f"{prefix}topic") == b"value"


def test_data_and_address_outlive_a_kill_and_an_orderly_restart(private_broker: PrivateBroker, tmp_path: Path) -> None:
    broker = private_broker(data_dir=tmp_path / "données: 100 %")
    address = broker.bootstrap_servers
    create_topic(address, "topic")
    produce(address, "topic", b"before")

    killed = broker.pid
    broker.kill()
    assert not broker.alive()
    assert not running(killed)
    assert not ping(address, timeout_s=1)
    broker.start()
    assert broker.bootstrap_servers == address
    assert consume(address, "topic") == b"before"

    broker.restart()
    assert broker.bootstrap_servers == address
    assert consume(address, "topic") == b"before"


def test_a_groups_members_are_found_again_whenever_the_broker_is_back(private_broker: PrivateBroker) -> None:
    broker = private_broker()
    address = broker.bootstrap_servers
    create_topic(address, "topic")
    admin = KafkaAdmin(Settings(bootstrap_servers=address), timeout_s=2.0)
    member = Consumer({"bootstrap.servers": address, "group.id": "group", "client.id": "me", "group.instance.id": "1"})
    member.subscribe(["topic"])

    def members() -> list[str]:
        member.poll(0.1)
        return [each.client_id for each in admin.members("group")]

    eventually(lambda: quietly(members) == ["me"], "it is a member")
    for _ in range(2):
        broker.kill()
        # Twice: a request that is left unanswered, and one after it. Either could end this process when the broker is
        # back, or once more away.
        for _ in range(2):
            with pytest.raises(Retryable):
                admin.members("group")
        broker.start()
        eventually(lambda: quietly(members) == ["me"], "the coordinator has its groups again")
    member.close()


def quietly(members: Callable[[], list[str]]) -> list[str]:
    try:
        return members()
    except Retryable:
        return []


def test_a_second_broker_on_the_same_directory_is_refused_and_says_who_has_it(embedded: Kafka) -> None:
    with pytest.raises(StateLocked) as refused:
        EmbeddedBroker(data_dir=embedded.data_dir).start()
    assert embedded.bootstrap_servers in str(refused.value)
    assert refused.value.hint
    assert ping(embedded.bootstrap_servers, timeout_s=PATIENCE_S)


def test_a_taken_port_is_said_to_be_taken(embedded: Kafka) -> None:
    port = int(embedded.bootstrap_servers.split(":")[1])
    with pytest.raises(Misconfigured, match="port is taken"):
        EmbeddedBroker(port).start()


def test_no_java_and_no_file_outlive_a_parent_that_is_killed(parent: tuple[subprocess.Popen[str], int, Path]) -> None:
    process, java, directory = parent
    assert running(java)
    assert directory.exists()
    process.kill()
    process.wait()
    eventually(lambda: not running(java), "Java is gone")
    eventually(lambda: not directory.exists(), "its files are gone")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_java_ends_with_its_supervisor(parent: tuple[subprocess.Popen[str], int, Path]) -> None:
    _, java, _ = parent
    status = Path(f"/proc/{java}/status").read_text()
    supervisor = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not running(java), "Java is gone")


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed) as failed:
        EmbeddedBroker(data_dir=tmp_path, overrides={"num.partitions": "none"}).start()
    assert "num.partitions" in failed.value.hint
    DataDirectory(tmp_path).release()  # it is free again


@pytest.mark.parametrize("deadly", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_until_it_is_told_to_stop(tmp_path: Path, deadly: signal.Signals) -> None:
    port = free_port()
    run = "from pipeline.cli.main import run; run()"
    arguments = ["broker", "--json", "--port", str(port), "--data-dir", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", run, *arguments], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        facts = json.loads(command.stdout.readline())
        assert facts["bootstrap_servers"] == f"127.0.0.1:{port}"
        assert ping(facts["bootstrap_servers"], timeout_s=PATIENCE_S)
        command.send_signal(deadly)
        assert command.wait(PATIENCE_S) == 0
    assert not running(facts["pid"])
