"""Look-ups that a standby may answer, and checkpoints that a worker gives or refuses, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pipeline.runtime.view import PartitionState
from pipeline.state.api import Position, Restoring, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore
from tests.support.web import http
from tests.unit.query.world import Plain, World, identity, tables, world


@pytest.fixture
def pair() -> Iterator[World]:
    """Worker `a` owns the only partition, worker `b` owns none and keeps its standby, a little behind."""
    with world(partitions=1) as one:
        one.worker("a", [0])
        one.worker("b", [])
        one.put(0, {"words": {b"tree": 2, b"new": 1}}, source_next=110)
        standby = MemoryStore(identity(0), list(tables()))
        standby.apply(WriteSet({"words": {b"tree": seal(Plain().encode(1))}}), Position(100, {"words": 7}))
        one.workers["b"].kept[0] = standby
        yield one


def _ask(pair: World, worker: str, key: str = "tree", standby: str | None = "true") -> httpx.Response:
    query = "" if standby is None else f"?standby={standby}"
    return http.get(pair.url(worker, f"/v1/words/{key}{query}"))


@pytest.mark.parametrize("worker", ["a", "b"])
def test_the_owner_answers_as_long_as_it_can(pair: World, worker: str) -> None:
    answer = _ask(pair, worker).json()
    assert answer["value"] == {"is": 2}
    assert (answer["meta"]["served_by"], answer["meta"]["owner"]) == ("active", "a")
    assert "worker" not in answer["meta"]


@pytest.mark.parametrize("worker", ["a", "b"])
@pytest.mark.parametrize("state", [PartitionState.RESTORING, PartitionState.STALE])
def test_a_standby_answers_while_the_owner_cannot_and_says_so(pair: World, worker: str, state: PartitionState) -> None:
    pair.workers["a"].states[0] = state
    answer = _ask(pair, worker)
    assert answer.status_code == 200, answer.text
    assert answer.json()["value"] == {"is": 1}
    assert answer.json()["meta"] == {
        "owner": "a",
        "partition": 0,
        "position": 100,
        "lag": {"records": 20, "age_s": 0.5},
        "served_by": "standby",
        "complete": True,
        "worker": "b",
    }


def test_a_standby_answers_for_an_owner_that_is_gone(pair: World) -> None:
    pair.servers["a"].stop()
    answer = _ask(pair, "b")
    assert (answer.status_code, answer.json()["meta"]["served_by"]) == (200, "standby")


@pytest.mark.parametrize("standby", [None, "false"])
def test_nobody_gets_a_standbys_answer_without_asking_for_it(pair: World, standby: str | None) -> None:
    pair.workers["a"].states[0] = PartitionState.RESTORING
    answer = _ask(pair, "b", standby=standby)
    assert (answer.status_code, answer.json()["title"]) == (503, "the partition is being restored")


def test_a_row_that_the_standby_has_not_is_absent_as_of_its_position(pair: World) -> None:
    pair.workers["a"].states[0] = PartitionState.RESTORING
    answer = _ask(pair, "b", "new")
    assert answer.status_code == 404
    assert (answer.json()["meta"]["served_by"], answer.json()["meta"]["position"]) == ("standby", 100)


def test_a_standby_in_mid_restore_does_not_answer_and_the_owners_reason_stands(pair: World) -> None:
    pair.workers["a"].states[0] = PartitionState.RESTORING
    pair.workers["b"].kept[0].begin_restore(Restoring({"words": 90}))
    for worker in ("a", "b"):
        answer = _ask(pair, worker)
        assert (answer.status_code, answer.json()["title"]) == (503, "the partition is being restored")
        assert answer.json()["position"] == 110


def test_a_wish_that_is_none_is_refused(pair: World) -> None:
    for target in ("/v1/words/tree", "/v1/events/tree", "/v1/words"):
        for wish in ("yes", "", "only"):  # the last is for workers among themselves
            answer = http.get(pair.url("a", f"{target}?standby={wish}"))
            assert (answer.status_code, answer.json()["title"]) == (400, "bad query parameter"), target


def test_status_tells_who_keeps_what_and_how_far_it_is(pair: World) -> None:
    (row,) = http.get(pair.url("a", "/v1/status?all=true")).json()["partitions"]
    assert row["owner"] == "a"
    assert row["standbys"] == [
        {"partition": 0, "worker": "b", "restoring": False, "position": 100, "end": 120, "folded": 7}
    ]


@pytest.mark.parametrize(
    ("target", "status"), [("0", 409), ("1", 400), ("0,1", 400), ("x", 400), ("..%2F0", 404), ("0?files=1", 400)]
)
def test_a_checkpoint_that_is_not_to_be_had_is_refused(pair: World, target: str, status: int) -> None:
    answer = http.get(pair.url("a", f"/v1/checkpoint/{target}"))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_checkpoint_is_asked_for_with_get_alone(pair: World) -> None:
    for method in ("HEAD", "POST", "DELETE"):
        assert http.request(method, pair.url("a", "/v1/checkpoint/0")).status_code == 405
