"""How long a point query takes, and what queries cost the ingest: by a thread of the worker, and by a second process.

    python -m benchmarks.queries [--records N] [--devices N] [--seconds S] [--rate Q] [--rounds N] [--json]

One aggregate worker of the shipped topology folds N readings as fast as it goes: its rate. Then it, and a process that
follows its stores as RocksDB's secondary (`benchmarks.secondary`), are asked for random devices, at Q questions a
second: while idle; while N readings come at half that rate; and while N that are there are folded as fast as they go,
each round of which has a turn without questions too, so that each round has its own loss. Questions come over kept
connections, from a process of their own. Every answer is checked: it has to be of as many readings as the topic holds
before its position, and of one device in a hundred it is the oracle's row. Takes the Kafka of
STATELOG_BOOTSTRAP_SERVERS, else an embedded one. Writes its figures to `benchmarks/results`, for the table in
docs/queries.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.answers import Sent
from benchmarks.asking import questions
from benchmarks.dataset import Source
from benchmarks.machine import description
from benchmarks.measure import Ground, jobs_of
from benchmarks.peers.api import Command, Job
from benchmarks.peers.statelog import Statelog
from benchmarks.process import ROOT, PeerProcess
from benchmarks.reading import GroupWatch
from benchmarks.suite import RESULTS, ground
from benchmarks.workloads import DEVICES
from pipeline.client_id import parse_client_id
from pipeline.log.feed import Feed
from pipeline.telemetry.pace import Pace
from tests.support.reaper import ends_with_us

SERVERS: Final = ("thread", "process")
_NOBODY: Final = "nobody"
_PATIENCE_S: Final = 600.0


class Ingest:
    """A worker that folds what it is sent."""

    def __init__(self, where: Ground, peer: Statelog, job: Job, process: PeerProcess, sent: Sent) -> None:
        self._process, self._sent, self._broker = process, sent, where.broker_pid
        self._feed = Feed(job.source.settings, job.source.topic)
        self._job, self._group = job, peer.group(job)

    def first(self, records: int) -> float:
        """Readings a second of a worker that finds them when it starts, from the first that it takes."""
        self._feed.send(self._sent.take(records))
        self._feed.flush()
        self._process.says("began", _PATIENCE_S)
        began = time.monotonic()
        self._drain()
        return records / (time.monotonic() - began)

    def fill(self, records: int) -> None:
        """Readings that the worker, which is stopped, has not begun with; filling costs nobody anything then."""
        self._process.pause()
        self._feed.send(self._sent.take(records))
        self._feed.flush()

    def fold(self, records: int) -> float:
        """Readings a second of those that are there, as fast as they go: to the commit of the last."""
        began = time.monotonic()
        self._process.go_on()
        self._drain()
        return records / (time.monotonic() - began)

    def follow(self, records: int, rate: float) -> None:
        """The same at a rate; returns once all is committed."""
        messages, pace = self._sent.take(records), Pace(rate)
        for first in range(0, records, pace.slice):
            part = messages[first : first + pace.slice]
            self._feed.send(part)
            pace.wait(len(part))
        self._feed.flush()
        self._drain()

    def _drain(self) -> None:
        watch = GroupWatch(self._job.servers, self._group, self._job.source.ends())

        def all_committed() -> bool:
            time.sleep(0.02)
            return watch.left() <= 0

        try:
            self._process.until(all_committed, "all is committed", _PATIENCE_S)
        finally:
            watch.close()


def measured(
    where: Ground, records: int, devices: int, seconds: float, rate: float, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """AssertionError for an answer that is wrong."""
    peer, source = Statelog(), Source(where.servers, DEVICES.source)
    sent = Sent(DEVICES.source, devices, records * (1 + len(SERVERS) + rounds * (1 + len(SERVERS))))
    runs: list[dict[str, Any]] = []
    try:
        with jobs_of(peer, DEVICES, [source]) as (job,):
            command = peer.command([job])
            with PeerProcess(command, job.directory.parent / "log", where.broker_pid) as process:
                try:
                    ingest = Ingest(where, peer, job, process, sent)
                    before = ingest.first(records)
                    say(f"{before:,.0f} readings/s before any question")
                    keys = sent.devices()
                    with _secondary(job, command) as (secondary, pid):
                        addresses = dict(zip(SERVERS, (_address(peer, job), secondary), strict=True))
                        used = {"thread": lambda: process.moment().cpu_s, "process": lambda: _cpu_s(pid)}

                        def asked(what: str, server: str, number: int, work: Callable[[], float | None]) -> None:
                            run: dict[str, Any] = {"what": what, "server": server, "round": number}
                            if server == _NOBODY:
                                folded = work()
                            else:
                                began = used[server]()
                                with questions(addresses[server], keys, rate) as spell:
                                    folded = work()
                                if what == "idle":
                                    run["cpu_us"] = round((used[server]() - began) / len(spell.heard.answers) * 1e6)
                                wrong = list(sent.wrong(spell.heard.answers, spell.heard.whole))
                                assert not wrong, "\n".join(wrong[:20])
                                for problem in sorted(set(spell.heard.errors))[:5]:
                                    say(problem)
                                run |= spell.heard.figures() | {"compared": len(spell.heard.whole)}
                            if folded is not None:
                                run["records_per_s"] = round(folded)
                            runs.append(run)
                            say(json.dumps(run))

                        for number, server in enumerate(SERVERS):
                            asked("idle", server, number, lambda: time.sleep(seconds))
                        for number, server in enumerate(SERVERS):
                            asked("half", server, number, lambda: ingest.follow(records, before / 2))
                        for number in range(rounds):
                            for server in _turned((_NOBODY, *SERVERS), number):
                                ingest.fill(records)
                                asked("full", server, number, lambda: ingest.fold(records))
                finally:
                    process.stop()  # whatever happened: its group cannot be removed else
    finally:
        source.remove()
    return {"records": records, "devices": devices, "asked_per_s": rate, "rate": round(before), "runs": runs}


def _turned(servers: Sequence[str], number: int) -> list[str]:
    """Each round begins with another."""
    first = number % len(servers)
    return [*servers[first:], *servers[:first]]


@contextmanager
def _secondary(job: Job, command: Command) -> Iterator[tuple[str, int]]:
    """Its address and process."""
    arguments = [sys.executable, "-m", "benchmarks.secondary", str(job.directory)]
    environment = {**os.environ, **command.environment}
    with subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        ends_with_us(process)
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, "the second process did not start"
            yield address, process.pid
        finally:
            process.terminate()


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _address(peer: Statelog, job: Job) -> str:
    (member,) = job.source.admin.members(peer.group(job))
    worker = parse_client_id(member.client_id)
    assert worker is not None
    assert worker.address is not None
    return worker.address


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000, help="readings of each part")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the questions while idle")
    parser.add_argument("--rate", type=float, default=2_000.0, help="questions a second")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print the figures and write no file")
    arguments = parser.parse_args(command)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    load = psutil.getloadavg()[0]
    with ground() as where:
        found = measured(
            where, arguments.records, arguments.devices, arguments.seconds, arguments.rate, arguments.rounds, say
        )
    report = {"machine": description(), "load_before": round(load, 1), **found}
    if arguments.json:
        print(json.dumps(report))
        return
    RESULTS.mkdir(exist_ok=True)
    path = Path(RESULTS) / f"queries-{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    say(f"{path}")


if __name__ == "__main__":
    main()
