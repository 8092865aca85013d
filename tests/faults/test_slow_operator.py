"""An operator that takes longer over a record than a member may go without a poll, and then goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from pipeline.runtime.crash import CrashPoint, CrashTrace
from pipeline.telemetry.poison import Message
from tests.faults.hanging_topology import HANGS_WHILE, HUNG
from tests.faults.impatient_topology import POLL_INTERVAL_S
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_digests_equal, assert_same_once
from tests.support.load import Load
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.waiting import eventually
from tests.support.worker_process import WorkerProcess

TOPOLOGY = "tests.faults.impatient_topology:TOPOLOGY"
KEYS = 40
POLL_RECORDS, COMMIT_RECORDS = 20, 150
FOLDED = range(POLL_RECORDS, COMMIT_RECORDS - 2 * POLL_RECORDS)
"""Open work that one more poll leaves open."""
TOO_LATE = "the loop did not poll in time and lost its partitions"


def numbers() -> Iterator[Message]:
    return ((b"key-%d" % (number % KEYS), b"%d" % number) for number in count())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("static", "transaction_timeout_ms", "commit_interval_ms"),
    [
        # Commits are by count, so that one who goes on polls before it commits, and hears what it has lost.
        pytest.param(False, 60_000, 5_000, id="dynamic, its transaction is still open"),
        pytest.param(True, 2_500, 500, id="static, its transaction has timed out"),
    ],
)
def test_a_worker_whose_operator_outlasts_the_poll_interval_commits_nothing_of_what_it_lost(
    kafka: Kafka,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: Scale,
    figure: Callable[[str], None],
    static: bool,
    transaction_timeout_ms: int,
    commit_interval_ms: int,
) -> None:
    hangs = tmp_path / "hangs"
    # A transaction that has timed out is noticed at the next record, before the poll that tells what is lost.
    noticed = "producer lost" if static else "partitions lost with open work"
    slept: list[float] = []
    dropped = 0
    with Cluster(
        kafka.bootstrap_servers,
        prefix,
        tmp_path / "workers",
        topology=TOPOLOGY,
        session_timeout_ms=3_000,
        transaction_timeout_ms=transaction_timeout_ms,
        commit_interval_ms=commit_interval_ms,
        commit_records=COMMIT_RECORDS,
        poll_records=POLL_RECORDS,
    ) as cluster:
        monkeypatch.setenv(HANGS_WHILE, str(hangs))
        slow = cluster.start("count", "c0" if static else None)
        monkeypatch.setenv(HANGS_WHILE, str(tmp_path / "never"))
        other = cluster.start("count", "c1" if static else None)
        with Load(cluster, "numbers", numbers(), rate=200) as load:
            for _ in range(scale(1, full=5)):
                eventually(lambda: held(cluster) == [2, 2], "both have a share")
                cluster.wait_until_active("count")
                eventually(lambda: hang(slow, hangs), "it hangs with open work")
                began = time.monotonic()
                # A busy machine may have had it be late by itself before.
                late, lost = len(slow.events(TOO_LATE)), len(slow.events(noticed))
                eventually(lambda: held(cluster) == [cluster.partitions], "the other has all")
                before = cluster.committed("count")
                eventually(
                    lambda before=before: all(now > before[each] for each, now in cluster.committed("count").items()),  # type: ignore[misc]
                    "the other goes on with each partition",
                )
                assert folded(slow), f"all that time it hangs, with open work, but {slow.point!r}"
                dropped += folded(slow)
                slept.append(time.monotonic() - began)
                hangs.unlink()
                eventually(
                    lambda late=late, lost=lost: len(slow.events(TOO_LATE)) > late and len(slow.events(noticed)) > lost,  # type: ignore[misc]
                    "it hears what it has lost",
                )
            eventually(lambda: held(cluster) == [2, 2], "both have a share again")
        cluster.drain()
        assert slow.alive
        assert other.alive
        assert min(slept) > POLL_INTERVAL_S
        assert_same_once("out", [(record.key, record.value) for record in cluster.records("out")], load.sent)
        counts = Counter((key or b"").decode() for key, _ in load.sent)
        assert {key: int(row["value"]) for key, row in cluster.rows("counts")} == counts
        assert_digests_equal(cluster)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= cluster.partitions
    figure(f"{len(slept)} times without a poll for up to {max(slept):.1f} s, with {dropped} records folded and not "
           f"committed, {len(load.sent)} messages: 0 lost, 0 doubled")  # fmt: skip


def hang(worker: WorkerProcess, hangs: Path) -> bool:
    """Have it hang; whether it does so with records before it in its transaction. If not it goes on."""
    eventually(lambda: folded(worker) in FOLDED, "it has folded what is not committed", pause_s=0.001)
    hangs.touch()
    hung = hangs.with_suffix(HUNG)
    eventually(hung.exists, "it hangs", pause_s=0.001)
    if folded(worker) in FOLDED:
        return True
    hangs.unlink()
    eventually(lambda: not hung.exists(), "it goes on", pause_s=0.001)
    return False


def folded(worker: WorkerProcess) -> int:
    """How many records it has folded and not committed."""
    return CrashTrace.folded(worker.trace) if worker.point is CrashPoint.FOLDED else 0


def held(cluster: Cluster) -> list[int]:
    """How many partitions each member has that has any."""
    members = cluster.admin.members(cluster.group("count"))
    return [len(member.partitions) for member in members if member.partitions]
