"""Lists, and the rows of one key, that standbys may answer: who served each partition is told, and none is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from pipeline.client import Client, Unavailable
from pipeline.runtime.view import PartitionState
from pipeline.state.api import Position, Restoring, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore
from tests.support.web import http
from tests.unit.query.world import Plain, World, identity, tables, world

PARTITIONS = 3
EVERYBODY = ("a", "b", "c")
ROWS = {partition: {f"{n:02}-{partition}".encode(): n for n in range(6)} for partition in range(PARTITIONS)}
"""Keys that sort across the partitions."""
IN_ORDER = [key.hex() for key in sorted(key for rows in ROWS.values() for key in rows)]


def standby(partition: int, rows: Mapping[str, Mapping[bytes, Any]], source_next: int = 90) -> MemoryStore:
    """One that has come to a commit."""
    store = MemoryStore(identity(partition), list(tables()))
    sealed = {table: {key: seal(Plain().encode(value)) for key, value in of.items()} for table, of in rows.items()}
    store.apply(WriteSet(sealed), Position(source_next, {"notes": 7}))  # type: ignore[arg-type]
    return store


@pytest.fixture
def three() -> Iterator[World]:
    """Worker `a` owns partitions 0 and 1, `b` owns 2. `b` keeps a standby of 0, and `c` one of 0 and 1."""
    with world(PARTITIONS) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2])
        one.worker("c", [])
        for partition, rows in ROWS.items():
            one.put(partition, {"notes": rows}, source_next=110)
        one.workers["b"].kept[0] = standby(0, {"notes": ROWS[0]})
        one.workers["c"].kept[0] = standby(0, {"notes": ROWS[0]})
        one.workers["c"].kept[1] = standby(1, {"notes": ROWS[1]}, source_next=95)
        yield one


def ask(one: World, worker: str, table: str = "notes", **parameters: Any) -> httpx.Response:
    return http.get(one.url(worker, f"/v1/{table}"), params={"standby": "true", **parameters})


def served(answer: httpx.Response) -> list[tuple[str | None, str | None]]:
    """By partition, the state of the store that answered, and who stood in for its owner."""
    assert answer.status_code == 200, answer.text
    metas = answer.json()["meta"]
    assert [meta["partition"] for meta in metas] == list(range(PARTITIONS))
    return [(meta["served_by"], meta.get("worker")) for meta in metas]


def keys(answer: httpx.Response) -> list[str]:
    return [item["key"] for item in answer.json()["items"]]


def restore(one: World) -> None:
    one.workers["a"].states = dict.fromkeys((0, 1), PartitionState.RESTORING)


def pause(one: World) -> None:
    one.workers["a"].states = dict.fromkeys((0, 1), PartitionState.STALE)


def die(one: World) -> None:
    one.servers["a"].stop()


def leave(one: World) -> None:
    one.servers["a"].stop()
    del one.told["a"]


def hand_over(one: World) -> None:
    """The group still names it, and it holds nothing any more."""
    for partition in (0, 1):
        one.workers["a"].let_go(partition)


@pytest.mark.parametrize("worker", EVERYBODY)
def test_owners_answer_as_long_as_they_can(three: World, worker: str) -> None:
    answer = ask(three, worker)
    assert served(answer) == [("active", None)] * PARTITIONS
    assert keys(answer) == IN_ORDER


@pytest.mark.parametrize(
    ("fault", "worker"),
    [
        (fault, worker)
        for fault in (restore, pause, die, leave, hand_over)
        for worker in EVERYBODY
        if worker != "a" or fault not in (die, leave)  # then nobody can ask it
    ],
)
def test_a_list_of_owners_and_standbys_has_every_row_and_says_of_each_partition_who_served_it(
    three: World, worker: str, fault: Callable[[World], None]
) -> None:
    fault(three)
    answer = ask(three, worker)
    assert keys(answer) == IN_ORDER
    of_0, of_1, of_2 = answer.json()["meta"]
    owner = None if fault is leave else "a"
    # Whoever is asked takes its own standby first.
    assert of_0.pop("worker") in ({worker} if worker != "a" else {"b", "c"})
    stood_in = {"owner": owner, "served_by": "standby", "complete": True}
    assert of_0 == stood_in | {"partition": 0, "position": 90, "lag": {"records": 30, "age_s": 0.5}}
    assert of_1 == stood_in | {"partition": 1, "position": 95, "lag": {"records": 25, "age_s": 0.5}, "worker": "c"}
    assert (of_2["owner"], of_2["served_by"], of_2["position"]) == ("b", "active", 110)
    assert "worker" not in of_2


@pytest.mark.parametrize("wish", [{"standby": "false"}, {"standby": None}])
def test_no_list_has_a_standbys_rows_unless_it_asks_for_them(three: World, wish: dict[str, str | None]) -> None:
    restore(three)
    answer = http.get(three.url("c", "/v1/notes"), params={name: text for name, text in wish.items() if text})
    assert answer.status_code == 503
    assert {one["partition"]: one["problem"] for one in answer.json()["partitions"]} == {0: "restoring", 1: "restoring"}


def begun(one: World) -> None:
    one.workers["c"].kept[1] = MemoryStore(identity(1), list(tables()))


def in_mid_restore(one: World) -> None:
    one.workers["c"].kept[1].begin_restore(Restoring({"notes": 90}))


def gone(one: World) -> None:
    one.servers["c"].stop()


@pytest.mark.parametrize("fault", [begun, in_mid_restore, gone])
def test_a_partition_that_neither_its_owner_nor_a_standby_can_answer_is_an_error_that_names_it(
    three: World, fault: Callable[[World], None]
) -> None:
    restore(three)
    fault(three)
    for worker in ("a", "b"):
        answer = ask(three, worker)
        assert answer.status_code == 503, "a list without partition 1"
        assert answer.json()["title"] == "some partitions cannot answer"
        assert {one["partition"]: one["problem"] for one in answer.json()["partitions"]} == {1: "restoring"}
        some = ask(three, worker, partial="true")
        assert served(some) == [("standby", "b"), (None, None), ("active", None)]
        assert [meta["complete"] for meta in some.json()["meta"]] == [True, False, True]
        assert len(keys(some)) == 12


def test_a_worker_that_hears_nothing_of_its_group_gives_what_it_has_and_names_what_it_has_not(three: World) -> None:
    three.group_is_away = True
    answer = ask(three, "b")
    assert answer.status_code == 503
    assert {one["partition"]: one["problem"] for one in answer.json()["partitions"]} == {1: "group-unknown"}
    of_0, _, of_2 = ask(three, "b", partial="true").json()["meta"]
    assert (of_0["owner"], of_0["served_by"], of_0["worker"]) == (None, "standby", "b")
    assert of_2["served_by"] == "active"


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("worker", ["b", "c"])
def test_a_list_goes_on_from_its_cursor_whoever_answers_for_a_partition(three: World, worker: str, limit: int) -> None:
    """The owner and its standbys take turns from page to page."""
    found: list[str] = []
    states: list[str | None] = []
    after: dict[str, str] = {}
    while True:
        state = PartitionState.ACTIVE if len(states) % 2 == 0 else PartitionState.RESTORING
        three.workers["a"].states = dict.fromkeys((0, 1), state)
        answer = ask(three, worker, limit=limit, **after)
        states.append(served(answer)[0][0])
        found += keys(answer)
        if answer.json()["next"] is None:
            break
        after = {"after": answer.json()["next"]}
    assert found == IN_ORDER
    assert len(states) > 2
    assert states == [("active", "standby")[number % 2] for number in range(len(states))]


def test_a_standbys_page_is_of_its_own_position_and_no_newer(three: World) -> None:
    three.put(0, {"notes": {b"99-0": 99}}, source_next=111)
    assert ask(three, "b", after="05-2/2").json()["items"] == [{"key": b"99-0".hex(), "value": {"is": 99}}]
    restore(three)
    page = ask(three, "b", after="05-2/2").json()
    assert page["items"] == []
    assert page["meta"][0]["position"] == 90


@pytest.fixture
def windows() -> Iterator[World]:
    """`a` owns the only partition, with five rows of `w`; `b` keeps its standby, which has three of them."""
    with world(1) as one:
        one.worker("a", [0])
        one.worker("b", [])
        rows = {b"w\x00" + n.to_bytes(4, "big"): n for n in range(5)}
        one.put(0, {"events": rows}, source_next=110)
        one.workers["b"].kept[0] = standby(0, {"events": dict(list(rows.items())[:3])})
        yield one


@pytest.mark.parametrize("worker", ["a", "b"])
def test_rows_of_one_key_come_from_a_standby_where_the_question_allows_it(windows: World, worker: str) -> None:
    owners = ask(windows, worker, "events/w").json()
    assert [item["value"]["is"] for item in owners["items"]] == [0, 1, 2, 3, 4]
    assert [meta["served_by"] for meta in owners["meta"]] == ["active"]
    windows.workers["a"].states[0] = PartitionState.RESTORING
    assert ask(windows, worker, "events/w", standby="false").status_code == 503
    first = ask(windows, worker, "events/w", limit=2, **{"from": 1})
    assert first.status_code == 200, first.text
    assert [item["value"]["is"] for item in first.json()["items"]] == [1, 2]
    assert first.json()["next"] is None
    (meta,) = first.json()["meta"]
    assert (meta["owner"], meta["worker"], meta["served_by"], meta["position"]) == ("a", "b", "standby", 90)
    pages = [ask(windows, worker, "events/w", limit=1).json()]
    while pages[-1]["next"]:
        pages.append(ask(windows, worker, "events/w", limit=1, after=pages[-1]["next"]).json())
    assert [item["value"]["is"] for page in pages for item in page["items"]] == [0, 1, 2]


@pytest.mark.parametrize("worker", ["a", "b"])
def test_rows_of_one_key_that_nobody_can_answer_are_an_error(windows: World, worker: str) -> None:
    windows.workers["a"].states[0] = PartitionState.RESTORING
    windows.workers["b"].kept[0].begin_restore(Restoring({"events": 90}))
    answer = ask(windows, worker, "events/w")
    assert (answer.status_code, answer.json()["title"]) == (503, "the partition is being restored")


def client(one: World, *workers: str) -> Client:
    return Client.at(*(one.servers[worker].address for worker in workers), patience_s=0)


def test_the_client_gets_pages_of_standbys_where_it_asks_for_them(three: World) -> None:
    restore(three)
    with client(three, "b") as asking:
        with pytest.raises(Unavailable, match="restored"):
            list(asking.scan("notes"))
        pages = list(asking.pages("notes", page_rows=5, limit=12, standby_ok=True))
    assert [len(page.items) for page in pages] == [5, 5, 2]
    assert [item.key for page in pages for item in page.items] == IN_ORDER[:12]
    assert {meta.served_by for page in pages for meta in page.meta if meta.partition < 2} == {"standby"}


def test_the_client_gets_rows_of_one_key_from_a_standby_where_it_asks_for_them(windows: World) -> None:
    windows.workers["a"].states[0] = PartitionState.RESTORING
    with client(windows, "b") as asking:
        with pytest.raises(Unavailable, match="restored"):
            list(asking.rows("events", "w"))
        (page,) = asking.pages_of_key("events", "w", {"from": 1}, standby_ok=True)
    assert [item.value["is"] for item in page.items] == [1, 2]
    assert [meta.worker for meta in page.meta] == ["b"]


def test_a_row_that_a_standby_has_not_is_told_as_its_word_alone(windows: World) -> None:
    with client(windows, "b") as asking:
        assert asking.get("words", "never", standby_ok=True) is None
        windows.workers["a"].states[0] = PartitionState.RESTORING
        row = asking.get("words", "never", standby_ok=True)
    assert row is not None
    assert (row.absent, row.meta.served_by, row.meta.worker) == (True, "standby", "b")
