"""kill -9 of an owner in the middle of a commit, its standby on another worker: how soon its keys are answered again.

Two times matter: when the partition has moved, which is the group's session, and when the dead owner's transaction has
ended, which the heir sees to. The promise counts from the later of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

import httpx
import pytest

from pipeline.runtime.crash import CrashPoint
from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.load import Load
from tests.support.readings import readings
from tests.support.scale import Scale
from tests.support.standbys import wait_until_caught_up
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.worker_process import WorkerProcess

PARTITIONS = 2
SESSION_MS = 6_000
TRANSACTION_MS = 90_000
"""So long that nobody would wait for it: where the survivor did not end the dead one's transaction, this would show."""
ANSWERED_WITHIN_S = 2.0
RATE = 500.0
FOLDED_WITHIN_S = 600.0
TAKEN_OVER = "standby taken over"
ENDED = "a dead worker's transaction is ended"
IN_THE_TRANSACTION = frozenset({CrashPoint.CHANGELOG_SENT})
"""Its records are in the log, and the commit is not asked for: at OFFSETS_SENT it may have happened already."""


@pytest.mark.timeout(1_800)
def test_a_partition_answers_again_at_once_where_its_standby_is(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    devices = scale(50_000, full=1_000_000)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS, standby_replicas=1,
                 session_timeout_ms=SESSION_MS, transaction_timeout_ms=TRANSACTION_MS) as cluster:  # fmt: skip
        workers = {worker: cluster.start("aggregate", worker) for worker in ("a0", "a1")}
        cluster.wait_until_shared("aggregate", *workers)
        cluster.send("readings", readings(devices, 1))
        _wait_until_folded(cluster)
        wait_until_caught_up(cluster)
        with cluster.client() as client:
            owner = next(row.owner for row in client.status("aggregate") if row.partition == 0)
        assert owner is not None
        (heir_id,) = workers.keys() - {owner}
        heir, address = workers[heir_id], cluster.addresses("aggregate")[heir_id]
        device = next(name for name in (f"device-{n:06d}" for n in range(devices)) if _partition(name) == 0)
        # Its own share it may have taken over from a standby as well, where the first one was slow to give it.
        own = len(heir.events(TAKEN_OVER))
        with Load(cluster, "readings", _on_and_on(devices), rate=RATE) as load:
            eventually(lambda: len(load.sent) > 2 * RATE, "the load runs")
            workers[owner].freeze(IN_THE_TRANSACTION)
            killed_at = time.time()
            workers[owner].kill()
            answered_at = _answered_at(address, device)
        # The new producer of the dead one's id ends its transaction at once, and takes a while to hear of it.
        eventually(lambda: bool(heir.events(ENDED)), "the heir has ended the dead one's transaction")
        moved_at, ended_at = _logged_at(heir, TAKEN_OVER, own), _logged_at(heir, ENDED)
        restored = [line for line in heir.events("restored") if line["partition"] == 0]
        figure(
            f"{devices:,} keys, killed inside its transaction: moved {moved_at - killed_at:.2f} s after the kill; the "
            f"transaction known to be ended {ended_at - moved_at:.2f} s, and the key answered "
            f"{answered_at - moved_at:.2f} s after the move; {restored[-1]['records']} changelog records restored"
        )
        assert answered_at - moved_at < TRANSACTION_MS / 1000 / 2, "nobody waited for the time-out"
        assert answered_at - max(moved_at, ended_at) < scale.within_s(ANSWERED_WITHIN_S)
        _wait_until_folded(cluster)
        proof = cluster.command("verify")
        assert proof.returncode == 0, proof.stdout + proof.stderr


def _wait_until_folded(cluster: Cluster) -> None:
    """By the group's offsets: a million records are not read for it. They were sent without transactions."""
    readings_of = cluster.each_partition("readings")

    def folded() -> bool:
        ends = {each.partition: end for each, end in cluster.admin.last_stable(readings_of).items()}
        return cluster.committed("aggregate") == ends

    eventually(folded, "all readings are folded", within_s=FOLDED_WITHIN_S)


def _partition(device: str) -> int:
    return partition_for(device.encode(), PARTITIONS)


def _on_and_on(devices: int) -> Iterator[tuple[bytes, bytes]]:
    """A reading of each of some devices, again and again."""
    for number in range(1, 1_000_000):
        yield from islice(readings(devices, 1, first_round=number), 1_000)


def _answered_at(address: str, device: str) -> float:
    """When the worker first answers as the owner."""
    found = 0.0

    def answers() -> bool:
        nonlocal found
        answer = httpx.get(f"http://{address}/v1/device-state/{device}", timeout=PATIENCE_S)
        if answer.status_code == httpx.codes.OK:
            assert answer.json()["meta"]["served_by"] == "active"
            found = time.time()
        return answer.status_code == httpx.codes.OK

    eventually(answers, "the partition is answered for", pause_s=0.01)
    return found


def _logged_at(worker: WorkerProcess, event: str, before: int = 0) -> float:
    """The one time beside those before."""
    (line,) = worker.events(event)[before:]
    return datetime.fromisoformat(line["timestamp"]).timestamp()
