"""`/v1/skew` over HTTP and by the client: whose keys, how they are shown, and what is said of who does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from operators.iot import topology
from pipeline.client import Client, Refused
from pipeline.query.skew import shown
from pipeline.runtime.hot_keys import HotKeys
from tests.support.web import http
from tests.unit.query.world import STAGE, World, world
from tests.unit.runtime.test_hot_keys import messages

PARTITIONS = 4


def of(**counts: int) -> HotKeys:
    """All keys are looked at, so that counts are exact."""
    hot = HotKeys(one_of=1)
    for key, count in counts.items():
        hot.saw(messages([key.encode()] * count))
    hot.settle()
    return hot


@pytest.fixture(scope="module")
def two() -> Iterator[World]:
    with world(PARTITIONS) as one:
        one.worker("a", [0, 1]).hot_keys = {0: of(press1=7, press2=2, lathe1=1), 1: of(lathe2=5)}
        one.worker("b", [2, 3]).hot_keys = {2: of(press3=90)}
        yield one


def get(one: World, worker: str, target: str) -> dict[str, Any]:
    answer = http.get(one.url(worker, target))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def keys(report: dict[str, Any]) -> dict[int, list[tuple[str, int]]]:
    return {
        row["partition"]: [(bytes.fromhex(key["key"]).decode(), key["count"]) for key in row["keys"]]
        for row in report["partitions"]
    }


def test_a_worker_tells_of_what_it_holds(two: World) -> None:
    report = get(two, "a", "/v1/skew")
    assert keys(report) == {0: [("press1", 7), ("press2", 2), ("lathe1", 1)], 1: [("lathe2", 5)]}
    row = report["partitions"][0]
    assert (row["stage"], row["owner"], row["records"], row["looked_at"]) == ("count", "a", 10, 10)
    assert row["keys"][0]["over"] == 0


@pytest.mark.parametrize("worker", ["a", "b"])
def test_any_worker_tells_of_all(two: World, worker: str) -> None:
    report = get(two, worker, "/v1/skew?all=true&prefix=press&limit=1")
    assert keys(report) == {0: [("press1", 7)], 1: [], 2: [("press3", 90)], 3: []}
    assert [row["unnamed"] for row in report["partitions"]] == [2, 0, 0, 0], "of the prefix alone"
    assert report["silent"] == []


def test_a_worker_that_does_not_answer_is_named() -> None:
    with world(PARTITIONS) as one:
        one.worker("a", [0, 1]).hot_keys = {0: of(press1=7)}
        one.worker("b", [2, 3])
        one.servers["b"].stop()
        report = get(one, "a", "/v1/skew?all=true")
    assert [each["owner"] for each in report["silent"]] == ["b"]
    assert "does not answer" in report["silent"][0]["reason"]
    assert keys(report) == {0: [("press1", 7)], 1: []}


@pytest.mark.parametrize("query", ["prefix=a&prefix=b", "limit=0", "limit=1001", "all=yes", "keys=3"])
def test_a_wrong_question_is_refused(two: World, query: str) -> None:
    answer = http.get(two.url("a", f"/v1/skew?{query}"))
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "bad-parameter")


def test_the_client_has_every_partition(two: World) -> None:
    with Client.at(two.servers["b"].address) as client:
        report = client.skew(prefix="press", limit=1)
        assert [(row.partition, [key.count for key in row.keys]) for row in report.partitions] == [
            (0, [7]), (1, []), (2, [90]), (3, [])
        ]  # fmt: skip
        with pytest.raises(Refused, match="limit"):
            client.skew(limit=0)


def test_keys_are_shown_as_tables_show_them_and_any_other_bytes_escaped() -> None:
    stage = topology().aggregates[0]
    assert shown(stage, b"press-07") == "press-07"
    assert shown(stage, b"\xff press") == "%FF%20press"
    assert shown(STAGE, b"\xff") == "ff"
