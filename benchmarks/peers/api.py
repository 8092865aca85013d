"""What the suite asks of a peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from benchmarks.dataset import Source
from benchmarks.workloads import Found, Workload
from pipeline.log.api import Message


class Unavailable(Exception):
    """A peer that cannot run on this machine: its text says what is missing."""


@dataclass(frozen=True)
class Job:
    """One pass of a peer over one source, with a group, outputs and changelogs of its own."""

    name: str
    """Goes into the names of all that the pass makes, so that no two meet."""
    work: Workload
    source: Source
    directory: Path
    """For stores; the pass's own."""

    @property
    def servers(self) -> str:
        servers = self.source.settings.bootstrap_servers
        assert servers
        return servers

    def output(self, topic: str) -> str:
        """The full name of an output topic, of peers that may choose it."""
        return f"{self.name}-{topic}"


class Command(NamedTuple):
    """A peer's process: says `began` on its standard output with the first record of each pass, and ends at SIGTERM.

    With several jobs it goes on to the next one when it is given a line.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = MappingProxyType({})


class Peer(Protocol):
    name: str
    guarantee: str
    """What it promises, in a word or two."""
    share: float
    """Of the records that it is given: 1 for peers that are fast enough for all of them."""
    passes: int
    """In one process; the last one is warm."""

    def prepare(self) -> None:
        """Install what it needs. Raises Unavailable."""
        ...

    def command(self, jobs: Sequence[Job]) -> Command:
        """Also makes the topics that the peer does not make itself."""
        ...

    def group(self, job: Job) -> str | None:
        """The consumer group whose committed offsets tell when all is done; None: the process says `done` itself."""
        ...

    def outputs(self, job: Job) -> list[str]:
        """The topics that it wrote results to."""
        ...

    def changelogs(self, job: Job) -> list[str]: ...
    def visible(self, job: Job) -> str:
        """The topic in which a consumer sees what became of a record: an output, or else a changelog."""
        ...

    def found(self, job: Job) -> Found | None:
        """What it left behind, read from its topics; None for a peer without a result."""
        ...

    def readings_in(self, job: Job, row: Message) -> tuple[str, int] | None:
        """Of a changelog's record in workload b, the device and how many of its readings are in it."""
        ...

    def remove(self, job: Job) -> None:
        """Delete the topics that it has made, and its group where the next pass would meet it."""
        ...
