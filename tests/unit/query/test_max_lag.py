"""`max_lag`: no answer from a partition that is further behind its source than the question allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pipeline.client import Client, Unavailable
from pipeline.query.reads import MAX_LAG_AGE_S
from pipeline.runtime.view import PartitionState, PartitionStatus
from pipeline.state.api import Position, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore
from tests.support.web import http
from tests.unit.query.test_look_up import problem, word_in
from tests.unit.query.world import Plain, World, identity, tables, world


@pytest.fixture
def behind() -> Iterator[World]:
    """Two workers, each partition 20 records behind its source."""
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        one.put_words({f"word-{number}": number for number in range(40)})
        events = {b"w\x00" + number.to_bytes(4, "big"): number for number in range(3)}
        one.put(one.directory().partition_of(b"w"), {"events": events})
        yield one


def targets(one: World, max_lag: int) -> list[str]:
    look_ups = [f"/v1/words/{word_in(one, 0)}", f"/v1/words/{word_in(one, 3)}", "/v1/words/never-seen", "/v1/events/w"]
    return [f"{target}?max_lag={max_lag}" for target in look_ups]


@pytest.mark.parametrize("worker", ["a", "b"])
def test_who_is_behind_no_further_than_allowed_answers(behind: World, worker: str) -> None:
    assert [http.get(behind.url(worker, each)).status_code for each in targets(behind, 20)] == [200, 200, 404, 200]
    assert len(http.get(behind.url(worker, "/v1/words?max_lag=20")).json()["items"]) == 40


@pytest.mark.parametrize("worker", ["a", "b"])
def test_who_is_further_behind_says_how_far_and_gives_nothing(behind: World, worker: str) -> None:
    for target in targets(behind, 19):
        document = problem(http.get(behind.url(worker, target)), 503, "too-stale")
        assert document["lag"] == {"records": 20, "age_s": 0.5}
        assert (document["position"], document["max_lag"]) == (100, 19)
        assert document["owner"] in {"a", "b"}
        assert document["hint"]


@pytest.mark.parametrize("worker", ["a", "b"])
def test_a_list_names_the_partitions_that_are_behind_and_leaves_them_out_only_on_request(
    behind: World, worker: str
) -> None:
    behind.workers["b"].end = 100
    document = problem(http.get(behind.url(worker, "/v1/words?max_lag=0")), 503, "incomplete")
    assert [(each["partition"], each["problem"]) for each in document["partitions"]] == [
        (0, "too-stale"), (1, "too-stale"),
    ]  # fmt: skip
    page = http.get(behind.url(worker, "/v1/words?max_lag=0&partial=true")).json()
    assert [meta["complete"] for meta in page["meta"]] == [False, False, True, True]
    partition_of = behind.directory().partition_of
    assert {partition_of(bytes.fromhex(item["key"])) for item in page["items"]} == {2, 3}


@dataclass
class Unsure:
    """Statuses as a worker gives them that has not seen the end of its source, or not for long."""

    end: int
    age_s: float

    def __call__(self) -> list[PartitionStatus]:
        return [PartitionStatus(each, PartitionState.ACTIVE, 100, self.end, self.age_s, 0.0, 0.0) for each in range(4)]


@pytest.mark.parametrize("unsure", [Unsure(-1, 0.0), Unsure(100, MAX_LAG_AGE_S + 1)])
def test_a_lag_that_nobody_knows_is_no_small_one(
    behind: World, unsure: Unsure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind.workers["a"], "partitions", unsure)
    problem(http.get(behind.url("a", f"/v1/words/{word_in(behind, 0)}?max_lag=1000000")), 503, "too-stale")


def test_a_standby_is_held_to_it_as_well() -> None:
    with world(1) as one:
        one.worker("a", [0])
        one.worker("b", [])
        standby = MemoryStore(identity(0), list(tables()))
        standby.apply(WriteSet({"words": {b"tree": seal(Plain().encode(1))}}), Position(90, {"words": 7}))
        one.workers["b"].kept[0] = standby
        one.workers["a"].states[0] = PartitionState.RESTORING
        for worker in ("a", "b"):
            assert http.get(one.url(worker, "/v1/words/tree?standby=true&max_lag=30")).status_code == 200
            problem(http.get(one.url(worker, "/v1/words/tree?standby=true&max_lag=29")), 503, "restoring")


@pytest.mark.parametrize("value", ["-1", "few", "1.5", "", "9" * 30])
def test_what_is_no_number_is_refused(behind: World, value: str) -> None:
    for target in ("/v1/words/x", "/v1/events/w", "/v1/words"):
        problem(http.get(behind.url("a", f"{target}?max_lag={value}")), 400, "bad-parameter")


def test_the_client_waits_for_a_partition_to_catch_up(behind: World) -> None:
    word = word_in(behind, 0)
    with Client.at(behind.servers["a"].address, patience_s=0) as asking:
        with pytest.raises(Unavailable, match="20 records behind, more than 5"):
            asking.get("words", word, max_lag=5)
        with pytest.raises(Unavailable, match="more than 5"):
            list(asking.scan("words", max_lag=5))
        with pytest.raises(Unavailable, match="more than 5"):
            list(asking.rows("events", "w", max_lag=5))
        for worker in behind.workers.values():
            worker.end = 100
        row = asking.get("words", word, max_lag=0)
        assert row is not None
        assert row.meta.lag is not None
        assert row.meta.lag.records == 0
