"""Every alert that comes with the project, fired by its fault: real workers, scraped before it, in it and after it.

What fires is worked out from the rules' own expressions (`tests/support/promql.py`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest
from confluent_kafka import Producer

from pipeline.errors import ExitCode
from pipeline.state.envelope import seal
from tests.faults.hanging_topology import HANGS_WHILE
from tests.faults.test_stolen_id import steal
from tests.support.alerts import Watch, rules
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.standbys import wait_until_caught_up
from tests.support.waiting import eventually
from tests.support.web import http
from tests.support.worker_process import WorkerProcess

TOPOLOGY: Final = "tests.faults.hanging_topology:TOPOLOGY"
COUNTING: Final = "tests.integration.verify_topology:TOPOLOGY"
POISON: Final = 100
BEHIND: Final = 40
FOREVER_MS: Final = 600_000
THEFTS: Final = 4
BY_FAULT: Final[dict[str, set[str]]] = {}
"""By test, the alerts that its fault has to fire."""

pytestmark = pytest.mark.timeout(300)


Test = TypeVar("Test", bound=Callable[..., None])


def fires(*alerts: str) -> Callable[[Test], Test]:
    """What the fault of a test fires; the fixture `fired` sees to it that it did."""

    def note(test: Test) -> Test:
        BY_FAULT[test.__name__] = set(alerts)
        return test

    return note


Fired = Callable[[Watch], None]


@pytest.fixture
def fired(request: pytest.FixtureRequest, figure: Callable[[str], None]) -> Iterator[Fired]:
    """Waits, in a fault, until all of the test's alerts have fired."""
    alerts = BY_FAULT[request.node.name]
    seen: dict[str, float] = {}

    def all_fired(watch: Watch) -> bool:
        seen.update({name: max(found.values()) for name, found in watch.firing().items() if name in alerts})
        return set(seen) == alerts

    def wait(watch: Watch) -> None:
        eventually(lambda: all_fired(watch), f"all of {alerts} fire", pause_s=0.5)
        figure(", ".join(f"{alert} at {value:.3g}" for alert, value in sorted(seen.items())))

    yield wait
    assert set(seen) == alerts, "the test has not made its fault"


class Scene:
    """One worker of a stage that counts numbers, on one partition, and who watches it."""

    def __init__(self, cluster: Cluster, hangs: Path) -> None:
        self.cluster = cluster
        self.hangs = hangs
        self.watch = Watch()

    def start(self) -> WorkerProcess:
        worker = self.cluster.start("count", "c0")
        eventually(lambda: "c0" in self.cluster.addresses("count"), "it is a member")
        self.watch.add(self.address)
        return worker

    @property
    def address(self) -> str:
        return self.cluster.addresses("count")["c0"]

    def send(self, count: int = 50) -> None:
        self.cluster.send("numbers", [(b"key-%d" % (each % 10), b"%d" % each) for each in range(count)])

    def settle(self) -> None:
        """All is folded, and nothing fires."""
        self.send()
        self.cluster.drain()
        self.quiet()

    def quiet(self) -> None:
        eventually(lambda: not self.watch.firing(), "nothing fires", pause_s=0.5)


@pytest.fixture
def scene(kafka: Kafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    hangs = tmp_path / "hangs"
    monkeypatch.setenv(HANGS_WHILE, str(hangs))
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "workers", topology=TOPOLOGY, partitions=1,
                 stuck_after_ms=2_000, transaction_timeout_ms=5_000) as cluster:  # fmt: skip
        yield Scene(cluster, hangs)


@fires("StatelogPartitionStuck", "StatelogLoopStands", "StatelogBehind", "StatelogStale")
def test_an_operator_that_hangs(scene: Scene, fired: Fired) -> None:
    scene.start()
    scene.settle()
    scene.hangs.touch()
    scene.send()
    fired(scene.watch)
    scene.hangs.unlink()
    scene.settle()


@fires("StatelogRestoreLong", "StatelogPartitionsUnserved")
def test_a_restore_that_waits_for_somebody(scene: Scene, fired: Fired) -> None:
    worker = scene.start()
    scene.settle()
    worker.stop()
    foreign = Producer({"bootstrap.servers": scene.cluster.settings.bootstrap_servers,
                        "transactional.id": scene.cluster.full("somebody"),
                        "transaction.timeout.ms": FOREVER_MS})  # fmt: skip
    foreign.init_transactions(30)
    foreign.begin_transaction()
    foreign.produce(scene.cluster.full("counts-changelog"), b"not yours", b"key-0", 0)
    foreign.flush(30)
    scene.start()
    fired(scene.watch)
    ready = http.get(f"http://{scene.address}/readyz")
    assert (ready.status_code, http.get(f"http://{scene.address}/healthz").status_code) == (503, 200)
    assert ready.json()["detail"].startswith(("restoring partitions 0", "the restore of partition 0"))
    foreign.abort_transaction(30)
    scene.settle()


@fires("StatelogStandbyBehind")
def test_a_standby_that_stands_still(kafka: Kafka, prefix: str, tmp_path: Path, fired: Fired) -> None:
    """Somebody's open transaction holds up who reads the changelog. Its owner, who only writes to it, goes on."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "workers", topology=COUNTING, partitions=1,
                 standby_replicas=1) as cluster:  # fmt: skip
        for worker_id in ("c0", "c1"):
            cluster.start("count", worker_id)
        cluster.send("numbers", [(b"key", b"1")])
        cluster.drain()
        wait_until_caught_up(cluster, stage="count")
        watch = Watch(*cluster.addresses("count").values())
        eventually(lambda: not watch.firing(), "nothing fires", pause_s=0.5)
        foreign = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": cluster.full("somebody"),
                            "transaction.timeout.ms": FOREVER_MS})  # fmt: skip
        foreign.init_transactions(30)
        foreign.begin_transaction()
        foreign.produce(cluster.full("counts-changelog"), b"not yours", b"nobody", 0)
        foreign.flush(30)
        before = cluster.committed("count")[0]
        cluster.send("numbers", [(b"key-%d" % each, b"1") for each in range(BEHIND)])
        cluster.drain()
        assert cluster.committed("count")[0] > before, "the owner goes on"
        fired(watch)
        with cluster.client() as client:
            ((standby,),) = [row.standbys for row in client.status("count")]
        shown = http.get(f"http://{cluster.addresses('count')[standby.worker]}/metrics").text
        (lag,) = re.findall(r'^statelog_standby_lag_records{partition="0",stage="count"} (\S+)$', shown, re.MULTILINE)
        assert float(lag) >= BEHIND, "a row of each key"
        assert standby.position == before
        foreign.abort_transaction(30)
        eventually(lambda: not watch.firing(), "nothing fires", pause_s=0.5)
        wait_until_caught_up(cluster, stage="count")


@fires("StatelogTransactionsLost")
def test_a_transactional_id_that_is_stolen_again_and_again(scene: Scene, fired: Fired) -> None:
    worker = scene.start()
    scene.settle()
    for thefts in range(1, THEFTS + 1):
        steal(scene.cluster, scene.cluster.full("count-c0"))
        scene.send()
        eventually(lambda thefts=thefts: len(worker.events("producer lost")) >= thefts, "it notices")  # type: ignore[misc]
        scene.cluster.drain()
    fired(scene.watch)


@fires("StatelogWorkerDown")
def test_a_worker_that_is_killed(scene: Scene, fired: Fired) -> None:
    worker = scene.start()
    scene.settle()
    worker.kill()
    fired(scene.watch)
    scene.start()
    scene.settle()


@fires("StatelogStoreQuarantined")
def test_a_store_that_is_damaged(scene: Scene, fired: Fired) -> None:
    worker = scene.start()
    scene.settle()
    worker.stop()
    (scene.cluster.disk("count", "c0") / "0/rocksdb/CURRENT").write_bytes(b"MANIFEST-999999\n")
    scene.start()
    fired(scene.watch)
    scene.cluster.drain()
    shutil.rmtree(scene.cluster.disk("count", "c0") / "quarantine")
    scene.quiet()


@fires("StatelogStoreDiffers")
def test_a_changelog_that_somebody_wrote_to(scene: Scene, fired: Fired) -> None:
    scene.start()
    scene.settle()
    assert scene.cluster.command("verify").returncode == ExitCode.OK
    scene.quiet()
    foreign = Producer({"bootstrap.servers": scene.cluster.settings.bootstrap_servers})
    foreign.produce(scene.cluster.full("counts-changelog"), seal(b"1"), b"never-counted", 0)
    assert foreign.flush(30) == 0
    scene.settle()  # a commit after it, so that it lies within what the store should hold
    assert scene.cluster.command("verify").returncode == ExitCode.STATES_DIFFER
    fired(scene.watch)


@fires("StatelogDeadLetters")
def test_a_sender_gone_bad(kafka: Kafka, prefix: str, tmp_path: Path, fired: Fired) -> None:
    """Told by a transform worker, which shows its health and its numbers as well."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "workers", partitions=1) as cluster:
        cluster.start("transform", "t0")
        eventually(lambda: "t0" in cluster.addresses("transform"), "it is a member")
        address = cluster.addresses("transform")["t0"]
        eventually(lambda: http.get(f"http://{address}/readyz").status_code == 200, "it is ready")
        assert http.get(f"http://{address}/healthz").status_code == 200
        assert http.get(f"http://{address}/v1/status").json()["hint"] == "try /healthz, /readyz, /metrics"
        watch = Watch(address)
        eventually(lambda: not watch.firing(), "nothing fires", pause_s=0.5)
        cluster.send("telemetry", [(b"press-07", b"no json")] * POISON)
        fired(watch)
        assert len(cluster.records("dead-letters")) == POISON
        counted = f'statelog_dead_letters_total{{reason="not-json",stage="transform"}} {POISON:.1f}'
        assert counted in http.get(f"http://{address}/metrics").text.splitlines()


def test_every_alert_has_a_fault_that_fires_it() -> None:
    assert set().union(*BY_FAULT.values()) == set(rules())
