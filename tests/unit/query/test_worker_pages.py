"""What a worker says of itself: status, health, metrics, verification; and how it starts and stops."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.errors import Misconfigured, StateUnusable
from pipeline.query.listener import Listener
from pipeline.runtime.view import PartitionState
from tests.support.timing import least_s, seconds
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.web import http
from tests.unit.query.world import World, world


@pytest.fixture
def two() -> Iterator[World]:
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2])
        yield one


def test_status_tells_this_workers_partitions(two: World) -> None:
    two.put(0, {"words": {b"x": 1}}, source_next=60)
    answer = http.get(two.url("a", "/v1/status")).json()
    assert answer["partitions"][0] == {
        "stage": "count",
        "partition": 0,
        "owner": "a",
        "state": "active",
        "position": 60,
        "end": 120,
        "rate": 10.0,
        "eta_s": 2.0,
        "digest": None,
        "standbys": [],
    }
    assert [row["partition"] for row in answer["partitions"]] == [0, 1]


def rows(one: World, asked: str) -> list[tuple[int, str | None, str]]:
    answer = http.get(one.url(asked, "/v1/status?all=true"))
    assert answer.status_code == 200, answer.text
    return [(row["partition"], row["owner"], row["state"]) for row in answer.json()["partitions"]]


@pytest.mark.parametrize("asked", ["a", "b"])
def test_status_of_the_group_has_every_partition(two: World, asked: str) -> None:
    two.workers["a"].states[1] = PartitionState.RESTORING
    assert rows(two, asked) == [
        (0, "a", "active"),
        (1, "a", "restoring"),
        (2, "b", "active"),
        (3, None, "unassigned"),
    ]


def test_status_believes_the_active_worker_not_the_one_that_slept(two: World) -> None:
    two.workers["b"].hold(0, two.stores[0], PartitionState.STALE)
    for asked in ("a", "b"):
        assert rows(two, asked)[0] == (0, "a", "active")


def test_partitions_of_a_dead_worker_are_unreachable(two: World) -> None:
    two.servers["b"].stop()
    assert rows(two, "a")[2] == (2, "b", "unreachable")


def test_health_is_about_the_loop_and_readiness_about_the_partitions(two: World) -> None:
    worker = two.workers["a"]
    assert http.get(two.url("a", "/healthz")).status_code == 200
    assert http.get(two.url("a", "/readyz")).status_code == 200
    worker.readiness = (False, "partition 1 is being restored")
    ready = http.get(two.url("a", "/readyz"))
    assert (ready.status_code, ready.json()["detail"]) == (503, "partition 1 is being restored")
    assert http.get(two.url("a", "/healthz")).status_code == 200
    worker.health = (False, "the loop has not run for 12 s")
    assert http.get(two.url("a", "/healthz")).json()["detail"] == "the loop has not run for 12 s"


def test_metrics_are_what_prometheus_reads(two: World) -> None:
    answer = http.get(two.url("a", "/metrics"))
    assert answer.headers["content-type"].startswith("text/plain")
    assert "asked_total 1.0" in answer.text


def lines(one: World, asked: str, query: str = "") -> list[dict[str, object]]:
    answer = http.get(one.url(asked, f"/v1/verify{query}"))
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_verify_streams_lines_for_each_active_partition(two: World) -> None:
    two.workers["a"].states[1] = PartitionState.RESTORING
    assert lines(two, "a") == [
        {"partition": 0, "done": 1, "of": 2},
        {"partition": 0, "digest": "d0", "from_source": False},
    ]
    assert lines(two, "b", "?partitions=2&from_source=true")[1]["from_source"] is True


def test_verify_of_a_partition_that_is_not_active_here_is_refused(two: World) -> None:
    assert http.get(two.url("a", "/v1/verify?partitions=2")).status_code == 421
    two.workers["a"].states[1] = PartitionState.RESTORING
    assert http.get(two.url("a", "/v1/verify?partitions=1")).status_code == 503


def test_a_verification_that_fails_says_so_in_its_last_line(two: World) -> None:
    def fail(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
        yield {"partition": 3, "done": 0}
        raise StateUnusable("the checkpoint is torn", hint="rebuild it")

    two.worker("c", [3], fail)
    assert lines(two, "c")[-1] == {"error": "the checkpoint is torn", "hint": "rebuild it"}


def test_one_verification_at_a_time_and_a_listener_that_leaves_ends_it(two: World) -> None:
    closed = threading.Event()

    def endless(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
        try:
            while True:
                time.sleep(0.01)
                yield {"partition": 3}
        finally:
            closed.set()

    two.worker("c", [3], endless)
    with http.stream("GET", two.url("c", "/v1/verify")) as stream:
        coming = stream.iter_lines()  # kept: the stream ends with it
        next(coming)
        busy = http.get(two.url("c", "/v1/verify"))
        assert (busy.status_code, busy.json()["type"].rpartition(":")[2]) == (503, "busy")
        assert not closed.is_set()
    assert closed.wait(PATIENCE_S)
    with http.stream("GET", two.url("c", "/v1/verify")) as stream:
        assert stream.status_code == 200


def test_answers_do_not_wait_for_acknowledgements(two: World) -> None:
    """A socket without TCP_NODELAY costs 40 ms an answer on a connection that is used again."""
    address = two.url("a", "/healthz")
    http.get(address)
    assert least_s(lambda: seconds(lambda: http.get(address)), 0.03, times=200) < 0.03


def serving() -> int:
    """Threads that serve."""
    return sum(thread.name == "statelog-http" for thread in threading.enumerate())


def test_a_server_stops_though_answers_are_under_way() -> None:
    def endless(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
        while True:
            time.sleep(0.01)
            yield {"partition": 0}

    before = serving()
    with world(1) as one:
        one.worker("a", [0], endless)
        host, _, port = one.servers["a"].address.partition(":")
        with (
            socket.create_connection((host, int(port))) as idle,
            http.stream("GET", one.url("a", "/v1/verify")) as stream,
        ):
            coming = stream.iter_lines()
            next(coming)
            idle.sendall(b"GET /healthz HTTP/1.1\r\n")  # and never the rest
            one.servers["a"].stop()
            eventually(lambda: serving() == before, "nothing serves any more")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((host, int(port)))


def test_a_listener_takes_a_free_port_and_tells_it_before_anything_is_served() -> None:
    listener = Listener()
    host, _, port = listener.address.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert not listener.open_to_the_network
    with pytest.raises(Misconfigured, match="cannot listen"):
        Listener(listener.address)
    listener.close()


def test_a_name_gets_the_same_port_each_time_also_where_another_holds_its_first() -> None:
    first, second, third = (Listener.steady("iot-aggregate-a1") for _ in range(3))
    assert len({first.address, second.address, third.address}) == 3
    second.close()
    again = Listener.steady("iot-aggregate-a1")
    assert again.address == second.address
    for each in (first, third, again):
        each.close()


def test_where_all_of_a_names_ports_are_taken_any_free_one_will_do() -> None:
    holders: list[Listener] = []
    ports: list[int] = []
    while not ports or 10_000 <= ports[-1] < 20_000:
        holders.append(Listener.steady("iot-aggregate-a2"))
        ports.append(int(holders[-1].address.rpartition(":")[2]))
    assert 1 < len(ports) <= 9, "other programs may hold some of them"
    for each in holders:
        each.close()


@pytest.mark.parametrize(
    ("bind", "advertise"),
    [
        ("8080", None),
        ("localhost", None),
        ("::1:80", None),
        ("h:99999", None),
        (":80", None),
        ("0.0.0.0:0", None),
        ("127.0.0.1:0", "nowhere"),
    ],
)
def test_an_address_that_is_none_is_refused(bind: str, advertise: str | None) -> None:
    with pytest.raises(Misconfigured):
        Listener(bind, advertise)


def test_what_others_reach_it_by_may_be_another_name() -> None:
    listener = Listener("0.0.0.0:0", "worker-0.svc:8080")
    assert listener.address == "worker-0.svc:8080"
    assert listener.open_to_the_network
    listener.close()
