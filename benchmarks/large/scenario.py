"""Everything that is measured at one number of devices, each figure after its check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.dataset import Source
from benchmarks.large import checks
from benchmarks.large.checks import WrongState
from benchmarks.large.readings import Fleet
from benchmarks.large.streams_peer import Streams
from benchmarks.large.workers import PATIENCE_S, Start, Told, Workers
from benchmarks.measure import Ground, jobs_of, written
from benchmarks.peers.statelog import Statelog
from benchmarks.process import PeerFailed, PeerProcess
from benchmarks.workloads import DEVICES
from pipeline.log.feed import Feed
from pipeline.rehearsal.disk import directory_bytes

Stage = Callable[[str, int], AbstractContextManager[Told]]
"""Says what is done now, and of how many records."""
PROCESSES = 2
"""As workers are deployed where a restore has to be quick: one a core."""


class Sizes(NamedTuple):
    devices: int
    readings: int
    """Of the timed ingest."""
    killed: int
    """Of each load that a worker is killed under."""
    starts: int
    """After a clean stop, and after kill -9; the figure is the slowest."""
    rounds: int
    """Of restores."""


@dataclass
class Found:
    """As it goes into the file."""

    devices: int
    figures: dict[str, Any] = field(default_factory=dict)
    starts: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {"stopped": [], "killed": []})
    restores: list[dict[str, Any]] = field(default_factory=list)
    """A round each: by who restored."""

    def started(self, after: str, start: Start) -> None:
        self.starts[after].append(start._asdict())


class Scenario:
    def __init__(self, where: Ground, sizes: Sizes, stage: Stage, peer: Streams | None) -> None:
        self._where, self._sizes, self._stage, self._peer = where, sizes, stage, peer
        self._fleet = Fleet(sizes.devices)
        self._sent = 0
        self._source = Source(where.servers, DEVICES.source)
        self._feed = Feed(self._source.settings, self._source.topic)
        self.found = Found(sizes.devices)

    def run(self) -> Found:
        """Raises WrongState, PeerFailed."""
        peer = Statelog()
        try:
            with jobs_of(peer, DEVICES, [self._source]) as (job,):
                workers = Workers(peer, job, self._fleet, self._where)
                try:
                    self._fill(workers)
                    self._warm_starts(workers)
                    self._ingest_and_kill(workers)
                    digests = self._check(workers)
                    self.found.figures["changelog_bytes"] = written(self._where, peer.changelogs(job))
                    self._restores(workers, digests)
                finally:
                    workers.leave()
        finally:
            self._source.remove()
        return self.found

    def _send(self, readings: int, what: str) -> None:
        first, self._sent = self._sent, self._sent + readings
        with self._stage(what, readings) as told:
            for batch in self._fleet.messages(first, self._sent):
                self._feed.send(batch)
                told(self._feed.delivered - first)
            self._feed.flush()

    def _fill(self, workers: Workers) -> None:
        self._send(self._sizes.devices, "send a reading of each device")
        with workers.running() as (process, _):
            seconds, _ = self._drained(workers, process, "fold them: every device is new", self._sizes.devices)
            self.found.figures["fill_rate"] = self._sizes.devices / seconds
            self.found.figures["fill_rss_mb"] = process.peak_rss_mb()
            process.stop()

    def _drained(self, workers: Workers, process: PeerProcess, what: str, readings: int) -> tuple[float, float]:
        """Seconds, and CPU seconds, from the first record that is taken to the commit of the last."""
        with self._stage(what, readings) as told:
            began = process.says("began", PATIENCE_S)
            workers.drain(process, told)
            done = process.moment()
        return done.at - began.at, done.cpu_s - began.cpu_s

    def _warm_starts(self, workers: Workers) -> None:
        starts = self._sizes.starts
        for number in range(starts):
            with workers.running() as (process, at):
                with self._stage(f"start {number + 1} of {starts} after a clean stop", 0):
                    self.found.started("stopped", workers.start_up(process, at))
                process.stop()

    def _ingest_and_kill(self, workers: Workers) -> None:
        """The timed ingest, from a warm disk; then that worker is killed, and each that follows it, at work."""
        self._send(self._sizes.readings, "send more readings of all of them")
        with workers.running() as (process, _):
            readings = self._sizes.readings
            seconds, cpu_s = self._drained(workers, process, "fold them: every device is known", readings)
            self.found.figures |= {
                "readings": readings,
                "ingest_rate": readings / seconds,
                "ingest_cpu_s": cpu_s,
                "ingest_rss_mb": process.peak_rss_mb(),
            }
            self._kill(workers, process)
        starts = self._sizes.starts
        for left in reversed(range(starts)):
            with workers.running() as (process, at):
                with self._stage(f"start {starts - left} of {starts} after kill -9", 0):
                    self.found.started("killed", workers.start_up(process, at))
                with self._stage("fold what it had left", self._sizes.killed) as told:
                    workers.drain(process, told)
                if left:
                    self._kill(workers, process)
                else:
                    process.stop()

    def _kill(self, workers: Workers, process: PeerProcess) -> None:
        self._send(self._sizes.killed, "send more, and kill -9")
        watch = workers.left()
        process.kill()
        try:
            if watch.left() <= 0:
                raise PeerFailed("it was done before it was killed: more --readings")
        finally:
            watch.close()

    def _check(self, workers: Workers) -> dict[int, str]:
        with self._stage("check every device, and some against the oracle", 0):
            self.found.figures["rows"] = checks.check(workers.directory, self._fleet, self._sent)
            self.found.figures["sent"] = self._sent
            self.found.figures["disk_bytes"] = directory_bytes(workers.directory)
        with self._stage("digest of the stores", 0):
            return checks.digests(workers.directory)

    def _restores(self, workers: Workers, digests: dict[int, str]) -> None:
        """Each round all of them, one after the other, each alone."""
        with self._streams_filled() as streams:
            for number in range(self._sizes.rounds):
                where = f"round {number + 1} of {self._sizes.rounds}"
                found: dict[str, Any] = {}
                for name, processes in (("statelog", 1), (f"statelog, {PROCESSES} workers", PROCESSES)):
                    with self._stage(f"{where}: restore by {name}", self._sent) as told:
                        restore = workers.restore(processes, told)
                    with self._stage(f"{where}: digest of what was restored", 0):
                        if checks.digests(workers.directory) != digests:
                            raise WrongState(f"what {name} has restored is not what it had")
                    found[name] = restore.as_json()
                if streams is not None:
                    with self._stage(f"{where}: restore by Kafka Streams", self._sent) as told:
                        found["kafka-streams"] = streams.restore(self._sizes.devices, self._sent, told).as_json()
                self.found.restores.append(found)

    @contextmanager
    def _streams_filled(self) -> Iterator[Streams | None]:
        if self._peer is None:
            yield None
            return
        with jobs_of(self._peer.peer, DEVICES, [self._source]) as (job,):
            began = time.perf_counter()
            with self._stage("the same readings, folded by Kafka Streams", self._sent) as told:
                self._peer.fill(job, told)
            self.found.figures["streams_fill_s"] = time.perf_counter() - began
            yield self._peer
