"""Lists over several partitions and workers: every row once, in order, however they are paged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.topology import KeyRange
from pipeline.query.key_text import Cursor, parse_cursor, prefix_range
from pipeline.runtime.view import PartitionState
from pipeline.state.memory import MemoryStore
from pipeline.state.rocks import RocksStore
from tests.support.web import http
from tests.unit.query.world import World, identity, tables, world

PARTITIONS = 3

short_keys = st.binary(min_size=1, max_size=3) | st.text("ab%/;~ü", min_size=1, max_size=3).map(str.encode)
rows = st.lists(st.tuples(short_keys, st.integers(0, PARTITIONS - 1)), max_size=12, unique=True)


@pytest.fixture(scope="module")
def two() -> Iterator[World]:
    with world(PARTITIONS) as one:
        one.worker("a", [0])
        one.worker("b", [1, 2])
        yield one


def list_all(one: World, asked: str, table: str, **parameters: Any) -> list[Any]:
    found: list[Any] = []
    for _ in range(100):
        page = http.get(one.url(asked, f"/v1/{table}"), params=parameters)
        assert page.status_code == 200, page.text
        assert [meta["partition"] for meta in page.json()["meta"]] == list(range(PARTITIONS))
        assert all(meta["complete"] for meta in page.json()["meta"])
        items = page.json()["items"]
        assert len(items) <= int(parameters.get("limit", 100))
        found += items
        if page.json()["next"] is None:
            return found
        assert items, "a page that leads on has rows"
        parameters["after"] = page.json()["next"]
    raise AssertionError("the list does not end")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, prefix=st.just(b"") | short_keys, limit=st.integers(1, 5), asked=st.sampled_from(["a", "b"]))
def test_pages_give_every_row_once_and_in_order(
    two: World, rows: list[tuple[bytes, int]], prefix: bytes, limit: int, asked: str
) -> None:
    for partition in range(PARTITIONS):
        two.stores[partition] = MemoryStore(identity(partition), list(tables()))
        two.workers["a" if partition == 0 else "b"].hold(partition, two.stores[partition])
    for key, partition in rows:
        two.put(partition, {"notes": {key: [key.hex(), partition]}})

    found = list_all(two, asked, "notes", limit=limit, prefix=str(Cursor(prefix, None)))

    expected = sorted(row for row in rows if row[0].startswith(prefix))
    assert [item["value"]["is"] for item in found] == [[key.hex(), partition] for key, partition in expected]
    assert [item["key"] for item in found] == [key.hex() for key, _ in expected]


@given(key=st.binary(max_size=8), partition=st.none() | st.integers(0, 9))
def test_a_cursor_survives_the_wire(key: bytes, partition: int | None) -> None:
    assert parse_cursor(str(Cursor(key, partition))) == Cursor(key, partition)


def test_a_cursor_of_plain_characters_is_readable() -> None:
    assert str(Cursor(b"press-07:a.b_c", 3)) == "press-07:a.b_c/3"


@given(prefix=st.binary(max_size=3), key=st.binary(max_size=4))
def test_a_prefix_is_a_range(prefix: bytes, key: bytes) -> None:
    keys: KeyRange = prefix_range(str(Cursor(prefix, None)))
    assert (keys.start <= key and (keys.stop is None or key < keys.stop)) == key.startswith(prefix)


def test_the_same_answers_come_from_rocksdb(tmp_path: Path) -> None:
    def make(partition: int) -> RocksStore:
        return RocksStore.open(tmp_path / str(partition), identity(partition), list(tables()))

    with world(PARTITIONS, make) as one:
        one.worker("a", [0])
        one.worker("b", [1, 2])
        words = {f"word-{number:03}": number for number in range(300)}
        one.put_words(words)
        for asked in ("a", "b"):
            assert [item["value"]["is"] for item in list_all(one, asked, "words", limit=7)] == list(words.values())
            assert http.get(one.url(asked, "/v1/words/word-007")).json()["value"] == {"is": 7}


def test_a_list_begins_after_a_key_that_a_person_types(two: World) -> None:
    two.put_words({f"begin-{letter}": letter for letter in "abcd"})
    found = list_all(two, "a", "words", prefix="begin-", after="begin-b", view="bare")
    assert [item["value"] for item in found] == ["c", "d"]


@pytest.fixture
def broken() -> Iterator[World]:
    """Partition 1 restores, partition 2 belongs to a worker that died, partition 3 to nobody."""
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2])
        for partition in range(4):
            one.put(partition, {"notes": {b"note": partition}})
        one.workers["a"].states[1] = PartitionState.RESTORING
        one.servers["b"].stop()
        yield one


def test_a_list_with_partitions_missing_is_an_error_that_names_each(broken: World) -> None:
    answer = http.get(broken.url("a", "/v1/notes"))
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    missing = {one["partition"]: one["problem"] for one in answer.json()["partitions"]}
    assert missing == {1: "restoring", 2: "owner-unreachable", 3: "no-owner"}


def test_a_partial_list_says_which_partitions_it_lacks_and_why(broken: World) -> None:
    page = http.get(broken.url("a", "/v1/notes?partial=true")).json()
    assert [item["value"]["is"] for item in page["items"]] == [0]
    assert [meta["complete"] for meta in page["meta"]] == [True, False, False, False]
    assert all(meta["reason"] for meta in page["meta"][1:])
    assert "reason" not in page["meta"][0]


def test_a_list_finds_partitions_that_have_just_moved(broken: World) -> None:
    assert http.get(broken.url("a", "/v1/notes?partial=true")).status_code == 200  # a remembers the dead owner
    broken.worker("c", [1, 2, 3])
    broken.told["b"] = []
    broken.told["a"] = [0]
    broken.workers["a"].let_go(1)
    page = http.get(broken.url("a", "/v1/notes"))
    assert page.status_code == 200, page.text
    assert [meta["owner"] for meta in page.json()["meta"]] == ["a", "c", "c", "c"]
