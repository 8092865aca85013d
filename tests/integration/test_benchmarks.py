"""The suite itself, on a real Kafka, small: statelog's result is checked at each work, and a wrong one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks import latency
from benchmarks.dataset import Dataset
from benchmarks.measure import Ground, WrongResult, run
from benchmarks.peers.api import Job
from benchmarks.peers.ceiling import Ceiling
from benchmarks.peers.statelog import Statelog
from benchmarks.streams import Stream
from benchmarks.workloads import NORMALISE, STATISTICS, WORKLOADS, Checker, Found, Workload
from tests.support.brokers import Kafka

RECORDS = 5_000


@pytest.fixture(scope="module")
def dataset(kafka: Kafka) -> Iterator[Dataset]:
    made = Dataset(kafka.bootstrap_servers, Stream(150, "uniform", RECORDS))
    yield made
    made.remove()


@pytest.fixture(scope="module")
def checker(dataset: Dataset) -> Checker:
    return Checker(dataset)


@pytest.fixture
def ground(kafka: Kafka) -> Ground:
    return Ground(kafka.bootstrap_servers, None)


@pytest.mark.parametrize("peer", [Statelog(), Statelog("statelog-2", workers=2)], ids=["one worker", "two workers"])
@pytest.mark.parametrize("work", WORKLOADS.values(), ids=lambda work: work.letter)
def test_statelogs_result_equals_the_oracles(
    peer: Statelog, work: Workload, dataset: Dataset, checker: Checker, ground: Ground, figure: Callable[[str], None]
) -> None:
    (figures,) = run(peer, work, dataset.source(work.source), checker, ground)
    assert figures.records == RECORDS
    assert figures.seconds > 0
    assert figures.peak_rss_mb > 10
    figure(f"({work.letter}) {peer.name}: {RECORDS} records checked, {figures.records / figures.seconds:,.0f} events/s")


class Guessing(Ceiling):
    """Counts the records, and says that there was one device, named after the job."""

    def found(self, job: Job) -> Found | None:
        return {"devices": {job.name: {"readings": RECORDS}}}


def test_a_peer_with_a_wrong_result_has_no_figures(dataset: Dataset, checker: Checker, ground: Ground) -> None:
    (figures,) = run(Ceiling(), STATISTICS, dataset.readings, checker, ground)
    assert figures.records == RECORDS
    with pytest.raises(WrongResult, match=r"ceiling, workload b:\ndevices: .*missing"):
        run(Guessing(), STATISTICS, dataset.readings, checker, ground)


def test_latency_is_measured_under_a_steady_load(ground: Ground) -> None:
    found = latency.measure(Statelog(), NORMALISE, 50, rate=500, seconds=2, ground=ground)
    assert found["events"] == 700, "all but the first three tenths"
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
