"""Topics that were cut, deleted or regrown, and offsets that were moved: the worker stops by name, and there is a way
back to the oracle's state.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.log.api import Committed, TopicPartition
from tests.oracle import Parameters, recount
from tests.support.administrator import Administrator
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_tables
from tests.support.load import TelemetryLoad
from tests.support.readings import for_the_oracle, readings
from tests.support.refusing import assert_state_lost, assert_stops
from tests.support.waiting import eventually

PARTITIONS = 2
CHANGELOG = "device-state-changelog"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def administrator(kafka: Kafka) -> Administrator:
    return Administrator(kafka.bootstrap_servers)


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    """A pipeline whose aggregate worker has folded its input and stopped; without an id it left its group."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        cluster.send("readings", readings(30, 10))
        run(cluster)
        yield cluster


def run(cluster: Cluster) -> None:
    """A worker folds what there is, is compared with the oracle, and stops."""
    cluster.start("aggregate", None)
    cluster.drain()
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    assert expected.devices
    assert_tables(cluster, expected)
    cluster.stop()


def rebuild(cluster: Cluster) -> None:
    """The named command, and the state that it brings back."""
    rebuilt = cluster.command("rebuild", "--from-source", "--yes")
    assert rebuilt.returncode == ExitCode.OK, rebuilt.stderr
    run(cluster)


def ends(cluster: Cluster, topic: str) -> dict[TopicPartition, int]:
    return cluster.admin.high_watermarks(cluster.each_partition(topic))


def cut(cluster: Cluster, administrator: Administrator, to: dict[TopicPartition, int]) -> None:
    """Delete the head of the changelog, as somebody does who takes its policy for a mistake."""
    changelog = cluster.full(CHANGELOG)
    before = len(cluster.records(CHANGELOG))
    administrator.alter_topic(changelog, cleanup_policy="compact,delete")
    administrator.delete_head(to)
    administrator.alter_topic(changelog, cleanup_policy="compact")
    assert len(cluster.records(CHANGELOG)) < before


def test_a_truncated_changelog_is_never_taken_for_an_empty_one(
    cluster: Cluster, administrator: Administrator, figure: Callable[[str], None]
) -> None:
    cut(cluster, administrator, {each: end - 5 for each, end in ends(cluster, CHANGELOG).items()})
    run(cluster)  # the disk holds all that was deleted
    warning = "the head of a changelog was deleted: this store cannot be restored once it is lost"
    assert len(cluster.workers[-1].events(warning)) == PARTITIONS
    cluster.lose_disk("aggregate", UNNAMED)
    assert "the head of a changelog was deleted" in assert_state_lost(cluster).text()
    cut(cluster, administrator, ends(cluster, CHANGELOG))
    assert "the head of a changelog was deleted" in assert_state_lost(cluster).text()
    rebuild(cluster)
    figure("with the disk no harm and a warning, without it state lost, rebuilt to the oracle's state")


def test_a_store_that_its_truncated_changelog_has_passed_is_not_gone_on_from(
    cluster: Cluster, administrator: Administrator, figure: Callable[[str], None]
) -> None:
    cluster.send("readings", readings(30, 5, first_round=10))
    behind = cluster.disk("aggregate", UNNAMED)
    shutil.copytree(behind, behind.with_name("behind"))
    run(cluster)
    shutil.rmtree(behind)
    behind.with_name("behind").rename(behind)
    cut(cluster, administrator, ends(cluster, CHANGELOG))
    worker = assert_state_lost(cluster)
    assert len(worker.events("store put in quarantine, rebuilding")) >= 1
    assert "no longer reaches back to the store" in worker.text()
    rebuild(cluster)
    figure("a store behind what was deleted: quarantine, state lost, rebuilt to the oracle's state")


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_a_deleted_changelog_is_missed_before_the_first_poll_and_made_anew_it_is_not_the_old_one(
    cluster: Cluster, disk: str, figure: Callable[[str], None]
) -> None:
    cluster.admin.delete_topics([cluster.full(CHANGELOG)])
    if disk == "lost":
        cluster.lose_disk("aggregate", UNNAMED)
    missing = assert_stops(cluster, ExitCode.MISCONFIGURED)
    assert f"topic {cluster.full(CHANGELOG)} is missing" in missing.text()
    # What its hint says to do does not make an empty start of it.
    assert cluster.command("topics", "create").returncode == ExitCode.OK
    assert "made anew" in assert_state_lost(cluster).text()
    rebuild(cluster)
    figure(f"disk {disk}: exit 2 while it was missing, state lost once it was there again, rebuilt to the oracle's")


def test_offsets_reset_to_the_latest_skip_nothing_in_silence(
    cluster: Cluster, administrator: Administrator, figure: Callable[[str], None]
) -> None:
    group, committed = cluster.group("aggregate"), offsets(cluster)
    cluster.send("readings", readings(30, 5, first_round=10))
    latest = ends(cluster, "readings")
    assert all(latest[each] > there.next_offset for each, there in committed.items())
    refused = 0
    aside = cluster.disk("aggregate", UNNAMED).with_name("aside")
    # By the command of Kafka, and by one that keeps what stood beside the offset. The other way, too: without a disk,
    # nothing but the offset says that the changelog holds more.
    copied = {each: Committed(latest[each], there.metadata) for each, there in committed.items()}
    earlier = {each: Committed(0, there.metadata) for each, there in committed.items()}
    for moved in ({each: Committed(end, "") for each, end in latest.items()}, copied, earlier):
        administrator.commit(group, moved)
        assert_state_lost(cluster)
        cluster.disk("aggregate", UNNAMED).rename(aside)
        assert_state_lost(cluster)
        shutil.rmtree(cluster.disk("aggregate", UNNAMED))
        aside.rename(cluster.disk("aggregate", UNNAMED))
        refused += 2
    administrator.commit(group, committed)
    run(cluster)
    figure(f"{refused} of {refused} starts refused; put back, the state was the oracle's")


def offsets(cluster: Cluster) -> dict[TopicPartition, Committed]:
    found = cluster.admin.group_offsets(cluster.group("aggregate"), cluster.each_partition("readings"))
    return {each: there for each, there in found.items() if there is not None}


def test_readings_deleted_before_they_were_folded_stop_the_worker(
    cluster: Cluster, administrator: Administrator, figure: Callable[[str], None]
) -> None:
    cluster.send("readings", readings(30, 5, first_round=10))
    committed = cluster.committed("aggregate")
    unread = sum(end - committed[each.partition] for each, end in ends(cluster, "readings").items())
    kept = {each: end - 10 for each, end in ends(cluster, "readings").items()}
    administrator.delete_head(kept)
    assert "out of the source's retention" in assert_state_lost(cluster).text()
    cluster.lose_disk("aggregate", UNNAMED)
    assert_state_lost(cluster)
    rebuild(cluster)  # the state of what is left, which the command asks about
    figure(f"{unread - 10 * PARTITIONS} readings deleted unread: state lost, with the disk and without")


def test_telemetry_deleted_before_it_was_read_stops_the_transform_worker(
    kafka: Kafka, prefix: str, tmp_path: Path, administrator: Administrator, figure: Callable[[str], None]
) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        worker = cluster.start("transform", None)
        for _ in range(2):
            with TelemetryLoad(cluster, rate=2_000, devices=20) as load:
                eventually(lambda load=load: len(load.sent) > 500, "there is telemetry")  # type: ignore[misc]
            if worker.alive:
                eventually(lambda: min(cluster.committed("transform").values()) > 0, "some of it is read")
                worker.stop()
        administrator.delete_head(ends(cluster, "telemetry"))
        worker = assert_state_lost(cluster, "transform")
        assert "out of the source's retention" in worker.text()
        figure("telemetry deleted unread: state lost")


def test_topics_that_cannot_work_together_end_a_worker_before_its_first_poll(
    cluster: Cluster, administrator: Administrator, figure: Callable[[str], None]
) -> None:
    changelog = cluster.full(CHANGELOG)
    administrator.alter_topic(changelog, cleanup_policy="delete")
    wrong_policy = assert_stops(cluster, ExitCode.MISCONFIGURED)
    assert f"topic {changelog} has cleanup.policy=delete instead of compact" in wrong_policy.text()
    administrator.alter_topic(changelog, cleanup_policy="compact")

    administrator.add_partitions(cluster.full("readings"), PARTITIONS + 1)
    differ = assert_stops(cluster, ExitCode.MISCONFIGURED)
    assert f"{cluster.full('readings')} has {PARTITIONS + 1}" in differ.text()

    # All of them alike: they agree with each other, and keys belong to other partitions than their state.
    for topic in cluster.topology.co_partitioned:
        if topic != "readings":
            administrator.add_partitions(cluster.full(topic), PARTITIONS + 1)
    for stage in ("aggregate", "transform"):
        grown = assert_stops(cluster, ExitCode.MISCONFIGURED, stage)
        assert f"was={PARTITIONS} found={PARTITIONS + 1}" in grown.text()
    cluster.lose_disk("aggregate", UNNAMED)
    assert_stops(cluster, ExitCode.MISCONFIGURED)
    figure("a policy, a count, and the counts of all topics together: 5 of 5 starts refused with the mismatch")
