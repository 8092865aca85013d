"""The ceiling: consume and count, and nothing else. No Python process can be fed faster than that."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.peers.api import Command, Job
from benchmarks.reading import count, partitions_of
from benchmarks.workloads import Found
from pipeline.log.api import Message
from pipeline.log.kafka import connect
from pipeline.runtime.collector import quiet_collector
from pipeline.settings import Settings


class Ceiling:
    name = "ceiling"
    guarantee = "consume only"
    share = 1.0
    passes = 1

    def prepare(self) -> None:
        """It is part of statelog."""

    def command(self, jobs: Sequence[Job]) -> Command:
        (job,) = jobs
        records = sum(job.source.ends().values())
        return Command([sys.executable, "-m", __name__, job.servers, job.source.topic, str(records)])

    def group(self, job: Job) -> None:
        """It commits nothing."""

    def outputs(self, job: Job) -> list[str]:
        return []

    def changelogs(self, job: Job) -> list[str]:
        return []

    def visible(self, job: Job) -> str:
        raise NotImplementedError("the ceiling writes nothing")

    def found(self, job: Job) -> Found | None:
        """It counted as many as there are, or it would not have ended."""
        return None

    def readings_in(self, job: Job, row: Message) -> None:
        """It has no rows."""

    def remove(self, job: Job) -> None:
        """It made nothing."""


def main(servers: str, topic: str, expected: int) -> None:
    reader = connect(Settings(bootstrap_servers=servers)).reader()
    reader.assign(dict.fromkeys(partitions_of(topic), 0))
    quiet_collector()
    count(reader, expected, lambda: print("began", flush=True))
    print("done", flush=True)
    sys.stdin.readline()
    reader.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
