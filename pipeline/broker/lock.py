"""The lock file: every jar the broker runs on, by coordinate, size and SHA-256."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

LOCK_FILE = Path(__file__).with_name("kafka.lock")


class Jar(NamedTuple):
    """One jar, as the lock wants it."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


class Lock(NamedTuple):
    """The class path, in order; Kafka's own jar comes first."""

    jars: tuple[Jar, ...]

    @property
    def kafka_version(self) -> str:
        return self.jars[0].version

    @property
    def size(self) -> int:
        return sum(jar.size for jar in self.jars)


def read_lock(path: Path = LOCK_FILE) -> Lock:
    """Parse a lock file: a jar a line, `group:artifact:version size sha256`, after comments with `#`."""
    rows = [line.split() for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return Lock(tuple(_jar(*row) for row in rows))


def _jar(coordinate: str, size: str, sha256: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, int(size), sha256)
