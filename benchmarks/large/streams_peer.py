"""Kafka Streams with the same devices: filled once, then restored from a wiped disk as often as asked."""

from __future__ import annotations

import shutil
import time

from benchmarks.large.checks import WrongState
from benchmarks.large.workers import PATIENCE_S, Restore, Told, restore_of, until_committed, until_restored
from benchmarks.measure import Ground
from benchmarks.peers.api import Job
from benchmarks.peers.kafka_streams import KafkaStreams
from benchmarks.process import PeerProcess
from benchmarks.reading import PARTITIONS, GroupWatch


class Streams:
    def __init__(self, peer: KafkaStreams, where: Ground) -> None:
        self.peer = peer
        self._where = where
        self._job: Job | None = None

    def fill(self, job: Job, told: Told) -> None:
        """Let it fold all that is in the source, and stop."""
        self._job = job
        with self._running(job) as process:
            process.says("began", PATIENCE_S)
            until_committed(process, GroupWatch(job.servers, self.peer.group(job), job.source.ends()), told)
            process.stop()

    def restore(self, devices: int, readings: int, told: Told) -> Restore:
        """Raises WrongState unless so many devices with so many readings have come back."""
        job = self._job
        assert job is not None
        shutil.rmtree(job.directory)
        job.directory.mkdir()
        began = time.monotonic()
        with self._running(job) as process:
            until_restored([process], PARTITIONS * len(self.peer.changelogs(job)), told)
            found = restore_of([process], began)
            process.ask("count")
            process.until(lambda: bool(process.counted), "it has counted", PATIENCE_S + devices / 10_000)
            if process.counted != [[devices, readings]]:
                raise WrongState(f"Kafka Streams restored {process.counted} instead of {devices}, {readings}")
            process.stop()
        return found

    def _running(self, job: Job) -> PeerProcess:
        return PeerProcess(self.peer.command([job]), job.directory.parent / "log", self._where.broker_pid)
