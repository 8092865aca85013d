"""The numbers of a worker: the catalogue, and what a scrape shows of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.runtime.catalogue import Metric
from pipeline.runtime.gauges import WorkerGauges
from pipeline.runtime.metrics import MOST_REASONS, OTHER_REASONS, TIMED_ONE_OF, WorkerMetrics
from pipeline.runtime.tables import TaskTable
from pipeline.runtime.view import PartitionState, PartitionStatus, Pulse, StandbyLag
from pipeline.state.api import Position, StoreSize, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore
from tests.unit.query.world import STAGE, Plain, identity

STEPS = ("", "_total", "_bucket", "_count", "_sum")


@dataclass
class View:
    """A worker as it is measured."""

    worker_id: str = "a0"
    group: str = "plant-aggregate"
    quarantined: int = 2
    statuses: list[PartitionStatus] = field(default_factory=list)

    def healthy(self) -> tuple[bool, str]:
        return True, ""

    def ready(self) -> tuple[bool, str]:
        return False, "restoring partitions 2"

    def pulse(self) -> Pulse:
        return Pulse(loop_age_s=0.25, confirmed_age_s=1.5, stuck=1)

    def partitions(self) -> list[PartitionStatus]:
        return self.statuses

    def store_sizes(self) -> Mapping[int, StoreSize]:
        return {0: StoreSize(4_096, {"words": 3})}

    def standby_lags(self) -> Mapping[int, StandbyLag]:
        return {5: StandbyLag(17, 1.25), 6: StandbyLag(None, 40.0)}


FED = PartitionStatus(0, PartitionState.ACTIVE, 100, 160, 0.5, 30.0, 2.0)
STANDING = PartitionStatus(1, PartitionState.STALE, 100, 160, 0.5, 0.0, None)
RESTORING = PartitionStatus(2, PartitionState.RESTORING, 40, 100, 0.0, 15.0, 4.0)
PLANNING = PartitionStatus(3, PartitionState.RESTORING, 0, -1, 0.0, 0.0, None)


def scraped(metrics: WorkerMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """By name and labels but `stage`, as Prometheus would take it from the text."""
    return {
        (sample.name, tuple(sorted((k, v) for k, v in sample.labels.items() if k != "stage"))): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics("count")


def names() -> Iterator[str]:
    return (metric.value.name for metric in Metric)


def test_names_say_their_unit_and_meanings_are_one_line() -> None:
    for name, kind, meaning, labels, buckets in (metric.value for metric in Metric):
        assert re.fullmatch(r"statelog_[a-z_]+", name)
        assert name.endswith("_total") is (kind == "counter"), name
        assert meaning.isprintable()
        assert meaning
        assert bool(buckets) is (kind == "histogram"), name
        assert list(buckets) == sorted(buckets)
        assert "stage" not in labels, "that one all have"
    assert len(set(names())) == len(Metric)


def test_a_scrape_shows_the_whole_catalogue_and_nothing_else(metrics: WorkerMetrics) -> None:
    metrics.committed(10, 0.02, {"not-json": 1})
    metrics.reads("words")
    metrics.verified(0, differs=False)
    metrics.told(401, "unauthenticated")
    view = View(statuses=[FED, RESTORING])
    metrics.registry.register(WorkerGauges("count", view, 4, "1.0"))
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    ours = {each.name: each for each in families if not each.name.startswith("process_")}
    assert sorted(ours) == sorted(name.removesuffix("_total") for name in names())
    for name, kind, meaning, labels, _ in (metric.value for metric in Metric):
        family = ours[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (kind, meaning)
        assert {frozenset(sample.labels) - {"le"} for sample in family.samples} == {frozenset({"stage", *labels})}


def test_lag_is_of_fed_partitions_and_debt_of_those_that_restore(metrics: WorkerMetrics) -> None:
    metrics.registry.register(WorkerGauges("count", View(statuses=[FED, STANDING, RESTORING, PLANNING]), 4, "1.0"))
    found = scraped(metrics)

    def by_partition(name: str) -> dict[int, float]:
        return {int(labels[0][1]): value for (each, labels), value in found.items() if each == name}

    assert by_partition("statelog_lag_records") == {0: 60, 1: 60}
    assert by_partition("statelog_lag_seconds") == {0: 2, 1: math.inf}
    assert by_partition("statelog_restore_debt_seconds") == {0: 0, 1: 0, 2: 4, 3: math.inf}
    assert by_partition("statelog_restore_left_records") == {2: 60}
    assert by_partition("statelog_standby_lag_records") == {5: 17}
    assert by_partition("statelog_standby_lag_seconds") == {5: 1.25, 6: 40}
    states = {dict(labels)["state"]: value for (each, labels), value in found.items() if each == "statelog_partitions"}
    assert states == {"active": 1, "restoring": 2, "stale": 1}
    assert found["statelog_ready", ()] == 0
    assert found["statelog_quarantined_stores", ()] == 2


def test_counters_begin_at_zero_so_that_the_first_event_is_an_increase(metrics: WorkerMetrics) -> None:
    found = scraped(metrics)
    for cause in ("aborted", "fenced", "unknown-outcome"):
        assert found["statelog_aborts_total", (("cause", cause),)] == 0
    assert found["statelog_refusals_total", ()] == 0


def test_reasons_are_bounded_and_cannot_break_the_text(metrics: WorkerMetrics) -> None:
    hostile = 'x"} 1\nstatelog_ready{stage="count'
    metrics.committed(1, 0.01, {hostile: 1})
    for number in range(2 * MOST_REASONS):
        metrics.committed(1, 0.01, {f"reason-{number}": 1})
    metrics.committed(1, 0.01, {"reason-0": 1})
    found = {dict(labels)["reason"]: value for (each, labels), value in scraped(metrics).items()
             if each == "statelog_dead_letters_total"}  # fmt: skip
    assert found[hostile] == 1
    assert found["reason-0"] == 2
    assert found[OTHER_REASONS] == MOST_REASONS + 1
    assert len(found) == MOST_REASONS + 1
    assert scraped(metrics)["statelog_refusals_total", ()] == 2 * MOST_REASONS + 2


def test_reads_are_counted_by_where_the_row_was_and_some_are_timed(metrics: WorkerMetrics) -> None:
    store = MemoryStore(identity(0), [table.name for table in STAGE.tables])
    keys = [b"key-%d" % number for number in range(TIMED_ONE_OF)]
    store.apply(WriteSet({"words": {key: seal(Plain().encode(1)) for key in keys}}), Position(1))
    table = TaskTable(STAGE.tables[0], store, metrics.reads("words"))
    table.limit_cache(1_000)
    for key in keys:
        table.put(key, (table.get(key) or 0) + 1)
        table.get(key)  # pending by now: no look-up worth a number
    table.settle()
    for key in keys[:10]:
        table.get(key)
    found = scraped(metrics)
    assert found["statelog_row_reads_total", (("found_in", "store"), ("table", "words"))] == TIMED_ONE_OF
    assert found["statelog_row_reads_total", (("found_in", "cache"), ("table", "words"))] == 10
    assert found["statelog_store_get_seconds_count", ()] == 1
