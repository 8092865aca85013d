"""Nothing that comes from outside becomes a path: of a file, or of a question that is passed on."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.waiting import PATIENCE_S
from tests.unit.query.world import World, world

MARK = "7f3a9c1e"
"""In every hostile value, and so in every path that one were made into."""

HOSTILE = [
    f"../../{MARK}",
    f"..%2f..%2f{MARK}",
    f"%2e%2e/%2e%2e/{MARK}",
    f"%2e%2e%2f%2e%2e%2f{MARK}",
    f"..%252f..%252f{MARK}",
    f"..\\..\\{MARK}",
    f"..%5c..%5c{MARK}",
    f"/{MARK}",
    f"%2f{MARK}",
    f"%2ftmp%2f{MARK}",
    f"{MARK}/..",
    f"{MARK}%00.sst",
    f"%00{MARK}",
    f"file:%2f%2f%2f{MARK}",
    f"~{MARK}",
    f"$HOME{MARK}",
    f"|{MARK}",
    f"%0a{MARK}",
    f"{MARK}" + "a" * 300,
    f"CON{MARK}",
    quote(f"../{MARK}é"),
    f"....//{MARK}",
    f"0/../../{MARK}",
    f"0%2f..%2f{MARK}",
    f"-1{MARK}",
]
PLACES = [
    "/{}",
    "/healthz/{}",
    "/metrics/{}",
    "/v1/{}",
    "/v1/status/{}",
    "/v1/verify/{}",
    "/v1/checkpoint/{}",
    "/v1/words/{}",
    "/v1/{}/x",
    "/v1/events/{}",
    "/v1/notes/{}",
    "/v1/words?prefix={}",
    "/v1/words?after={}",
    "/v1/words?view={}",
    "/v1/words?limit={}",
    "/v1/words?partial={}",
    "/v1/words/x?view={}",
    "/v1/words/x?standby={}",
    "/v1/events/x?from={}",
    "/v1/status?all={}",
    "/v1/verify?partitions={}",
    "/v1/verify?from_source={}",
]

_OF_FILES = {"open", "os", "shutil", "glob", "pathlib", "tempfile", "import"}

_seen: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Whatever Python does to files says so: open, rename, mkdir, scandir…"""
    if _seen is not None and event.partition(".")[0] in _OF_FILES and not event.endswith("putenv"):
        _seen.append(f"{event} {arguments!r}")


sys.addaudithook(_note)


@pytest.fixture
def touched() -> Iterator[list[str]]:
    """What was done to files meanwhile, in all threads."""
    global _seen  # noqa: PLW0603 (a hook cannot be taken away again)
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


@pytest.fixture(scope="module")
def two() -> Iterator[World]:
    """Of whose partitions one holds half, so that questions are passed on as well."""
    with world(4) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        yield one


def status_of(one: World, target: bytes, *headers: bytes) -> int:
    """Asked without a client that would tidy up the path."""
    host, _, port = one.servers["a"].address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: a", b"Connection: close", *headers]
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        with connection.makefile("rb") as stream:
            return int(stream.read().split()[1])


def test_the_hook_sees_what_is_done_to_files(touched: list[str], tmp_path: Any) -> None:
    (tmp_path / MARK).write_text("x")
    (tmp_path / MARK).rename(tmp_path / f"{MARK}-2")
    assert sum(MARK in each for each in touched) >= 2


@pytest.mark.parametrize("place", PLACES)
def test_no_value_of_a_request_becomes_a_path(two: World, touched: list[str], place: str) -> None:
    for value in HOSTILE:
        target = place.format(value)
        assert status_of(two, target.encode()) < 500, target
        assert status_of(two, target.encode(), b"Statelog-Routed-By: ../" + MARK.encode() + b";7") < 500, target
    assert not [each for each in touched if MARK in each]


@pytest.mark.parametrize(
    "path", ["/v1/checkpoint/0", "/v1/checkpoint/{}", "/v1/checkpoint/../{}", "/v1/checkpoint/0/{}"]
)
def test_a_checkpoint_is_asked_for_by_number_alone(two: World, touched: list[str], path: str) -> None:
    files = [f"{MARK}.sst", f"MANIFEST-{MARK}", "000007.sst", "CURRENT", "..", "1e0", "0x0", "٣", "99", "-0", "+0"]
    for file in files:
        assert status_of(two, path.format(quote(file)).encode()) in {400, 404, 409}
    assert not [each for each in touched if MARK in each]


@pytest.mark.parametrize(
    "path",
    ["/v1/words/.", "/v1/words/..", "/v1/words/press-1/../../status", "/v1/words/./x", "/./v1/words", "/../v1/words",
     "/v1/words/x/..", "/v1/words/press-1/../../../v1/verify"],
)  # fmt: skip
def test_a_path_that_somebody_on_the_way_would_shorten_is_refused(two: World, path: str) -> None:
    """One worker would look at the whole of it, and pass on the rest."""
    assert status_of(two, path.encode()) == 400


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:1/v1/words/x", "//127.0.0.1:1/v1/words/x", "@127.0.0.1:1/v1/words/x", "x@127.0.0.1:1/", "*",
     "v1/words/x", ":1@127.0.0.1:1/", "?/v1/words", "#/v1/words"],
)  # fmt: skip
def test_no_request_chooses_whom_it_is_passed_on_to(two: World, target: str) -> None:
    assert status_of(two, target.encode()) in {400, 404}


def test_keys_of_dots_are_found_wherever_they_are_asked_for(two: World) -> None:
    """Escaped, as clients have to; passed on they stay so."""
    keys = {".": 1, "..": 2, "../x": 3, "./": 4, "a/../b": 5, "...": 6}
    two.put_words(keys)
    for key in keys:
        escaped = quote(key, safe="").replace(".", "%2E")
        assert status_of(two, f"/v1/words/{escaped}".encode()) == 200
    assert {two.directory().partition_of(key.encode()) // 2 for key in keys} == {0, 1}, "here and elsewhere"
