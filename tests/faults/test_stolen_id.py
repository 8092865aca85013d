"""A transactional id, and a seat in the group, that somebody else takes under a worker that uses it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from pipeline.errors import ExitCode, Fenced, TransactionAborted
from pipeline.log.kafka import KafkaLog
from pipeline.settings import Settings
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.waiting import eventually
from tests.support.worker_process import OPEN_WORK, WorkerProcess

IDS = {"transform": "t0", "aggregate": "a0"}
RETAKEN = "seat in the group taken, joining again"


def steal(cluster: Cluster, transactional_id: str) -> None:
    """What a second process under the same id does first: end the other's transaction and fence it."""
    thief = Producer(
        {"bootstrap.servers": cluster.settings.bootstrap_servers, "transactional.id": transactional_id,
         "transaction.timeout.ms": 2_500}
    )  # fmt: skip
    thief.init_transactions(30)


@pytest.mark.timeout(900)
def test_a_worker_whose_transactional_id_is_taken_loses_and_doubles_nothing(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    thefts = scale(2, full=20)
    hits = 0
    with Cluster(
        kafka.bootstrap_servers, prefix, tmp_path, session_timeout_ms=3_000, transaction_timeout_ms=2_500
    ) as cluster:
        victims = [cluster.start("transform", "t0"), cluster.start("aggregate", "a0")]
        with TelemetryLoad(cluster, rate=600, devices=60) as load:
            for number in range(thefts):
                for victim, transactional_id in zip(victims, ("transform-t0", "aggregate-a0"), strict=True):
                    eventually(lambda victim=victim: victim.point in OPEN_WORK, "it works", pause_s=0.001)  # type: ignore[misc]
                    steal(cluster, prefix + transactional_id)
                    eventually(
                        lambda victim=victim, lost=number + 1: len(_losses(victim)) >= lost,  # type: ignore[misc]
                        "it notices",
                    )
                    before = len(load.sent)
                    eventually(lambda before=before: len(load.sent) > before + 300, "the load goes on")  # type: ignore[misc]
                hits += 2
        cluster.drain()
        assert_exactly_once(cluster, load.accepted)
        assert all(victim.alive for victim in victims), "a theft that ends is no reason to leave"
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == cluster.partitions
    figure(f"{hits} ids taken under load, {len(load.sent)} messages: 0 lost, 0 doubled")


def _losses(victim: WorkerProcess) -> list[object]:
    return [*victim.events("producer lost")]


def take_seat(cluster: Cluster, stage: str, worker_id: str) -> None:
    """Join the stage's group under the worker's static id, and be gone without a word: the seat stays taken."""
    ghost = Consumer(
        {"bootstrap.servers": cluster.settings.bootstrap_servers, "group.id": cluster.group(stage),
         "group.instance.id": worker_id, "partition.assignment.strategy": "cooperative-sticky",
         "session.timeout.ms": 3_000, "enable.auto.commit": False}
    )  # fmt: skip
    ghost.subscribe([cluster.full(cluster.topology.stage(stage).source)])
    eventually(lambda: bool(ghost.poll(0.1) or ghost.assignment()), "the ghost has the seat", pause_s=0)
    ghost.close()


@pytest.mark.timeout(900)
def test_a_worker_takes_its_seat_back_from_nobody_and_leaves_it_to_somebody_alive(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    thefts = scale(1, full=10)
    with Cluster(
        kafka.bootstrap_servers, prefix, tmp_path, session_timeout_ms=3_000, transaction_timeout_ms=2_500
    ) as cluster:
        victims = {stage: cluster.start(stage, worker_id) for stage, worker_id in IDS.items()}
        took_s = []
        with TelemetryLoad(cluster, rate=300, devices=60) as load:
            for number in range(thefts):
                for stage, victim in victims.items():
                    eventually(lambda victim=victim: victim.point in OPEN_WORK, "it works", pause_s=0.001)  # type: ignore[misc]
                    take_seat(cluster, stage, IDS[stage])
                    began = time.monotonic()
                    before = cluster.committed(stage)
                    eventually(
                        lambda stage=stage, before=before: all(  # type: ignore[misc]
                            cluster.committed(stage)[each] > offset for each, offset in before.items()
                        ),
                        "every partition goes on",
                    )
                    took_s.append(time.monotonic() - began)
                    assert len(victim.events(RETAKEN)) == number + 1
                    # Longer than a worker takes for a sign that somebody alive has its seat.
                    time.sleep(cluster.settings.session_timeout_ms / 1000)
            second = cluster.start("aggregate", "a0", data_dir=str(tmp_path / "another machine"))
            assert victims["aggregate"].wait() == ExitCode.FENCED, victims["aggregate"].text()
            eventually(lambda: second.point in OPEN_WORK, "the second has taken over")
        second.stop()
        # Kafka goes on showing the address of whoever had the seat first: back where it was, it is found there.
        last = cluster.start("aggregate", "a0")
        cluster.drain()
        assert_exactly_once(cluster, load.accepted)
        assert victims["transform"].alive
        assert last.alive
    figure(f"{len(took_s)} seats taken by nobody alive, all went on within {max(took_s):.1f} s; one by a second "
           f"worker, which stays; {len(load.sent)} messages: 0 lost, 0 doubled")  # fmt: skip


@pytest.mark.parametrize("heard_at", ["send", "flush", "commit"])
def test_a_sink_that_is_fenced_says_so_and_can_be_closed(kafka: Kafka, prefix: str, heard_at: str) -> None:
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers, prefix=prefix)
    log = KafkaLog(settings)
    admin = log.admin()
    topic = f"{prefix}out"
    admin.create_topics({topic: {}}, 1, 1)
    first = log.sink(f"{prefix}one")
    first.begin()
    first.send(topic, b"key", b"value", 0)
    first.flush()
    second = log.sink(f"{prefix}one")
    if heard_at == "flush":
        first.send(topic, b"key", b"value", 0)

    def send_until_refused() -> None:
        # The client says nothing before the broker has refused what was sent earlier.
        while True:
            first.send(topic, b"key", b"value", 0)
            time.sleep(0.01)

    with pytest.raises((Fenced, TransactionAborted)):
        {"send": send_until_refused, "flush": first.flush, "commit": first.commit}[heard_at]()
    with contextlib.suppress(Fenced):
        first.abort()
    first.close()
    second.close()
    admin.close()
