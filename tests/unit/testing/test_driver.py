"""The driver, over the topology that ships and over one that does not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from operators.api import Output, Record, Table, TaskContext
from operators.iot import topology as iot
from operators.topology import AggregateStage, TableSpec, Topology
from pipeline.errors import RefusalLimit
from pipeline.pytest_plugin import MakeDriver
from pipeline.testing import CrashPoint, DriverError, TopologyDriver
from tests.support.orders import CustomerKey, Number
from tests.support.orders import topology as orders

START_MS = 1_735_689_600_000
NOWHERE = {
    CrashPoint.IDLE,
    CrashPoint.INGESTED,
    CrashPoint.LOST,
    CrashPoint.TAILED,
    CrashPoint.TAKEN_OVER,
    CrashPoint.RECEIVED,
}
EVERYWHERE = [point for point in CrashPoint if point not in NOWHERE]
RESTORE = {CrashPoint.RESTORE_MARKED, CrashPoint.RESTORE_CHUNK}
HANDED_OVER = {CrashPoint.REVOKED, CrashPoint.RELEASED}


def telemetry(device: str, number: int, value: float) -> dict[str, Any]:
    return {"device_id": device, "metric": "temperature", "value": value, "unit": "degC",
            "event_time": START_MS + number * 20_000, "seq": number}  # fmt: skip


@pytest.fixture
def shop(topology_driver: MakeDriver) -> TopologyDriver:
    return topology_driver(orders)


def customer(number: int) -> bytes:
    return number.to_bytes(8, "big")


def order(shop: TopologyDriver, number: int, order: int, cents: int, kind: str = "order") -> None:
    shop.pipe("lines", customer(number), f"{kind} {number} {order} {cents}")


def test_readings_become_states_and_windows(topology_driver: MakeDriver) -> None:
    driver = topology_driver(iot())
    for number in range(8):
        driver.pipe("telemetry", "press-07", telemetry("press-07", number, 20.0 + number))
    state = driver.table("device-state")["press-07"]
    assert state["readings"] == 8
    assert state["metrics"]["temperature"]["max"] == 27.0
    assert [window.json["window_start"] for window in driver.read("windows")] == [START_MS]
    assert len(driver.table("device-windows")) == 1
    driver.assert_state_equals_replay()


def test_what_is_refused_is_in_the_dead_letters(topology_driver: MakeDriver) -> None:
    driver = topology_driver(iot())
    driver.pipe("telemetry", "press-07", "not JSON")
    assert [letter.reason for letter in driver.read("dead-letters")] == ["not-json"]
    assert driver.read("dead-letters") == [], "they were read"


def test_customers_order_and_pay(shop: TopologyDriver) -> None:
    order(shop, 7, 1, 250)
    order(shop, 7, 2, 100)
    assert shop.table("balances") == {"7": {"owed": 350, "paid": 0}}
    order(shop, 7, 1, 0, kind="pay")
    assert shop.table("balances") == {"7": {"owed": 100, "paid": 250}}
    assert shop.table("unpaid") == {"7/2": {"order": 2, "cents": 100}}
    assert [receipt.json for receipt in shop.read("receipts")] == [{"order": 1, "cents": 250}]
    shop.assert_state_equals_replay()


@pytest.mark.parametrize("stage", ["intake", "ledger"])
@pytest.mark.parametrize("point", EVERYWHERE, ids=lambda point: point.name)
def test_a_crash_anywhere_changes_nothing_that_comes_out(point: CrashPoint, stage: str) -> None:
    if stage == "intake" and point in {CrashPoint.RESTORE_PLANNED, CrashPoint.RESTORED, *RESTORE}:
        return  # it has nothing to restore
    with TopologyDriver(orders) as shop:
        for number in range(20):
            order(shop, number, 1, 10 + number)
        shop.crash(at=point, stage=stage)
        shop.pipe_all("lines", [(customer(each), f"pay {each} 1 0") for each in range(20)])
        shop.rebalance()
        order(shop, 99, 1, 1)
        assert len(shop.read("receipts")) == 20
        assert shop.table("balances")["19"] == {"owed": 0, "paid": 29}
        shop.assert_state_equals_replay()


def test_stores_may_be_on_disk_and_a_crash_may_come_between_an_ingest_and_its_position(
    topology_driver: MakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.state.rocks.INGEST_FROM_ROWS", 2)
    shop = topology_driver(orders, data_dir=tmp_path, restore_chunk_bytes=10_000)
    shop.pipe_all("lines", [(customer(each), f"order {each} 1 5") for each in range(20)])
    shop.crash(at=CrashPoint.INGESTED)
    shop.lose_disk()
    shop.crash()
    assert len(shop.table("unpaid")) == 20
    shop.assert_state_equals_replay()
    assert list(tmp_path.glob("*/orders-ledger/ledger-2/*/rocksdb"))


def test_a_lost_disk_comes_back_from_the_changelog(shop: TopologyDriver) -> None:
    order(shop, 7, 1, 250)
    shop.lose_disk()
    assert shop.table("balances") == {"7": {"owed": 250, "paid": 0}}


def test_a_long_night_after_which_deletions_are_no_longer_in_the_log(shop: TopologyDriver) -> None:
    order(shop, 7, 1, 250)
    order(shop, 7, 1, 0, kind="pay")
    shop.compact()
    shop.advance(days=8)
    shop.compact()
    shop.crash()
    assert shop.table("unpaid") == {}
    shop.assert_state_equals_replay()


def test_compaction_leaves_the_last_value_of_a_key(shop: TopologyDriver) -> None:
    for number in range(5):
        order(shop, 7, number, 1)
    shop.compact()
    assert len([row for row in shop.read("balances-changelog") if row.value is not None]) == 1
    shop.lose_disk()
    assert shop.table("balances") == {"7": {"owed": 5, "paid": 0}}


def test_partitions_move_to_another_worker(shop: TopologyDriver) -> None:
    order(shop, 7, 1, 250)
    shop.rebalance()
    order(shop, 7, 2, 50)
    assert shop.table("balances") == {"7": {"owed": 300, "paid": 0}}
    shop.assert_state_equals_replay()


def test_the_clock_stands_until_it_is_turned(shop: TopologyDriver) -> None:
    before = shop.now_ms
    order(shop, 7, 1, 250)
    order(shop, 7, 1, 0, kind="pay")
    shop.advance(hours=30)
    order(shop, 7, 2, 250)
    order(shop, 7, 2, 0, kind="pay")
    assert [receipt.timestamp_ms - before for receipt in shop.read("receipts")] == [0, 30 * 3_600_000]


def test_the_same_calls_write_the_same_bytes() -> None:
    def everything() -> Iterator[Any]:
        chance = random.Random(7)
        with TopologyDriver(orders) as shop:
            shop.crash(at=CrashPoint.COMMITTED, stage="ledger")
            for number in range(30):
                order(shop, chance.randrange(5), number, chance.randrange(100))
            shop.lose_disk()
            shop.pipe("lines", b"x", b"nonsense")
            for topic in orders.topics:
                yield shop.read(topic)

    assert list(everything()) == list(everything())


class Forgetful:
    """Keeps a count in itself, and not in its table."""

    def __init__(self, tables: Mapping[str, Table[Any]], _context: TaskContext) -> None:
        self._counts, self._table = 0, tables["counts"]

    def fold(self, record: Record) -> list[Output]:
        self._counts += 1
        self._table.put(record.key or b"", self._counts)
        return []


def test_an_operator_that_keeps_state_to_itself_is_found_out(topology_driver: MakeDriver) -> None:
    spec = TableSpec(name="counts", key=CustomerKey(), value=Number(), show=lambda _key, value: value)
    stage = AggregateStage(name="count", source="lines", outputs=(), tables=(spec,), operator=Forgetful)
    driver = topology_driver(Topology(name="forgetful", version="1", stages=(stage,)), partitions=1)
    driver.pipe("lines", customer(7), b"one")
    driver.crash()
    driver.pipe("lines", customer(7), b"two")
    with pytest.raises(DriverError, match=r"not what its source comes to: counts differs at 7 .*deterministic"):
        driver.assert_state_equals_replay()


def test_a_worker_that_ends_says_why(topology_driver: MakeDriver) -> None:
    driver = topology_driver(iot(), refusal_run=3)
    with pytest.raises(RefusalLimit) as caught:
        driver.pipe_all("telemetry", [("press-07", "broken")] * 3)
    assert "mend the sender" in caught.value.__notes__[0]


def test_mistakes_of_a_test_are_named_with_what_there_is(shop: TopologyDriver) -> None:
    with pytest.raises(DriverError, match=r"no stage reads 'orderz' \(the stages read lines, orders\)"):
        shop.pipe("orderz", "a", "b")
    with pytest.raises(DriverError, match=r"no table 'x' \(the topology has balances, unpaid\)"):
        shop.table("x")
    with pytest.raises(DriverError, match=r"no topic 'x' \(the topology has lines, orders"):
        shop.read("x")
    with pytest.raises(DriverError, match=r"no stage 'x' \(the topology has intake, ledger\)"):
        shop.crash(stage="x")
    with pytest.raises(DriverError, match="keeps no state"):
        shop.lose_disk(stage="intake")


def test_a_crash_that_never_happened_fails_the_test() -> None:
    shop = TopologyDriver(orders)
    shop.crash(at=CrashPoint.RESTORE_CHUNK)
    order(shop, 7, 1, 250)
    with pytest.raises(DriverError, match="no worker came to RESTORE_CHUNK"):
        shop.close()


def test_the_fixture_comes_with_the_package(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from tests.support.orders import topology

        def test_it(topology_driver):
            driver = topology_driver(topology)
            driver.pipe("lines", bytes(8), "order 0 1 100")
            assert driver.table("balances") == {"0": {"owed": 100, "paid": 0}}
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_json_goes_in_and_comes_out(topology_driver: MakeDriver) -> None:
    driver = topology_driver(iot())
    driver.pipe_all("telemetry", [("a", telemetry("a", 0, 1.0)), ("b", json.dumps(telemetry("b", 0, 1.0)))])
    assert {reading.json["device_id"] for reading in driver.read("readings")} == {"a", "b"}
