"""One run of one peer: time and CPU from its first record to the commit of its last, then its result checked."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.dataset import Source
from benchmarks.peers.api import Job, Peer
from benchmarks.process import PeerFailed, PeerProcess
from benchmarks.reading import GroupWatch
from benchmarks.workloads import Checker, Workload
from pipeline.broker import EmbeddedBroker
from pipeline.rehearsal.disk import topic_bytes

_POLL_S = 0.02
_SLOWEST = 100
"""Events a second that a peer may be expected to do at least; what is slower counts as stuck."""
_START_S = 120.0


class WrongResult(Exception):
    """A peer did not compute what the oracle did, so that its time does not count."""


@dataclass(frozen=True)
class Ground:
    """Where everything runs."""

    servers: str
    broker: EmbeddedBroker | None
    """None for somebody else's cluster, whose CPU and disks cannot be seen."""

    @property
    def broker_pid(self) -> int | None:
        return self.broker.pid if self.broker else None

    @property
    def data_dir(self) -> Path | None:
        return self.broker.data_dir if self.broker else None


@dataclass(frozen=True)
class Figures:
    """Of one pass, checked."""

    records: int
    seconds: float
    cpu_s: float
    broker_cpu_s: float | None
    peak_rss_mb: float
    changelog_bytes: int | None
    output_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@contextmanager
def jobs_of(peer: Peer, work: Workload, sources: Sequence[Source]) -> Iterator[list[Job]]:
    """A job a source, in a directory that goes with them; what they made on the cluster goes too."""
    with tempfile.TemporaryDirectory(prefix="statelog-bench-") as directory:
        jobs = []
        for number, source in enumerate(sources):
            store = Path(directory) / str(number)
            store.mkdir()
            jobs.append(Job(f"bench-{work.letter}-{peer.name}-{uuid.uuid4().hex[:6]}", work, source, store))
        try:
            yield jobs
        finally:
            for job in jobs:
                peer.remove(job)


def run(peer: Peer, work: Workload, source: Source, checker: Checker, ground: Ground) -> list[Figures]:
    """A pass after the other in one process, each over the whole source. Raises PeerFailed, WrongResult."""
    with jobs_of(peer, work, [source] * peer.passes) as jobs:
        log = jobs[0].directory.parent / "log"
        passes = []
        with PeerProcess(peer.command(jobs), log, ground.broker_pid) as process:
            for number, job in enumerate(jobs):
                if number:
                    process.next()
                passes.append(_pass(process, peer, job))
            peak = process.peak_rss_mb()
            if peer.group(jobs[0]) is None:
                process.next()
            process.stop()
        figures = []
        for job, (records, seconds, cpu_s, broker_cpu_s) in zip(jobs, passes, strict=True):
            found = peer.found(job)
            if found is not None and (lines := checker.differences(work, found)):
                raise WrongResult(f"{peer.name}, workload {work.letter}:\n" + "\n".join(lines))
            figures.append(
                Figures(
                    records,
                    seconds,
                    cpu_s,
                    broker_cpu_s,
                    peak,
                    written(ground, peer.changelogs(job)),
                    written(ground, peer.outputs(job)),
                )
            )
        return figures


def _pass(process: PeerProcess, peer: Peer, job: Job) -> tuple[int, float, float, float | None]:
    ends = job.source.ends()
    records = sum(ends.values())
    began = process.says("began", _START_S)
    patience_s = 120 + records / _SLOWEST
    group = peer.group(job)
    if group is None:
        done = process.says("done", patience_s)
    else:
        watch = GroupWatch(job.servers, group, ends)

        def finished() -> bool:
            time.sleep(_POLL_S)
            return watch.left() <= 0

        try:
            process.until(finished, "all is committed", patience_s)
        except PeerFailed as error:
            raise PeerFailed(f"{watch.left()} of {records} records left: {error}") from None
        finally:
            watch.close()
        done = process.moment()
    broker = None
    if began.broker_cpu_s is not None and done.broker_cpu_s is not None:
        broker = done.broker_cpu_s - began.broker_cpu_s
    return records, done.at - began.at, done.cpu_s - began.cpu_s, broker


def written(ground: Ground, topics: Sequence[str]) -> int | None:
    """Bytes of these topics on the broker's disk; None where it cannot be seen."""
    return None if ground.data_dir is None else topic_bytes(ground.data_dir, topics)
