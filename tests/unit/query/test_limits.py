"""How long and how often a stranger may keep a worker busy. What size may be is in `test_look_up`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pipeline.query import patience, server
from pipeline.query.guard import MAX_HEAD
from pipeline.query.outgoing import Outgoing
from pipeline.query.protection import Protection
from pipeline.settings import Settings
from tests.support.identities import Certificates
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.web import http
from tests.unit.query.world import World, world

SHORT_S = 0.2
"""For the one limit that a test is about; the others stay as they are, far beyond it."""
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def one() -> Iterator[World]:
    with world(1) as one:
        one.worker("a", [0])
        yield one


@contextmanager
def connected(one: World) -> Iterator[socket.socket]:
    host, _, port = one.servers["a"].address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        yield connection


def is_cut(connection: socket.socket) -> bool:
    """Waits for it; an answer that comes before is no cut."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def answer(connection: socket.socket) -> int:
    """The status; reads an answer of `/healthz` whole."""
    got = b""
    while not got.endswith(b"}"):
        block = connection.recv(1_000)
        assert block, f"cut after {got!r}"
        got += block
    return int(got.split()[1])


@pytest.fixture
def short_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_S", SHORT_S)


@pytest.mark.usefixtures("short_head")
@pytest.mark.parametrize("sent", [b"", b"G", b"GET /healthz HTTP/1.1\r\n", GET[:-2]])
def test_who_does_not_say_what_he_wants_is_cut(one: World, sent: bytes) -> None:
    with connected(one) as connection:
        connection.sendall(sent)
        assert is_cut(connection)
    assert http.get(one.url("a", "/healthz")).status_code == 200


@pytest.mark.usefixtures("short_head")
@pytest.mark.parametrize("first", [b"", GET])
def test_who_says_it_a_byte_at_a_time_is_cut_all_the_same(one: World, first: bytes) -> None:
    """At the beginning, and after a good answer, where each byte ends the wait for the next request."""
    sent = 0
    with connected(one) as connection:
        if first:
            connection.sendall(first)
            assert answer(connection) == 200
        connection.settimeout(SHORT_S / 10)

        def one_more() -> bool:
            nonlocal sent
            try:
                connection.sendall(b"G" if sent == 0 else b"E")
                sent += 1
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        eventually(one_more, "it is cut", pause_s=0)
    assert sent > 1


def test_a_head_in_pieces_that_does_not_end_is_cut_where_it_becomes_too_long(one: World) -> None:
    """Long before its time is up; counted anew for each request of a connection."""
    sent = 0
    with connected(one) as connection:
        for _ in range(3):
            connection.sendall(GET[:-2] + b"X: " + b"x" * (MAX_HEAD // 2) + b"\r\n\r\n")
            assert answer(connection) == 200
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        connection.settimeout(0.01)

        def one_more() -> bool:
            nonlocal sent
            try:
                connection.sendall(b"X: " + b"x" * 1_000 + b"\r\n")
                sent += 1_000
                return connection.recv(1_000).startswith(b"HTTP/1.1 400 ")
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        eventually(one_more, "it is cut", pause_s=0)
    assert MAX_HEAD - 2_000 < sent < 4 * MAX_HEAD
    assert http.get(one.url("a", "/healthz")).status_code == 200


@pytest.mark.usefixtures("short_head")
def test_who_sends_a_body_without_end_is_cut(one: World) -> None:
    with connected(one) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert b" 413 " in connection.recv(10_000)

        def one_more() -> bool:
            try:
                connection.sendall(b"x")
                connection.settimeout(SHORT_S / 10)
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        eventually(one_more, "it is cut", pause_s=0)


@pytest.mark.usefixtures("short_head")
def test_an_answer_may_take_longer_than_the_question(one: World) -> None:
    go_on = threading.Event()

    def slow(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
        yield {"partition": 0}
        go_on.wait(PATIENCE_S)
        yield {"partition": 0, "digest": "d"}

    one.servers["a"].stop()
    one.worker("a", [0], slow)
    with http.stream("GET", one.url("a", "/v1/verify")) as stream:
        lines = stream.iter_lines()
        next(lines)
        with connected(one) as another:
            assert is_cut(another), "so much time has passed"
        go_on.set()
        assert "digest" in next(lines)


def test_who_does_not_read_his_answer_is_cut(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STALL_S", SHORT_S)
    closed = threading.Event()

    def endless(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
        try:
            while True:
                yield {"partition": 0, "text": "x" * 100_000}
                closed.wait(0.01)
        finally:
            closed.set()

    one.servers["a"].stop()
    one.worker("a", [0], endless)
    with connected(one) as connection:
        connection.sendall(b"GET /v1/verify HTTP/1.1\r\nHost: a\r\n\r\n")
        assert closed.wait(PATIENCE_S), "who gave it is let go"
    assert http.get(one.url("a", "/healthz")).status_code == 200


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for module in (patience, server):
        monkeypatch.setattr(module, "MAX_CONNECTIONS", 3)
    with world(1) as one:
        one.worker("a", [0])
        yield one


def test_connections_beyond_the_limit_get_no_answer_and_those_beyond_twice_the_limit_are_cut(few: World) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(few)) for _ in range(2)]
        for connection in held:
            connection.sendall(GET)
            assert answer(connection) == 200
        for _ in range(4):
            connection = stack.enter_context(connected(few))
            connection.sendall(GET)
            assert b" 503 " in connection.recv(10_000)
            held.append(stack.enter_context(connected(few)))
            if len(held) == 6:
                break
        with connected(few) as beyond:
            assert is_cut(beyond)

    def served() -> bool:
        with connected(few) as connection:
            connection.sendall(GET)
            return b" 200 " in connection.recv(10_000)

    eventually(served, "who comes when the others have gone is served")


def test_an_answer_that_does_not_begin_in_time_is_an_error(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", SHORT_S)
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_partition: int) -> None:
        hanging.set()
        go_on.wait(PATIENCE_S)

    one.workers["a"].when_viewed = hang
    told = http.get(one.url("a", "/v1/words"))
    assert (told.status_code, told.json()["type"].rpartition(":")[2]) == (503, "too-slow")
    assert hanging.is_set()
    go_on.set()
    assert http.get(one.url("a", "/v1/words")).status_code == 200


def test_who_does_not_greet_over_tls_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HANDSHAKE_S", SHORT_S)
    certificates = Certificates(tmp_path)
    settings = Settings(**certificates.of("worker"))
    with world(1, tls=Protection.of(settings).tls, outgoing=Outgoing.of(settings)) as one:
        one.worker("a", [0])
        for sent in (b"", b"\x16\x03\x01"):
            with connected(one) as connection:
                connection.sendall(sent)
                assert is_cut(connection)
