"""How long a point query takes, and what queries cost the ingest, with the server as a thread of the worker.

    python -m benchmarks.queries [--records N] [--devices N] [--seconds S] [--rate Q] [--json]

One aggregate worker of the shipped topology folds N readings as fast as it goes: its rate. Then it is asked for random
devices, at Q questions a second: while idle; while N more come at half that rate; and while N more are folded as fast
as they go, which, beside N without questions, tells how much of its rate they cost. Questions come over kept
connections, from threads of another process. Takes the Kafka of STATELOG_BOOTSTRAP_SERVERS, else an embedded one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from benchmarks.dataset import Source
from benchmarks.latency import messages_for
from benchmarks.measure import Ground, jobs_of
from benchmarks.peers.api import Job
from benchmarks.peers.statelog import Statelog
from benchmarks.process import PeerProcess
from benchmarks.reading import GroupWatch
from benchmarks.streams import Stream
from benchmarks.suite import ground
from benchmarks.workloads import DEVICES
from pipeline.client_id import parse_client_id
from pipeline.log.feed import Feed
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message

ASKERS: Final = 8
PATIENCE_S: Final = 600.0


class Asking:
    """Questions at a rate, until stopped. An answer that is none counts as an error, and not as a time."""

    def __init__(self, address: str, devices: Sequence[str], rate: float) -> None:
        self._address, self._devices, self._rate = address, devices, rate
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(ASKERS)]
        self._times: list[float] = []
        self._errors = 0
        self._seconds = 0.0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        began = time.monotonic()
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
            self._seconds = time.monotonic() - began

    def _ask(self, number: int) -> None:
        connection, chance = http.client.HTTPConnection(self._address, timeout=30), random.Random(number)
        every, due = ASKERS / self._rate, time.monotonic() + number / self._rate
        while not self._stop.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + every, time.monotonic() - 1.0)  # who cannot keep up is not asked more for it later
            began = time.perf_counter()
            connection.request("GET", f"/v1/device-state/{chance.choice(self._devices)}")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self._times.append((time.perf_counter() - began) * 1000)
            else:
                self._errors += 1
        connection.close()

    def figures(self) -> dict[str, float | int]:
        assert self._times, "not one question was answered"
        p50, p99 = np.percentile(self._times, [50, 99])
        return {
            "questions_per_s": round(len(self._times) / self._seconds, 1),
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "errors": self._errors,
        }


def measured(where: Ground, records: int, devices: int, seconds: float, rate: float) -> dict[str, Any]:
    peer, source = Statelog(), Source(where.servers, DEVICES.source)
    try:
        everything = messages_for(DEVICES.source, Stream(devices, "uniform", 4 * records))
        first, second, third, fourth = (everything[part * records :][:records] for part in range(4))
        names = sorted({key.decode() for key, _ in first if key is not None})
        with jobs_of(peer, DEVICES, [source]) as (job,):
            feed = Feed(source.settings, source.topic)
            _send(feed, first)
            with PeerProcess(peer.command([job]), job.directory.parent / "log", where.broker_pid) as process:
                process.says("began", PATIENCE_S)
                began = time.monotonic()
                _drained(process, peer, job)
                before = records / (time.monotonic() - began)
                address = _address(peer, job)

                def asked(work: Callable[[], None]) -> dict[str, float | int]:
                    asking = Asking(address, names, rate)
                    with asking.going_on():
                        work()
                    return asking.figures()

                def fold(messages: Sequence[Message]) -> float:
                    """Readings a second, as fast as they go."""
                    began = time.monotonic()
                    _send(feed, messages)
                    _drained(process, peer, job)
                    return records / (time.monotonic() - began)

                idle = asked(lambda: time.sleep(seconds))
                half = asked(lambda: _feed_at(feed, second, before / 2))
                _drained(process, peer, job)
                alone = fold(third)
                rates: list[float] = []
                full = asked(lambda: rates.append(fold(fourth)))
                process.stop()
    finally:
        source.remove()
    cost = {
        "records_per_s": round(alone),
        "with_questions": round(rates[0]),
        "loss_percent": round(100 - 100 * rates[0] / alone, 1),
    }
    return {
        "server": "thread",
        "asked_per_s": rate,
        "rate": round(before),
        "idle": idle,
        "half": half,
        "full": full | cost,
    }


def _send(feed: Feed, messages: Sequence[Message]) -> None:
    feed.send(messages)
    feed.flush()


def _feed_at(feed: Feed, messages: Sequence[Message], rate: float) -> None:
    pace = Pace(rate)
    for first in range(0, len(messages), pace.slice):
        part = messages[first : first + pace.slice]
        feed.send(part)
        pace.wait(len(part))
    feed.flush()


def _drained(process: PeerProcess, peer: Statelog, job: Job) -> None:
    watch = GroupWatch(job.servers, peer.group(job), job.source.ends())

    def all_committed() -> bool:
        time.sleep(0.02)
        return watch.left() <= 0

    try:
        process.until(all_committed, "all is committed", PATIENCE_S)
    finally:
        watch.close()


def _address(peer: Statelog, job: Job) -> str:
    (member,) = job.source.admin.members(peer.group(job))
    worker = parse_client_id(member.client_id)
    assert worker is not None
    assert worker.address is not None
    return worker.address


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=500_000, help="readings of each of four parts")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the questions while idle")
    parser.add_argument("--rate", type=float, default=2_000.0, help="questions a second")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(command)
    with ground() as where:
        found = measured(where, arguments.records, arguments.devices, arguments.seconds, arguments.rate)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['rate']:,} readings/s before any question")
    for name, what in (("idle", "idle"), ("half", "at half that rate"), ("full", "as fast as it goes")):
        part = found[name]
        print(
            f"{what}: p50 {part['p50_ms']:.2f} ms, p99 {part['p99_ms']:.2f} ms, at {part['questions_per_s']:,.0f}/s "
            f"of {found['asked_per_s']:,.0f}/s asked, {part['errors']} errors"
        )
    full = found["full"]
    print(
        f"ingest: {full['records_per_s']:,}/s, with questions {full['with_questions']:,}/s: "
        f"{full['loss_percent']} % less"
    )


if __name__ == "__main__":
    main()
