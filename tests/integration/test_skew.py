"""A hot key among the devices of a real pipeline: `statelog status --skew` finds it, and says how hot it is."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.streams import Stream
from pipeline.log.feed import Feed
from pipeline.partitioning import partition_of
from tests.integration.test_queries import PARTITIONS, Pipeline
from tests.support.brokers import Kafka
from tests.support.waiting import eventually

SENT = Stream(300, "zipf", 40_000)
BESIDE = 0.05
"""How far beside its range a share may be: once in 20 it is, by more than five standard errors never."""


@pytest.fixture(scope="module")
def pipeline(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    directory: Path = tmp_path_factory.mktemp("skew")
    one = Pipeline(kafka, f"skew-{uuid.uuid4().hex[:8]}-", directory)
    try:
        one.run("topics", "create", "--partitions", str(PARTITIONS))
        one.worker("transform", "t0")
        one.worker("aggregate", "a0")
        one.worker("aggregate", "a1")
        eventually(
            lambda: {(row["owner"], row["state"]) for row in one.status()} == {("a0", "active"), ("a1", "active")},
            "both own partitions",
        )
        yield one
    finally:
        one.close()


def test_the_hottest_key_of_a_skewed_load_is_found(pipeline: Pipeline, figure: Callable[[str], None]) -> None:
    counts: Counter[str] = Counter()
    feed = Feed(pipeline.settings, f"{pipeline.settings.prefix}telemetry")
    for batch in SENT.messages():
        counts.update(key.decode() for key, _ in batch if key is not None)
        feed.send(batch)
    feed.flush()
    of_partition: Counter[int] = Counter()
    for key, count in counts.items():
        of_partition[partition_of(key.encode(), PARTITIONS)] += count
    eventually(
        lambda: sum(line["records"] or 0 for line in pipeline.lines("status", "--skew")) == SENT.records,
        "all is folded, and told",
    )
    lines = pipeline.lines("status", "--skew", "--keys", "5")
    assert {line["partition"]: line["records"] for line in lines} == dict(of_partition)
    for line in lines:
        assert line["share"] == pytest.approx(of_partition[line["partition"]] / SENT.records, abs=0.2), "by its rate"
        assert len(line["keys"]) == 5
        for key in line["keys"]:
            share = counts[key["key"]] / of_partition[line["partition"]]
            assert key["of_partition_least"] - BESIDE <= share <= key["of_partition_most"] + BESIDE
            assert key["of_partition_most"] - key["of_partition_least"] < 0.1
    hottest, times = counts.most_common(1)[0]
    keys = {key["key"]: key for line in lines for key in line["keys"]}
    assert max(keys.values(), key=lambda key: key["count"])["key"] == hottest

    shown = pipeline.run("status", "--skew").stdout
    assert hottest in shown
    assert f"of {SENT.records:,} records were looked at" in shown
    prefix = hottest.split("-")[0] + "-"
    listed = pipeline.lines("status", "--skew", "--prefix", prefix)
    named = [key["key"] for line in listed for key in line["keys"]]
    assert named
    assert all(key.startswith(prefix) for key in named)
    where = keys[hottest]
    figure(
        f"the hottest of 300 keys had {times / of_partition[partition_of(hottest.encode(), PARTITIONS)]:.1%} of its "
        f"partition; told were "
        f"{where['of_partition_least']:.1%} to {where['of_partition_most']:.1%}"
    )


def test_a_worker_that_does_not_answer_is_named_and_the_others_are_told_of(pipeline: Pipeline) -> None:
    """It was killed, and the group has not noticed: its session has not ended."""
    pipeline.kill("a1")
    lines = pipeline.lines("status", "--skew")
    silent = [line for line in lines if line["keys"] is None]
    told = [line for line in lines if line["keys"] is not None]
    assert {line["owner"] for line in told} == {"a0"}
    assert {line["owner"] for line in silent} == {"a1"}
    assert all("does not answer" in line["reason"] for line in silent)
