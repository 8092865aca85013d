"""Questions over HTTP at a rate, from a process of its own that is not what limits them.

    python -m benchmarks.asking ADDRESS RATE < keys

Takes a key a line, then an empty line, and asks for random ones over kept connections until its standard input ends.
Prints what it heard, as one JSON document.
"""

from __future__ import annotations

import json
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from benchmarks.process import ROOT
from pipeline.query.listener import split_address
from tests.support.reaper import ends_with_us

CONNECTIONS: Final = 32
_MAKES_UP_S: Final = 0.25
"""Of questions that were not asked in time. Who is slower than they come is asked fewer, and the rate says so."""
_HEAD_ENDS: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_GOOD: Final = b"HTTP/1.1 200 "


class Answer(NamedTuple):
    """What has to be known of an answer to check it, and how long it took."""

    key: str
    ms: float
    position: int
    of: int
    """How many of the device's readings that are in it: folded, known as repeated, or too old to say."""


class Heard(NamedTuple):
    """What a spell of questions was answered."""

    seconds: float
    answers: Sequence[Answer]
    errors: Sequence[str]
    """Problem documents: no answer, but no wrong one."""
    whole: Sequence[tuple[str, Any]]
    """Some of the answers as they came, by key."""

    def figures(self) -> dict[str, float | int]:
        assert self.answers, "not one question was answered"
        p50, p99 = np.percentile([each.ms for each in self.answers], [50, 99])
        return {
            "questions_per_s": round(len(self.answers) / self.seconds, 1),
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "errors": len(self.errors),
        }


class _Metric(msgspec.Struct):
    too_old: int


class _Device(msgspec.Struct):
    readings: int
    duplicates: int
    metrics: dict[str, _Metric]


class _Meta(msgspec.Struct):
    position: int


class _Row(msgspec.Struct):
    key: str
    value: _Device
    meta: _Meta


class _Connection:
    """One question at a time."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.key = ""
        self._began = 0.0
        self._got = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self, key: str) -> None:
        self.key, self._got, self._began = key, b"", time.perf_counter()
        self.socket.sendall(b"GET /v1/device-state/%s HTTP/1.1\r\nHost: a\r\n\r\n" % key.encode())

    def hear(self) -> tuple[float, bytes, bytes] | None:
        """Milliseconds, head and body of the whole answer, once it is there."""
        block = self.socket.recv(65_536)
        if not block:
            raise ConnectionError("the server has closed the connection")
        self._got += block
        head, ends, body = self._got.partition(_HEAD_ENDS)
        if not ends or len(body) < int(head[head.index(_LENGTH) + len(_LENGTH) :].split(b"\r\n", 1)[0]):
            return None
        return (time.perf_counter() - self._began) * 1000, head, body


def ask(address: str, rate: float, keys: Sequence[str], stop: int) -> dict[str, Any]:
    """Until something can be read from `stop`. The whole answers about every hundredth key are kept."""
    chance, kept = random.Random(1), set(keys[::100])
    decode = msgspec.json.Decoder(_Row).decode
    connections = [_Connection(split_address(address)) for _ in range(CONNECTIONS)]
    every, began = CONNECTIONS / rate, time.perf_counter()
    for number, connection in enumerate(connections):
        connection.due = began + number / rate
    waiting, asked = connections, dict[int, _Connection]()
    answers: list[Answer] = []
    errors: list[str] = []
    whole: list[tuple[str, Any]] = []
    while True:
        now = time.perf_counter()
        for connection in [each for each in waiting if each.due <= now]:
            connection.ask(chance.choice(keys))
            connection.due = max(connection.due + every, now - _MAKES_UP_S)
            asked[connection.fileno()] = connection
        waiting = [each for each in waiting if each.fileno() not in asked]
        pause = min((each.due for each in waiting), default=now + 1) - time.perf_counter()
        # Not epoll, whose time-outs are whole milliseconds.
        readable, _, _ = select.select([*asked, stop], [], [], max(0.0, pause))
        for ready in readable:
            if ready == stop:
                seconds = time.perf_counter() - began
                return {"seconds": seconds, "answers": answers, "errors": errors, "whole": whole}
            connection = asked[ready]
            heard = connection.hear()
            if heard is None:
                continue
            del asked[ready]
            waiting.append(connection)
            ms, head, body = heard
            if not head.startswith(_GOOD):
                errors.append(body.decode(errors="replace"))
                continue
            row = decode(body)
            assert row.key == connection.key, f"asked for {connection.key}, told of {row.key}"
            device = row.value
            count = device.readings + device.duplicates + sum(each.too_old for each in device.metrics.values())
            answers.append(Answer(row.key, ms, row.meta.position, count))
            if row.key in kept:
                whole.append((row.key, json.loads(body)))


class Spell:
    """Questions under way; `heard` once they have ended."""

    heard: Heard


@contextmanager
def questions(address: str, keys: Sequence[str], rate: float) -> Iterator[Spell]:
    """Asked while the block runs, by another process."""
    spell = Spell()
    command = [sys.executable, "-m", "benchmarks.asking", address, str(rate)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        ends_with_us(process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("\n".join([*keys, "", ""]).encode())
            process.stdin.flush()
            assert process.stdout.readline() == b"began\n"
            yield spell
            process.stdin.close()
            found = json.loads(process.stdout.read())
        except BaseException:
            process.kill()
            raise
    answers = [Answer(*each) for each in found["answers"]]
    spell.heard = Heard(found["seconds"], answers, found["errors"], [(key, row) for key, row in found["whole"]])


def main(address: str, rate: float) -> None:
    keys = [line.strip() for line in iter(sys.stdin.readline, "\n")]
    print("began", flush=True)
    print(json.dumps(ask(address, rate, keys, sys.stdin.fileno())))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
