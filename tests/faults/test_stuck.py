"""Workers that stand still with work before them: they say so, and recover by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer

from tests.faults.hanging_topology import HANGS_WHILE
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.waiting import eventually
from tests.support.web import http
from tests.support.worker_process import WorkerProcess

TOPOLOGY = "tests.faults.hanging_topology:TOPOLOGY"
STUCK_AFTER_MS = 2_000
FOREVER_MS = 600_000
"""Of a transaction that the test ends itself."""


def readiness(cluster: Cluster) -> tuple[int, str]:
    """The status and what is said with it; nothing before the worker serves."""
    try:
        answer = http.get(f"http://{cluster.addresses('count')['c0']}/readyz")
    except (KeyError, httpx.TransportError):
        return 0, ""
    return answer.status_code, answer.json().get("detail", "")


def numbers(count: int) -> list[tuple[bytes | None, bytes | None]]:
    return [(b"key-%d" % (number % 10), b"%d" % number) for number in range(count)]


def standing(worker: WorkerProcess, before: int = 0) -> list[str]:
    """Every frame of the one report that there is beside those before."""
    (line,) = worker.events("no progress")[before:]
    return [frame for frames in line["threads"].values() for frame in frames]


def test_an_operator_that_hangs_is_told_with_its_place_and_forgotten_when_it_goes_on(
    kafka: Kafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    hangs = tmp_path / "hangs"
    monkeypatch.setenv(HANGS_WHILE, str(hangs))
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "workers", topology=TOPOLOGY, partitions=1,
                 stuck_after_ms=STUCK_AFTER_MS) as cluster:  # fmt: skip
        worker = cluster.start("count", "c0")
        cluster.send("numbers", numbers(100))
        cluster.drain()
        eventually(lambda: readiness(cluster)[0] == 200, "it is ready")
        before = len(worker.events("no progress"))  # a busy machine may have had it stand a while by itself
        hangs.touch()
        cluster.send("numbers", numbers(50))
        eventually(lambda: "has stood at" in readiness(cluster)[1], "it says that it stands still")
        status, why = readiness(cluster)
        assert status == 503
        assert "with 5" in why
        eventually(lambda: len(worker.events("no progress")) > before, "it reports it")
        frames = standing(worker, before)
        hangs.unlink()
        cluster.drain()
        eventually(lambda: readiness(cluster)[0] == 200, "it is ready again")
        assert any(frame.endswith(" fold") for frame in frames), "the report shows where it hung"
        assert worker.events("progress again")
        assert {key: row["value"] for key, row in cluster.rows("counts")} == {f"key-{each}": "15" for each in range(10)}
        figure(f"{why!r}, and ready again once it went on: 150 of 150 records counted")


def test_a_restore_behind_an_open_transaction_is_told_and_goes_on_when_that_ends(
    kafka: Kafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HANGS_WHILE, str(tmp_path / "never"))
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "workers", topology=TOPOLOGY, partitions=1,
                 stuck_after_ms=STUCK_AFTER_MS) as cluster:  # fmt: skip
        cluster.send("numbers", numbers(100))
        cluster.start("count", "c0")
        cluster.drain()
        cluster.stop()
        foreign = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{prefix}somebody",
                            "transaction.timeout.ms": FOREVER_MS})  # fmt: skip
        foreign.init_transactions(30)
        foreign.begin_transaction()
        foreign.produce(cluster.full("counts-changelog"), b"not yours", b"key-0", 0)
        foreign.flush(30)
        worker = cluster.start("count", "c0")
        eventually(lambda: "the restore of partition 0 has stood" in readiness(cluster)[1], "it says that it waits")
        foreign.abort_transaction(30)
        eventually(lambda: readiness(cluster)[0] == 200, "it is ready")
        assert any("restorer" in frame for frame in standing(worker))
        assert {row["value"] for _, row in cluster.rows("counts")} == {"10"}
