"""The typed client against real servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.client import Client, NoWorkers, Refused, Unavailable
from pipeline.errors import PipelineError
from pipeline.query.discovery import KnownWorkers
from pipeline.runtime.view import PartitionState
from tests.unit.query.world import World, world


@pytest.fixture
def two() -> Iterator[World]:
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        one.put_words({f"word-{number:02}": number for number in range(20)})
        yield one


def client(one: World, *workers: str, patience_s: float = 0.0) -> Client:
    return Client.at(*(one.servers[worker].address for worker in workers), patience_s=patience_s)


def test_get_gives_a_row_or_none(two: World) -> None:
    with client(two, "a") as asking:
        row = asking.get("words", "word-07")
        assert row is not None
        assert row.value == {"is": 7}
        assert row.meta.complete
        assert asking.get("words", "word-07", view="bare") is not None
        assert asking.get("words", "never") is None


def test_scan_goes_through_all_pages_and_stops_at_the_limit(two: World) -> None:
    with client(two, "b") as asking:
        values = [item.value["is"] for item in asking.scan("words", "word-")]
        assert values == list(range(20))
        assert [item.value for item in asking.scan("words", limit=3, view="bare")] == [0, 1, 2]
        assert list(asking.scan("words", limit=0)) == []
        assert [len(page.items) for page in asking.pages("words", page_rows=8)] == [8, 8, 4]


def test_rows_are_those_of_one_key(two: World) -> None:
    partition = two.directory().partition_of(b"w")
    two.put(partition, {"events": {b"w\x00" + n.to_bytes(4, "big"): n for n in range(5)}})
    with client(two, "a") as asking:
        assert [item.value["is"] for item in asking.rows("events", "w", {"from": "2"})] == [2, 3, 4]


def test_a_worker_that_is_away_is_passed_over(two: World) -> None:
    two.servers["b"].stop()
    two.told["b"] = []
    two.worker("c", [2, 3])
    with client(two, "b", "a") as asking:
        assert [item.value["is"] for item in asking.scan("words")] == list(range(20))


def test_a_rebalance_in_between_is_waited_for(two: World) -> None:
    worker = two.workers["b"]
    worker.let_go(3)
    two.told["b"] = [2]

    def settle() -> None:
        worker.hold(3, two.stores[3])
        two.told["b"] = [2, 3]

    threading.Timer(0.5, settle).start()
    with client(two, "a", patience_s=10) as asking:
        assert len(list(asking.scan("words"))) == 20


def test_what_does_not_get_better_in_time_is_told_with_its_reason(two: World) -> None:
    two.told["b"] = [2]
    two.workers["b"].let_go(3)

    with client(two, "a", patience_s=0.5) as asking, pytest.raises(Unavailable, match="no worker owns partition 3"):
        list(asking.scan("words"))


class Decided(KnownWorkers):
    """Fails whoever wants to ask a second time."""

    def doubt(self) -> None:
        pytest.fail("the question is repeated")


def test_a_restore_that_outlasts_the_patience_is_told_at_once(two: World) -> None:
    for worker in two.workers.values():
        worker.states = dict.fromkeys(worker.states, PartitionState.RESTORING)

    workers = Decided(two.servers["a"].address)
    with Client(workers, patience_s=1.9) as asking, pytest.raises(Unavailable, match="being restored"):
        asking.get("words", "word-07")


@pytest.mark.parametrize("table", ["nothing", "status/x"])
def test_a_wrong_question_is_refused_at_once(two: World, table: str) -> None:
    with client(two, "a", patience_s=60) as asking, pytest.raises(Refused) as refused:
        asking.get(table, "x")
    assert "words, events, notes" in refused.value.hint


def test_nobody_to_ask_is_told_at_once() -> None:
    with Client.at(patience_s=60) as asking, pytest.raises(NoWorkers):
        asking.get("words", "x")


def test_status_has_every_partition(two: World) -> None:
    with client(two, "a") as asking:
        assert [(row.partition, row.owner) for row in asking.status()] == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]


def test_verify_collects_from_every_worker(two: World) -> None:
    with client(two, "a", "b") as asking:
        lines = list(asking.verify(from_source=True))
    assert sorted(str(line["digest"]) for line in lines if "digest" in line) == ["d0", "d1", "d2", "d3"]


def test_verify_names_the_partitions_that_nobody_proved(two: World) -> None:
    with client(two, "a") as asking, pytest.raises(Unavailable, match=r"2 \(active\), 3 \(active\)"):
        list(asking.verify())


def test_verify_raises_what_a_worker_failed_with(two: World) -> None:
    def fail(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
        yield {}
        raise PipelineError("no room for the scratch directory", hint="make room")

    two.worker("c", [], fail)
    with client(two, "a", "b", "c") as asking, pytest.raises(PipelineError, match="no room") as error:
        list(asking.verify())
    assert error.value.hint == "make room"
