"""A network that fails between workers and a broker that is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.broker import EmbeddedBroker
from pipeline.broker.config import HOST
from pipeline.broker.ports import free_port
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.proxy import END_TXN, Network, Proxy, behind
from tests.support.scale import Scale
from tests.support.waiting import eventually
from tests.support.web import http
from tests.support.worker_process import OPEN_WORK, WorkerProcess

DEVICES = 60
MOST_CPU = 0.05
"""Of a core, for a worker that has nothing to do but to wait."""
MOST_CPU_BESIDE_OTHERS = 0.3
"""Where other work empties its caches, and the measurement is short: still far from a loop that spins."""
MEASURED_S = 4.0
"""For so long at the least."""
BACK_WITHIN_S = 30.0
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[EmbeddedBroker, Proxy]]:
    """A broker with two ways to it: the test's own, and the workers' through a proxy."""
    port = free_port()
    with Proxy() as proxy, EmbeddedBroker(port, overrides=behind(proxy, port)) as broker:
        yield broker, proxy


def start(cluster: Cluster, proxy: Proxy) -> list[WorkerProcess]:
    through = f"{HOST}:{proxy.port}"
    workers = [cluster.start("transform", "t0", bootstrap_servers=through),
               cluster.start("aggregate", "a0", bootstrap_servers=through)]  # fmt: skip
    cluster.wait_until_active("aggregate")
    for worker in workers:
        works(worker)
    return workers


def works(worker: WorkerProcess) -> None:
    eventually(lambda: worker.point in OPEN_WORK, f"{worker.stage} works", pause_s=0.001)


def goes_on(cluster: Cluster) -> None:
    """Every stage commits again."""
    for stage in cluster.topology.stages:
        before = sum(cluster.committed(stage.name).values())
        eventually(
            lambda name=stage.name, before=before: sum(cluster.committed(name).values()) > before,  # type: ignore[misc]
            f"{stage.name} commits",
        )


def prove(cluster: Cluster, load: TelemetryLoad) -> None:
    cluster.drain()
    assert len(assert_exactly_once(cluster, load.accepted).devices) == DEVICES
    assert all(worker.alive for worker in cluster.workers)
    cluster.stop()
    assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == cluster.partitions


def test_a_commit_whose_answer_never_comes_is_found_in_the_log(
    proxied: tuple[EmbeddedBroker, Proxy], prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    broker, proxy = proxied
    lost_before = proxy.counts().lost_answers
    losses = scale(1, full=10)
    found = 0
    with Cluster(
        broker.bootstrap_servers, prefix, tmp_path, session_timeout_ms=3_000, transaction_timeout_ms=1_500
    ) as cluster:
        with TelemetryLoad(cluster, rate=500, devices=DEVICES) as load:
            workers = start(cluster, proxy)
            for number in range(1, losses + 1):
                restored = len(workers[1].events("restored"))
                with proxy.losing_answers(END_TXN):
                    for worker in workers:
                        eventually(
                            lambda worker=worker, number=number: len(unknown(worker)) >= number,  # type: ignore[misc]
                            "it gives up waiting for the answer",
                        )
                goes_on(cluster)
                found += sum(row["records"] > 0 for row in workers[1].events("restored")[restored:])
            with proxy.losing_answers(END_TXN, late_s=1.0):
                until = len(load.sent) + 1_500
                eventually(lambda: len(load.sent) > until, "commits have been slow for a while")
        prove(cluster, load)
    assert found >= losses, "a commit that happened must have been read back from the changelog"
    lost = proxy.counts().lost_answers - lost_before
    figure(f"{lost} answers to commits lost or late, {2 * losses} outcomes unknown, {found} "
           f"partitions rolled forward from the log, {len(load.sent)} messages: 0 lost, 0 doubled")  # fmt: skip


def unknown(worker: WorkerProcess) -> list[object]:
    return [row for row in worker.events("producer lost") if "no answer to a commit" in row["reason"]]


@pytest.mark.parametrize(
    "network", [Network.REFUSING, Network.SILENT, Network.ONE_WAY], ids=lambda network: network.name.lower()
)
def test_workers_wait_for_a_broker_that_is_out_of_reach(
    proxied: tuple[EmbeddedBroker, Proxy],
    prefix: str,
    tmp_path: Path,
    scale: Scale,
    figure: Callable[[str], None],
    network: Network,
) -> None:
    broker, proxy = proxied
    away_s = scale(8, full=70)
    with Cluster(
        broker.bootstrap_servers, prefix, tmp_path, session_timeout_ms=3_000, transaction_timeout_ms=2_500
    ) as cluster:
        with TelemetryLoad(cluster, rate=400, devices=DEVICES) as load:
            workers = start(cluster, proxy)
            url = f"http://{cluster.addresses('aggregate')['a0']}/readyz"
            eventually(lambda: readiness(url) == 200, "it is ready")
            for worker in workers:
                works(worker)
            before = proxy.counts()
            with proxy.network(network):
                began = time.monotonic()
                eventually(lambda: readiness(url) == 503, "it says that it is not ready", pause_s=0.5)
                noticed_s = time.monotonic() - began
                # From here on it only waits; before, it gave up a transaction and began to restore.
                cpu_s = [worker.cpu_s() for worker in workers]
                time.sleep(max(began + away_s - time.monotonic(), MEASURED_S))
                took_s = time.monotonic() - began
                shares = [
                    (worker.cpu_s() - then) / (took_s - noticed_s) for worker, then in zip(workers, cpu_s, strict=True)
                ]
                assert readiness(url) == 503, "nothing can have mended it"
            after = proxy.counts()
            if network is Network.REFUSING:
                assert after.closed > before.closed
            else:
                assert after.swallowed_bytes > before.swallowed_bytes
            back = time.monotonic()
            eventually(lambda: readiness(url) == 200, "it is ready again")
            goes_on(cluster)
            back_s = time.monotonic() - back
        prove(cluster, load)
    losses = [len(worker.events("producer lost")) for worker in workers]
    assert max(shares) < scale(MOST_CPU_BESIDE_OTHERS, full=MOST_CPU), "a worker without a broker has nothing to do"
    assert back_s < scale.within_s(BACK_WITHIN_S)
    figure(f"{network.name}: no broker for {took_s:.0f} s, not ready after {noticed_s:.1f} s, CPU of a worker at most "
           f"{max(shares):.1%} of a core, at work {back_s:.1f} s after it came back, producers lost {losses}; "
           f"{len(load.sent)} messages: 0 lost, 0 doubled")  # fmt: skip


def readiness(url: str) -> int:
    return http.get(url).status_code
