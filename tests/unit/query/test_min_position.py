"""`min_position` over HTTP: who waits for what, how long, and what is refused. The proof is in tests/simulation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from operators.topology import Topology, TransformStage
from pipeline.client import Client, Unavailable
from pipeline.log.api import Committed, TopicPartition
from pipeline.query.waiting import MAX_WAIT_MS
from tests.support.web import http
from tests.unit.query.test_look_up import problem, word_in
from tests.unit.query.world import SOURCE, STAGE, World, world


def no_transform() -> None:
    raise NotImplementedError


FIRST = TransformStage("first", "raw", (SOURCE,), no_transform)  # type: ignore[arg-type]
TOPOLOGY = Topology("words", "1", (FIRST, STAGE))


@pytest.fixture
def two() -> Iterator[World]:
    """Two workers behind a transform that has passed message 9 of each partition; the words' topic is empty."""
    with world(4) as one:
        one.cluster.connect(one.settings).admin().create_topics({"raw": {}, SOURCE: {}}, 4, 1)
        for worker, held in (("a", [0, 1]), ("b", [2, 3])):
            one.worker(worker, held, topology=TOPOLOGY)
        one.put_words({f"word-{number}": number for number in range(40)})
        transformed(one, 10)
        yield one


def transformed(one: World, next_offset: int) -> None:
    offsets = {TopicPartition("raw", number): Committed(next_offset, "") for number in range(4)}
    one.log.reader("first").commit(offsets)


@pytest.mark.parametrize("worker", ["a", "b"])
@pytest.mark.parametrize("target", ["/v1/words/word-1", "/v1/events/w", "/v1/words", "/v1/notes"])
def test_what_is_in_is_answered_and_what_is_not_is_not_yet(two: World, worker: str, target: str) -> None:
    assert http.get(two.url(worker, f"{target}?min_position=0:9,3:9")).status_code == 200
    answer = http.get(two.url(worker, f"{target}?min_position=0:9,3:10&wait_ms=50"))
    if target in {"/v1/words", "/v1/notes"}:
        document = problem(answer, 503, "incomplete")
        assert {each["problem"] for each in document["partitions"]} == {"not-yet"}
        assert len(document["partitions"]) == 4
    else:
        document = problem(answer, 503, "not-yet")
        assert (document["min_position"], document["stage"]) == ("0:9,3:10", "first")
    assert "stage first has not passed raw/3 up to 11 yet" in document["detail"]


def test_a_row_waits_for_its_own_partition_alone_and_a_list_for_each(two: World) -> None:
    """The words' topic holds records behind what partition 2 has folded: any of them may be the message's."""
    word, elsewhere = word_in(two, 2), word_in(two, 0)
    two.cluster.feed(SOURCE, [(b"x", b"x")] * 101, partition=2)
    behind = problem(http.get(two.url("a", f"/v1/words/{word}?min_position=0:9&wait_ms=50")), 503, "not-yet")
    assert (behind["partition"], behind["position"], behind["needed"]) == (2, 100, 101)
    assert http.get(two.url("a", f"/v1/words/{elsewhere}?min_position=0:9")).status_code == 200
    missing = problem(http.get(two.url("a", "/v1/words?min_position=0:9&wait_ms=50")), 503, "incomplete")
    assert [each["partition"] for each in missing["partitions"]] == [2]
    two.workers["b"].passed[2] = 101
    assert http.get(two.url("a", f"/v1/words/{word}?min_position=0:9")).status_code == 200


def test_it_waits_for_the_stage_before_and_then_for_the_store(two: World) -> None:
    word = word_in(two, 2)

    def come_through() -> None:
        two.cluster.feed(SOURCE, [(b"x", b"x")] * 101, partition=2)
        transformed(two, 11)
        threading.Timer(0.3, lambda: two.workers["b"].passed.update({2: 101})).start()

    threading.Timer(0.3, come_through).start()
    answer = http.get(two.url("a", f"/v1/words/{word}?min_position=2:10&wait_ms=30000"), timeout=60)
    assert answer.status_code == 200
    assert two.workers["b"].passed == {2: 101}, "no answer before"


def test_who_waits_at_an_owner_that_loses_the_partition_is_answered_by_the_next(two: World) -> None:
    word = word_in(two, 2)
    two.cluster.feed(SOURCE, [(b"x", b"x")] * 101, partition=2)

    def move() -> None:
        two.workers["a"].passed[2] = 101
        two.workers["a"].hold(2, two.stores[2])
        two.told.update({"a": [0, 1, 2], "b": [3]})
        two.workers["b"].let_go(2)

    threading.Timer(0.5, move).start()
    answer = http.get(two.url("b", f"/v1/words/{word}?min_position=2:9&wait_ms=30000"), timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta"]["owner"] == "a"


def test_the_stage_that_reads_the_first_topic_itself_asks_nobody() -> None:
    with world(4) as one:
        one.worker("a", [0, 1, 2, 3])
        one.put_words({f"word-{number}": number for number in range(40)})
        word = word_in(one, 2)
        assert http.get(one.url("a", f"/v1/words/{word}?min_position=2:99")).status_code == 200
        assert http.get(one.url("a", f"/v1/words/{word}?min_position=1:5000")).status_code == 200, (
            "of another partition"
        )
        problem(http.get(one.url("a", f"/v1/words/{word}?min_position=2:100&wait_ms=0")), 503, "not-yet")


@pytest.mark.parametrize(
    "query",
    ["min_position=1", "min_position=4:1", "min_position=1:-1", "min_position=1:x", "min_position=", "wait_ms=5",
     "min_position=1:1,", f"min_position=1:1&wait_ms={MAX_WAIT_MS + 1}", "min_position=1:1&wait_ms=soon",
     "min_position=1:1&min_position=1:2"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(two: World, query: str) -> None:
    for target in ("/v1/words/x", "/v1/events/x", "/v1/words"):
        problem(http.get(two.url("a", f"{target}?{query}")), 400, "bad-parameter")


def test_a_standby_is_not_asked(two: World) -> None:
    problem(http.get(two.url("a", "/v1/words/x?min_position=1:1&standby=true")), 400, "bad-parameter")


def test_a_cluster_that_does_not_say_is_no_reason_to_answer(two: World) -> None:
    two.cluster.delete_topic(SOURCE)
    problem(http.get(two.url("a", "/v1/words/word-1?min_position=1:9&wait_ms=50")), 503, "not-yet")


def test_the_client_waits_as_long_as_it_has_patience(two: World) -> None:
    address = two.servers["a"].address
    with Client.at(address, patience_s=0.3) as asking, pytest.raises(Unavailable, match="not passed raw/1 up to 11"):
        asking.get("words", "word-1", min_position="1:10")
    threading.Timer(0.3, transformed, (two, 11)).start()
    with Client.at(address, patience_s=60) as asking:
        assert asking.get("words", "word-1", min_position="1:10") is not None
        assert len(list(asking.scan("words", min_position="1:10"))) == 40
        assert list(asking.rows("events", "w", min_position="1:10")) == []


def test_the_way_to_a_stage_follows_from_the_topics() -> None:
    second = replace(FIRST, name="second", source="b", outputs=("c", "d"))
    third = replace(FIRST, name="third", source="a", outputs=("b",))
    aside = replace(FIRST, name="aside", source="raw", outputs=("z",))
    last = replace(STAGE, source="d")
    topology = Topology("x", "1", (replace(FIRST, outputs=("a",)), last, second, aside, third))
    assert [each.name for each in topology.way_to(last)] == ["first", "third", "second"]
    assert topology.way_to(topology.stages[0]) == ()
