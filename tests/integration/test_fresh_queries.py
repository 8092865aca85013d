"""Answers that are fresh enough, of real workers on a real Kafka: not too old, and with what was just sent."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from operators.iot import topology
from pipeline.client import Client
from pipeline.errors import ExitCode
from pipeline.partitioning import partition_of
from tests.integration.test_queries import Pipeline
from tests.support.brokers import Kafka
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.web import http

PARTITIONS = 2
SLOWLY = ("--commit-interval-ms", "1000", "--session-timeout-ms", "10000", "--transaction-timeout-ms", "9000")
"""Aggregate workers commit so rarely that what was read waits long enough to be seen waiting."""


def on_partition(partition: int) -> str:
    return next(f"d-{n}" for n in range(100) if partition_of(f"d-{n}".encode(), PARTITIONS) == partition)


@pytest.fixture(scope="module")
def slow(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Two aggregate workers that commit once a second."""
    one = Pipeline(kafka, f"fresh-{uuid.uuid4().hex[:8]}-", tmp_path_factory.mktemp("fresh"))
    try:
        one.run("topics", "create", "--partitions", str(PARTITIONS))
        one.worker("transform", "t0")
        for worker_id in ("a0", "a1"):
            one.worker("aggregate", worker_id, *SLOWLY)
        both_at_work(one)
        yield one
    finally:
        one.close()


def both_at_work(pipeline: Pipeline) -> None:
    """Wait until each has a partition and all are active: from then on none moves by itself."""
    wanted = {(worker, "active") for worker in ("a0", "a1")}
    eventually(lambda: {(row["owner"], row["state"]) for row in pipeline.status()} == wanted, "both are at work")


def send(pipeline: Pipeline, directory: Path, *readings: dict[str, Any] | str) -> list[str]:
    """Send readings, or lines as they are; where they went, as `min_position` takes it."""
    lines = directory / f"{uuid.uuid4().hex}.jsonl"
    lines.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in readings))
    (sent,) = pipeline.lines("produce", "--from", str(lines))
    positions: list[str] = sent["min_position"]
    return positions


def settled(target: str) -> httpx.Response:
    """The answer once there is one: a worker on a busy machine may have to be asked again."""
    answers: list[httpx.Response] = []

    def answered() -> bool:
        answers.append(http.get(f"{target}&wait_ms=30000"))
        return answers[-1].status_code != 503

    eventually(answered, target)
    return answers[-1]


def reading(device: str, seq: int) -> dict[str, Any]:
    return {"device_id": device, "metric": "temperature", "value": 20 + seq, "unit": "degC",
            "event_time": 1_735_689_600_000 + seq, "seq": seq}  # fmt: skip


def test_who_is_behind_is_refused_until_it_has_caught_up(slow: Pipeline, tmp_path: Path) -> None:
    device = on_partition(0)
    refused: list[dict[str, Any]] = []
    address = slow.addresses()["a0"]
    sent = 0

    def seen_behind() -> bool:
        nonlocal sent
        send(slow, tmp_path, reading(device, sent))
        sent += 1
        answer = http.get(f"http://{address}/v1/device-state/{device}?max_lag=0")
        # An owner that does not know yet where its source ends is too stale as well, and tells of no lag.
        if answer.status_code == 503 and answer.json()["type"].endswith(":too-stale") and answer.json().get("lag"):
            refused.append(answer.json())
        return bool(refused)

    eventually(seen_behind, "an owner that is behind says so")
    assert refused[0]["lag"]["records"] > 0

    def caught_up() -> bool:
        answer = http.get(f"http://{address}/v1/device-state/{device}?max_lag=0")
        return answer.status_code == 200 and bool(answer.json()["value"]["readings"] == sent)

    eventually(caught_up, "it has folded all that was sent")
    (row,) = slow.lines("get", device, "--max-lag", "0")
    assert row["meta"]["lag"]["records"] == 0
    assert slow.lines("scan", "--max-lag", "1000000")
    slow.run("get", device, "--max-lag", "-1", exit_code=ExitCode.MISCONFIGURED)


def test_what_was_sent_is_in_the_answer_that_asks_for_it(slow: Pipeline, tmp_path: Path) -> None:
    """By any worker, for a reading that is good, one that is refused, and the list of all."""
    for number, worker in enumerate(["a0", "a1"] * 2):
        device = f"mine-{number}"
        where = send(slow, tmp_path, reading(device, 1))
        address = slow.addresses()[worker]
        target = f"http://{address}/v1/device-state"
        soon = http.get(f"{target}/{device}?min_position={where[0]}&wait_ms=0")
        if soon.status_code == 200:
            assert soon.json()["value"]["readings"] == 1
        else:
            assert soon.json()["type"].rpartition(":")[2] in {"not-yet", "stale"}, soon.text
        answer = settled(f"{target}/{device}?min_position={where[0]}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["value"]["readings"] == 1

    sent_to, _, last = where[0].partition(":")
    soon = http.get(f"{target}/{device}?min_position={sent_to}:{int(last) + 1000}&wait_ms=50")
    assert soon.status_code == 503, "that message was never sent"

    (refused,) = send(slow, tmp_path, '{"device_id": "broken"}')
    answer = settled(f"{target}/broken?min_position={refused}")
    assert answer.status_code == 404, answer.text
    letters = slow.lines("dead-letters", "ls")
    assert refused in {f"{each['origin_partition']}:{each['origin_offset']}" for each in letters}

    where = send(slow, tmp_path, *(reading(f"many-{number}", 1) for number in range(20)))
    listed = settled(f"{target}?prefix=many-&min_position={','.join(where)}")
    assert listed.status_code == 200, listed.text
    assert len(listed.json()["items"]) == 20


def test_the_command_waits_for_what_was_sent_as_long_as_it_is_told_to(slow: Pipeline, tmp_path: Path) -> None:
    where = ",".join(send(slow, tmp_path, reading("told", 1), reading("told-too", 1)))
    (row,) = slow.lines("get", "told", "--min-position", where, "--wait", "60")
    assert row["value"]["readings"] == 1
    assert len(slow.lines("scan", "--prefix", "told", "--min-position", where, "--wait", "60")) == 2
    assert slow.lines("windows", "told", "--open", "--min-position", where, "--wait", "60")
    result = slow.run("get", "told", "--min-position", "0:1000000", "--wait", "0.2", exit_code=ExitCode.FAILURE)
    assert "stage transform has not passed telemetry/0 up to 1000001 yet" in result.output


def test_what_was_sent_before_the_owner_died_is_in_the_answer_of_its_heir(slow: Pipeline, tmp_path: Path) -> None:
    (where,) = send(slow, tmp_path, reading("orphan", 1))
    partition = partition_of(b"orphan", PARTITIONS)
    owner = next(row["owner"] for row in slow.status() if row["partition"] == partition)
    (survivor,) = {"a0", "a1"} - {owner}
    address = slow.addresses()[survivor]
    slow.kill(owner)
    answers: list[int] = []

    def answered() -> bool:
        answer = http.get(f"http://{address}/v1/device-state/orphan?min_position={where}")
        answers.append(answer.status_code)
        if answer.status_code == 200:
            assert answer.json()["value"]["readings"] == 1
            assert answer.json()["meta"]["owner"] == survivor
        return answer.status_code == 200

    eventually(answered, "the heir has folded it")
    assert set(answers) <= {200, 503}, "not for a moment is it said that there is no such device"
    slow.worker("aggregate", owner, *SLOWLY)
    both_at_work(slow)


def test_a_stream_tells_each_change_and_goes_on_with_the_heir(slow: Pipeline, tmp_path: Path) -> None:
    send(slow, tmp_path, reading("watched", 1))
    partition = partition_of(b"watched", PARTITIONS)
    owner = next(row["owner"] for row in slow.status() if row["partition"] == partition)
    (other,) = {"a0", "a1"} - {owner}
    with Client.connect(slow.settings, topology(), patience_s=PATIENCE_S) as client:
        rows = (row for row in client.watch("device-state", "watched") if not row.absent)
        first = next(rows)
        assert (first.value["readings"], first.meta.owner) == (1, owner)
        send(slow, tmp_path, reading("watched", 2))
        assert next(rows).value["readings"] == 2
        slow.kill(owner, signal.SIGTERM)
        send(slow, tmp_path, reading("watched", 3))
        moved = next(row for row in rows if row.value["readings"] == 3)
        assert moved.meta.owner == other
    slow.worker("aggregate", owner, *SLOWLY)
    both_at_work(slow)
