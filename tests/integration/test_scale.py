"""The scale benchmark on a real Kafka, small: each result is checked, and a wrong one has no figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.consumers import ceiling
from benchmarks.dataset import Source
from benchmarks.latency import messages_for
from benchmarks.measure import Ground, WrongResult
from benchmarks.scale import Cell, Scale
from benchmarks.streams import Stream
from benchmarks.workloads import DEVICES
from operators.normalise import READINGS
from tests.support.brokers import Kafka

RECORDS = 6_000


@pytest.fixture(scope="module")
def ground(kafka: Kafka) -> Ground:
    return Ground(kafka.bootstrap_servers, None)


@pytest.fixture(scope="module")
def scale(ground: Ground) -> Scale:
    return Scale(ground, messages_for(READINGS, Stream(150, "uniform", RECORDS)))


@pytest.mark.parametrize("cell", [Cell(2, 1), Cell(2, 8)], ids=str)
def test_several_workers_have_the_oracles_result(cell: Cell, scale: Scale, figure: Callable[[str], None]) -> None:
    found = scale.run(cell)
    assert 0 < found.records < RECORDS, "without those that came before the time began"
    assert found.seconds > 0
    assert found.cpu_s > 0
    figure(f"{cell}: {found.records} records checked, {found.records / found.seconds:,.0f} events/s")


def test_a_wrong_result_has_no_figures(scale: Scale) -> None:
    devices = scale.checkers[8].expected(DEVICES)["devices"]
    name = next(iter(devices))
    devices[name]["readings"] += 1
    try:
        with pytest.raises(WrongResult, match=f"{name}.readings: expected"):
            scale.run(Cell(1, 8))
    finally:
        devices[name]["readings"] -= 1


@pytest.fixture
def filled(ground: Ground) -> Iterator[Source]:
    source = Source(ground.servers, READINGS, 8)
    source.fill([messages_for(READINGS, Stream(150, "uniform", RECORDS))])
    yield source
    source.remove()


@pytest.mark.parametrize("consumers", [1, 3])
def test_consumers_that_only_count_read_everything(consumers: int, filled: Source, ground: Ground) -> None:
    found = ceiling(filled, consumers, ground)
    assert found.records == RECORDS
    assert found.seconds > 0
