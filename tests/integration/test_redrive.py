"""Dead letters are listed, shown and sent once more, on a pipeline that goes on working meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipeline.errors import ExitCode
from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster

PARTITIONS = 2
HOUR_MS = 3_600_000

pytestmark = pytest.mark.timeout(300)


def _reading(device: str, seq: int, time_ms: int, **changes: Any) -> dict[str, Any]:
    return {"device_id": device, "metric": "level", "value": seq / 7, "unit": "percent", "event_time": time_ms,
            "seq": seq, **changes}  # fmt: skip


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    """A pipeline that has refused five messages, of each kind that matters here one."""
    now_ms = int(time.time() * 1000)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        cluster.start("transform", "t0")
        cluster.start("aggregate", "a0")
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"})

        def send(fields: dict[str, Any], sent_ms: int = now_ms) -> None:
            key = fields["device_id"].encode()
            producer.produce(cluster.full("telemetry"), json.dumps(fields).encode(), key, timestamp=sent_ms)

        # Half an hour ahead of a broker's clock that stood an hour ago: good by now.
        send(_reading("early", 1, now_ms - HOUR_MS // 2), now_ms - HOUR_MS)
        send(_reading("overtaken", 1, now_ms - HOUR_MS // 2), now_ms - HOUR_MS)
        send(_reading("overtaken", 2, now_ms))
        send(_reading("strange", 1, now_ms, unit="furlong"))
        send(_reading("two-units", 1, now_ms - 1))
        send(_reading("two-units", 2, now_ms, unit="Pa"))
        producer.flush()
        misplaced = {**_reading("misplaced", 1, now_ms), "tags": None, "origin": ["yYhCXnSLTZS0ZtZNaZqVaA", 0, 0]}
        wrong = 1 - partition_for(b"misplaced", PARTITIONS)
        producer.produce(cluster.full("readings"), json.dumps(misplaced).encode(), b"misplaced", wrong)
        producer.flush()
        cluster.drain()
        yield cluster


def _lines(cluster: Cluster, *arguments: str, code: int = ExitCode.OK) -> list[dict[str, Any]]:
    done = cluster.command("dead-letters", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_can_be_used_by_now_comes_back_once_and_the_rest_stays(cluster: Cluster) -> None:
    listed = {line["key"]: line for line in _lines(cluster, "ls")}
    assert {key: line["reason"] for key, line in listed.items()} == {
        "ZWFybHk=": "future", "b3ZlcnRha2Vu": "future", "c3RyYW5nZQ==": "unknown-unit", "dHdvLXVuaXRz": "unit-changed",
        "bWlzcGxhY2Vk": "wrong-partition",
    }  # fmt: skip
    assert not any(line["redriven"] for line in listed.values())
    _assert_shown_whole(cluster, listed["ZWFybHk="]["id"])

    outlook = {line["key"]: line for line in _lines(cluster, "redrive", "--all", "--dry-run")}
    assert {key: line["topic"] for key, line in outlook.items()} == {
        "early": "telemetry", "overtaken": "telemetry", "misplaced": "telemetry", "strange": "", "two-units": "",
    }  # fmt: skip
    assert "unknown-unit" in outlook["strange"]["refused"]
    assert "unit-changed: the metric's unit is percent" in outlook["two-units"]["refused"]
    assert {key for key, line in outlook.items() if line["newer"]} == {"overtaken"}
    assert outlook["overtaken"]["newer"].endswith("late: its window is closed")
    assert not any(line["unknown"] for line in outlook.values())
    before = cluster.rows("device-state")

    unasked = cluster.command("dead-letters", "redrive", "--all")
    assert unasked.returncode == ExitCode.MISCONFIGURED
    assert "nobody is there to confirm" in unasked.stderr
    assert "keys that have folded newer records since: 1" in unasked.stdout
    assert cluster.rows("device-state") == before

    assert _lines(cluster, "redrive", "--all", "--yes")[-1] == {"sent": 3}
    cluster.drain()
    after = dict(cluster.rows("device-state"))
    assert {key: after[key]["metrics"]["level"]["count"] for key in ("early", "overtaken", "misplaced")} == {
        "early": 1, "overtaken": 2, "misplaced": 1,
    }  # fmt: skip
    assert after["overtaken"]["metrics"]["level"]["late"] == 1
    assert "strange" not in after

    again = _lines(cluster, "redrive", "--all", "--yes")
    assert "sent" not in again[-1]
    assert {line["key"]: line["refused"] for line in again}["early"] == "it was sent once more already"
    assert {line["id"] for line in _lines(cluster, "ls") if line["redriven"]} == {
        listed[key]["id"] for key in ("ZWFybHk=", "b3ZlcnRha2Vu", "bWlzcGxhY2Vk")
    }
    cluster.drain()
    assert dict(cluster.rows("device-state")) == after
    _assert_says_what_it_cannot_tell(cluster)


def _assert_shown_whole(cluster: Cluster, place: str) -> None:
    (sent,) = [each.value for each in cluster.records("telemetry") if each.key == b"early"]
    assert sent is not None
    raw = cluster.command("dead-letters", "show", place, "--raw")
    assert (raw.returncode, raw.stdout.encode()) == (ExitCode.OK, sent)
    assert sent.decode() in cluster.command("dead-letters", "show", place).stdout
    missing = cluster.command("dead-letters", "show", "0:999999")
    assert missing.returncode == ExitCode.FAILURE
    assert "there is no dead letter 0:999999" in missing.stderr


def _assert_says_what_it_cannot_tell(cluster: Cluster) -> None:
    cluster.stop()
    dry = cluster.command("dead-letters", "redrive", "--since", "1h", "--dry-run")
    assert dry.returncode == ExitCode.OK, dry.stderr
    assert "of 1 it cannot be told what was folded since: no worker answers queries" in dry.stdout
    nothing = cluster.command("dead-letters", "redrive")
    assert nothing.returncode == ExitCode.MISCONFIGURED
    assert "which dead letters?" in nothing.stderr
