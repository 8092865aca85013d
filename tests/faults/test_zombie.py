"""Workers that stand still for longer than their session and their transaction, and then go on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.query.wire import ROUTED_HEADER
from pipeline.runtime.crash import CrashPoint
from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.worker_process import OPEN_WORK, WorkerProcess

DEVICES = 60
ASKED_FOR_S = 1.5
"""How long the zombie is asked once it goes on; believing only its loop, it answers wrongly for up to half a second."""


class Answer(NamedTuple):
    status: int
    body: Any


class Question:
    """A question about one device, to one worker and no other, which may be sent before the worker can read it."""

    def __init__(self, address: str, device: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self._socket.sendall(
            f"GET /v1/device-state/{device} HTTP/1.1\r\nHost: {address}\r\n{ROUTED_HEADER}: a-test;0\r\n"
            "Connection: close\r\n\r\n".encode()
        )

    def answer(self) -> Answer:
        with self._socket, self._socket.makefile("rb") as reply:
            head, _, body = reply.read().partition(b"\r\n\r\n")
        return Answer(int(head.split()[1]), json.loads(body))

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def ask(address: str, device: str) -> Answer:
    with Question(address, device) as question:
        return question.answer()


def wake(zombie: WorkerProcess, address: str, devices: dict[int, str]) -> list[Answer]:
    """What it answers about these devices from the instant at which it goes on: questions wait for it already."""
    with ExitStack() as stack:
        waiting = [stack.enter_context(Question(address, device)) for device in devices.values() for _ in range(4)]
        zombie.thaw()
        until = time.monotonic() + ASKED_FOR_S
        answers = [question.answer() for question in waiting]
        while time.monotonic() < until:
            answers += [ask(address, device) for device in devices.values()]
    return answers


@pytest.mark.timeout(900)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_zombie_commits_nothing_and_answers_nothing_that_is_no_longer_so(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None], protocol: str
) -> None:
    stops = scale(2, full=10)
    hits: list[CrashPoint] = []
    answers: list[Answer] = []
    with Cluster(
        kafka.bootstrap_servers,
        prefix,
        tmp_path,
        group_protocol=protocol,
        session_timeout_ms=3_000,
        transaction_timeout_ms=2_500,
    ) as cluster:
        transforms = [cluster.start("transform", worker_id) for worker_id in ("t0", "t1")]
        for worker_id in ("a0", "a1"):
            cluster.start("aggregate", worker_id)
        zombie = cluster.workers[2]
        with TelemetryLoad(cluster, rate=600, devices=DEVICES) as load:
            for number in range(stops):
                cluster.wait_until_shared("aggregate", "a0", "a1")
                address, other = (cluster.addresses("aggregate")[name] for name in ("a0", "a1"))
                mine = owned_devices(cluster, load, "a0")
                # With open work it hears at its next commit that all is over; at rest nothing tells it so soon.
                hits += [transforms[0].freeze(), zombie.freeze({CrashPoint.APPLIED} if number % 2 else OPEN_WORK)]
                taken_over = positions(other, mine)
                eventually(
                    lambda other=other, mine=mine, then=taken_over: all(  # type: ignore[misc]
                        now > then[partition] for partition, now in positions(other, mine).items()
                    ),
                    "the other has gone on",
                )
                truth = positions(other, mine)
                transforms[0].thaw()
                said = wake(zombie, address, mine)
                stale = [each.body["meta"] for each in said if each.status == 200 and
                         each.body["meta"]["position"] < truth[each.body["meta"]["partition"]]]  # fmt: skip
                assert not stale, f"{len(stale)} of {len(said)} answers were no longer so: {stale[:3]}"
                answers += said
            cluster.wait_until_shared("aggregate", "a0", "a1")
        cluster.drain()
        expected = assert_exactly_once(cluster, load.accepted)
        assert len(expected.devices) == DEVICES
        assert all(worker.alive for worker in cluster.workers)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= cluster.partitions
    refused = sum(each.status != 200 for each in answers)
    assert refused >= 4 * stops, "those that waited while it stood still must be among them"
    figure(f"{2 * stops} zombies ({', '.join(sorted({hit.name for hit in hits}))}), {len(load.sent)} messages: "
           f"0 lost, 0 doubled; {len(answers)} questions to the woken, {refused} refused, 0 stale answers")  # fmt: skip


def positions(address: str, devices: dict[int, str]) -> dict[int, int]:
    """By partition, up to where its answer is true, once the worker answers about each of these devices."""
    found: dict[int, int] = {}

    def all_answered() -> bool:
        answers = [ask(address, device) for device in devices.values()]
        found.update({each.body["meta"]["partition"]: each.body["meta"]["position"]
                      for each in answers if each.status == 200})  # fmt: skip
        return all(each.status == 200 for each in answers)

    eventually(all_answered, "the other answers", pause_s=0.2)
    return found


def owned_devices(cluster: Cluster, load: TelemetryLoad, worker_id: str) -> dict[int, str]:
    """A device that has a row, of each partition that the worker answers for."""
    found: dict[int, str] = {}

    def each_has_one() -> bool:
        with cluster.client() as client:
            held = {row.partition for row in client.status("aggregate") if row.owner == worker_id}
        seen = {partition_for(key, cluster.partitions): key.decode() for key, _ in load.sent if key and b"-" in key}
        address = cluster.addresses("aggregate")[worker_id]
        found.clear()
        found.update({each: seen[each] for each in held if each in seen and ask(address, seen[each]).status == 200})
        return bool(held) and set(found) == held

    eventually(each_has_one, f"{worker_id} answers for each of its partitions")
    return found
