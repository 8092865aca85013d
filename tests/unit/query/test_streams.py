"""A row's changes as server-sent events: each commit that touches it, the latest alone for the slow, a clean end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from pipeline.client import Client, Row, Unavailable
from pipeline.query import stream
from pipeline.runtime.changes import Changes
from pipeline.runtime.view import PartitionState
from tests.support.threads import running
from tests.support.waiting import eventually
from tests.support.web import http
from tests.unit.query.test_look_up import problem, word_in
from tests.unit.query.world import World, world

PATIENCE = httpx.Timeout(60)


@pytest.fixture
def two() -> Iterator[World]:
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        one.put_words({f"word-{number}": number for number in range(40)})
        yield one


@contextmanager
def listening(one: World, worker: str, key: str, **headers: str) -> Iterator[Iterator[ServerSentEvent]]:
    with (
        httpx.Client(timeout=PATIENCE, trust_env=False) as own,
        connect_sse(own, "GET", one.url(worker, f"/v1/words/{key}/stream"), headers=headers) as source,
    ):
        assert source.response.status_code == 200, source.response.read()
        yield source.iter_sse()


def listeners(one: World) -> int:
    return sum(len(each) for worker in one.workers.values() for each in worker.changes._listeners.values())


def put(one: World, word: str, value: object, position: int) -> None:
    one.put(one.directory().partition_of(word.encode()), {"words": {word.encode(): value}}, position)


@pytest.mark.parametrize("asked", ["a", "b"])
@pytest.mark.parametrize("partition", [0, 3])
def test_it_begins_with_the_row_and_tells_each_commit_that_touches_it(two: World, asked: str, partition: int) -> None:
    word = word_in(two, partition)
    with listening(two, asked, word) as events:
        first = next(events)
        assert (first.event, first.id) == ("row", "100")
        assert first.json() == http.get(two.url("a", f"/v1/words/{word}")).json()
        for number in range(101, 104):
            put(two, "another-" + word, 0, number)
            put(two, word, number, number)
            event = next(events)
            assert (event.event, event.id, event.json()["value"]) == ("row", str(number), {"is": number})
    eventually(lambda: listeners(two) == 0, "nobody listens once the reader is gone")


def test_a_row_that_is_not_there_yet_is_absent_until_it_is(two: World) -> None:
    with listening(two, "a", "new-word") as events:
        assert (next(events)).event == "absent"
        put(two, "new-word", 1, 101)
        assert next(events).json()["value"] == {"is": 1}


def test_a_stream_goes_on_where_it_was(two: World) -> None:
    """At the position that it was at, the first thing that comes is news; at any other, the row as it is."""
    word = word_in(two, 0)
    with listening(two, "a", word, **{"last-event-id": "100"}) as events:
        eventually(lambda: listeners(two) == 1, "the stream is open")
        put(two, word, "news", 105)
        assert next(events).json()["value"] == {"is": "news"}
    with listening(two, "a", word, **{"last-event-id": "100"}) as events:
        assert next(events).id == "105"


def test_a_partition_that_leaves_ends_the_stream_with_whom_to_ask(two: World) -> None:
    for asked in ("a", "b"):
        word = word_in(two, 2)
        owner = "b" if two.told["b"] == [2, 3] else "c"
        with listening(two, asked, word) as events:
            next(events)
            heir = "c" if owner == "b" else "d"
            two.worker(heir, [2])
            two.told[owner] = [each for each in two.told[owner] if each != 2]
            two.workers[owner].let_go(2)
            end = next(events)
            assert end.event == "end"
            assert end.json()["type"].endswith(":not-owner")
            assert list(events) == []
    eventually(lambda: listeners(two) == 0, "nobody listens")


def test_an_owner_that_may_have_lost_the_partition_ends_it_and_one_that_restores_is_waited_for(two: World) -> None:
    word = word_in(two, 0)
    with listening(two, "b", word) as events:
        next(events)
        two.workers["a"].states[0] = PartitionState.RESTORING
        put(two, word, "restored", 102)
        two.workers["a"].states[0] = PartitionState.ACTIVE
        assert next(events).json()["value"] == {"is": "restored"}
        two.workers["a"].states[0] = PartitionState.STALE
        assert next(events).json()["type"].endswith(":stale")


def test_a_reader_that_does_not_read_gets_the_latest_and_holds_nobody_up(two: World) -> None:
    """What its connection does not take is never made: of a thousand values of 100 kB few are read from the store."""
    word = word_in(two, 0)
    viewed = 0

    def count(_partition: int) -> None:
        nonlocal viewed
        viewed += 1

    two.workers["a"].when_viewed = count
    host, _, port = two.servers["a"].address.partition(":")
    with socket.create_connection((host, int(port))) as reader:
        reader.sendall(f"GET /v1/words/{word}/stream HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        eventually(lambda: viewed > 0, "the stream is open")
        for number in range(1_000):
            put(two, word, str(number) * 30_000, 200 + number)
        assert viewed < 500
        text = b""
        while b"id: 1199" not in text:
            part = reader.recv(1 << 20)
            assert part
            text = text[-100:] + part


def test_streams_are_limited_and_closed_ones_make_room(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 3)
    with ExitStack() as stack:
        opened = [stack.enter_context(listening(two, "a", f"word-{number}")) for number in range(3)]
        assert [next(events).event for events in opened] == ["row"] * 3
        problem(http.get(two.url("a", "/v1/words/word-9/stream")), 503, "busy")
    eventually(lambda: http.head(two.url("a", "/v1/words/word-9/stream")).status_code == 200, "there is room again")


def test_a_quiet_stream_says_that_it_lives(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEEP_ALIVE_S", 0.1)
    with httpx.Client(timeout=PATIENCE).stream("GET", two.url("b", f"/v1/words/{word_in(two, 0)}/stream")) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert any(line.startswith(": ") for line in answer.iter_lines())


@pytest.mark.parametrize(
    ("target", "status", "kind"),
    [("/v1/events/w/stream", 404, "no-such-path"), ("/v1/words/x/stream?view=nothing", 404, "unknown-view"),
     ("/v1/words/x/stream?after=1", 400, "bad-parameter"), ("/v1/nothing/x/stream", 404, "unknown-table")],
)  # fmt: skip
def test_what_is_not_streamed_says_so(two: World, target: str, status: int, kind: str) -> None:
    for worker in ("a", "b"):
        problem(http.get(two.url(worker, target)), status, kind)


def test_a_key_may_end_like_a_stream(two: World) -> None:
    two.put_words({"stream": 1, "a/stream": 2})
    assert http.get(two.url("a", "/v1/words/stream")).json()["value"] == {"is": 1}
    assert http.get(two.url("a", "/v1/words/a%2Fstream")).json()["value"] == {"is": 2}


def test_the_client_follows_a_row_from_owner_to_owner(two: World) -> None:
    word = word_in(two, 2)
    with Client.at(two.servers["a"].address, patience_s=60) as asking:
        rows = asking.watch("words", word)
        assert next(rows).meta.owner == "b"
        two.worker("c", [2])
        two.told["b"] = [3]
        two.workers["b"].let_go(2)
        put(two, word, "moved", 101)
        moved = next(rows)
        assert (moved.meta.owner, moved.value) == ("c", {"is": "moved"})
        assert isinstance(moved, Row)
        assert next(asking.watch("words", "never")).absent


def test_the_client_gives_up_when_nobody_answers_for_the_partition(two: World) -> None:
    two.told["b"] = [2]
    two.workers["b"].let_go(3)
    with (
        Client.at(two.servers["a"].address, patience_s=0.3) as asking,
        pytest.raises(Unavailable, match="no worker owns"),
    ):
        next(asking.watch("words", word_in(two, 3)))


def test_listeners_come_and_go_while_commits_go_on() -> None:
    changes, heard, stop = Changes(), [0] * 8, threading.Event()

    def come_and_go(number: int) -> None:
        while not stop.is_set():
            with changes.listening(("words", b"key"), lambda: heard.__setitem__(number, heard[number] + 1)):
                changes.settled({"words": {b"other": b""}, "more": {b"key": b""}})

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(8)]

    def each_heard_of_a_commit() -> bool:
        for _ in range(20_000):
            changes.settled({"words": {b"key": None}})
        return all(heard)

    with running(threads, stop):
        eventually(each_heard_of_a_commit, "each listener has heard of a commit", pause_s=0)
    assert changes._listeners == {}
