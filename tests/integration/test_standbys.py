"""Warm standbys: a partition goes on where its standby is, and a standby answers meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipeline.client import Client, Unavailable
from tests.oracle import Parameters, recount
from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_tables
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.readings import for_the_oracle, readings
from tests.support.standbys import wait_until_caught_up
from tests.support.waiting import PATIENCE_S, eventually

PARTITIONS = 2
DEVICES = 1_000
ROUNDS = 5
TAIL_DEVICES = 10
FOREVER_MS = 900_000
"""Of a transaction that the test ends itself, and of a session that must not end before the test does."""
ROUNDS_UNTIL_A_WINDOW_CLOSES = 6
TAKEN_OVER = "standby taken over"
TABLES = ("device-state", "device-windows", "origins")

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_partition_whose_standby_is_here_restores_only_the_tail(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str], None], protocol: str
) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS, standby_replicas=1,
                 group_protocol=protocol, session_timeout_ms=3_000,
                 transaction_timeout_ms=2_500) as cluster:  # fmt: skip
        workers = {worker: cluster.start("aggregate", worker) for worker in ("a0", "a1")}
        cluster.wait_until_shared("aggregate", *workers)
        cluster.send("readings", readings(DEVICES, ROUNDS))
        cluster.drain()
        wait_until_caught_up(cluster)
        with cluster.client() as client:
            owner = next(row.owner for row in client.status("aggregate") if row.partition == 0)
        assert owner is not None
        (heir,) = (worker for name, worker in workers.items() if name != owner)
        # Its own share it may have taken over from a standby as well, where the first one was slow to give it.
        restored_before, taken_before = len(heir.events("restored")), len(heir.events(TAKEN_OVER))
        # What comes between the last look of the standby and the kill is the tail.
        cluster.send("readings", readings(TAIL_DEVICES, 1, first_round=ROUNDS))
        workers[owner].kill()
        eventually(lambda: len(heir.events(TAKEN_OVER)) > taken_before, "the partition has moved")
        cluster.drain()
        taken = heir.events(TAKEN_OVER)[taken_before:]
        assert [line["partition"] for line in taken] == [0]
        restored = next(line for line in heir.events("restored")[restored_before:] if line["partition"] == 0)
        changelogs = [f"{table.name}-changelog" for table in cluster.topology.aggregates[0].tables]
        whole = sum(record.partition == 0 for topic in changelogs for record in cluster.records(topic))
        figure(f"{protocol}: a standby's partition restored {restored['records']} of {whole} changelog records")
        # A device makes a row in two tables, and three at most as a window closes.
        assert restored["records"] <= 3 * TAIL_DEVICES < whole / 10
        expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
        assert_tables(cluster, expected)
        cluster.stop()
        # Both stores of the heir, and those that the dead one left: its own, and its standby of the heir's.
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == 2 * PARTITIONS


def test_a_standby_answers_where_the_question_allows_it_and_says_so(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS, standby_replicas=1,
                 session_timeout_ms=FOREVER_MS, transaction_timeout_ms=9_000) as cluster:  # fmt: skip
        workers = {worker: cluster.start("aggregate", worker) for worker in ("a0", "a1")}
        cluster.wait_until_shared("aggregate", *workers)
        cluster.send("readings", readings(DEVICES, ROUNDS))
        cluster.drain()
        wait_until_caught_up(cluster)
        device = next(name for name in (f"device-{n:06d}" for n in range(DEVICES)) if _partition(name) == 0)
        with Client.connect(cluster.settings, cluster.topology, patience_s=PATIENCE_S) as client:
            before = client.get("device-state", device, standby_ok=True)
            assert before is not None
            assert (before.meta.served_by, before.meta.worker) == ("active", None)
            owner = before.meta.owner
            assert owner is not None
            workers.pop(owner).kill()
            # Its session lasts on, so the group still names it, and nobody else may speak for its partition.
            row = client.get("device-state", device, standby_ok=True)
            assert row is not None
            assert row.value == before.value
            (survivor,) = workers
            assert (row.meta.served_by, row.meta.owner, row.meta.worker) == ("standby", owner, survivor)
            assert row.meta.position == before.meta.position
            assert row.meta.lag is not None
            absent = client.get("device-state", _stranger(), standby_ok=True)
            assert absent is not None
            assert (absent.absent, absent.meta.served_by) == (True, "standby")
            problem = cluster.command("get", device, "--wait", "1")
            assert problem.returncode == 1, problem.stdout
            shown = cluster.command("get", device, "--standby")
            assert f"standby on {survivor}, partition 0" in shown.stdout, shown.stdout + shown.stderr


def test_lists_and_windows_come_from_standbys_too_and_say_so_of_each_partition(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS, standby_replicas=1,
                 session_timeout_ms=FOREVER_MS, transaction_timeout_ms=9_000) as cluster:  # fmt: skip
        workers = {worker: cluster.start("aggregate", worker) for worker in ("a0", "a1")}
        cluster.wait_until_shared("aggregate", *workers)
        cluster.send("readings", readings(DEVICES, ROUNDS_UNTIL_A_WINDOW_CLOSES))
        cluster.drain()
        wait_until_caught_up(cluster)
        before = {table: cluster.rows(table) for table in TABLES}
        assert len(before["device-state"]) == len(before["device-windows"]) == DEVICES
        owners = _owners(cluster)
        device = next(name for name in (f"device-{n:06d}" for n in range(DEVICES)) if _partition(name) == 0)

        # The owner is killed. Its session lasts on, so nobody else may speak for its partitions as their owner.
        killed = owners[0]
        assert killed is not None
        (survivor,) = set(workers) - {killed}
        workers[killed].kill()
        _assert_standbys_give_all(cluster, before, owners, killed, survivor)
        _assert_commands_tell(cluster, device, survivor)

        # It is back without its disk, and its restore waits for somebody's open transaction.
        cluster.lose_disk("aggregate", killed)
        foreign = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": cluster.full("somebody"),
                            "transaction.timeout.ms": FOREVER_MS})  # fmt: skip
        foreign.init_transactions(30)
        foreign.begin_transaction()
        foreign.produce(cluster.full("device-state-changelog"), b"not yours", b"nobody", 0)
        foreign.flush(30)
        cluster.start("aggregate", killed)
        eventually(lambda: _state_of_0(cluster) == "restoring", "the owner restores")
        _assert_standbys_give_all(cluster, before, owners, killed, survivor)
        foreign.abort_transaction(30)

        cluster.wait_until_active("aggregate")
        with cluster.client() as client:
            pages = list(client.pages("device-state", standby_ok=True))
        assert {meta.served_by for page in pages for meta in page.meta} == {"active"}
        assert [(item.key, item.value) for page in pages for item in page.items] == before["device-state"]
        count = sum(map(len, before.values()))
        figure(
            f"{count:,} rows of {len(TABLES)} tables the same from owners and standbys, an owner killed, then restoring"
        )


def _assert_standbys_give_all(
    cluster: Cluster, before: dict[str, list[tuple[str, Any]]], owners: dict[int, str | None], gone: str, stands_in: str
) -> None:
    """Every row of every table, page by page, with who served each partition; and nothing for who has not asked."""
    committed = cluster.committed("aggregate")
    with Client.connect(cluster.settings, cluster.topology, patience_s=0) as client:
        for table, rows in before.items():
            pages = list(client.pages(table, page_rows=300, standby_ok=True))
            assert [(item.key, item.value) for page in pages for item in page.items] == rows
            for page in pages:
                assert [meta.partition for meta in page.meta] == list(range(PARTITIONS))
                for meta in page.meta:
                    by = ("standby", stands_in) if owners[meta.partition] == gone else ("active", None)
                    assert (meta.served_by, meta.worker) == by
                    assert (meta.owner, meta.position) == (owners[meta.partition], committed[meta.partition])
                    assert meta.complete
                    assert meta.lag is not None
            with pytest.raises(Unavailable):
                list(client.scan(table))


def _assert_commands_tell(cluster: Cluster, device: str, stands_in: str) -> None:
    assert cluster.command("scan", "--wait", "1").returncode == 1
    told = f"standby on {stands_in}, partition 0"
    for command in (["scan", "--limit", "5"], ["windows", device], ["windows", device, "--open"]):
        shown = cluster.command(*command, "--standby")
        assert told in shown.stdout, shown.stdout + shown.stderr
        (page,) = map(json.loads, cluster.command(*command, "--standby", "--json").stdout.splitlines())
        assert page["items"]
        assert ("standby", stands_in) in {(meta["served_by"], meta.get("worker")) for meta in page["meta"]}
    absent = cluster.command("get", _stranger(), "--standby")
    assert absent.returncode == 1
    assert told in absent.stderr


def _owners(cluster: Cluster) -> dict[int, str | None]:
    with cluster.client() as client:
        return {row.partition: row.owner for row in client.status("aggregate")}


def _state_of_0(cluster: Cluster) -> str:
    with cluster.client() as client:
        return next(row.state for row in client.status("aggregate") if row.partition == 0)


def _partition(device: str) -> int:
    return partition_for(device.encode(), PARTITIONS)


def _stranger() -> str:
    return next(name for name in (f"stranger-{n}" for n in range(100)) if _partition(name) == 0)
